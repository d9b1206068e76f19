//! `millrace dev`: a development chain in one process, with accounts, a plugin, and load if asked for.

use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use millrace_pipeline::{EngineConfig, EngineStatus};
use millrace_rpc::RpcConfig;
use millrace_types::chain_spec::{Commitment, ConsensusSpec, GenesisAccount};
use millrace_types::hash::Domain;
use millrace_types::keys::SecretKey;
use millrace_types::{Amount, ChainSpec, Hash};
use serde_json::{Value, json};

use crate::client::Client;
use crate::commands::code_cache::{self, CodeCacheArgs, CodeCachePlan};
use crate::commands::profile::{ProfileArgs, TierName, choose_tier};
use crate::commands::{print_json, run_async};
use crate::failure::Failure;
use crate::load::{Load, LoadKind, LoadPlan};
use crate::node::settings::{MAX_WORKERS, Settings, chain_spec_text, default_workers, read_chain_spec};
use crate::node::{RunningNode, create_data_directory};
use crate::output::outln;

/// Units of every development account.
const ACCOUNT_UNITS: Amount = 1 << 100;
const ACCOUNT_KEY: Domain = Domain::new("millrace/dev-account/1");
const SEQUENCER_KEY: Domain = Domain::new("millrace/dev-sequencer/1");
/// 2026-01-01: development chains have no history, and the same seed gives the same genesis.
const GENESIS_TIMESTAMP_MS: u64 = 1_767_225_600_000;
const CHAIN_ID: u64 = 4860;
/// Name of the chain spec in a data directory.
pub(super) const SPEC_FILE: &str = "chain-spec.json";

/// Option A or B on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum CommitmentName {
    /// Option A: headers carry a delayed state root.
    A,
    /// Option B: bodies carry execution receipts.
    B,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

/// Who orders blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ConsensusName {
    /// One sequencer; every block is final.
    Solo,
    /// Virtual miners on the longest chain: forks, and heads that move before they are final.
    LongestChain,
}

impl ConsensusName {
    /// As the chain spec names it.
    fn id(self) -> &'static str {
        match self {
            Self::Solo => "solo/1",
            Self::LongestChain => "longest-chain/1",
        }
    }

    /// The crate that it is built from.
    fn package(self) -> &'static str {
        match self {
            Self::Solo => "millrace-plugin-solo",
            Self::LongestChain => "millrace-plugin-longest-chain",
        }
    }

    /// The library's name.
    fn library(self) -> String {
        format!("lib{}.so", self.package().replace('-', "_"))
    }
}

/// Runs a development chain until it is interrupted, or until a given amount of work is executed and settled.
#[derive(Args, Debug)]
pub struct DevArgs {
    /// Who orders blocks.
    #[arg(long, value_enum, default_value = "solo")]
    consensus: ConsensusName,
    /// The plugin of that consensus; by default the one beside this program.
    #[arg(long)]
    plugin: Option<PathBuf>,
    /// With longest-chain: every hundred slots a fork that takes up to so many blocks from the head; 0: natural forks only.
    #[arg(long, value_name = "BLOCKS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=6))]
    fork_depth: u64,
    /// Where the chain lives; without it, in memory.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Milliseconds between blocks.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    block_interval_ms: u64,
    /// Prefunded accounts.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(2..=1_000))]
    accounts: u16,
    /// What keys and load are drawn from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Ends when so many blocks are executed.
    #[arg(long)]
    blocks: Option<u64>,
    /// Ends when so many transactions (of the load, if there is one) are executed and settled.
    #[arg(long)]
    txs: Option<u64>,
    /// Sends transactions of this kind.
    #[arg(long, value_enum)]
    load: Option<LoadKind>,
    /// Transactions a second; by default as many as the chain takes.
    #[arg(long, requires = "load", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: Option<u64>,
    /// How headers commit to execution.
    #[arg(long, value_enum, default_value = "b")]
    commitment: CommitmentName,
    /// K: how far settlement may lag behind.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    max_receipt_lag: u64,
    /// Overlap consensus with execution, or run them in turn.
    #[arg(long, value_enum, default_value = "on")]
    pipelining: Switch,
    /// Development switch: makes the execution of every block take this many milliseconds longer.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    slow_execution: u64,
    /// Threads that execute blocks [default: one for each core, at most 16].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_WORKERS as u64))]
    workers: Option<u64>,
    /// Finalized blocks that may wait for execution; at least K + 2 are allowed to.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=4096))]
    queue_blocks: u64,
    /// Execute proposals ahead of their turn, when nothing more urgent waits; never without pipelining.
    #[arg(long, value_enum, default_value = "on")]
    speculation: Switch,
    /// Proposals whose results are kept until their turn comes.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    max_speculative_blocks: u64,
    /// Where the RPC listens.
    #[arg(long, env = "MILLRACE_RPC__LISTEN", default_value = "127.0.0.1:4860")]
    rpc_listen: std::net::SocketAddr,
    /// How contracts are executed; the results are the same [default: interpreter, with --profile auto].
    #[arg(long, value_enum)]
    tier: Option<TierName>,
    #[command(flatten)]
    code_cache: CodeCacheArgs,
    #[command(flatten)]
    profile: ProfileArgs,
    /// Prints JSON: one object when the chain is ready, one when it ends.
    #[arg(long)]
    json: bool,
}

