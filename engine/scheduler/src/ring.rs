//! The bounded ring of block slots.
//!
//! One [`Producer`] publishes tasks in order and takes them back when their life in the ring is over; any number of
//! threads claim them for a [`Stage`] through the shared [`Ring`]. Nothing blocks and nothing allocates after the
//! ring is made.
//!
//! **Sequences.** Tasks are numbered from 0; task `n` lies in slot `n mod capacity` in incarnation `n / capacity`.
//! Each stage has a cursor: every task before it has passed the stage or was abandoned. A cursor only grows, and
//! whoever looks for work moves it on.
//!
//! **Who may touch a task.** The task lies in a cell beside the slot's word. It is written by the producer while the
//! word says `Free` in the producer's own incarnation (nobody else touches a free slot); it is accessed through a
//! [`Claim`] while the word has the claimed bit, which one thread at a time can set; it is taken by the producer when
//! the word is final and unclaimed (no claim can begin any more). Each change of hands goes through the word with
//! release and acquire ordering.

use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;

use crate::status::{Stage, Status, Word};
use crate::sync::{Arc, AtomicU64, Padded, UnsafeCell};

struct Slot<T> {
    word: AtomicU64,
    task: UnsafeCell<MaybeUninit<T>>,
}

/// The shared side: claims and looks.
pub struct Ring<T> {
    slots: Box<[Padded<Slot<T>>]>,
    /// Sequence of the next task to be published. Written by the producer alone.
    published: Padded<AtomicU64>,
    cursors: [Padded<AtomicU64>; Stage::ALL.len()],
}

// SAFETY: a task is accessed by one thread at a time (see "who may touch a task" above), so handing the ring to
// other threads sends tasks to them and never shares one.
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: as above; all else in the ring is atomic.
unsafe impl<T: Send> Sync for Ring<T> {}

/// A task that found no free slot.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

/// A task at the end of its life in the ring.
#[derive(Debug, PartialEq, Eq)]
pub struct Retired<T> {
    /// Its number.
    pub sequence: u64,
    /// `Persisted` or `Abandoned`.
    pub status: Status,
    /// The task itself.
    pub task: T,
}

/// The one publisher of a ring.
pub struct Producer<T> {
    ring: Arc<Ring<T>>,
    head: u64,
    tail: u64,
}

/// Makes a ring of `capacity` slots.
///
/// # Panics
/// If `capacity` is 0.
#[must_use]
pub fn ring<T: Send>(capacity: usize) -> (Producer<T>, Arc<Ring<T>>) {
    assert!(capacity > 0, "a ring has at least one slot");
    let slots = (0..capacity)
        .map(|_| {
            Padded(Slot {
                word: AtomicU64::new(Word::new(0, Status::Free).0),
                task: UnsafeCell::new(MaybeUninit::uninit()),
            })
        })
        .collect();
    let ring = Arc::new(Ring {
        slots,
        published: Padded(AtomicU64::new(0)),
        cursors: std::array::from_fn(|_| Padded(AtomicU64::new(0))),
    });
    (
        Producer {
            ring: Arc::clone(&ring),
            head: 0,
            tail: 0,
        },
        ring,
    )
}

impl<T: Send> Producer<T> {
    /// Puts a task into the next slot as `Ordered` and answers its sequence. Never waits.
    ///
    /// # Errors
    /// Gives the task back when every slot is in use.
    pub fn publish(&mut self, task: T) -> Result<u64, Full<T>> {
        let sequence = self.head;
        let (slot, incarnation) = self.ring.slot(sequence);
        if slot.word.load(Ordering::Acquire) != Word::new(incarnation, Status::Free).0 {
            return Err(Full(task));
        }
        slot.task.with_mut(|cell| {
            // SAFETY: the slot is free in the incarnation of this sequence. Only this producer makes a free slot
            // anything else, and claims are refused until it has.
            unsafe { (*cell).write(task) };
        });
        slot.word
            .store(Word::new(incarnation, Status::Ordered).0, Ordering::Release);
        self.head = sequence + 1;
        self.ring.published.0.store(self.head, Ordering::Release);
        Ok(sequence)
    }

    /// Takes back the oldest task if its life in the ring is over, and frees its slot.
    pub fn reclaim(&mut self) -> Option<Retired<T>> {
        if self.tail == self.head {
            return None;
        }
        let sequence = self.tail;
        let (slot, incarnation) = self.ring.slot(sequence);
        let word = Word(slot.word.load(Ordering::Acquire));
        if !word.status().is_final() || word.is_claimed() {
            return None;
        }
        // SAFETY: the word is final and unclaimed, from which no claim begins; the acquire load above makes the last
        // claim's writes visible. The task is moved out once, for the slot is freed right below.
        let task = slot.task.with_mut(|cell| unsafe { (*cell).assume_init_read() });
        slot.word
            .store(Word::new(incarnation + 1, Status::Free).0, Ordering::Release);
        self.tail = sequence + 1;
        Some(Retired {
            sequence,
            status: word.status(),
            task,
        })
    }

    /// Tasks published and not yet taken back.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.head - self.tail
    }
}

