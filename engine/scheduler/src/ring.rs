//! Slots and stage cursors, in the manner of the Disruptor (LMAX, 2011), for a pool of workers.
//!
//! Sequences count published tasks from 0; sequence s lies in slot s mod capacity. Each stage has one cursor word: the
//! sequence that it handles next, and whether a worker is at it. A stage may claim s when the stage before it has
//! passed s; the publisher may use a slot again when the last stage has passed its previous task. So every hand-over
//! is one release store and one acquire load, and there is nothing to lock. A claim is not tied to the worker that made
//! it: the busy bit says that somebody is at the task, and who holds the claim may hand it on.

use std::num::NonZeroUsize;
use std::ops::Deref;

use crate::life::Status;
use crate::parking::{Crew, Worker};
use crate::slot::Slot;
use crate::sync::{Arc, AtomicU64, Ordering};

/// A task's place in the order of publication, from 0.
pub type Sequence = u64;

/// What is done to a task, in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// Whatever does not need the tasks before.
    Prepare,
    /// Needs the execution of the tasks before.
    Execute,
    /// Behind execution: computing what commits to the result.
    Root,
    /// Making it durable.
    Persist,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Prepare, Self::Execute, Self::Root, Self::Persist];

    fn index(self) -> usize {
        self as usize
    }

    /// Where a task stands before, during and after the stage.
    fn statuses(self) -> (Status, Status, Status) {
        match self {
            Self::Prepare => (Status::Ordered, Status::Preparing, Status::Prepared),
            Self::Execute => (Status::Prepared, Status::Executing, Status::Executed),
            Self::Root => (Status::Executed, Status::Rooting, Status::Rooted),
            Self::Persist => (Status::Rooted, Status::Persisting, Status::Persisted),
        }
    }
}

/// A stage's cursor word: sequence << 1, lowest bit set while a worker is at it.
const BUSY: u64 = 1;
/// No failure.
const NONE: u64 = u64::MAX;

struct Shared<T> {
    slots: Box<[Slot<T>]>,
    published: AtomicU64,
    cursors: [AtomicU64; 4],
    /// Sequence << 2 | stage of the first claim that was dropped; [`NONE`] until then.
    failure: AtomicU64,
    crew: Crew,
}

/// Creates a ring with `capacity` slots: its one publisher, and the handle that workers share.
#[must_use]
pub fn ring<T: Send + Sync>(capacity: NonZeroUsize) -> (Publisher<T>, Ring<T>) {
    let shared = Arc::new(Shared {
        slots: (0..capacity.get()).map(|_| Slot::empty()).collect(),
        published: AtomicU64::new(0),
        cursors: std::array::from_fn(|_| AtomicU64::new(0)),
        failure: AtomicU64::new(NONE),
        crew: Crew::new(),
    });
    (
        Publisher {
            shared: Arc::clone(&shared),
        },
        Ring { shared },
    )
}

/// Every slot is taken; here is the task back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("every slot of the ring is taken")]
pub struct Full<T>(pub T);

/// A claim that was dropped: its stage goes no further.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("stage {stage:?} failed at task {sequence}")]
pub struct Failure {
    /// The stage.
    pub stage: Stage,
    /// The task.
    pub sequence: Sequence,
}

/// The one end that puts tasks in.
pub struct Publisher<T> {
    shared: Arc<Shared<T>>,
}

impl<T: Send + Sync> Publisher<T> {
    /// Puts a task in and wakes a worker. Never waits.
    ///
    /// # Errors
    /// [`Full`] with the task when no slot is free.
    pub fn publish(&mut self, task: T) -> Result<Sequence, Full<T>> {
        let shared = &*self.shared;
        let sequence = shared.published.load(Ordering::Relaxed);
        if sequence - shared.passed(Stage::Persist) >= shared.slots.len() as u64 {
            return Err(Full(task));
        }
        let slot = shared.slot(sequence);
        // SAFETY: `&mut self` makes this the only publisher, and `passed` read with acquire that the last stage is
        // through with the slot's previous task.
        unsafe { slot.put(task) };
        let moved = slot
            .life
            .advance(shared.incarnation(sequence), Status::Free, Status::Ordered);
        debug_assert_eq!(moved, Ok(()), "a slot behind the last stage is free");
        shared.published.store(sequence + 1, Ordering::Release);
        shared.crew.wake_one();
        Ok(sequence)
    }
}

impl<T> Shared<T> {
    fn slot(&self, sequence: Sequence) -> &Slot<T> {
        &self.slots[usize::try_from(sequence % self.slots.len() as u64).expect("below the number of slots")]
    }

    fn incarnation(&self, sequence: Sequence) -> u64 {
        sequence / self.slots.len() as u64
    }

    /// Tasks that `stage` is through with.
    fn passed(&self, stage: Stage) -> u64 {
        self.cursors[stage.index()].load(Ordering::Acquire) >> 1
    }

    /// Tasks that `stage` may handle.
    fn available(&self, stage: Stage) -> u64 {
        match stage.index() {
            0 => self.published.load(Ordering::Acquire),
            index => self.passed(Stage::ALL[index - 1]),
        }
    }

    fn is_abandoned(&self, sequence: Sequence) -> bool {
        self.slot(sequence).life.read() == (self.incarnation(sequence), Status::Abandoned)
    }

    fn is_claimable(&self, stage: Stage) -> bool {
        let word = self.cursors[stage.index()].load(Ordering::Acquire);
        word & BUSY == 0 && word >> 1 < self.available(stage) && self.failure.load(Ordering::Acquire) == NONE
    }
}