/// Keys that follow from the seed.
struct DevKeys {
    accounts: Vec<SecretKey>,
    sequencer: SecretKey,
}

impl DevKeys {
    fn of(seed: u64, count: u16) -> Self {
        let key = |domain: Domain, index: u64| {
            SecretKey::from_seed(domain.hash(&[&seed.to_le_bytes(), &index.to_le_bytes()]).0)
        };
        Self {
            accounts: (0..u64::from(count))
                .map(|index| key(ACCOUNT_KEY, index))
                .collect(),
            sequencer: key(SEQUENCER_KEY, 0),
        }
    }
}

/// Transactions of the blocks that are final and executed, counted as they come: one that lost its block is executed once
/// more in another, and counts once.
struct OnChain {
    height: u64,
    transactions: u64,
}

impl OnChain {
    /// From here on: what was final before is not of this run, executed or not.
    fn after(node: &RunningNode) -> Self {
        Self {
            height: node.engine.heights().finalized.height,
            transactions: 0,
        }
    }

    fn count(&mut self, node: &RunningNode) -> Result<u64, Failure> {
        while self.height < node.engine.heights().safe {
            self.height += 1;
            self.transactions += transactions_at(node, self.height)?.unwrap_or(0);
        }
        Ok(self.transactions)
    }
}

impl DevArgs {
    /// Runs the chain.
    ///
    /// # Errors
    /// When it cannot start, the load fails, or the engine stops by itself.
    pub fn run(self) -> Result<(), Failure> {
        run_async(self.run_chain())
    }

    async fn run_chain(self) -> Result<(), Failure> {
        let keys = DevKeys::of(self.seed, self.accounts);
        let settings = self.settings(&keys)?;
        let node = RunningNode::start(settings).await?;
        self.announce(&node, &keys);
        let ended = self.drive(&node, &keys).await;
        let summary = self.summary(&node);
        let stopped = node.stop().await;
        let summary = summary?;
        if self.json {
            print_json(&summary);
        } else {
            outln!(
                "executed {} transactions in {} blocks; last root {}; largest lag {} (K = {})",
                summary["transactions_executed"],
                summary["blocks"],
                summary["last_root"].as_str().unwrap_or("-"),
                summary["max_lag"],
                self.max_receipt_lag
            );
        }
        ended.and(stopped)
    }

