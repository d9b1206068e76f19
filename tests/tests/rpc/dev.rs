//! `millrace dev`: how it ends, and how a chain goes on.

use std::time::Instant;

use crate::process::{self, Running};

#[test]
fn a_number_of_blocks_is_reached_on_an_idle_chain() {
    let summary = Running::start(&["--blocks", "6", "--block-interval-ms", "10"]).summary();
    assert!(summary["blocks"].as_u64().unwrap() >= 6, "{summary}");
    assert_eq!(summary["transactions_executed"], 0);
}

#[test]
fn a_signal_ends_a_chain_in_order() {
    for signal in ["INT", "TERM"] {
        let chain = Running::start(&["--load", "counter", "--rate", "50", "--block-interval-ms", "20"]);
        chain.metrics_after(1);
        chain.signal(signal);
        let summary = chain.summary();
        assert!(
            summary["transactions_executed"].as_u64().unwrap() > 1,
            "{signal}: {summary}"
        );
    }
}

#[test]
fn a_chain_goes_on_where_it_was_with_a_load_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let arguments = [
        "--data-dir",
        path,
        "--seed",
        "5",
        "--load",
        "token",
        "--txs",
        "60",
        "--block-interval-ms",
        "20",
    ];
    let mut heights = vec![0];
    for _ in 0..3 {
        let summary = Running::start(&arguments).summary();
        // The load, a deployment, and a first balance for each account but the first.
        assert_eq!(summary["transactions_executed"], 60 + 1 + 9, "{summary}");
        let finalized = summary["heights"]["finalized"].as_u64().unwrap();
        assert!(finalized > *heights.last().unwrap(), "{heights:?}");
        heights.push(finalized);
    }
    let other = [
        "dev",
        "--data-dir",
        path,
        "--seed",
        "6",
        "--blocks",
        "1",
        "--rpc-listen",
        "127.0.0.1:0",
    ];
    let plugin = millrace_tests::program::solo_plugin();
    let refused = process::run(&[&other[..], &["--plugin", plugin.to_str().unwrap()]].concat());
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        errors.contains("this chain was started with other flags"),
        "{errors}"
    );
}

#[expect(clippy::disallowed_methods, reason = "a rate is transactions over time")]
fn now() -> Instant {
    Instant::now()
}

/// That it is not too slow, nobody can say of a machine that others use; that it is not too fast, of any.
#[test]
fn a_rate_is_kept() {
    const RATE: f64 = 100.0;
    // Each sends its first at once.
    const SENDERS: f64 = 10.0;
    let began = now();
    let chain = Running::start(&["--load", "transfer", "--rate", "100", "--block-interval-ms", "20"]);
    chain.metrics_after(150);
    chain.signal("TERM");
    let executed = chain.summary()["transactions_executed"].as_u64().unwrap();
    let took = began.elapsed();
    assert!(
        executed as f64 <= RATE * took.as_secs_f64() + SENDERS,
        "{executed} transactions in {took:?} at {RATE} a second"
    );
}

#[test]
fn logs_are_plain_text_where_nobody_looks() {
    let plugin = millrace_tests::program::solo_plugin();
    let arguments = [
        "dev",
        "--txs",
        "0",
        "--log",
        "info",
        "--rpc-listen",
        "127.0.0.1:0",
    ];
    let ended = process::run(&[&arguments[..], &["--plugin", plugin.to_str().unwrap()]].concat());
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(errors.contains(" INFO "), "{errors}");
    assert!(!errors.contains('\x1b'), "{errors:?}");
}

/// A guest's memory is a reservation of 4 GiB: with less, no contract can run.
#[test]
fn an_engine_that_stops_while_a_load_is_prepared_ends_the_command_with_its_reason() {
    let program = millrace_tests::program::millrace();
    let plugin = millrace_tests::program::solo_plugin();
    let script = "ulimit -v 4000000 && exec \"$0\" dev --plugin \"$1\" --load token --rpc-listen 127.0.0.1:0";
    let ended = std::process::Command::new("sh")
        .args(["-c", script])
        .args([program, plugin])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("millrace: the engine stopped: NodeFault: "),
        "{errors}"
    );
}
