use std::path::Path;

use millrace_rpc::shapes::{CountersView, HeightsView, PluginView, PoolView, PressureView};
use millrace_types::Hash;
use serde_json::{Value, json};

use super::*;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/watch/golden.json");

fn status(step: u64) -> Status {
    Status {
        version: "0.1.0".to_owned(),
        chain_id: 7,
        chain_spec_hash: Hash([1; 32]),
        genesis_hash: Hash([2; 32]),
        consensus: "solo/1".to_owned(),
        heights: HeightsView {
            finalized: 10 + 5 * step,
            executed: 9 + 5 * step,
            settled: 7 + 5 * step,
            safe: 9 + 5 * step,
            pending: 11 + 5 * step,
        },
        lag: 3,
        max_lag: 4,
        pressure: PressureView {
            rung: "open".to_owned(),
            credits_blocks: 15,
            max_gas: 1_000,
            max_bytes: 2_000,
            min_interval_ms: 200,
            oldest_in_flight_ms: 30,
        },
        pool: PoolView {
            transactions: 3 * step,
            bytes: 300 * step,
        },
        plugin: PluginView {
            name: "solo/1 0.1.0".to_owned(),
            state: "healthy".to_owned(),
        },
        counters: CountersView {
            blocks_finalized: 10 + 5 * step,
            blocks_executed: 9 + 5 * step,
            transactions_executed: 700 * step,
            gas_charged: 21_000 * 700 * step,
            max_in_flight: 2,
            submissions_refused: 0,
            builds_declined: step,
        },
        stopped: None,
    }
}

fn page(step: u64) -> String {
    format!(
        "# TYPE millrace_reorgs_total counter\nmillrace_reorgs_total 1\nmillrace_state_log_bytes {}\n\
         millrace_rpc_requests_total{{method=\"millrace_status\",outcome=\"ok\"}} {step}\n\
         millrace_rpc_requests_total{{method=\"millrace_call\",outcome=\"error\"}} {step}\n{}",
        4096 * step,
        stage_times(step)
    )
}

/// Five blocks a step: 20 ms each of execution, 4 ms of the root; nothing is persisted, and keeping takes all the time.
fn stage_times(step: u64) -> String {
    let stages = [
        ("execute", 0.1, 5),
        ("root", 0.02, 5),
        ("persist", 0.0, 0),
        ("keep", 1.5, 1),
    ];
    stages
        .map(|(stage, seconds, blocks)| {
            format!(
                "millrace_stage_seconds_bucket{{stage=\"{stage}\",le=\"0.1\"}} {blocks}\n\
                 millrace_stage_seconds_sum{{stage=\"{stage}\"}} {}\n\
                 millrace_stage_seconds_count{{stage=\"{stage}\"}} {}\n",
                seconds * step as f64,
                blocks * step
            )
        })
        .concat()
}

fn sample_of(at_ms: u64, status: Status, page: &str) -> Sample {
    Sample {
        at_ms,
        status,
        metrics: Exposition::parse(page),
        max_receipt_lag: Some(4),
    }
}

fn sample(step: u64) -> Sample {
    sample_of(1_000 * step, status(step), &page(step))
}

#[test]
fn one_sample_has_heights_and_no_rates() {
    let mut model = Model::default();
    model.take(&sample(1));
    let stages: Vec<_> = model
        .stages
        .iter()
        .map(|stage| (stage.name, stage.height, stage.behind))
        .collect();
    assert_eq!(
        stages,
        [
            ("head", 16, 0),
            ("finalized", 15, 1),
            ("executed", 14, 1),
            ("settled", 12, 2)
        ]
    );
    assert_eq!(model.throughput.transactions, None);
    assert_eq!((model.lag.blocks, model.lag.limit), (3, Some(4)));
    assert_eq!((model.queue.blocks, model.queue.room), (1, 15));
    assert_eq!(model.engine.reorgs, Some(1.0));
    assert_eq!(model.alerts, []);
}

#[test]
fn rates_are_means_over_the_last_ten_seconds() {
    let mut model = Model::default();
    for step in 0..20 {
        model.take(&sample(step));
    }
    assert_eq!(model.throughput.transactions, Some(700.0));
    assert_eq!(model.throughput.blocks, Some(5.0));
    assert_eq!(model.throughput.calls, Some(2.0));
    assert_eq!(model.stages[3].blocks_per_second, Some(5.0));
    // Nothing more is done: after the window, nothing of before is seen.
    for step in 20..31 {
        model.take(&sample_of(1_000 * step, status(19), &page(19)));
    }
    assert_eq!(model.throughput.transactions, Some(0.0));
}

