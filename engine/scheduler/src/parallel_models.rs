//! Loom models of parallel execution: the word of a transaction, doubts, waiting, the commit gate, and sleeping workers.
//! Run as those of the ring (`models.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loom::sync::Arc as Shared;
use loom::thread;

use crate::parallel::{Batch, Key, Next, Stop, Value, Write};
use crate::{Crew, Worker};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Name(u8);

impl Key for Name {
    fn spread(&self) -> u64 {
        u64::from(self.0)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Number(u64);

impl Value for Number {
    type Delta = u64;
    type Predicate = u64;

    fn with(&self, delta: &u64) -> Self {
        Self(self.0 + delta)
    }

    /// At least.
    fn holds(&self, predicate: &u64) -> bool {
        self.0 >= *predicate
    }
}

/// What a transaction does with the one key.
#[derive(Clone, Copy)]
enum Act {
    /// Reads, and writes ten times that and its place.
    Append,
    /// Reads.
    Look,
    /// Adds its place.
    Add,
    /// Asks whether it is at least this, and reads it if not.
    AtLeast(u64),
    /// Gives up until everything below is committed, then reads.
    Defer,
}

type Model = Batch<Name, Number, u64>;
const KEY: Name = Name(0);

fn load(_: &Name) -> Result<Number, ()> {
    Ok(Number(7))
}

fn act(act: Act, ticket: &crate::parallel::Ticket<'_, Name, Number, u64>) -> Result<u64, Stop<()>> {
    let place = u64::from(ticket.place());
    match act {
        Act::Append => {
            let seen = ticket.read(&KEY, load)?.0;
            let write = Write::Whole(Number(10 * seen + place));
            ticket.write(&KEY, write, load).map_err(Stop::Load)?;
            Ok(seen)
        }
        Act::Look => Ok(ticket.read(&KEY, load)?.0),
        Act::Add => {
            ticket
                .write(&KEY, Write::Delta(place + 1), load)
                .map_err(Stop::Load)?;
            Ok(0)
        }
        Act::AtLeast(least) => {
            if ticket.guess(&KEY, load).map_err(Stop::Load)?.0 >= least {
                ticket.expect(&KEY, least, load).map_err(Stop::Load)?;
                return Ok(1);
            }
            Ok(u64::from(ticket.read(&KEY, load)?.0 >= least))
        }
        Act::Defer if ticket.is_certain() => Ok(ticket.read(&KEY, load)?.0),
        Act::Defer => Err(Stop::Load(())),
    }
}

fn work<'b>(batch: &'b Model, acts: &[Act], worker: &Worker, mut next: Next<'b, Name, Number, u64>) {
    loop {
        match next {
            Next::Over => return,
            Next::Gather(mut part) => {
                let (outputs, written) = (part.outputs().count(), part.written().count());
                assert_eq!((outputs, written), (1, 1), "the one transaction writes");
                part.finish();
            }
            Next::Idle => worker.park_unless(|| batch.has_news()),
            Next::Execute(ticket) => match act(acts[ticket.place() as usize], &ticket) {
                Ok(output) => ticket.finish(output),
                Err(Stop::Wait(lower)) => ticket.wait_for(lower),
                Err(Stop::Stale) => ticket.retry(),
                Err(Stop::Load(())) => ticket.defer(),
            },
        }
        next = batch.next();
    }
}

/// Outputs and the last value, one after the other.
fn in_order(acts: &[Act]) -> (Vec<u64>, u64) {
    let mut value = 7;
    let outputs = (0..).zip(acts).map(|(place, act)| match act {
        Act::Append => {
            let seen = value;
            value = 10 * seen + place;
            seen
        }
        Act::Look | Act::Defer => value,
        Act::Add => {
            value += place + 1;
            0
        }
        Act::AtLeast(least) => u64::from(value >= *least),
    });
    (outputs.collect(), value)
}

/// Two workers, who do the same. So who of them begins is no question: where the other takes the first transaction, the
/// names are exchanged and nothing else. This one has it before there is another, which leaves a sixth of the runs. That
/// two ask for one at once is looked at where they ask for the second.
fn model(acts: &'static [Act], preemptions: usize) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    let runs = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&runs);
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        let crew = Crew::new();
        let batch = Shared::new(Model::new(acts.len(), 2, crew.clone()));
        let worker = crew.register().expect("two workers");
        let first = batch.next();
        assert!(matches!(first, Next::Execute(_)), "nobody else is there");
        let other = {
            let (batch, crew) = (Shared::clone(&batch), crew.clone());
            thread::spawn(move || {
                let worker = crew.register().expect("two workers");
                work(&batch, acts, &worker, batch.next());
            })
        };
        work(&batch, acts, &worker, first);
        other.join().expect("no assertion failed");
        let mut batch = Shared::try_unwrap(batch).expect("the other worker is gone");
        let (mut outputs, value) = in_order(acts);
        if batch.parts() > 0 {
            outputs.clear();
        }
        assert_eq!(batch.take_outputs().collect::<Vec<_>>(), outputs);
        let last = batch.written().map(|(_, value)| value.0).next();
        assert_eq!(last.unwrap_or(7), value);
    });
    println!("{} runs", runs.load(Ordering::Relaxed));
}

/// Each reads what the one before writes: whoever ran ahead is doubted, waits or is found out at the gate, and the gate
/// never stays behind.
#[test]
fn a_chain_of_reads_and_writes_comes_out_as_in_order() {
    model(&[Act::Append, Act::Append], 2);
}

#[test]
fn three_that_depend_on_each_other_come_out_as_in_order() {
    model(&[Act::Append, Act::Append, Act::Look], 2);
}

/// Deltas and what depends on their sum.
#[test]
fn additions_commute_and_predicates_hold_when_they_commit() {
    model(&[Act::Add, Act::AtLeast(8), Act::Add], 2);
}

/// One worker gathers, both find that it is over.
#[test]
fn what_is_committed_is_gathered_once_and_nobody_sleeps_on() {
    model(&[Act::Append], 3);
}

/// Nobody comes by for what gave up but the gate.
#[test]
fn what_gave_up_is_executed_when_the_gate_gets_to_it() {
    model(&[Act::Append, Act::Defer], 3);
}
