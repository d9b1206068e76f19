//! The reading side of the engine: heights, blocks, receipts, states. Look-ups read the ledger and the state store; none
//! waits for consensus or execution, and none shows what is not durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use millrace_executor::{BlockContext, ExecutionError, ReadOnlyCall, ReadOnlyOutcome, on_large_stack};
use millrace_ledger::{Ledger, LedgerError};
use millrace_types::{Block, ChainSpec, ExecutionReceipt, Hash, Header, Height, TransactionReceipt};

use crate::accounts::Asked;
use crate::api::{
    BlockId, BlockRef, Counters, EngineStatus, Heights, LocatedTransaction, StateAt, StateError, Tag,
    TransactionStatus,
};
use crate::chain_view::ChainView;
use crate::engine::Engine;
use crate::events::Subscription;
use crate::execution::Reader;
use crate::task::version;

impl Engine {
    /// The chain.
    #[must_use]
    pub fn spec(&self) -> &Arc<ChainSpec> {
        &self.shared().spec
    }

    /// Blocks above finality that are kept, over all branches: [`crate::EngineConfig::max_unfinalized_blocks`].
    #[must_use]
    pub fn max_unfinalized_blocks(&self) -> usize {
        self.shared().config.max_unfinalized_blocks
    }

    /// The genesis block.
    #[must_use]
    pub fn genesis(&self) -> BlockRef {
        self.shared().genesis
    }

    /// How far each stage has come, as one consistent record.
    #[must_use]
    pub fn heights(&self) -> Heights {
        self.shared().board.read(|facts| facts.heights)
    }

