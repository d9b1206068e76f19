//! Every function of the host, called from a plugin in C, and every promise about tokens, events and stop.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests measure time"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millrace_plugin_host::{
    BuildAnswer, BuildRequest, Engine, FailureKind, PluginFailure, PluginHandle, PluginStatus,
    PressureValues, Reply, Submitted, Verdict,
};
use support::{Recorder, block, c_plugin, cdylib, chain, eventually, spec};

/// Runs `calls.c` through its life.
fn run(definitions: &[&str], engine: Recorder) -> Arc<Recorder> {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report");
    let handle = PluginHandle::load(spec(&c_plugin(folder.path(), "calls", definitions))).unwrap();
    let engine = Arc::new(engine);
    let mut pressure = handle.pressure_writer().unwrap();
    pressure.publish(&PressureValues {
        max_gas: 77,
        rung: 2,
        ..PressureValues::default()
    });
    handle
        .start(engine.clone(), chain(report.to_str().unwrap()))
        .unwrap_or_else(|error| panic!("{error}"));
    let [build, ..] = <[_; 2]>::try_from(std::mem::take(&mut engine.state.lock().unwrap().held)).unwrap();
    build.complete(BuildAnswer::Built(block(1)));
    handle.proposal(block(1)).unwrap();
    handle.proposal(block(2)).unwrap();
    handle.credit(3, 9);
    eventually("everything but what stop aborts has arrived", || {
        assert!(
            !matches!(handle.status(), PluginStatus::Failed(_)),
            "{:?}",
            handle.status()
        );
        engine.state.lock().unwrap().announced == [b"ready"]
    });
    handle
        .stop(Duration::from_secs(10))
        .unwrap_or_else(|error| panic!("{error}"));
    eventually("the plugin's thread reported", || {
        std::fs::read_to_string(&report).is_ok_and(|text| text == "stopped 1 readable 1")
    });
    engine
}

fn answers() -> Vec<Submitted> {
    let invalid = Submitted::Invalid("it skips a height".into());
    vec![
        Submitted::Again,
        Submitted::Accepted,
        invalid,
        Submitted::UnknownParent,
        Submitted::Stopped,
    ]
}

#[test]
fn a_plugin_in_c_calls_everything() {
    let engine = Recorder {
        holds_replies: true,
        ..Recorder::default()
    };
    engine.state.lock().unwrap().answers = answers();
    let engine = run(&[], engine);
    let state = engine.state.lock().unwrap();
    let request = BuildRequest {
        parent_hash: [5; 32],
        proposer: [6; 32],
        max_gas: None,
        max_bytes: Some(99),
        timestamp_ms: None,
        consensus_data: b"hello".to_vec(),
        allow_empty: true,
    };
    assert_eq!(state.builds, [request.clone(), request]);
    assert_eq!(state.validated, [b"a block"]);
    assert_eq!(state.submitted, vec![(b"final".to_vec(), b"signed".to_vec()); 5]);
    assert_eq!(
        state.stored,
        [(b"k".to_vec(), Some(b"v".to_vec())), (b"k".to_vec(), None)]
    );
    assert!(state.calls_of_fork_choice.is_empty());
    assert!(state.failures.is_empty());
}

#[test]
fn a_plugin_in_c_uses_fork_choice_where_the_engine_offers_it() {
    let engine = Recorder {
        holds_replies: true,
        offers_fork_choice: true,
        ..Recorder::default()
    };
    engine.state.lock().unwrap().answers = answers();
    let engine = run(&["EXPECT_FORK_CHOICE"], engine);
    let calls = engine.state.lock().unwrap().calls_of_fork_choice.clone();
    assert_eq!(calls, ["import 5 bytes", "head 8", "finalize 8 with 6 bytes"]);
}

