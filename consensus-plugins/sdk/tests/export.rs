//! What `export_plugin!` exports, called as a host calls it: rightly, and wrongly.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use core::ffi::CStr;
use core::ptr::{null, null_mut};
use std::time::Duration;

use millrace_plugin_sdk::abi::event::{EVENT_CREDIT, EVENT_KV_VALUE, EVENT_TIMER, EVENT_WORK};
use millrace_plugin_sdk::abi::status::{ABORTED, E_ABI, E_CONFIG, E_FATAL, E_PANIC, OK};
use millrace_plugin_sdk::abi::{self, ABI_MAJOR, Host, PLUGIN_MAGIC, Pressure};
use millrace_plugin_sdk::export::{table, terminated};
use millrace_plugin_sdk::{ChainState, Driver, Event, StartError, Step, Stepped, Submitted};

use support::{ONE_AT_A_TIME, chain, deliver, event, host, start, stop, tell, told};

struct Probe {
    spins: bool,
}

impl Stepped for Probe {
    const CONSENSUS_ID: &'static str = "probe/1";
    const VERSION: &'static str = "9";

    fn start(chain: &ChainState, step: &mut Step) -> Result<Self, StartError> {
        step.set_timer(Duration::from_millis(5));
        match chain.config.as_slice() {
            b"refuse" => Err(StartError::Configuration("not like this".into())),
            b"panic" => panic!("as told"),
            config => Ok(Self {
                spins: config == b"spin",
            }),
        }
    }

    fn on_event(&mut self, event: Event, step: &mut Step) {
        tell(format!("{} {event:?}", step.now_ms()));
        let again = matches!(
            event,
            Event::Submitted {
                outcome: Submitted::Again,
                ..
            }
        );
        if matches!(event, Event::Work) || (self.spins && again) {
            step.submit_finalized(vec![1].into(), vec![2].into());
        }
    }

    fn on_stop(self) {
        tell("stop");
    }
}

static TABLE: abi::Plugin = table::<Driver<Probe>>(&ID, &VERSION);
static ID: [u8; 8] = terminated("probe/1");
static VERSION: [u8; 2] = terminated("9");
#[test]
fn the_table_says_what_the_plugin_is() {
    assert_eq!(
        (TABLE.magic, TABLE.abi_major, TABLE.size),
        (PLUGIN_MAGIC, ABI_MAJOR, 56)
    );
    // SAFETY: both texts are statics that `terminated` ended with a zero.
    let text = |pointer| unsafe { CStr::from_ptr(pointer) }.to_str().unwrap();
    assert_eq!((text(TABLE.consensus_id), text(TABLE.version)), ("probe/1", "9"));
}

#[test]
fn a_life_from_start_to_stop() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    told();
    let (status, instance) = start(&TABLE, host(), &chain(""));
    assert_eq!((status, told()), (OK, vec!["timer 1 in 5".to_owned()]));
    let mut credit = event(EVENT_CREDIT, 0, OK);
    credit.data.credit = abi::event::Credit { blocks: 2, gas: 3 };
    assert_eq!(deliver(&TABLE, instance, credit), OK);
    assert_eq!(deliver(&TABLE, instance, event(EVENT_TIMER, 1, OK)), OK);
    assert_eq!(deliver(&TABLE, instance, event(EVENT_TIMER, 2, ABORTED)), OK);
    assert_eq!(deliver(&TABLE, instance, event(EVENT_KV_VALUE, 3, ABORTED)), OK);
    assert_eq!(deliver(&TABLE, instance, event(EVENT_WORK, 0, OK)), OK);
    assert_eq!(
        deliver(&TABLE, instance, event(999, 0, OK)),
        OK,
        "a kind of a later minor version"
    );
    assert_eq!(
        told(),
        [
            "200 Credit { blocks: 2, gas: 3 }",
            "200 Timer { token: Token(1) }",
            "200 KvValue { token: Token(3), result: Err(Aborted(\"because\")) }",
            "200 Work",
            "200 Submitted { token: Token(2), outcome: Again }",
        ]
    );
    assert_eq!(stop(&TABLE, instance), OK);
    assert_eq!(told(), ["stop"]);
}

#[test]
fn a_host_that_is_not_one_is_refused_before_it_is_called() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    told();
    let good = chain("");
    let check = |bend: fn(&mut Host)| {
        let host = host();
        bend(host);
        assert_eq!(start(&TABLE, host, &raw const good).0, E_ABI);
        assert!(told().is_empty(), "nothing was called");
    };
    assert_eq!(start(&TABLE, null(), &raw const good).0, E_ABI);
    check(|host| host.magic = 1);
    check(|host| host.abi_major = 2);
    check(|host| host.size = 40);
    check(|host| host.pressure = null());
    check(|host| {
        host.pressure = Box::leak(Box::new(Pressure {
            size: 16,
            ..Pressure::new()
        }))
    });
}

#[test]
fn a_chain_state_or_event_that_is_cut_short_is_refused() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    told();
    let mut short = chain("");
    short.size = 100;
    assert_eq!(start(&TABLE, host(), &raw const short).0, E_ABI);
    assert_eq!(start(&TABLE, host(), null()).0, E_ABI);
    assert_eq!(
        told(),
        [
            format!("fatal {E_ABI} the chain state is cut short"),
            format!("fatal {E_ABI} the chain state is null")
        ]
    );
    let (_, instance) = start(&TABLE, host(), &chain(""));
    let mut short = event(EVENT_WORK, 0, OK);
    short.size = 8;
    assert_eq!(deliver(&TABLE, instance, short), E_ABI);
    // SAFETY: the instance is running, and a null event is what a plugin has to refuse.
    let refused = unsafe { (TABLE.deliver.unwrap())(instance, null_mut()) };
    assert_eq!(refused, E_ABI);
    assert_eq!(deliver(&TABLE, null_mut(), event(EVENT_WORK, 0, OK)), E_ABI);
    assert_eq!(stop(&TABLE, null_mut()), E_ABI);
    assert_eq!(stop(&TABLE, instance), OK);
}

#[test]
fn failures_have_their_status_and_their_words() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    told();
    assert_eq!(start(&TABLE, host(), &chain("refuse")).0, E_CONFIG);
    assert_eq!(told(), [format!("fatal {E_CONFIG} not like this")]);
    assert_eq!(start(&TABLE, host(), &chain("panic")).0, E_PANIC);
    let words = told();
    let line = include_str!("export.rs")
        .lines()
        .position(|line| line.contains("panic!(\"as told\")"))
        .unwrap()
        + 1;
    let place = format!("as told at consensus-plugins/sdk/tests/export.rs:{line}");
    assert_eq!(
        words,
        [
            format!("log panicked: {place}"),
            format!("fatal {E_PANIC} {place}")
        ]
    );
}

#[test]
fn a_plugin_that_spins_is_ended_by_name() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    told();
    let (_, instance) = start(&TABLE, host(), &chain("spin"));
    assert_eq!(deliver(&TABLE, instance, event(EVENT_WORK, 0, OK)), OK);
    let told = told();
    assert_eq!(told.len(), 1 + 1024 + 1);
    assert_eq!(
        told.last().unwrap(),
        &format!(
            "fatal {E_FATAL} the plugin spins: 1,024 steps in one delivery; submit again at Event::Credit, not at Submitted::Again"
        )
    );
}
