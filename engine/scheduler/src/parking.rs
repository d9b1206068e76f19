//! Sleeping without a lock: one atomic word says who sleeps.
//!
//! A [`Lot`] has a bit per thread that may sleep there. A thread that found nothing to do sets its bit, looks once
//! more, and only then sleeps; whoever made something to do looks at the word and wakes the owner of a bit that it
//! managed to clear. Between the sleeper's "set bit, look" and the waker's "make work, look at bits" stand
//! sequentially consistent fences on both sides, so at least one of them sees the other: no wake-up is lost. Waking
//! costs a fence and a load when nobody sleeps.
//!
//! A thread that finds work at its second look, though its bit was cleared by a waker, hands that wake-up on: it was
//! meant for work that another sleeper can do.

use std::sync::atomic::Ordering;

use crate::sync::{Arc, AtomicU64, Thread, UnsafeCell, fence, thread};

/// Threads that may sleep in one lot.
pub const MAX_SLEEPERS: usize = 64;

/// A place to sleep.
pub struct Lot {
    /// A bit per sleeper: set by the sleeper, cleared by the sleeper or by the waker, who then unparks it.
    sleeping: AtomicU64,
    registered: AtomicU64,
    /// Written once, by the owner of the bit, before the bit is first set.
    threads: [UnsafeCell<Option<Thread>>; MAX_SLEEPERS],
}

// SAFETY: an entry of `threads` is written once, by the one thread that got its index, before that thread first sets
// the bit (release); others read it only after they saw the bit set (acquire).
unsafe impl Sync for Lot {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Lot {}

impl Lot {
    /// An empty lot.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sleeping: AtomicU64::new(0),
            registered: AtomicU64::new(0),
            threads: std::array::from_fn(|_| UnsafeCell::new(None)),
        }
    }

    /// Wakes one sleeper, if there is one. To be called after the work has been made visible.
    pub fn wake_one(&self) -> bool {
        fence(Ordering::SeqCst);
        let mut sleeping = self.sleeping.load(Ordering::Relaxed);
        while sleeping != 0 {
            let bit = 1 << sleeping.trailing_zeros();
            let before = self.sleeping.fetch_and(!bit, Ordering::AcqRel);
            if before & bit != 0 {
                self.unpark(bit);
                return true;
            }
            sleeping = before & !bit;
        }
        false
    }

    /// Wakes every sleeper. To be called after the work has been made visible.
    pub fn wake_all(&self) {
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut woken = self.sleeping.swap(0, Ordering::AcqRel);
        while woken != 0 {
            let bit = 1 << woken.trailing_zeros();
            self.unpark(bit);
            woken &= !bit;
        }
    }

    fn unpark(&self, bit: u64) {
        let index = bit.trailing_zeros() as usize;
        self.threads[index].with(|cell| {
            // SAFETY: the bit was seen set with acquire ordering, after the entry's only write.
            let thread = unsafe { (*cell).as_ref() };
            thread
                .expect("a thread registers before it sets its bit")
                .unpark();
        });
    }
}

impl Default for Lot {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Lot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lot").finish_non_exhaustive()
    }
}

/// The right of one thread to sleep in a lot. Stays with the thread that made it.
#[derive(Debug)]
pub struct Sleeper {
    lot: Arc<Lot>,
    bit: u64,
    /// The entry in the lot is of the thread that registered.
    not_send: std::marker::PhantomData<*const ()>,
}

impl Sleeper {
    /// Registers the calling thread.
    ///
    /// # Panics
    /// If [`MAX_SLEEPERS`] threads registered before; places are not reused.
    #[must_use]
    pub fn register(lot: &Arc<Lot>) -> Self {
        let index = lot.registered.fetch_add(1, Ordering::Relaxed);
        assert!(
            index < MAX_SLEEPERS as u64,
            "at most {MAX_SLEEPERS} threads sleep in one lot"
        );
        let slot = &lot.threads[usize::try_from(index).expect("below 64")];
        slot.with_mut(|cell| {
            // SAFETY: the index is this thread's alone, and its bit has never been set, so nobody reads the entry.
            unsafe { *cell = Some(thread::current()) };
        });
        Self {
            lot: Arc::clone(lot),
            bit: 1 << index,
            not_send: std::marker::PhantomData,
        }
    }

    /// Sleeps until `look` answers something, looking again after every wake-up.
    pub fn sleep_until<R>(&self, mut look: impl FnMut() -> Option<R>) -> R {
        loop {
            match self.doze(&mut look, thread::park) {
                Some(found) => return found,
                None => continue,
            }
        }
    }

    /// As [`Self::sleep_until`], but gives up after about `timeout`.
    #[cfg(not(loom))]
    #[expect(
        clippy::disallowed_methods,
        reason = "how long a thread sleeps decides no result"
    )]
    pub fn sleep_until_or<R>(
        &self,
        mut look: impl FnMut() -> Option<R>,
        timeout: std::time::Duration,
    ) -> Option<R> {
        let start = std::time::Instant::now();
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return look();
            }
            if let Some(found) = self.doze(&mut look, || thread::park_timeout(left)) {
                return Some(found);
            }
        }
    }

    /// Looks, announces, looks again, sleeps once.
    fn doze<R>(&self, look: &mut impl FnMut() -> Option<R>, park: impl FnOnce()) -> Option<R> {
        if let Some(found) = look() {
            return Some(found);
        }
        self.lot.sleeping.fetch_or(self.bit, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        let found = look();
        if found.is_none() {
            park();
        }
        let was_set = self.lot.sleeping.fetch_and(!self.bit, Ordering::AcqRel) & self.bit != 0;
        if found.is_some() && !was_set {
            self.lot.wake_one();
        }
        found
    }
}
