//! Batches of random programs on several workers against the same programs one after the other.

#![cfg(not(shuttle))]

mod programs;

use std::sync::atomic::{AtomicUsize, Ordering};

use millrace_scheduler::Crew;
use millrace_scheduler::parallel::{Batch, Next};
use programs::{Name, Number, Output, Program, State, execute, in_order, program, result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn work(batch: &Batch<Name, Number, Output>, programs: &[Program], crew: &Crew) {
    let worker = crew.register().expect("few workers");
    loop {
        match batch.next() {
            Next::Over => return,
            Next::Execute(ticket) => execute(programs, &State::new(), ticket),
            Next::Idle => worker.park_unless(|| batch.has_news()),
        }
    }
}

fn compare(
    seed: u64,
    spare: &mut Option<Batch<Name, Number, Output>>,
    attempts: &AtomicUsize,
) -> (usize, usize) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (len, names) = (
        random.random_range(0..120),
        [1, 3, 20, 200][random.random_range(0..4)],
    );
    let fails_at = if random.random_ratio(1, 8) {
        random.random_range(0..=len)
    } else {
        len
    };
    let programs: Vec<Program> = (0..len)
        .map(|place| program(&mut random, names, 8, place == fails_at))
        .collect();
    let workers = random.random_range(1..=8);
    let (outputs, state) = in_order(&programs, &State::new());
    let crew = Crew::new();
    let mut batch = match spare.take() {
        Some(batch) if random.random() => batch.renew(len, workers, crew.clone()),
        _ => Batch::new(len, workers, crew.clone()),
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| work(&batch, &programs, &crew));
        }
    });
    let summary = batch.summary();
    assert!(!summary.is_broken);
    attempts.fetch_add(summary.attempts as usize, Ordering::Relaxed);
    let (found, written) = result(&mut batch, &State::new());
    assert_eq!(found, outputs, "seed {seed}, {workers} workers");
    if let Some(written) = written {
        assert_eq!(written, state, "seed {seed}, {workers} workers");
    }
    *spare = Some(batch);
    (len, outputs.len())
}

#[test]
fn any_number_of_workers_comes_to_what_one_after_the_other_comes_to() {
    let seeds = if std::env::var_os("MILLRACE_LONG").is_some_and(|long| long != "0") {
        40_000
    } else {
        1_500
    };
    let (mut spare, attempts) = (None, AtomicUsize::new(0));
    let mut transactions = 0;
    for seed in 0..seeds {
        transactions += compare(seed, &mut spare, &attempts).1;
    }
    let attempts = attempts.into_inner();
    println!("seeds 0..{seeds}: {transactions} transactions, {attempts} attempts");
    assert!(attempts > transactions, "nothing was ever executed again");
}

#[test]
fn a_worker_that_panics_breaks_the_batch_and_nobody_waits_for_it() {
    let crew = Crew::new();
    let batch: Batch<Name, Number, Output> = Batch::new(3, 2, crew);
    let Next::Execute(ticket) = batch.next() else {
        panic!("everything is ready at first");
    };
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ticket = ticket;
        panic!("as a worker does");
    }));
    assert!(panicked.is_err());
    assert!(matches!(batch.next(), Next::Over));
    assert!(batch.is_over() && batch.summary().is_broken);
}
