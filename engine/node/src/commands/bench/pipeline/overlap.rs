//! What overlapping consensus with execution brings: the time of a block in turn and pipelined, beside what is possible.
//!
//! All ways of running execute the same transactions in blocks of the same size, and come to the same root. What consensus
//! (C) and execution (E) take is measured where they run in turn. No pipeline can be faster than the slower of the two, nor
//! than all processor time over the cores: so the block period is at least max(C, E, CPU / cores).
//!
//! With K = 1 block N+1 carries the receipt of N, so it is proposed when N is executed and its receipt durable. Without
//! speculation N is executed when it is decided, so nothing overlaps: the period is at least C + E. With speculation the
//! vote on N and its execution begin together; what is left behind the later of the two is writing block, certificate and
//! receipt: D. The period is at least max(C, E - D) + D. D is what an empty block takes from its decision to its receipt.

use std::time::Duration;

use millrace_ledger::Ledger;
use millrace_pipeline::{Engine, EngineConfig};
use millrace_types::{Address, Hash};

use super::chain::{self, Consensus, StandIn, Voting};
use super::clock;
use super::plot::{Plot, Series};
use super::report::{Report, Table, progress};

/// Transactions of a block: enough that all workers execute it together.
const CALLS: usize = 40;
/// Blocks at the start of a run that do not count, while the pipeline fills.
const WARM: usize = 3;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// C.
    pub consensus: Duration,
    /// E / C.
    pub ratios: Vec<f64>,
    /// Only ways of consensus whose name has this in it.
    pub named: String,
    /// Of a run.
    pub seconds: f64,
    /// Runs of each kind, of which the least times count: whatever else the machine does only ever adds.
    pub repeats: u16,
}

/// How consensus spends its time, and on how many workers blocks are executed.
#[derive(Clone, Copy, Debug)]
struct Setting {
    name: &'static str,
    voting: Voting,
    workers: usize,
    /// K = 1 is measured too.
    with_one: bool,
}

/// One way of running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    InTurn,
    Pipelined,
    /// K = 1, with speculation or without.
    One {
        speculation: bool,
    },
}

/// What calls take here.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Seconds of a block of calls that do nothing.
    least: f64,
    /// Seconds for each round of hashing in every call.
    round: f64,
    /// D: seconds of a block without transactions.
    durable: f64,
}

/// Means over the blocks of a run, in seconds.
#[derive(Clone, Copy, Debug)]
struct Run {
    period: f64,
    consensus: f64,
    /// From decision to receipt; of a run in turn.
    execution: f64,
    cpu: f64,
    root: Hash,
}

impl Setting {
    /// What is measured, in this order.
    fn ways(&self) -> &'static [Way] {
        const WAYS: [Way; 4] = [
            Way::InTurn,
            Way::Pipelined,
            Way::One { speculation: true },
            Way::One { speculation: false },
        ];
        if self.with_one { &WAYS } else { &WAYS[..2] }
    }
}

impl Run {
    fn least(&self, other: &Self) -> Self {
        Self {
            period: self.period.min(other.period),
            consensus: self.consensus.min(other.consensus),
            execution: self.execution.min(other.execution),
            cpu: self.cpu.min(other.cpu),
            root: self.root,
        }
    }
}

struct Point {
    ratio: f64,
    in_turn: Run,
    pipelined: Run,
    /// With speculation, without.
    one: Option<(Run, Run)>,
}

impl Point {
    fn measured_ratio(&self) -> f64 {
        self.in_turn.execution / self.in_turn.consensus
    }

    fn both(&self) -> f64 {
        self.in_turn.consensus + self.in_turn.execution
    }

    fn gain(&self, run: &Run) -> f64 {
        self.in_turn.period / run.period
    }

    /// The least period that a pipeline can have.
    fn least(&self) -> f64 {
        let Run {
            consensus,
            execution,
            cpu,
            ..
        } = self.in_turn;
        consensus.max(execution).max(cpu / clock::cores() as f64)
    }

    /// Likewise with K = 1 and speculation.
    fn least_with_one(&self, durable: f64) -> f64 {
        let Run {
            consensus, execution, ..
        } = self.in_turn;
        (consensus.max(execution - durable) + durable).max(self.least())
    }

