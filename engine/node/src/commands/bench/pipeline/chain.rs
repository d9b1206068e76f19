//! A chain in this process: accounts that call the example contract `hash`, an engine, and a stand-in for consensus.
//!
//! The stand-in is one thread that does what a plugin does: it builds a block, takes its time over it as votes would,
//! finalizes it with a certificate that proves nothing, and builds the next. It may wait meanwhile, as for a network, or
//! compute, as for signatures.

use std::sync::mpsc::RecvTimeoutError;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use millrace_ledger::Ledger;
use millrace_pipeline::{
    BuildAnswer, BuildRequest, Engine, EngineConfig, EngineStatus, Event, NotNow, Reply, Submission,
    Subscription,
};
use millrace_types::chain_spec::{ConsensusSpec, GenesisAccount};
use millrace_types::keys::SecretKey;
use millrace_types::{
    Address, Block, ChainSpec, Gas, Hash, Height, Outcome, Payload, SignedTransaction, Transaction,
};

use super::clock;
use crate::load::kind::{DEPLOY_GAS, GAS_PRICE, HASH, hash_rounds};

/// Of every call. What is used is far below; what is charged is half of it at least.
pub const CALL_GAS: Gas = 1 << 30;
/// Who gets the tips.
const PROPOSER: Address = Address([0xee; 32]);
const CHAIN_ID: u64 = 7;
const BALANCE: u128 = 1 << 100;
/// Longer than any block takes; then the engine is stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// A certificate that proves nothing.
const CERTIFICATE: &[u8] = b"stand-in";

/// Keys of so many accounts, the same every time.
pub fn keys(count: usize) -> Vec<SecretKey> {
    let key = |index: usize| {
        let mut seed = [0xb3; 32];
        seed[..8].copy_from_slice(&(index as u64).to_le_bytes());
        SecretKey::from_seed(seed)
    };
    (0..count).map(key).collect()
}

/// A chain of these accounts, whose blocks may be as large as anybody asks for.
pub fn spec(keys: &[SecretKey], consensus: ConsensusSpec) -> ChainSpec {
    let accounts = keys.iter().map(|key| GenesisAccount {
        address: key.address(),
        balance: BALANCE,
    });
    let mut spec = ChainSpec::development(CHAIN_ID, 1_000, accounts.collect(), consensus);
    spec.limits.transaction_gas = CALL_GAS;
    spec.limits.block_gas = 1 << 50;
    spec.limits.block_write_bytes = u64::MAX;
    spec
}

/// The consensus of chains that the stand-in drives.
pub fn stand_in_spec() -> ConsensusSpec {
    ConsensusSpec {
        id: "bench/1".into(),
        parameters: Vec::new(),
    }
}

/// Signs a transaction at the price of all loads.
pub fn sign(key: &SecretKey, nonce: u64, gas_limit: Gas, payload: Payload) -> SignedTransaction {
    Transaction {
        chain_id: CHAIN_ID,
        public_key: key.public_key().0,
        nonce,
        gas_limit,
        gas_price: GAS_PRICE,
        payload,
    }
    .sign(key)
}

/// A call of `hash` that hashes so many times.
pub fn compute(key: &SecretKey, nonce: u64, contract: Address, rounds: u32) -> SignedTransaction {
    let payload = Payload::Call {
        to: contract,
        value: 0,
        input: hash_rounds(rounds, &[7; 32]),
    };
    sign(key, nonce, CALL_GAS, payload)
}

/// How consensus spends its time on a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Voting {
    /// For others, as on a network.
    Waits,
    /// With a processor's time.
    Computes,
}

/// What consensus is like.
#[derive(Clone, Copy, Debug)]
pub struct Consensus {
    pub voting: Voting,
    /// On each block.
    pub time: Duration,
    /// Proposals are announced before the vote, so that the engine may execute them ahead of their turn.
    pub announces: bool,
    /// Most transactions of a block that are calls of [`CALL_GAS`].
    pub calls: Option<u64>,
    /// Blocks without transactions are wanted too.
    pub allow_empty: bool,
}

/// A block that was decided.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    pub height: Height,
    pub transactions: usize,
    /// Building and voting.
    pub consensus: Duration,
    /// When the engine was given it.
    pub submitted: Duration,
}

/// The stand-in for consensus.
pub struct StandIn {
    engine: Engine,
    events: Subscription,
    consensus: Consensus,
    head: Hash,
}

