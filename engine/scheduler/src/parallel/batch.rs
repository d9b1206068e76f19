//! One batch of transactions on its way: who executes what, what has to be executed again, what is committed.
//!
//! Workers ask [`Batch::next`] until the batch is over. What they get they execute through the [`Ticket`], which reads
//! and records; they end it by [`Ticket::finish`] or one of the ways to give up. Whoever finishes also moves the commit
//! gate, as far as it goes: nobody coordinates.
//!
//! What is right follows from the gate alone. Transaction c is committed when all below it are and when every read of
//! its attempt, looked at now, sees what it saw. All else (doubts, estimates, waiting, how wide to run) is there so that
//! what is stale is found out sooner.

use std::marker::PhantomData;

use super::memory::{Found, LocationId, Memory, Readers, Seen, VersionId, WINDOW, Write};
use super::width::Width;
use super::word::{State, Word};
use super::{Key, Value};
use crate::parking::Crew;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering, UnsafeCell, fence};

/// Attempts at a transaction after which it is not tried again before all below it are committed.
pub const MAX_SPECULATIVE_ATTEMPTS: u64 = 8;

/// The gate's word: transactions committed << 1, lowest bit set while somebody commits.
const BUSY: u64 = 1;

/// What an attempt left behind.
struct Attempt<V: Value, O> {
    reads: Vec<(LocationId, Seen<V>)>,
    writes: Vec<(LocationId, VersionId)>,
    /// Writes of the attempt before, while there is a new one.
    stale_writes: Vec<(LocationId, VersionId)>,
    /// Who may have read what this attempt changed.
    readers: Readers,
    /// It ran when everything below was committed: nothing needs to be checked.
    is_certain: bool,
    output: Option<O>,
}

struct Slot<V: Value, O> {
    word: Word,
    /// Place + 1 of the first transaction that waits for this one.
    waiters: AtomicU32,
    /// Place + 1 of the next that waits for the same.
    next_waiter: AtomicU32,
    attempt: UnsafeCell<Attempt<V, O>>,
}

// SAFETY: the cell is entered by the one worker that owns the attempt: who claimed it (Ready to Executing), who checks it
// (Executed to Checking), or who has the batch to itself. Between them lies a release store or exchange of the word and
// an acquire load of it.
unsafe impl<V: Value, O: Send> Sync for Slot<V, O> {}

/// See the module's documentation.
pub struct Batch<K: Key, V: Value, O> {
    memory: Memory<K, V>,
    slots: Box<[Slot<V, O>]>,
    gate: AtomicU64,
    /// The lowest place that may be ready.
    cursor: AtomicU32,
    width: Width,
    /// Workers that will ask for more without being woken.
    awake: AtomicU32,
    /// Ended before its time: by [`Ticket::end_batch`], or by a ticket that was dropped.
    is_cut: AtomicBool,
    /// A ticket was dropped.
    is_broken: AtomicBool,
    crew: Crew,
    statistics: Statistics,
}

/// Counts of what happened; no part of any result.
#[derive(Debug, Default)]
struct Statistics {
    attempts: AtomicU64,
    waits: AtomicU64,
}

/// What a worker does next.
pub enum Next<'b, K: Key, V: Value, O: Send> {
    /// Execute this.
    Execute(Ticket<'b, K, V, O>),
    /// Nothing now.
    Idle,
    /// Everything is committed, or the batch was cut.
    Over,
}

/// Why a read gives no value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stop<E> {
    /// A stale attempt of that lower transaction wrote here: [`Ticket::wait_for`] it.
    Wait(u32),
    /// The attempt is stale already: [`Ticket::retry`].
    Stale,
    /// The state before the batch could not be read.
    Load(E),
}

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Transactions committed, from the first on.
    pub committed: u32,
    /// Attempts at them.
    pub attempts: u64,
    /// Attempts that waited for a lower transaction.
    pub waits: u64,
    /// A worker left an attempt without an end (it panicked): nothing of the batch can be trusted.
    pub is_broken: bool,
}

