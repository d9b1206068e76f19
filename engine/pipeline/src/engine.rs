//! The handle that everyone else holds: consensus, RPC, the node.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use millrace_executor::Executor;
use millrace_ledger::Ledger;
use millrace_mempool::Pool;
use millrace_scheduler::{Recent, ring};
use millrace_state::Store;
use millrace_types::{Block, ChainSpec, Hash};

use crate::accounts::HeadAccounts;
use crate::api::{
    BlockRef, BuildAnswer, BuildRefused, BuildRequest, EngineStatus, NotNow, PluginFault, PressureSnapshot,
    SetHeadAnswer, StopReason, Submission, ValidateAnswer,
};
use crate::board::Board;
use crate::config::EngineConfig;
use crate::core::{Core, HEAD_TASKS};
use crate::driver::{Driver, now_ms};
use crate::events::Broadcast;
use crate::journal::Journal;
use crate::keeper::Keeper;
use crate::mailbox::{Credits, Mailbox, Request};
use crate::preparation::Preparations;
use crate::recovery::{self, OpenError, Recovered};
use crate::reply::Reply;
use crate::stages::{self, Workshop};
use crate::team::Team;
use crate::under_way::UnderWay;
use crate::wakeups::Wakeups;
use crate::warming::Warmings;

/// Rows of the set of verified transactions, of [`millrace_scheduler::recent::PLACES`] ids each: 131,072 in five megabytes.
/// Nearly all that came in the last 32,768 insertions are known.
const VERIFIED_ROWS: usize = 1 << 13;

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
    /// Transactions whose signature was verified here lately.
    pub(crate) verified: Arc<Recent>,
    pub(crate) under_way: UnderWay,
    pub(crate) accounts: ArcSwap<HeadAccounts>,
    pub(crate) mailbox: Mailbox,
    pub(crate) credits: Credits,
    pub(crate) board: Board,
    pub(crate) events: Broadcast,
    pub(crate) wakeups: Wakeups,
    /// An import was refused because too many requests waited: tell when there is room.
    pub(crate) import_refused: AtomicBool,
    /// How often a block was executed.
    pub(crate) executions: Arc<AtomicU64>,
}

/// Opening.
impl Engine {
    /// Opens the chain `spec` on what `ledger` holds of it: takes the newest state that the store kept, executes again what
    /// is above, checks every stored receipt on the way, and goes on with finalized blocks that were not executed.
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
        let executor = Executor::new(Arc::clone(&spec))?
            .with_tier(config.tier)
            .with_code_cache(config.code_cache.clone());
        let executor = Arc::new(executor);
        let recovered = recovery::recover(&spec, &ledger, &executor, &config)?;
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
    let (mailbox, inputs, inbox) = Mailbox::new(config.max_requests.max(1));
    let accounts = core.head_accounts(&store).ok_or(OpenError::NoState {
        height: core.facts().heights.settled,
    })?;
    let shared = Arc::new(Shared {
        accounts: ArcSwap::from_pointee(accounts),
        board: Board::new(core.facts()),
        pool: Pool::new(config.pool),
        config,
        spec,
        genesis,
        ledger,
        store,
        executor,
        verified: Arc::new(Recent::new(VERIFIED_ROWS)),
        under_way: UnderWay::default(),
        mailbox,
        credits,
        events: Broadcast::default(),
        wakeups: Wakeups::default(),
        import_refused: AtomicBool::new(false),
        executions: Arc::default(),
    });
    // One slot more than there are tasks: a slot is freed an instant after its task is reported to have left.
    let slots = capacity + HEAD_TASKS + shared.config.max_speculations();
    let (publisher, ring) = ring(NonZeroUsize::MIN.saturating_add(slots));
    let (keeper, keeper_thread) = Keeper::start(shared.store.clone(), inputs.clone())?;
    let (journal, journal_thread) = Journal::start(shared.ledger.clone(), keeper, inputs.clone())?;
    let preparations = Arc::new(Preparations::new(ring.crew().clone()));
    let workshop = Workshop {
        ring: ring.clone(),
        team: Arc::new(Team::new(shared.config.workers.max(1), ring.crew().clone())),
        executor: Arc::clone(&shared.executor),
        store: shared.store.clone(),
        journal: journal.clone(),
        preparations: Arc::clone(&preparations),
        warmings: Arc::new(Warmings::new()),
        verified: Arc::clone(&shared.verified),
        inputs,
        executions: Arc::clone(&shared.executions),
        slow_execution: Duration::from_millis(shared.config.slow_execution_ms),
    };
    let workers = stages::start(&workshop, shared.config.workers)?;
    let debt = waiting.saturating_sub(capacity as u64);
    let mut driver = Driver {
        core,
        shared: Arc::clone(&shared),
        inputs: Some(inbox),
        publisher,
        ring,
        preparations,
        journal,
        workers,
        journal_thread,
        keeper_thread,
        debt,
        transactions_were_wanted: false,
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

    /// Tells of a block that may be built on, voted for or finalized later. Once it is valid it is executed ahead of its
    /// turn, when nothing more urgent waits, and so is one that is asked about ([`Self::validate`]). A hint: it may be
    /// dropped under load.
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
        self.submit(Request::Finalize(Box::new(block), certificate))
    }