impl StandIn {
    pub fn new(engine: &Engine, consensus: Consensus) -> Self {
        Self {
            events: engine.subscribe(),
            head: engine.heights().head.hash,
            engine: engine.clone(),
            consensus,
        }
    }

    /// The next block, waited for as long as the engine holds it back; none while the chain is idle.
    ///
    /// # Errors
    /// The engine stopped, or is stuck.
    pub fn turn(&mut self) -> Result<Option<Turn>, String> {
        loop {
            let asked = clock::now();
            let block = match self.build()? {
                Ok(block) => block,
                Err(NotNow::Idle) => return Ok(None),
                Err(_) => {
                    self.wait_for(|event| *event == Event::Work)?;
                    continue;
                }
            };
            if self.consensus.announces {
                self.engine.announce((*block).clone());
            }
            match self.consensus.voting {
                Voting::Waits => thread::sleep(self.consensus.time),
                Voting::Computes => clock::burn(self.consensus.time),
            }
            let submitted = clock::now();
            let (height, transactions) = (block.header.height, block.body.transactions.len());
            self.finalize(*block)?;
            return Ok(Some(Turn {
                height,
                transactions,
                consensus: submitted.saturating_sub(asked),
                submitted,
            }));
        }
    }

    fn build(&self) -> Result<Result<Box<Block>, NotNow>, String> {
        let request = BuildRequest {
            parent: self.head,
            proposer: PROPOSER,
            consensus_data: Vec::new(),
            max_gas: self.consensus.calls.map(|calls| calls * CALL_GAS),
            max_bytes: None,
            timestamp_ms: None,
            allow_empty: self.consensus.allow_empty,
        };
        let (reply, answer) = Reply::channel();
        self.engine.build(request, reply);
        match answer.recv_timeout(PATIENCE) {
            Ok(BuildAnswer::Built(block)) => Ok(Ok(block)),
            Ok(BuildAnswer::NotNow(reason)) => Ok(Err(reason)),
            Ok(other) => Err(format!("no block is built: {other:?}")),
            Err(_) => Err(self.stuck("a block to be built")),
        }
    }

    fn finalize(&mut self, block: Block) -> Result<(), String> {
        self.head = block.hash();
        loop {
            match self.engine.submit_finalized(block.clone(), CERTIFICATE.to_vec()) {
                Submission::Accepted => return Ok(()),
                Submission::Again => self.wait_for(|event| matches!(event, Event::Credit { .. }))?,
                Submission::Stopped => return Err(self.stuck("room for a block")),
            }
        }
    }

    /// Waits until the engine acknowledges a block; with `pipelining = off`: until its receipt is durable.
    ///
    /// # Errors
    /// The engine stopped, or is stuck.
    pub fn wait_until_acknowledged(&self, height: Height) -> Result<Duration, String> {
        self.wait_for(|event| matches!(event, Event::Finalized { block, .. } if block.height >= height))?;
        Ok(clock::now())
    }

    /// Waits until a block is executed.
    ///
    /// # Errors
    /// The engine stopped, or is stuck.
    pub fn wait_until_executed(&self, height: Height) -> Result<(), String> {
        while self.engine.heights().executed.height < height {
            self.wait_for(|event| matches!(event, Event::Executed { .. }))?;
        }
        Ok(())
    }

    fn wait_for(&self, is_wanted: impl Fn(&Event) -> bool) -> Result<(), String> {
        loop {
            match self.events.recv_timeout(PATIENCE) {
                // What was missed may have been it.
                Ok(event) if is_wanted(&event) || matches!(event, Event::Lagged { .. }) => return Ok(()),
                Ok(Event::Stopped { reason }) => return Err(format!("the engine stopped: {reason}")),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(self.stuck("an event"));
                }
            }
        }
    }

    fn stuck(&self, what: &str) -> String {
        match self.engine.status() {
            EngineStatus::Stopped { reason } => format!("the engine stopped: {reason}"),
            EngineStatus::Running => format!("no {what} for {PATIENCE:?}: {:?}", self.engine),
        }
    }
}

/// Puts the contract `hash` on the chain; `key`'s first transaction.
///
/// # Errors
/// It did not come to be.
pub fn deploy(engine: &Engine, key: &SecretKey) -> Result<Address, String> {
    let payload = Payload::Deploy {
        code: HASH.to_vec(),
        value: 0,
        input: Vec::new(),
    };
    let deploy = sign(key, 0, DEPLOY_GAS, payload);
    engine
        .submit_transaction(deploy)
        .map_err(|error| error.to_string())?;
    let mut consensus = StandIn::new(engine, at_once());
    let mut height = 0;
    while let Some(turn) = consensus.turn()? {
        height = turn.height;
    }
    consensus.wait_until_executed(height)?;
    let receipts = receipts(engine, 1)?;
    let created = receipts.iter().find_map(|receipt| receipt.created);
    created.ok_or_else(|| "the contract's deployment did not succeed".to_owned())
}

