//! Batches of random programs on several workers against the same programs one after the other.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use millrace_scheduler::Crew;
use millrace_scheduler::parallel::{Batch, Key, Next, Stop, Ticket, Value, Write};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Name(u8);

impl Key for Name {
    fn spread(&self) -> u64 {
        u64::from(self.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Number(i64);

impl Value for Number {
    type Delta = i64;
    /// At least.
    type Predicate = i64;

    fn with(&self, delta: &i64) -> Self {
        Self(self.0.wrapping_add(*delta))
    }

    fn holds(&self, predicate: &i64) -> bool {
        self.0 >= *predicate
    }
}

/// What a transaction does, one after the other.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Reads into the sum.
    Read(Name),
    /// Writes the sum.
    Write(Name),
    /// Adds to whatever is there.
    Add(Name, i64),
    /// Adds 1 to the sum if the value is at least this, and otherwise what it is.
    AtLeast(Name, i64),
    /// The key read depends on the sum.
    Follow(u8),
    /// Takes long.
    Dawdle(u16),
    /// Fails unless the value is at least this: what admission excludes, so only a guess can fail.
    Require(Name, i64),
}

type Program = Vec<Step>;

/// What a transaction's own writes are so far: whole, or added.
type Own = BTreeMap<Name, Write<Number>>;

/// What a program sees of the world.
trait World {
    fn read(&mut self, name: Name) -> Result<i64, Stop<()>>;
    fn at_least(&mut self, name: Name, least: i64) -> Result<bool, Stop<()>>;
}

fn value(own: &Own, name: Name, read: impl FnOnce() -> Result<i64, Stop<()>>) -> Result<i64, Stop<()>> {
    Ok(match own.get(&name) {
        None => read()?,
        Some(Write::Whole(value)) => value.0,
        Some(Write::Delta(delta)) => read()?.wrapping_add(*delta),
    })
}

fn run(program: &Program, world: &mut dyn World) -> Result<(i64, Own), Stop<()>> {
    let (mut sum, mut own) = (1i64, Own::new());
    for step in program {
        match *step {
            Step::Read(name) => {
                sum = sum
                    .wrapping_mul(3)
                    .wrapping_add(value(&own, name, || world.read(name))?);
            }
            Step::Follow(names) => {
                let name = Name((sum.unsigned_abs() % u64::from(names)) as u8);
                sum = sum.wrapping_add(value(&own, name, || world.read(name))?);
            }
            Step::Write(name) => drop(own.insert(name, Write::Whole(Number(sum)))),
            Step::Add(name, amount) => {
                let entry = own.entry(name).or_insert(Write::Delta(0));
                match entry {
                    Write::Whole(value) => value.0 = value.0.wrapping_add(amount),
                    Write::Delta(delta) => *delta = delta.wrapping_add(amount),
                }
            }
            Step::AtLeast(name, least) => {
                let is = match own.get(&name) {
                    Some(Write::Whole(value)) => value.0 >= least,
                    Some(Write::Delta(_)) => value(&own, name, || world.read(name))? >= least,
                    None => world.at_least(name, least)?,
                };
                if is {
                    sum = sum.wrapping_add(1);
                }
            }
            Step::Require(name, least) => {
                if !world.at_least(name, least)? && value(&own, name, || world.read(name))? < least {
                    return Err(Stop::Load(()));
                }
            }
            Step::Dawdle(turns) => (0..turns).for_each(|_| std::hint::spin_loop()),
        }
    }
    Ok((sum, own))
}

struct Sequential(BTreeMap<Name, i64>);

impl World for Sequential {
    fn read(&mut self, name: Name) -> Result<i64, Stop<()>> {
        Ok(self.0.get(&name).copied().unwrap_or(i64::from(name.0)))
    }

    fn at_least(&mut self, name: Name, least: i64) -> Result<bool, Stop<()>> {
        Ok(self.read(name)? >= least)
    }
}

impl Sequential {
    fn apply(&mut self, own: Own) {
        for (name, write) in own {
            let value = match write {
                Write::Whole(value) => value.0,
                Write::Delta(delta) => self.read(name).expect("a map can be read").wrapping_add(delta),
            };
            self.0.insert(name, value);
        }
    }
}

type Output = Result<i64, ()>;

struct Parallel<'t, 'b>(&'t Ticket<'b, Name, Number, Output>);

fn load(name: &Name) -> Result<Number, ()> {
    Ok(Number(i64::from(name.0)))
}

impl World for Parallel<'_, '_> {
    fn read(&mut self, name: Name) -> Result<i64, Stop<()>> {
        self.0.read(&name, load).map(|value| value.0)
    }

    fn at_least(&mut self, name: Name, least: i64) -> Result<bool, Stop<()>> {
        let guess = self.0.guess(&name, load).map_err(Stop::Load)?;
        if guess.0 >= least {
            self.0.expect(&name, least, load).map_err(Stop::Load)?;
            return Ok(true);
        }
        // Only "at least" can be expected.
        Ok(self.read(name)? >= least)
    }
}

fn execute(programs: &[Program], ticket: Ticket<'_, Name, Number, Output>) {
    let done = run(&programs[ticket.place() as usize], &mut Parallel(&ticket));
    match done {
        Err(Stop::Wait(lower)) => ticket.wait_for(lower),
        Err(Stop::Stale) => ticket.retry(),
        Err(Stop::Load(())) if ticket.is_certain() => ticket.end_batch(Err(())),
        Err(Stop::Load(())) => ticket.defer(),
        Ok((sum, own)) => {
            for (name, write) in own {
                ticket.write(&name, write, load).expect("loading never fails");
            }
            ticket.finish(Ok(sum));
        }
    }
}

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
                let before = gathered
                    .lock()
                    .expect(CALM)
                    .insert(part.index(), (outputs, written));
                assert_eq!(before, None, "a part is given out once");
                part.finish();
            }
            Next::Execute(ticket) => execute(programs, ticket),
            Next::Idle => worker.park_unless(|| batch.has_news()),
        }
    }
}

