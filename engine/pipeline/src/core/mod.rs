//! The state machine of ordering: what consensus asks and execution reports comes in, effects go out.
//!
//! It does no I/O and reads no clock: the driver hands it inputs, the time, and a [`World`] to look things up in, and
//! performs the [`Effect`]s in order. One thread owns it.
//!
//! ```text
//!   validate, announce ─▶ Waiting ──▶ Valid | Invalid          unfinalized blocks (`validate.rs`)
//!   import_block, set_head ─▶ the head moves                   fork choice (`head.rs`)
//!   build ─▶ Built | NotNow | Refused                          proposals (`propose.rs`)
//!   submit_finalized ─▶ awaiting ──▶ in flight ──▶ executed    finalized blocks (`finalize.rs`)
//!                          │ written at once          │
//!                          └─▶ acknowledged ◀─────────┘ (when `pipelining = off`, not before)
//! ```
//!
//! What enters execution when, and for what, is decided in one place (`dispatch.rs`).
//!
//! Invariants:
//! - finalized blocks leave `awaiting` and enter execution in the order of their heights, each admitted first;
//! - a block is in flight, or awaiting, for every credit that is spent;
//! - the head is valid, and the newest admitted finalized block or a descendant of it;
//! - every task that is put into the ring is reported once, in order;
//! - once stopped, nothing new is taken; what is in flight is finished.

mod dispatch;
mod finalize;
#[cfg(test)]
mod forks;
mod head;
mod propose;
#[cfg(test)]
mod relief;
mod validate;

pub(crate) use dispatch::HEAD_TASKS;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use millrace_mempool::BlockRoom;
use millrace_state::Store;
use millrace_types::state::Account;
use millrace_types::{Address, Block, ChainSpec, ExecutionReceipt, Hash, Height, SignedTransaction};

use crate::accounts::HeadAccounts;
use crate::admission::{self, Branch, Invalid, KnownSignatures, Parent, Pending, StateFault, Verdict};
use crate::api::{
    BlockRef, BuildAnswer, Counters, EngineStatus, Event, Heights, PressureSnapshot, SetHeadAnswer,
    StopReason, TurnedAway, ValidateAnswer,
};
use crate::board::Facts;
use crate::config::EngineConfig;
use crate::pressure::{Bounds, Ladder};
use crate::reply::Reply;
use crate::task::{BlockTask, Purpose, Work, version};
use crate::tree::{Node, Standing, States, Tree};

/// What the core looks things up in. Answers are this node's, at this moment.
pub(crate) trait World: States + KnownSignatures {
    /// The finalized block at `height` according to the ledger.
    fn finalized_hash(&self, height: Height) -> Result<Option<Hash>, StateFault>;

    /// The height of a block that the ledger has.
    fn stored_height(&self, block: &Hash) -> Result<Option<Height>, StateFault>;

    /// Transactions of the pool, most wanted first, each sender's in the order of nonces, for a block that extends
    /// `branch` and settles `settled_height`.
    fn candidates(
        &self,
        settled_height: Height,
        height: Height,
        branch: &dyn Branch,
        room: BlockRoom,
    ) -> Vec<SignedTransaction>;
}

/// What the driver does next.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Answer a build request.
    AnswerBuild(Reply<BuildAnswer>, BuildAnswer),
    /// Answer a validation.
    AnswerValidate(Reply<ValidateAnswer>, ValidateAnswer),
    /// Answer a request for another head.
    AnswerHead(Reply<SetHeadAnswer>, SetHeadAnswer),
    /// Make a block durable that is executed before it is final.
    WriteBody(Arc<Block>),
    /// Make finalized blocks, ascending, durable together with the certificate of the last one, then report
    /// [`Core::on_body_durable`] for each.
    WriteFinalized {
        blocks: Vec<Finalized>,
        certificate: Vec<u8>,
    },
    /// Put a task into the ring, and report [`Core::on_left`] when it leaves. Tasks are counted from 0.
    Execute(BlockTask),
    /// Nobody waits any more for the task of this number.
    Abandon(u64),
    /// Drop the state after a block that does not count, and of those that follow it.
    Discard(Hash),
    /// Tell subscribers.
    Emit(Event),
    /// A finalized block needs its slot no longer.
    ReturnCredit,
    /// Finalized blocks need slots that nobody spent credits for.
    SpendCredits(u64),
    /// The state that new transactions are judged by has changed; transactions of added blocks leave the pool, those of
    /// removed ones come back.
    HeadMoved {
        removed: Vec<Arc<Block>>,
        added: Vec<Arc<Block>>,
    },
    /// A declined build may succeed now.
    WorkPossible,
}

