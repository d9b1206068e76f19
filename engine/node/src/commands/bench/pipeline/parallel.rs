//! A block on several workers beside the same block one transaction after the other.

use std::sync::{Barrier, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use millrace_executor::parallel::{Spare, Step};
use millrace_executor::{BlockOutput, ParallelBlock, on_large_stack, required_stack_bytes};
use millrace_scheduler::Crew;
use millrace_types::{Outcome, SignedTransaction};
use rustix::time::{ClockId, clock_gettime};

use super::world::{Load, World};

/// Times of one way to execute a block.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// The least of the rounds.
    pub wall: Duration,
    /// Of all threads together, in the round with the least CPU time.
    pub cpu: Duration,
    /// Attempts at each transaction, in the worst round.
    pub attempts: f64,
}

/// One load.
pub struct Row {
    pub load: Load,
    pub transactions: usize,
    pub sequential: Time,
    /// By number of workers.
    pub parallel: Vec<(usize, Time)>,
}

impl Time {
    fn best(self, other: Self) -> Self {
        Self {
            wall: self.wall.min(other.wall),
            cpu: self.cpu.min(other.cpu),
            attempts: self.attempts.max(other.attempts),
        }
    }
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

fn timed<T>(work: impl FnOnce() -> T) -> (Time, T) {
    let start = (clock(ClockId::Monotonic), clock(ClockId::ProcessCPUTime));
    let done = work();
    let time = Time {
        wall: clock(ClockId::Monotonic).saturating_sub(start.0),
        cpu: clock(ClockId::ProcessCPUTime).saturating_sub(start.1),
        attempts: 1.0,
    };
    (time, done)
}

/// Measures one load, `rounds` times each way, by turns.
///
/// # Errors
/// Results that differ, and what failed.
pub fn measure(world: &World, load: Load, len: usize, workers: &[usize], rounds: u32) -> Result<Row, String> {
    let block = world.block(load, len);
    let mut sequential = None;
    let mut parallel: Vec<(usize, Option<Time>, Option<Spare>)> =
        workers.iter().map(|count| (*count, None, None)).collect();
    // The first round warms caches and is not counted.
    for round in 0..=rounds {
        let (time, expected) = in_order(world, &block)?;
        if let Some(failed) = expected
            .receipts
            .iter()
            .find(|receipt| receipt.outcome != Outcome::Success)
        {
            return Err(format!(
                "a transaction of {} failed: {:?}",
                load.name(),
                failed.outcome
            ));
        }
        better(&mut sequential, time, round);
        for (count, best, spare) in &mut parallel {
            let (time, output, left) = together(world, &block, *count, spare.take())?;
            if output != expected {
                return Err(format!(
                    "{} on {count} workers came to another result than one after the other",
                    load.name()
                ));
            }
            better(best, time, round);
            *spare = Some(left);
        }
    }
    let unmeasured = || "no round was measured".to_owned();
    let parallel = parallel
        .into_iter()
        .map(|(count, best, _)| Ok((count, best.ok_or_else(unmeasured)?)));
    Ok(Row {
        load,
        transactions: len,
        sequential: sequential.ok_or_else(unmeasured)?,
        parallel: parallel.collect::<Result<_, String>>()?,
    })
}

fn better(best: &mut Option<Time>, time: Time, round: u32) {
    if round > 0 {
        *best = Some(best.map_or(time, |best| best.best(time)));
    }
}

/// Executes the block on workers that are there already, as a node's are, with the memory of the block before.
fn together(
    world: &World,
    block: &[SignedTransaction],
    workers: usize,
    spare: Option<Spare>,
) -> Result<(Time, BlockOutput, Spare), String> {
    let crew = Crew::new();
    let job: RwLock<Option<ParallelBlock<_, _, _>>> = RwLock::new(None);
    let (begin, end) = (Barrier::new(workers + 1), Barrier::new(workers + 1));
    let work = || {
        let worker = crew.register().expect("fewer workers than a crew knows");
        begin.wait();
        let job = job.read().unwrap_or_else(PoisonError::into_inner);
        let job = job.as_ref().expect("it is there when they begin");
        loop {
            match job.step() {
                Step::Done => {}
                Step::Idle => worker.park_unless(|| job.has_news()),
                Step::Over => break,
            }
        }
        end.wait();
    };
    thread::scope(|scope| {
        for _ in 0..workers {
            let stack = required_stack_bytes(world.executor.spec());
            let started = thread::Builder::new().stack_size(stack).spawn_scoped(scope, work);
            started.map_err(|error| error.to_string())?;
        }
        let (time, (output, summary, spare)) = timed(|| {
            let block = ParallelBlock::new(
                &*world.executor,
                world.block.clone(),
                block,
                &world.state,
                (workers, crew.clone()),
                spare,
            );
            *job.write().unwrap_or_else(PoisonError::into_inner) = Some(block);
            begin.wait();
            end.wait();
            let done = job.write().unwrap_or_else(PoisonError::into_inner).take();
            done.expect("nobody else takes it").finish()
        });
        let time = Time {
            attempts: summary.attempts as f64 / block.len() as f64,
            ..time
        };
        Ok((time, output.map_err(|error| error.to_string())?, spare))
    })
}

fn in_order(world: &World, block: &[SignedTransaction]) -> Result<(Time, BlockOutput), String> {
    let run = || timed(|| world.executor.execute_block(&world.block, block, &world.state));
    let (time, output) = on_large_stack(world.executor.spec(), run).map_err(|error| error.to_string())?;
    Ok((time, output.map_err(|error| error.to_string())?))
}
