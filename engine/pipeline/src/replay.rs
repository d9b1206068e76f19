//! Replaying a ledger from genesis, one block after the other, by nothing but the rules.
//!
//! The slow twin of the pipeline, and what an operator trusts when in doubt: no fork tree, no threads, no queue. Every
//! header must follow its parent, every settled receipt must be the one computed here, and every receipt that the
//! ledger stores must come out again, transaction by transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_executor::{Executor, on_large_stack};
use millrace_ledger::Ledger;
use millrace_state::Store;
use millrace_types::settlement::{HeaderError, SettlementError, check_header, check_settlement};
use millrace_types::{Block, ChainSpec, ExecutionReceipt, Hash, Header, Height};

use crate::api::BlockRef;
use crate::execution;
use crate::recovery::{OpenError, genesis, genesis_store};
use crate::task::version;

/// What a replay found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplayReport {
    /// Blocks executed, genesis not counted.
    pub blocks: u64,
    /// Transactions executed.
    pub transactions: u64,
    /// The newest finalized block.
    pub last: BlockRef,
    /// The state root after it.
    pub root: Hash,
    /// Finalized blocks that the ledger has no receipt of: the node had not executed them yet.
    pub without_receipt: u64,
}

/// Why a ledger is not what a sequential node would have written.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The replay could not begin or go on, or a receipt differs ([`OpenError::Divergence`]).
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A header does not follow its parent.
    #[error("height {height}: {error}")]
    Header {
        /// Where.
        height: Height,
        /// Why.
        error: HeaderError,
    },
    /// A block settles other receipts than those computed.
    #[error("height {height} settles other receipts than execution gives: {error}")]
    Settlement {
        /// Where.
        height: Height,
        /// Why.
        error: SettlementError,
    },
    /// A transaction's receipt differs from the one stored.
    #[error(
        "height {height}: the stored receipts of its transactions differ from execution, the first at index {index}"
    )]
    TransactionReceipts {
        /// Where.
        height: Height,
        /// The first that differs.
        index: u64,
    },
}

impl From<millrace_ledger::LedgerError> for ReplayError {
    fn from(error: millrace_ledger::LedgerError) -> Self {
        Self::Open(error.into())
    }
}

/// Replays the chain `spec` as far as `ledger` holds it.
///
/// # Errors
/// The first thing that does not come out as the ledger says.
pub fn replay_check(spec: &ChainSpec, ledger: &Ledger) -> Result<ReplayReport, ReplayError> {
    spec.validate().map_err(OpenError::from)?;
    let executor = Executor::new(Arc::new(spec.clone())).map_err(OpenError::from)?;
    let (block, root) = genesis(spec)?;
    let hash = block.hash();
    // The parent's state is all that a block needs.
    let store = genesis_store(spec, &hash, 2, None)?;
    let report = ReplayReport {
        blocks: 0,
        transactions: 0,
        last: BlockRef { height: 0, hash },
        root,
        without_receipt: 0,
    };
    let mut replay = Replay {
        spec,
        ledger,
        executor,
        store,
        parent: block.header,
        receipts: BTreeMap::new(),
        report,
    };
    on_large_stack(spec, || replay.run()).map_err(OpenError::from)?
}

struct Replay<'a> {
    spec: &'a ChainSpec,
    ledger: &'a Ledger,
    executor: Executor,
    store: Store,
    parent: Header,
    /// Receipts that are not settled yet.
    receipts: BTreeMap<Height, ExecutionReceipt>,
    report: ReplayReport,
}

impl Replay<'_> {
    fn run(&mut self) -> Result<ReplayReport, ReplayError> {
        let Some(last) = self.ledger.last_finalized()? else {
            return Ok(self.report);
        };
        let found = self.ledger.finalized_hash(0)?.ok_or(OpenError::Gap {
            what: "finalized block",
            height: 0,
        })?;
        let begins = self.ledger.begins_at()?;
        if begins > 1 {
            return Err(OpenError::BeginsLater { begins }.into());
        }
        let expected = self.report.last.hash;
        if found != expected {
            return Err(OpenError::OtherGenesis { found, expected }.into());
        }
        for height in 1..=last.height {
            let gap = |what| OpenError::Gap { what, height };
            let hash = self
                .ledger
                .finalized_hash(height)?
                .ok_or(gap("finalized block"))?;
            let block = self.ledger.block(&hash)?.ok_or(gap("block"))?;
            self.step(hash, block)?;
        }
        Ok(self.report)
    }

    fn step(&mut self, hash: Hash, block: Block) -> Result<(), ReplayError> {
        let height = block.header.height;
        check_header(&block.header, &self.parent, &self.report.last.hash, self.spec)
            .map_err(|error| ReplayError::Header { height, error })?;
        self.check_settled(&block)?;
        let (computed, receipts) =
            execution::execute_whole(&self.executor, &self.store, hash, &block).map_err(OpenError::from)?;
        self.store
            .set_finalized(version(&hash))
            .map_err(OpenError::from)?;
        match self.ledger.receipt(&hash)? {
            None => self.report.without_receipt += 1,
            Some(stored) if stored == computed => {
                let stored = self.ledger.transaction_receipts(&hash)?.unwrap_or_default();
                if stored != receipts {
                    let index = stored
                        .iter()
                        .zip(&receipts)
                        .take_while(|(stored, own)| stored == own)
                        .count();
                    return Err(ReplayError::TransactionReceipts {
                        height,
                        index: index as u64,
                    });
                }
            }
            Some(stored) => {
                let (stored, computed) = (Box::new(stored), Box::new(computed));
                return Err(OpenError::Divergence {
                    height,
                    stored,
                    computed,
                }
                .into());
            }
        }
        self.report.blocks += 1;
        self.report.transactions += receipts.len() as u64;
        self.report.last = BlockRef { height, hash };
        self.report.root = computed.post_state_root;
        self.receipts.insert(height, computed);
        self.parent = block.header;
        Ok(())
    }

    /// What the block settles is what was computed here.
    fn check_settled(&mut self, block: &Block) -> Result<(), ReplayError> {
        let (height, from) = (block.header.height, self.parent.settled_height + 1);
        let unsettled = self.receipts.split_off(&(block.header.settled_height + 1));
        let own: Vec<ExecutionReceipt> = std::mem::replace(&mut self.receipts, unsettled)
            .into_values()
            .collect();
        let ancestor = |at: Height| {
            own.iter()
                .find(|receipt| receipt.height == at)
                .map_or(Hash::ZERO, |r| r.block_hash)
        };
        check_settlement(&block.header, from - 1, &own, ancestor)
            .map_err(|error| ReplayError::Settlement { height, error })?;
        let carried = &block.body.receipts;
        if !carried.is_empty() && *carried != own {
            let (found, expected) = (carried.len(), own.len() as u64);
            return Err(ReplayError::Settlement {
                height,
                error: SettlementError::Count { found, expected },
            });
        }
        Ok(())
    }
}
