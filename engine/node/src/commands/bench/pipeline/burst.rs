//! More load than the chain can execute: a step that stays, and a burst that passes.
//!
//! Callers offer calls that compute, at a rate that is a multiple of what the workers can execute; a caller that is refused
//! offers the same call again. Blocks may hold ten times what is executed while consensus agrees on one. What is watched:
//! how far settlement and execution are behind, the rung, the pool, and the memory of the process.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use millrace_ledger::Ledger;
use millrace_mempool::PoolConfig;
use millrace_pipeline::pressure::Rung;
use millrace_pipeline::{Engine, EngineConfig, SubmitError};
use millrace_types::keys::SecretKey;
use millrace_types::{Address, ChainSpec};

use super::chain::{self, Consensus, StandIn, Voting};
use super::clock;
use super::overlap;
use super::plot::{Plot, Series};
use super::report::{Report, Table, progress};

/// Calls that are executed in a second; what a call computes is chosen for it.
const CAPACITY: f64 = 200.0;
const CALLERS: usize = 64;
/// Ten seconds' worth of calls: the pool's bound is what remains of a burst.
const POOL: usize = 10 * CAPACITY as usize;
/// Load before and after, over capacity; of the step; of the burst.
const USUAL: f64 = 0.5;
const STEP: f64 = 2.0;
const BURST: f64 = 10.0;
/// Before the load changes.
const LEAD: Duration = Duration::from_secs(5);
const SAMPLE: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_millis(5);
/// For the chain to come back to its usual state.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// C.
    pub consensus: Duration,
    /// Of the burst; the step takes half of it.
    pub overload: Duration,
}

/// What one run does.
struct Course {
    name: &'static str,
    title: String,
    /// Load over capacity after [`LEAD`].
    overload: f64,
    lasts: Duration,
}

/// How things stand at a moment.
#[derive(Clone, Copy)]
struct Sample {
    /// Since the start, in seconds.
    at: f64,
    offered: u64,
    taken: u64,
    executed: u64,
    pool: u64,
    /// h - s(F).
    lag: u64,
    /// Finalized blocks that are not executed.
    behind: u64,
    rung: Rung,
    resident_mib: f64,
}

impl Sample {
    fn is_usual(&self) -> bool {
        // Half a second of the usual load.
        (self.pool as f64) < CAPACITY * USUAL / 2.0 && self.rung == Rung::Open
    }
}

/// What came of a run.
struct Response {
    samples: Vec<Sample>,
    k: u64,
    max_lag: u64,
    refused: u64,
    blocks: u64,
    /// From the end of overload until the rung is open and the pool as before, and until the rung is open for the first time.
    recovery: f64,
    open: f64,
}

/// Callers and what they have done.
struct Traffic {
    keys: Vec<SecretKey>,
    contract: Address,
    rounds: u32,
    offered: AtomicU64,
    taken: AtomicU64,
    /// Calls a second, in thousandths.
    rate: AtomicU64,
    is_over: AtomicBool,
}

/// Measures everything.
///
/// # Errors
/// What failed, and every promise that was not kept.
pub fn measure(plan: &Plan) -> Result<Report, String> {
    let round = overlap::seconds_of_a_round(clock::cores())?;
    let rounds = (1.0 / CAPACITY / round).round().max(1.0) as u32;
    let courses = [
        Course {
            name: "pressure-step",
            title: format!("a step from {USUAL} to {STEP} times capacity"),
            overload: STEP,
            lasts: plan.overload / 2,
        },
        Course {
            name: "pressure-burst",
            title: format!("a burst of {BURST} times capacity"),
            overload: BURST,
            lasts: plan.overload,
        },
    ];
    let mut report = Report {
        title: "burst",
        notes: vec![format!(
            "Capacity is about {CAPACITY} calls a second; consensus waits {} ms on a block, which may hold ten times what is \
             executed meanwhile. Load is {USUAL} times capacity for {} s, then more, then {USUAL} again until the pool is as \
             before. The pool's bound is {POOL} transactions. Every call that was taken was executed once, in finalized blocks; an engine that \
             executes the same blocks strictly in turn came to the same receipts.",
            plan.consensus.as_millis(),
            LEAD.as_secs()
        )],
        tables: Vec::new(),
        plots: Vec::new(),
    };
    let mut table = Table::new(&[
        "load",
        "overload s",
        "offered",
        "refused",
        "executed",
        "executed/s",
        "blocks",
        "K",
        "max h-s(B)",
        "MiB before",
        "MiB most",
        "open after s",
        "recovered after s",
    ]);
    for course in &courses {
        progress(&format!("burst: {}", course.title));
        let response = run(plan, course, rounds)?;
        table.row(cells(course, &response));
        report.plots.extend(plots(course, &response));
    }
    report.tables.push(table);
    Ok(report)
}

