//! Where a task lies. Who may touch the cell follows from cursors and claims; the contracts are stated here and met in `ring`.

use crate::life::Life;
use crate::sync::UnsafeCell;

/// One place in the ring.
pub(crate) struct Slot<T> {
    /// How far the task has come.
    pub(crate) life: Life,
    task: UnsafeCell<Option<T>>,
}

// SAFETY: the cell is written by the publisher while the slot is outside every stage's range and by the freeing stage
// while it is the last one in it; between those moments it is only read (see the methods). What it holds is shared
// by reference between threads, hence `T: Send + Sync`.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}
// SAFETY: a slot owns its task; sending it sends the task.
unsafe impl<T: Send + Sync> Send for Slot<T> {}

impl<T> Slot<T> {
    pub(crate) fn empty() -> Self {
        Self {
            life: Life::new(),
            task: UnsafeCell::new(None),
        }
    }

    /// Puts a task in.
    ///
    /// # Safety
    /// The caller is the one publisher, and the last stage's cursor has passed the slot's previous use (read with
    /// acquire): no stage touches it until the published cursor passes it.
    pub(crate) unsafe fn put(&self, task: T) {
        // SAFETY: by the contract above nobody else is in the cell.
        self.task.with_mut(|cell| unsafe { *cell = Some(task) });
    }

    /// The task.
    ///
    /// # Safety
    /// The caller holds the claim of a stage on this slot for as long as it uses the reference: the task was published
    /// (read with acquire), and no slot is freed before every stage has passed it.
    pub(crate) unsafe fn task(&self) -> &T {
        // SAFETY: by the contract above the cell is only read until the last stage frees it, and this is a read.
        let task = self.task.with(|cell| unsafe { (*cell).as_ref() });
        task.expect("a published slot holds a task until it is freed")
    }

    /// Empties the slot.
    ///
    /// # Safety
    /// The caller holds the last stage's claim on this slot, so every other stage has passed it, and has not yet
    /// advanced the last stage's cursor, so the publisher does not touch it.
    pub(crate) unsafe fn clear(&self) {
        // SAFETY: by the contract above nobody else is in the cell.
        drop(self.task.with_mut(|cell| unsafe { (*cell).take() }));
    }
}
