//! Batches of random programs on several workers against the same programs one after the other.

#![cfg(not(shuttle))]

mod programs;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use millrace_scheduler::Crew;
use millrace_scheduler::parallel::{Batch, Next, Stop, Ticket, Write};
use programs::{Name, Number, Output, Program, State, execute, in_order, program, result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// No worker panics.
const CALM: &str = "no worker panicked";

/// What parts of a batch came to, by their index.
type Gathered = Mutex<BTreeMap<usize, (Vec<Output>, Vec<(Name, i64)>)>>;

fn work(batch: &Batch<Name, Number, Output>, programs: &[Program], crew: &Crew, gathered: &Gathered) {
    let worker = crew.register().expect("few workers");
    loop {
        match batch.next() {
            Next::Over => return,
            Next::Gather(mut part) => {
                let outputs = part.outputs().collect();
                let written = part.written().map(|(name, value)| (*name, value.0)).collect();
                let mut gathered = gathered.lock().expect(CALM);
                let before = gathered.insert(part.index(), (outputs, written));
                assert_eq!(before, None, "a part is given out once");
                part.finish();
            }
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
    let most = if random.random_ratio(1, 50) { 2_000 } else { 120 };
    let (len, names) = (
        random.random_range(0..most),
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
    let gathered = Gathered::default();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| work(&batch, &programs, &crew, &gathered));
        }
    });
    let summary = batch.summary();
    assert!(!summary.is_broken);
    attempts.fetch_add(summary.attempts as usize, Ordering::Relaxed);
    let gathered = gathered.into_inner().expect(CALM);
    if outputs.last() == Some(&Err(())) {
        assert_eq!(
            gathered.len(),
            0,
            "seed {seed}: nothing is gathered of what ended before its time"
        );
        let (found, _) = result(&mut batch, &State::new());
        assert_eq!(found, outputs, "seed {seed}, {workers} workers");
    } else {
        assert!(
            gathered.keys().copied().eq(0..batch.parts()),
            "seed {seed}: every part"
        );
        let (_, whole) = result(&mut batch, &State::new());
        assert_eq!(whole.as_ref(), Some(&state), "seed {seed}, {workers} workers");
        let (found, written): (Vec<_>, Vec<_>) = gathered.into_values().unzip();
        assert_eq!(found.concat(), outputs, "seed {seed}, {workers} workers");
        let written = written.concat();
        assert_eq!(written.len(), state.len(), "seed {seed}: each key is in one part");
        assert_eq!(State::from_iter(written), state, "seed {seed}, {workers} workers");
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
fn a_worker_that_panics_while_it_gathers_breaks_the_batch() {
    let batch: Batch<Name, Number, Output> = Batch::new(1, 2, Crew::new());
    let Next::Execute(ticket) = batch.next() else {
        panic!("everything is ready at first");
    };
    ticket.finish(Ok(0));
    assert!(batch.has_news() && !batch.is_over());
    let Next::Gather(part) = batch.next() else {
        panic!("everything is committed");
    };
    assert!(matches!(batch.next(), Next::Idle), "there is one part");
    drop(part);
    assert!(matches!(batch.next(), Next::Over));
    assert!(batch.is_over() && batch.summary().is_broken);
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

/// A batch of three, all of them begun, and nothing below the first two committed: what is stale now is found out by who
/// is told, since the commit gate does not get there.
fn three(batch: &Transactions) -> [Ticket<'_, Name, Number, Output>; 3] {
    [(); 3].map(|()| next(batch).expect("everything is ready at first"))
}

type Transactions = Batch<Name, Number, Output>;

fn next(batch: &Transactions) -> Option<Ticket<'_, Name, Number, Output>> {
    match batch.next() {
        Next::Execute(ticket) => Some(ticket),
        Next::Idle => None,
        Next::Gather(_) | Next::Over => panic!("the first is not finished"),
    }
}

/// Whether everything is committed; gathers it.
fn is_over(batch: &Transactions) -> bool {
    if let Next::Gather(part) = batch.next() {
        part.finish();
    }
    batch.is_over()
}

fn load(name: &Name) -> Result<Number, ()> {
    Ok(Number(i64::from(name.0)))
}

fn read(ticket: &Ticket<'_, Name, Number, Output>) -> Result<i64, Stop<()>> {
    ticket.read(&Name(7), load).map(|value| value.0)
}

fn write(ticket: &Ticket<'_, Name, Number, Output>, value: i64) {
    let write = Write::Whole(Number(value));
    ticket.write(&Name(7), write, load).expect("loading never fails");
}

#[test]
fn who_read_what_is_written_over_executes_again_before_the_gate_gets_there() {
    let batch = Transactions::new(3, 2, Crew::new());
    let [first, second, third] = three(&batch);
    write(&first, 1);
    assert_eq!(read(&third), Ok(1));
    third.finish(Ok(1));
    assert!(next(&batch).is_none());
    write(&second, 2);
    second.finish(Ok(0));
    let again = next(&batch).expect("what the third read has changed");
    assert_eq!((again.place(), read(&again)), (2, Ok(2)));
    again.finish(Ok(2));
    first.finish(Ok(0));
    assert_eq!((is_over(&batch), batch.summary().attempts), (true, 4));
}

#[test]
fn who_read_what_is_taken_back_executes_again_before_the_gate_gets_there() {
    let batch = Transactions::new(3, 2, Crew::new());
    let [first, second, third] = three(&batch);
    write(&second, 2);
    assert_eq!(read(&third), Ok(2));
    third.finish(Ok(2));
    second.retry();
    let second = next(&batch).expect("it gave up");
    assert_eq!(second.place(), 1);
    second.finish(Ok(0));
    let again = next(&batch).expect("what the third read is not there any more");
    assert_eq!((again.place(), read(&again)), (2, Ok(7)));
    again.finish(Ok(7));
    first.finish(Ok(0));
    assert_eq!((is_over(&batch), batch.summary().attempts), (true, 5));
}

#[test]
fn who_is_executing_on_what_has_changed_learns_it_at_the_next_read() {
    let batch = Transactions::new(3, 2, Crew::new());
    let [first, second, third] = three(&batch);
    write(&first, 1);
    assert_eq!(read(&third), Ok(1));
    write(&second, 2);
    second.finish(Ok(0));
    assert_eq!(third.read(&Name(8), load), Err(Stop::Stale));
    third.retry();
    let third = next(&batch).expect("it gave up");
    assert_eq!((third.place(), read(&third)), (2, Ok(2)));
    third.finish(Ok(2));
    first.finish(Ok(0));
    assert!(is_over(&batch));
}

#[test]
fn who_meets_an_estimate_waits_and_is_ready_when_that_has_executed_again() {
    let batch = Transactions::new(3, 2, Crew::new());
    let [first, second, third] = three(&batch);
    write(&second, 2);
    second.retry();
    assert_eq!(read(&third), Err(Stop::Wait(1)));
    third.wait_for(1);
    let second = next(&batch).expect("it gave up");
    assert_eq!(second.place(), 1);
    assert!(next(&batch).is_none(), "the third waits");
    write(&second, 3);
    second.finish(Ok(0));
    let third = next(&batch).expect("what it waited for is there");
    assert_eq!((third.place(), read(&third)), (2, Ok(3)));
    third.finish(Ok(3));
    first.finish(Ok(0));
    assert_eq!((is_over(&batch), batch.summary().waits), (true, 1));
}

#[test]
fn who_executed_on_what_has_changed_learns_it_at_the_end() {
    let batch = Transactions::new(3, 2, Crew::new());
    let [first, second, third] = three(&batch);
    write(&first, 1);
    assert_eq!(read(&third), Ok(1));
    write(&second, 2);
    second.finish(Ok(0));
    third.finish(Ok(1));
    let third = next(&batch).expect("what it read has changed while it was executing");
    assert_eq!((third.place(), read(&third)), (2, Ok(2)));
    third.finish(Ok(2));
    first.finish(Ok(0));
    assert!(is_over(&batch));
}
