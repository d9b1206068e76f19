//! `fork-choice/1` as a stepped plugin sees it: what its actions call, what the answers become, and who is refused.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use core::ffi::c_void;
use core::ptr::{from_ref, null};

use millrace_plugin_sdk::abi::event::{EVENT_HEAD_MOVED, EVENT_WORK};
use millrace_plugin_sdk::abi::status::{
    ABORTED, AGAIN, E_ABI, INVALID, OK, STOPPED, TRANSIENT, UNKNOWN_PARENT,
};
use millrace_plugin_sdk::abi::{self, Bytes, ForkChoice, Hash, Status};
use millrace_plugin_sdk::export::{table, terminated};
use millrace_plugin_sdk::types;
use millrace_plugin_sdk::{ChainState, Driver, Event, StartError, Step, Stepped};
use support::{ONE_AT_A_TIME, chain, deliver, event, host, start, stop, tell, told};

/// Imports, moves the head and finalizes at every word of work.
struct Forks;

impl Stepped for Forks {
    const CONSENSUS_ID: &'static str = "forks/1";
    const VERSION: &'static str = "1";
    const NEEDS_FORK_CHOICE: bool = true;

    fn start(chain: &ChainState, _: &mut Step) -> Result<Self, StartError> {
        if chain.config == b"tell" {
            tell(format!(
                "blocks above finality: {:?}",
                chain.max_unfinalized_blocks
            ));
        }
        Ok(Self)
    }

    fn on_event(&mut self, event: Event, step: &mut Step) {
        if matches!(event, Event::Work) {
            step.import_block(b"block".to_vec().into());
            step.set_head(types::Hash([8; 32]));
            step.finalize(types::Hash([7; 32]), b"certificate".to_vec().into());
        } else {
            tell(format!("{event:?}"));
        }
    }
}

static TABLE: abi::Plugin = table::<Driver<Forks>>(&ID, &VERSION);
static ID: [u8; 8] = terminated("forks/1");
static VERSION: [u8; 2] = terminated("1");

/// Answers with the status that `context` points to: the same for each function.
fn answer(context: *mut c_void) -> Status {
    // SAFETY: the tests give a pointer to a status that is never freed.
    unsafe { *context.cast::<Status>() }
}

unsafe extern "C" fn import_block(context: *mut c_void, block: Bytes) -> Status {
    // SAFETY: by the ABI a plugin lends the bytes of an argument until the call returns.
    let block = unsafe { block.as_slice() }.unwrap();
    tell(format!("import {}", String::from_utf8_lossy(block)));
    answer(context)
}

unsafe extern "C" fn set_head(context: *mut c_void, token: u64, hash: *const Hash) -> Status {
    // SAFETY: as for `import_block`.
    let hash = unsafe { &*hash };
    tell(format!("head {} for {token}", hash.bytes[0]));
    answer(context)
}

unsafe extern "C" fn finalize(context: *mut c_void, hash: *const Hash, certificate: Bytes) -> Status {
    // SAFETY: as for `import_block`.
    let (hash, certificate) = unsafe { (&*hash, certificate.as_slice().unwrap()) };
    tell(format!(
        "finalize {} by {}",
        hash.bytes[0],
        String::from_utf8_lossy(certificate)
    ));
    answer(context)
}

static FORK_CHOICE: ForkChoice = ForkChoice {
    size: size_of::<ForkChoice>() as u32,
    max_unfinalized_blocks: 40,
    import_block,
    set_head,
    finalize,
};

static CUT_SHORT: ForkChoice = ForkChoice {
    size: 16,
    ..FORK_CHOICE
};

unsafe extern "C" fn offers(_: *mut c_void, name: Bytes) -> *const c_void {
    // SAFETY: as for `import_block`.
    let name = unsafe { name.as_slice() }.unwrap();
    if name == b"fork-choice/1" {
        from_ref(&FORK_CHOICE).cast()
    } else {
        null()
    }
}

/// As a host of before this number.
static SAYS_NOTHING: ForkChoice = ForkChoice {
    max_unfinalized_blocks: 0,
    ..FORK_CHOICE
};

