//! Transactions per second from signed bytes to durable receipts, beside what verifying their signatures alone and
//! executing them alone allow on this machine.
//!
//! Threads hand signed transfers to the engine in groups, as the RPC server does under load, the plugin `solo` orders them, and ledger and state
//! are on the disk. Where the plugin is not to be found, the stand-in orders them at the same interval.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use millrace_ledger::Ledger;
use millrace_pipeline::{Engine, EngineConfig, EngineStatus, SubmitError, replay_check};
use millrace_rpc::RpcConfig;
use millrace_types::chain_spec::ConsensusSpec;
use millrace_types::keys::{SecretKey, verify_batch};
use millrace_types::{ChainSpec, Hash, Payload, SignedTransaction};
use serde_json::json;

use super::chain::{self, Consensus, StandIn, Voting};
use super::clock;
use super::parallel;
use super::report::{Report, Table};
use super::world::{Load, World};
use crate::commands::dev::{ConsensusName, plugin_beside_this_program};
use crate::commands::run_async;
use crate::failure::Failure;
use crate::node::settings::Settings;
use crate::node::{LEDGER_FILE, RunningNode, STATE_DIRECTORY, create_data_directory};

const ACCOUNTS: usize = 2_000;
const TRANSFER_GAS: u64 = 100_000;
const BLOCK_INTERVAL_MS: u64 = 100;
/// Signatures that are verified for the limit.
const SIGNATURES: usize = 20_000;
/// Transactions that are handed over, or verified, together: as many as the RPC server takes at once.
const BATCH: usize = 256;
/// Transactions that are sent and not yet executed: a second's worth or two.
const OUTSTANDING: usize = 40_000;
/// Before a full pool, or too much outstanding, is tried again.
const PAUSE: Duration = Duration::from_millis(1);

/// What is to be measured.
pub struct Plan<'a> {
    /// Of sending.
    pub seconds: f64,
    /// Where the chain is kept meanwhile.
    pub directory: &'a Path,
    pub plugin: Option<PathBuf>,
}

/// Transactions a second on all cores.
struct Limits {
    one_by_one: f64,
    in_batches: f64,
    execution: f64,
}

impl Limits {
    /// The less of the two.
    fn least(&self) -> f64 {
        self.one_by_one.min(self.execution)
    }

    /// What is left when the same cores do both.
    fn shared(&self) -> f64 {
        1.0 / (1.0 / self.one_by_one + 1.0 / self.execution)
    }
}

/// What a run came to.
struct Run {
    per_second: f64,
    cpu: Duration,
    wall: Duration,
    blocks: u64,
    root: Hash,
    /// A plugin is never unloaded and holds on to its engine, so nobody else can open it.
    ledger: Ledger,
}

/// Measures everything.
///
/// # Errors
/// What failed, and a replay that differs.
pub fn measure(plan: &Plan<'_>) -> Result<Report, String> {
    let keys = chain::keys(ACCOUNTS);
    let limits = Limits {
        one_by_one: signatures(&keys, 1)?,
        in_batches: signatures(&keys, BATCH)?,
        execution: execution()?,
    };
    let count = (plan.seconds * limits.shared()).max(1_000.0) as usize;
    let sent = transfers(&keys, count / ACCOUNTS + 1);
    let count: usize = sent.iter().map(Vec::len).sum();
    let sequencer = SecretKey::from_seed([0x51; 32]);
    let spec = chain::spec(&keys, solo(&sequencer));
    let plugin = match &plan.plugin {
        Some(path) => Some(path.clone()),
        None => plugin_beside_this_program(ConsensusName::Solo).ok(),
    };
    let (run, orderer) = match plugin {
        Some(path) => (
            by_plugin(plan, &spec, &sequencer, path, sent)?,
            "the plugin `solo`",
        ),
        None => (
            by_stand_in(plan, &spec, sent)?,
            "a stand-in, since there is no plugin beside the program,",
        ),
    };
    check(&spec, count as u64, &run)?;
    let notes = vec![
        format!(
            "{count} transfers among {ACCOUNTS} accounts, signed before, handed to the engine without RPC by {} threads, {BATCH} at a time; {orderer} \
             orders them every {BLOCK_INTERVAL_MS} ms; ledger and state on the disk. Timed from the first one until the last \
             one's receipt is durable: {:.2} s, {:.2} s of processor time, {} blocks.",
            clock::cores(),
            run.wall.as_secs_f64(),
            run.cpu.as_secs_f64(),
            run.blocks
        ),
        "A sequential replay of the ledger came to the same receipts and the same root. Execution alone: transfers of the same \
         kind as one block in memory, without roots."
            .to_owned(),
    ];
    Ok(Report {
        title: "end to end",
        notes,
        tables: vec![table(&run, &limits)],
        plots: Vec::new(),
    })
}

