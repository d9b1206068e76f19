//! Transactions between pool and ledger.
//!
//! A transaction leaves the pool when a block with it becomes head or final, and is in the ledger when that block's body
//! is durable. In between it is here, so that nobody who asks where it is hears "unknown".

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use millrace_types::{Block, Hash, Height, SignedTransaction};

/// Transactions of blocks of the head chain above the finalized block that is durable, by height and block, in the order
/// of their ids. As many blocks as there are unfinalized or in flight. The ordering thread alone writes: it puts a changed
/// copy of the list in the place of the old one.
#[derive(Default)]
pub(crate) struct UnderWay(ArcSwap<Blocks>);

type Blocks = BTreeMap<(Height, Hash), Arc<[Hash]>>;

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
        self.change(|blocks| {
            blocks.insert((block.header.height, block.hash()), ids.into());
        });
    }

    /// A block is on the head chain no longer: its transactions are in the pool again, or nowhere.
    pub(crate) fn remove(&self, block: &Block) {
        self.change(|blocks| {
            blocks.remove(&(block.header.height, block.hash()));
        });
    }

    /// Bodies up to this height are durable.
    pub(crate) fn remove_up_to(&self, height: Height) {
        self.change(|blocks| *blocks = blocks.split_off(&(height + 1, Hash::ZERO)));
    }

    fn change(&self, change: impl FnOnce(&mut Blocks)) {
        let mut blocks = Blocks::clone(&self.0.load());
        change(&mut blocks);
        self.0.store(Arc::new(blocks));
    }

    /// Whether a transaction is here.
    pub(crate) fn contains(&self, transaction: &Hash) -> bool {
        let blocks = self.0.load();
        blocks.values().any(|ids| ids.binary_search(transaction).is_ok())
    }
}
