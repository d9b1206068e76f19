//! Slots between two uses: a program that is called again finds one that is laid out for it.
//!
//! The pool is one for the process, in shards: each thread has one of its own, which it may share with others when there are
//! many, and looks at any of them only while nobody holds it. So nobody waits who makes an instance or gives one back: whoever
//! holds a shard may have lost its core. A slot is looked for in this order:
//!
//! 1. laid out for this program: nothing is left to do;
//! 2. blank;
//! 3. a new one, while there are fewer than [`SLOTS`] in the process;
//! 4. the one that has waited longest in a shard: it is laid out anew;
//! 5. a new one all the same. Instances that are alive have no bound here; callers bound them.
//!
//! Nothing of a program outlives it here: when it goes, its slots become blank ([`Pool::forget`]).

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::memory::{InstanceError, Slot};
use crate::image::Program;

const SHARDS: usize = 16;
const SLOTS_PER_SHARD: usize = 16;
/// Most slots that wait. Each holds up to 120 KiB of touched pages, and as many maps as its program needs.
const SLOTS: usize = SHARDS * SLOTS_PER_SHARD;

/// What [`Slot::id`] is in blank ones.
const BLANK: u64 = 0;

/// The process's pool.
pub(super) static POOL: Pool = Pool::new();

/// Slots by shard, the one that has waited longest first.
#[derive(Debug)]
pub(super) struct Pool([Mutex<Vec<Slot>>; SHARDS]);

/// The calling thread's shard.
fn home() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static HOME: Cell<Option<usize>> = const { Cell::new(None) };
    }
    HOME.get().unwrap_or_else(|| {
        let home = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
        HOME.set(Some(home));
        home
    })
}

impl Pool {
    const fn new() -> Self {
        Self([const { Mutex::new(Vec::new()) }; SHARDS])
    }

    /// A slot with `program` laid out, untouched.
    pub(super) fn take(&self, program: &Program) -> Result<Slot, InstanceError> {
        if let Some(slot) = self.find(program.template().layout().id) {
            return Ok(slot);
        }
        self.lay_out(program).or_else(|_| {
            // What waits here may be what the host lacks.
            while let Some(slot) = self.search(|slots| (!slots.is_empty()).then_some(0)) {
                drop(slot);
            }
            self.lay_out(program)
        })
    }

    fn lay_out(&self, program: &Program) -> Result<Slot, InstanceError> {
        let mut slot = self.blank()?;
        slot.lay(program, program.template().layout())?;
        Ok(slot)
    }

    fn blank(&self) -> Result<Slot, InstanceError> {
        if let Some(slot) = self.find(BLANK) {
            return Ok(slot);
        }
        if Slot::count() < SLOTS
            && let Ok(slot) = Slot::new()
        {
            return Ok(slot);
        }
        match self.search(|slots| (!slots.is_empty()).then_some(0)) {
            Some(mut oldest) => oldest.blank().map(|()| oldest),
            None => Slot::new(),
        }
    }

    /// Takes a slot back after its last use by an instance of `program`.
    pub(super) fn give_back(&self, mut slot: Slot, program: &Program) {
        let is_own = slot.id() == program.template().layout().id;
        let brought_back = if is_own {
            slot.reset(program)
        } else {
            // The caller exchanged the memories of two instances.
            slot.scrub_and_blank()
        };
        if brought_back.is_ok() {
            self.put(slot);
        }
    }

    /// Makes all slots of a program blank that wait. Of one that is gone, none comes back.
    pub(super) fn forget(&self, id: u64) {
        for shard in &self.0 {
            loop {
                let mut slots = shard.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(index) = slots.iter().position(|slot| slot.id() == id) else {
                    break;
                };
                let mut slot = slots.remove(index);
                drop(slots);
                if slot.blank().is_ok() {
                    self.put(slot);
                }
            }
        }
    }

    /// A slot with this id: of those that wait in a shard, the one that was used last.
    fn find(&self, id: u64) -> Option<Slot> {
        self.search(|slots| slots.iter().rposition(|slot| slot.id() == id))
    }

    /// Takes the slot that `pick` finds, from the thread's own shard or else another one that nobody holds.
    fn search(&self, pick: impl Fn(&[Slot]) -> Option<usize>) -> Option<Slot> {
        self.visit(|slots| pick(slots).map(|index| slots.remove(index)))
    }

    fn put(&self, slot: Slot) {
        let mut slot = Some(slot);
        self.visit(|slots| {
            if slots.len() < SLOTS_PER_SHARD {
                slots.extend(slot.take());
            }
            slot.is_none().then_some(())
        });
        if slot.is_some() {
            // Where nobody has room, or somebody holds the thread's own shard, one goes.
            let Some(mut slots) = self.free(home()) else {
                return;
            };
            slots.extend(slot);
            // Unmapped once the shard is open again.
            let oldest = (slots.len() > SLOTS_PER_SHARD).then(|| slots.remove(0));
            drop(slots);
            drop(oldest);
        }
    }

    /// A shard that nobody holds.
    fn free(&self, shard: usize) -> Option<MutexGuard<'_, Vec<Slot>>> {
        match self.0[shard].try_lock() {
            Ok(slots) => Some(slots),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Asks shards for something, the thread's own first, unless somebody holds them.
    fn visit<T>(&self, mut ask: impl FnMut(&mut Vec<Slot>) -> Option<T>) -> Option<T> {
        let home = home();
        (0..SHARDS).find_map(|distance| {
            let mut slots = self.free((home + distance) % SHARDS)?;
            ask(&mut slots)
        })
    }
}