fn program(random: &mut ChaCha8Rng, names: u8, is_failing: bool) -> Program {
    let len = random.random_range(0..8);
    let mut program: Program = (0..len)
        .map(|_| {
            let name = Name(random.random_range(0..names));
            match random.random_range(0..12) {
                0..3 => Step::Read(name),
                3..5 => Step::Write(name),
                5..8 => Step::Add(name, random.random_range(-5..9)),
                8 => Step::AtLeast(name, random.random_range(-20..40)),
                9 => Step::Follow(names),
                _ => Step::Dawdle(random.random_range(0..2_000)),
            }
        })
        .collect();
    if is_failing {
        program.push(Step::Require(Name(random.random_range(0..names)), i64::MAX));
    }
    program
}

/// Sums and final values, one after the other; ends with the first that fails.
fn expected(programs: &[Program]) -> (Vec<Output>, BTreeMap<Name, i64>) {
    let mut world = Sequential(BTreeMap::new());
    let mut outputs = Vec::new();
    for program in programs {
        match run(program, &mut world) {
            Ok((sum, own)) => {
                world.apply(own);
                outputs.push(Ok(sum));
            }
            Err(_) => {
                outputs.push(Err(()));
                break;
            }
        }
    }
    (outputs, world.0)
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
        .map(|place| program(&mut random, names, place == fails_at))
        .collect();
    let workers = random.random_range(1..=8);
    let (outputs, values) = expected(&programs);
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
    let failed = outputs.last() == Some(&Err(()));
    let gathered = gathered.into_inner().expect(CALM);
    if failed {
        assert_eq!(
            gathered.len(),
            0,
            "seed {seed}: nothing is gathered of what ended before its time"
        );
        let mut found: Vec<Output> = batch.take_outputs().collect();
        found.truncate(outputs.len());
        assert_eq!(found, outputs, "seed {seed}, {workers} workers");
    } else {
        assert!(
            gathered.keys().copied().eq(0..batch.parts()),
            "seed {seed}: every part"
        );
        let found: Vec<Output> = gathered.values().flat_map(|part| part.0.clone()).collect();
        assert_eq!(found, outputs, "seed {seed}, {workers} workers");
        let written: Vec<(Name, i64)> = gathered.into_values().flat_map(|part| part.1).collect();
        assert_eq!(
            written.len(),
            values.len(),
            "seed {seed}: each key is in one part"
        );
        let written: BTreeMap<Name, i64> = written.into_iter().collect();
        assert_eq!(written, values, "seed {seed}, {workers} workers");
        assert!(
            batch
                .written()
                .map(|(name, value)| (*name, value.0))
                .collect::<BTreeMap<_, _>>()
                == values
        );
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
