//! The ordering thread: owns the core, feeds it, and does what it says.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millrace_mempool::BlockRoom;
use millrace_scheduler::{Publisher, Ring};
use millrace_types::{Block, Hash, Height, SignedTransaction};

use crate::accounts::{Asked, BranchAccounts};
use crate::admission::{Branch, KnownSignatures, StateFault, check_commitments};
use crate::api::{BuildAnswer, Event, StopReason};
use crate::core::{Core, Effect, World};
use crate::engine::Shared;
use crate::execution::state_after;
use crate::inbox::{Inbox, Receiver};
use crate::journal::{Entry, Journal};
use crate::mailbox::{Input, Request};
use crate::preparation::Preparations;
use crate::reply::Reply;
use crate::task::{BlockTask, version};
use crate::tree::{State, States};

/// Milliseconds since the epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "a proposer's clock; validity never depends on it"
)]
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The ordering thread's belongings.
pub(crate) struct Driver {
    pub(crate) core: Core,
    pub(crate) shared: Arc<Shared>,
    /// Until the thread runs.
    pub(crate) inputs: Option<Inbox<Input>>,
    pub(crate) publisher: Publisher<BlockTask>,
    pub(crate) ring: Ring<BlockTask>,
    pub(crate) preparations: Arc<Preparations>,
    pub(crate) journal: Journal,
    pub(crate) workers: Vec<JoinHandle<()>>,
    pub(crate) journal_thread: JoinHandle<()>,
    pub(crate) keeper_thread: JoinHandle<()>,
    /// Credits that were spent beyond what there are: by recovery, and by finalizing a block with its ancestors.
    pub(crate) debt: u64,
    /// Whether an earlier build, too, waits for transactions.
    pub(crate) transactions_were_wanted: bool,
}

/// What became of the thread's work.
#[derive(Default)]
struct Course {
    /// The last handle is gone, or `stop` was called.
    closing: bool,
    /// A stage or the journal goes no further: what is in flight never comes out.
    broken: bool,
}

impl Driver {
    /// Takes over finalized blocks that recovery found without a receipt. Before [`Self::run`].
    pub(crate) fn begin(&mut self, unexecuted: Vec<Block>) {
        let mut effects = Vec::new();
        let shared = Arc::clone(&self.shared);
        for block in unexecuted {
            self.core
                .on_finalized(Arc::new(block), None, now_ms(), &*shared, &mut effects);
        }
        self.perform(&mut effects);
    }

    /// Runs until the engine is closed and what is in flight is durable. A panic stops the engine like any other fault
    /// of this node: reads go on.
    pub(crate) fn run_contained(mut self) {
        if catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {
            let reason = StopReason::NodeFault {
                what: "the ordering thread panicked; its message is in the log".to_owned(),
            };
            tracing::error!(%reason, "engine stops taking blocks; reads go on");
            self.shared.board.stop(&reason);
            self.shared.events.publish(&Event::Stopped { reason });
        }
        self.finish();
    }

    fn run(&mut self) {
        let inputs = self.inputs.take().expect("the thread runs once").open();
        let mut effects = Vec::new();
        let mut course = Course::default();
        while !(course.closing && (course.broken || self.core.is_drained())) {
            if let Some(input) = self.next_input(&inputs) {
                self.take(input, &mut course, &mut effects);
            }
            self.core.on_tick(now_ms(), &mut effects);
            self.perform(&mut effects);
        }
        self.core.tell_stopped_now(&mut effects);
        self.perform(&mut effects);
    }

    fn next_input(&self, inputs: &Receiver<Input>) -> Option<Input> {
        let Some(at) = self.core.next_tick_ms() else {
            // A sender is in `shared`, so the queue never ends while this thread lives.
            return inputs.recv();
        };
        let timeout = Duration::from_millis(at.saturating_sub(now_ms()));
        inputs.recv_timeout(timeout)
    }

