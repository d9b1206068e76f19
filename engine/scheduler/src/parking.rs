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

/// All workers of one ring; at most [`MAX_WORKERS`].
#[derive(Debug)]
pub(crate) struct Beds {
    beds: Box<[Bed]>,
    taken: AtomicU32,
    closed: AtomicBool,
}

/// The most workers that one ring knows.
pub const MAX_WORKERS: usize = if cfg!(loom) { 2 } else { 256 };

impl Beds {
    pub(crate) fn new() -> Self {
        let bed = || Bed {
            state: AtomicU32::new(AWAKE),
            thread: OnceLock::new(),
        };
        Self {
            beds: (0..MAX_WORKERS).map(|_| bed()).collect(),
            taken: AtomicU32::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// Wakes one parked worker, if there is one. Call after the work is visible.
    pub(crate) fn wake_one(&self) {
        fence(Ordering::SeqCst);
        let taken = self.taken.load(Ordering::Acquire) as usize;
        for bed in &self.beds[..taken.min(MAX_WORKERS)] {
            if bed.wake() {
                return;
            }
        }
    }

    /// Lets every worker end: parked ones wake, and none parks again.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let taken = self.taken.load(Ordering::Acquire) as usize;
        for bed in &self.beds[..taken.min(MAX_WORKERS)] {
            bed.wake();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

impl Bed {
    fn wake(&self) -> bool {
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
    pub(crate) fn register(beds: &Arc<Beds>) -> Option<Self> {
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

    /// Sleeps until `is_ready` may have become true or the ring is closed. Spurious returns are harmless: look again.
    pub(crate) fn park_unless(&self, is_ready: impl Fn() -> bool) {
        let bed = &self.beds.beds[self.index];
        bed.state.store(PARKED, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if is_ready() || self.beds.is_closed() {
            bed.state.store(AWAKE, Ordering::Release);
            return;
        }
        while bed.state.load(Ordering::Acquire) == PARKED {
            thread::park();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.beds.is_closed()
    }
}
