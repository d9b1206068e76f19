//! The model: what a node says, put in order, with what became of it over time.
//!
//! It is computed from samples alone and reads no clock, so that a test can feed it any history. Every number of the
//! views is here; views only lay it out.

use std::collections::VecDeque;

use millrace_pipeline::TIMED_STAGES;
use millrace_rpc::shapes::Status;
use serde::Serialize;

use super::exposition::Exposition;

/// Points of history that are kept: what the widest view draws.
pub const HISTORY: usize = 240;
/// Rates are means over so many milliseconds: less jumps about with single blocks, more tells of the past.
const RATE_WINDOW_MS: u64 = 10_000;
/// The pressure ladder, from the lowest rung.
pub const RUNGS: [&str; 4] = ["open", "shrink", "delay", "empty"];

/// What a node answered at one time.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When, in milliseconds since any beginning.
    pub at_ms: u64,
    /// `millrace_status`.
    pub status: Status,
    /// `/metrics`; empty where a proxy keeps that page to itself.
    pub metrics: Exposition,
    /// K of the chain spec, where it is known.
    pub max_receipt_lag: Option<u64>,
}

/// Everything that is shown. Rates are for each second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Model {
    /// When the newest sample was taken; null before the first.
    pub at_ms: Option<u64>,
    /// Why the node does not answer; null while it does.
    pub lost: Option<String>,
    /// The chain and the program.
    pub chain: Chain,
    /// From the head to what light clients see.
    pub stages: Vec<Stage>,
    /// How long each stage of a block takes.
    pub timings: Vec<StageTiming>,
    /// How far settlement is behind finality.
    pub lag: Lag,
    /// Finalized blocks that wait for execution.
    pub queue: Queue,
    /// What gets done.
    pub throughput: Throughput,
    /// What proposers are told.
    pub pressure: Pressure,
    /// Transactions that wait.
    pub pool: Pool,
    /// The consensus plugin.
    pub plugin: Plugin,
    /// What else the engine counts.
    pub engine: EngineFacts,
    /// What an operator should look at, the worst first.
    pub alerts: Vec<Alert>,
    /// The newest points, the oldest first; at most [`HISTORY`].
    pub history: VecDeque<Point>,
    /// Totals within the window of rates.
    #[serde(skip)]
    window: VecDeque<Totals>,
}

/// The chain and the program.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Chain {
    /// The program's version.
    pub version: String,
    /// The chain's id.
    pub chain_id: u64,
    /// Consensus id.
    pub consensus: String,
    /// Hash of the genesis header.
    pub genesis_hash: String,
    /// Why the engine takes no more blocks.
    pub stopped: Option<String>,
}

/// A height, and how far it is behind the one before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stage {
    /// `head`, `finalized`, `executed` or `settled`.
    pub name: &'static str,
    /// Its height.
    pub height: u64,
    /// Blocks behind the stage before; 0 for the head.
    pub behind: u64,
    /// Blocks a second.
    pub blocks_per_second: Option<f64>,
}

/// How long a stage takes; null without `/metrics`, and until there are two samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StageTiming {
    /// One of [`TIMED_STAGES`].
    pub name: &'static str,
    /// Milliseconds of a block, the mean of those that it did in the window of rates; null where it did none.
    pub mean_ms: Option<f64>,
    /// Share of the time that it was busy, from 0 to 1.
    pub busy: Option<f64>,
}

/// How far settlement is behind finality.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Lag {
    /// h - s(B) of the newest finalized block.
    pub blocks: u64,
    /// The largest since the node started.
    pub largest: u64,
    /// K.
    pub limit: Option<u64>,
}

/// Finalized blocks that wait for execution.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Queue {
    /// Finalized and not executed.
    pub blocks: u64,
    /// Blocks that would be taken now.
    pub room: u64,
    /// The most since the node started.
    pub largest: u64,
    /// Age of the oldest.
    pub oldest_ms: u64,
}

/// What gets done, each second; null until there are two samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Throughput {
    /// Blocks executed.
    pub blocks: Option<f64>,
    /// Transactions executed.
    pub transactions: Option<f64>,
    /// Gas charged.
    pub gas: Option<f64>,
    /// Calls answered; null without `/metrics`.
    pub calls: Option<f64>,
    /// Transactions executed since the node started.
    pub transactions_total: u64,
}

/// What proposers are told.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// The rung by name.
    pub rung: String,
    /// Its number; [`RUNGS`].
    pub level: u64,
    /// Most gas for the next block.
    pub max_gas: u64,
    /// Most bytes for it.
    pub max_bytes: u64,
    /// Least time from its parent.
    pub min_interval_ms: u64,
    /// Block requests declined since the start.
    pub builds_declined: u64,
    /// Finalized blocks that were answered "again" since the start.
    pub submissions_refused: u64,
}

/// Transactions that wait.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pool {
    /// How many.
    pub transactions: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The consensus plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plugin {
    /// Name and version.
    pub name: String,
    /// `healthy`, or what is wrong.
    pub state: String,
}