    fn ceiling(&self) -> f64 {
        self.both() / self.in_turn.consensus.max(self.in_turn.execution)
    }

    fn efficiency(&self) -> f64 {
        self.least() / self.pipelined.period
    }
}

/// Measures everything.
///
/// # Errors
/// What failed, and roots that differ.
pub fn measure(plan: &Plan) -> Result<Report, String> {
    let cores = clock::cores();
    let spared = cores.saturating_sub(1).max(1);
    let settings = [
        Setting {
            name: "waits",
            voting: Voting::Waits,
            workers: cores,
            with_one: true,
        },
        Setting {
            name: "computes, a core of its own",
            voting: Voting::Computes,
            workers: spared,
            with_one: false,
        },
        Setting {
            name: "computes, on shared cores",
            voting: Voting::Computes,
            workers: cores,
            with_one: false,
        },
    ];
    let mut report = Report {
        title: "overlap",
        notes: vec![
            format!(
                "Blocks of {CALLS} calls that compute, in memory; consensus takes {} ms on each. The same transactions in \
                 turn (pipelining = off) and pipelined (K = 4), by {cores} workers, or {spared} where consensus has a core of \
                 its own.",
                plan.consensus.as_millis()
            ),
            "C, E and CPU are of the runs in turn; efficiency = max(C, E, CPU / cores) / period; gain over in turn, and its \
             ceiling (C + E) / max(C, E). All ways came to the same root."
                .to_owned(),
        ],
        tables: Vec::new(),
        plots: Vec::new(),
    };
    let mut overlap = Table::new(&[
        "consensus",
        "E/C",
        "C ms",
        "E ms",
        "CPU ms",
        "in turn",
        "pipelined",
        "gain",
        "ceiling",
        "efficiency",
    ]);
    let mut one = Table::new(&[
        "K = 1",
        "E/C",
        "in turn",
        "speculating",
        "gain",
        "ceiling",
        "not speculating",
        "gain",
        "ceiling",
    ]);
    let mut efficiencies = Vec::new();
    for setting in settings
        .iter()
        .filter(|setting| setting.name.contains(&plan.named))
    {
        let cost = calibrate(setting.workers)?;
        let points = plan
            .ratios
            .iter()
            .map(|ratio| point(plan, setting, &cost, *ratio));
        let points = points.collect::<Result<Vec<Point>, String>>()?;
        for point in &points {
            overlap.row(cells(setting, point));
            if let Some(cells) = one_cells(setting, point, &cost) {
                one.row(cells);
            }
        }
        efficiencies.push(line(setting.name, false, &points, Point::efficiency));
        if setting.with_one {
            report.notes.push(format!(
                "D, what cannot overlap with K = 1, took {:.2} ms.",
                cost.durable * 1e3
            ));
            report.plots.push(gains(&points, &cost));
        }
    }
    report.tables = vec![overlap, one];
    report.plots.push(Plot {
        name: "overlap-efficiency",
        title: "Efficiency of the pipeline: max(C, E, CPU / cores) / block period".to_owned(),
        x: "execution over consensus, E / C",
        y: "efficiency",
        is_log: true,
        series: efficiencies,
    });
    Ok(report)
}

fn line(name: &str, is_dashed: bool, points: &[Point], value: impl Fn(&Point) -> f64) -> Series {
    Series {
        name: name.to_owned(),
        is_dashed,
        points: points
            .iter()
            .map(|point| (point.measured_ratio(), value(point)))
            .collect(),
    }
}

fn gains(points: &[Point], cost: &Cost) -> Plot {
    let one = |pick: fn(&(Run, Run)) -> Run| {
        move |point: &Point| {
            point
                .one
                .as_ref()
                .map_or(f64::NAN, |runs| point.gain(&pick(runs)))
        }
    };
    Plot {
        name: "overlap-gain",
        title: "Gain of overlapping over in turn, where consensus waits".to_owned(),
        x: "execution over consensus, E / C",
        y: "in turn / overlapped",
        is_log: true,
        series: vec![
            line("K = 4", false, points, |point| point.gain(&point.pipelined)),
            line("ceiling", true, points, Point::ceiling),
            line("K = 1, speculating", false, points, one(|runs| runs.0)),
            line("ceiling of K = 1", true, points, |point| {
                point.both() / point.least_with_one(cost.durable)
            }),
            line("K = 1, not speculating", false, points, one(|runs| runs.1)),
        ],
    }
}

