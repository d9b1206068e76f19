//! Replaying a ledger, one block after the other, by nothing but the rules: from genesis, or from a state that a checkpoint of
//! the same chain vouches for, where the ledger begins above genesis.
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
use millrace_types::{Block, ChainSpec, ExecutionReceipt, Hash, Header, Height, TransactionReceipt};

use crate::api::BlockRef;
use crate::checkpoint::{Checkpoint, CheckpointError, Vouched};
use crate::execution;
use crate::recovery::{OpenError, genesis, genesis_store};
use crate::task::version;

/// What a replay found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplayReport {
    /// The block whose state it began with.
    pub from: BlockRef,
    /// Blocks executed.
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
    /// The first blocks are not there.
    #[error(
        "the ledger begins at height {begins}, above an imported state: replay from the file that was imported, or from one that \
         was exported of height {} or above", begins.saturating_sub(1)
    )]
    NoBeginning {
        /// The first height of the ledger above genesis.
        begins: Height,
    },
    /// The blocks between the state and the ledger are not there.
    #[error(
        "the ledger begins at height {begins}, but the file's state is of height {height}: give one of height {} or above",
        begins.saturating_sub(1)
    )]
    BeginsAbove {
        /// The first height of the ledger above genesis.
        begins: Height,
        /// Of the state.
        height: Height,
    },
    /// The ledger does not reach the block that vouches for the state.
    #[error(
        "the file ends with block {hash} at height {height}, the ledger with height {last}: give a file that ends at {last} or \
         below"
    )]
    EndsBelow {
        /// The file's last block.
        hash: Hash,
        /// Its height.
        height: Height,
        /// The ledger's newest finalized height.
        last: Height,
    },
    /// The ledger's own chain does not vouch for the file.
    #[error("the file is not of the ledger's chain: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The store holds another state.
    #[error(
        "the file's state is {found} at height {height}, the ledger's chain vouches for {expected}; export it again"
    )]
    OtherState {
        /// Of the block.
        height: Height,
        /// Root of the store's state.
        found: Hash,
        /// Root in the block's receipt.
        expected: Hash,
    },
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

/// Replays the chain `spec` from genesis as far as `ledger` holds it.
///
/// # Errors
/// The first thing that does not come out as the ledger says.
pub fn replay_check(spec: &ChainSpec, ledger: &Ledger) -> Result<ReplayReport, ReplayError> {
    spec.validate().map_err(OpenError::from)?;
    let (block, root) = genesis(spec)?;
    let begin = BlockRef {
        height: 0,
        hash: block.hash(),
    };
    check_genesis(ledger, begin.hash)?;
    let begins = ledger.begins_at()?;
    if begins > 1 {
        return Err(ReplayError::NoBeginning { begins });
    }
    // The parent's state is all that a block needs.
    let store = genesis_store(spec, &begin.hash, 2, None)?;
    Replay::new(spec, ledger, store, (begin, block.header, root))?.run(BTreeMap::new())
}

/// What the chain that `ledger` holds vouches for in a checkpoint of it.
///
/// # Errors
/// [`ReplayError::EndsBelow`], or what is wrong with the checkpoint.
pub fn vouched_by_ledger<'a>(
    checkpoint: &'a Checkpoint,
    spec: &ChainSpec,
    ledger: &Ledger,
) -> Result<Vouched<'a>, ReplayError> {
    let newest = ledger.last_finalized()?.map_or(0, |newest| newest.height);
    let last = checkpoint.last().ok_or(CheckpointError::Empty("blocks"))?;
    let trusted = ledger.finalized_hash(last.height)?;
    let trusted = trusted.ok_or(ReplayError::EndsBelow {
        hash: last.hash,
        height: last.height,
        last: newest,
    })?;
    Ok(checkpoint.verify(spec, &trusted)?)
}

/// Replays the chain `spec` as far as `ledger` holds it, from the state that `vouched` names on, which is the newest one of
/// `store`. The receipts up to there are not executed but those that headers settle; they are compared with the ledger's too.
///
/// # Errors
/// The first thing that does not come out as the ledger says.
pub fn replay_check_from(
    spec: &ChainSpec,
    ledger: &Ledger,
    vouched: &Vouched<'_>,
    store: Store,
) -> Result<ReplayReport, ReplayError> {
    check_genesis(ledger, vouched.genesis())?;
    let (begin, begins) = (vouched.state, ledger.begins_at()?);
    if begins > begin.height + 1 {
        return Err(ReplayError::BeginsAbove {
            begins,
            height: begin.height,
        });
    }
    let found = store.persisted();
    if found.id != version(&begin.hash) || found.root != vouched.root.0 {
        return Err(ReplayError::OtherState {
            height: begin.height,
            found: Hash(found.root),
            expected: vouched.root,
        });
    }
    let header = vouched.state_header().clone();
    let replay = Replay::new(spec, ledger, store, (begin, header, vouched.root))?;
    for (receipt, transactions) in vouched.executions_up_to_state() {
        replay.compare(receipt.height, receipt.block_hash, receipt, transactions)?;
    }
    let settled = replay.parent.settled_height;
    let unsettled = vouched.executions_up_to_state().map(|(receipt, _)| receipt);
    let unsettled = unsettled.filter(|receipt| receipt.height > settled);
    replay.run(
        unsettled
            .map(|receipt| (receipt.height, receipt.clone()))
            .collect(),
    )
}