/// What else the engine counts; null without `/metrics`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EngineFacts {
    /// States held.
    pub state_versions: Option<f64>,
    /// Bytes of their log.
    pub state_log_bytes: Option<f64>,
    /// Blocks executed ahead of their turn.
    pub speculations: Option<f64>,
    /// Of these, dropped.
    pub speculations_dropped: Option<f64>,
    /// Moves of the head that left a block behind.
    pub reorgs: Option<f64>,
    /// Blocks that they left behind.
    pub reorged_blocks: Option<f64>,
    /// Blocks executed again because a worker panicked.
    pub execution_fallbacks: Option<f64>,
}

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// How bad it is.
    pub level: Level,
    /// What it is, and what to do.
    pub text: String,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The node does not do its work.
    Failure,
    /// It may soon not.
    Warning,
}

/// One point of the curves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Point {
    /// When.
    pub at_ms: u64,
    /// Finalized height.
    pub finalized: u64,
    /// Executed height.
    pub executed: u64,
    /// Settled height.
    pub settled: u64,
    /// Settlement lag.
    pub lag: u64,
    /// Finalized blocks that wait.
    pub queue: u64,
    /// Number of the rung.
    pub rung: u64,
    /// Transactions in the pool.
    pub pool: u64,
    /// Transactions a second; 0 where it is not known.
    pub transactions_per_second: f64,
}

/// What rates are differences of.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Totals {
    at_ms: u64,
    heights: [u64; 4],
    blocks: u64,
    transactions: u64,
    gas: u64,
    calls: Option<f64>,
    /// Seconds and blocks of each of [`TIMED_STAGES`].
    stages: [Option<(f64, f64)>; TIMED_STAGES.len()],
}

impl Totals {
    fn of(sample: &Sample) -> Self {
        let (heights, counters) = (&sample.status.heights, &sample.status.counters);
        Self {
            at_ms: sample.at_ms,
            heights: [
                heights.pending,
                heights.finalized,
                heights.executed,
                heights.settled,
            ],
            blocks: counters.blocks_executed,
            transactions: counters.transactions_executed,
            gas: counters.gas_charged,
            calls: sample.metrics.sum("millrace_rpc_requests_total"),
            stages: TIMED_STAGES.map(|stage| {
                let total = |of: &str| {
                    let series = format!("millrace_stage_seconds_{of}{{stage=\"{stage}\"}}");
                    sample.metrics.value(&series)
                };
                Some((total("sum")?, total("count")?))
            }),
        }
    }

    /// Whether these can follow `earlier` in one life of a node.
    fn follows(&self, earlier: &Self) -> bool {
        self.at_ms > earlier.at_ms
            && self.blocks >= earlier.blocks
            && self.transactions >= earlier.transactions
            && self.gas >= earlier.gas
    }

    /// A difference for each second.
    fn per_second(&self, earlier: &Self, from: f64, to: f64) -> f64 {
        (to - from) * 1_000.0 / (self.at_ms - earlier.at_ms) as f64
    }

    /// What a stage took since.
    fn timing(&self, earlier: Option<&Self>, at: usize, name: &'static str) -> StageTiming {
        let since = earlier.and_then(|earlier| {
            let ((to, blocks_to), (from, blocks_from)) = (self.stages[at]?, earlier.stages[at]?);
            // Metrics and status are asked for one after the other: a node may have been started again in between.
            (to >= from && blocks_to >= blocks_from).then_some((earlier, from, to, blocks_to - blocks_from))
        });
        StageTiming {
            name,
            mean_ms: since
                .filter(|(.., blocks)| *blocks > 0.0)
                .map(|(_, from, to, blocks)| (to - from) * 1_000.0 / blocks),
            // What ends in the window may have begun before it.
            busy: since.map(|(earlier, from, to, _)| self.per_second(earlier, from, to).min(1.0)),
        }
    }
}

impl Model {
    /// Takes the next sample.
    pub fn take(&mut self, sample: &Sample) {
        let status = &sample.status;
        if self.chain.genesis_hash != status.genesis_hash.to_string() {
            *self = Self::default();
        }
        let totals = Totals::of(sample);
        if self.window.back().is_some_and(|last| !totals.follows(last)) {
            // The node was started again: differences to before mean nothing.
            self.window.clear();
        }
        self.window.push_back(totals);
        // The second is the base as long as it is old enough by itself.
        while self
            .window
            .get(1)
            .is_some_and(|next| totals.at_ms - next.at_ms >= RATE_WINDOW_MS)
        {
            self.window.pop_front();
        }
        self.at_ms = Some(sample.at_ms);
        self.lost = None;
        self.take_facts(sample);
        self.take_rates(&totals);
        self.alerts = self.judge();
        self.remember(sample.at_ms);
    }

    /// Notes that the node does not answer.
    pub fn lose(&mut self, why: String) {
        self.lost = Some(why);
        self.alerts = self.judge();
    }