fn ms(seconds: f64) -> String {
    format!("{:.2}", seconds * 1e3)
}

fn cells(setting: &Setting, point: &Point) -> Vec<String> {
    let Run {
        consensus,
        execution,
        cpu,
        period,
        ..
    } = point.in_turn;
    vec![
        setting.name.to_owned(),
        format!("{}", point.ratio),
        ms(consensus),
        ms(execution),
        ms(cpu),
        ms(period),
        ms(point.pipelined.period),
        format!("{:.2}", point.gain(&point.pipelined)),
        format!("{:.2}", point.ceiling()),
        format!("{:.3}", point.efficiency()),
    ]
}

fn one_cells(setting: &Setting, point: &Point, cost: &Cost) -> Option<Vec<String>> {
    let (ahead, behind) = point.one.as_ref()?;
    Some(vec![
        setting.name.to_owned(),
        format!("{}", point.ratio),
        ms(point.in_turn.period),
        ms(ahead.period),
        format!("{:.2}", point.gain(ahead)),
        format!("{:.2}", point.both() / point.least_with_one(cost.durable)),
        ms(behind.period),
        format!("{:.2}", point.gain(behind)),
        "1.00".to_owned(),
    ])
}

/// All ways of one ratio.
fn point(plan: &Plan, setting: &Setting, cost: &Cost, ratio: f64) -> Result<Point, String> {
    let consensus = plan.consensus.as_secs_f64();
    let execution = consensus * ratio;
    let rounds = ((execution - cost.least) / cost.round).round().max(1.0) as u32;
    let blocks = WARM + ((plan.seconds / consensus.max(execution)) as usize).max(8);
    let mut best: Option<Vec<Run>> = None;
    for _ in 0..plan.repeats.max(1) {
        let runs = setting
            .ways()
            .iter()
            .map(|way| run(plan, setting, *way, rounds, blocks));
        let runs = runs.collect::<Result<Vec<Run>, String>>()?;
        if runs.iter().any(|run| run.root != runs[0].root) {
            return Err(format!(
                "E / C = {ratio}: overlapped, the same transactions came to another root than in turn"
            ));
        }
        best = Some(match best {
            None => runs,
            Some(best) => best
                .iter()
                .zip(&runs)
                .map(|(one, other)| one.least(other))
                .collect(),
        });
    }
    let best = best.expect("there is one run at least");
    let (in_turn, pipelined) = (best[0], best[1]);
    let one = best.get(2).copied().zip(best.get(3).copied());
    let point = Point {
        ratio,
        in_turn,
        pipelined,
        one,
    };
    let (name, efficiency) = (setting.name, point.efficiency());
    progress(&format!(
        "overlap: consensus {name}, E/C {ratio}: efficiency {efficiency:.3}"
    ));
    Ok(point)
}

/// Executes so many blocks of calls with so many rounds of hashing each.
fn run(plan: &Plan, setting: &Setting, way: Way, rounds: u32, blocks: usize) -> Result<Run, String> {
    let (engine, contract) = open(setting.workers, way)?;
    let callers = chain::keys(1 + CALLS);
    for nonce in 0..blocks as u64 {
        for key in &callers[1..] {
            engine
                .submit_transaction(chain::compute(key, nonce, contract, rounds))
                .map_err(|error| error.to_string())?;
        }
    }
    let consensus = Consensus {
        voting: setting.voting,
        time: plan.consensus,
        announces: way == Way::One { speculation: true },
        calls: Some(CALLS as u64),
        allow_empty: false,
    };
    drive(&engine, consensus, way, blocks)
}

