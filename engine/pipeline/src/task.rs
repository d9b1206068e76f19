//! A block on its way through the ring: what each stage leaves for the next.

use std::sync::{Arc, OnceLock};

use millrace_state::VersionId;
use millrace_types::{Block, ExecutionReceipt, Gas, Hash, Height, TransactionReceipt, merkle};

/// A finalized, admitted block.
#[derive(Debug)]
pub(crate) struct BlockTask {
    pub(crate) hash: Hash,
    pub(crate) block: Arc<Block>,
    /// Left by execution.
    pub(crate) outcome: OnceLock<Outcome>,
    /// Left by the root stage.
    pub(crate) receipt: OnceLock<ExecutionReceipt>,
}

/// What execution leaves beside the changes, which are in the store.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) receipts: Vec<TransactionReceipt>,
    pub(crate) gas_used: Gas,
    pub(crate) gas_charged: Gas,
}

impl BlockTask {
    pub(crate) fn new(hash: Hash, block: Arc<Block>) -> Self {
        Self {
            hash,
            block,
            outcome: OnceLock::new(),
            receipt: OnceLock::new(),
        }
    }

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
