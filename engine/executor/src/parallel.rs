//! A block on several workers. The result is that of [`Executor::execute_block`], byte for byte.
//!
//! ```text
//!   worker ─▶ step ─▶ execute_transaction over what the transactions below leave (multi-version memory)
//!                        │ values of storage and code: exact reads, whole writes
//!                        │ accounts: guesses, differences, and what must be true of them
//!                        ▼
//!                  commit gate: reads and needs are looked at, in order
//! ```
//!
//! Which transactions disturb each other: who reads a storage slot that another writes; who asks what a balance is, or
//! makes a decision by it that comes out otherwise. Paying an account, and sending transactions from one, disturb nobody:
//! admission guarantees that nonces continue and that everything is payable.
//!
//! Scheduling is [`millrace_scheduler::parallel`]'s.

use std::borrow::Borrow;
use std::cell::Cell as Single;
use std::sync::{Arc, OnceLock};
use std::{io, thread};

use millrace_scheduler::Crew;
use millrace_scheduler::parallel::{Batch, Key, Next, Part, Stop, Summary, Ticket, Value, Write};
use millrace_types::SignedTransaction;
use millrace_types::state::{Account, Path};

use crate::context::BlockContext;
use crate::error::{ExecutionError, ReadError};
use crate::executor::{BlockOutput, Executor};
use crate::journal::{AccountChange, AccountNeed, Count, Writes, account_value, added, supply_exceeded};
use crate::reader::{Changes, StateReader, decode_account};
use crate::stack::required_stack_bytes;
use crate::transaction::{Executed, execute_transaction};

/// A path; its first bytes are as good as chance, since paths are hashes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place(Path);

impl Key for Place {
    fn spread(&self) -> u64 {
        let (first, _) = self.0.split_first_chunk().expect("a path has 32 bytes");
        u64::from_le_bytes(*first)
    }
}

/// What lies under a path.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Record {
    Account(Account),
    /// A storage slot or code.
    Bytes(Option<Arc<[u8]>>),
}

impl Value for Record {
    type Delta = Change;
    type Predicate = Need;

    /// Out of range only as a guess: what is needed of the record keeps that from being committed.
    fn with(&self, change: &Change) -> Self {
        match (self, change) {
            (Self::Account(account), Change::Account(change)) => {
                Self::Account(change.apply(account).unwrap_or(*account))
            }
            (Self::Bytes(bytes), Change::Count(more)) => match added(bytes.as_deref(), *more) {
                Ok(sum) => Self::Bytes(Some(sum)),
                Err(_) => self.clone(),
            },
            _ => unreachable!("storage and code do not lie where accounts do"),
        }
    }

    fn holds(&self, need: &Need) -> bool {
        match (self, need) {
            (Self::Account(account), Need::Account(need)) => need.holds(account),
            (Self::Bytes(bytes), Need::Room(more)) => added(bytes.as_deref(), *more).is_ok(),
            _ => false,
        }
    }
}

/// How a record changes, whatever it is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Change {
    Account(AccountChange),
    /// Added to a counter.
    Count(Count),
}

/// What must be true of a record.
enum Need {
    Account(AccountNeed),
    /// It is a counter, and so much can be added to it.
    Room(Count),
}

/// What a transaction leaves beside its writes, or why the block ends with it.
type Done = Result<Executed, ExecutionError>;

/// What a part of the block came to.
struct Gathered {
    /// Without changes.
    output: BlockOutput,
    /// By ascending path.
    changes: Vec<(Path, Option<Arc<[u8]>>)>,
}

/// The memory of a block that is done, for the next one.
pub struct Spare(Batch<Place, Record, Done>);

/// A block that is being executed by whoever calls [`Self::step`]. Holds what it works on: an executor, transactions, and
/// the state before the block.
pub struct ParallelBlock<E, T, S> {
    executor: E,
    block: BlockContext,
    transactions: T,
    state: S,
    batch: Batch<Place, Record, Done>,
    gathered: Box<[OnceLock<Gathered>]>,
}

/// What a step came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A transaction was executed, or tried, or results were gathered.
    Done,
    /// Nothing to do now: [`ParallelBlock::has_news`] says when there may be.
    Idle,
    /// The block is over.
    Over,
}

/// Why a block has no result.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParallelError {
    /// What [`Executor::execute_block`] answers too.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// A worker panicked in the middle of a transaction. Execute the block again, one after the other.
    #[error("a worker panicked while it executed a transaction of the block")]
    Broken,
}

