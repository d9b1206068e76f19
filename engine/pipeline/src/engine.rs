//! The handle that everyone else holds: consensus, RPC, the node.

use std::sync::Arc;

use millrace_ledger::{Ledger, LedgerError};
use millrace_types::{Block, ChainSpec, ExecutionReceipt, Hash, Header, Height, TransactionReceipt};

use crate::api::{
    BlockId, BlockRef, BuildAnswer, BuildRequest, Counters, EngineStatus, Event, Heights, LocatedTransaction,
    NotNow, PluginFault, PressureSnapshot, StopReason, Submission, Tag, TransactionStatus, ValidateAnswer,
};
use crate::board::Board;
use crate::config::EngineConfig;
use crate::events::{Broadcast, Subscription};
use crate::mailbox::{Credits, Mailbox, Request};
use crate::reply::Reply;

/// A running engine. Cheap to clone; every method may be called from any thread and none waits for consensus or
/// execution. Look-ups read the disk.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

/// What the handle and the engine's own threads have in common.
pub(crate) struct Shared {
    pub(crate) config: EngineConfig,
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) genesis: BlockRef,
    pub(crate) ledger: Ledger,
    pub(crate) mailbox: Mailbox,
    pub(crate) credits: Credits,
    pub(crate) board: Board,
    pub(crate) events: Broadcast,
}

/// The consensus side. Requests are answered on a thread of the engine; see [`Reply`].
impl Engine {
    /// Asks for a block to propose.
    pub fn build(&self, request: BuildRequest, reply: Reply<BuildAnswer>) {
        if let Err(request) = self.shared.mailbox.post(Request::Build(request, reply)) {
            self.decline(*request);
        }
    }

    /// Asks whether a proposal may be voted for. The block is kept as a possible parent when it is valid.
    pub fn validate(&self, block: Block, reply: Reply<ValidateAnswer>) {
        if let Err(request) = self
            .shared
            .mailbox
            .post(Request::Validate(Box::new(block), reply))
        {
            self.decline(*request);
        }
    }

    /// Tells of a block that may be built on, voted for or finalized later. A hint: it may be dropped under load.
    pub fn announce(&self, block: Block) {
        if self
            .shared
            .mailbox
            .post(Request::Announce(Box::new(block)))
            .is_err()
        {
            tracing::debug!("announcement dropped: the request queue is full");
        }
    }

    /// Hands over a block that consensus decided, with the proof of it. Blocks come in the order of their heights;
    /// one that came before is accepted again and changes nothing.
    pub fn submit_finalized(&self, block: Block, certificate: Vec<u8>) -> Submission {
        if matches!(self.status(), EngineStatus::Stopped { .. }) {
            return Submission::Stopped;
        }
        if !self.shared.credits.spend() {
            metrics::counter!("millrace_submissions_refused_total").increment(1);
            return Submission::Again;
        }
        match self
            .shared
            .mailbox
            .post(Request::Finalize(Box::new(block), certificate))
        {
            Ok(()) => Submission::Accepted,
            Err(_) => {
                self.return_credit();
                Submission::Again
            }
        }
    }

    /// The newest finalized block that is durable here: what a plugin starts from.
    #[must_use]
    pub fn last_finalized(&self) -> BlockRef {
        self.heights().finalized
    }

    /// Finalized blocks that would be taken now.
    #[must_use]
    pub fn credits(&self) -> u64 {
        self.shared.credits.available()
    }

    /// Stops the engine because the plugin panicked, hung or gave up. Reads go on.
    pub fn report_plugin_fault(&self, what: impl Into<String>) {
        self.stop_because(StopReason::PluginFault(PluginFault::Reported(what.into())));
    }

    /// What goes back to consensus.
    #[must_use]
    pub fn pressure(&self) -> PressureSnapshot {
        self.shared.board.read(|facts| facts.pressure)
    }

    fn decline(&self, request: Request) {
        let stopped = match self.status() {
            EngineStatus::Stopped { reason } => Some(reason),
            EngineStatus::Running => None,
        };
        match (request, stopped) {
            (Request::Build(_, reply), None) => reply.send(BuildAnswer::NotNow(NotNow::Busy)),
            (Request::Build(_, reply), Some(reason)) => {
                reply.send(BuildAnswer::Refused(crate::api::BuildRefused::Stopped(reason)));
            }
            (Request::Validate(_, reply), None) => reply.send(ValidateAnswer::Busy),
            (Request::Validate(_, reply), Some(reason)) => reply.send(ValidateAnswer::Stopped(reason)),
            (Request::Finalize(..) | Request::Announce(_) | Request::Stop(_), _) => {}
        }
    }
}

/// The reading side.
impl Engine {
    /// The chain.
    #[must_use]
    pub fn spec(&self) -> &Arc<ChainSpec> {
        &self.shared.spec
    }

    /// The genesis block.
    #[must_use]
    pub fn genesis(&self) -> BlockRef {
        self.shared.genesis
    }

    /// How far each stage has come, as one consistent record.
    #[must_use]
    pub fn heights(&self) -> Heights {
        self.shared.board.read(|facts| facts.heights)
    }

