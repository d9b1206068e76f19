//! Faults of native code while others take the handlers of signals as well, as a plugin may.
//!
//! One test, which has the process to itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Guest, Returns};
use libc::{SIGBUS, SIGSEGV, c_int, c_void, sigaction, siginfo_t};
use millrace_jit::machine::MAX_GAS_LIMIT;
use millrace_jit::{End, Instance, Tier, restore_fault_handlers};

mod common;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static FOUND: OnceLock<sigaction> = OnceLock::new();

/// A handler that hands on to the one that it found, as good ones do.
extern "C" fn foreign(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    CALLS.fetch_add(1, Ordering::Relaxed);
    let found = FOUND.get().unwrap().sa_sigaction;
    // SAFETY: the one that was found is that of native code, which takes three arguments.
    let found: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = unsafe { std::mem::transmute(found) };
    found(signal, info, context);
}

/// A handler that knows nobody.
extern "C" fn rude(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    std::process::abort();
}

fn install(signal: c_int, handler: usize) -> sigaction {
    // SAFETY: a zeroed record is a valid one, which is then filled in.
    unsafe {
        let mut action: sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        let mut found = MaybeUninit::zeroed();
        assert_eq!(libc::sigaction(signal, &raw const action, found.as_mut_ptr()), 0);
        found.assume_init()
    }
}

/// A load from what is not mapped traps.
fn fault() {
    let guest = Guest::new().op("ld", 10, 0, 0, 8).ecall();
    let mut instance = Instance::new(guest.program());
    instance.prepare(Tier::Jit).unwrap();
    let outcome = instance.run(Tier::Jit, MAX_GAS_LIMIT, &mut Returns);
    assert!(matches!(outcome.end, End::Trapped(_)), "{outcome:?}");
}

#[test]
fn handlers_that_were_replaced_are_put_back() {
    assert!(
        !restore_fault_handlers().unwrap(),
        "there is nothing to put back yet"
    );
    fault();
    assert!(!restore_fault_handlers().unwrap());
    install(SIGSEGV, rude as *const () as usize);
    let found = install(SIGBUS, foreign as *const () as usize);
    assert!(FOUND.set(found).is_ok());
    assert!(restore_fault_handlers().unwrap());
    assert!(!restore_fault_handlers().unwrap(), "once is enough");
    fault();
    // A signal that is nobody's goes to the newest handler, from there to ours, and then to the first, not round again.
    // SAFETY: raises a signal on this thread, which the first handler survives.
    unsafe { libc::raise(SIGBUS) };
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
}