    fn take_facts(&mut self, sample: &Sample) {
        let (status, metrics) = (&sample.status, &sample.metrics);
        let heights = &status.heights;
        self.chain = Chain {
            version: status.version.clone(),
            chain_id: status.chain_id,
            consensus: status.consensus.clone(),
            genesis_hash: status.genesis_hash.to_string(),
            stopped: status.stopped.clone(),
        };
        self.lag = Lag {
            blocks: status.lag,
            largest: status.max_lag,
            limit: sample.max_receipt_lag,
        };
        self.queue = Queue {
            blocks: heights.finalized.saturating_sub(heights.executed),
            room: status.pressure.credits_blocks,
            largest: status.counters.max_in_flight,
            oldest_ms: status.pressure.oldest_in_flight_ms,
        };
        let level = RUNGS.iter().position(|name| *name == status.pressure.rung);
        self.pressure = Pressure {
            rung: status.pressure.rung.clone(),
            // One that this build does not know is above those that it does.
            level: level.unwrap_or(RUNGS.len()) as u64,
            max_gas: status.pressure.max_gas,
            max_bytes: status.pressure.max_bytes,
            min_interval_ms: status.pressure.min_interval_ms,
            builds_declined: status.counters.builds_declined,
            submissions_refused: status.counters.submissions_refused,
        };
        self.pool = Pool {
            transactions: status.pool.transactions,
            bytes: status.pool.bytes,
        };
        self.plugin = Plugin {
            name: status.plugin.name.clone(),
            state: status.plugin.state.clone(),
        };
        self.engine = EngineFacts {
            state_versions: metrics.value("millrace_state_versions"),
            state_log_bytes: metrics.value("millrace_state_log_bytes"),
            speculations: metrics.value("millrace_speculations_total"),
            speculations_dropped: metrics.value("millrace_speculations_dropped_total"),
            reorgs: metrics.value("millrace_reorgs_total"),
            reorged_blocks: metrics.value("millrace_reorged_blocks_total"),
            execution_fallbacks: metrics.value("millrace_execution_fallbacks_total"),
        };
    }

    fn take_rates(&mut self, now: &Totals) {
        let base = self.window.front().filter(|base| base.at_ms < now.at_ms).copied();
        let rate = |of: fn(&Totals) -> f64| base.map(|base| now.per_second(&base, of(&base), of(now)));
        let calls = base.and_then(|base| Some(now.per_second(&base, base.calls?, now.calls?)));
        self.throughput = Throughput {
            blocks: rate(|totals| totals.blocks as f64),
            transactions: rate(|totals| totals.transactions as f64),
            gas: rate(|totals| totals.gas as f64),
            calls,
            transactions_total: now.transactions,
        };
        let names = ["head", "finalized", "executed", "settled"];
        let stage = |(at, name): (usize, &'static str)| Stage {
            name,
            height: now.heights[at],
            behind: now.heights[at.saturating_sub(1)].saturating_sub(now.heights[at]),
            blocks_per_second: base
                .map(|base| now.per_second(&base, base.heights[at] as f64, now.heights[at] as f64)),
        };
        self.stages = names.into_iter().enumerate().map(stage).collect();
        self.timings = TIMED_STAGES
            .iter()
            .enumerate()
            .map(|(at, name)| now.timing(base.as_ref(), at, name))
            .collect();
    }

    fn judge(&self) -> Vec<Alert> {
        let mut alerts = Vec::new();
        let mut say = |level, text: String| alerts.push(Alert { level, text });
        if let Some(why) = &self.lost {
            say(Level::Failure, format!("no answer from the node: {why}"));
        }
        if let Some(why) = &self.chain.stopped {
            say(Level::Failure, format!("the engine takes no more blocks: {why}"));
        }
        if !matches!(self.plugin.state.as_str(), "" | "healthy" | "loaded") {
            say(Level::Failure, format!("plugin: {}", self.plugin.state));
        }
        if self.engine.execution_fallbacks.is_some_and(|blocks| blocks > 0.0) {
            let text = "a worker panicked and blocks were executed again: a bug, please report it";
            say(Level::Warning, text.to_owned());
        }
        if self.lag.limit.is_some_and(|limit| self.lag.blocks >= limit) {
            let text = "settlement lag is at its limit: execution does not keep up with consensus";
            say(Level::Warning, text.to_owned());
        }
        if self.pressure.level > 0 {
            let rung = &self.pressure.rung;
            say(
                Level::Warning,
                format!("pressure: blocks are held back, rung {rung}"),
            );
        }
        alerts
    }

    fn remember(&mut self, at_ms: u64) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        let height = |at: usize| self.stages.get(at).map_or(0, |stage| stage.height);
        self.history.push_back(Point {
            at_ms,
            finalized: height(1),
            executed: height(2),
            settled: height(3),
            lag: self.lag.blocks,
            queue: self.queue.blocks,
            rung: self.pressure.level,
            pool: self.pool.transactions,
            transactions_per_second: self.throughput.transactions.unwrap_or(0.0),
        });
    }
}

#[cfg(test)]
mod tests;