impl<E, T, S> ParallelBlock<E, T, S>
where
    E: Borrow<Executor> + Sync,
    T: AsRef<[SignedTransaction]> + Sync,
    S: StateReader + Sync,
{
    /// A block to be executed by up to `workers` workers of `crew`, which is woken when there is something to do.
    pub fn new(
        executor: E,
        block: BlockContext,
        transactions: T,
        state: S,
        (workers, crew): (usize, Crew),
        spare: Option<Spare>,
    ) -> Self {
        let len = transactions.as_ref().len();
        let batch = match spare {
            Some(Spare(batch)) => batch.renew(len, workers, crew),
            None => Batch::new(len, workers, crew),
        };
        Self {
            executor,
            block,
            transactions,
            state,
            gathered: (0..batch.parts()).map(|_| OnceLock::new()).collect(),
            batch,
        }
    }

    /// Executes one transaction, if there is one to execute, or gathers what a part of the block came to. On a thread with
    /// [`required_stack_bytes`] of stack.
    pub fn step(&self) -> Step {
        match self.batch.next() {
            Next::Execute(ticket) => {
                self.execute(ticket);
                Step::Done
            }
            Next::Gather(part) => {
                self.gather(part);
                Step::Done
            }
            Next::Idle => Step::Idle,
            Next::Over => Step::Over,
        }
    }

    /// Whether a step may find something to do, or the block is over.
    pub fn has_news(&self) -> bool {
        self.batch.has_news()
    }

    /// Whether every step from now on answers [`Step::Over`]. Others may be within steps still.
    pub fn is_over(&self) -> bool {
        self.batch.is_over()
    }

    /// The result, and the memory for another block; after [`Self::is_over`].
    ///
    /// # Errors
    /// See [`ParallelError`].
    pub fn finish(mut self) -> (Result<BlockOutput, ParallelError>, Summary, Spare) {
        debug_assert!(self.is_over(), "the block is executed");
        let summary = self.batch.summary();
        let output = if summary.is_broken {
            Err(ParallelError::Broken)
        } else {
            self.output()
        };
        (output, summary, Spare(self.batch))
    }

    fn gather(&self, mut part: Part<'_, Place, Record, Done>) {
        let mut output = BlockOutput::new(self.batch.len() / self.batch.parts() + 1);
        for done in part.outputs() {
            output.add(done.expect("an error ends the block before everything is committed"));
        }
        let written = part.written().map(|(place, record)| {
            let value = match record {
                Record::Account(account) => account_value(account),
                Record::Bytes(bytes) => bytes.clone(),
            };
            (place.0, value)
        });
        let mut changes: Vec<_> = written.collect();
        changes.sort_unstable_by_key(|(path, _)| *path);
        let set = self.gathered[part.index()].set(Gathered { output, changes });
        assert!(set.is_ok(), "a part is gathered once");
        part.finish();
    }

    fn output(&mut self) -> Result<BlockOutput, ParallelError> {
        let mut output = BlockOutput::new(self.batch.len());
        let mut changes = Vec::new();
        for part in std::mem::take(&mut self.gathered) {
            let Some(part) = part.into_inner() else {
                // It ended before everything was committed.
                let error = self.batch.take_outputs().find_map(Result::err);
                return Err(error.map_or(ParallelError::Broken, ParallelError::Execution));
            };
            output.append(part.output);
            // What is sorted already is not compared again and again when the map is made of all.
            changes.extend(part.changes);
        }
        let mut changes = Changes::from_iter(changes);
        let tips = Writes::credit(&self.block.proposer, output.tips);
        for tip in tips.accounts.iter().filter(|tip| !tip.change.is_none()) {
            let before = match changes.get(&tip.path) {
                Some(value) => decode_account(&tip.path, value.as_deref()),
                None => self.state.account(&tip.path),
            };
            let after = tip
                .change
                .apply(&before?)
                .map_err(|_| supply_exceeded(&tip.path))?;
            changes.insert(tip.path, account_value(&after));
        }
        output.changes = changes;
        Ok(output)
    }

    fn execute(&self, ticket: Ticket<'_, Place, Record, Done>) {
        let index = ticket.place();
        let transaction = &self.transactions.as_ref()[index as usize];
        let reader = Reader {
            ticket: &ticket,
            state: &self.state,
            stop: Single::new(None),
        };
        let rules = self.executor.borrow().rules(&self.block);
        let done = execute_transaction(rules, index, transaction, &reader);
        let stop = reader.stop.get();
        let done = done.and_then(|mut done| {
            let writes = std::mem::take(&mut done.writes);
            self.publish(&ticket, writes).map(|()| done)
        });
        match (done, stop) {
            (Ok(done), _) => ticket.finish(Ok(done)),
            (Err(error), _) if ticket.is_certain() => ticket.end_batch(Err(error)),
            (Err(ExecutionError::Read(ReadError::Unavailable)), Some(Wait::For(lower))) => {
                ticket.wait_for(lower);
            }
            (Err(ExecutionError::Read(ReadError::Unavailable)), Some(Wait::Stale)) => ticket.retry(),
            // What is true of a guess need not be true in the end.
            (Err(_), _) => ticket.defer(),
        }
    }

    fn publish(
        &self,
        ticket: &Ticket<'_, Place, Record, Done>,
        writes: Writes,
    ) -> Result<(), ExecutionError> {
        let bytes = |place: &Place| Ok::<_, ExecutionError>(Record::Bytes(self.state.get(&place.0)?));
        let account = |place: &Place| Ok::<_, ExecutionError>(Record::Account(self.state.account(&place.0)?));
        for write in &writes.accounts {
            let place = Place(write.path);
            if !write.need.is_none() {
                ticket.expect(&place, Need::Account(write.need), account)?;
            }
            if write.change.is_none() {
                continue;
            }
            if ticket.is_certain() {
                // Nothing looks at it again, so what is out of range has to be found here.
                let Record::Account(before) = ticket.guess(&place, account)? else {
                    unreachable!("storage and code do not lie where accounts do");
                };
                let after = write.change.apply(&before);
                let after = after.map_err(|_| supply_exceeded(&write.path))?;
                ticket.write(&place, Write::Whole(Record::Account(after)), account)?;
            } else {
                ticket.write(&place, Write::Delta(Change::Account(write.change)), account)?;
            }
        }
        for (path, room) in writes.room {
            ticket.expect(&Place(path), Need::Room(room), bytes)?;
        }
        for (path, more) in writes.counters {
            ticket.write(&Place(path), Write::Delta(Change::Count(more)), bytes)?;
        }
        for (path, value) in writes.slots {
            ticket.write(&Place(path), Write::Whole(Record::Bytes(value)), bytes)?;
        }
        Ok(())
    }
}