unsafe extern "C" fn offers_without_a_number(_: *mut c_void, _: Bytes) -> *const c_void {
    from_ref(&SAYS_NOTHING).cast()
}

extern "C" fn offers_a_table_that_is_cut_short(_: *mut c_void, _: Bytes) -> *const c_void {
    from_ref(&CUT_SHORT).cast()
}

#[test]
fn actions_call_the_capability_and_answers_come_back_as_events() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    told();
    let outcomes = [
        (OK, "Accepted", None),
        (
            AGAIN,
            "Again",
            Some("Declined(NotNow(\"the host answered AGAIN; its log says why\"))"),
        ),
        (
            INVALID,
            "Invalid",
            Some("Declined(Invalid(\"the host answered INVALID; its log says why\"))"),
        ),
        (UNKNOWN_PARENT, "UnknownParent", Some("Declined(UnknownParent)")),
        (STOPPED, "Stopped", Some("Declined(Stopped)")),
    ];
    for (status, outcome, head) in outcomes {
        let host = host();
        host.extension = offers;
        host.context = std::ptr::from_mut(Box::leak(Box::new(status))).cast();
        let (started, instance) = start(&TABLE, host, &chain(""));
        assert_eq!(started, OK);
        assert_eq!(deliver(&TABLE, instance, event(EVENT_WORK, 0, OK)), OK);
        let mut expected = vec![
            "import block".to_owned(),
            "head 8 for 2".to_owned(),
            "finalize 7 by certificate".to_owned(),
            format!("Submitted {{ token: Token(1), outcome: {outcome} }}"),
        ];
        expected.extend(head.map(|why| format!("HeadMoved {{ token: Some(Token(2)), result: Err({why}) }}")));
        expected.push(format!("Submitted {{ token: Token(3), outcome: {outcome} }}"));
        assert_eq!(told(), expected);
        assert_eq!(stop(&TABLE, instance), OK);
    }
}

#[test]
fn a_head_that_does_not_move_names_the_block_that_is_in_the_way() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    told();
    let host = host();
    host.extension = offers;
    let (_, instance) = start(&TABLE, host, &chain(""));
    for status in [OK, INVALID, ABORTED, TRANSIENT] {
        let mut moved = event(EVENT_HEAD_MOVED, 5, status);
        moved.data.mark = abi::event::BlockMark {
            hash: Hash { bytes: [4; 32] },
            height: 9,
        };
        assert_eq!(deliver(&TABLE, instance, moved), OK);
    }
    let four = format!("0x{}", "04".repeat(32));
    let moved = |result: &str| format!("HeadMoved {{ token: Some(Token(5)), result: {result} }}");
    assert_eq!(
        told(),
        [
            moved(&format!("Ok(BlockMark {{ hash: {four}, height: 9 }})")),
            moved(&format!("Err(Invalid {{ block: {four}, reason: \"because\" }})")),
            moved("Err(Declined(Aborted(\"because\")))"),
            moved("Err(Declined(NotNow(\"because\")))"),
        ]
    );
    assert_eq!(stop(&TABLE, instance), OK);
}

#[test]
fn what_the_node_keeps_above_finality_is_known_at_the_start() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    told();
    for (offers, said) in [
        (
            offers as unsafe extern "C" fn(*mut c_void, Bytes) -> *const c_void,
            "Some(40)",
        ),
        (offers_without_a_number, "None"),
    ] {
        let host = host();
        host.extension = offers;
        let (_, instance) = start(&TABLE, host, &chain("tell"));
        assert_eq!(told(), [format!("blocks above finality: {said}")]);
        assert_eq!(stop(&TABLE, instance), OK);
    }
}

#[test]
fn who_needs_the_capability_is_not_started_without_it() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    told();
    let refusal =
        format!("fatal {E_ABI} this node does not offer fork-choice/1, which forks/1 cannot do without");
    assert_eq!(start(&TABLE, host(), &chain("")).0, E_ABI);
    assert_eq!(told(), [refusal.as_str()]);
    let short = host();
    short.extension = offers_a_table_that_is_cut_short;
    assert_eq!(start(&TABLE, short, &chain("")).0, E_ABI);
    assert_eq!(told(), [refusal.as_str()]);
}