/// A ledger without blocks is any chain's.
fn check_genesis(ledger: &Ledger, expected: Hash) -> Result<(), ReplayError> {
    match ledger.finalized_hash(0)? {
        Some(found) if found != expected => Err(OpenError::OtherGenesis { found, expected }.into()),
        None if ledger.last_finalized()?.is_some() => Err(OpenError::Gap {
            what: "finalized block",
            height: 0,
        }
        .into()),
        _ => Ok(()),
    }
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

impl<'a> Replay<'a> {
    /// Begins after a block: its name, its header and the root of its state, which is the newest of `store`.
    fn new(
        spec: &'a ChainSpec,
        ledger: &'a Ledger,
        store: Store,
        (from, parent, root): (BlockRef, Header, Hash),
    ) -> Result<Self, ReplayError> {
        Ok(Self {
            spec,
            ledger,
            executor: Executor::new(Arc::new(spec.clone())).map_err(OpenError::from)?,
            store,
            parent,
            receipts: BTreeMap::new(),
            report: ReplayReport {
                from,
                blocks: 0,
                transactions: 0,
                last: from,
                root,
                without_receipt: 0,
            },
        })
    }

    /// Up to the newest finalized block, from receipts that are not settled yet.
    fn run(mut self, unsettled: BTreeMap<Height, ExecutionReceipt>) -> Result<ReplayReport, ReplayError> {
        self.receipts = unsettled;
        let last = self.ledger.last_finalized()?.map_or(0, |last| last.height);
        let spec = self.spec;
        on_large_stack(spec, || {
            for height in self.report.from.height + 1..=last {
                let gap = |what| OpenError::Gap { what, height };
                let hash = self
                    .ledger
                    .finalized_hash(height)?
                    .ok_or(gap("finalized block"))?;
                let block = self.ledger.block(&hash)?.ok_or(gap("block"))?;
                self.step(hash, block)?;
            }
            Ok(self.report)
        })
        .map_err(OpenError::from)?
    }

    fn step(&mut self, hash: Hash, block: Block) -> Result<(), ReplayError> {
        let height = block.header.height;
        check_header(&block.header, &self.parent, &self.report.last.hash, self.spec)
            .map_err(|error| ReplayError::Header { height, error })?;
        self.check_settled(&block)?;
        let (computed, receipts) =
            execution::execute_whole(&self.executor, &self.store, hash, &block).map_err(OpenError::from)?;
        let id = version(&hash);
        self.store.set_finalized(id).map_err(OpenError::from)?;
        // What no state reaches any more is given back.
        self.store.persist(id).map_err(OpenError::from)?;
        let is_stored = self.compare(height, hash, &computed, &receipts)?;
        self.report.without_receipt += u64::from(!is_stored);
        self.report.blocks += 1;
        self.report.transactions += receipts.len() as u64;
        self.report.last = BlockRef { height, hash };
        self.report.root = computed.post_state_root;
        self.receipts.insert(height, computed);
        self.parent = block.header;
        Ok(())
    }

    /// What the ledger stores of an execution is what it gave. Answers whether it stores any.
    fn compare(
        &self,
        height: Height,
        hash: Hash,
        computed: &ExecutionReceipt,
        receipts: &[TransactionReceipt],
    ) -> Result<bool, ReplayError> {
        let Some(stored) = self.ledger.receipt(&hash)? else {
            return Ok(false);
        };
        if stored != *computed {
            let (stored, computed) = (Box::new(stored), Box::new(computed.clone()));
            return Err(OpenError::Divergence {
                height,
                stored,
                computed,
            }
            .into());
        }
        let stored = self.ledger.transaction_receipts(&hash)?.unwrap_or_default();
        if stored == receipts {
            return Ok(true);
        }
        let same = stored
            .iter()
            .zip(receipts)
            .take_while(|(stored, own)| stored == own);
        let index = same.count() as u64;
        Err(ReplayError::TransactionReceipts { height, index })
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
