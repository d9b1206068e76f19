//! A plugin that panics, gives up, hangs or breaks the ABI is contained and reported, and the process goes on.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests measure time"
)]

mod support;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use millrace_plugin_host::{
    FailureKind, PluginHandle, PluginInfo, PluginSpec, PluginStatus, StartError, StopError,
};
use support::{Recorder, block, c_plugin, cdylib, chain, eventually, failure, spec};

/// Built once for the tests of this file.
fn misbehaving() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| cdylib("millrace-plugin-misbehaving"))
        .clone()
}

fn started(config: &str) -> (PluginHandle, Arc<Recorder>) {
    let handle = PluginHandle::load(spec(&misbehaving())).unwrap();
    let engine = Arc::new(Recorder {
        offers_fork_choice: true,
        ..Recorder::default()
    });
    handle.start(engine.clone(), chain(config)).unwrap();
    (handle, engine)
}

fn start_error(config: &str) -> (String, Arc<Recorder>, PluginHandle) {
    let handle = PluginHandle::load(spec(&misbehaving())).unwrap();
    let engine = Arc::new(Recorder::default());
    let error = handle.start(engine.clone(), chain(config)).unwrap_err();
    (error.to_string(), engine, handle)
}

fn message(call: &str, what: &str, reason: &str) -> String {
    format!(
        "consensus plugin misbehaving/1 ({}) {what} in {call}: {reason}; it takes no further part until the node is restarted",
        misbehaving().display()
    )
}

/// Where in the plugin's source a line holds this text.
fn place(text: &str) -> String {
    let source = include_str!("../../misbehaving/src/lib.rs");
    let line = source.lines().position(|line| line.contains(text)).unwrap() + 1;
    format!("consensus-plugins/misbehaving/src/lib.rs:{line}")
}

#[test]
fn a_panic_in_start() {
    let (error, engine, handle) = start_error("panic in start");
    let at = place("panic!(\"told to panic in start\")");
    assert_eq!(
        error,
        message("start", "panicked", &format!("told to panic in start at {at}"))
    );
    assert!(matches!(handle.status(), PluginStatus::Failed(failure) if failure.kind == FailureKind::Panic));
    assert!(engine.failures().is_empty(), "whoever called start knows");
    let again = handle.start(engine, chain("record")).unwrap_err();
    assert!(matches!(again, StartError::StartedBefore { .. }), "{again}");
}

#[test]
fn a_panic_that_says_nothing() {
    let (error, ..) = start_error("panic with a number");
    let at = place("panic_any(7_u32)");
    assert_eq!(
        error,
        message("start", "panicked", &format!("a panic without a message at {at}"))
    );
}

#[test]
fn a_refused_configuration() {
    let (error, _, handle) = start_error("refuse");
    assert_eq!(
        error,
        format!(
            "the consensus plugin misbehaving/1 ({}) refuses its configuration: `refuse` is no mode to run in; choose another",
            misbehaving().display()
        )
    );
    assert!(
        matches!(handle.status(), PluginStatus::Failed(failure) if failure.kind == FailureKind::Configuration)
    );
}

#[test]
fn a_plugin_that_wants_more_than_the_node_has() {
    let (error, ..) = start_error("want too much");
    assert_eq!(
        error,
        format!(
            "the consensus plugin misbehaving/1 ({}) refuses this node's ABI 1.0: the capability `telepathy/1` is missing; rebuild the plugin for this node, or run a node that offers what it needs",
            misbehaving().display()
        )
    );
}

#[test]
fn a_panic_in_deliver_whatever_the_event() {
    let events = [
        "block built",
        "verdict",
        "credit",
        "proposal",
        "head moved",
        "timer",
        "settled",
        "finalized",
        "work",
        "kv value",
        "kv stored",
    ];
    for event in events {
        let (handle, engine) = started(&format!("panic in deliver({event})"));
        handle.credit(3, 4);
        handle.proposal(block(8)).unwrap();
        handle.head_moved([1; 32], 1);
        handle.settled([1; 32], 1);
        handle.finalized([1; 32], 1);
        handle.work();
        let failure = failure(&engine, &handle);
        let at = place("panic!(\"told to panic in deliver({name})\")");
        let call = format!("deliver({event})");
        assert_eq!(
            failure.to_string(),
            message(
                &call,
                "panicked",
                &format!("told to panic in deliver({event}) at {at}")
            )
        );
        assert!(
            matches!(handle.stop(Duration::from_secs(1)), Err(StopError::Failed(_))),
            "it is not entered again"
        );
    }
}

