//! What a worker holds while it executes a transaction: reading, writing, and the ways to end.

use std::cell::Cell;
use std::marker::PhantomData;

use super::arena::Number;
use super::batch::{Batch, MAX_SPECULATIVE_ATTEMPTS};
use super::hand::Hand;
use super::memory::{Found, Lanes, LocationId, Seen, Write};
use super::slot::{Attempt, Slot};
use super::word::State;
use super::{Key, Value};
use crate::sync::{Ordering, fence};

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

/// One attempt at one transaction. Stays on the thread that got it; dropped without an end, it breaks the batch.
pub struct Ticket<'b, K: Key, V: Value, O: Send> {
    pub(super) batch: &'b Batch<K, V, O>,
    pub(super) place: u32,
    pub(super) attempt: u64,
    pub(super) is_certain: bool,
    pub(super) hand: Cell<Hand>,
    pub(super) _thread: PhantomData<*const ()>,
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
        let (location, base) = self.locate(key, load).map_err(Stop::Load)?;
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
        let (location, base) = self.locate(key, load)?;
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
        let (location, _) = self.locate(key, load)?;
        self.record(|record| record.reads.push((location, Seen::Holds(predicate))));
        Ok(())
    }

    /// Writes under a key; to be called for each key at most once, with nothing read through this ticket afterwards.
    ///
    /// # Errors
    /// Those of `load`, which is asked for what a delta applies to. Then the attempt has to be given up.
    pub fn write<E>(&self, key: &K, write: Write<V>, load: impl FnOnce(&K) -> Result<V, E>) -> Result<(), E> {
        let memory = &self.batch.memory;
        let location = match write {
            Write::Delta(_) => self.locate(key, load)?.0,
            Write::Whole(_) => self.with_lanes(|lanes| memory.locate(lanes, key)),
        };
        self.record(|record| {
            let known = record.stale_writes.iter().position(|(at, _)| *at == location);
            let known = known.map(|index| record.stale_writes.swap_remove(index).1);
            let publish = |lanes: &mut Lanes| memory.publish(lanes, location, self.place, known, write);
            let (version, is_changed) = self.with_lanes(publish);
            record.writes.push((location, version));
            if is_changed {
                record.changed.push(location);
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
                record.changed.push(location);
            }
            batch.memory.readers(record.changed.drain(..))
        });
        if !word.advance(self.attempt, State::Executing, State::Executed) {
            // Doubted; nobody else moves the word from there.
            if self.still_sees() {
                word.set(self.attempt, State::Executed);
            } else {
                batch.make_stale(place, self.attempt);
            }
        }
        // Whoever met an estimate of this one and the gate look for the word from now on.
        fence(Ordering::SeqCst);
        batch.wake_waiters(place);
        batch.doubt(readers, place);
        self.leave();
    }

    /// Moves the gate, and gives back what the worker's next ticket goes on with.
    fn leave(self) {
        let (batch, mut hand) = (self.batch, self.hand.take());
        std::mem::forget(self);
        batch.move_gate(&mut hand.lanes);
        batch.hands.put_back(hand);
    }

    /// Gives the attempt up until the transaction at `lower` has executed again.
    pub fn wait_for(self, lower: u32) {
        let batch = self.batch;
        debug_assert!(lower < self.place, "nobody waits for what comes later");
        batch.statistics.waits.fetch_add(1, Ordering::Relaxed);
        self.give_up(State::Waiting);
        let (slot, of) = (&batch.slots[self.place as usize], &batch.slots[lower as usize]);
        let place = self.place + 1;
        batch.hands.put_back(self.hand.take());
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
    }

    /// Gives the attempt up because it is stale already; it is tried again.
    pub fn retry(self) {
        self.give_up(State::Ready);
        self.batch.make_ready(self.place);
        self.leave();
    }

    /// Gives the attempt up until everything below is committed.
    pub fn defer(mut self) {
        debug_assert!(!self.is_certain, "nothing is left to wait for");
        self.attempt = self.attempt.max(MAX_SPECULATIVE_ATTEMPTS);
        self.give_up(State::Ready);
        // The gate may have arrived here meanwhile.
        fence(Ordering::SeqCst);
        self.leave();
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

    /// The location of a key, and the value before the batch.
    fn locate<E>(&self, key: &K, load: impl FnOnce(&K) -> Result<V, E>) -> Result<(LocationId, Number), E> {
        let memory = &self.batch.memory;
        let location = self.with_lanes(|lanes| memory.locate(lanes, key));
        if let Some(base) = memory.base(location) {
            return Ok((location, base));
        }
        let value = load(key)?;
        let base = self.with_lanes(|lanes| memory.set_base(lanes, location, value));
        Ok((location, base))
    }

    /// Nothing of the caller's runs meanwhile, so nobody takes the same numbers.
    fn with_lanes<R>(&self, take: impl FnOnce(&mut Lanes) -> R) -> R {
        let mut hand = self.hand.take();
        let taken = take(&mut hand.lanes);
        self.hand.set(hand);
        taken
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
        self.batch.abandon();
    }
}
