//! The handle that everyone else holds: consensus, RPC, the node.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use millrace_executor::{
    BlockContext, ExecutionError, Executor, ReadOnlyCall, ReadOnlyOutcome, on_large_stack,
};
use millrace_ledger::{Ledger, LedgerError};
use millrace_mempool::Pool;
use millrace_scheduler::ring;
use millrace_state::Store;
use millrace_types::{Block, ChainSpec, ExecutionReceipt, Hash, Header, Height, TransactionReceipt};

use crate::accounts::HeadAccounts;
use crate::api::{
    BlockId, BlockRef, BuildAnswer, BuildRefused, BuildRequest, Counters, EngineStatus, Heights,
    LocatedTransaction, NotNow, PluginFault, PressureSnapshot, StateAt, StateError, StopReason, Submission,
    Tag, TransactionStatus, ValidateAnswer,
};
use crate::board::Board;
use crate::config::EngineConfig;
use crate::core::Core;
use crate::driver::{Driver, now_ms};
use crate::events::{Broadcast, Subscription};
use crate::execution::Reader;
use crate::journal::Journal;
use crate::mailbox::{Credits, Mailbox, Request};
use crate::recovery::{self, OpenError, Recovered};
use crate::reply::Reply;
use crate::stages::{self, Workshop};
use crate::task::version;
use crate::verified::Verified;

/// A running engine. Cheap to clone; every method may be called from any thread and none waits for consensus or
/// execution, [`Engine::stop`] apart. Look-ups read the disk. The engine ends when the last handle is dropped.
#[derive(Clone)]
pub struct Engine {
    handle: Arc<Handle>,
}

/// Ends the engine when the last clone of it goes.
struct Handle {
    shared: Arc<Shared>,
    ordering: Mutex<Option<JoinHandle<()>>>,
}

/// What the handle and the engine's own threads have in common.
pub(crate) struct Shared {
    pub(crate) config: EngineConfig,
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) genesis: BlockRef,
    pub(crate) ledger: Ledger,
    pub(crate) store: Store,
    pub(crate) executor: Arc<Executor>,
    pub(crate) pool: Pool,
    pub(crate) verified: Verified,
    pub(crate) accounts: RwLock<HeadAccounts>,
    pub(crate) mailbox: Mailbox,
    pub(crate) credits: Credits,
    pub(crate) board: Board,
    pub(crate) events: Broadcast,
    /// A build was declined, or may be: tell when one may succeed.
    pub(crate) work_wanted: AtomicBool,
    /// A build was declined because too many requests waited.
    pub(crate) busy: AtomicBool,
}

/// Opening.
impl Engine {
    /// Opens the chain `spec` on what `ledger` holds of it: executes again what the state store does not keep, checks
    /// every stored receipt on the way, and goes on with finalized blocks that were not executed.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing runs then.
    pub fn open(spec: ChainSpec, ledger: Ledger, config: EngineConfig) -> Result<Self, OpenError> {
        spec.validate()?;
        let spec = Arc::new(spec);
        let least = spec.max_receipt_lag.saturating_add(2);
        if config.retention_blocks < least {
            let (retention, lag) = (config.retention_blocks, spec.max_receipt_lag);
            return Err(OpenError::Retention {
                retention,
                lag,
                least,
            });
        }
        let executor = Arc::new(Executor::new(Arc::clone(&spec))?);
        let recovered = recovery::recover(&spec, &ledger, &executor, config.retention_blocks)?;
        start(spec, ledger, executor, config, recovered)
    }
}

/// Puts the parts together and starts the threads.
fn start(
    spec: Arc<ChainSpec>,
    ledger: Ledger,
    executor: Arc<Executor>,
    config: EngineConfig,
    recovered: Recovered,
) -> Result<Engine, OpenError> {
    let Recovered {
        genesis,
        store,
        start,
        unexecuted,
    } = recovered;
    let least = usize::try_from(spec.max_receipt_lag)
        .unwrap_or(usize::MAX)
        .saturating_add(2);
    let capacity = config.queue_blocks.max(least);
    let waiting = unexecuted.len() as u64;
    let credits = Credits::new((capacity as u64).saturating_sub(waiting));
    let core = Core::new(Arc::clone(&spec), config.clone(), capacity, start);
    let (mailbox, inputs, receiver) = Mailbox::new(config.max_requests.max(1));
    let shared = Arc::new(Shared {
        accounts: RwLock::new(core.head_accounts(&store).expect("the newest states are held")),
        board: Board::new(core.facts(now_ms(), credits.available())),
        pool: Pool::new(config.pool),
        config,
        spec,
        genesis,
        ledger,
        store,
        executor,
        verified: Verified::default(),
        mailbox,
        credits,
        events: Broadcast::default(),
        work_wanted: AtomicBool::new(false),
        busy: AtomicBool::new(false),
    });
    // One slot more than blocks in flight: a slot is freed an instant after its block is reported as executed.
    let (publisher, ring) = ring(NonZeroUsize::MIN.saturating_add(capacity));
    let (journal, journal_thread) = Journal::start(shared.ledger.clone(), inputs.clone())?;
    let workshop = Workshop {
        ring: ring.clone(),
        executor: Arc::clone(&shared.executor),
        store: shared.store.clone(),
        journal: journal.clone(),
        inputs,
        slow_execution: Duration::from_millis(shared.config.slow_execution_ms),
    };
    let workers = stages::start(&workshop, shared.config.workers)?;
    let debt = waiting.saturating_sub(capacity as u64);
    let mut driver = Driver {
        core,
        shared: Arc::clone(&shared),
        inputs: receiver,
        publisher,
        ring,
        journal,
        workers,
        journal_thread,
        debt,
    };
    driver.begin(unexecuted);
    let ordering = thread::Builder::new()
        .name("millrace-order".into())
        .spawn(move || driver.run_contained())?;
    Ok(Engine {
        handle: Arc::new(Handle {
            shared,
            ordering: Mutex::new(Some(ordering)),
        }),
    })
}