/// Why a read was refused.
#[derive(Clone, Copy)]
enum Wait {
    For(u32),
    Stale,
}

/// The state as one transaction sees it.
struct Reader<'t, 'b, S> {
    ticket: &'t Ticket<'b, Place, Record, Done>,
    state: &'t S,
    stop: Single<Option<Wait>>,
}

impl<S: StateReader> StateReader for Reader<'_, '_, S> {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        let load = |place: &Place| Ok(Record::Bytes(self.state.get(&place.0)?));
        let wait = match self.ticket.read(&Place(*path), load) {
            Ok(Record::Bytes(bytes)) => return Ok(bytes),
            Ok(Record::Account(_)) => unreachable!("storage and code do not lie where accounts do"),
            Err(Stop::Load(error)) => return Err(error),
            Err(Stop::Wait(lower)) => Wait::For(lower),
            Err(Stop::Stale) => Wait::Stale,
        };
        self.stop.set(Some(wait));
        Err(ReadError::Unavailable)
    }

    fn guess(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        let load = |place: &Place| Ok(Record::Bytes(self.state.get(&place.0)?));
        match self.ticket.guess(&Place(*path), load)? {
            Record::Bytes(bytes) => Ok(bytes),
            Record::Account(_) => unreachable!("storage and code do not lie where accounts do"),
        }
    }

    fn account(&self, path: &Path) -> Result<Account, ExecutionError> {
        let load = |place: &Place| Ok::<_, ExecutionError>(Record::Account(self.state.account(&place.0)?));
        match self.ticket.guess(&Place(*path), load)? {
            Record::Account(account) => Ok(account),
            Record::Bytes(_) => unreachable!("storage and code do not lie where accounts do"),
        }
    }

    fn is_guess(&self) -> bool {
        !self.ticket.is_certain()
    }
}

impl Executor {
    /// Executes a block on `workers` threads of its own, for callers without a pool of workers. Answers too what that took.
    ///
    /// # Errors
    /// The system gave no threads; within, what [`Self::execute_block`] answers.
    pub fn execute_block_on(
        &self,
        workers: usize,
        block: &BlockContext,
        transactions: &[SignedTransaction],
        state: &(dyn StateReader + Sync),
    ) -> io::Result<(Result<BlockOutput, ExecutionError>, Summary)> {
        let crew = Crew::new();
        let parallel = ParallelBlock::new(
            self,
            block.clone(),
            transactions,
            state,
            (workers, crew.clone()),
            None,
        );
        thread::scope(|scope| {
            let stack = required_stack_bytes(self.spec());
            let threads: io::Result<Vec<_>> = (0..workers.max(1))
                .map(|_| {
                    let work = || work_on(&parallel, &crew);
                    let builder = thread::Builder::new().name("executor".into()).stack_size(stack);
                    builder.spawn_scoped(scope, work)
                })
                .collect();
            for thread in threads? {
                if let Err(panic) = thread.join() {
                    std::panic::resume_unwind(panic);
                }
            }
            Ok::<_, io::Error>(())
        })?;
        let (output, summary, _) = parallel.finish();
        let output = output.map_err(|error| match error {
            ParallelError::Execution(error) => error,
            ParallelError::Broken => unreachable!("a panic of a worker was passed on"),
        });
        Ok((output, summary))
    }
}

fn work_on<E, T, S>(parallel: &ParallelBlock<E, T, S>, crew: &Crew)
where
    E: Borrow<Executor> + Sync,
    T: AsRef<[SignedTransaction]> + Sync,
    S: StateReader + Sync,
{
    let worker = crew.register();
    loop {
        match parallel.step() {
            Step::Done => {}
            Step::Over => return,
            Step::Idle => match &worker {
                Some(worker) => worker.park_unless(|| parallel.has_news()),
                // More workers than a crew knows: they end, the others go on.
                None => return,
            },
        }
    }
}