fn cells(course: &Course, response: &Response) -> Vec<String> {
    let end = LEAD.as_secs_f64() + course.lasts.as_secs_f64();
    let before = response
        .samples
        .iter()
        .rfind(|sample| sample.at < LEAD.as_secs_f64());
    let during: Vec<&Sample> = response
        .samples
        .iter()
        .filter(|sample| (LEAD.as_secs_f64()..end).contains(&sample.at))
        .collect();
    let most = response
        .samples
        .iter()
        .map(|sample| sample.resident_mib)
        .fold(0.0, f64::max);
    let rate = match during[..] {
        [first, .., last] => (last.executed - first.executed) as f64 / (last.at - first.at),
        _ => 0.0,
    };
    let last = response.samples.last();
    vec![
        course.title.clone(),
        format!("{:.0}", course.lasts.as_secs_f64()),
        last.map_or(0, |sample| sample.offered).to_string(),
        response.refused.to_string(),
        last.map_or(0, |sample| sample.executed).to_string(),
        format!("{rate:.0}"),
        response.blocks.to_string(),
        response.k.to_string(),
        response.max_lag.to_string(),
        format!("{:.0}", before.map_or(0.0, |sample| sample.resident_mib)),
        format!("{most:.0}"),
        format!("{:.1}", response.open),
        format!("{:.1}", response.recovery),
    ]
}

fn plots(course: &Course, response: &Response) -> Vec<Plot> {
    let samples = &response.samples;
    let line = |name: &str, value: &dyn Fn(&Sample) -> f64| Series {
        name: name.to_owned(),
        is_dashed: false,
        points: samples.iter().map(|sample| (sample.at, value(sample))).collect(),
    };
    let per_second = |name: &str, count: fn(&Sample) -> u64| {
        // Over half a second: blocks come one at a time.
        let points = samples.windows(6).map(|window| {
            let (first, last) = (&window[0], &window[5]);
            (
                last.at,
                (count(last) - count(first)) as f64 / (last.at - first.at),
            )
        });
        Series {
            name: name.to_owned(),
            is_dashed: false,
            points: points.collect(),
        }
    };
    let bound = |name: &str, value: f64| Series {
        is_dashed: true,
        ..line(name, &|_| value)
    };
    let plot = |name, what: &str, y, series| Plot {
        name,
        title: format!("{what}: {}", course.title),
        x: "seconds",
        y,
        is_log: false,
        series,
    };
    let names = match course.name {
        "pressure-step" => ["pressure-step-lag", "pressure-step-rate", "pressure-step-memory"],
        _ => [
            "pressure-burst-lag",
            "pressure-burst-rate",
            "pressure-burst-memory",
        ],
    };
    vec![
        plot(
            names[0],
            "Lag and rung",
            "blocks; rung 0 to 3",
            vec![
                line("h - s(F)", &|sample| sample.lag as f64),
                line("finalized, not executed", &|sample| sample.behind as f64),
                line("rung", &|sample| sample.rung.level() as f64),
                bound("K", response.k as f64),
            ],
        ),
        plot(
            names[1],
            "Calls",
            "calls a second",
            vec![
                per_second("taken", |sample| sample.taken),
                per_second("executed", |sample| sample.executed),
                bound("capacity", CAPACITY),
            ],
        ),
        plot(
            names[2],
            "Memory",
            "MiB; transactions / 10",
            vec![
                line("resident memory", &|sample| sample.resident_mib),
                line("pool, transactions / 10", &|sample| sample.pool as f64 / 10.0),
            ],
        ),
    ]
}

fn chain_spec(plan: &Plan, keys: &[SecretKey]) -> ChainSpec {
    let mut spec = chain::spec(keys, chain::stand_in_spec());
    // Ten times what is executed while consensus agrees on a block.
    let calls = (BURST * CAPACITY * plan.consensus.as_secs_f64()).ceil().max(1.0);
    spec.limits.block_transactions = calls as u32;
    spec.limits.block_gas = calls as u64 * chain::CALL_GAS;
    spec
}

/// One run, watched and checked.
fn run(plan: &Plan, course: &Course, rounds: u32) -> Result<Response, String> {
    let keys = chain::keys(1 + CALLERS);
    let spec = chain_spec(plan, &keys);
    let config = EngineConfig {
        workers: clock::cores(),
        pool: PoolConfig {
            max_transactions: POOL,
            ..PoolConfig::default()
        },
        ..EngineConfig::default()
    };
    let ledger = Ledger::in_memory(&spec).map_err(|error| error.to_string())?;
    let engine = Engine::open(spec, ledger, config).map_err(|error| error.to_string())?;
    let contract = chain::deploy(&engine, &keys[0])?;
    let traffic = Traffic {
        keys: keys[1..].to_vec(),
        contract,
        rounds,
        offered: AtomicU64::new(0),
        taken: AtomicU64::new(0),
        rate: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    };
    let consensus = Consensus {
        voting: Voting::Waits,
        time: plan.consensus,
        ..chain::at_once()
    };
    let samples = thread::scope(|scope| {
        let offering = scope.spawn(|| offer(&engine, &traffic));
        let ordering = scope.spawn(|| order(&engine, consensus, &traffic));
        let samples = watch(&engine, &traffic, course);
        traffic.is_over.store(true, Ordering::SeqCst);
        let offered = offering.join().expect("the callers do not panic");
        let ordered = ordering.join().expect("the stand-in does not panic");
        offered.and(ordered).and(samples)
    })?;
    let response = judge(&engine, &traffic, course, samples);
    engine.stop();
    response
}