    /// Whether blocks are taken, and if not, why.
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        self.shared.board.read(|facts| facts.status.clone())
    }

    /// What was counted since the engine was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.board.read(|facts| facts.counters)
    }

    /// What happens from now on, in order.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.shared.events.subscribe(self.shared.config.event_buffer)
    }

    /// The ledger, for look-ups that this handle does not offer.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// Which block a reader means; `None` when this node does not store it.
    ///
    /// # Errors
    /// When the ledger cannot be read; so for all look-ups.
    pub fn resolve(&self, id: BlockId) -> Result<Option<BlockRef>, LedgerError> {
        let heights = self.heights();
        let at = |height| {
            Ok(self
                .shared
                .ledger
                .finalized_hash(height)?
                .map(|hash| BlockRef { height, hash }))
        };
        match id {
            BlockId::Tag(Tag::Finalized) => Ok(Some(heights.finalized)),
            BlockId::Tag(Tag::Executed) => Ok(Some(heights.executed)),
            BlockId::Tag(Tag::Pending) => Ok(Some(heights.head)),
            BlockId::Tag(Tag::Settled) => at(heights.settled),
            BlockId::Tag(Tag::Safe) => at(heights.safe),
            // A height that is stored but not acknowledged yet is not finalized for anyone.
            BlockId::Height(height) if height > heights.finalized.height => Ok(None),
            BlockId::Height(height) => at(height),
            BlockId::Hash(hash) => {
                let header = self.shared.ledger.header(&hash)?;
                Ok(header.map(|header| BlockRef {
                    height: header.height,
                    hash,
                }))
            }
        }
    }

    /// A block.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn block(&self, hash: &Hash) -> Result<Option<Block>, LedgerError> {
        self.shared.ledger.block(hash)
    }

    /// A block's header.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn header(&self, hash: &Hash) -> Result<Option<Header>, LedgerError> {
        self.shared.ledger.header(hash)
    }

    /// The certificate that finalized a block; none for genesis.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn certificate(&self, hash: &Hash) -> Result<Option<Vec<u8>>, LedgerError> {
        self.shared.ledger.certificate(hash)
    }

    /// Whether a block is on the finalized chain.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn is_canonical(&self, block: &BlockRef) -> Result<bool, LedgerError> {
        Ok(block.height <= self.heights().finalized.height
            && self.shared.ledger.finalized_hash(block.height)? == Some(block.hash))
    }

    /// A block's execution receipt, once it is durable here. Genesis has none.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn receipt(&self, hash: &Hash) -> Result<Option<ExecutionReceipt>, LedgerError> {
        self.shared.ledger.receipt(hash)
    }

    /// The receipts of a block's transactions, in order, once they are durable here.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn transaction_receipts(&self, hash: &Hash) -> Result<Option<Vec<TransactionReceipt>>, LedgerError> {
        self.shared.ledger.transaction_receipts(hash)
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
        let Some(hash) = self.shared.ledger.finalized_hash(by)? else {
            return Ok(None);
        };
        self.shared.ledger.header(&hash)
    }

    /// A transaction in a stored block; on the finalized chain if it is there.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn transaction(&self, hash: &Hash) -> Result<Option<LocatedTransaction>, LedgerError> {
        let mut found = None;
        for inclusion in self.shared.ledger.inclusions(hash)? {
            let Some(block) = self.shared.ledger.block(&inclusion.block)? else {
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
        let Some(located) = self.transaction(hash)? else {
            return Ok(TransactionStatus::Unknown);
        };
        let LocatedTransaction {
            block,
            index,
            canonical,
            ..
        } = located;
        let receipts = self.shared.ledger.transaction_receipts(&block.hash)?;
        let Some(receipt) = receipts.and_then(|list| list.into_iter().nth(index as usize)) else {
            return Ok(TransactionStatus::Finalized { block, index });
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

    fn settled_by(&self, height: Height) -> Result<Option<Height>, LedgerError> {
        // The index may be ahead of what is acknowledged.
        Ok(self
            .shared
            .ledger
            .settled_by(height)?
            .filter(|by| *by <= self.heights().finalized.height))
    }
}

/// Ending.
impl Engine {
    /// Takes no more blocks, finishes what is finalized, and waits until it is durable. Requests that wait are
    /// answered `Aborted`. Reads go on until the last handle is dropped. A second call waits as well.
    pub fn stop(&self) {
        self.stop_because(StopReason::Shutdown);
    }

    fn stop_because(&self, reason: StopReason) {
        let mut request = Box::new(Request::Stop(reason));
        // The box is drained continuously while the engine runs.
        while let Err(back) = self.shared.mailbox.post(*request) {
            if matches!(self.status(), EngineStatus::Stopped { .. }) {
                return;
            }
            request = back;
            std::thread::yield_now();
        }
    }

    fn return_credit(&self) {
        if self.shared.credits.give_back() {
            self.shared.events.publish(&Event::Credit {
                available: self.credits(),
            });
        }
    }
}
