//! Workers that sleep while nothing is ready, without a lock and without losing a wake-up.
//!
//! A worker that finds no work *announces* that it will park, looks once more, and only then parks. Whoever makes
//! work makes it visible first and looks for an announced worker second. With a full fence between the two steps on
//! both sides, one of them sees the other (Dekker's argument), so work is never left while all sleep.

use std::sync::OnceLock;

use crate::sync::{Arc, AtomicBool, AtomicU32, Ordering, fence, thread};

/// Runs or looks for work.
const AWAKE: u32 = 0;
/// Announced that it parks.
const PARKED: u32 = 1;

/// A worker's place in the set.
#[derive(Debug)]
struct Bed {
    state: AtomicU32,
    thread: OnceLock<thread::Thread>,
}

#[derive(Debug)]
struct Beds {
    beds: Box<[Bed]>,
    taken: AtomicU32,
    closed: AtomicBool,
}

/// All workers of one pool; at most [`MAX_WORKERS`]. Whoever makes work for them holds a clone.
#[derive(Clone, Debug)]
pub struct Crew(Arc<Beds>);

/// The most workers that one crew knows.
pub const MAX_WORKERS: usize = if cfg!(loom) {
    2
} else if cfg!(shuttle) {
    8
} else {
    256
};

impl Default for Crew {
    fn default() -> Self {
        Self::new()
    }
}

impl Crew {
    /// A crew without workers.
    #[must_use]
    pub fn new() -> Self {
        let bed = || Bed {
            state: AtomicU32::new(AWAKE),
            thread: OnceLock::new(),
        };
        Self(Arc::new(Beds {
            beds: (0..MAX_WORKERS).map(|_| bed()).collect(),
            taken: AtomicU32::new(0),
            closed: AtomicBool::new(false),
        }))
    }

    /// Makes the calling thread a worker; `None` when there are [`MAX_WORKERS`].
    #[must_use]
    pub fn register(&self) -> Option<Worker> {
        Worker::register(&self.0)
    }

    /// Wakes one parked worker, if there is one. Call after the work is visible.
    pub fn wake_one(&self) {
        fence(Ordering::SeqCst);
        for bed in self.0.taken() {
            if bed.wake() {
                return;
            }
        }
    }

    /// Wakes every parked worker. Call after what they wait for is visible.
    pub fn wake_all(&self) {
        fence(Ordering::SeqCst);
        for bed in self.0.taken() {
            bed.wake();
        }
    }

    /// Lets every worker end: parked ones wake, and none parks again.
    pub(crate) fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
        self.wake_all();
    }
}

impl Beds {
    fn taken(&self) -> &[Bed] {
        let taken = self.taken.load(Ordering::Acquire) as usize;
        &self.beds[..taken.min(MAX_WORKERS)]
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

impl Bed {
    fn wake(&self) -> bool {
        // Mostly nobody sleeps, and then nobody's word is written to.
        if self.state.load(Ordering::Relaxed) != PARKED {
            return false;
        }
        let was_parked = self
            .state
            .compare_exchange(PARKED, AWAKE, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if was_parked && let Some(thread) = self.thread.get() {
            thread.unpark();
        }
        was_parked
    }
}

/// The calling thread as a worker. Stays on the thread that registered it.
#[derive(Debug)]
pub struct Worker {
    beds: Arc<Beds>,
    index: usize,
    /// Not `Send`: parking concerns the thread that registered.
    _thread: std::marker::PhantomData<*const ()>,
}

impl Worker {
    /// The calling thread, or `None` when [`MAX_WORKERS`] are registered.
    fn register(beds: &Arc<Beds>) -> Option<Self> {
        let mut index = beds.taken.load(Ordering::Acquire);
        loop {
            if index as usize >= MAX_WORKERS {
                return None;
            }
            match beds
                .taken
                .compare_exchange(index, index + 1, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => break,
                Err(now) => index = now,
            }
        }
        let index = index as usize;
        beds.beds[index]
            .thread
            .set(thread::current())
            .expect("a bed is taken once");
        Some(Self {
            beds: Arc::clone(beds),
            index,
            _thread: std::marker::PhantomData,
        })
    }

    /// Sleeps until `is_ready` may have become true or the crew is closed. Spurious returns are harmless: look again.
    pub fn park_unless(&self, is_ready: impl Fn() -> bool) {
        let Some(bed) = self.announce(is_ready) else {
            return;
        };
        while bed.state.load(Ordering::Acquire) == PARKED {
            thread::park();
        }
    }

    /// The same, for this long at most.
    #[cfg(not(loom))]
    pub fn park_unless_for(&self, longest: std::time::Duration, is_ready: impl Fn() -> bool) {
        let Some(bed) = self.announce(is_ready) else {
            return;
        };
        if bed.state.load(Ordering::Acquire) == PARKED {
            thread::park_timeout(longest);
        }
        // Nobody has to wake it any more. Who is about to leaves a token, with which the next sleep looks once more.
        bed.state.store(AWAKE, Ordering::Release);
    }

    /// Says that it parks, and looks once more; `None` when it need not.
    fn announce(&self, is_ready: impl Fn() -> bool) -> Option<&Bed> {
        let bed = &self.beds.beds[self.index];
        bed.state.store(PARKED, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if is_ready() || self.beds.is_closed() {
            bed.state.store(AWAKE, Ordering::Release);
            return None;
        }
        Some(bed)
    }

    /// Whether the crew was told to end.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.beds.is_closed()
    }
}
