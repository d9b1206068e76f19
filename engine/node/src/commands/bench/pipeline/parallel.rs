//! A block on several workers beside the same block one transaction after the other.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, Scope};
use std::time::Duration;

use millrace_executor::parallel::{Spare, Step};
use millrace_executor::{BlockOutput, Executor, ParallelBlock, on_large_stack, required_stack_bytes};
use millrace_scheduler::Crew;
use millrace_types::{Outcome, SignedTransaction};
use rustix::time::{ClockId, clock_gettime};

use super::world::{Load, State, World};

/// Time of one round of one way to execute a block.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    pub wall: Duration,
    /// Of all threads together.
    pub cpu: Duration,
    /// Attempts at each transaction.
    pub attempts: f64,
}

/// Times of one way to execute a block, in every round.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Time>);

/// One load.
pub struct Row {
    pub load: Load,
    pub transactions: usize,
    pub sequential: Times,
    /// By number of workers.
    pub parallel: Vec<(usize, Times)>,
}

impl Times {
    /// The least of the rounds.
    pub fn wall(&self) -> Duration {
        self.0.iter().map(|time| time.wall).min().unwrap_or_default()
    }

    /// The least of the rounds, which need not be that of [`Self::wall`].
    pub fn cpu(&self) -> Duration {
        self.0.iter().map(|time| time.cpu).min().unwrap_or_default()
    }

    /// The most of the rounds.
    pub fn attempts(&self) -> f64 {
        self.0.iter().map(|time| time.attempts).fold(0.0, f64::max)
    }

    /// How much of something this takes for what `other` takes one of: the median over rounds, each of which had both shortly
    /// after each other, so that a machine whose speed changes changes both.
    pub fn ratio(&self, other: &Self, of: impl Fn(&Time) -> Duration) -> f64 {
        let pairs = self.0.iter().zip(&other.0);
        let mut ratios: Vec<f64> = pairs
            .map(|(this, other)| of(this).as_secs_f64() / of(other).as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        let middle = ratios.len() / 2;
        match ratios.len() {
            0 => f64::NAN,
            len if len % 2 == 1 => ratios[middle],
            _ => f64::midpoint(ratios[middle - 1], ratios[middle]),
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
    let measured = on_large_stack(world.executor.spec(), || {
        thread::scope(|scope| {
            let teams = workers.iter().map(|count| Team::start(scope, world, *count));
            let teams = teams.collect::<Result<Vec<_>, _>>()?;
            by_turns(world, load, &block, &teams, rounds)
        })
    });
    measured.map_err(|error| error.to_string())?
}

/// As many rounds, the first of which warms caches and is not counted.
fn by_turns<'w>(
    world: &'w World,
    load: Load,
    block: &'w [SignedTransaction],
    teams: &[Team<'w>],
    rounds: u32,
) -> Result<Row, String> {
    let mut sequential = Times::default();
    let mut parallel: Vec<(Times, Option<Spare>)> = teams.iter().map(|_| Default::default()).collect();
    for round in 0..=rounds {
        let (time, expected) = timed(|| world.executor.execute_block(&world.block, block, &world.state));
        let expected = expected.map_err(|error| error.to_string())?;
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
        if round > 0 {
            sequential.0.push(time);
        }
        for (team, (times, spare)) in teams.iter().zip(&mut parallel) {
            let (time, output, left) = team.execute(world, block, spare.take())?;
            if output != expected {
                return Err(format!(
                    "{} on {} workers came to another result than one after the other",
                    load.name(),
                    team.workers.len()
                ));
            }
            *spare = Some(left);
            if round > 0 {
                times.0.push(time);
            }
        }
    }
    let counts = teams.iter().map(|team| team.workers.len());
    Ok(Row {
        load,
        transactions: block.len(),
        sequential,
        parallel: counts.zip(parallel.into_iter().map(|(times, _)| times)).collect(),
    })
}

/// A block as a team works on it.
type Job<'w> = ParallelBlock<&'w Executor, &'w [SignedTransaction], &'w State>;

/// Workers that stay from block to block, as a node's do, until this is dropped.
struct Team<'w> {
    crew: Crew,
    workers: Vec<Sender<Arc<Job<'w>>>>,
    /// Who is done with a block.
    done: Receiver<()>,
}

impl<'w> Team<'w> {
    fn start<'s>(scope: &'s Scope<'s, '_>, world: &World, workers: usize) -> Result<Self, String>
    where
        'w: 's,
    {
        let crew = Crew::new();
        let (tell, done) = mpsc::channel();
        let workers = (0..workers).map(|_| {
            let (give, jobs) = mpsc::channel();
            let (crew, tell) = (crew.clone(), tell.clone());
            let builder = thread::Builder::new()
                .name("worker".into())
                .stack_size(required_stack_bytes(world.executor.spec()));
            let started = builder.spawn_scoped(scope, move || work(&crew, &jobs, &tell));
            started.map(|_| give).map_err(|error| error.to_string())
        });
        Ok(Self {
            workers: workers.collect::<Result<_, _>>()?,
            crew,
            done,
        })
    }

    /// Executes the block, with the memory of the one before.
    fn execute(
        &self,
        world: &'w World,
        block: &'w [SignedTransaction],
        spare: Option<Spare>,
    ) -> Result<(Time, BlockOutput, Spare), String> {
        let (time, (output, summary, spare)) = timed(|| {
            let job = Arc::new(ParallelBlock::new(
                &*world.executor,
                world.block.clone(),
                block,
                &world.state,
                (self.workers.len(), self.crew.clone()),
                spare,
            ));
            for worker in &self.workers {
                worker
                    .send(job.clone())
                    .expect("workers stay until they are dismissed");
            }
            for _ in &self.workers {
                self.done.recv().expect("workers answer once for each block");
            }
            Arc::into_inner(job)
                .expect("every worker is done with it")
                .finish()
        });
        let time = Time {
            attempts: summary.attempts as f64 / block.len() as f64,
            ..time
        };
        Ok((time, output.map_err(|error| error.to_string())?, spare))
    }
}

fn work(crew: &Crew, jobs: &Receiver<Arc<Job<'_>>>, done: &Sender<()>) {
    let worker = crew.register().expect("fewer workers than a crew knows");
    for job in jobs {
        loop {
            match job.step() {
                Step::Done => {}
                Step::Idle => worker.park_unless(|| job.has_news()),
                Step::Over => break,
            }
        }
        drop(job);
        // Nobody hears it if the measurement has failed.
        let _ = done.send(());
    }
}