#[test]
fn the_sdk_sees_every_event_as_the_engine_meant_it() {
    let handle = PluginHandle::load(spec(&cdylib("millrace-plugin-misbehaving"))).unwrap();
    let engine = Arc::new(Recorder {
        offers_fork_choice: true,
        ..Recorder::default()
    });
    handle.start(engine.clone(), chain("record")).unwrap();
    handle.credit(5, 6);
    handle.proposal(block(3)).unwrap();
    handle.settled([1; 32], 21);
    handle.finalized([1; 32], 22);
    handle.head_moved([1; 32], 23);
    handle.work();
    let hash = |byte: u8| format!("0x{}", format!("{byte:02x}").repeat(32));
    let token = |number: u64| format!("Token({number})");
    for expected in [
        format!(
            "BlockBuilt {{ token: {}, result: Ok(BlockBytes {{ bytes: 1000 bytes, hash: {}, parent_hash: {}, height: 12 }}) }}",
            token(1),
            hash(1),
            hash(5)
        ),
        format!(
            "Verdict {{ token: {}, result: Ok(BlockMark {{ hash: {}, height: 12 }}) }}",
            token(2),
            hash(2)
        ),
        format!("KvValue {{ token: {}, result: Ok(Some(10 bytes)) }}", token(3)),
        format!("Timer {{ token: {} }}", token(6)),
        format!(
            "HeadMoved {{ token: Some({}), result: Err(Invalid {{ block: {}, reason: \"its parent is bad\" }}) }}",
            token(8),
            hash(4)
        ),
        "Credit { blocks: 5, gas: 6 }".to_owned(),
        format!(
            "Proposal(BlockBytes {{ bytes: 1000 bytes, hash: {}, parent_hash: {}, height: 12 }})",
            hash(3),
            hash(5)
        ),
        format!("Settled(BlockMark {{ hash: {}, height: 21 }})", hash(1)),
        format!("Finalized(BlockMark {{ hash: {}, height: 22 }})", hash(1)),
        format!(
            "HeadMoved {{ token: None, result: Ok(BlockMark {{ hash: {}, height: 23 }}) }}",
            hash(1)
        ),
        "Work".to_owned(),
    ] {
        assert_eq!(engine.wait_for_event(&expected), expected);
    }
    handle.stop(Duration::from_secs(10)).unwrap();
    let state = engine.state.lock().unwrap();
    assert_eq!(state.announced, [b"a proposal"]);
    let cancelled = state.stored.iter().filter(|(_, value)| {
        value
            .as_ref()
            .is_some_and(|value| value.starts_with(b"Timer { token: Token(7)"))
    });
    assert_eq!(cancelled.count(), 0, "a cancelled timer says nothing");
    assert_eq!(state.builds[0].max_gas, Some(1_000));
}

/// An engine whose build panics.
struct Panics(AtomicU64);

impl Engine for Panics {
    fn request_block(&self, _request: BuildRequest, _reply: Reply<BuildAnswer>) {
        panic!("a bug of the engine");
    }
    fn validate(&self, _block: Vec<u8>, _reply: Reply<Verdict>) {}
    fn announce_proposal(&self, _block: Vec<u8>) {}
    fn submit_finalized(&self, _block: Vec<u8>, _certificate: Vec<u8>) -> Submitted {
        Submitted::Accepted
    }
    fn kv_get(&self, _key: Vec<u8>, _reply: Reply<Option<Vec<u8>>>) {}
    fn kv_put(&self, _key: Vec<u8>, _value: Option<Vec<u8>>, _reply: Reply<Result<(), String>>) {}
    fn plugin_failed(&self, _failure: &PluginFailure) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_panic_of_the_engine_does_not_cross_the_boundary() {
    let handle = PluginHandle::load(spec(&cdylib("millrace-plugin-misbehaving"))).unwrap();
    let engine = Arc::new(Panics(AtomicU64::new(0)));
    let error = handle.start(engine.clone(), chain("record")).unwrap_err();
    let PluginStatus::Failed(failure) = handle.status() else {
        panic!("{error}")
    };
    assert_eq!(
        (failure.kind, failure.call.as_str()),
        (FailureKind::Host, "start")
    );
    assert_eq!(
        failure.reason,
        "the host function request_block panicked; please report it"
    );
    assert_eq!(engine.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_dropped_reply_is_an_aborted_request() {
    let handle = PluginHandle::load(spec(&cdylib("millrace-plugin-misbehaving"))).unwrap();
    let engine = Arc::new(Recorder {
        holds_replies: true,
        ..Recorder::default()
    });
    handle.start(engine.clone(), chain("record")).unwrap();
    engine.state.lock().unwrap().held.clear();
    assert_eq!(
        engine.wait_for_event("BlockBuilt"),
        "BlockBuilt { token: Token(1), result: Err(Aborted(\"\")) }"
    );
    handle.stop(Duration::from_secs(10)).unwrap();
}
