//! An allocator that knows how much is held, and how much was at most, by all threads but those of the senders.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

// Signed: what one side takes the other may give back.
static HELD: AtomicIsize = AtomicIsize::new(0);
static MOST: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    static IS_SENDER: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn changed(bytes: usize, sign: isize) {
    if IS_SENDER.try_with(Cell::get).unwrap_or(false) {
        return;
    }
    let change = sign * bytes.cast_signed();
    let held = HELD.fetch_add(change, Ordering::Relaxed) + change;
    MOST.fetch_max(held, Ordering::Relaxed);
}

// SAFETY: every call is passed on to the system's allocator with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        changed(layout.size(), 1);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        changed(layout.size(), -1);
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What this thread makes is not counted from now on.
pub fn leave_out() {
    IS_SENDER.set(true);
}

/// Measures from now on; answers what is held.
pub fn begin() -> isize {
    let held = HELD.load(Ordering::Relaxed);
    MOST.store(held, Ordering::Relaxed);
    held
}

/// The most that was held at once since [`begin`].
pub fn most() -> isize {
    MOST.load(Ordering::Relaxed)
}