fn table(run: &Run, limits: &Limits) -> Table {
    let mut table = Table::new(&["", "transactions/s", "us each", "end to end is"]);
    let mut row = |name: &str, rate: f64| {
        table.row(vec![
            name.to_owned(),
            format!("{rate:.0}"),
            format!("{:.2}", 1e6 / rate),
            format!("{:.0} %", run.per_second / rate * 100.0),
        ]);
    };
    row("end to end", run.per_second);
    row("signatures alone, one by one", limits.one_by_one);
    row("signatures alone, in batches", limits.in_batches);
    row("execution alone", limits.execution);
    row("the less of one by one and execution", limits.least());
    row("both on the same cores", limits.shared());
    table
}

/// The consensus of a single sequencer.
fn solo(sequencer: &SecretKey) -> ConsensusSpec {
    ConsensusSpec {
        id: "solo/1".to_owned(),
        parameters: sequencer.public_key().0.to_vec(),
    }
}

/// Transfers of every account, `each` of each, by account.
fn transfers(keys: &[SecretKey], each: usize) -> Vec<Vec<SignedTransaction>> {
    let of = |index: usize| {
        let transfer = |nonce: usize| {
            let to = keys[(index + 1 + nonce * 7_919) % keys.len()].address();
            let payload = Payload::Transfer { to, value: 1 };
            chain::sign(&keys[index], nonce as u64, TRANSFER_GAS, payload)
        };
        (0..each).map(transfer).collect()
    };
    on_all_cores((0..keys.len()).collect(), of)
}

/// Does the same to every item on all cores; results in the order of items.
fn on_all_cores<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let share = items.len().div_ceil(clock::cores()).max(1);
    let mut shares = Vec::new();
    let mut items = items.into_iter().peekable();
    while items.peek().is_some() {
        shares.push(items.by_ref().take(share).collect::<Vec<T>>());
    }
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.into_iter().map(work).collect::<Vec<R>>()))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("the work does not panic"))
            .collect()
    })
}

/// Signatures a second on all cores, verified in batches of `batch`.
fn signatures(keys: &[SecretKey], batch: usize) -> Result<f64, String> {
    let signed: Vec<_> = transfers(keys, SIGNATURES / keys.len())
        .into_iter()
        .flatten()
        .collect();
    let start = clock::now();
    let results = on_all_cores(signed.chunks(batch).collect(), |batch| match batch {
        [one] => one.verify().map_err(|error| error.to_string()),
        many => verify_batch(many).map_err(|error| error.to_string()),
    });
    let took = clock::now().saturating_sub(start).as_secs_f64();
    results.into_iter().collect::<Result<(), String>>()?;
    Ok(signed.len() as f64 / took)
}

/// Transfers a second, executed by all cores as one block.
fn execution() -> Result<f64, String> {
    let world = World::new()?;
    let row = parallel::measure(&world, Load::RandomTransfers, 10_000, &[clock::cores()], 3)?;
    let (_, times) = row.parallel.first().ok_or("nothing was executed")?;
    let best = times.wall().min(row.sequential.wall());
    Ok(row.transactions as f64 / best.as_secs_f64())
}

fn config() -> EngineConfig {
    EngineConfig {
        workers: clock::cores(),
        ..EngineConfig::default()
    }
}

/// A node with the plugin; its RPC server runs and is not used.
fn by_plugin(
    plan: &Plan<'_>,
    spec: &ChainSpec,
    sequencer: &SecretKey,
    plugin: PathBuf,
    sent: Vec<Vec<SignedTransaction>>,
) -> Result<Run, String> {
    let config_of_plugin = json!({
        "secret_key": format!("0x{}", hex::encode(sequencer.to_seed())),
        "block_interval_ms": BLOCK_INTERVAL_MS,
    });
    let settings = Settings {
        spec: spec.clone(),
        data_directory: Some(plan.directory.to_owned()),
        plugin,
        plugin_pin: None,
        plugin_config: config_of_plugin.to_string().into_bytes(),
        plugin_patience: Duration::from_secs(5),
        rpc: RpcConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            ..RpcConfig::default().fitting(&spec.limits)
        },
        engine: config(),
        profile: None,
        code_cache: None,
    };
    let run = async {
        let node = RunningNode::start(settings).await?;
        let engine = node.engine.clone();
        let run = tokio::task::spawn_blocking(move || send_all(&engine, sent)).await;
        node.stop().await?;
        let run = run.map_err(|error| Failure::new(format!("sending ended: {error}")))?;
        run.map_err(Failure::new)
    };
    run_async(run).map_err(|failure| failure.to_string())
}