/// A finalized block to be made durable.
#[derive(Debug)]
pub(crate) struct Finalized {
    pub(crate) block: BlockRef,
    /// Unless it was written before.
    pub(crate) body: Option<Arc<Block>>,
}

/// A finalized block that is not admitted yet.
#[derive(Clone, Copy, Debug)]
struct Awaiting {
    block: BlockRef,
    since_ms: u64,
}

/// A task in the ring.
#[derive(Debug)]
struct InFlight {
    block: BlockRef,
    purpose: Purpose,
    since_ms: u64,
    work: Arc<Work>,
    is_abandoned: bool,
}

/// A validation that waits for execution.
#[derive(Debug)]
struct Waiting {
    hash: Hash,
    height: Height,
    reply: Option<Reply<ValidateAnswer>>,
}

/// Where a chain goes on from: the newest executed block and what its children need.
pub(crate) struct Start {
    /// Executed blocks of the finalized chain, ascending, from s(newest) to the newest; all valid, all with receipts.
    pub(crate) chain: Vec<Node>,
}

pub(crate) struct Core {
    spec: Arc<ChainSpec>,
    config: EngineConfig,
    /// Slots of the ring.
    capacity: usize,
    tree: Tree,
    ladder: Ladder,
    stopped: Option<StopReason>,
    is_stop_told: bool,
    /// What the pool and new transactions are judged by: the newest finalized block that is admitted, or a descendant of
    /// it that fork choice named.
    head: Hash,
    /// Newest finalized block that consensus was told is durable.
    acknowledged: BlockRef,
    /// s(acknowledged).
    settled: Height,
    /// s of the newest finalized block that is admitted.
    admitted_settled: Height,
    /// Newest block of the head chain whose receipt is durable.
    executed: BlockRef,
    /// The head chain above `acknowledged`, as readers see it.
    head_chain: Arc<[Hash]>,
    /// Finalized, not admitted yet.
    awaiting: VecDeque<Awaiting>,
    /// Tasks in the ring, in their order.
    in_flight: VecDeque<InFlight>,
    /// How many tasks have left the ring: the number of the first that is in it.
    left: u64,
    /// The head that is to be set once its verdict is found.
    wanted: Option<head::Wanted>,
    /// Imports that were not taken, oldest first.
    turned_away: VecDeque<(Hash, TurnedAway)>,
    /// Blocks to be executed ahead of their turn.
    proposals: VecDeque<Hash>,
    /// Blocks that were, and whose results wait for their turn; oldest first.
    kept: VecDeque<Hash>,
    waiting: Vec<Waiting>,
    /// Blocks whose signatures workers are checking.
    preparing: BTreeSet<Hash>,
    /// When the newest block was executed.
    last_executed_ms: u64,
    /// When a build that was declined for its distance may succeed.
    work_at_ms: Option<u64>,
    no_block: bool,
    counters: Counters,
}

impl Core {
    pub(crate) fn new(spec: Arc<ChainSpec>, config: EngineConfig, capacity: usize, start: Start) -> Self {
        let mut chain = start.chain.into_iter();
        let root = chain.next().expect("there is a genesis block at least");
        let ladder = Ladder::new(Bounds::of(&spec, config.pressure_delay_ms));
        let mut tree = Tree::new(root);
        for node in chain {
            let hash = node.hash;
            tree.adopt(node);
            tree.finalize(&hash);
        }
        let newest = tree.finalized();
        let settled = tree.get(&newest.hash).map_or(0, Node::settled_height);
        Self {
            spec,
            config,
            capacity,
            tree,
            ladder,
            stopped: None,
            is_stop_told: false,
            head: newest.hash,
            acknowledged: newest,
            settled,
            admitted_settled: settled,
            executed: newest,
            head_chain: Arc::default(),
            awaiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            left: 0,
            wanted: None,
            turned_away: VecDeque::new(),
            proposals: VecDeque::new(),
            kept: VecDeque::new(),
            waiting: Vec::new(),
            preparing: BTreeSet::new(),
            last_executed_ms: 0,
            work_at_ms: None,
            no_block: false,
            counters: Counters::default(),
        }
    }