#[test]
fn a_panic_in_stop() {
    let (handle, engine) = started("panic in stop");
    let error = handle.stop(Duration::from_secs(10)).unwrap_err();
    let at = place("panic!(\"told to panic in stop\")");
    assert_eq!(
        error.to_string(),
        message("stop", "panicked", &format!("told to panic in stop at {at}"))
    );
    assert_eq!(failure(&engine, &handle).call, "stop");
}

#[test]
fn a_panic_in_a_thread_of_the_plugin() {
    let (handle, engine) = {
        let handle = PluginHandle::load(spec(&misbehaving())).unwrap();
        let engine = Arc::new(Recorder::default());
        // The thread may panic before `start` is over, and then `start` fails.
        let _either = handle.start(engine.clone(), chain("panic in thread"));
        (handle, engine)
    };
    eventually("the plugin failed", || {
        matches!(handle.status(), PluginStatus::Failed(_))
    });
    let PluginStatus::Failed(failure) = handle.status() else {
        panic!("just seen")
    };
    let at = place("panic!(\"told to panic in a thread\")");
    assert_eq!(
        (failure.kind, failure.reason),
        (FailureKind::Panic, format!("told to panic in a thread at {at}"))
    );
    drop(engine);
}

#[test]
fn a_panic_in_a_thread_that_nobody_watches_ends_that_thread_alone() {
    let (handle, engine) = started("panic in bare thread");
    engine.wait_for_event("Timer");
    assert_eq!(handle.status(), PluginStatus::Healthy);
    handle.stop(Duration::from_secs(10)).unwrap();
}

#[test]
fn a_plugin_that_gives_up() {
    let (handle, engine) = started("give up");
    handle.credit(1, 1);
    let failure = failure(&engine, &handle);
    assert_eq!(
        failure.to_string(),
        message("deliver(credit)", "gave up", "told to give up")
    );
}

#[test]
fn a_slow_plugin_is_unhealthy_until_it_returns() {
    let handle = PluginHandle::load(PluginSpec {
        patience: Duration::from_millis(50),
        ..spec(&misbehaving())
    })
    .unwrap();
    let engine = Arc::new(Recorder::default());
    handle.start(engine.clone(), chain("sleep")).unwrap();
    handle.credit(1, 1);
    eventually(
        "unhealthy",
        || matches!(handle.status(), PluginStatus::Unhealthy { call: "deliver(credit)", for_how_long } if for_how_long >= Duration::from_millis(50)),
    );
    eventually("healthy again", || handle.status() == PluginStatus::Healthy);
    assert!(engine.failures().is_empty());
    handle.stop(Duration::from_secs(10)).unwrap();
    assert_eq!(handle.status(), PluginStatus::Stopped);
}

#[test]
fn a_plugin_that_never_returns_is_unhealthy_and_nobody_waits_for_it() {
    for rust in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let path = if rust {
            misbehaving()
        } else {
            c_plugin(folder.path(), "table", &["HANG"])
        };
        let handle = PluginHandle::load(PluginSpec {
            patience: Duration::from_millis(50),
            ..spec(&path)
        })
        .unwrap();
        let engine = Arc::new(Recorder::default());
        handle.start(engine, chain("hang")).unwrap();
        handle.credit(1, 1);
        eventually("unhealthy", || {
            matches!(
                handle.status(),
                PluginStatus::Unhealthy {
                    call: "deliver(credit)",
                    ..
                }
            )
        });
        for height in 0..10_000 {
            handle.credit(height, height);
            handle.settled([1; 32], height);
            handle.finalized([1; 32], height);
            handle.work();
        }
        let full = (0..65)
            .find_map(|fill| handle.proposal(block(fill)).err())
            .expect("proposals are bounded");
        assert_eq!(full.0, block(64), "the block comes back");
        let begun = Instant::now();
        let error = handle.stop(Duration::from_millis(100)).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5));
        let plugin = handle.info().consensus_id.as_str();
        assert_eq!(
            error.to_string(),
            format!(
                "the consensus plugin {plugin} has not returned from deliver(credit) within 100 ms of being stopped; everything else is stopped and what is acknowledged is durable, so the process leaves without it"
            )
        );
    }
}

