//! Transactions between pool and ledger.
//!
//! A transaction leaves the pool when a block with it becomes head or final, and is in the ledger when that block's body
//! is durable. In between it is here, so that nobody who asks where it is hears "unknown".

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use millrace_types::{Block, Hash, Height, SignedTransaction};

/// Transactions of blocks of the head chain above the finalized block that is durable, by height and block, in the order
/// of their ids. As many blocks as there are unfinalized or in flight.
#[derive(Default)]
pub(crate) struct UnderWay(RwLock<BTreeMap<(Height, Hash), Vec<Hash>>>);

impl UnderWay {
    /// A block's transactions are about to leave the pool.
    pub(crate) fn insert(&self, block: &Block) {
        let mut ids: Vec<Hash> = block
            .body
            .transactions
            .iter()
            .map(SignedTransaction::hash)
            .collect();
        ids.sort_unstable();
        let mut blocks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        blocks.insert((block.header.height, block.hash()), ids);
    }

    /// A block is on the head chain no longer: its transactions are in the pool again, or nowhere.
    pub(crate) fn remove(&self, block: &Block) {
        let mut blocks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        blocks.remove(&(block.header.height, block.hash()));
    }

    /// Bodies up to this height are durable.
    pub(crate) fn remove_up_to(&self, height: Height) {
        let mut blocks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *blocks = blocks.split_off(&(height + 1, Hash::ZERO));
    }

    /// Whether a transaction is here.
    pub(crate) fn contains(&self, transaction: &Hash) -> bool {
        let blocks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        blocks.values().any(|ids| ids.binary_search(transaction).is_ok())
    }
}
