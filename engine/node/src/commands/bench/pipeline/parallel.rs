//! A block on several workers beside the same block one transaction after the other.

use std::time::Duration;

use millrace_executor::{BlockOutput, on_large_stack};
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
    let mut expected = None;
    let mut sequential: Option<Time> = None;
    let mut parallel: Vec<(usize, Option<Time>)> = workers.iter().map(|count| (*count, None)).collect();
    // The first round warms caches and is not counted.
    for round in 0..=rounds {
        let (time, output) = in_order(world, &block)?;
        if round > 0 {
            sequential = Some(sequential.map_or(time, |best| best.best(time)));
        }
        if let Some(failed) = output
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
        let expected = expected.get_or_insert(output);
        for (count, best) in &mut parallel {
            let (time, output) = timed(|| {
                world
                    .executor
                    .execute_block_on(*count, &world.block, &block, &world.state)
            });
            let (output, summary) = output.map_err(|error| error.to_string())?;
            let output = output.map_err(|error| error.to_string())?;
            let time = Time {
                attempts: summary.attempts as f64 / len as f64,
                ..time
            };
            if output != *expected {
                return Err(format!(
                    "{} on {count} workers came to another result than one after the other",
                    load.name()
                ));
            }
            if round > 0 {
                *best = Some(best.map_or(time, |best| best.best(time)));
            }
        }
    }
    let none = Time {
        wall: Duration::ZERO,
        cpu: Duration::ZERO,
        attempts: 0.0,
    };
    Ok(Row {
        load,
        transactions: len,
        sequential: sequential.unwrap_or(none),
        parallel: parallel
            .into_iter()
            .map(|(count, time)| (count, time.unwrap_or(none)))
            .collect(),
    })
}

fn in_order(world: &World, block: &[SignedTransaction]) -> Result<(Time, BlockOutput), String> {
    let run = || timed(|| world.executor.execute_block(&world.block, block, &world.state));
    let (time, output) = on_large_stack(world.executor.spec(), run).map_err(|error| error.to_string())?;
    Ok((time, output.map_err(|error| error.to_string())?))
}