    fn settings(&self, keys: &DevKeys) -> Result<Settings, Failure> {
        let spec = self.chain_spec(keys);
        let spec = match &self.data_dir {
            None => spec,
            Some(directory) => keep_spec(directory, spec)?,
        };
        let rpc = RpcConfig::default().fitting(&spec.limits);
        let profile = self.profile.plan();
        let tier = choose_tier(self.tier, profile.as_ref().map(|plan| plan.kind), TierName::Auto)?;
        let own = self
            .data_dir
            .as_ref()
            .map(|directory| directory.join(code_cache::DIRECTORY_NAME));
        Ok(Settings {
            profile,
            code_cache: CodeCachePlan::choose(self.code_cache.code_cache.clone(), own, tier)?,
            spec,
            data_directory: self.data_dir.clone(),
            plugin: match &self.plugin {
                Some(path) => path.clone(),
                None => plugin_beside_this_program(self.consensus)?,
            },
            plugin_pin: None,
            plugin_config: self.plugin_config(keys).to_string().into_bytes(),
            plugin_patience: Duration::from_secs(5),
            rpc: RpcConfig {
                listen: self.rpc_listen,
                ..rpc
            },
            engine: EngineConfig {
                pipelining: self.pipelining == Switch::On,
                tier: tier.tier(),
                slow_execution_ms: self.slow_execution,
                workers: self.workers.map_or_else(default_workers, |workers| {
                    usize::try_from(workers).expect("at most 64")
                }),
                queue_blocks: usize::try_from(self.queue_blocks).expect("at most 4096"),
                speculation: self.speculation == Switch::On,
                max_speculative_blocks: usize::try_from(self.max_speculative_blocks).expect("at most 64"),
                ..EngineConfig::default()
            },
        })
    }

    fn plugin_config(&self, keys: &DevKeys) -> Value {
        let secret_key = format!("0x{}", hex::encode(keys.sequencer.to_seed()));
        // A chain that pauses while it is idle never comes to a number of blocks.
        let empty_blocks = if self.blocks.is_some() {
            "always"
        } else {
            "when_needed"
        };
        match self.consensus {
            ConsensusName::Solo => json!({
                "secret_key": secret_key,
                "block_interval_ms": self.block_interval_ms,
                "empty_blocks": empty_blocks,
            }),
            ConsensusName::LongestChain => json!({
                "secret_key": secret_key,
                "seed": self.seed,
                // Every other slot brings a block.
                "slot_ms": self.block_interval_ms.div_ceil(2),
                "empty_blocks": empty_blocks,
                "fork_every_slots": if self.fork_depth > 0 { 100 } else { 0 },
                "fork_depth": [1, self.fork_depth.max(1)],
            }),
        }
    }

    fn chain_spec(&self, keys: &DevKeys) -> ChainSpec {
        let accounts = keys.accounts.iter().map(|key| GenesisAccount {
            address: key.address(),
            balance: ACCOUNT_UNITS,
        });
        let consensus = ConsensusSpec {
            id: self.consensus.id().to_owned(),
            parameters: keys.sequencer.public_key().0.to_vec(),
        };
        let mut spec = ChainSpec::development(CHAIN_ID, GENESIS_TIMESTAMP_MS, accounts.collect(), consensus);
        spec.max_receipt_lag = self.max_receipt_lag;
        spec.commitment = match self.commitment {
            CommitmentName::A => Commitment::DelayedRoot,
            CommitmentName::B => Commitment::ExecutionReceipts,
        };
        spec
    }

    fn announce(&self, node: &RunningNode, keys: &DevKeys) {
        let url = format!("http://{}", node.rpc.address());
        let secret = |key: &SecretKey| format!("0x{}", hex::encode(key.to_seed()));
        if self.json {
            let accounts: Vec<Value> = keys
                .accounts
                .iter()
                .map(|key| json!({ "address": key.address(), "secret_key": secret(key), "balance": ACCOUNT_UNITS.to_string() }))
                .collect();
            let genesis = node.engine.genesis().hash;
            print_json(
                &json!({ "event": "ready", "rpc": url, "genesis_hash": genesis, "accounts": accounts }),
            );
            return;
        }
        outln!(
            "development chain: RPC {url}, genesis {}",
            node.engine.genesis().hash
        );
        outln!(
            "{} accounts with {ACCOUNT_UNITS} units each; these keys are public, never use them elsewhere:",
            keys.accounts.len()
        );
        for key in &keys.accounts {
            outln!("  address {}  key {}", key.address(), secret(key));
        }
    }

