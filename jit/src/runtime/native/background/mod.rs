//! The thread that compiles while guests run.
//!
//! ```text
//!   who runs ──ask──▶ queue, bounded, hottest first ──take──▶ the thread ──▶ code is published, or there is none
//!      │ try_lock, never lock                                    │ within the budgets of the program
//!      ▼                                                         ▼
//!   tier 0 goes on, asks again after twice as many jumps      `CompilerStatistics`
//! ```
//!
//! Whoever runs never waits here: a queue that somebody else holds is passed by, and asked the next time. Only the thread
//! itself, and who calls [`wait_for_compiler`], wait for the lock.

mod queue;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::tiers;
use queue::{Added, Queue};
pub(super) use queue::{Request, Work};

/// What the thread and those who ask it share.
#[derive(Debug)]
struct Desk {
    queue: Queue,
    /// Whether there is a thread.
    is_served: bool,
    /// Whether the thread is at work.
    is_busy: bool,
}

static DESK: Mutex<Desk> = Mutex::new(Desk {
    queue: Queue::new(),
    is_served: false,
    is_busy: false,
});

/// There is something to do.
static ASKED: Condvar = Condvar::new();

/// There is nothing left to do.
static IDLE: Condvar = Condvar::new();

/// Counts since the process started: what [`CompilerStatistics`] shows.
#[derive(Debug)]
pub(super) struct Counts {
    asked: AtomicU64,
    passed_by: AtomicU64,
    displaced: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) over_size: AtomicU64,
    pub(super) over_time: AtomicU64,
    cpu_us: AtomicU64,
}

pub(super) static COUNTS: Counts = Counts {
    asked: AtomicU64::new(0),
    passed_by: AtomicU64::new(0),
    displaced: AtomicU64::new(0),
    batches: AtomicU64::new(0),
    over_size: AtomicU64::new(0),
    over_time: AtomicU64::new(0),
    cpu_us: AtomicU64::new(0),
};

pub(super) fn count(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// What compiling in the background has come to since the process started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct CompilerStatistics {
    /// Requests that came to wait for the compiler.
    pub asked: u64,
    /// Requests that were not taken: the queue was held by somebody, or full of hotter ones. They are made again.
    pub passed_by: u64,
    /// Requests that made room for hotter ones. They are made again.
    pub displaced: u64,
    /// Batches of native code that were compiled.
    pub batches: u64,
    /// Hot addresses that stay in tier 0 because their program has had as much compiled as its text allows.
    pub over_size: u64,
    /// Hot addresses that stay in tier 0 because compiling their program has taken as long as its text allows.
    pub over_time: u64,
    /// CPU time of the compiler's thread, in microseconds.
    pub cpu_us: u64,
}

impl CompilerStatistics {
    /// As of now.
    #[must_use]
    pub fn now() -> Self {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Self {
            asked: count(&COUNTS.asked),
            passed_by: count(&COUNTS.passed_by),
            displaced: count(&COUNTS.displaced),
            batches: count(&COUNTS.batches),
            over_size: count(&COUNTS.over_size),
            over_time: count(&COUNTS.over_time),
            cpu_us: count(&COUNTS.cpu_us),
        }
    }
}

/// Asks for something. Gives whether it is waited for now; otherwise it has to be asked again. Never waits: takes the
/// time of a look at the queue, of a system call that wakes a thread, and once in a process of one that starts it.
pub(super) fn ask(request: Request) -> bool {
    let mut desk = match DESK.try_lock() {
        Ok(desk) => desk,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        // Whoever holds it may not be running.
        Err(TryLockError::WouldBlock) => {
            count(&COUNTS.passed_by);
            return false;
        }
    };
    if !desk.is_served {
        let thread = std::thread::Builder::new().name("jit-compiler".into());
        desk.is_served = thread.spawn(serve).is_ok();
    }
    if !desk.is_served {
        // Another request will try it again.
        return false;
    }
    let added = desk.queue.add(request);
    drop(desk);
    match added {
        Added::Waits | Added::Displaced => {
            count(&COUNTS.asked);
            if added == Added::Displaced {
                count(&COUNTS.displaced);
            }
            ASKED.notify_one();
            true
        }
        Added::Known => true,
        Added::Full => {
            count(&COUNTS.passed_by);
            false
        }
    }
}

fn lock() -> MutexGuard<'static, Desk> {
    DESK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until all that was asked for is done: for tests, benches and tools, which want to see what comes of it. Nothing
/// that runs a chain waits.
pub fn wait_for_compiler() {
    let desk = lock();
    let done = IDLE.wait_while(desk, |desk| {
        desk.is_served && (desk.is_busy || !desk.queue.is_empty())
    });
    drop(done.unwrap_or_else(PoisonError::into_inner));
}

fn serve() {
    loop {
        let mut desk = lock();
        let request = loop {
            if let Some(request) = desk.queue.take() {
                break request;
            }
            desk.is_busy = false;
            IDLE.notify_all();
            desk = ASKED.wait(desk).unwrap_or_else(PoisonError::into_inner);
        };
        desk.is_busy = true;
        drop(desk);
        #[cfg(test)]
        tests::pass();
        // What panics leaves its address to tier 0, and the thread to other programs.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            if let Some(program) = request.program.upgrade() {
                tiers::work(&program, request.work);
            }
        }));
        let cpu_us = u64::try_from(cpu_time().as_micros()).unwrap_or(u64::MAX);
        COUNTS.cpu_us.store(cpu_us, Ordering::Relaxed);
    }
}

/// CPU time of this thread.
pub(super) fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