impl<K: Key, V: Value, O: Send> Batch<K, V, O> {
    /// A batch of `len` transactions for up to `workers` workers, who sleep in `crew` while there is nothing to do.
    ///
    /// # Panics
    /// With 2^31 transactions or more.
    #[must_use]
    pub fn new(len: usize, workers: usize, crew: Crew) -> Self {
        let count = u32::try_from(len).expect("a block has fewer than 2^31 transactions");
        assert!(count < 1 << 31, "a block has fewer than 2^31 transactions");
        Self {
            memory: Memory::new(4 * len),
            slots: (0..len).map(|_| Slot::new()).collect(),
            gate: AtomicU64::new(0),
            cursor: AtomicU32::new(0),
            width: Width::new(workers),
            awake: AtomicU32::new(0),
            is_cut: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            crew,
            statistics: Statistics::default(),
        }
    }

    /// What to do next. Never waits.
    pub fn next(&self) -> Next<'_, K, V, O> {
        loop {
            if self.is_over() {
                return Next::Over;
            }
            let place = self.cursor.load(Ordering::SeqCst);
            if place >= self.limit() {
                return Next::Idle;
            }
            if self
                .cursor
                .compare_exchange(place, place + 1, Ordering::SeqCst, Ordering::Relaxed)
                .is_err()
            {
                continue;
            }
            let slot = &self.slots[place as usize];
            let (attempt, state) = slot.word.read();
            // Asked after the cursor has moved: if the gate gets here later, it finds that it has to move it back.
            let is_certain = place == self.committed();
            if state == State::Ready
                && (is_certain || attempt < MAX_SPECULATIVE_ATTEMPTS)
                && slot.word.advance(attempt, State::Ready, State::Executing)
            {
                return Next::Execute(self.begin(place, attempt, is_certain));
            }
        }
    }

    /// Whether there may be something to do that no worker takes who is awake, or the batch is over. For whoever is about to
    /// sleep. A worker that got a ticket counts as awake until it has ended it: then it has to ask [`Self::next`] again, or
    /// wake another.
    pub fn has_news(&self) -> bool {
        if self.is_over() {
            return true;
        }
        let (cursor, limit) = (self.cursor.load(Ordering::SeqCst), self.limit());
        // One transaction is not worth a second worker: it would only take turns with the first.
        cursor + 1 < limit || cursor < limit && self.awake.load(Ordering::SeqCst) == 0
    }

    /// Everything is committed, or the batch was cut.
    pub fn is_over(&self) -> bool {
        self.committed() as usize == self.slots.len() || self.is_cut.load(Ordering::SeqCst)
    }

    /// Transactions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it has no transactions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What became of it.
    pub fn summary(&self) -> Summary {
        Summary {
            committed: self.committed(),
            attempts: self.statistics.attempts.load(Ordering::Relaxed),
            waits: self.statistics.waits.load(Ordering::Relaxed),
            is_broken: self.is_broken.load(Ordering::SeqCst),
        }
    }

    /// What the attempts left, in order, up to the first that left nothing. Once the batch is over and every other
    /// worker is gone.
    pub fn take_outputs(&mut self) -> impl Iterator<Item = O> {
        self.slots
            .iter_mut()
            .map_while(|slot| slot.enter(|attempt| attempt.output.take()))
    }

    /// Every key that was written, with the last value; in no order. Once everything is committed.
    pub fn written(&self) -> impl Iterator<Item = (&K, &V)> {
        debug_assert_eq!(self.committed() as usize, self.slots.len());
        self.memory.written()
    }

    /// Makes it a new batch, with the memory that it has.
    ///
    /// # Panics
    /// As [`Self::new`].
    #[must_use]
    pub fn renew(mut self, len: usize, workers: usize, crew: Crew) -> Self {
        let count = u32::try_from(len).expect("a block has fewer than 2^31 transactions");
        assert!(count < 1 << 31, "a block has fewer than 2^31 transactions");
        let locations = (4 * len).max(self.memory.locations());
        self.memory.renew(locations);
        let mut slots = std::mem::take(&mut self.slots).into_vec();
        slots.resize_with(len, Slot::new);
        for slot in &mut slots {
            slot.renew();
        }
        Self {
            slots: slots.into_boxed_slice(),
            gate: AtomicU64::new(0),
            cursor: AtomicU32::new(0),
            width: Width::new(workers),
            awake: AtomicU32::new(0),
            is_cut: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            statistics: Statistics::default(),
            crew,
            ..self
        }
    }

    fn committed(&self) -> u32 {
        u32::try_from(self.gate.load(Ordering::SeqCst) >> 1).expect("at most the number of transactions")
    }

    /// The first place that may not run yet.
    fn limit(&self) -> u32 {
        (self.committed() + self.width.get().min(WINDOW)).min(self.count())
    }

    fn count(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("checked when the batch was made")
    }

    fn begin(&self, place: u32, attempt: u64, is_certain: bool) -> Ticket<'_, K, V, O> {
        self.awake.fetch_add(1, Ordering::SeqCst);
        self.statistics.attempts.fetch_add(1, Ordering::Relaxed);
        let begin = |record: &mut Attempt<V, O>| {
            record.reads.clear();
            record.output = None;
            record.readers = Readers::default();
            record.is_certain = is_certain;
            debug_assert!(
                record.stale_writes.is_empty(),
                "an attempt ends with all its writes in one list"
            );
            if !record.writes.is_empty() {
                std::mem::swap(&mut record.stale_writes, &mut record.writes);
            }
        };
        // SAFETY: the claim made this worker the owner.
        unsafe { self.slots[place as usize].with(begin) };
        Ticket {
            batch: self,
            place,
            attempt,
            is_certain,
            _thread: PhantomData,
        }
    }

    /// Commits what can be committed, if nobody else is at it.
    fn move_gate(&self) {
        loop {
            let word = self.gate.load(Ordering::SeqCst);
            let place = (word >> 1) as usize;
            if word & BUSY != 0 || place == self.slots.len() {
                return;
            }
            let (_, state) = self.slots[place].word.read();
            if state != State::Executed {
                // It was passed by when it could not run ahead: now it can.
                if state == State::Ready {
                    self.make_ready(self.committed());
                }
                return;
            }
            if self
                .gate
                .compare_exchange(word, word | BUSY, Ordering::SeqCst, Ordering::SeqCst)
                .is_err()
            {
                return;
            }
            let committed = self.commit_from(u32::try_from(place).expect("below the number of transactions"));
            self.gate.store(u64::from(committed) << 1, Ordering::SeqCst);
            // Whoever finished meanwhile found the gate busy and left: look again.
            fence(Ordering::SeqCst);
            if committed == self.count() {
                return self.crew.wake_all();
            }
            self.share_work();
        }
    }

    /// Wakes another worker if there is more than this one takes next.
    fn share_work(&self) {
        if self.cursor.load(Ordering::SeqCst) + 1 < self.limit() {
            self.crew.wake_one();
        }
    }

    /// Commits from `place` on, and says up to where.
    fn commit_from(&self, mut place: u32) -> u32 {
        while place < self.count() {
            let slot = &self.slots[place as usize];
            let (attempt, state) = slot.word.read();
            if state != State::Executed || !slot.word.advance(attempt, State::Executed, State::Checking) {
                break;
            }
            let settle = |record: &mut Attempt<V, O>| {
                let mut reads = record.reads.iter();
                let is_good = record.is_certain
                    || reads.all(|(location, seen)| self.memory.check(*location, place, seen));
                if is_good {
                    for (location, version) in &record.writes {
                        self.memory.settle(*location, *version);
                    }
                }
                is_good
            };
            // SAFETY: the step to Checking made this worker the owner.
            if !unsafe { slot.with(settle) } {
                self.width.note(false);
                self.make_stale(place, attempt);
                break;
            }
            slot.word.set(attempt, State::Committed);
            self.width.note(attempt == 0);
            place += 1;
            self.gate.store(u64::from(place) << 1 | BUSY, Ordering::SeqCst);
        }
        place
    }

    /// Takes an attempt back: by its owner.
    fn make_stale(&self, place: u32, attempt: u64) {
        let slot = &self.slots[place as usize];
        let mark = |record: &mut Attempt<V, O>| {
            for (_, version) in &record.writes {
                self.memory.mark_estimate(*version);
            }
        };
        // SAFETY: the caller is the owner, and owns no longer once the word is set.
        unsafe { slot.with(mark) };
        slot.word.set(attempt + 1, State::Ready);
        self.make_ready(place);
    }

    /// Lets workers find a transaction that is ready.
    fn make_ready(&self, place: u32) {
        self.cursor.fetch_min(place, Ordering::SeqCst);
        self.share_work();
    }

    /// Looks at the transactions whose reads a change at `place` may have touched.
    fn doubt(&self, readers: Readers, place: u32) {
        if readers.is_empty() {
            return;
        }
        let end = (self.committed() + WINDOW).min(self.count());
        for reader in (place + 1..end).filter(|reader| readers.contains(*reader)) {
            let slot = &self.slots[reader as usize];
            match slot.word.read() {
                (attempt, State::Executing) => {
                    slot.word.advance(attempt, State::Executing, State::Doubted);
                }
                (attempt, State::Executed) => self.check_again(reader, attempt),
                _ => {}
            }
        }
    }

    fn check_again(&self, place: u32, attempt: u64) {
        let slot = &self.slots[place as usize];
        if !slot.word.advance(attempt, State::Executed, State::Checking) {
            return;
        }
        // SAFETY: the step to Checking made this worker the owner.
        if unsafe { slot.with(|record| self.still_sees(place, record)) } {
            slot.word.set(attempt, State::Executed);
            // The gate may have come by and found it in other hands.
            fence(Ordering::SeqCst);
            self.move_gate();
        } else {
            self.make_stale(place, attempt);
        }
    }

    /// Whether exact reads see what they saw. What depends on a predicate is looked at when all below is committed: before
    /// that it may be false and become true again.
    fn still_sees(&self, place: u32, record: &Attempt<V, O>) -> bool {
        record.reads.iter().all(|(location, seen)| {
            matches!(seen, Seen::Holds(_)) || self.memory.check(*location, place, seen)
        })
    }

    /// Lets everyone go on who waits for a transaction.
    fn wake_waiters(&self, of: u32) {
        let mut at = self.slots[of as usize].waiters.swap(0, Ordering::SeqCst);
        while at != 0 {
            let place = at - 1;
            let slot = &self.slots[place as usize];
            // Before it can wait for something else.
            at = slot.next_waiter.load(Ordering::Acquire);
            let (attempt, state) = slot.word.read();
            debug_assert_eq!(state, State::Waiting, "who waits is woken once");
            slot.word.set(attempt + 1, State::Ready);
            self.make_ready(place);
        }
    }

    /// A worker has ended its ticket.
    fn rest(&self) {
        self.awake.fetch_sub(1, Ordering::SeqCst);
    }

    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        self.crew.wake_all();
    }
}

