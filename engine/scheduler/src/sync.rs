//! Atomics, cells and threads: the standard library's, or those of who runs the models and the exploration.
//!
//! - `--cfg loom`: every interleaving, and every reordering that the memory model allows, of small runs (`models.rs`,
//!   `parallel_models.rs`).
//! - `--cfg shuttle`: random interleavings of large runs (`tests/explore`). Shuttle takes every ordering for `SeqCst`, so
//!   it says nothing about orderings and fences: those are loom's.

#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence},
    thread,
};

#[cfg(loom)]
pub(crate) use loom::{
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence},
    thread,
};

#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence},
    thread,
};

#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell;
#[cfg(not(any(loom, shuttle)))]
pub(crate) use unwatched::UnsafeCell;
#[cfg(shuttle)]
pub(crate) use watched::UnsafeCell;

/// A clock for what decides speed alone. It stands still in models, which have to run the same way each time.
#[cfg(any(loom, shuttle))]
pub(crate) fn nanoseconds() -> u64 {
    0
}

#[cfg(not(any(loom, shuttle)))]
#[expect(clippy::disallowed_methods, reason = "no result depends on it")]
pub(crate) fn nanoseconds() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(Instant::now);
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(not(any(loom, shuttle)))]
mod unwatched {
    /// A cell that only says when it is entered, so that loom and shuttle can check that entries never overlap.
    #[derive(Debug)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }
}

#[cfg(shuttle)]
mod watched {
    use std::sync::atomic::{AtomicIsize, Ordering};
    use std::time::Duration;

    /// A cell that checks that nobody writes while another is inside. Shuttle has none of its own.
    #[derive(Debug)]
    pub(crate) struct UnsafeCell<T> {
        value: std::cell::UnsafeCell<T>,
        /// Readers inside, or -1 while a writer is.
        inside: AtomicIsize,
    }

    /// Somebody inside, up to the drop: also when what was done inside panicked.
    struct Entry<'a> {
        inside: &'a AtomicIsize,
        change: isize,
    }

    impl<'a> Entry<'a> {
        fn new(inside: &'a AtomicIsize, change: isize) -> Self {
            // Shuttle runs all threads of an execution on one, so nothing comes between these two.
            let before = inside.load(Ordering::Relaxed);
            assert!(
                before == 0 || (before > 0 && change > 0),
                "two threads are in one cell, and one of them writes"
            );
            inside.store(before + change, Ordering::Relaxed);
            let entry = Self { inside, change };
            // A switch while inside: who does not keep out comes in now.
            shuttle::thread::sleep(Duration::ZERO);
            entry
        }
    }

    impl Drop for Entry<'_> {
        fn drop(&mut self) {
            self.inside.fetch_sub(self.change, Ordering::Relaxed);
        }
    }

    impl<T> UnsafeCell<T> {
        pub(crate) fn new(value: T) -> Self {
            Self {
                value: std::cell::UnsafeCell::new(value),
                inside: AtomicIsize::new(0),
            }
        }

        pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            let _entry = Entry::new(&self.inside, 1);
            read(self.value.get())
        }

        pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            let _entry = Entry::new(&self.inside, -1);
            write(self.value.get())
        }
    }
}
