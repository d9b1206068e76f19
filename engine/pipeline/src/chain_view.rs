//! The canonical chain as it is at one moment: what several look-ups have to agree about.

use std::sync::Arc;

use millrace_ledger::{Ledger, LedgerError};
use millrace_types::{Hash, Height};

use crate::api::{BlockId, BlockRef, Heights, Tag};
use crate::engine::Engine;

/// Blocks below a lost one that are looked at for the one that it shares with the canonical chain: as many as an engine keeps
/// unfinalized at most.
const MOST_LOST: usize = 4_096;

/// One moment's chain: the finalized one, and above it the head chain.
pub(crate) struct ChainView<'a> {
    pub(crate) heights: Heights,
    head_chain: Arc<[Hash]>,
    ledger: &'a Ledger,
}

impl<'a> ChainView<'a> {
    /// The chain as it is now.
    pub(crate) fn of(engine: &'a Engine) -> Self {
        let (heights, head_chain) = engine.shared().board.chain();
        Self {
            heights,
            head_chain,
            ledger: &engine.shared().ledger,
        }
    }

    /// The block at a height.
    pub(crate) fn at(&self, height: Height) -> Result<Option<BlockRef>, LedgerError> {
        // A height that is stored but not acknowledged yet is not finalized for anyone.
        let hash = match height.checked_sub(self.heights.finalized.height) {
            Some(above @ 1..) => usize::try_from(above - 1)
                .ok()
                .and_then(|place| self.head_chain.get(place).copied()),
            _ => self.ledger.finalized_hash(height)?,
        };
        Ok(hash.map(|hash| BlockRef { height, hash }))
    }

    /// Whether a block is on it.
    pub(crate) fn has(&self, block: &BlockRef) -> Result<bool, LedgerError> {
        Ok(self.at(block.height)? == Some(*block))
    }

    /// The block that a reader means, which may be on another branch; `None` when this node does not store it.
    pub(crate) fn resolve(&self, id: BlockId) -> Result<Option<BlockRef>, LedgerError> {
        match id {
            BlockId::Tag(Tag::Finalized) => Ok(Some(self.heights.finalized)),
            BlockId::Tag(Tag::Executed) => Ok(Some(self.heights.executed)),
            BlockId::Tag(Tag::Pending) => Ok(Some(self.heights.head)),
            BlockId::Tag(Tag::Settled) => self.at(self.heights.settled),
            BlockId::Tag(Tag::Safe) => self.at(self.heights.safe),
            BlockId::Height(height) => self.at(height),
            BlockId::Hash(hash) => {
                let header = self.ledger.header(&hash)?;
                Ok(header.map(|header| BlockRef {
                    height: header.height,
                    hash,
                }))
            }
        }
    }

    /// The newest ancestor of a lost block that is on it; `None` when this node does not store the way there.
    pub(crate) fn shared_with(&self, lost: &BlockRef) -> Result<Option<BlockRef>, LedgerError> {
        let mut at = *lost;
        for _ in 0..MOST_LOST {
            if self.has(&at)? {
                return Ok(Some(at));
            }
            let Some(header) = self.ledger.header(&at.hash)? else {
                break;
            };
            let Some(height) = header.height.checked_sub(1) else {
                break;
            };
            at = BlockRef {
                height,
                hash: header.parent_hash,
            };
        }
        Ok(None)
    }
}