impl<V: Value, O> Slot<V, O> {
    fn new() -> Self {
        Self {
            word: Word::new(),
            waiters: AtomicU32::new(0),
            next_waiter: AtomicU32::new(0),
            attempt: UnsafeCell::new(Attempt {
                reads: Vec::new(),
                writes: Vec::new(),
                stale_writes: Vec::new(),
                readers: Readers::default(),
                is_certain: false,
                output: None,
            }),
        }
    }

    fn renew(&mut self) {
        self.word = Word::new();
        self.waiters = AtomicU32::new(0);
        self.next_waiter = AtomicU32::new(0);
        self.enter(|attempt| {
            attempt.reads.clear();
            attempt.writes.clear();
            attempt.stale_writes.clear();
            attempt.output = None;
        });
    }

    fn enter<R>(&mut self, enter: impl FnOnce(&mut Attempt<V, O>) -> R) -> R {
        // SAFETY: the exclusive reference makes the caller the owner.
        unsafe { self.with(enter) }
    }

    /// Enters the attempt.
    ///
    /// # Safety
    /// The caller owns it (see the words' states), and is not in it already.
    unsafe fn with<R>(&self, enter: impl FnOnce(&mut Attempt<V, O>) -> R) -> R {
        // SAFETY: by the contract above nobody else is in the cell.
        self.attempt.with_mut(|attempt| enter(unsafe { &mut *attempt }))
    }
}