/// Consensus that takes no time.
pub fn at_once() -> Consensus {
    Consensus {
        voting: Voting::Waits,
        time: Duration::ZERO,
        announces: false,
        calls: None,
        allow_empty: false,
    }
}

fn receipts(engine: &Engine, height: Height) -> Result<Vec<millrace_types::TransactionReceipt>, String> {
    let failed = |error: millrace_ledger::LedgerError| error.to_string();
    let hash = engine.ledger().finalized_hash(height).map_err(failed)?;
    let hash = hash.ok_or_else(|| format!("no block at height {height}"))?;
    let receipts = engine.transaction_receipts(&hash).map_err(failed)?;
    receipts.ok_or_else(|| format!("height {height} is not executed"))
}

/// Checks that every transaction of a block succeeded.
///
/// # Errors
/// The first that did not.
pub fn check_success(engine: &Engine, height: Height) -> Result<(), String> {
    let failed = receipts(engine, height)?
        .into_iter()
        .find(|receipt| receipt.outcome != Outcome::Success);
    failed.map_or(Ok(()), |receipt| {
        let (hash, outcome) = (receipt.transaction_hash, receipt.outcome);
        Err(format!("transaction {hash} did not succeed: {outcome:?}"))
    })
}

/// The root after the newest executed block.
///
/// # Errors
/// The ledger's.
pub fn root(engine: &Engine) -> Result<Hash, String> {
    let executed = engine.heights().executed;
    let receipt = engine
        .receipt(&executed.hash)
        .map_err(|error| error.to_string())?;
    let receipt = receipt.ok_or("the newest executed block has no receipt")?;
    Ok(receipt.post_state_root)
}

/// A block that was executed, when, and what the processor had been used for until then.
#[derive(Clone, Copy, Debug)]
pub struct Executed {
    pub transactions: u32,
    pub at: Duration,
    pub cpu: Duration,
}

/// Watches executed blocks until the engine ends.
///
/// # Errors
/// No thread.
pub fn watch(engine: &Engine) -> Result<JoinHandle<Vec<Executed>>, String> {
    let events = engine.subscribe();
    let watch = move || {
        let mut seen = Vec::new();
        while let Ok(event) = events.recv() {
            match event {
                Event::Executed { transactions, .. } => seen.push(Executed {
                    transactions,
                    at: clock::now(),
                    cpu: clock::cpu(),
                }),
                Event::Stopped { .. } => break,
                _ => {}
            }
        }
        seen
    };
    let thread = thread::Builder::new().name("bench-watch".to_owned());
    thread.spawn(watch).map_err(|error| error.to_string())
}

/// Executes the finalized blocks of `engine` in another one, strictly in turn, by one worker and in native code, and
/// compares every receipt.
///
/// # Errors
/// The first that differs.
pub fn check_by_twin(engine: &Engine) -> Result<(), String> {
    let spec = (**engine.spec()).clone();
    let config = EngineConfig {
        pipelining: false,
        workers: 1,
        tier: millrace_executor::Tier::Jit,
        ..EngineConfig::default()
    };
    let ledger = Ledger::in_memory(&spec).map_err(|error| error.to_string())?;
    let twin = Engine::open(spec, ledger, config).map_err(|error| error.to_string())?;
    let mut consensus = StandIn::new(&twin, at_once());
    let failed = |error: millrace_ledger::LedgerError| error.to_string();
    for height in 1..=engine.heights().finalized.height {
        let hash = engine.ledger().finalized_hash(height).map_err(failed)?;
        let block = hash.map(|hash| engine.block(&hash)).transpose().map_err(failed)?;
        let block = block
            .flatten()
            .ok_or_else(|| format!("height {height} is lost"))?;
        let hash = block.hash();
        consensus.finalize(block)?;
        consensus.wait_until_acknowledged(height)?;
        let (one, other) = (engine.receipt(&hash), twin.receipt(&hash));
        let (one, other) = (one.map_err(failed)?, other.map_err(failed)?);
        if one.is_none() || one != other {
            return Err(format!(
                "height {height} was executed to {one:?}, and in turn to {other:?}"
            ));
        }
    }
    twin.stop();
    Ok(())
}
