//! Random schedules of the whole: batches on several workers, the ring with all its stages, and both as the pipeline has
//! them.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p millrace-scheduler --test explore --target-dir target/shuttle`
//!
//! Shuttle runs the threads of an execution one at a time and chooses at each access of an atomic who goes on, so a run
//! follows from its seed. A worker that sleeps for ever is a deadlock, which it reports; one that turns for ever passes
//! [`MOST_STEPS`]. It takes every ordering for `SeqCst`: what orderings and fences are for, loom's models show
//! (`src/models.rs`, `src/parallel_models.rs`), on runs that are as small as these are large.
//!
//! Each seed draws what is run, and is explored twice: by a scheduler that draws each step, and by one that takes a worker
//! off at few places (PCT; S. Burckhardt et al., *A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs*,
//! 2010), which finds what needs one worker to stand still for long. A failure names its seed; `MILLRACE_SEED=N` runs that
//! one alone, `MILLRACE_LONG=1` fifty times as many.
#![cfg(shuttle)]

mod batches;
mod crew;
mod pipeline;
#[path = "../programs/mod.rs"]
mod programs;
mod team;

use std::env;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

/// Accesses of atomics in one execution: more than any takes that gets to its end.
const MOST_STEPS: usize = 400_000;

/// Places at which PCT takes a worker off.
const DEPTH: usize = 4;

/// Says how to see it again, if something failed.
struct Report {
    seed: u64,
    scheduler: &'static str,
}

impl Drop for Report {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "MILLRACE_SEED={} fails with the scheduler {}",
                self.seed, self.scheduler
            );
        }
    }
}

fn number(name: &str) -> Option<u64> {
    let value = env::var_os(name)?;
    let value = value.to_str().and_then(|value| value.parse().ok());
    Some(value.unwrap_or_else(|| panic!("{name} is a number")))
}

/// Explores what `draw` makes of each seed, `schedules` times with each scheduler.
fn explore<R: Fn() + Send + Sync + 'static>(seeds: u64, schedules: usize, draw: impl Fn(u64) -> R) {
    let is_long = number("MILLRACE_LONG").is_some_and(|long| long != 0);
    let seeds = match number("MILLRACE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..if is_long { 50 * seeds } else { seeds },
    };
    for seed in seeds {
        let random = RandomScheduler::new_from_seed(seed, schedules);
        run("random", seed, random, draw(seed));
        let pct = PctScheduler::new_from_seed(seed, DEPTH, schedules);
        run("PCT", seed, pct, draw(seed));
    }
}

fn run(
    scheduler: &'static str,
    seed: u64,
    how: impl Scheduler + 'static,
    what: impl Fn() + Send + Sync + 'static,
) {
    let _report = Report { seed, scheduler };
    let mut config = Config::new();
    config.stack_size = 256 * 1024;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    // The seed says it shorter than tens of thousands of choices.
    config.failure_persistence = FailurePersistence::None;
    config.silence_warnings = true;
    Runner::new(how, config).run(what);
}