    fn take(&mut self, input: Input, course: &mut Course, effects: &mut Vec<Effect>) {
        let shared = Arc::clone(&self.shared);
        let world = &*shared;
        match input {
            Input::Request(request) => {
                shared.mailbox.taken();
                self.request(request, course, world, effects);
                if shared.wakeups.take_room() {
                    effects.push(Effect::WorkPossible);
                }
                if shared.import_refused.swap(false, Ordering::SeqCst) {
                    shared.tell_credits();
                }
            }
            Input::BodyDurable(hash) => self.core.on_body_durable(&hash, effects),
            Input::Left(left) => self.core.on_left(left, now_ms(), world, effects),
            Input::Prepared(hash) => self.core.on_prepared(&hash, now_ms(), world, effects),
            Input::Fault(reason) => {
                course.broken = true;
                self.core.stop(reason, effects);
                self.core.tell_stopped_now(effects);
            }
        }
    }

    fn request(&mut self, request: Request, course: &mut Course, world: &Shared, effects: &mut Vec<Effect>) {
        match request {
            Request::Build(request, reply) => {
                self.transactions_were_wanted = world.wakeups.begin_build();
                self.core.on_build(request, reply, now_ms(), world, effects);
            }
            Request::Validate(block, reply) => {
                let block = self.prepare(block);
                self.core
                    .on_validate(block, Some(reply), now_ms(), world, effects);
            }
            Request::Announce(block) => {
                let block = self.prepare(block);
                self.core.on_validate(block, None, now_ms(), world, effects);
            }
            Request::Finalize(block, certificate) => {
                let block = self.prepare(block);
                self.core
                    .on_finalized(block, Some(certificate), now_ms(), world, effects);
            }
            Request::Import(block) => {
                let block = self.prepare(block);
                self.core.on_import(block, now_ms(), world, effects);
            }
            Request::SetHead(hash, reply) => self.core.on_set_head(hash, reply, now_ms(), world, effects),
            Request::FinalizeKnown(hash, certificate) => {
                self.core.on_finalize(hash, certificate, now_ms(), world, effects);
            }
            Request::Stop(reason) => {
                course.closing |= reason == StopReason::Shutdown;
                self.core.stop(reason, effects);
            }
        }
    }

    /// Lets workers check the block's signatures where that is worth it; the core then waits for them. A body that is not the
    /// header's is not worth it: the block with that hash may be on its way, and would wait for the signatures of another.
    fn prepare(&mut self, block: Box<Block>) -> Arc<Block> {
        let block: Arc<Block> = Arc::from(block);
        let hash = block.hash();
        if self.core.wants_preparation(&hash, &block)
            && Preparations::pays(&block, &self.shared.verified)
            && check_commitments(&block, &self.shared.spec).is_ok()
        {
            self.core.on_preparing(hash);
            self.preparations.begin(hash, Arc::clone(&block));
        }
        block
    }

    /// Shows the new facts, then does what the core said: whoever hears of an event finds the facts changed.
    fn perform(&mut self, effects: &mut Vec<Effect>) {
        if effects.is_empty() {
            return;
        }
        self.shared.board.post(self.core.facts());
        for effect in effects.drain(..) {
            match effect {
                Effect::AnswerBuild(reply, answer) => self.answer_build(reply, answer),
                Effect::AnswerValidate(reply, answer) => reply.send(answer),
                Effect::AnswerHead(reply, answer) => reply.send(answer),
                Effect::WriteBody(block) => self.journal.push(Entry::Body(block)),
                Effect::WriteFinalized { blocks, certificate } => {
                    self.journal.push(Entry::Finalized { blocks, certificate });
                }
                Effect::Execute(task) => {
                    let published = self.publisher.publish(task);
                    // The core counts tasks, and the ring has a slot more than it counts.
                    published
                        .map_err(|_| ())
                        .expect("the ring has a slot for every task of the core");
                }
                Effect::Abandon(sequence) => {
                    // One that is just leaving leaves as it would have.
                    self.ring.abandon(sequence);
                }
                Effect::Discard(block) => self.shared.discard(&block),
                Effect::Emit(event) => {
                    if let Event::Finalized { block, .. } = &event {
                        self.shared.under_way.remove_up_to(block.height);
                    }
                    self.shared.events.publish(&event);
                }
                Effect::ReturnCredit if self.debt > 0 => self.debt -= 1,
                Effect::ReturnCredit => self.shared.return_credit(),
                Effect::SpendCredits(blocks) => {
                    self.debt += blocks - self.shared.credits.spend_up_to(blocks);
                }
                Effect::HeadMoved { removed, added } => self.shared.move_head(&self.core, &removed, &added),
                Effect::WorkPossible => self.shared.offer_work(),
            }
        }
    }

