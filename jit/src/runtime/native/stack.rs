//! How much of the host's stack native code may use.
//!
//! Native calls nest on the thread's own stack. Each function that may recurse compares the stack pointer with a limit
//! and leaves through the trampoline when it is passed, so guest recursion never overflows the host.

use std::cell::Cell;

/// Bytes of stack that functions of one run may use before they leave to start over. The cost of that is spread over
/// hundreds of calls.
const SHARE: usize = 64 << 10;

/// Bytes that functions which do not look at the stack may use below the limit: as many as may call each other, of the
/// largest frames that there are.
const UNCHECKED: usize = crate::compiler::MAX_UNCHECKED_STACK_BYTES;

/// Most bytes of the host's stack that one run takes beyond what the interpreter would take, from its entry to a host
/// call.
pub const NATIVE_STACK_BYTES: usize = SHARE + UNCHECKED + (4 << 10);

/// Bytes that have to be left beyond that, for a host call.
const RESERVE: usize = 64 << 10;

thread_local! {
    static LOWEST: Cell<usize> = const { Cell::new(0) };
}

/// The limit for native code that is entered from here.
pub(super) fn limit() -> usize {
    here().saturating_sub(SHARE)
}

/// Whether there is room for a run that is entered from here. Otherwise tier 0 runs, which needs little.
pub(super) fn has_room() -> bool {
    here().saturating_sub(lowest()) >= NATIVE_STACK_BYTES + RESERVE
}

fn here() -> usize {
    let here = 0_u8;
    (&raw const here) as usize
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
    // null, as if the stack had no end.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes) == 0 {
            libc::pthread_attr_getstack(&raw const attributes, &raw mut address, &raw mut size);
            libc::pthread_attr_destroy(&raw mut attributes);
        }
    }
    (address as usize).max(1)
}