    async fn drive(&self, node: &RunningNode, keys: &DevKeys) -> Result<(), Failure> {
        // One watcher for the whole run: a signal that comes between two watchers would be lost.
        let mut interruption = std::pin::pin!(interrupted());
        let progress = Progress::new(self.json);
        let mut sending = None;
        let (mut on_chain, mut prepared) = (OnChain::after(node), 0);
        if let Some(kind) = self.load {
            let plan = LoadPlan {
                kind,
                rate: self.rate,
                count: self.txs,
                seed: self.seed,
            };
            let client = Client::new(&format!("http://{}", node.rpc.address()))?;
            let load = tokio::select! {
                load = Load::prepare(plan, client, keys.accounts.clone()) => load?,
                () = &mut interruption => return Ok(()),
                failure = stopped(node) => return Err(failure),
            };
            prepared = load.prepared();
            if let (Some(contract), false) = (load.contract(), self.json) {
                outln!("load: {kind:?} contract {contract}");
            }
            let sent = load.sent();
            sending = Some((tokio::spawn(load.run()), sent));
        }
        loop {
            tokio::select! {
                () = &mut interruption => break,
                () = tokio::time::sleep(self.tick()) => {}
            }
            if let Some(failure) = stop_of(node) {
                return Err(failure);
            }
            let sent = sending.as_ref().map(|(_, sent)| sent.load(Ordering::Relaxed));
            progress.show(node, sent);
            if sending.as_ref().is_some_and(|(task, _)| task.is_finished()) {
                let (task, _) = sending.take().expect("it was there a line ago");
                task.await
                    .map_err(|error| Failure::new(format!("load: it ended: {error}")))??;
            }
            if self.is_done(node, &mut on_chain, prepared)? {
                break;
            }
        }
        if let Some((task, _)) = sending {
            task.abort();
        }
        progress.clear();
        Ok(())
    }

    /// How often is looked where things stand: an idle chain should hardly wake the machine.
    fn tick(&self) -> Duration {
        let is_measured = self.blocks.is_some() || self.txs.is_some() || self.load.is_some();
        Duration::from_millis(if is_measured { 20 } else { 500 })
    }

    /// Whether the work that was asked for is executed, and settled where it has transactions.
    fn is_done(&self, node: &RunningNode, on_chain: &mut OnChain, prepared: u64) -> Result<bool, Failure> {
        let counters = node.engine.counters();
        if self.blocks.is_none() && self.txs.is_none() {
            return Ok(false);
        }
        let enough_blocks = self
            .blocks
            .is_none_or(|blocks| counters.blocks_executed >= blocks);
        let enough_transactions = match self.txs {
            Some(txs) => on_chain.count(node)? >= prepared.saturating_add(txs),
            None => true,
        };
        if !enough_blocks || !enough_transactions {
            return Ok(false);
        }
        Ok(self.txs.is_none() || last_non_empty(node)? <= node.engine.heights().settled)
    }

    fn summary(&self, node: &RunningNode) -> Result<Value, Failure> {
        let (heights, counters) = (node.engine.heights(), node.engine.counters());
        let root = root_at(node, &heights.executed.hash)?;
        Ok(json!({
            "event": "summary",
            "transactions_executed": counters.transactions_executed,
            "blocks": counters.blocks_executed,
            "last_root": root,
            "max_lag": counters.max_lag,
            "max_receipt_lag": self.max_receipt_lag,
            "max_in_flight": counters.max_in_flight,
            "submissions_refused": counters.submissions_refused,
            "builds_declined": counters.builds_declined,
            "gas_charged": counters.gas_charged,
            "heights": {
                "finalized": heights.finalized.height,
                "executed": heights.executed.height,
                "settled": heights.settled,
                "safe": heights.safe,
            },
        }))
    }
}

/// Height of the newest finalized block with transactions.
fn last_non_empty(node: &RunningNode) -> Result<u64, Failure> {
    let mut height = node.engine.heights().finalized.height;
    while height > 0 && transactions_at(node, height)? == Some(0) {
        height -= 1;
    }
    Ok(height)
}

/// How many transactions the finalized block at a height has; `None` if it is not here.
fn transactions_at(node: &RunningNode, height: u64) -> Result<Option<u64>, Failure> {
    let ledger = node.engine.ledger();
    let failed = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
    let hash = ledger.finalized_hash(height).map_err(|error| failed(&error))?;
    let body = match hash {
        Some(hash) => ledger.body(&hash).map_err(|error| failed(&error))?,
        None => None,
    };
    Ok(body.map(|body| body.transactions.len() as u64))
}

