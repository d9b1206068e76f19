//! What `export_plugin!` exports, called as a host calls it: rightly, and wrongly.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use core::ffi::{CStr, c_void};
use core::ptr::{null, null_mut};
use std::sync::Mutex;
use std::time::Duration;

use millrace_plugin_sdk::abi::event::{EVENT_CREDIT, EVENT_KV_VALUE, EVENT_TIMER, EVENT_WORK};
use millrace_plugin_sdk::abi::status::{ABORTED, AGAIN, E_ABI, E_CONFIG, E_FATAL, E_PANIC, OK};
use millrace_plugin_sdk::abi::{
    self, ABI_MAJOR, BuildRequest, Bytes, HOST_MAGIC, Hash, Host, PLUGIN_MAGIC, Pressure, Status,
};
use millrace_plugin_sdk::export::{table, terminated};
use millrace_plugin_sdk::{ChainState, Driver, Event, StartError, Step, Stepped, Submitted};

/// What the plugins of these tests were told, and what the host was told.
static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// The tests share `TOLD`.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn tell(what: impl Into<String>) {
    TOLD.lock().unwrap().push(what.into());
}

fn told() -> Vec<String> {
    std::mem::take(&mut TOLD.lock().unwrap())
}

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
static PRESSURE: Pressure = Pressure::new();

extern "C" fn no_block(_: *mut c_void, _: u64, _: *const BuildRequest) -> Status {
    OK
}
extern "C" fn token_and_bytes(_: *mut c_void, _: u64, _: Bytes) -> Status {
    OK
}
extern "C" fn bytes(_: *mut c_void, _: Bytes) -> Status {
    OK
}
extern "C" fn full(_: *mut c_void, _: Bytes, _: Bytes) -> Status {
    AGAIN
}
extern "C" fn put(_: *mut c_void, _: u64, _: Bytes, _: Bytes) -> Status {
    OK
}
extern "C" fn timer(_: *mut c_void, token: u64, delay_ms: u64) -> Status {
    tell(format!("timer {token} in {delay_ms}"));
    OK
}
extern "C" fn cancel(_: *mut c_void, _: u64) -> Status {
    OK
}
extern "C" fn now(_: *mut c_void) -> u64 {
    1
}
unsafe extern "C" fn log(_: *mut c_void, _: u32, message: Bytes) -> Status {
    // SAFETY: by the ABI a plugin lends the bytes of an argument until the call returns.
    let message = unsafe { message.as_slice() }.unwrap();
    tell(format!("log {}", String::from_utf8_lossy(message)));
    OK
}
extern "C" fn metric(_: *mut c_void, _: u32, _: Bytes, _: f64) -> Status {
    OK
}
unsafe extern "C" fn fatal(_: *mut c_void, status: Status, reason: Bytes) -> Status {
    // SAFETY: as for `log`.
    let reason = unsafe { reason.as_slice() }.unwrap();
    tell(format!("fatal {status} {}", String::from_utf8_lossy(reason)));
    OK
}
extern "C" fn extension(_: *mut c_void, _: Bytes) -> *const c_void {
    null()
}

fn host() -> &'static mut Host {
    Box::leak(Box::new(Host {
        magic: HOST_MAGIC,
        abi_major: ABI_MAJOR,
        abi_minor: 0,
        size: size_of::<Host>() as u32,
        context: null_mut(),
        pressure: &raw const PRESSURE,
        request_block: no_block,
        validate: token_and_bytes,
        announce_proposal: bytes,
        submit_finalized: full,
        kv_get: token_and_bytes,
        kv_put: put,
        kv_remove: token_and_bytes,
        timer_set: timer,
        timer_cancel: cancel,
        now_ms: now,
        log,
        metric,
        fatal,
        extension,
    }))
}

fn chain(config: &'static str) -> abi::ChainState {
    let zero = Hash { bytes: [0; 32] };
    abi::ChainState {
        size: size_of::<abi::ChainState>() as u32,
        reserved: 0,
        chain_id: 1,
        consensus_id: Bytes::lend(b"probe/1"),
        parameters: Bytes::EMPTY,
        config: Bytes::lend(config.as_bytes()),
        chain_spec_hash: zero,
        genesis_hash: zero,
        genesis_block: Bytes::EMPTY,
        finalized_hash: zero,
        finalized_height: 0,
        finalized_block: Bytes::EMPTY,
        finalized_certificate: Bytes::EMPTY,
        max_receipt_lag: 4,
        block_gas: 1,
        block_bytes: 1,
        now_ms: 100,
    }
}

