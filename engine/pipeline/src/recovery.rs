//! Opening: from what is durable to a running engine's start.
//!
//! ```text
//!   ledger:  genesis … E ───────────── R ───────────── F
//!                     │                │               └ newest finalized body: acknowledged to consensus
//!                     │                └ newest receipt: those above are admitted and executed as if submitted again
//!                     └ newest state that the store kept on this chain: E+1 ..= R are executed again, and every
//!                       receipt must come out as it is stored (else `Divergence`)
//! ```
//!
//! Everything is keyed by block hash, so doing any of it twice changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millrace_executor::{Executor, genesis_changes, on_large_stack};
use millrace_ledger::{Batch, Finalized, Ledger};
use millrace_state::files::Directory;
use millrace_state::{Commit, Config, Genesis, Store, VersionId};
use millrace_types::chain_spec::InvalidChainSpec;
use millrace_types::{Block, Body, ChainSpec, ExecutionReceipt, Hash, Header, Height};

use crate::admission::{Spending, Summary};
use crate::api::BlockRef;
use crate::config::EngineConfig;
use crate::core::Start;
use crate::execution::{self, ExecuteError};
use crate::task::version;
use crate::tree::Node;

/// Why an engine did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The chain spec contradicts itself.
    #[error("chain spec: {0}")]
    Spec(#[from] InvalidChainSpec),
    /// This build cannot execute the chain.
    #[error("chain spec: {0}")]
    Unexecutable(#[from] millrace_executor::SpecError),
    /// The ledger could not be read or written.
    #[error(transparent)]
    Ledger(#[from] millrace_ledger::LedgerError),
    /// The store did not open.
    #[error("state: {0}")]
    Store(#[from] millrace_state::OpenError),
    /// States would be dropped that validation still needs.
    #[error("retention of {retention} blocks is too short: max_receipt_lag = {lag} needs at least {least}")]
    Retention {
        /// As configured.
        retention: u64,
        /// K.
        lag: u64,
        /// What it needs.
        least: u64,
    },
    /// The ledger holds another chain's genesis.
    #[error(
        "the ledger begins with genesis block {found}, the chain spec gives {expected}; use its own data directory"
    )]
    OtherGenesis {
        /// In the ledger.
        found: Hash,
        /// Of the spec.
        expected: Hash,
    },
    /// A record that must be there is not.
    #[error(
        "the ledger has no {what} for height {height}, though a later one is there; restore it from a backup"
    )]
    Gap {
        /// Kind of record.
        what: &'static str,
        /// Where.
        height: Height,
    },
    /// What led to the blocks that are there is not.
    #[error(
        "the ledger begins at height {begins}, above an imported state, and no state that is kept leads from there on: import \
         the state again, into an empty data directory"
    )]
    BeginsLater {
        /// The first height of the ledger above genesis.
        begins: Height,
    },
    /// A state that the next block is validated against is not there.
    #[error(
        "the state at height {height}, against which the next block is validated, is not kept; import the state again, into an \
         empty data directory, or delete the directory of states if the ledger begins with genesis"
    )]
    NoState {
        /// Where.
        height: Height,
    },
    /// A block executes to another receipt than before.
    #[error(
        "Divergence at height {height}: stored {stored:?}, executed now {computed:?}; this build or this machine \
         computes differently than the one that wrote the ledger"
    )]
    Divergence {
        /// Where.
        height: Height,
        /// In the ledger.
        stored: Box<ExecutionReceipt>,
        /// Computed now.
        computed: Box<ExecutionReceipt>,
    },
    /// A finalized block did not execute.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// The directory of states cannot be taken.
    #[error("the directory of states, {}: {error}", .path.display())]
    StateDirectory {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The store holds states, of which none is of the ledger's chain.
    #[error(
        "none of the states kept is of a block that the ledger has finalized and executed; they belong to another ledger: \
         bring that one back, or delete the directory of states, and this one's are executed again"
    )]
    OtherLedger,
    /// The store holds another state than the ledger's receipt commits to.
    #[error(
        "Divergence at height {height}: the receipt commits to the state root {stored}, the state kept has {found}; delete \
         the directory of states, and they are executed again, or import the state again if the ledger began with one"
    )]
    StateRoot {
        /// Where.
        height: Height,
        /// In the ledger.
        stored: Hash,
        /// In the store.
        found: Hash,
    },
    /// The store refused finality.
    #[error("state: {0}")]
    Finality(#[from] millrace_state::FinalizeError),
    /// The store refused to go back.
    #[error("state: {0}")]
    RollBack(#[from] millrace_state::RollBackError),
    /// The store could not keep a state.
    #[error("state: {0}")]
    Keep(#[from] millrace_state::PersistError),
    /// The system gave no thread.
    #[error("starting a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// The genesis block of a chain, made without any ledger.
///
/// # Errors
/// The state did not take the spec's accounts.
pub fn genesis_block(spec: &ChainSpec) -> Result<Block, OpenError> {
    genesis(spec).map(|(block, _)| block)
}

/// The genesis block of a chain and the root of its state.
pub(crate) fn genesis(spec: &ChainSpec) -> Result<(Block, Hash), OpenError> {
    let id = VersionId(Hash::ZERO.0);
    let state = Genesis {
        id,
        height: 0,
        changes: genesis_changes(spec).into(),
    };
    let root = Hash(Store::open(Config::default(), state)?.persisted().root);
    let header = Header::genesis(spec, root);
    Ok((
        Block {
            header,
            body: Body::default(),
        },
        root,
    ))
}

/// A store that holds the genesis state, and what a directory holds of later ones.
pub(crate) fn genesis_store(
    spec: &ChainSpec,
    genesis: &Hash,
    retention: u64,
    directory: Option<&Path>,
) -> Result<Store, OpenError> {
    let state = Genesis {
        id: version(genesis),
        height: 0,
        changes: genesis_changes(spec).into(),
    };
    let config = Config {
        retention,
        ..Config::default()
    };
    let Some(path) = directory else {
        return Ok(Store::open(config, state)?);
    };
    let files = Directory::open(path).map_err(|error| OpenError::StateDirectory {
        path: path.to_owned(),
        error,
    })?;
    Ok(Store::open_in(Arc::new(files), config, state)?)
}

/// What is durable, brought back.
pub(crate) struct Recovered {
    pub(crate) genesis: BlockRef,
    pub(crate) store: Store,
    pub(crate) start: Start,
    /// Finalized blocks without a receipt, ascending: to be admitted and executed.
    pub(crate) unexecuted: Vec<Block>,
}

/// Brings back what the ledger holds.
pub(crate) fn recover(
    spec: &ChainSpec,
    ledger: &Ledger,
    executor: &Executor,
    config: &EngineConfig,
) -> Result<Recovered, OpenError> {
    let (block, _) = genesis(spec)?;
    let genesis = BlockRef {
        height: 0,
        hash: block.hash(),
    };
    let last = write_genesis(ledger, &block, genesis.hash)?;
    let directory = config.state_directory.as_deref();
    let store = genesis_store(spec, &genesis.hash, config.retention_blocks, directory)?;
    let mut recovery = Recovery {
        ledger,
        executor,
        store: &store,
        nodes: BTreeMap::new(),
    };
    let begins = ledger.begins_at()?;
    let kept = recovery.take_kept(block, genesis, begins)?;
    if kept.height.saturating_add(1) < begins {
        return Err(OpenError::BeginsLater { begins });
    }
    let unexecuted = on_large_stack(spec, || recovery.replay(kept.height + 1, last.height))??;
    let chain = recovery.nodes.into_values().collect();
    Ok(Recovered {
        genesis,
        store,
        start: Start { chain },
        unexecuted,
    })
}

/// Makes sure that the ledger begins with this chain's genesis; answers its newest finalized block.
fn write_genesis(ledger: &Ledger, block: &Block, hash: Hash) -> Result<Finalized, OpenError> {
    match ledger.finalized_hash(0)? {
        Some(found) if found == hash => {}
        Some(found) => {
            return Err(OpenError::OtherGenesis {
                found,
                expected: hash,
            });
        }
        None => ledger.commit(Batch::new().block(block.clone()).finalized(0, hash))?,
    }
    Ok(ledger.last_finalized()?.unwrap_or(Finalized { height: 0, hash }))
}

struct Recovery<'a> {
    ledger: &'a Ledger,
    executor: &'a Executor,
    store: &'a Store,
    /// The newest executed blocks, by height, from s(newest).
    nodes: BTreeMap<Height, Node>,
}

/// Blocks executed again before their states are made durable together.
const KEPT_TOGETHER: u64 = 256;

impl Recovery<'_> {
    /// Begins with the newest state that the store kept of a block which the ledger has finalized and executed.
    ///
    /// The ledger begins at a height, which is 0 where it has all.
    fn take_kept(&mut self, genesis: Block, at: BlockRef, begins: Height) -> Result<Commit, OpenError> {
        let mut failed = None;
        let kept = self.store.newest_persisted(|commit| {
            let is_executed = self.is_executed(commit, &at);
            is_executed.unwrap_or_else(|error| {
                failed.get_or_insert(error);
                false
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let kept = kept.ok_or(match begins {
            0 | 1 => OpenError::OtherLedger,
            _ => OpenError::BeginsLater { begins },
        })?;
        if self.store.finalized().1 > kept.height {
            // The ledger was set back, to an older copy say.
            self.store.roll_back(kept.id)?;
        }
        if kept.height == 0 {
            self.keep(Arc::new(genesis), at.hash, None)?;
            return Ok(kept);
        }
        let (hash, block) = self.finalized(kept.height)?;
        let receipt = self.ledger.receipt(&hash)?;
        let stored = receipt.map_or(Hash::ZERO, |receipt| receipt.post_state_root);
        if stored.0 != kept.root {
            return Err(OpenError::StateRoot {
                height: kept.height,
                stored,
                found: Hash(kept.root),
            });
        }
        // Later blocks look back as far as the newest one settles.
        let first = block.header.settled_height;
        let mut before = first;
        // What is before the ledger's beginning is settled, and whether it was empty does not matter any more.
        while before > begins && self.finalized(before)?.1.body.transactions.is_empty() {
            before -= 1;
        }
        for height in first..=kept.height {
            if (1..begins).contains(&height) {
                return Err(OpenError::BeginsLater { begins });
            }
            let (hash, block) = self.finalized(height)?;
            let receipt = self.ledger.receipt(&hash)?;
            if receipt.is_none() && height > 0 {
                return Err(OpenError::Gap {
                    what: "receipt",
                    height,
                });
            }
            self.keep_after(before, Arc::new(block), hash, receipt)?;
        }
        self.store.set_finalized(version(&hash))?;
        Ok(kept)
    }

    /// Whether a state is of a block that the ledger has finalized and executed.
    fn is_executed(&self, commit: &Commit, genesis: &BlockRef) -> Result<bool, OpenError> {
        if commit.height == 0 {
            return Ok(commit.id == version(&genesis.hash));
        }
        let hash = self.ledger.finalized_hash(commit.height)?;
        let hash = hash.filter(|hash| version(hash) == commit.id);
        Ok(match hash {
            Some(hash) => self.ledger.receipt(&hash)?.is_some(),
            None => false,
        })
    }

    fn finalized(&self, height: Height) -> Result<(Hash, Block), OpenError> {
        let hash = self.ledger.finalized_hash(height)?.ok_or(OpenError::Gap {
            what: "finalized block",
            height,
        })?;
        let block = self.ledger.block(&hash)?.ok_or(OpenError::Gap {
            what: "block",
            height,
        })?;
        Ok((hash, block))
    }

    /// Executes again what has a receipt; answers the blocks that have none.
    fn replay(&mut self, first: Height, last: Height) -> Result<Vec<Block>, OpenError> {
        let mut unexecuted = Vec::new();
        let mut newest = None;
        for height in first..=last {
            let (hash, block) = self.finalized(height)?;
            match self.ledger.receipt(&hash)? {
                Some(_) if !unexecuted.is_empty() => {
                    return Err(OpenError::Gap {
                        what: "receipt",
                        height: height - 1,
                    });
                }
                Some(stored) => {
                    self.execute(hash, block, stored)?;
                    newest = Some(hash);
                    if height.is_multiple_of(KEPT_TOGETHER) {
                        self.store.persist(version(&hash))?;
                    }
                }
                None => unexecuted.push(block),
            }
        }
        if let Some(hash) = newest {
            self.store.persist(version(&hash))?;
        }
        Ok(unexecuted)
    }

    fn execute(&mut self, hash: Hash, block: Block, stored: ExecutionReceipt) -> Result<(), OpenError> {
        let (computed, _) = execution::execute_whole(self.executor, self.store, hash, &block)?;
        if computed != stored {
            let height = block.header.height;
            return Err(OpenError::Divergence {
                height,
                stored: Box::new(stored),
                computed: Box::new(computed),
            });
        }
        self.store.set_finalized(version(&hash))?;
        self.keep(Arc::new(block), hash, Some(stored))
    }

    /// Remembers an executed block, and forgets those that no later block looks at.
    fn keep(
        &mut self,
        block: Arc<Block>,
        hash: Hash,
        receipt: Option<ExecutionReceipt>,
    ) -> Result<(), OpenError> {
        self.keep_after(0, block, hash, receipt)
    }

    /// The same; `before` is the height of the newest block with transactions, of those before the first one remembered.
    fn keep_after(
        &mut self,
        before: Height,
        block: Arc<Block>,
        hash: Hash,
        receipt: Option<ExecutionReceipt>,
    ) -> Result<(), OpenError> {
        let height = block.header.height;
        let receipt = match receipt {
            Some(receipt) => Some(receipt),
            None => ExecutionReceipt::of_genesis(&block.header),
        };
        let inherited = self
            .nodes
            .last_key_value()
            .map_or(before, |(_, parent)| parent.last_non_empty);
        let last_non_empty = if block.body.transactions.is_empty() {
            inherited
        } else {
            height
        };
        let settled = block.header.settled_height;
        let summary = summarize(&block);
        let node = Node::of_finalized(hash, block, summary, receipt, last_non_empty);
        self.nodes.insert(height, node);
        self.nodes = self.nodes.split_off(&settled);
        Ok(())
    }
}

/// The summary of a block that is known to be admitted.
fn summarize(block: &Block) -> Summary {
    let mut summary = Summary::default();
    for signed in &block.body.transactions {
        let spending: &mut Spending = summary.senders.entry(signed.sender()).or_default();
        let cost = millrace_executor::most_cost(&signed.transaction);
        spending.count += 1;
        spending.cost = spending
            .cost
            .saturating_add(cost.expect("the cost of an admitted transaction fits"));
        summary.transactions.push(signed.hash());
    }
    summary
}
