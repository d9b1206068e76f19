//! Gathering what a batch came to, once everything is committed: in parts, which workers take like transactions. It touches
//! everything that was written, so one worker would be at it while the others have nothing to do.

use std::marker::PhantomData;
use std::ops::Range;

use super::batch::Batch;
use super::{Key, Value};
use crate::sync::{AtomicU32, Ordering};

/// Transactions that are worth a part of their own.
const LEAST: usize = 256;
/// Parts for each worker: some may be at something else.
const EACH: usize = 2;

/// How far gathering has come.
#[derive(Debug)]
pub(super) struct Parts {
    count: u32,
    /// The next that nobody has taken; may run past the last.
    next: AtomicU32,
    done: AtomicU32,
}

impl Parts {
    /// For a batch of so many transactions and workers.
    pub(super) fn of(len: usize, workers: usize) -> Self {
        let most = (workers.max(1) * EACH).min(len / LEAST);
        // Models look at gathering by itself: it begins when all else is over.
        let least = if cfg!(loom) { len == 1 } else { len > 0 };
        Self {
            count: u32::try_from(most.max(usize::from(least))).expect("fewer than transactions"),
            next: AtomicU32::new(0),
            done: AtomicU32::new(0),
        }
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    fn take(&self) -> Option<u32> {
        // Whoever comes late does not count on.
        if !self.has_more() {
            return None;
        }
        let index = self.next.fetch_add(1, Ordering::SeqCst);
        (index < self.count).then_some(index)
    }

    /// Whether there is one that nobody has taken.
    pub(super) fn has_more(&self) -> bool {
        self.next.load(Ordering::SeqCst) < self.count
    }

    /// Whether all are done.
    pub(super) fn are_done(&self) -> bool {
        self.count == 0 || self.done.load(Ordering::SeqCst) == self.count
    }

    /// Part `index` of `of` of things.
    fn range(&self, index: u32, of: usize) -> Range<usize> {
        let start = |index: u32| of * index as usize / self.count as usize;
        start(index)..start(index + 1)
    }
}

/// A part of what a batch came to, for one worker. Dropped without [`Self::finish`], it breaks the batch.
pub struct Part<'b, K: Key, V: Value, O: Send> {
    batch: &'b Batch<K, V, O>,
    index: u32,
    _thread: PhantomData<*const ()>,
}

impl<'b, K: Key, V: Value, O: Send> Part<'b, K, V, O> {
    /// One that nobody has taken. Everything must be committed.
    pub(super) fn take(batch: &'b Batch<K, V, O>) -> Option<Self> {
        let index = batch.parts.take()?;
        Some(Self {
            batch,
            index,
            _thread: PhantomData,
        })
    }

    /// Which it is, from 0 to below [`Batch::parts`].
    #[must_use]
    pub fn index(&self) -> usize {
        self.index as usize
    }

    /// What the last attempts at the part's transactions left, in order; each once.
    pub fn outputs(&mut self) -> impl Iterator<Item = O> {
        let slots = self.batch.parts.range(self.index, self.batch.slots.len());
        self.batch.slots[slots].iter().filter_map(|slot| {
            // SAFETY: everything is committed, so no attempt is owned by anyone, and the slots of a part are its owner's,
            // who enters one at a time: the part stays on its thread.
            unsafe { slot.with(|attempt| attempt.output.take()) }
        })
    }

    /// The part's share of the keys that were written, with the last values; in no order.
    pub fn written(&self) -> impl Iterator<Item = (&'b K, &'b V)> {
        let memory = &self.batch.memory;
        memory.written_in(self.batch.parts.range(self.index, memory.locations()))
    }

    /// It is done with.
    pub fn finish(self) {
        let (batch, parts) = (self.batch, &self.batch.parts);
        std::mem::forget(self);
        let done = parts.done.fetch_add(1, Ordering::SeqCst) + 1;
        if done == parts.count {
            batch.crew.wake_all();
        }
    }
}

impl<K: Key, V: Value, O: Send> Drop for Part<'_, K, V, O> {
    fn drop(&mut self) {
        self.batch.abandon();
    }
}
