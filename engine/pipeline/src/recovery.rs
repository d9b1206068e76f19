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
use std::sync::Arc;

use millrace_executor::{Executor, genesis_changes, on_large_stack};
use millrace_ledger::{Batch, Finalized, Ledger};
use millrace_state::{Config, Genesis, Store, VersionId};
use millrace_types::chain_spec::InvalidChainSpec;
use millrace_types::{Block, Body, ChainSpec, ExecutionReceipt, Hash, Header, Height};

use crate::admission::{Spending, Summary};
use crate::api::BlockRef;
use crate::core::Start;
use crate::execution::{self, ExecuteError};
use crate::task::version;
use crate::tree::{Node, Standing};

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
    /// The store refused finality.
    #[error("state: {0}")]
    Finality(#[from] millrace_state::FinalizeError),
    /// The system gave no thread.
    #[error("starting a thread: {0}")]
    Thread(#[from] std::io::Error),
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

/// A store that holds the genesis state.
pub(crate) fn genesis_store(spec: &ChainSpec, genesis: &Hash, retention: u64) -> Result<Store, OpenError> {
    let state = Genesis {
        id: version(genesis),
        height: 0,
        changes: genesis_changes(spec).into(),
    };
    Ok(Store::open(
        Config {
            retention,
            ..Config::default()
        },
        state,
    )?)
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
    retention: u64,
) -> Result<Recovered, OpenError> {
    let (block, _) = genesis(spec)?;
    let genesis = BlockRef {
        height: 0,
        hash: block.hash(),
    };
    let last = write_genesis(ledger, &block, genesis.hash)?;
    let store = genesis_store(spec, &genesis.hash, retention)?;
    let mut recovery = Recovery {
        ledger,
        executor,
        store: &store,
        nodes: BTreeMap::new(),
    };
    recovery.keep(Arc::new(block), genesis.hash, None)?;
    let unexecuted = on_large_stack(spec, || recovery.replay(last.height))??;
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

impl Recovery<'_> {
    /// Executes again what has a receipt; answers the blocks that have none.
    fn replay(&mut self, last: Height) -> Result<Vec<Block>, OpenError> {
        let mut unexecuted = Vec::new();
        for height in 1..=last {
            let hash = self.ledger.finalized_hash(height)?.ok_or(OpenError::Gap {
                what: "finalized block",
                height,
            })?;
            let block = self.ledger.block(&hash)?.ok_or(OpenError::Gap {
                what: "block",
                height,
            })?;
            match self.ledger.receipt(&hash)? {
                Some(_) if !unexecuted.is_empty() => {
                    return Err(OpenError::Gap {
                        what: "receipt",
                        height: height - 1,
                    });
                }
                Some(stored) => self.execute(hash, block, stored)?,
                None => unexecuted.push(block),
            }
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
        let height = block.header.height;
        let receipt = match receipt {
            Some(receipt) => Some(receipt),
            None => ExecutionReceipt::of_genesis(&block.header),
        };
        let inherited = self
            .nodes
            .last_key_value()
            .map_or(0, |(_, parent)| parent.last_non_empty);
        let last_non_empty = if block.body.transactions.is_empty() {
            inherited
        } else {
            height
        };
        let settled = block.header.settled_height;
        let standing = Standing::Valid(Arc::new(summarize(&block)));
        self.nodes.insert(
            height,
            Node {
                hash,
                block,
                standing,
                receipt,
                last_non_empty,
            },
        );
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