/// `host` is null or comes from [`host`]; `chain` is null or [`chain`]'s, whatever their sizes say.
fn start(host: *const Host, chain: *const abi::ChainState) -> (Status, *mut c_void) {
    let mut instance = null_mut();
    // SAFETY: a host from `host` is never freed; the chain state, whose bytes are static, lives in the caller until
    // this returns, and so does `instance` here.
    let status = unsafe { (TABLE.start.unwrap())(host, chain, &raw mut instance) };
    // The plugin's hook, which in a shared object would not be ours.
    drop(std::panic::take_hook());
    (status, instance)
}

fn event(kind: u32, token: u64, status: Status) -> abi::Event {
    abi::Event {
        size: size_of::<abi::Event>() as u32,
        kind,
        token,
        now_ms: 200,
        status,
        reserved: 0,
        reason: Bytes::lend(b"because"),
        data: abi::EventData::NONE,
    }
}

/// `instance` is null or what [`start`] gave and [`stop`] has not taken.
fn deliver(instance: *mut c_void, mut event: abi::Event) -> Status {
    // SAFETY: the instance by the above, entered by one test at a time; the event is a whole record of this frame,
    // and its bytes are static.
    unsafe { (TABLE.deliver.unwrap())(instance, &raw mut event) }
}

/// Frees `instance`, which is null or what [`start`] gave.
fn stop(instance: *mut c_void) -> Status {
    // SAFETY: each test stops what it started once at most, and does not use it after.
    unsafe { (TABLE.stop.unwrap())(instance, 5) }
}

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
    let (status, instance) = start(host(), &chain(""));
    assert_eq!((status, told()), (OK, vec!["timer 1 in 5".to_owned()]));
    let mut credit = event(EVENT_CREDIT, 0, OK);
    credit.data.credit = abi::event::Credit { blocks: 2, gas: 3 };
    assert_eq!(deliver(instance, credit), OK);
    assert_eq!(deliver(instance, event(EVENT_TIMER, 1, OK)), OK);
    assert_eq!(deliver(instance, event(EVENT_TIMER, 2, ABORTED)), OK);
    assert_eq!(deliver(instance, event(EVENT_KV_VALUE, 3, ABORTED)), OK);
    assert_eq!(deliver(instance, event(EVENT_WORK, 0, OK)), OK);
    assert_eq!(
        deliver(instance, event(999, 0, OK)),
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
    assert_eq!(stop(instance), OK);
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
        assert_eq!(start(host, &raw const good).0, E_ABI);
        assert!(told().is_empty(), "nothing was called");
    };
    assert_eq!(start(null(), &raw const good).0, E_ABI);
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
    assert_eq!(start(host(), &raw const short).0, E_ABI);
    assert_eq!(start(host(), null()).0, E_ABI);
    assert_eq!(
        told(),
        [
            format!("fatal {E_ABI} the chain state is cut short"),
            format!("fatal {E_ABI} the chain state is null")
        ]
    );
    let (_, instance) = start(host(), &chain(""));
    let mut short = event(EVENT_WORK, 0, OK);
    short.size = 8;
    assert_eq!(deliver(instance, short), E_ABI);
    // SAFETY: the instance is running, and a null event is what a plugin has to refuse.
    let refused = unsafe { (TABLE.deliver.unwrap())(instance, null_mut()) };
    assert_eq!(refused, E_ABI);
    assert_eq!(deliver(null_mut(), event(EVENT_WORK, 0, OK)), E_ABI);
    assert_eq!(stop(null_mut()), E_ABI);
    assert_eq!(stop(instance), OK);
}

#[test]
fn failures_have_their_status_and_their_words() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    told();
    assert_eq!(start(host(), &chain("refuse")).0, E_CONFIG);
    assert_eq!(told(), [format!("fatal {E_CONFIG} not like this")]);
    assert_eq!(start(host(), &chain("panic")).0, E_PANIC);
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
    let (_, instance) = start(host(), &chain("spin"));
    assert_eq!(deliver(instance, event(EVENT_WORK, 0, OK)), OK);
    let told = told();
    assert_eq!(told.len(), 1 + 1024 + 1);
    assert_eq!(
        told.last().unwrap(),
        &format!(
            "fatal {E_FATAL} the plugin spins: 1,024 steps in one delivery; submit again at Event::Credit, not at Submitted::Again"
        )
    );
}