    /// Stops taking blocks. The first reason counts.
    pub(crate) fn stop(&mut self, reason: StopReason, effects: &mut Vec<Effect>) {
        if self.stopped.is_some() {
            return;
        }
        match &reason {
            StopReason::Shutdown => tracing::info!("engine is shutting down"),
            fault => tracing::error!(reason = %fault, "engine stops taking blocks; reads go on"),
        }
        for waiting in std::mem::take(&mut self.waiting) {
            if let Some(reply) = waiting.reply {
                effects.push(Effect::AnswerValidate(
                    reply,
                    ValidateAnswer::Stopped(reason.clone()),
                ));
            }
        }
        self.answer_wanted(SetHeadAnswer::Stopped(reason.clone()), effects);
        // What counts is finished; nobody waits for the rest.
        self.abandon(|task| task.purpose == Purpose::Speculation, effects);
        self.stopped = Some(reason);
        self.tell_stopped(effects);
    }

    /// [`Event::Stopped`], the last event: once nothing that was taken before is under way.
    fn tell_stopped(&mut self, effects: &mut Vec<Effect>) {
        let bodies_are_durable = !self.config.pipelining || self.acknowledged == self.tree.finalized();
        if self.in_flight.is_empty() && bodies_are_durable {
            self.tell_stopped_now(effects);
        }
    }