fn open(workers: usize, way: Way) -> Result<(Engine, Address), String> {
    let keys = chain::keys(1 + CALLS);
    let mut spec = chain::spec(&keys, chain::stand_in_spec());
    if matches!(way, Way::One { .. }) {
        spec.max_receipt_lag = 1;
    }
    let config = EngineConfig {
        pipelining: way != Way::InTurn,
        speculation: way == Way::One { speculation: true },
        workers,
        ..EngineConfig::default()
    };
    let ledger = Ledger::in_memory(&spec).map_err(|error| error.to_string())?;
    let engine = Engine::open(spec, ledger, config).map_err(|error| error.to_string())?;
    let contract = chain::deploy(&engine, &keys[0])?;
    Ok((engine, contract))
}

/// Makes so many blocks of what the pool holds (with transactions, if it holds any), and waits until they are executed.
fn drive(engine: &Engine, consensus: Consensus, way: Way, blocks: usize) -> Result<Run, String> {
    let watch = chain::watch(engine)?;
    let mut stand_in = StandIn::new(engine, consensus);
    let (mut turns, mut executions) = (Vec::new(), Vec::new());
    while turns.len() < blocks {
        let turn = stand_in.turn()?.ok_or("the pool is empty too early")?;
        if way == Way::InTurn {
            let done = stand_in.wait_until_acknowledged(turn.height)?;
            executions.push(done.saturating_sub(turn.submitted).as_secs_f64());
        }
        // Under pressure there are empty blocks between.
        if turn.transactions > 0 || consensus.allow_empty {
            turns.push(turn);
        }
    }
    let last = turns.last().map_or(0, |turn| turn.height);
    stand_in.wait_until_executed(last)?;
    if !consensus.allow_empty {
        chain::check_success(engine, last)?;
    }
    let root = chain::root(engine)?;
    engine.stop();
    let executed = watch.join().map_err(|_| "the watching thread panicked")?;
    let counted: Vec<_> = executed
        .iter()
        .filter(|block| block.transactions > 0 || consensus.allow_empty)
        .skip(WARM - 1)
        .collect();
    let [first, .., last] = counted[..] else {
        return Err(format!(
            "{} blocks were executed, too few to count",
            executed.len()
        ));
    };
    let periods = (counted.len() - 1) as f64;
    let consensus = turns[WARM..].iter().map(|turn| turn.consensus.as_secs_f64());
    Ok(Run {
        period: (last.at.saturating_sub(first.at)).as_secs_f64() / periods,
        consensus: consensus.sum::<f64>() / (turns.len() - WARM) as f64,
        execution: mean(executions.get(WARM..).unwrap_or_default()),
        cpu: (last.cpu.saturating_sub(first.cpu)).as_secs_f64() / periods,
        root,
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Finds out what calls take on so many workers.
fn calibrate(workers: usize) -> Result<Cost, String> {
    const ROUNDS: u32 = 20;
    const BLOCKS: usize = WARM + 12;
    let plan = Plan {
        consensus: Duration::ZERO,
        ratios: Vec::new(),
        named: String::new(),
        seconds: 0.0,
        repeats: 1,
    };
    let setting = Setting {
        name: "",
        voting: Voting::Waits,
        workers,
        with_one: false,
    };
    let few = run(&plan, &setting, Way::InTurn, 1, BLOCKS)?;
    let many = run(&plan, &setting, Way::InTurn, 1 + ROUNDS, BLOCKS)?;
    let (engine, _) = open(workers, Way::InTurn)?;
    let empty = Consensus {
        allow_empty: true,
        ..chain::at_once()
    };
    let durable = drive(&engine, empty, Way::InTurn, BLOCKS)?.execution;
    Ok(Cost {
        least: few.execution,
        // By the processor's time, which other programs on the machine hardly change.
        round: ((many.cpu - few.cpu) / f64::from(ROUNDS) / workers as f64).max(1e-9),
        durable,
    })
}

/// Seconds that `workers` together take for one round of hashing, in a block of many calls.
///
/// # Errors
/// What failed.
pub fn seconds_of_a_round(workers: usize) -> Result<f64, String> {
    Ok(calibrate(workers)?.round / CALLS as f64)
}
