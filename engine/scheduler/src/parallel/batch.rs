//! One batch of transactions on its way: who executes what, what has to be executed again, what is committed.
//!
//! Workers ask [`Batch::next`] until the batch is over. What they get they execute through the [`Ticket`], which reads
//! and records; they end it by [`Ticket::finish`] or one of the ways to give up. Whoever finishes also moves the commit
//! gate, as far as it goes: nobody coordinates.
//!
//! What is right follows from the gate alone. Transaction c is committed when all below it are and when every read of
//! its attempt, looked at now, sees what it saw. All else (doubts, estimates, waiting, how wide to run) is there so that
//! what is stale is found out sooner.

use std::cell::Cell;
use std::marker::PhantomData;

use super::hand::Hands;
use super::memory::{Lanes, Memory, Readers, Seen, WINDOW};
use super::part::{Part, Parts};
use super::slot::{Attempt, Slot};
use super::ticket::Ticket;
use super::width::Width;
use super::word::State;
use super::{Key, Value};
use crate::parking::Crew;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence, nanoseconds};

/// Attempts at a transaction after which it is not tried again before all below it are committed.
pub const MAX_SPECULATIVE_ATTEMPTS: u64 = if cfg!(loom) { 1 } else { 8 };

/// The gate's word: transactions committed << 1, lowest bit set while somebody commits.
const BUSY: u64 = 1;

/// See the module's documentation.
pub struct Batch<K: Key, V: Value, O> {
    pub(super) memory: Memory<K, V>,
    pub(super) slots: Box<[Slot<V, O>]>,
    gate: AtomicU64,
    /// The lowest place that may be ready.
    cursor: AtomicU32,
    width: Width,
    /// Ended before its time: by [`Ticket::end_batch`], or by a ticket that was dropped.
    is_cut: AtomicBool,
    /// A ticket or part was dropped.
    is_broken: AtomicBool,
    pub(super) crew: Crew,
    pub(super) parts: Parts,
    pub(super) hands: Hands,
    pub(super) statistics: Statistics,
}

/// Counts of what happened; no part of any result.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    pub(super) waits: AtomicU64,
}

