//! The control register of the host's floating-point unit.
//!
//! Native code counts on what a process starts with: rounding to nearest, ties to even, nothing flushed to zero, exceptions
//! masked. A library built with fast mathematics changes that for the thread that loads it and for those it starts.

/// Puts the control register right, unless it is.
#[cfg(target_arch = "x86_64")]
pub(super) fn put_right() {
    /// All exceptions masked; rounding to nearest, no flushing, denormals as they are.
    const CONTROL: u32 = 0x1f80;
    /// Exceptions that happened, which are nobody's business.
    const STATUS: u32 = 0x3f;
    let mut control: u32 = 0;
    // SAFETY: stores the register to a variable of its size.
    unsafe { core::arch::asm!("stmxcsr [{}]", in(reg) &raw mut control, options(nostack, preserves_flags)) };
    if control & !STATUS != CONTROL {
        let right = CONTROL;
        // SAFETY: the value is one that the register can have, and the one that Rust code counts on as well.
        unsafe {
            core::arch::asm!("ldmxcsr [{}]", in(reg) &raw const right, options(nostack, preserves_flags));
        }
    }
}

/// Puts the control register right, unless it is.
#[cfg(target_arch = "aarch64")]
pub(super) fn put_right() {
    let control: u64;
    // SAFETY: reads the register.
    unsafe {
        core::arch::asm!("mrs {}, fpcr", out(reg) control, options(nomem, nostack, preserves_flags));
    }
    if control != 0 {
        // SAFETY: zero is what a process starts with, and what Rust code counts on as well.
        unsafe { core::arch::asm!("msr fpcr, xzr", options(nomem, nostack, preserves_flags)) };
    }
}
