//! Metrics: what there is, what it means, and the page that shows it. `docs/metrics.md` is the same table for people.
//!
//! Most are recorded where they happen; the rest are read from the engine when somebody asks for the page, so that
//! nothing is paid for them otherwise.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use millrace_jit::{CodeCache, CodeCacheStatistics, CompilerStatistics};
use millrace_pipeline::{Engine, EngineStatus, TIMED_STAGES};

use crate::failure::Failure;

/// Upper bounds of the buckets of times, in seconds.
const SECONDS: [f64; 10] = [0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0];
/// Histograms with their meaning. All are of times.
const HISTOGRAMS: [(&str, &str); 2] = [
    (
        "millrace_rpc_request_seconds",
        "Seconds that calls took, by method",
    ),
    (
        "millrace_stage_seconds",
        "Seconds that stages took for a block, by stage",
    ),
];
/// How often recorded times are put into their buckets while nobody asks for the page.
const UPKEEP: Duration = Duration::from_secs(5);

/// How many of [`COUNTERS`] have no labels: the first ones, which are there from the start.
const WITHOUT_LABELS: usize = 13;
/// Counters with their meaning.
const COUNTERS: [(&str, &str); 18] = [
    (
        "millrace_transactions_executed_total",
        "Transactions of blocks that were executed and whose receipts are durable",
    ),
    (
        "millrace_submissions_refused_total",
        "Finalized blocks that were answered \"again\" for want of a credit",
    ),
    (
        "millrace_blocks_executed_total",
        "Blocks that were executed and whose receipts are durable, on any branch",
    ),
    (
        "millrace_gas_charged_total",
        "Gas that executed transactions paid for",
    ),
    (
        "millrace_builds_declined_total",
        "Block requests of consensus that were declined for the moment",
    ),
    (
        "millrace_reorgs_total",
        "Moves of the head that left a block behind",
    ),
    ("millrace_reorged_blocks_total", "Blocks that they left behind"),
    (
        "millrace_speculations_total",
        "Blocks executed ahead of their turn",
    ),
    (
        "millrace_speculations_dropped_total",
        "Of these, blocks whose results were dropped before they counted",
    ),
    (
        "millrace_execution_attempts_total",
        "Attempts at transactions of blocks that several workers executed",
    ),
    (
        "millrace_execution_waits_total",
        "Of these, given up to wait for an earlier transaction",
    ),
    (
        "millrace_execution_fallbacks_total",
        "Blocks executed again in order because a worker panicked",
    ),
    (
        "millrace_programs_warmed_total",
        "Programs of contracts, loaded before the block that calls them was executed",
    ),
    ("millrace_rpc_requests_total", "Calls, by method and outcome"),
    (
        "millrace_rpc_refused_total",
        "Requests refused because of who sent them, by the limit that they passed",
    ),
    (
        "millrace_code_cache_files_total",
        "Files of the code cache, by what became of them",
    ),
    (
        "millrace_compiler_events_total",
        "What the background compiler did and was asked for, by event",
    ),
    (
        "millrace_compiler_cpu_microseconds_total",
        "CPU time of the background compiler",
    ),
];

/// Gauges with their meaning.
const GAUGES: [(&str, &str); 15] = [
    ("millrace_head_height", "The block that new work builds on"),
    (
        "millrace_finalized_height",
        "Newest finalized block that is durable here",
    ),
    (
        "millrace_executed_height",
        "Newest block of the head chain whose receipt is durable here",
    ),
    (
        "millrace_settled_height",
        "Newest height whose receipt a finalized header commits to",
    ),
    (
        "millrace_settlement_lag",
        "Blocks between the finalized height and what it settles",
    ),
    (
        "millrace_settlement_lag_max",
        "Largest settlement lag since the start, in blocks",
    ),
    (
        "millrace_pressure_rung",
        "Rung of the pressure ladder; 0 is no pressure",
    ),
    (
        "millrace_credits_blocks",
        "Finalized blocks that would be taken now",
    ),
    (
        "millrace_oldest_in_flight_seconds",
        "Age of the oldest finalized block that is not executed",
    ),
    ("millrace_pool_transactions", "Transactions in the pool"),
    (
        "millrace_pool_bytes",
        "Canonical bytes of the transactions in the pool",
    ),
    ("millrace_state_versions", "Versions of the state that are held"),
    ("millrace_state_log_bytes", "Bytes that states take on the disk"),
    (
        "millrace_state_pruning_lag",
        "Blocks of which states are on the disk and not held any more",
    ),
    (
        "millrace_stopped",
        "1 when the engine takes no more blocks, else 0",
    ),
];

