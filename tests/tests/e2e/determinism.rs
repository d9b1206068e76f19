//! One load, one root: whatever the commitment option, the pace, the lag allowed, pipelining or not, fast or slow.

use serde_json::Value;

use crate::chain::Chain;
use crate::is_long;

/// Blocks that take three times as long to execute as to order.
const SLOW: [&str; 4] = ["--slow-execution", "60", "--block-interval-ms", "20"];

/// Transactions of a load: what the issue asks for in the long run.
fn count() -> u64 {
    if is_long() { 5_000 } else { 600 }
}

/// Transactions that a load sends before it begins: a deploy, then what creates the slots that it writes.
fn preparation(load: &str) -> u64 {
    match load {
        "transfer" => 0,
        "token" => 1 + 9,
        "counter" => 1 + 1,
        "hash" => 1,
        other => panic!("no load {other}"),
    }
}

/// Runs a load to its end and checks what is true of every run; answers the summary.
fn run(load: &str, seed: u64, arguments: &[&str]) -> Value {
    let (txs, seed) = (count().to_string(), seed.to_string());
    let base = ["--txs", &txs, "--load", load, "--seed", &seed];
    let summary = Chain::start(&[&base, arguments].concat()).finish();
    let number = |name: &str| {
        let value = &summary[name];
        value
            .as_u64()
            .unwrap_or_else(|| panic!("{name} is a number: {summary}"))
    };
    println!(
        "{load} seed {seed} {arguments:?}: {} transactions in {} blocks, root {}, lag {} of {}, in flight {}, declined {}",
        number("transactions_executed"),
        number("blocks"),
        summary["last_root"],
        number("max_lag"),
        number("max_receipt_lag"),
        number("max_in_flight"),
        number("builds_declined"),
    );
    assert_eq!(
        number("transactions_executed"),
        count() + preparation(load),
        "each once: {summary}"
    );
    assert!(
        (1..=number("max_receipt_lag")).contains(&number("max_lag")),
        "{summary}"
    );
    let heights = &summary["heights"];
    assert_eq!(heights["executed"], summary["blocks"], "{summary}");
    assert!(
        heights["settled"].as_u64() >= Some(1),
        "its blocks are settled: {summary}"
    );
    summary
}

fn root(summary: &Value) -> String {
    summary["last_root"].as_str().expect("a root").to_owned()
}

/// Every way of running gives the root of the plain one.
fn all_agree(load: &str, ways: &[&[&str]]) {
    let expected = root(&run(load, 7, &[]));
    for way in ways {
        assert_eq!(root(&run(load, 7, way)), expected, "{load} {way:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_root_and_another_seed_another() {
    let first = run("token", 7, &[]);
    let again = run("token", 7, &[]);
    assert_eq!(root(&first), root(&again));
    assert_ne!(root(&first), root(&run("token", 8, &[])));
}

#[test]
fn the_root_does_not_depend_on_the_commitment_option_or_on_pipelining() {
    all_agree(
        "token",
        &[
            &["--commitment", "a"],
            &["--pipelining", "off"],
            &["--commitment", "a", "--pipelining", "off"],
        ],
    );
}

#[test]
fn the_root_does_not_depend_on_the_lag_allowed_or_on_the_pace() {
    all_agree(
        "token",
        &[
            &["--max-receipt-lag", "1", "--block-interval-ms", "50"],
            &["--max-receipt-lag", "2", "--block-interval-ms", "20"],
            &["--max-receipt-lag", "4", "--block-interval-ms", "5"],
            &["--block-interval-ms", "500"],
            &["--rate", "2000"],
        ],
    );
}

/// Execution that cannot keep up fills the pipeline and slows proposals down; every transaction still gets in, and
/// the lag reaches K without passing it.
#[test]
fn a_slow_executor_slows_proposals_down_and_loses_nothing() {
    let expected = root(&run("token", 7, &[]));
    for way in [
        &[][..],
        &["--commitment", "a"],
        &["--max-receipt-lag", "1"],
        &["--max-receipt-lag", "2"],
        &["--queue-blocks", "4", "--max-receipt-lag", "2"],
    ] {
        let summary = run("token", 7, &[&SLOW, way].concat());
        assert_eq!(root(&summary), expected, "{way:?}");
        assert!(
            summary["builds_declined"].as_u64() > Some(0) || summary["max_lag"] == summary["max_receipt_lag"],
            "the pipeline was full: {summary}"
        );
    }
}

#[test]
fn every_load_has_one_root() {
    for load in ["transfer", "counter", "hash"] {
        all_agree(
            load,
            &[
                &["--commitment", "a", "--pipelining", "off"],
                &["--block-interval-ms", "20", "--max-receipt-lag", "2"],
                &SLOW,
            ],
        );
    }
}