    /// The same when what is under way never comes out.
    pub(crate) fn tell_stopped_now(&mut self, effects: &mut Vec<Effect>) {
        if let (Some(reason), false) = (&self.stopped, self.is_stop_told) {
            let reason = reason.clone();
            effects.push(Effect::Emit(Event::Stopped { reason }));
            self.is_stop_told = true;
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Nothing is in execution.
    pub(crate) fn is_drained(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Time has passed.
    pub(crate) fn on_tick(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        if self.work_at_ms.is_some_and(|at| at <= now_ms) {
            self.work_at_ms = None;
            effects.push(Effect::WorkPossible);
        }
    }

    /// When [`Self::on_tick`] is due.
    pub(crate) fn next_tick_ms(&self) -> Option<u64> {
        self.work_at_ms
    }

    fn head(&self) -> &Node {
        self.tree.get(&self.head).expect("the head is never pruned")
    }

    /// The accounts that the head leaves to new transactions; `None` if `store` does not hold the state that the head
    /// settles.
    pub(crate) fn head_accounts(&self, store: &Store) -> Option<HeadAccounts> {
        let settled = self.head().settled_height();
        let mut in_flight = Vec::new();
        let mut node = self.head();
        while node.height() > settled {
            if let Standing::Valid(summary) = &node.standing {
                in_flight.push(Arc::clone(summary));
            }
            node = self.tree.get(&node.parent())?;
        }
        Some(HeadAccounts::new(store.view(version(&node.hash))?, in_flight))
    }

    /// What readers see.
    pub(crate) fn facts(&self) -> Facts {
        let heights = Heights {
            head: self.shown_head(),
            finalized: self.acknowledged,
            // A receipt may be durable an instant before its block is acknowledged.
            executed: self.executed,
            settled: self.settled,
            safe: self.acknowledged.height.min(self.executed.height),
        };
        let status = match &self.stopped {
            None => EngineStatus::Running,
            Some(reason) => EngineStatus::Stopped {
                reason: reason.clone(),
            },
        };
        let finals = self.in_flight.iter();
        let oldest = finals.filter(|task| task.purpose == Purpose::Final);
        Facts {
            heights,
            head_chain: Arc::clone(&self.head_chain),
            status,
            pressure: self.pressure(),
            oldest_since_ms: oldest
                .map(|task| task.since_ms)
                .chain(self.awaiting.iter().map(|block| block.since_ms))
                .next(),
            counters: self.counters,
        }
    }

    /// Credits and ages change while nothing happens here: [`crate::Engine::pressure`] fills them in.
    fn pressure(&self) -> PressureSnapshot {
        let allowance = self.ladder.allowance();
        PressureSnapshot {
            credits_blocks: 0,
            credits_gas: 0,
            max_gas: if allowance.max_transactions > 0 {
                allowance.max_gas
            } else {
                0
            },
            max_bytes: allowance.max_bytes,
            min_interval_ms: allowance.min_interval_ms,
            no_block: self.no_block,
            executed_height: self.executed.height,
            persisted_height: self.executed.height.min(self.acknowledged.height),
            settled_height: self.settled,
            finalized_height: self.acknowledged.height,
            oldest_in_flight_ms: 0,
            rung: self.ladder.rung(),
        }
    }

    /// Looks at how far things are behind a block on `parent`.
    fn observe(&mut self, parent: Hash) {
        let Some(node) = self.tree.get(&parent) else {
            return;
        };
        let height = node.height();
        let execution_lag = height.saturating_sub(self.executed.height);
        self.ladder.observe(execution_lag, height - node.settled_height());
        metrics::gauge!("millrace_pressure_rung")
            .set(u32::try_from(self.ladder.rung().level()).unwrap_or(u32::MAX));
    }

    /// The verdict on a block whose parent is in the tree, as far as it can be found now.
    fn judge(&self, hash: &Hash, block: &Block, world: &dyn World) -> Result<Verdict, StateFault> {
        let pending = |height| Ok(Verdict::Pending(Pending::NotExecuted { height }));
        let parent_hash = block.header.parent_hash;
        let Some(parent) = self.tree.get(&parent_hash) else {
            return Ok(Verdict::Pending(Pending::UnknownParent { parent: parent_hash }));
        };
        match &parent.standing {
            Standing::Invalid(Invalid::Ancestor { ancestor }) => {
                return Ok(Verdict::Invalid(Invalid::Ancestor { ancestor: *ancestor }));
            }
            Standing::Invalid(_) => {
                return Ok(Verdict::Invalid(Invalid::Ancestor {
                    ancestor: parent_hash,
                }));
            }
            Standing::Waiting => return pending(parent.settled_height()),
            Standing::Valid(_) if !self.config.pipelining && parent.receipt.is_none() => {
                return pending(parent.height());
            }
            Standing::Valid(_) => {}
        }
        if self.preparing.contains(hash) {
            return Ok(Verdict::Pending(Pending::Signatures));
        }
        let Some(branch) = self.tree.branch(&parent_hash, world) else {
            return Err(StateFault(format!(
                "the branch below {parent_hash} is not in the fork tree"
            )));
        };
        let parent = Parent {
            header: &parent.block.header,
            hash: parent_hash,
        };
        admission::check(block, parent, &branch, &self.spec, world)
    }

    /// Records a verdict and answers everyone who waited for it.
    fn record(&mut self, hash: Hash, verdict: Verdict, effects: &mut Vec<Effect>) {
        let Some(node) = self.tree.get_mut(&hash) else {
            return;
        };
        let answer = match verdict {
            Verdict::Pending(_) => return,
            Verdict::Valid(summary) => {
                node.standing = Standing::Valid(Arc::new(summary));
                ValidateAnswer::Valid
            }
            Verdict::Invalid(reason) => {
                node.standing = Standing::Invalid(reason.clone());
                ValidateAnswer::Invalid(reason)
            }
        };
        self.answer_waiting(&hash, &answer, effects);
    }

    fn answer_waiting(&mut self, hash: &Hash, answer: &ValidateAnswer, effects: &mut Vec<Effect>) {
        let (done, left) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|w: &Waiting| w.hash == *hash);
        self.waiting = left;
        let replies = done.into_iter().filter_map(|waiting: Waiting| waiting.reply);
        effects.extend(replies.map(|reply| Effect::AnswerValidate(reply, answer.clone())));
    }

    /// This node cannot go on.
    fn node_fault(&mut self, fault: &StateFault, effects: &mut Vec<Effect>) {
        self.stop(
            StopReason::NodeFault {
                what: fault.to_string(),
            },
            effects,
        );
    }
}

/// A block was executed and its receipt is durable.
#[derive(Clone, Debug)]
pub(crate) struct Executed {
    pub(crate) receipt: ExecutionReceipt,
    pub(crate) transactions: u32,
}

/// A task has left the ring.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    pub(crate) hash: Hash,
    /// What it made durable.
    pub(crate) executed: Option<Executed>,
}

/// An account that is not there has nothing.
pub(crate) fn decode_account(bytes: Option<&[u8]>, address: &Address) -> Result<Account, StateFault> {
    match bytes {
        None => Ok(Account::default()),
        Some(bytes) => millrace_types::codec::decode(bytes, bytes.len())
            .map_err(|error| StateFault(format!("the account {address} does not decode: {error}"))),
    }
}
