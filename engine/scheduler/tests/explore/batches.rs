//! Batches: whatever the workers do when, the result is that of one after the other, and everybody comes home.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use millrace_scheduler::Crew;
use millrace_scheduler::parallel::{Batch, MAX_SPECULATIVE_ATTEMPTS, Next};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shuttle::thread;

use super::explore;
use super::programs::{Name, Number, Output, Program, State, Step, execute, in_order, program, result};

/// One batch, and what it has to come to.
struct Plan {
    programs: Vec<Program>,
    before: State,
    workers: usize,
    /// The worker that gets to this transaction leaves without an end, as one that panics does.
    vanishes_at: Option<u32>,
    expected: (Vec<Output>, State),
}

/// What happened in all executions of all seeds, to know that there was something to find.
#[derive(Default)]
struct Seen {
    transactions: AtomicU64,
    attempts: AtomicU64,
    waits: AtomicU64,
    broken: AtomicU64,
    failed: AtomicU64,
}

impl Plan {
    fn draw(random: &mut ChaCha8Rng, sizes: std::ops::Range<usize>) -> Self {
        let len = random.random_range(sizes);
        let names = [1, 2, 3, 8][random.random_range(0..4)];
        let fails_at = random.random_ratio(1, 6).then(|| random.random_range(0..len));
        let mut programs: Vec<Program> = (0..len)
            .map(|place| program(random, names, 6, Some(place) == fails_at))
            .collect();
        // Now and then many that only the gate brings back.
        if random.random_ratio(1, 3) {
            for program in &mut programs {
                program.extend([None, Some(Step::Defer), Some(Step::Retry)][random.random_range(0..3)]);
            }
        }
        // Not all that is there is what loading makes of a key.
        let before = State::from([(Name(0), random.random_range(-9..9))]);
        let vanishes_at = random
            .random_ratio(1, 8)
            .then(|| random.random_range(0..u32::try_from(len).expect("few")));
        let expected = in_order(&programs, &before);
        Self {
            programs,
            before,
            workers: random.random_range(3..=4),
            vanishes_at,
            expected,
        }
    }

    fn work(&self, batch: &Batch<Name, Number, Output>, crew: &Crew, runs: &[AtomicU32]) {
        let worker = crew.register().expect("few workers");
        loop {
            match batch.next() {
                Next::Over => return self.look_at_written(batch),
                Next::Gather(part) => part.finish(),
                Next::Idle => worker.park_unless(|| batch.has_news()),
                Next::Execute(ticket) => {
                    let place = ticket.place();
                    runs[place as usize].fetch_add(1, Ordering::Relaxed);
                    if self.vanishes_at == Some(place) {
                        return drop(ticket);
                    }
                    execute(&self.programs, &self.before, ticket);
                }
            }
        }
    }

    /// What is written can be looked at as soon as all is committed, whoever is on the way out still.
    fn look_at_written(&self, batch: &Batch<Name, Number, Output>) {
        if batch.summary().committed as usize == self.programs.len() {
            let mut state = self.before.clone();
            state.extend(batch.written().map(|(name, value)| (*name, value.0)));
            assert_eq!(state, self.expected.1);
        }
    }

    fn run(&self, spare: Option<Batch<Name, Number, Output>>, seen: &Seen) -> Batch<Name, Number, Output> {
        let (crew, len) = (Crew::new(), self.programs.len());
        let mut batch = match spare {
            Some(batch) => batch.renew(len, self.workers, crew.clone()),
            None => Batch::new(len, self.workers, crew.clone()),
        };
        let runs: Vec<AtomicU32> = (0..len).map(|_| AtomicU32::new(0)).collect();
        thread::scope(|scope| {
            for _ in 1..self.workers {
                scope.spawn(|| self.work(&batch, &crew, &runs));
            }
            self.work(&batch, &crew, &runs);
        });
        self.check(&mut batch, &runs, seen);
        batch
    }

    fn check(&self, batch: &mut Batch<Name, Number, Output>, runs: &[AtomicU32], seen: &Seen) {
        let summary = batch.summary();
        for (place, runs) in runs.iter().enumerate() {
            let runs = u64::from(runs.load(Ordering::Relaxed));
            assert!(
                runs <= MAX_SPECULATIVE_ATTEMPTS + 1,
                "transaction {place} was executed {runs} times"
            );
        }
        let bound = self.programs.len() as u64 * (MAX_SPECULATIVE_ATTEMPTS + 2);
        assert!(summary.attempts <= bound, "{summary:?}");
        seen.transactions
            .fetch_add(u64::from(summary.committed), Ordering::Relaxed);
        seen.attempts.fetch_add(summary.attempts, Ordering::Relaxed);
        seen.waits.fetch_add(summary.waits, Ordering::Relaxed);
        let is_certain_to_break = self
            .vanishes_at
            .is_some_and(|place| (place as usize) < self.expected.0.len());
        if summary.is_broken {
            assert!(self.vanishes_at.is_some(), "nobody left");
            seen.broken.fetch_add(1, Ordering::Relaxed);
            return;
        }
        assert!(
            !is_certain_to_break,
            "a worker left, and the batch does not say so"
        );
        let (outputs, state) = result(batch, &self.before);
        assert_eq!(outputs, self.expected.0);
        match state {
            Some(state) => {
                assert_eq!(summary.committed as usize, self.programs.len());
                assert_eq!(state, self.expected.1);
            }
            None => drop(seen.failed.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

fn explore_batches(seeds: u64, schedules: usize, sizes: std::ops::Range<usize>) {
    let seen = Arc::new(Seen::default());
    explore(seeds, schedules, |seed| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let plans = [(); 2].map(|()| Plan::draw(&mut random, sizes.clone()));
        let seen = Arc::clone(&seen);
        move || {
            let spare = plans[0].run(None, &seen);
            plans[1].run(Some(spare), &seen);
        }
    });
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{} transactions, {} attempts, {} waited; {} batches broke, {} ended by a failure",
        of(&seen.transactions),
        of(&seen.attempts),
        of(&seen.waits),
        of(&seen.broken),
        of(&seen.failed)
    );
    if std::env::var_os("MILLRACE_SEED").is_none() {
        assert!(
            of(&seen.attempts) > of(&seen.transactions),
            "nothing was executed again"
        );
        for count in [&seen.waits, &seen.broken, &seen.failed] {
            assert!(of(count) > 0, "something never happened");
        }
    }
}

#[test]
fn small_batches_come_out_as_in_order_whatever_the_workers_do_when() {
    explore_batches(SMALL.0, SMALL.1, 6..13);
}

#[test]
fn large_batches_come_out_as_in_order_whatever_the_workers_do_when() {
    explore_batches(LARGE.0, LARGE.1, 24..41);
}

/// The last gives up, and nobody but the gate comes by there; the one before gives up again and again, so that workers look
/// at the last once more while the gate is on its way.
#[test]
fn the_last_that_gave_up_is_executed_when_the_gate_gets_to_it() {
    explore(LAST.0, LAST.1, |_| {
        let programs = vec![vec![Step::Write(Name(0))], vec![Step::Retry], vec![Step::Defer]];
        let plan = Plan {
            expected: in_order(&programs, &State::new()),
            programs,
            before: State::new(),
            workers: 3,
            vanishes_at: None,
        };
        move || drop(plan.run(None, &Seen::default()))
    });
}

const LAST: (u64, usize) = (40, 50);
const SMALL: (u64, usize) = (240, 30);
const LARGE: (u64, usize) = (60, 10);
