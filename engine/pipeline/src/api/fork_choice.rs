//! The words of fork choice: how a head moves, and why it does not.

use millrace_types::{Block, Hash, Height};

use super::{BlockRef, StopReason};
use crate::admission::Invalid;
use crate::reply::Aborted;

/// The answer to [`crate::Engine::set_head`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SetHeadAnswer {
    /// The block is valid, and the head now.
    Moved {
        /// The head.
        head: BlockRef,
    },
    /// The block, or an ancestor of it, is invalid. The head stays.
    Invalid {
        /// The first block of its branch that is.
        block: Hash,
        /// Why.
        reason: Invalid,
    },
    /// A later call took this one's place before the block's verdict was found.
    Superseded,
    /// The head may not be there. It stays.
    Refused(HeadRefused),
    /// Too many requests wait; ask again.
    Busy,
    /// The engine no longer takes blocks.
    Stopped(StopReason),
    /// The engine stopped while the request waited.
    Aborted,
}

impl Aborted for SetHeadAnswer {
    fn aborted() -> Self {
        Self::Aborted
    }
}

/// Why a head is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeadRefused {
    /// No such block is here.
    #[error("block {block} is not known here: import it, and its ancestors before it")]
    Unknown {
        /// As asked.
        block: Hash,
    },
    /// Finality is beyond it: a reorg below finality does not exist.
    #[error(
        "block {block} at height {height} is below the finalized height {}: a head never goes back behind finality",
        .finalized.height
    )]
    BelowFinality {
        /// As asked.
        block: Hash,
        /// Its height.
        height: Height,
        /// The newest finalized block.
        finalized: BlockRef,
    },
    /// It is on a branch that lost against finality.
    #[error("block {block} conflicts with the finalized block {} at height {}", .finalized.hash, .finalized.height)]
    Conflicting {
        /// As asked.
        block: Hash,
        /// The newest finalized block.
        finalized: BlockRef,
    },
    /// There was no room for it beside the head chain and its own branch. A branch that is longer than there is room at all
    /// is a fault of the plugin, once it is to become head ([`crate::PluginFault::HeadTooLong`]).
    #[error(
        "block {block} at height {height} was not taken: no more than {limit} blocks above the finalized height {finalized} \
         are kept, and the others are on the head chain or on its own; finalize first, and import it again"
    )]
    TooLong {
        /// As asked.
        block: Hash,
        /// Its height.
        height: Height,
        /// The newest finalized height.
        finalized: Height,
        /// `max_unfinalized_blocks`.
        limit: usize,
    },
    /// Its time is ahead of this node's clock. It was not taken; import it again later.
    #[error(
        "block {block} is {by_ms} ms further ahead of this node's clock than the chain allows; import it again then"
    )]
    Early {
        /// As asked.
        block: Hash,
        /// How much.
        by_ms: u64,
    },
}

/// Who moved a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeadCause {
    /// [`crate::Engine::set_head`].
    ForkChoice,
    /// A block became final that was not on the head chain.
    Finality,
}

/// How the head moved: from the tip of the first list to the tip of the second one. Receipts of removed blocks stay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeadMove {
    /// The head from now on.
    pub head: BlockRef,
    /// Who moved it.
    pub cause: HeadCause,
    /// Blocks that the head chain has no longer, the highest first; none of them is final.
    pub removed: Vec<BlockRef>,
    /// Of these, the ones that counted as executed; likewise.
    pub removed_executed: Vec<BlockRef>,
    /// Blocks that it has instead, the lowest first.
    pub added: Vec<BlockRef>,
}

/// What [`crate::Engine::import_block`] is given, to be looked at by whoever is told that it was turned away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TurnedAway {
    Invalid(Invalid),
    Refused(HeadRefused),
}

impl BlockRef {
    /// Height and hash of a block.
    #[must_use]
    pub fn of(block: &Block) -> Self {
        Self {
            height: block.header.height,
            hash: block.hash(),
        }
    }
}