    fn submit(&self, request: Request) -> Submission {
        if matches!(self.status(), EngineStatus::Stopped { .. }) {
            return Submission::Stopped;
        }
        if !self.shared().credits.spend() {
            metrics::counter!("millrace_submissions_refused_total").increment(1);
            return Submission::Again;
        }
        // Bounded by credits, so it is never refused for the length of the queue.
        self.shared().mailbox.post_always(request);
        Submission::Accepted
    }

    /// Takes over a block that may become head: its parent is final, or was taken over before. [`Self::set_head`] tells
    /// what was found about it. One that is known already is accepted again and changes nothing.
    pub fn import_block(&self, block: Block) -> Submission {
        if matches!(self.status(), EngineStatus::Stopped { .. }) {
            return Submission::Stopped;
        }
        let shared = self.shared();
        if shared.mailbox.post(Request::Import(Box::new(block))).is_ok() {
            return Submission::Accepted;
        }
        shared.import_refused.store(true, Ordering::SeqCst);
        // The queue may have been emptied before the flag was set: then nobody else tells.
        if shared.mailbox.has_room() && shared.import_refused.swap(false, Ordering::SeqCst) {
            shared.tell_credits();
        }
        Submission::Again
    }

    /// Makes a block the head of the chain, once it is valid: new transactions are judged by it, and it is executed with
    /// its ancestors before it is final. Answered when its verdict is found; until then the head stays, and what the
    /// verdict waits for is executed. A later call takes the place of one that waits.
    pub fn set_head(&self, hash: Hash, reply: Reply<SetHeadAnswer>) {
        if let Err(request) = self.shared().mailbox.post(Request::SetHead(hash, reply)) {
            self.decline(*request);
        }
    }

    /// Finalizes a block that was taken over, validated or announced before, and all its ancestors, with the proof of
    /// it. Otherwise as [`Self::submit_finalized`]: each block is acknowledged by its own [`crate::Event::Finalized`],
    /// and takes a credit; this call needs one, and what its ancestors take beyond what there is comes off later ones.
    pub fn finalize(&self, hash: Hash, certificate: Vec<u8>) -> Submission {
        self.submit(Request::FinalizeKnown(hash, certificate))
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
        let shared = self.shared();
        let (pressure, oldest_since_ms) = shared.board.read(|facts| (facts.pressure, facts.oldest_since_ms));
        let credits_blocks = shared.credits.available();
        PressureSnapshot {
            credits_blocks,
            credits_gas: credits_blocks.saturating_mul(shared.spec.limits.block_gas),
            oldest_in_flight_ms: oldest_since_ms.map_or(0, |since| now_ms().saturating_sub(since)),
            ..pressure
        }
    }

    fn decline(&self, request: Request) {
        let stopped = match self.status() {
            EngineStatus::Stopped { reason } => Some(reason),
            EngineStatus::Running => None,
        };
        match (request, stopped) {
            (Request::Build(_, reply), None) => {
                self.shared().wakeups.want_room();
                reply.send(BuildAnswer::NotNow(NotNow::Busy));
                // The queue may have been emptied before the flags were set: then nobody else tells.
                if self.shared().mailbox.has_room() && self.shared().wakeups.take_room() {
                    self.shared().offer_work();
                }
            }
            (Request::Build(_, reply), Some(reason)) => {
                reply.send(BuildAnswer::Refused(BuildRefused::Stopped(reason)));
            }
            (Request::Validate(_, reply), None) => reply.send(ValidateAnswer::Busy),
            (Request::Validate(_, reply), Some(reason)) => reply.send(ValidateAnswer::Stopped(reason)),
            (Request::SetHead(_, reply), None) => reply.send(SetHeadAnswer::Busy),
            (Request::SetHead(_, reply), Some(reason)) => reply.send(SetHeadAnswer::Stopped(reason)),
            (
                Request::Finalize(..)
                | Request::FinalizeKnown(..)
                | Request::Import(_)
                | Request::Announce(_)
                | Request::Stop(_),
                _,
            ) => {}
        }
    }
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