    /// Answers, and repeats a word of work that overtook the answer: before it, it said nothing to whoever waits for it.
    fn answer_build(&self, reply: Reply<BuildAnswer>, answer: BuildAnswer) {
        let shared = &self.shared;
        let is_declined = matches!(answer, BuildAnswer::NotNow(_));
        let waits_for_transactions =
            matches!(&answer, BuildAnswer::NotNow(reason) if reason.is_over_with_a_transaction());
        shared
            .wakeups
            .decide(waits_for_transactions, self.transactions_were_wanted);
        reply.send(answer);
        if is_declined && shared.wakeups.was_overtaken() {
            shared.events.publish(&Event::Work);
        }
    }

    fn finish(self) {
        self.ring.close();
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
        self.journal.push(Entry::Close);
        if self.journal_thread.join().is_err() {
            tracing::error!("the journal thread panicked");
        }
        // The journal was the only one who gave it work.
        if self.keeper_thread.join().is_err() {
            tracing::error!("the keeper of states panicked");
        }
    }
}

impl Shared {
    /// Gives a credit back, and tells when somebody was refused for want of one.
    pub(crate) fn return_credit(&self) {
        if self.credits.give_back() {
            self.tell_credits();
        }
    }

    /// Tells that there is room.
    pub(crate) fn tell_credits(&self) {
        self.events.publish(&Event::Credit {
            available: self.credits.available(),
        });
    }

    fn discard(&self, block: &Hash) {
        match self.store.discard(version(block)) {
            Ok(versions) => tracing::debug!(%block, versions, "states that do not count were dropped"),
            // Finality dropped it, or it never came to be.
            Err(reason) => tracing::trace!(%block, %reason, "no state to drop"),
        }
    }

    /// Tells that a declined build may succeed, if one was declined since the last time.
    pub(crate) fn offer_work(&self) {
        if self.wakeups.take_build() {
            self.events.publish(&Event::Work);
        }
    }

    /// `removed`: highest first; `added`: lowest first.
    fn move_head(&self, core: &Core, removed: &[Arc<Block>], added: &[Arc<Block>]) {
        let Some(accounts) = core.head_accounts(&self.store) else {
            return tracing::error!("the state that the head settles is not held");
        };
        let accounts = Arc::new(accounts);
        self.accounts.store(Arc::clone(&accounts));
        let durable = self.board.read(|facts| facts.heights.finalized.height);
        let mut stale = 0;
        for block in added {
            if block.header.height > durable {
                self.under_way.insert(block);
            }
            stale += self.pool.remove_finalized(&block.body.transactions).len();
        }
        if stale > 0 {
            tracing::debug!(stale, "pooled transactions lost their nonce to a block");
        }
        if removed.is_empty() {
            return;
        }
        let lost = removed.iter().rev();
        let transactions = lost.flat_map(|block| block.body.transactions.iter().cloned());
        let taken = self
            .pool
            .take_back(transactions.collect(), &Asked::new(&accounts));
        for (transaction, reason) in &taken.refused {
            tracing::debug!(%transaction, %reason, "a transaction of a lost block is not pooled again");
        }
        for block in removed {
            self.under_way.remove(block);
        }
    }
}

impl States for Shared {
    fn state(&self, block: &Hash) -> Result<Box<dyn State>, StateFault> {
        Ok(Box::new(state_after(&self.store, block)?))
    }
}

impl KnownSignatures for Shared {
    fn contains(&self, transaction: &Hash) -> bool {
        self.verified.contains(&transaction.0)
    }
}

impl World for Shared {
    fn finalized_hash(&self, height: Height) -> Result<Option<Hash>, StateFault> {
        self.ledger
            .finalized_hash(height)
            .map_err(|error| StateFault(error.to_string()))
    }

    fn stored_height(&self, block: &Hash) -> Result<Option<Height>, StateFault> {
        let header = self.ledger.header(block);
        let header = header.map_err(|error| StateFault(error.to_string()))?;
        Ok(header.map(|header| header.height))
    }

    fn candidates(
        &self,
        settled_height: Height,
        height: Height,
        branch: &dyn Branch,
        room: BlockRoom,
    ) -> Vec<SignedTransaction> {
        self.pool.best(
            &BranchAccounts {
                settled_height,
                height,
                branch,
            },
            room,
        )
    }
}