impl<T: Send> Ring<T> {
    /// Number of slots.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Claims the oldest task that is ready for `stage`. In-order stages look no further than the oldest task that
    /// has not passed them.
    #[must_use]
    pub fn claim(&self, stage: Stage) -> Option<Claim<'_, T>> {
        let cursor = &self.cursors[stage as usize].0;
        let published = self.published.0.load(Ordering::Acquire);
        let mut sequence = cursor.load(Ordering::Acquire);
        let mut all_passed = true;
        while sequence < published {
            match self.try_claim(sequence, stage) {
                Try::Claimed(claim) => return Some(claim),
                Try::Passed if all_passed => {
                    // Another thread may have moved it already; it never moves back.
                    let moved =
                        cursor.compare_exchange(sequence, sequence + 1, Ordering::AcqRel, Ordering::Acquire);
                    sequence = moved.map_or_else(|further| further, |_| sequence + 1);
                }
                Try::Passed => sequence += 1,
                Try::NotReady if stage.is_in_order() => return None,
                Try::NotReady => {
                    all_passed = false;
                    sequence += 1;
                }
            }
        }
        None
    }

    /// Gives a task up, wherever it is; a claim on it runs to its end first. `false` if its life is over already.
    pub fn abandon(&self, sequence: u64) -> bool {
        let (slot, incarnation) = self.slot(sequence);
        slot.word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                let word = Word(word);
                (word.incarnation() == incarnation)
                    .then(|| word.abandoned())
                    .flatten()
                    .map(|word| word.0)
            })
            .is_ok()
    }

    /// Where a task is; `None` when its slot was freed or it is not published yet.
    #[must_use]
    pub fn status(&self, sequence: u64) -> Option<Status> {
        let (slot, incarnation) = self.slot(sequence);
        let word = Word(slot.word.load(Ordering::Acquire));
        (word.incarnation() == incarnation && word.status() != Status::Free).then(|| word.status())
    }

    fn slot(&self, sequence: u64) -> (&Slot<T>, u64) {
        let capacity = self.slots.len() as u64;
        let index = usize::try_from(sequence % capacity).expect("an index into a slice fits usize");
        (&self.slots[index].0, sequence / capacity)
    }

    fn try_claim(&self, sequence: u64, stage: Stage) -> Try<'_, T> {
        let (slot, incarnation) = self.slot(sequence);
        loop {
            let word = Word(slot.word.load(Ordering::Acquire));
            if word.incarnation() != incarnation || word.status() > stage.during() {
                return Try::Passed;
            }
            if word.status() != stage.takes() || word.is_claimed() {
                return Try::NotReady;
            }
            let claimed = word.claimed(stage.during());
            if slot
                .word
                .compare_exchange(word.0, claimed.0, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
            {
                return Try::Claimed(Claim {
                    ring: self,
                    slot,
                    sequence,
                    stage,
                });
            }
        }
    }
}

enum Try<'a, T: Send> {
    Claimed(Claim<'a, T>),
    /// It has been through this stage, or was abandoned.
    Passed,
    /// It has not come to this stage, or another thread has it.
    NotReady,
}

/// A task that one thread has to itself for one stage. [`Claim::complete`] moves it on; a claim that is dropped (by a
/// panic, say) leaves it as it was before.
pub struct Claim<'a, T: Send> {
    ring: &'a Ring<T>,
    slot: &'a Slot<T>,
    sequence: u64,
    stage: Stage,
}

impl<'a, T: Send> Claim<'a, T> {
    /// The task's number.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The stage is done with the task. Answers its status: what the stage leaves, or `Abandoned`.
    pub fn complete(self) -> Status {
        let claim = std::mem::ManuallyDrop::new(self);
        claim.release(claim.stage.leaves())
    }

    /// The stage gives the task up.
    pub fn abandon(self) {
        std::mem::ManuallyDrop::new(self).release(Status::Abandoned);
    }

    /// Claims the task after this one for the same stage, so that an in-order stage can work on several at once.
    #[must_use]
    pub fn next(&self) -> Option<Claim<'a, T>> {
        let sequence = self.sequence + 1;
        if sequence >= self.ring.published.0.load(Ordering::Acquire) {
            return None;
        }
        match self.ring.try_claim(sequence, self.stage) {
            Try::Claimed(claim) => Some(claim),
            Try::Passed | Try::NotReady => None,
        }
    }

    fn release(&self, status: Status) -> Status {
        let update = self
            .slot
            .word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                Some(Word(word).released(status).0)
            });
        let before = update.expect("the update function always answers a word");
        Word(before).released(status).status()
    }
}

impl<T: Send> Deref for Claim<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the claimed bit gives this claim the task to itself, and a claimed slot holds a task.
        self.slot.task.with(|cell| unsafe { (*cell).assume_init_ref() })
    }
}

impl<T: Send> DerefMut for Claim<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `self` is borrowed mutably.
        self.slot
            .task
            .with_mut(|cell| unsafe { (*cell).assume_init_mut() })
    }
}

impl<T: Send> Drop for Claim<'_, T> {
    fn drop(&mut self) {
        self.release(self.stage.takes());
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        for Padded(slot) in &self.slots {
            if Word(slot.word.load(Ordering::Acquire)).status() != Status::Free {
                // SAFETY: a slot that is not free holds a task, and nobody else has the ring any more.
                slot.task.with_mut(|cell| unsafe { (*cell).assume_init_drop() });
            }
        }
    }
}

impl<T> std::fmt::Debug for Ring<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("capacity", &self.slots.len())
            .finish_non_exhaustive()
    }
}

impl<T> std::fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer")
            .field("head", &self.head)
            .field("tail", &self.tail)
            .finish_non_exhaustive()
    }
}