/// What a worker does next.
pub enum Next<'b, K: Key, V: Value, O: Send> {
    /// Execute this.
    Execute(Ticket<'b, K, V, O>),
    /// Gather this: everything is committed.
    Gather(Part<'b, K, V, O>),
    /// Nothing now.
    Idle,
    /// Everything is committed and gathered, or the batch was cut.
    Over,
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
            is_cut: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            crew,
            hands: Hands::new(workers),
            parts: Parts::of(len, workers),
            statistics: Statistics::default(),
        }
    }

    /// What to do next. Never waits.
    pub fn next(&self) -> Next<'_, K, V, O> {
        loop {
            // Asked once: each look at the gate is a branch of the models.
            let committed = self.committed();
            if self.is_over_at(committed) {
                return Next::Over;
            }
            if committed == self.count() {
                return Part::take(self).map_or(Next::Idle, Next::Gather);
            }
            let place = self.cursor.load(Ordering::SeqCst);
            if place >= self.limit(committed) {
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

    /// Whether [`Self::next`] may have something to execute, or the batch is over. For whoever is about to sleep. Who has ended
    /// a ticket asks for the next one, or wakes another: it was counted on for one transaction.
    pub fn has_news(&self) -> bool {
        let committed = self.committed();
        self.is_over_at(committed)
            || if committed == self.count() {
                self.parts.has_more()
            } else {
                self.cursor.load(Ordering::SeqCst) < self.limit(committed)
            }
    }

    /// Everything is committed and gathered, or the batch was cut.
    pub fn is_over(&self) -> bool {
        self.is_over_at(self.committed())
    }

    fn is_over_at(&self, committed: u32) -> bool {
        (committed == self.count() && self.parts.are_done()) || self.is_cut.load(Ordering::SeqCst)
    }

    /// Parts in which what it comes to is gathered.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.parts.count() as usize
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
            attempts: self.attempts(),
            waits: self.statistics.waits.load(Ordering::Relaxed),
            is_broken: self.is_broken.load(Ordering::SeqCst),
        }
    }

    /// Attempts that were begun, those given up by `defer` counted as if there had been as many as may be.
    fn attempts(&self) -> u64 {
        self.slots
            .iter()
            .map(|slot| match slot.word.read() {
                (attempt, State::Ready) => attempt,
                (attempt, _) => attempt + 1,
            })
            .sum()
    }

    /// What the attempts left, in order, up to the first that left nothing or whose output was gathered. Once the batch is over
    /// and every other worker is gone.
    pub fn take_outputs(&mut self) -> impl Iterator<Item = O> {
        self.slots
            .iter_mut()
            .map_while(|slot| slot.enter(|attempt| attempt.output.take()))
    }

    /// Every key that was written, with the last value; in no order. Once everything is committed.
    pub fn written(&self) -> impl Iterator<Item = (&K, &V)> {
        debug_assert_eq!(self.committed(), self.count());
        self.memory.written_in(0..self.memory.locations())
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
        self.width.renew(workers);
        Self {
            slots: slots.into_boxed_slice(),
            gate: AtomicU64::new(0),
            cursor: AtomicU32::new(0),
            is_cut: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            statistics: Statistics::default(),
            crew,
            hands: Hands::new(workers),
            parts: Parts::of(len, workers),
            ..self
        }
    }

    fn committed(&self) -> u32 {
        u32::try_from(self.gate.load(Ordering::SeqCst) >> 1).expect("at most the number of transactions")
    }

    /// The first place that may not run yet.
    fn limit(&self, committed: u32) -> u32 {
        (committed + self.width.get().min(WINDOW)).min(self.count())
    }

    fn count(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("checked when the batch was made")
    }

    fn begin(&self, place: u32, attempt: u64, is_certain: bool) -> Ticket<'_, K, V, O> {
        let begin = |record: &mut Attempt<V, O>| {
            record.reads.clear();
            record.output = None;
            record.changed.clear();
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
            hand: Cell::new(self.hands.take()),
            _thread: PhantomData,
        }
    }

    /// Commits what can be committed, if nobody else is at it.
    pub(super) fn move_gate(&self, lanes: &mut Lanes) {
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
            let committed = self.commit_from(
                u32::try_from(place).expect("below the number of transactions"),
                lanes,
            );
            self.gate.store(u64::from(committed) << 1, Ordering::SeqCst);
            // Whoever finished meanwhile found the gate busy and left: look again.
            fence(Ordering::SeqCst);
            if committed == self.count() {
                return self.crew.wake_all();
            }
            self.share_work(committed);
        }
    }

    /// Wakes another worker if there is more than this one takes next: for one transaction they would only take turns.
    fn share_work(&self, committed: u32) {
        if self.cursor.load(Ordering::SeqCst) + 1 < self.limit(committed) {
            self.crew.wake_one();
        }
    }

    /// Commits from `place` on, and says up to where.
    fn commit_from(&self, mut place: u32, lanes: &mut Lanes) -> u32 {
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
                        self.memory.settle(lanes, *location, *version);
                    }
                }
                is_good
            };
            // SAFETY: the step to Checking made this worker the owner.
            if !unsafe { slot.with(settle) } {
                self.make_stale(place, attempt);
                break;
            }
            slot.word.set(attempt, State::Committed);
            self.width.note(attempt == 0, nanoseconds);
            place += 1;
            // For those who ask how far they may run ahead; who leaves the gate says it to everyone.
            self.gate.store(u64::from(place) << 1 | BUSY, Ordering::Release);
        }
        place
    }

    /// Takes an attempt back: by its owner.
    pub(super) fn make_stale(&self, place: u32, attempt: u64) {
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
    pub(super) fn make_ready(&self, place: u32) {
        self.cursor.fetch_min(place, Ordering::SeqCst);
        self.share_work(self.committed());
    }

    /// Looks at the transactions whose reads a change at `place` may have touched.
    pub(super) fn doubt(&self, readers: Readers, place: u32) {
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
            // The gate may have come by and found it in other hands: who doubts moves it afterwards.
            slot.word.set(attempt, State::Executed);
        } else {
            self.make_stale(place, attempt);
        }
    }

    /// Whether exact reads see what they saw. What depends on a predicate is looked at when all below is committed: before
    /// that it may be false and become true again.
    pub(super) fn still_sees(&self, place: u32, record: &Attempt<V, O>) -> bool {
        record.reads.iter().all(|(location, seen)| {
            matches!(seen, Seen::Holds(_)) || self.memory.check(*location, place, seen)
        })
    }

    /// Lets everyone go on who waits for a transaction.
    pub(super) fn wake_waiters(&self, of: u32) {
        let waiters = &self.slots[of as usize].waiters;
        if waiters.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut at = waiters.swap(0, Ordering::SeqCst);
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

    /// A worker left something without an end: nothing of the batch can be trusted.
    pub(super) fn abandon(&self) {
        self.is_broken.store(true, Ordering::SeqCst);
        self.cut();
    }

    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        self.crew.wake_all();
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