/// The same engine, driven in this process.
fn by_stand_in(plan: &Plan<'_>, spec: &ChainSpec, sent: Vec<Vec<SignedTransaction>>) -> Result<Run, String> {
    create_data_directory(plan.directory).map_err(|failure| failure.to_string())?;
    let path = plan.directory.join(LEDGER_FILE);
    let ledger = Ledger::open(&path, spec).map_err(|error| error.to_string())?;
    let config = EngineConfig {
        state_directory: Some(plan.directory.join(STATE_DIRECTORY)),
        ..config()
    };
    let engine = Engine::open(spec.clone(), ledger, config).map_err(|error| error.to_string())?;
    let consensus = Consensus {
        voting: Voting::Waits,
        time: Duration::from_millis(BLOCK_INTERVAL_MS),
        ..chain::at_once()
    };
    let is_over = AtomicBool::new(false);
    let run = thread::scope(|scope| {
        let ordering = scope.spawn(|| order(&engine, consensus, &is_over));
        let run = send_all(&engine, sent);
        is_over.store(true, Ordering::SeqCst);
        let ordered = ordering.join().expect("the stand-in does not panic");
        ordered.and(run)
    });
    engine.stop();
    run
}

/// Orders until it is told to end.
fn order(engine: &Engine, consensus: Consensus, is_over: &AtomicBool) -> Result<(), String> {
    let mut stand_in = StandIn::new(engine, consensus);
    while !is_over.load(Ordering::SeqCst) {
        if stand_in.turn()?.is_none() {
            thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// Sends everything, and waits until it is executed.
fn send_all(engine: &Engine, sent: Vec<Vec<SignedTransaction>>) -> Result<Run, String> {
    let count: usize = sent.iter().map(Vec::len).sum();
    let before = engine.counters();
    let taken = AtomicUsize::new(0);
    let executed = || (engine.counters().transactions_executed - before.transactions_executed) as usize;
    let (start, cpu) = (clock::now(), clock::cpu());
    let share = sent.len().div_ceil(clock::cores()).max(1);
    let (taken, executed) = (&taken, &executed);
    thread::scope(|scope| {
        let threads: Vec<_> = sent
            .chunks(share)
            .map(|accounts| scope.spawn(move || send(engine, accounts, taken, executed)))
            .collect();
        let mut ended = threads
            .into_iter()
            .map(|thread| thread.join().expect("senders do not panic"));
        ended.try_for_each(|ended| ended)
    })?;
    while executed() < count {
        check_running(engine)?;
        thread::sleep(PAUSE);
    }
    let wall = clock::now().saturating_sub(start);
    Ok(Run {
        per_second: count as f64 / wall.as_secs_f64(),
        cpu: clock::cpu().saturating_sub(cpu),
        wall,
        blocks: engine.counters().blocks_executed - before.blocks_executed,
        root: chain::root(engine)?,
        ledger: engine.ledger().clone(),
    })
}

/// Sends what some accounts have to send, by rounds of one each.
fn send(
    engine: &Engine,
    accounts: &[Vec<SignedTransaction>],
    taken: &AtomicUsize,
    executed: &(impl Fn() -> usize + Sync),
) -> Result<(), String> {
    for round in 0..accounts.first().map_or(0, Vec::len) {
        for accounts in accounts.chunks(BATCH) {
            while taken.load(Ordering::Relaxed).saturating_sub(executed()) >= OUTSTANDING {
                check_running(engine)?;
                thread::sleep(PAUSE);
            }
            let mut left: Vec<_> = accounts.iter().map(|account| account[round].clone()).collect();
            while !left.is_empty() {
                let answers = engine.submit_transactions(left.clone());
                let mut refused = Vec::new();
                for (transaction, answer) in left.into_iter().zip(answers) {
                    match answer {
                        Ok(_) => {}
                        Err(SubmitError::Pool(_)) => refused.push(transaction),
                        Err(error) => return Err(error.to_string()),
                    }
                }
                left = refused;
                if !left.is_empty() {
                    thread::sleep(PAUSE);
                }
            }
            taken.fetch_add(accounts.len(), Ordering::Relaxed);
        }
    }
    Ok(())
}

fn check_running(engine: &Engine) -> Result<(), String> {
    match engine.status() {
        EngineStatus::Running => Ok(()),
        EngineStatus::Stopped { reason } => Err(format!("the engine stopped: {reason}")),
    }
}

/// A sequential replay of the stopped node's ledger finds the same.
fn check(spec: &ChainSpec, count: u64, run: &Run) -> Result<(), String> {
    let report = replay_check(spec, &run.ledger).map_err(|error| error.to_string())?;
    if report.transactions != count || report.root != run.root {
        let (transactions, root) = (report.transactions, report.root);
        return Err(format!(
            "{count} transactions were executed to root {}; a replay finds {transactions} and {root}",
            run.root
        ));
    }
    Ok(())
}
