//! One block on all workers: who claimed its execution leads, whoever has nothing more urgent to do helps.
//!
//! Nothing waits here: the leader goes on with other work of the pool while others are at the last transactions. A block
//! whose parallel execution breaks (a worker panicked in it) is executed again, one transaction after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use millrace_executor::parallel::{ParallelBlock, ParallelError, Spare, Step};
use millrace_executor::{BlockContext, BlockOutput, ExecutionError, Executor, StateReader};
use millrace_scheduler::{Crew, Worker};
use millrace_types::{Block, SignedTransaction};

use crate::execution::Reader;

/// Blocks with fewer transactions are executed by one worker, unless they take long: waking another takes longer.
const LEAST_TRANSACTIONS: usize = 32;
/// What takes long: some ten times what it takes to wake a worker and to wait for its last transaction.
const LONG: Duration = Duration::from_millis(1);

/// A block's transactions.
struct Transactions(Arc<Block>);

impl AsRef<[SignedTransaction]> for Transactions {
    fn as_ref(&self) -> &[SignedTransaction] {
        &self.0.body.transactions
    }
}

type Job<S> = ParallelBlock<Arc<Executor>, Transactions, S>;

/// See the module's documentation. Execution is one stage, so there is one block at a time.
pub(crate) struct Team<S = Reader> {
    workers: usize,
    crew: Crew,
    job: ArcSwapOption<Job<S>>,
    /// The leader has taken the block away and waits for the last who holds it.
    is_taken_away: AtomicBool,
    /// The memory of the block before.
    spare: ArcSwapOption<Spare>,
    /// Nanoseconds that a transaction took of late. Written by whoever executes a block, which is one worker at a time.
    pace: AtomicU64,
}

impl<S: StateReader + Send + Sync> Team<S> {
    pub(crate) fn new(workers: usize, crew: Crew) -> Self {
        Self {
            workers,
            crew,
            job: ArcSwapOption::empty(),
            is_taken_away: AtomicBool::new(false),
            spare: ArcSwapOption::empty(),
            pace: AtomicU64::new(0),
        }
    }

    /// Whether a block is better executed by several workers.
    pub(crate) fn pays(&self, block: &Block) -> bool {
        let len = block.body.transactions.len();
        let pace = Duration::from_nanos(self.pace.load(Ordering::Relaxed));
        let is_long = pace.saturating_mul(u32::try_from(len).unwrap_or(u32::MAX)) >= LONG;
        self.workers > 1 && (len >= LEAST_TRANSACTIONS || (len > 1 && is_long))
    }

    /// Executes a block, one way or the other, and notes how long its transactions take.
    pub(crate) fn timed<R>(&self, block: &Block, execute: impl FnOnce() -> R) -> R {
        #[expect(
            clippy::disallowed_methods,
            reason = "decides how many workers execute a block, which no result depends on"
        )]
        let start = Instant::now();
        let result = execute();
        if let Some(each) = u32::try_from(block.body.transactions.len())
            .ok()
            .and_then(|len| start.elapsed().checked_div(len))
        {
            let each = u64::try_from(each.as_nanos()).unwrap_or(u64::MAX);
            let before = self.pace.load(Ordering::Relaxed);
            self.pace.store(before / 2 + each / 2, Ordering::Relaxed);
        }
        result
    }

    /// Executes one transaction of the block under way, if there is one to execute.
    pub(crate) fn help(&self) -> bool {
        // A panic breaks the block: its leader finds that out.
        let step = |job: &Job<S>| catch_unwind(AssertUnwindSafe(|| job.step()));
        matches!(self.with_job(step), Some(Ok(Step::Done)))
    }

    /// Whether [`Self::help`] may find something. What is over is no news: its leader may be at another stage, and helpers
    /// would turn until it comes back.
    pub(crate) fn has_news(&self) -> bool {
        let has_news = |job: &Job<S>| !job.is_over() && job.has_news();
        self.with_job(has_news).unwrap_or(false)
    }

    fn with_job<R>(&self, look: impl FnOnce(&Job<S>) -> R) -> Option<R> {
        let held = self.job.load();
        let job = held.as_ref()?;
        let seen = look(job);
        drop(held);
        // The leader waits for the last who holds the block, which may have been this. It says that it took the block away
        // first, and then looks who holds it; here it is the other way round, so one of both sees the other. That the block
        // was not over a moment ago says nothing: its last transaction may have been another's. Nor may this look for the
        // block itself: for that moment it would hold it once more, and nobody would tell of the end of that.
        fence(Ordering::SeqCst);
        if self.is_taken_away.load(Ordering::Relaxed) {
            self.crew.wake_all();
        }
        Some(seen)
    }

    /// Executes a block with everyone's help. `work_until` is what the calling worker does meanwhile, which helps too,
    /// until it is told to come back.
    ///
    /// # Errors
    /// `None` when the block broke.
    pub(crate) fn execute(
        &self,
        executor: &Arc<Executor>,
        block: &Arc<Block>,
        state: S,
        worker: &Worker,
        work_until: impl FnOnce(&dyn Fn() -> bool),
    ) -> Option<Result<BlockOutput, ExecutionError>> {
        let spare = self.spare.swap(None).and_then(Arc::into_inner);
        let mut job = Arc::new(ParallelBlock::new(
            Arc::clone(executor),
            BlockContext::of(&block.header),
            Transactions(Arc::clone(block)),
            state,
            (self.workers, self.crew.clone()),
            spare,
        ));
        self.is_taken_away.store(false, Ordering::Relaxed);
        self.job.store(Some(Arc::clone(&job)));
        self.crew.wake_one();
        work_until(&|| job.is_over());
        self.job.store(None);
        self.is_taken_away.store(true, Ordering::SeqCst);
        let job = loop {
            match Arc::try_unwrap(job) {
                Ok(job) => break job,
                Err(shared) => job = shared,
            }
            worker.park_unless(|| Arc::strong_count(&job) == 1);
        };
        let (output, summary, spare) = job.finish();
        self.spare.store(Some(Arc::new(spare)));
        metrics::counter!("millrace_execution_attempts_total").increment(summary.attempts);
        metrics::counter!("millrace_execution_waits_total").increment(summary.waits);
        match output {
            Ok(output) => Some(Ok(output)),
            Err(ParallelError::Execution(error)) => Some(Err(error)),
            Err(ParallelError::Broken) => {
                metrics::counter!("millrace_execution_fallbacks_total").increment(1);
                tracing::error!(
                    height = block.header.height,
                    "a worker panicked in the parallel execution of a block; it is executed again in order"
                );
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