/// One attempt at one transaction. Stays on the thread that got it; dropped without an end, it breaks the batch.
pub struct Ticket<'b, K: Key, V: Value, O: Send> {
    batch: &'b Batch<K, V, O>,
    place: u32,
    attempt: u64,
    is_certain: bool,
    _thread: PhantomData<*const ()>,
}

impl<K: Key, V: Value, O: Send> Ticket<'_, K, V, O> {
    /// The transaction's place in the batch.
    #[must_use]
    pub fn place(&self) -> u32 {
        self.place
    }

    /// Everything below is committed: what this attempt reads is final.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.is_certain
    }

    /// The value under a key, as the transactions below leave it; from `load` where none of them wrote.
    ///
    /// # Errors
    /// See [`Stop`].
    pub fn read<E>(&self, key: &K, load: impl FnOnce(&K) -> Result<V, E>) -> Result<V, Stop<E>> {
        let memory = &self.batch.memory;
        let location = memory.locate(key);
        let base = memory.base(location, load).map_err(Stop::Load)?;
        if self.is_certain {
            return Ok(memory.guess(location, base, self.place));
        }
        memory.note_reader(location, self.place);
        match memory.read(location, base, self.place) {
            Found::Estimate(of) => Err(Stop::Wait(of)),
            Found::Value(value, seen) => {
                self.record(|record| record.reads.push((location, seen)));
                if self.slot().word.read().1 == State::Doubted && !self.still_sees() {
                    return Err(Stop::Stale);
                }
                Ok(value)
            }
        }
    }

    /// A guess at the value under a key. Nothing depends on it but what [`Self::expect`] says.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn guess<E>(&self, key: &K, load: impl FnOnce(&K) -> Result<V, E>) -> Result<V, E> {
        let memory = &self.batch.memory;
        let location = memory.locate(key);
        let base = memory.base(location, load)?;
        Ok(memory.guess(location, base, self.place))
    }

    /// Says what must hold of the value under a key when this transaction commits; otherwise it is executed again.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn expect<E>(
        &self,
        key: &K,
        predicate: V::Predicate,
        load: impl FnOnce(&K) -> Result<V, E>,
    ) -> Result<(), E> {
        if self.is_certain {
            return Ok(());
        }
        let memory = &self.batch.memory;
        let location = memory.locate(key);
        memory.base(location, load)?;
        self.record(|record| record.reads.push((location, Seen::Holds(predicate))));
        Ok(())
    }

    /// Writes under a key; to be called for each key at most once, with nothing read through this ticket afterwards.
    ///
    /// # Errors
    /// Those of `load`, which is asked for what a delta applies to. Then the attempt has to be given up.
    pub fn write<E>(&self, key: &K, write: Write<V>, load: impl FnOnce(&K) -> Result<V, E>) -> Result<(), E> {
        let memory = &self.batch.memory;
        let location = memory.locate(key);
        if matches!(write, Write::Delta(_)) {
            memory.base(location, load)?;
        }
        self.record(|record| {
            let known = record.stale_writes.iter().position(|(at, _)| *at == location);
            let known = known.map(|index| record.stale_writes.swap_remove(index).1);
            let (version, is_changed) = memory.publish(location, self.place, known, write);
            record.writes.push((location, version));
            if is_changed {
                memory.collect_readers(location, &mut record.readers);
            }
        });
        Ok(())
    }

    /// Ends the attempt with its result.
    pub fn finish(self, output: O) {
        let (batch, place) = (self.batch, self.place);
        let word = &self.slot().word;
        let readers = self.record(|record| {
            record.output = Some(output);
            for (location, version) in record.stale_writes.drain(..) {
                batch.memory.withdraw(version);
                batch.memory.collect_readers(location, &mut record.readers);
            }
            std::mem::take(&mut record.readers)
        });
        if !word.advance(self.attempt, State::Executing, State::Executed) {
            // Doubted; nobody else moves the word from there.
            if self.still_sees() {
                word.set(self.attempt, State::Executed);
            } else {
                batch.make_stale(place, self.attempt);
            }
        }
        std::mem::forget(self);
        fence(Ordering::SeqCst);
        batch.wake_waiters(place);
        batch.doubt(readers, place);
        batch.move_gate();
        batch.rest();
    }

    /// Gives the attempt up until the transaction at `lower` has executed again.
    pub fn wait_for(self, lower: u32) {
        let batch = self.batch;
        debug_assert!(lower < self.place, "nobody waits for what comes later");
        batch.statistics.waits.fetch_add(1, Ordering::Relaxed);
        self.give_up(State::Waiting);
        let (slot, of) = (&batch.slots[self.place as usize], &batch.slots[lower as usize]);
        let place = self.place + 1;
        std::mem::forget(self);
        let mut head = of.waiters.load(Ordering::SeqCst);
        loop {
            slot.next_waiter.store(head, Ordering::Release);
            match of
                .waiters
                .compare_exchange(head, place, Ordering::SeqCst, Ordering::SeqCst)
            {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        // It may have executed between the read and the line above, and looked for who waits before that.
        fence(Ordering::SeqCst);
        if matches!(
            of.word.read().1,
            State::Executed | State::Checking | State::Committed
        ) {
            batch.wake_waiters(lower);
        }
        batch.rest();
    }

    /// Gives the attempt up because it is stale already; it is tried again.
    pub fn retry(self) {
        self.give_up(State::Ready);
        let (batch, place) = (self.batch, self.place);
        std::mem::forget(self);
        batch.make_ready(place);
        batch.move_gate();
        batch.rest();
    }

    /// Gives the attempt up until everything below is committed.
    pub fn defer(mut self) {
        debug_assert!(!self.is_certain, "nothing is left to wait for");
        self.attempt = self.attempt.max(MAX_SPECULATIVE_ATTEMPTS);
        self.give_up(State::Ready);
        let batch = self.batch;
        std::mem::forget(self);
        // The gate may have arrived here meanwhile.
        fence(Ordering::SeqCst);
        batch.move_gate();
        batch.rest();
    }

    /// Ends the whole batch with this output as its last: nothing behind it counts. Only a certain attempt may.
    pub fn end_batch(self, output: O) {
        debug_assert!(self.is_certain, "what is not certain is tried again");
        self.record(|record| record.output = Some(output));
        let batch = self.batch;
        std::mem::forget(self);
        batch.cut();
    }

    /// The stale attempt's writes stay behind as estimates, what this one wrote too.
    fn give_up(&self, to: State) {
        self.record(|record| {
            record.writes.append(&mut record.stale_writes);
            for (_, version) in &record.writes {
                self.batch.memory.mark_estimate(*version);
            }
        });
        // From Executing or Doubted: a doubt that comes between is about an attempt that does not count any more.
        self.slot()
            .word
            .set(self.attempt + u64::from(to == State::Ready), to);
    }

    fn still_sees(&self) -> bool {
        self.record(|record| self.batch.still_sees(self.place, record))
    }

    /// Enters the attempt.
    fn record<R>(&self, enter: impl FnOnce(&mut Attempt<V, O>) -> R) -> R {
        // SAFETY: a ticket is the ownership, it stays on its thread, and nothing that enters the record enters it again.
        unsafe { self.slot().with(enter) }
    }

    fn slot(&self) -> &Slot<V, O> {
        &self.batch.slots[self.place as usize]
    }
}

impl<K: Key, V: Value, O: Send> Drop for Ticket<'_, K, V, O> {
    fn drop(&mut self) {
        self.batch.is_broken.store(true, Ordering::SeqCst);
        self.batch.cut();
    }
}

impl<K: Key, V: Value, O> std::fmt::Debug for Batch<K, V, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("transactions", &self.slots.len())
            .field("committed", &(self.gate.load(Ordering::Relaxed) >> 1))
            .finish_non_exhaustive()
    }
}