/// Offers calls at the rate that is asked for until told to end.
fn offer(engine: &Engine, traffic: &Traffic) -> Result<(), String> {
    let mut nonces = vec![0; traffic.keys.len()];
    let mut waiting = vec![None; traffic.keys.len()];
    let mut caller = 0;
    let (mut last, mut due) = (clock::now(), 0.0);
    while !traffic.is_over.load(Ordering::SeqCst) {
        thread::sleep(TICK);
        let now = clock::now();
        let rate = traffic.rate.load(Ordering::Relaxed) as f64 / 1e3;
        due += now.saturating_sub(last).as_secs_f64() * rate;
        last = now;
        while due >= 1.0 {
            due -= 1.0;
            caller = (caller + 1) % nonces.len();
            let (key, nonce) = (&traffic.keys[caller], &mut nonces[caller]);
            let call = waiting[caller]
                .take()
                .unwrap_or_else(|| chain::compute(key, *nonce, traffic.contract, traffic.rounds));
            traffic.offered.fetch_add(1, Ordering::Relaxed);
            match engine.submit_transaction(call.clone()) {
                Ok(_) => {
                    traffic.taken.fetch_add(1, Ordering::Relaxed);
                    *nonce += 1;
                }
                Err(SubmitError::Pool(_)) => waiting[caller] = Some(call),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
    Ok(())
}

/// Orders blocks until told to end, then until the chain is idle.
fn order(engine: &Engine, consensus: Consensus, traffic: &Traffic) -> Result<(), String> {
    let mut stand_in = StandIn::new(engine, consensus);
    loop {
        let is_over = traffic.is_over.load(Ordering::SeqCst);
        if stand_in.turn()?.is_some() {
            continue;
        }
        if is_over {
            return Ok(());
        }
        thread::sleep(TICK);
    }
}

/// Changes the load and takes samples, until the chain is as before.
fn watch(engine: &Engine, traffic: &Traffic, course: &Course) -> Result<Vec<Sample>, String> {
    let start = clock::now();
    let end = LEAD + course.lasts;
    let mut samples = Vec::new();
    loop {
        let at = clock::now().saturating_sub(start);
        let load = if (LEAD..end).contains(&at) {
            course.overload
        } else {
            USUAL
        };
        traffic
            .rate
            .store((load * CAPACITY * 1e3) as u64, Ordering::Relaxed);
        let sample = sample(engine, traffic, at);
        samples.push(sample);
        if at > end && sample.is_usual() {
            return Ok(samples);
        }
        if at > end + PATIENCE {
            return Err(format!("{}: not as before {PATIENCE:?} after it", course.title));
        }
        thread::sleep(SAMPLE);
    }
}

fn sample(engine: &Engine, traffic: &Traffic, at: Duration) -> Sample {
    let heights = engine.heights();
    Sample {
        at: at.as_secs_f64(),
        offered: traffic.offered.load(Ordering::Relaxed),
        taken: traffic.taken.load(Ordering::Relaxed),
        // The deployment is not a call.
        executed: engine.counters().transactions_executed.saturating_sub(1),
        pool: engine.pool().transactions,
        lag: heights.finalized.height.saturating_sub(heights.settled),
        behind: heights.finalized.height.saturating_sub(heights.executed.height),
        rung: engine.pressure().rung,
        resident_mib: clock::resident_mib(),
    }
}

/// Checks what was promised, and sums up.
fn judge(
    engine: &Engine,
    traffic: &Traffic,
    course: &Course,
    samples: Vec<Sample>,
) -> Result<Response, String> {
    let counters = engine.counters();
    let (k, executed) = (engine.spec().max_receipt_lag, counters.transactions_executed - 1);
    let (offered, taken) = (
        traffic.offered.load(Ordering::Relaxed),
        traffic.taken.load(Ordering::Relaxed),
    );
    if counters.max_lag > k {
        return Err(format!(
            "{}: h - s(B) came to {}, K is {k}",
            course.title, counters.max_lag
        ));
    }
    if executed != taken {
        return Err(format!(
            "{}: {taken} calls were taken, {executed} executed",
            course.title
        ));
    }
    chain::check_by_twin(engine)?;
    let end = LEAD.as_secs_f64() + course.lasts.as_secs_f64();
    let after = |is_it: fn(&Sample) -> bool| {
        let mut later = samples.iter().skip_while(|sample| sample.at <= end);
        later
            .find(|sample| is_it(sample))
            .map_or(f64::NAN, |sample| sample.at - end)
    };
    Ok(Response {
        recovery: after(Sample::is_usual),
        open: after(|sample| sample.rung == Rung::Open),
        k,
        max_lag: counters.max_lag,
        refused: offered - taken,
        blocks: counters.blocks_executed,
        samples,
    })
}