fn bent(definitions: &[&str]) -> (PluginHandle, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = c_plugin(folder.path(), "table", definitions);
    // The file may go: what runs is the sealed copy.
    (PluginHandle::load(spec(&path)).unwrap(), path)
}

fn broke(path: &std::path::Path, call: &str, reason: &str) -> String {
    let path = path.display();
    format!(
        "consensus plugin bent/1 ({path}) broke the plugin ABI in {call}: {reason}; it takes no further part until the node is restarted"
    )
}

#[test]
fn a_number_that_is_no_status() {
    let (handle, path) = bent(&["STARTED=12345"]);
    let error = handle
        .start(Arc::new(Recorder::default()), chain(""))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        broke(&path, "start", "it returned 12345, which is not a status code")
    );

    let (handle, path) = bent(&["DELIVERED=-99"]);
    let engine = Arc::new(Recorder::default());
    handle.start(engine.clone(), chain("")).unwrap();
    handle.work();
    let failed = failure(&engine, &handle);
    assert_eq!(
        failed.to_string(),
        broke(
            &path,
            "deliver(work)",
            "it returned -99, which is not a status code"
        )
    );

    let (handle, path) = bent(&["STOPPED=77"]);
    handle.start(Arc::new(Recorder::default()), chain("")).unwrap();
    let error = handle.stop(Duration::from_secs(10)).unwrap_err();
    assert_eq!(
        error.to_string(),
        broke(&path, "stop", "it returned 77, which is not a status code")
    );
}

#[test]
fn a_status_that_the_call_may_not_return() {
    let (handle, path) = bent(&["STARTED=MILLRACE_AGAIN"]);
    let error = handle
        .start(Arc::new(Recorder::default()), chain(""))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        broke(
            &path,
            "start",
            "it returned AGAIN (1), which this call may not return"
        )
    );

    let (handle, path) = bent(&["DELIVERED=MILLRACE_E_CONFIG"]);
    let engine = Arc::new(Recorder::default());
    handle.start(engine.clone(), chain("")).unwrap();
    handle.work();
    let failed = failure(&engine, &handle);
    assert_eq!(
        failed.to_string(),
        broke(
            &path,
            "deliver(work)",
            "it returned E_CONFIG (-2), which this call may not return"
        )
    );
}

#[test]
fn a_failure_without_words_and_words_without_a_failure() {
    let (handle, path) = bent(&["STARTED=MILLRACE_E_FATAL"]);
    let error = handle
        .start(Arc::new(Recorder::default()), chain(""))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        format!(
            "consensus plugin bent/1 ({}) gave up in start: it gave no reason; see its log; it takes no further part until the node is restarted",
            path.display()
        )
    );
    let (handle, path) = bent(&["FATAL_IN_START"]);
    let error = handle
        .start(Arc::new(Recorder::default()), chain(""))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        format!(
            "consensus plugin bent/1 ({}) gave up in start: the moon is in the wrong house; it takes no further part until the node is restarted",
            path.display()
        )
    );
}

#[test]
fn two_plugins_in_one_process_do_not_know_each_other() {
    let (first, first_engine) = started("panic in deliver(credit)");
    let (second, second_engine) = started("record");
    let info: [&PluginInfo; 2] = [first.info(), second.info()];
    assert_eq!(info[0], info[1], "the same file, twice");
    first.credit(1, 1);
    failure(&first_engine, &first);
    second.credit(5, 6);
    second_engine.wait_for_event("Credit { blocks: 5, gas: 6 }");
    assert_eq!(second.status(), PluginStatus::Healthy);
    second.stop(Duration::from_secs(10)).unwrap();
}

#[test]
fn a_plugin_that_was_never_started_stops_at_once() {
    let (handle, _) = bent(&[]);
    handle.stop(Duration::ZERO).unwrap();
    assert_eq!(handle.status(), PluginStatus::Stopped);
    let error = handle
        .start(Arc::new(Recorder::default()), chain(""))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the consensus plugin bent/1 was started before; load it anew to start it again"
    );
}
