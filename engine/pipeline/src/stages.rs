//! The workers: every stage of every block, on one pool of threads.
//!
//! A worker takes the most urgent work: what frees a slot first, then the block that is being executed by all of them
//! (`team`), then the execution of another, then the signatures of blocks that have no verdict yet (`preparation`), then
//! programs of blocks whose turn has not come (`warming`). It works on it and hands it on. The stage *Prepare* only lists
//! those programs: what takes longer must not keep a block from being executed, and signatures are checked before a block
//! is admitted, which is before it enters the ring.
//!
//! A stage that fails drops its claim: nothing behind it moves any more, and the ordering thread is told why. Speculation
//! and abandoned tasks are the exception: nobody waits for what they find, and the block that they were at is executed
//! again if it counts one day.
//!
//! Every task leaves the ring by one entry of the journal, so the ordering thread hears of all of them in their order. The
//! stage *Persist* is that entry: the worker hands its claim over with it and never waits for the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use millrace_executor::{Executor, required_stack_bytes};
use millrace_scheduler::{Claim, Recent, Ring, Stage, Worker};
use millrace_state::Store;

use crate::api::StopReason;
use crate::execution;
use crate::journal::{Entry, Execution, Journal};
use crate::mailbox::{Input, Inputs};
use crate::preparation::Preparations;
use crate::task::{BlockTask, Outcome, Purpose};
use crate::team::Team;
use crate::timing::{Timed, Timing};
use crate::warming::Warmings;

/// What workers work with.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) ring: Ring<BlockTask>,
    pub(crate) team: Arc<Team>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) store: Store,
    pub(crate) journal: Journal,
    pub(crate) preparations: Arc<Preparations>,
    pub(crate) warmings: Arc<Warmings>,
    pub(crate) verified: Arc<Recent>,
    pub(crate) inputs: Inputs,
    /// How often a block was executed, speculation counted.
    pub(crate) executions: Arc<AtomicU64>,
    /// Development switch: every block's execution takes this much longer.
    pub(crate) slow_execution: Duration,
}

