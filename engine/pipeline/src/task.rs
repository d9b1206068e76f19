//! A block on its way through the ring: what each stage leaves for the next.

use std::sync::{Arc, OnceLock};

use millrace_state::VersionId;
use millrace_types::{Block, ExecutionReceipt, Gas, Hash, Height, TransactionReceipt, merkle};

/// What a block is executed for, the least urgent first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Purpose {
    /// It may become head or final: its result is kept in memory and shown to nobody.
    Speculation,
    /// It is on the head chain, or on the way to a block that is to become head: its receipt becomes durable.
    Head,
    /// It is final: so does its state, and branches that lost against it are dropped.
    Final,
}

/// An admitted block. One block may be there more than once, for different purposes: all its tasks share [`Work`], and
/// what one of them has done the next one passes by.
#[derive(Debug)]
pub(crate) struct BlockTask {
    pub(crate) hash: Hash,
    pub(crate) block: Arc<Block>,
    pub(crate) purpose: Purpose,
    pub(crate) work: Arc<Work>,
}

/// What is done of a block. Stages handle tasks one at a time and in order, so each cell has one writer.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Left by execution, whose changes are in the store then.
    pub(crate) outcome: OnceLock<Outcome>,
    /// Left by the root stage.
    pub(crate) receipt: OnceLock<ExecutionReceipt>,
    /// Set when the receipt is durable.
    durable: OnceLock<()>,
}

impl Work {
    /// The work on a block whose receipt is durable.
    pub(crate) fn durable() -> Self {
        let work = Self::default();
        work.set_durable();
        work
    }

    pub(crate) fn set_durable(&self) {
        // Setting it again says the same.
        let _ = self.durable.set(());
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.durable.get().is_some()
    }

    /// Nothing is left for execution to do.
    pub(crate) fn is_executed(&self) -> bool {
        self.is_durable() || self.outcome.get().is_some()
    }

    /// Nothing is left for the root stage to do.
    pub(crate) fn is_rooted(&self) -> bool {
        self.is_durable() || self.receipt.get().is_some()
    }
}

/// What execution leaves beside the changes, which are in the store.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) receipts: Arc<[TransactionReceipt]>,
    pub(crate) gas_used: Gas,
    pub(crate) gas_charged: Gas,
}

impl BlockTask {
    pub(crate) fn height(&self) -> Height {
        self.block.header.height
    }
}

impl Outcome {
    /// The block's receipt, now that its root is known.
    pub(crate) fn receipt(
        &self,
        height: Height,
        block_hash: Hash,
        post_state_root: Hash,
    ) -> ExecutionReceipt {
        ExecutionReceipt {
            height,
            block_hash,
            status: millrace_types::ExecutionStatus::Executed,
            post_state_root,
            transaction_receipts_root: merkle::receipts_root(&self.receipts),
            gas_used: self.gas_used,
            gas_charged: self.gas_charged,
        }
    }
}

/// The store's name for the state after a block.
pub(crate) fn version(block: &Hash) -> VersionId {
    VersionId(block.0)
}
