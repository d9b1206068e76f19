//! Random programs over few keys, run one after the other and as the transactions of a batch.

use std::collections::BTreeMap;

use millrace_scheduler::parallel::{Batch, Key, Stop, Ticket, Value, Write};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Name(pub u8);

impl Key for Name {
    fn spread(&self) -> u64 {
        u64::from(self.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Number(pub i64);

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
pub enum Step {
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
    /// Gives up until everything below is committed.
    Defer,
    /// Gives up for nothing as long as attempts are left.
    Retry,
    /// Fails unless the value is at least this: what admission excludes, so only a guess can fail.
    Require(Name, i64),
}

pub type Program = Vec<Step>;

/// Values of keys; what is not there is the key's number.
pub type State = BTreeMap<Name, i64>;

pub type Output = Result<i64, ()>;

/// What a transaction's own writes are so far: whole, or added.
type Own = BTreeMap<Name, Write<Number>>;

/// What a program sees of the world.
trait World {
    fn read(&mut self, name: Name) -> Result<i64, Stop<()>>;
    fn at_least(&mut self, name: Name, least: i64) -> Result<bool, Stop<()>>;

    /// Where there are attempts, this one ends so.
    fn give_up(&mut self, _how: Stop<()>) -> Result<(), Stop<()>> {
        Ok(())
    }

    fn dawdle(&mut self, _turns: u16) {}
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
            Step::Defer => world.give_up(Stop::Load(()))?,
            Step::Retry => world.give_up(Stop::Stale)?,
            Step::Dawdle(turns) => world.dawdle(turns),
        }
    }
    Ok((sum, own))
}

fn initial(state: &State, name: Name) -> i64 {
    state.get(&name).copied().unwrap_or(i64::from(name.0))
}

struct Sequential(State);

impl World for Sequential {
    fn read(&mut self, name: Name) -> Result<i64, Stop<()>> {
        Ok(initial(&self.0, name))
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
                Write::Delta(delta) => initial(&self.0, name).wrapping_add(delta),
            };
            self.0.insert(name, value);
        }
    }
}

struct Parallel<'t, 'b> {
    ticket: &'t Ticket<'b, Name, Number, Output>,
    before: &'t State,
}

impl Parallel<'_, '_> {
    fn load(&self) -> impl FnOnce(&Name) -> Result<Number, ()> {
        |name| Ok(Number(initial(self.before, *name)))
    }
}

impl World for Parallel<'_, '_> {
    fn read(&mut self, name: Name) -> Result<i64, Stop<()>> {
        self.ticket.read(&name, self.load()).map(|value| value.0)
    }

    fn at_least(&mut self, name: Name, least: i64) -> Result<bool, Stop<()>> {
        let guess = self.ticket.guess(&name, self.load()).map_err(Stop::Load)?;
        if guess.0 >= least {
            self.ticket
                .expect(&name, least, self.load())
                .map_err(Stop::Load)?;
            return Ok(true);
        }
        // Only "at least" can be expected.
        Ok(self.read(name)? >= least)
    }

    fn give_up(&mut self, how: Stop<()>) -> Result<(), Stop<()>> {
        if self.ticket.is_certain() {
            Ok(())
        } else {
            Err(how)
        }
    }

    fn dawdle(&mut self, turns: u16) {
        // Exploration takes a worker off wherever it likes.
        if !cfg!(shuttle) {
            (0..turns).for_each(|_| std::hint::spin_loop());
        }
    }
}

/// Runs the ticket's program on the state before the batch, and ends the ticket.
pub fn execute(programs: &[Program], before: &State, ticket: Ticket<'_, Name, Number, Output>) {
    let mut world = Parallel {
        ticket: &ticket,
        before,
    };
    let done = run(&programs[ticket.place() as usize], &mut world);
    match done {
        Err(Stop::Wait(lower)) => ticket.wait_for(lower),
        Err(Stop::Stale) => ticket.retry(),
        Err(Stop::Load(())) if ticket.is_certain() => ticket.end_batch(Err(())),
        Err(Stop::Load(())) => ticket.defer(),
        Ok((sum, own)) => {
            for (name, write) in own {
                let load = |name: &Name| Ok::<_, ()>(Number(initial(before, *name)));
                ticket.write(&name, write, load).expect("loading never fails");
            }
            ticket.finish(Ok(sum));
        }
    }
}

/// A program of fewer than `most_steps` steps over `names` keys, and one more that fails if `is_failing`.
pub fn program(random: &mut ChaCha8Rng, names: u8, most_steps: usize, is_failing: bool) -> Program {
    let len = random.random_range(0..most_steps);
    let mut program: Program = (0..len)
        .map(|_| {
            let name = Name(random.random_range(0..names));
            match random.random_range(0..48) {
                0..12 => Step::Read(name),
                12..20 => Step::Write(name),
                20..32 => Step::Add(name, random.random_range(-5..9)),
                32..36 => Step::AtLeast(name, random.random_range(-20..40)),
                36..40 => Step::Follow(names),
                40 => Step::Defer,
                41 => Step::Retry,
                _ => Step::Dawdle(random.random_range(0..2_000)),
            }
        })
        .collect();
    if is_failing {
        program.push(Step::Require(Name(random.random_range(0..names)), i64::MAX));
    }
    program
}

/// Outputs and what is written, one after the other from `before` on; ends with the first that fails.
pub fn in_order(programs: &[Program], before: &State) -> (Vec<Output>, State) {
    let mut world = Sequential(before.clone());
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

/// What a batch that is over left: outputs up to the failure of one, and the state if there was none.
pub fn result(batch: &mut Batch<Name, Number, Output>, before: &State) -> (Vec<Output>, Option<State>) {
    let mut outputs: Vec<Output> = batch.take_outputs().collect();
    if let Some(failed) = outputs.iter().position(Result::is_err) {
        outputs.truncate(failed + 1);
        return (outputs, None);
    }
    let mut state = before.clone();
    state.extend(batch.written().map(|(name, value)| (*name, value.0)));
    (outputs, Some(state))
}