/// Why a stage did not finish.
#[derive(Debug, thiserror::Error)]
enum StageError {
    #[error(transparent)]
    Execute(#[from] execution::ExecuteError),
    #[error("block {0} counts and came to its last stage without a receipt")]
    NoReceipt(millrace_types::Hash),
    #[error("the {0} stage panicked at block {1}: {2}")]
    Panicked(&'static str, millrace_types::Hash, String),
}

/// What a stage does of a task.
type Handler = fn(&Workshop, &Worker, &Claim<BlockTask>) -> Result<(), StageError>;

/// Starts the pool.
///
/// # Errors
/// The system gave no thread.
pub(crate) fn start(workshop: &Workshop, workers: usize) -> std::io::Result<Vec<JoinHandle<()>>> {
    let stack = required_stack_bytes(workshop.executor.spec());
    (0..workers.max(1))
        .map(|n| {
            let workshop = workshop.clone();
            thread::Builder::new()
                .name(format!("millrace-worker-{n}"))
                .stack_size(stack)
                .spawn(move || workshop.work())
        })
        .collect()
}

impl Workshop {
    fn work(&self) {
        let Some(worker) = self.ring.register() else {
            return self.inputs.send(Input::Fault(StopReason::NodeFault {
                what: "the ring has no place for another worker".to_owned(),
            }));
        };
        self.work_until(&worker, &|| {
            worker.is_closed() && !self.ring.has_work(&Stage::ALL)
        });
    }

    /// Takes the most urgent work until `is_over`: what frees slots, then the block that is being executed, then new ones.
    fn work_until(&self, worker: &Worker, is_over: &dyn Fn() -> bool) {
        while !is_over() {
            if let Some(claim) = self.claim(&[Stage::Persist, Stage::Root]) {
                if self.team.has_news() {
                    // Somebody else has to see to it meanwhile.
                    self.ring.crew().wake_one();
                }
                self.handle(worker, claim);
            } else if self.team.help() {
                // One transaction; something more urgent may have come meanwhile.
            } else if let Some(claim) = self.claim(&[Stage::Execute, Stage::Prepare]) {
                self.handle(worker, claim);
            } else if self.preparations.step(&self.verified, &self.inputs) {
                // A chunk of a later block's signatures.
            } else if self.warmings.step(&self.executor, &self.ring) {
                // One program of a later block.
            } else {
                worker.park_unless(|| {
                    is_over()
                        || self.ring.has_work(&Stage::ALL)
                        || self.team.has_news()
                        || self.preparations.has_work()
                        || self.warmings.has_work()
                });
            }
        }
    }

    fn claim(&self, stages: &[Stage]) -> Option<Claim<BlockTask>> {
        stages.iter().find_map(|stage| self.ring.claim(*stage))
    }

    fn handle(&self, worker: &Worker, claim: Claim<BlockTask>) {
        if claim.stage() == Stage::Persist {
            return match to_be_kept(&claim) {
                Ok(execution) => self.journal.push(Entry::Leaves { claim, execution }),
                Err(error) => self.fault(&error),
            };
        }
        if claim.is_abandoned() {
            return claim.complete();
        }
        match self.run(worker, &claim) {
            Ok(()) => claim.complete(),
            Err(error) if is_unwanted(&claim) => {
                tracing::debug!(%error, "work on a block that does not count came to nothing");
                claim.complete();
            }
            Err(error) => self.fault(&error),
        }
    }

    /// A claim is dropped: nothing behind it moves any more.
    fn fault(&self, error: &StageError) {
        self.inputs.send(Input::Fault(StopReason::NodeFault {
            what: error.to_string(),
        }));
    }

    /// One stage of one block; a panic is a failure like any other.
    fn run(&self, worker: &Worker, claim: &Claim<BlockTask>) -> Result<(), StageError> {
        let (stage, name): (Handler, _) = match claim.stage() {
            Stage::Prepare => (Self::prepare, "prepare"),
            Stage::Execute => (Self::execute, "execute"),
            Stage::Root => (Self::root, "root"),
            Stage::Persist => return Ok(()),
        };
        catch_unwind(AssertUnwindSafe(|| stage(self, worker, claim))).unwrap_or_else(|panic| {
            let what = panic.downcast_ref::<String>().map(String::as_str);
            let what = what
                .or(panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(StageError::Panicked(name, claim.hash, what.to_owned()))
        })
    }

    fn prepare(&self, _worker: &Worker, task: &Claim<BlockTask>) -> Result<(), StageError> {
        self.warmings.begin(task, &self.ring, &self.store);
        Ok(())
    }

    fn execute(&self, worker: &Worker, task: &Claim<BlockTask>) -> Result<(), StageError> {
        if task.work.is_executed() {
            return Ok(());
        }
        let timing = Timing::begin();
        if !self.slow_execution.is_zero() {
            thread::sleep(self.slow_execution);
        }
        let outcome = self.team.timed(&task.block, || {
            match self.execute_together(worker, task)? {
                Some(outcome) => Ok(outcome),
                None => execution::execute(&self.executor, &self.store, task.hash, &task.block),
            }
            .map_err(StageError::from)
        })?;
        timing.end(Timed::Execute);
        self.executions.fetch_add(1, Ordering::Relaxed);
        let set = task.work.outcome.set(outcome);
        set.expect("a block is executed once");
        Ok(())
    }

    /// On all workers; `None` where that does not pay, or when it broke.
    fn execute_together(&self, worker: &Worker, task: &BlockTask) -> Result<Option<Outcome>, StageError> {
        if !self.team.pays(&task.block) {
            return Ok(None);
        }
        let state = execution::parent_state(&self.store, task.hash, &task.block)?;
        let work_until = |is_over: &dyn Fn() -> bool| self.work_until(worker, is_over);
        let output = self
            .team
            .execute(&self.executor, &task.block, state, worker, work_until);
        let keep = |output| execution::keep(&self.store, task.hash, &task.block, output);
        Ok(output.map(keep).transpose()?)
    }

    fn root(&self, _worker: &Worker, task: &Claim<BlockTask>) -> Result<(), StageError> {
        if task.work.is_rooted() {
            return Ok(());
        }
        let Some(outcome) = task.work.outcome.get() else {
            assert_eq!(
                task.purpose,
                Purpose::Speculation,
                "what counts is executed before its root is computed"
            );
            return Ok(());
        };
        let timing = Timing::begin();
        let receipt = execution::root(&self.store, task.hash, &task.block, outcome)?;
        timing.end(Timed::Root);
        let set = task.work.receipt.set(receipt);
        set.expect("a root is computed once");
        Ok(())
    }
}

/// What a task has to make durable: the receipt of a block that counts, unless it is already.
fn to_be_kept(claim: &Claim<BlockTask>) -> Result<Option<Execution>, StageError> {
    let (purpose, work) = (claim.purpose, &claim.work);
    if claim.is_abandoned() || purpose == Purpose::Speculation || work.is_durable() {
        return Ok(None);
    }
    match (work.receipt.get(), work.outcome.get()) {
        (Some(receipt), Some(outcome)) => Ok(Some(Execution {
            receipt: receipt.clone(),
            receipts: Arc::clone(&outcome.receipts),
        })),
        _ => Err(StageError::NoReceipt(claim.hash)),
    }
}

/// Whether nobody waits for what a stage finds.
fn is_unwanted(claim: &Claim<BlockTask>) -> bool {
    claim.is_abandoned() || claim.purpose == Purpose::Speculation
}

#[cfg(test)]
mod tests;
