//! Faults of native code, delivered by signals.
//!
//! Native code touches guest memory without checks and pays gas with an addition whose carry is a trap instruction.
//! What goes wrong raises SIGSEGV, SIGBUS or SIGILL. The handler takes a signal for ours only if this thread runs native
//! code, the pc is an instruction that may trap, and, for an access, the address lies in the reservation of the memory
//! that is being run. Then it rewrites the interrupted context to leave through the exit stub. Everything else goes to
//! the handler that was there before.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{SIGBUS, SIGILL, SIGSEGV, c_int, c_void, sigaction, siginfo_t, ucontext_t};

use super::code::NativeCode;
use super::layout::ExitReason;
use super::trampoline;
use crate::runtime::memory::reservation_holds;

const SIGNALS: [c_int; 3] = [SIGSEGV, SIGBUS, SIGILL];

/// What a thread runs, for the handler to look at.
#[derive(Clone, Copy)]
struct Activation {
    code: *const NativeCode,
    base: usize,
}

thread_local! {
    static CURRENT: Cell<Activation> = const { Cell::new(Activation { code: ptr::null(), base: 0 }) };
}

thread_local! {
    /// Whether this thread is in a handler that ours handed on to.
    static HANDS_ON: Cell<bool> = const { Cell::new(false) };
}

/// Whether our handlers are in place, once that was tried.
static INSTALLED: OnceLock<bool> = OnceLock::new();

/// Handlers that were there before ours, by position in [`SIGNALS`].
static ORIGINAL: OnceLock<[sigaction; 3]> = OnceLock::new();

/// Handlers that others put in the place of ours, before ours were put back, by position in [`SIGNALS`]; null where nobody
/// did.
static NEWEST: [AtomicPtr<sigaction>; 3] = [const { AtomicPtr::new(ptr::null_mut()) }; 3];

/// While it lives, signals of native code of `code` in the memory at `base` are taken for exits on this thread.
pub(super) struct Guard {
    outer: Activation,
}

impl Guard {
    pub(super) fn new(code: &NativeCode, base: *mut u8) -> Self {
        let activation = Activation {
            code,
            base: base as usize,
        };
        Self {
            outer: CURRENT.replace(activation),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        CURRENT.set(self.outer);
    }
}

/// Installs the handlers, once. Gives whether they are in place.
pub(super) fn install() -> bool {
    *INSTALLED.get_or_init(|| {
        let Ok(original) = SIGNALS.map(installed).into_iter().collect::<Result<Vec<_>, _>>() else {
            return false;
        };
        let Ok(original) = <[sigaction; 3]>::try_from(original) else {
            return false;
        };
        ORIGINAL.set(original).is_ok() && SIGNALS.iter().all(|&signal| take(signal).is_ok())
    })
}

/// Puts our handlers back in front where others took their place since, which ours hand on to from then on. To be called
/// after foreign code was loaded or started. Gives whether any had been replaced; where native code was never used there
/// is nothing to put back.
///
/// # Errors
/// What the system refuses: native code may not run then, since its faults would be somebody else's.
pub fn restore_fault_handlers() -> io::Result<bool> {
    if INSTALLED.get() != Some(&true) {
        return Ok(false);
    }
    let mut were_replaced = false;
    for (signal, newest) in SIGNALS.into_iter().zip(&NEWEST) {
        let now = installed(signal)?;
        if now.sa_sigaction == handle as *const () as usize {
            continue;
        }
        // Never freed: a handler on another thread may be about to read the one before.
        newest.store(Box::into_raw(Box::new(now)), Ordering::Release);
        take(signal)?;
        were_replaced = true;
    }
    Ok(were_replaced)
}

/// The handler of a signal.
fn installed(signal: c_int) -> io::Result<sigaction> {
    let mut action = MaybeUninit::<sigaction>::zeroed();
    // SAFETY: asks for the handler that is installed; the record is ours.
    if unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was filled in.
    Ok(unsafe { action.assume_init() })
}

/// Makes our handler that of a signal.
fn take(signal: c_int) -> io::Result<()> {
    // SAFETY: a zeroed record is a valid one, which is then filled in; `handle` only does what a handler may, and hands on
    // what is not ours.
    let result = unsafe {
        let mut action: sigaction = std::mem::zeroed();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(signal, &raw const action, ptr::null_mut())
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

extern "C" fn handle(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes valid records of these types to a handler with SA_SIGINFO.
    let (info_ref, ucontext) = unsafe { (&*info, &mut *context.cast::<ucontext_t>()) };
    let activation = CURRENT.get();
    // SAFETY: while an activation is current, its guard's borrow of the code lives.
    if let Some(code) = unsafe { activation.code.as_ref() } {
        // SAFETY: faults carry an address; for others the value is not used.
        let address = unsafe { info_ref.si_addr() } as usize;
        let reaches = signal == SIGILL || reservation_holds(activation.base, address);
        if reaches && code.may_trap_at(program_counter(ucontext)) {
            leave(ucontext, activation.base);
            return;
        }
    }
    hand_on(signal, info, context);
}

#[cfg(target_arch = "x86_64")]
fn program_counter(context: &ucontext_t) -> usize {
    context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize
}

/// Makes the interrupted code go on in the exit stub.
#[cfg(target_arch = "x86_64")]
fn leave(context: &mut ucontext_t, base: usize) {
    let registers = &mut context.uc_mcontext.gregs;
    registers[libc::REG_RIP as usize] = trampoline::exit as *const () as i64;
    registers[libc::REG_RDI as usize] = base as i64;
    registers[libc::REG_RSI as usize] = ExitReason::Trap as i64;
}

#[cfg(target_arch = "aarch64")]
fn program_counter(context: &ucontext_t) -> usize {
    context.uc_mcontext.pc as usize
}

/// Makes the interrupted code go on in the exit stub.
#[cfg(target_arch = "aarch64")]
fn leave(context: &mut ucontext_t, base: usize) {
    context.uc_mcontext.pc = trampoline::exit as *const () as u64;
    context.uc_mcontext.regs[0] = base as u64;
    context.uc_mcontext.regs[1] = ExitReason::Trap as u64;
}

/// Does what would have been done without us. A handler that took our place may hand on to what it found, which is ours
/// again: then the original one is next, and nothing goes round.
fn hand_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let comes_back = HANDS_ON.replace(true);
    hand_on_to(comes_back, signal, info, context);
    HANDS_ON.set(comes_back);
}

fn hand_on_to(original: bool, signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let previous = SIGNALS.iter().position(|&known| known == signal).and_then(|i| {
        // SAFETY: null, or a record that was leaked for this.
        let newest = unsafe { NEWEST[i].load(Ordering::Acquire).as_ref() };
        let first = ORIGINAL.get().map(|original| original[i]);
        newest.copied().filter(|_| !original).or(first)
    });
    let Some(previous) = previous else { return };
    match previous.sa_sigaction {
        libc::SIG_DFL => {
            // SAFETY: puts the default back; the instruction runs again on return and meets it.
            unsafe { libc::sigaction(signal, &raw const previous, ptr::null_mut()) };
        }
        libc::SIG_IGN => {}
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: the record says that this is a handler of three arguments.
            let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: the record says that this is a handler of one argument.
            let handler: extern "C" fn(c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}
