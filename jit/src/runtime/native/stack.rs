//! How much of the host's stack native code may use.
//!
//! Native calls nest on the thread's own stack. Each function that may recurse compares the stack pointer with a limit
//! and leaves through the trampoline when it is passed, so guest recursion never overflows the host.

use std::cell::Cell;

/// Most bytes of stack that one entry into native code takes. Beyond it, the cost of starting over is spread over
/// thousands of calls.
const SHARE: usize = 256 << 10;

/// Bytes that always remain below the limit: for frames of functions that do not look, and for the host calls and
/// nested runs that start there.
pub(super) const RESERVE: usize = 192 << 10;

thread_local! {
    static LOWEST: Cell<usize> = const { Cell::new(0) };
}

/// The limit for native code that is entered from here.
pub(super) fn limit() -> usize {
    let here = 0_u8;
    let here = (&raw const here) as usize;
    let lowest = lowest();
    here.saturating_sub(SHARE).max(lowest.saturating_add(RESERVE))
}

/// Least bytes between an entry and its limit: more than any frame of a native function takes.
const LEAST: usize = 64 << 10;

/// Whether native code that is entered from here could make calls. Without room it would leave at each of them and come
/// to nothing; tier 0 needs no stack.
pub(super) fn has_room() -> bool {
    let here = 0_u8;
    ((&raw const here) as usize).saturating_sub(limit()) >= LEAST
}

/// The lowest address of this thread's stack.
fn lowest() -> usize {
    let known = LOWEST.get();
    if known != 0 {
        return known;
    }
    let lowest = ask();
    LOWEST.set(lowest);
    lowest
}

/// Asks the thread library.
fn ask() -> usize {
    let mut address = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: the attributes are initialised by the first call and destroyed by the last; failure leaves the address
    // null, and the limit is then the share alone.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes) == 0 {
            libc::pthread_attr_getstack(&raw const attributes, &raw mut address, &raw mut size);
            libc::pthread_attr_destroy(&raw mut attributes);
        }
    }
    (address as usize).max(1)
}