fn root_at(node: &RunningNode, block: &Hash) -> Result<Option<Hash>, Failure> {
    let receipt = node
        .engine
        .receipt(block)
        .map_err(|error| Failure::new(error.to_string()))?;
    if let Some(receipt) = receipt {
        return Ok(Some(receipt.post_state_root));
    }
    let header = node
        .engine
        .header(block)
        .map_err(|error| Failure::new(error.to_string()))?;
    Ok(header.and_then(|header| header.delayed_state_root))
}

/// A chain in a directory keeps the spec that it began with; other flags are refused by name, not ignored.
pub(super) fn keep_spec(directory: &Path, spec: ChainSpec) -> Result<ChainSpec, Failure> {
    let path = directory.join(SPEC_FILE);
    if !path.exists() {
        let text = chain_spec_text(&spec)?;
        create_data_directory(directory)?;
        write_whole(directory, &path, &text)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        return Ok(spec);
    }
    let kept = read_chain_spec(&path).map_err(|error| Failure::new(error.to_string()))?;
    if kept.hash() == spec.hash() {
        return Ok(kept);
    }
    Err(Failure::new(format!(
        "{}: this chain was started with other flags (--seed, --accounts, --commitment or --max-receipt-lag differ); give the same, or another --data-dir",
        path.display()
    )))
}

/// Writes a file of `directory` durably, whole or not at all: whoever is killed meanwhile can start again.
fn write_whole(directory: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o644))
        .tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    std::fs::File::open(directory)?.sync_all()
}

/// Where an installed program has its plugins, below the directory that `bin` is in.
const PLUGINS_INSTALLED: &str = "lib/millrace";

/// The plugin of a consensus, where it is built beside the program, or installed in `lib/millrace` beside its directory.
pub(super) fn plugin_beside_this_program(consensus: ConsensusName) -> Result<PathBuf, Failure> {
    let program =
        std::env::current_exe().map_err(|error| Failure::new(format!("where this program is: {error}")))?;
    let library = consensus.library();
    let beside = program.with_file_name(&library);
    let prefix = program.ancestors().nth(2).unwrap_or(Path::new("/"));
    let installed = prefix.join(PLUGINS_INSTALLED).join(&library);
    let found = [&beside, &installed].into_iter().find(|path| path.is_file());
    found.cloned().ok_or_else(|| {
        Failure::new(format!(
            "no plugin at {} or {}; build it with `cargo build --release -p {}` and copy it there, or name one with --plugin",
            beside.display(),
            installed.display(),
            consensus.package()
        ))
    })
}

/// Completes when the operator asks the process to end.
pub async fn interrupted() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(error) => {
                tracing::warn!(%error, "SIGTERM cannot be watched; use an interrupt to stop");
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        result = tokio::signal::ctrl_c() => {
            if let Err(error) = result {
                tracing::warn!(%error, "interrupts cannot be watched");
                std::future::pending::<()>().await;
            }
        }
        () = terminate => {}
    }
}

/// One line on a terminal; nothing elsewhere.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new(json: bool) -> Self {
        if json || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("a constant template"));
        Self(Some(bar))
    }

    fn show(&self, node: &RunningNode, sent: Option<u64>) {
        let Some(bar) = &self.0 else { return };
        let (heights, counters) = (node.engine.heights(), node.engine.counters());
        let sent = sent.map(|sent| format!(", {sent} sent")).unwrap_or_default();
        bar.set_message(format!(
            "finalized {} executed {} settled {} · {} transactions{sent} · rung {}",
            heights.finalized.height,
            heights.executed.height,
            heights.settled,
            counters.transactions_executed,
            node.engine.pressure().rung.name()
        ));
        bar.tick();
    }

    fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Why the engine takes no blocks any more, if it does not.
fn stop_of(node: &RunningNode) -> Option<Failure> {
    match node.engine.status() {
        EngineStatus::Running => None,
        EngineStatus::Stopped { reason } => Some(Failure::new(format!("the engine stopped: {reason}"))),
    }
}

/// Waits until the engine stops.
async fn stopped(node: &RunningNode) -> Failure {
    loop {
        if let Some(failure) = stop_of(node) {
            return failure;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