    /// Whether blocks are taken, and if not, why.
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        self.shared().board.read(|facts| facts.status.clone())
    }

    /// What was counted since the engine was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let shared = self.shared();
        Counters {
            executions: shared.executions.load(Ordering::Relaxed),
            ..shared.board.read(|facts| facts.counters)
        }
    }

    /// What happens from now on, in order.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.shared().events.subscribe(self.shared().config.event_buffer)
    }

    /// The ledger, for look-ups that this handle does not offer.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.shared().ledger
    }

    /// Which block a reader means; `None` when this node does not store it.
    ///
    /// # Errors
    /// When the ledger cannot be read; so for all look-ups.
    pub fn resolve(&self, id: BlockId) -> Result<Option<BlockRef>, LedgerError> {
        ChainView::of(self).resolve(id)
    }

    /// A block.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn block(&self, hash: &Hash) -> Result<Option<Block>, LedgerError> {
        self.shared().ledger.block(hash)
    }

    /// A block's header.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn header(&self, hash: &Hash) -> Result<Option<Header>, LedgerError> {
        self.shared().ledger.header(hash)
    }

    /// The certificate that finalized a block; none for genesis.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn certificate(&self, hash: &Hash) -> Result<Option<Vec<u8>>, LedgerError> {
        self.shared().ledger.certificate(hash)
    }

    /// Whether a block is final: on the finalized chain, body and certificate durable.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn is_finalized(&self, block: &BlockRef) -> Result<bool, LedgerError> {
        Ok(block.height <= self.heights().finalized.height
            && self.shared().ledger.finalized_hash(block.height)? == Some(block.hash))
    }

    /// Whether a block is on the finalized chain, or above it on the head chain.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn is_canonical(&self, block: &BlockRef) -> Result<bool, LedgerError> {
        ChainView::of(self).has(block)
    }

    /// A block's execution receipt, once it is durable here. Genesis has none.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn receipt(&self, hash: &Hash) -> Result<Option<ExecutionReceipt>, LedgerError> {
        self.shared().ledger.receipt(hash)
    }

    /// The receipts of a block's transactions, in order, once they are durable here.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn transaction_receipts(&self, hash: &Hash) -> Result<Option<Vec<TransactionReceipt>>, LedgerError> {
        self.shared().ledger.transaction_receipts(hash)
    }

    /// The finalized header that settles `height`; `None` until there is one. Genesis is settled by itself.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn settling_block(&self, height: Height) -> Result<Option<Header>, LedgerError> {
        let by = if height == 0 {
            Some(0)
        } else {
            self.settled_by(height)?
        };
        let Some(by) = by else { return Ok(None) };
        let Some(hash) = self.shared().ledger.finalized_hash(by)? else {
            return Ok(None);
        };
        self.shared().ledger.header(&hash)
    }

    /// A transaction in a stored block; on the finalized chain or the head chain if it is there.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn transaction(&self, hash: &Hash) -> Result<Option<LocatedTransaction>, LedgerError> {
        let mut found = None;
        for inclusion in self.shared().ledger.inclusions(hash)? {
            let Some(block) = self.shared().ledger.block(&inclusion.block)? else {
                continue;
            };
            let reference = BlockRef {
                height: block.header.height,
                hash: inclusion.block,
            };
            let canonical = self.is_canonical(&reference)?;
            let Some(transaction) = block.body.transactions.into_iter().nth(inclusion.index as usize) else {
                continue;
            };
            let located = LocatedTransaction {
                transaction,
                block: reference,
                index: inclusion.index,
                canonical,
            };
            if canonical {
                return Ok(Some(located));
            }
            found = Some(located);
        }
        Ok(found)
    }

    /// Where a transaction is.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn transaction_status(&self, hash: &Hash) -> Result<TransactionStatus, LedgerError> {
        let located = self.transaction(hash)?;
        if let Some(located) = located.as_ref().filter(|located| located.canonical) {
            return self.status_of(located);
        }
        // One that lost its block may be on its way into another one.
        let shared = self.shared();
        match shared.pool.status(hash, &Asked::new(&shared.accounts())) {
            Some(None) => return Ok(TransactionStatus::Pooled),
            Some(Some(reason)) => return Ok(TransactionStatus::Held { reason }),
            None if shared.under_way.contains(hash) => return Ok(TransactionStatus::Pooled),
            None => {}
        }
        // What became durable between the first look and the last.
        match self.transaction(hash)? {
            Some(located) => self.status_of(&located),
            None => Ok(TransactionStatus::Unknown),
        }
    }

    fn status_of(&self, located: &LocatedTransaction) -> Result<TransactionStatus, LedgerError> {
        let (block, index, canonical) = (located.block, located.index, located.canonical);
        let receipts = self.shared().ledger.transaction_receipts(&block.hash)?;
        let Some(receipt) = receipts.and_then(|list| list.into_iter().nth(index as usize)) else {
            return Ok(TransactionStatus::Included {
                block,
                index,
                canonical,
            });
        };
        let settled_by = if canonical {
            self.settled_by(block.height)?
        } else {
            None
        };
        Ok(TransactionStatus::Executed {
            block,
            index,
            receipt: Box::new(receipt),
            settled_by,
            canonical,
        })
    }

    /// The state after a block. Never of a block whose receipt is not durable yet.
    ///
    /// # Errors
    /// [`StateError::NotExecuted`] beyond execution, and for [`Tag::Pending`]; [`StateError::Pruned`] below the
    /// retention window; [`StateError::Unknown`] for a block that is not here.
    pub fn state_at(&self, id: BlockId) -> Result<StateAt, StateError> {
        let heights = self.heights();
        let executed = heights.executed.height;
        let asked = match id {
            BlockId::Tag(Tag::Pending) => Some(heights.head.height + 1),
            BlockId::Height(height) if height > executed => Some(height),
            _ => None,
        };
        if let Some(asked) = asked {
            return Err(StateError::NotExecuted { asked, executed });
        }
        let block = self.resolve(id)?.ok_or(StateError::Unknown)?;
        if block.height > 0 && self.shared().ledger.receipt(&block.hash)?.is_none() {
            return Err(StateError::NotExecuted {
                asked: block.height,
                executed,
            });
        }
        let view = self.shared().store.view(version(&block.hash));
        let found = view.and_then(|view| {
            view.root().map(|root| StateAt {
                block,
                root: Hash(root),
                view,
            })
        });
        found.ok_or_else(|| {
            let oldest = self.shared().store.stats().oldest_height;
            StateError::Pruned {
                asked: block.height,
                oldest,
            }
        })
    }

    /// Runs a contract on a state as if it was called in the block of that state, and keeps nothing of it.
    ///
    /// # Errors
    /// Faults of this node; what the contract came to is in the outcome.
    pub fn call(&self, state: &StateAt, call: ReadOnlyCall) -> Result<ReadOnlyOutcome, CallError> {
        let shared = self.shared();
        let header = shared
            .ledger
            .header(&state.block.hash)?
            .ok_or(CallError::UnknownBlock(state.block.hash))?;
        let reader = Reader(state.view.clone());
        let run = || {
            shared
                .executor
                .call_read_only(&BlockContext::of(&header), &call, &reader)
        };
        Ok(on_large_stack(&shared.spec, run)??)
    }

    fn settled_by(&self, height: Height) -> Result<Option<Height>, LedgerError> {
        // The index may be ahead of what is acknowledged.
        Ok(self
            .shared()
            .ledger
            .settled_by(height)?
            .filter(|by| *by <= self.heights().finalized.height))
    }
}

/// Why a read-only call was not run.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The block of the state is not stored.
    #[error("block {0} is not stored")]
    UnknownBlock(Hash),
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The executor failed.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// The system gave no thread.
    #[error("starting a thread: {0}")]
    Thread(#[from] std::io::Error),
}