#[test]
fn stages_are_timed_by_what_they_did_in_the_window() {
    let mut model = Model::default();
    model.take(&sample(0));
    assert!(
        model
            .timings
            .iter()
            .all(|timing| timing.busy.is_none() && timing.mean_ms.is_none())
    );
    for step in 1..20 {
        model.take(&sample(step));
    }
    let found: Vec<_> = model
        .timings
        .iter()
        .map(|timing| {
            let rounded = |value: f64| (value * 1e6).round() / 1e6;
            (timing.name, timing.mean_ms.map(rounded), timing.busy.map(rounded))
        })
        .collect();
    assert_eq!(
        found,
        [
            ("execute", Some(20.0), Some(0.1)),
            ("root", Some(4.0), Some(0.02)),
            ("persist", None, Some(0.0)),
            ("keep", Some(1_500.0), Some(1.0)),
        ]
    );
    // Metrics of a node that was started again, asked for after the status of the one before.
    model.take(&sample_of(20_000, status(20), &page(1)));
    assert!(
        model
            .timings
            .iter()
            .all(|timing| timing.name == "persist" || timing.busy.is_none())
    );
    model.take(&sample_of(21_000, status(21), ""));
    assert!(
        model
            .timings
            .iter()
            .all(|timing| timing.busy.is_none() && timing.mean_ms.is_none())
    );
}

#[test]
fn history_is_bounded_and_keeps_the_newest() {
    let mut model = Model::default();
    for step in 0..HISTORY as u64 + 10 {
        model.take(&sample(step));
    }
    assert_eq!(model.history.len(), HISTORY);
    assert_eq!(model.history.back().unwrap().at_ms, 1_000 * (HISTORY as u64 + 9));
    assert_eq!(model.history.front().unwrap().at_ms, 10_000);
}

#[test]
fn a_node_that_was_started_again_has_no_rates_of_before() {
    let mut model = Model::default();
    model.take(&sample(5));
    model.take(&sample(6));
    assert!(model.throughput.transactions.is_some());
    model.take(&sample_of(7_000, status(1), &page(1)));
    assert_eq!(model.throughput.transactions, None);
    assert_eq!(model.history.len(), 3, "what was drawn stays");
}

#[test]
fn another_chain_is_another_model() {
    let mut model = Model::default();
    model.take(&sample(5));
    let mut other = status(6);
    other.genesis_hash = Hash([3; 32]);
    model.take(&sample_of(6_000, other, ""));
    assert_eq!(model.history.len(), 1);
    assert_eq!(model.engine.reorgs, None);
    assert_eq!(model.throughput.calls, None);
}

#[test]
fn what_is_wrong_is_said_the_worst_first() {
    let mut model = Model::default();
    let mut bad = status(1);
    bad.lag = 4;
    bad.pressure.rung = "delay".to_owned();
    bad.plugin.state = "unhealthy: start has not returned for 6000 ms".to_owned();
    bad.stopped = Some("disk full".to_owned());
    model.take(&sample_of(1_000, bad, "millrace_execution_fallbacks_total 1\n"));
    model.lose("connection refused".to_owned());
    assert_eq!(model.alerts.len(), 6);
    assert!(model.alerts.is_sorted_by_key(|alert| alert.level));
    assert_eq!(
        model.alerts[0].text,
        "no answer from the node: connection refused"
    );
    assert_eq!(model.pressure.level, 2);
    model.take(&sample(2));
    assert_eq!(model.alerts, [], "what has passed is not said any more");
}

/// Samples in the order of `golden.json`: two of a node that works, one under pressure, one of a node that was started
/// again without metrics, and one after it.
fn golden_samples() -> Vec<(u64, Status, String, Option<u64>)> {
    let mut pressed = status(3);
    pressed.lag = 4;
    pressed.heights.executed = 20;
    pressed.pressure.rung = "shrink".to_owned();
    let mut restarted = status(0);
    restarted.plugin.state = "loaded".to_owned();
    vec![
        (1_000, status(1), page(1), Some(4)),
        (2_030, status(2), page(2), Some(4)),
        (3_000, pressed, page(3), Some(4)),
        (9_000, restarted, String::new(), None),
        (10_700, status(1), page(1), Some(4)),
    ]
}

/// The page that a node serves is held to the same file, in `tests/tests/rpc/dashboard.rs`. After a change that is meant,
/// `MILLRACE_BLESS=1 cargo test -p millrace golden` writes it anew.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "whether to write the file comes from whoever runs the test"
)]
fn the_model_of_the_golden_samples_is_the_golden_one() {
    let mut model = Model::default();
    let mut models = Vec::new();
    let mut samples = Vec::new();
    for (at_ms, status, page, limit) in golden_samples() {
        let mut taken = sample_of(at_ms, status.clone(), &page);
        taken.max_receipt_lag = limit;
        model.take(&taken);
        models.push(serde_json::to_value(&model).unwrap());
        samples.push(json!({ "at_ms": at_ms, "status": status, "metrics": page, "max_receipt_lag": limit }));
    }
    let found = json!({ "samples": samples, "models": models });
    if std::env::var("MILLRACE_BLESS").is_ok() {
        std::fs::write(Path::new(GOLDEN), format!("{found:#}\n")).unwrap();
    }
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(GOLDEN).unwrap()).unwrap();
    assert_eq!(found, golden);
}