/// The consensus side. Requests are answered on a thread of the engine; see [`Reply`].
impl Engine {
    /// Asks for a block to propose.
    pub fn build(&self, request: BuildRequest, reply: Reply<BuildAnswer>) {
        if let Err(request) = self.shared().mailbox.post(Request::Build(request, reply)) {
            self.decline(*request);
        }
    }

    /// Asks whether a proposal may be voted for. The block is kept as a possible parent when it is valid.
    pub fn validate(&self, block: Block, reply: Reply<ValidateAnswer>) {
        if let Err(request) = self
            .shared()
            .mailbox
            .post(Request::Validate(Box::new(block), reply))
        {
            self.decline(*request);
        }
    }

    /// Tells of a block that may be built on, voted for or finalized later. A hint: it may be dropped under load.
    pub fn announce(&self, block: Block) {
        if self
            .shared()
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
        if !self.shared().credits.spend() {
            metrics::counter!("millrace_submissions_refused_total").increment(1);
            return Submission::Again;
        }
        // Bounded by credits, so it is never refused for the length of the queue.
        self.shared()
            .mailbox
            .post_always(Request::Finalize(Box::new(block), certificate));
        Submission::Accepted
    }

    /// The newest finalized block that is durable here: what a plugin starts from.
    #[must_use]
    pub fn last_finalized(&self) -> BlockRef {
        self.heights().finalized
    }

    /// Finalized blocks that would be taken now.
    #[must_use]
    pub fn credits(&self) -> u64 {
        self.shared().credits.available()
    }

    /// Stops the engine because the plugin panicked, hung or gave up. Reads go on.
    pub fn report_plugin_fault(&self, what: impl Into<String>) {
        self.stop_because(StopReason::PluginFault(PluginFault::Reported(what.into())));
    }

    /// What goes back to consensus.
    #[must_use]
    pub fn pressure(&self) -> PressureSnapshot {
        self.shared().board.read(|facts| facts.pressure)
    }

    fn decline(&self, request: Request) {
        let stopped = match self.status() {
            EngineStatus::Stopped { reason } => Some(reason),
            EngineStatus::Running => None,
        };
        match (request, stopped) {
            (Request::Build(_, reply), None) => {
                self.shared().work_wanted.store(true, Ordering::SeqCst);
                self.shared().busy.store(true, Ordering::SeqCst);
                reply.send(BuildAnswer::NotNow(NotNow::Busy));
            }
            (Request::Build(_, reply), Some(reason)) => {
                reply.send(BuildAnswer::Refused(BuildRefused::Stopped(reason)));
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
        &self.shared().spec
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
        self.shared().board.read(|facts| facts.counters)
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
        let heights = self.heights();
        let at = |height| {
            Ok(self
                .shared()
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
                let header = self.shared().ledger.header(&hash)?;
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

    /// Whether a block is on the finalized chain.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn is_canonical(&self, block: &BlockRef) -> Result<bool, LedgerError> {
        Ok(block.height <= self.heights().finalized.height
            && self.shared().ledger.finalized_hash(block.height)? == Some(block.hash))
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

    /// A transaction in a stored block; on the finalized chain if it is there.
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
        let Some(located) = self.transaction(hash)? else {
            let shared = self.shared();
            return Ok(match shared.pool.status(hash, &shared.accounts()) {
                None => TransactionStatus::Unknown,
                Some(None) => TransactionStatus::Pooled,
                Some(Some(reason)) => TransactionStatus::Held { reason },
            });
        };
        let LocatedTransaction {
            block,
            index,
            canonical,
            ..
        } = located;
        let receipts = self.shared().ledger.transaction_receipts(&block.hash)?;
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

/// Ending.
impl Engine {
    /// Takes no more blocks, finishes what is in execution, and waits until it is durable. Requests that wait are
    /// answered as stopped. Look-ups go on. A second call waits as well.
    pub fn stop(&self) {
        self.handle.end();
    }

    fn stop_because(&self, reason: StopReason) {
        self.shared().mailbox.post_always(Request::Stop(reason));
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}

impl Handle {
    fn end(&self) {
        self.shared
            .mailbox
            .post_always(Request::Stop(StopReason::Shutdown));
        let mut ordering = self.ordering.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(thread) = ordering.take() else { return };
        // The last handle may be in a reply that the ordering thread itself drops; it ends by itself then.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!("the ordering thread panicked");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("heights", &self.heights())
            .field("status", &self.status())
            .finish()
    }
}
