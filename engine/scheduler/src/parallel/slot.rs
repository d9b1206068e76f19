//! One transaction of a batch: its word, who waits for it, and what its attempt read and wrote.

use super::Value;
use super::memory::{LocationId, Seen, VersionId};
use super::word::Word;
use crate::sync::{AtomicU32, UnsafeCell};

/// What an attempt left behind.
pub(super) struct Attempt<V: Value, O> {
    pub(super) reads: Vec<(LocationId, Seen<V>)>,
    pub(super) writes: Vec<(LocationId, VersionId)>,
    /// Where others may see something else than before.
    pub(super) changed: Vec<LocationId>,
    /// Writes of the attempt before, while there is a new one.
    pub(super) stale_writes: Vec<(LocationId, VersionId)>,
    /// It ran when everything below was committed: nothing needs to be checked.
    pub(super) is_certain: bool,
    pub(super) output: Option<O>,
}

/// Neighbours are at different workers: a line of its own, and the one beside it that processors fetch too.
#[repr(align(128))]
pub(super) struct Slot<V: Value, O> {
    pub(super) word: Word,
    /// Place + 1 of the first transaction that waits for this one.
    pub(super) waiters: AtomicU32,
    /// Place + 1 of the next that waits for the same.
    pub(super) next_waiter: AtomicU32,
    attempt: UnsafeCell<Attempt<V, O>>,
}

// SAFETY: the cell is entered by the one worker that owns the attempt: who claimed it (Ready to Executing), who checks it
// (Executed to Checking), or who has the batch to itself. Between them lies a release store or exchange of the word and
// an acquire load of it.
unsafe impl<V: Value, O: Send> Sync for Slot<V, O> {}

impl<V: Value, O> Slot<V, O> {
    pub(super) fn new() -> Self {
        Self {
            word: Word::new(),
            waiters: AtomicU32::new(0),
            next_waiter: AtomicU32::new(0),
            attempt: UnsafeCell::new(Attempt {
                reads: Vec::new(),
                writes: Vec::new(),
                stale_writes: Vec::new(),
                changed: Vec::new(),
                is_certain: false,
                output: None,
            }),
        }
    }

    pub(super) fn renew(&mut self) {
        self.word = Word::new();
        self.waiters = AtomicU32::new(0);
        self.next_waiter = AtomicU32::new(0);
        self.enter(|attempt| {
            attempt.reads.clear();
            attempt.writes.clear();
            attempt.stale_writes.clear();
            attempt.changed.clear();
            attempt.output = None;
        });
    }

    pub(super) fn enter<R>(&mut self, enter: impl FnOnce(&mut Attempt<V, O>) -> R) -> R {
        // SAFETY: the exclusive reference makes the caller the owner.
        unsafe { self.with(enter) }
    }

    /// Enters the attempt.
    ///
    /// # Safety
    /// The caller owns it (see the words' states), and is not in it already.
    pub(super) unsafe fn with<R>(&self, enter: impl FnOnce(&mut Attempt<V, O>) -> R) -> R {
        // SAFETY: by the contract above nobody else is in the cell.
        self.attempt.with_mut(|attempt| enter(unsafe { &mut *attempt }))
    }
}