/// The handle that workers share.
pub struct Ring<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for Ring<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T: Send + Sync> Ring<T> {
    /// Claims the next task of `stage`; `None` when there is none, another worker is at it, or a stage has failed.
    #[must_use]
    pub fn claim(&self, stage: Stage) -> Option<Claim<T>> {
        let shared = &*self.shared;
        if !shared.is_claimable(stage) {
            return None;
        }
        let cursor = &shared.cursors[stage.index()];
        let word = cursor.load(Ordering::Acquire) & !BUSY;
        let sequence = word >> 1;
        // The cursor may have moved since; then what was available to it is not what is available now.
        if sequence >= shared.available(stage)
            || cursor
                .compare_exchange(word, word | BUSY, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
        {
            return None;
        }
        let slot = shared.slot(sequence);
        let (before, during, _) = stage.statuses();
        // An abandoned task passes through the remaining stages unclaimed in spirit: its claim says so.
        let moved = slot.life.advance(shared.incarnation(sequence), before, during);
        debug_assert!(
            matches!(moved, Ok(()) | Err(Some(Status::Abandoned))),
            "{stage:?}: {moved:?}"
        );
        Some(Claim {
            ring: self.clone(),
            stage,
            sequence,
            is_completed: false,
        })
    }

    /// Says that a task is no longer wanted: stages that have not begun with it see [`Claim::is_abandoned`]. `false`
    /// when it is durable or gone.
    pub fn abandon(&self, sequence: Sequence) -> bool {
        self.shared
            .slot(sequence)
            .life
            .abandon(self.shared.incarnation(sequence))
    }

    /// Whether a task, published earlier, waits for those before it: `stage` is not through with them all, and nobody has
    /// abandoned the task. For work that pays only until `stage` may come to it.
    #[must_use]
    pub fn waits_for(&self, stage: Stage, sequence: Sequence) -> bool {
        self.shared.passed(stage) < sequence && !self.shared.is_abandoned(sequence)
    }

    /// Slots taken.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let freed = self.shared.passed(Stage::Persist);
        usize::try_from(self.shared.published.load(Ordering::Acquire) - freed).expect("at most the capacity")
    }

    /// Slots.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }

    /// The first claim that was dropped without being completed.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        let word = self.shared.failure.load(Ordering::Acquire);
        let stage = Stage::ALL[usize::from((word & 3) as u8)];
        (word != NONE).then_some(Failure {
            stage,
            sequence: word >> 2,
        })
    }

    /// Makes the calling thread a worker of this ring; `None` when there are [`crate::parking::MAX_WORKERS`].
    #[must_use]
    pub fn register(&self) -> Option<Worker> {
        self.shared.crew.register()
    }

    /// Whether one of these stages could be claimed.
    #[must_use]
    pub fn has_work(&self, stages: &[Stage]) -> bool {
        stages.iter().any(|stage| self.shared.is_claimable(*stage))
    }

    /// The workers, for whoever makes other work for them.
    #[must_use]
    pub fn crew(&self) -> &Crew {
        &self.shared.crew
    }

    /// Lets workers end once nothing is ready for them.
    pub fn close(&self) {
        self.shared.crew.close();
    }
}

/// One stage's work on one task. Completing it lets the next stage have the task; dropping it is a failure. It may be
/// sent to another thread, which completes it in the claiming one's stead.
pub struct Claim<T: Send + Sync> {
    ring: Ring<T>,
    stage: Stage,
    sequence: Sequence,
    is_completed: bool,
}

impl<T: Send + Sync> Claim<T> {
    /// The stage.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The task's place in the order.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Nobody wants the task any more: complete it without working on it.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.ring.shared.is_abandoned(self.sequence)
    }

    /// Hands the task on; after the last stage its slot is free.
    pub fn complete(mut self) {
        let shared = &*self.ring.shared;
        let slot = shared.slot(self.sequence);
        let incarnation = shared.incarnation(self.sequence);
        let (_, during, after) = self.stage.statuses();
        let moved = slot.life.advance(incarnation, during, after);
        debug_assert!(
            matches!(moved, Ok(()) | Err(Some(Status::Abandoned))),
            "{:?}: {moved:?}",
            self.stage
        );
        if self.stage == Stage::Persist {
            // SAFETY: this is the last stage's claim, and its cursor moves only below.
            unsafe { slot.clear() };
            slot.life.free(incarnation);
        }
        shared.cursors[self.stage.index()].store((self.sequence + 1) << 1, Ordering::Release);
        // Two things may have become possible: the next stage on this task, this stage on the next task.
        shared.crew.wake_one();
        shared.crew.wake_one();
        self.is_completed = true;
    }
}

impl<T: Send + Sync> Deref for Claim<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this claim holds the stage's busy bit on the sequence until it is completed, which ends the borrow.
        unsafe { self.ring.shared.slot(self.sequence).task() }
    }
}

impl<T: Send + Sync> Drop for Claim<T> {
    fn drop(&mut self) {
        if self.is_completed {
            return;
        }
        // The busy bit stays: nothing behind a failure moves. Only the first failure is kept.
        let word = self.sequence << 2 | self.stage as u64;
        let _ = self
            .ring
            .shared
            .failure
            .compare_exchange(NONE, word, Ordering::AcqRel, Ordering::Relaxed);
        self.ring.shared.crew.wake_one();
    }
}

impl<T> std::fmt::Debug for Ring<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("slots", &self.shared.slots.len())
            .finish_non_exhaustive()
    }
}

impl<T> std::fmt::Debug for Publisher<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Publisher")
    }
}

impl<T: Send + Sync> std::fmt::Debug for Claim<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim")
            .field("stage", &self.stage)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}