/// Installs the process's recorder and describes every metric. Counters start at 0, so that an absent one means an
/// older node and not that nothing happened.
///
/// # Errors
/// When the process has a recorder already.
pub fn install() -> Result<PrometheusHandle, Failure> {
    let with_buckets = HISTOGRAMS
        .iter()
        .try_fold(PrometheusBuilder::new(), |builder, (name, _)| {
            builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), &SECONDS)
        });
    let handle = with_buckets
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| Failure::new(format!("metrics: {error}")))?;
    for (name, meaning) in COUNTERS {
        metrics::describe_counter!(name, meaning);
    }
    for (name, meaning) in GAUGES {
        metrics::describe_gauge!(name, meaning);
    }
    for (name, meaning) in HISTOGRAMS {
        metrics::describe_histogram!(name, meaning);
    }
    for stage in TIMED_STAGES {
        // To be there from the start; nothing is recorded.
        let _registered = metrics::histogram!("millrace_stage_seconds", "stage" => stage);
    }
    for (name, _) in &COUNTERS[..WITHOUT_LABELS] {
        metrics::counter!(*name).increment(0);
    }
    for limit in ["rate", "concurrency", "connections"] {
        metrics::counter!("millrace_rpc_refused_total", "limit" => limit).increment(0);
    }
    Ok(handle)
}

/// Keeps what is recorded small while nobody asks for the page. Ends with the runtime.
pub fn keep_up(handle: PrometheusHandle) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            handle.run_upkeep();
        }
    });
}

/// The page.
pub fn page(handle: &PrometheusHandle, engine: &Engine, code_cache: Option<&CodeCache>) -> String {
    let (heights, counters) = (engine.heights(), engine.counters());
    let (pressure, pool) = (engine.pressure(), engine.pool());
    let is_stopped = matches!(engine.status(), EngineStatus::Stopped { .. });
    let states = engine.states();
    let gauges: [(&str, f64); 15] = [
        ("millrace_head_height", heights.head.height as f64),
        ("millrace_finalized_height", heights.finalized.height as f64),
        ("millrace_executed_height", heights.executed.height as f64),
        ("millrace_settled_height", heights.settled as f64),
        (
            "millrace_settlement_lag",
            (heights.finalized.height - heights.settled) as f64,
        ),
        ("millrace_settlement_lag_max", counters.max_lag as f64),
        ("millrace_pressure_rung", pressure.rung.level() as f64),
        ("millrace_credits_blocks", pressure.credits_blocks as f64),
        (
            "millrace_oldest_in_flight_seconds",
            pressure.oldest_in_flight_ms as f64 / 1e3,
        ),
        ("millrace_pool_transactions", pool.transactions as f64),
        ("millrace_pool_bytes", pool.bytes as f64),
        ("millrace_state_versions", states.versions as f64),
        ("millrace_state_log_bytes", states.log_bytes as f64),
        (
            "millrace_state_pruning_lag",
            states.oldest_height.saturating_sub(states.log_oldest_height) as f64,
        ),
        ("millrace_stopped", f64::from(u8::from(is_stopped))),
    ];
    for (name, value) in gauges {
        metrics::gauge!(name).set(value);
    }
    let totals = [
        ("millrace_blocks_executed_total", counters.blocks_executed),
        ("millrace_gas_charged_total", counters.gas_charged),
        ("millrace_builds_declined_total", counters.builds_declined),
        ("millrace_reorgs_total", counters.reorgs),
        ("millrace_speculations_total", counters.speculations),
        (
            "millrace_speculations_dropped_total",
            counters.speculations_dropped,
        ),
    ];
    for (name, total) in totals {
        metrics::counter!(name).absolute(total);
    }
    let files = code_cache.map_or_else(CodeCacheStatistics::default, CodeCache::statistics);
    for (outcome, total) in [
        ("hit", files.hits),
        ("miss", files.misses),
        ("rejected", files.rejected),
        ("stored", files.stored),
        ("failed", files.failed),
        ("evicted", files.evicted),
    ] {
        metrics::counter!("millrace_code_cache_files_total", "outcome" => outcome).absolute(total);
    }
    let compiler = CompilerStatistics::now();
    for (event, total) in [
        ("asked", compiler.asked),
        ("passed_by", compiler.passed_by),
        ("displaced", compiler.displaced),
        ("batch", compiler.batches),
        ("over_size", compiler.over_size),
        ("over_time", compiler.over_time),
    ] {
        metrics::counter!("millrace_compiler_events_total", "event" => event).absolute(total);
    }
    metrics::counter!("millrace_compiler_cpu_microseconds_total").absolute(compiler.cpu_us);
    handle.render()
}
