//! From bytes that were written to instructions that any processor may fetch.
//!
//! On x86-64 the one is the other. On AArch64 instructions are fetched past the data cache, and may have been fetched
//! before they were written. The architecture asks for three things (Arm Architecture Reference Manual, "Concurrent
//! modification and execution of instructions"): whoever wrote cleans the data cache and invalidates the instruction
//! cache, by address; and whoever runs the instructions passes a context synchronisation event after that. Native code
//! is called by threads that do not ask where it came from, so that the kernel has them all pass one (`membarrier`).
//!
//! Emulators need none of this, so that only real processors can show what is wrong with it.

use std::io;

/// Has what was written to `code` reach those who will fetch it. Before [`synchronise`].
#[cfg(target_arch = "x86_64")]
pub(super) fn write_back(_code: &[u8]) {}

/// Has what was written to `code` reach those who will fetch it. Before [`synchronise`].
#[cfg(target_arch = "aarch64")]
pub(super) fn write_back(code: &[u8]) {
    use core::arch::asm;

    let cache_type: usize;
    // SAFETY: Linux lets everybody read this register.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) cache_type, options(nomem, nostack, preserves_flags)) };
    // The least lines of any cache, as powers of two of words of 4 bytes.
    let data_line = 4_usize << (cache_type >> 16 & 15);
    let instruction_line = 4_usize << (cache_type & 15);
    let range = code.as_ptr_range();
    let lines = |bytes: usize| (range.start.addr() & !(bytes - 1)..range.end.addr()).step_by(bytes);
    for line in lines(data_line) {
        // SAFETY: the line holds bytes of `code`, which may be read; what they are does not change.
        unsafe { asm!("dc cvau, {}", in(reg) line, options(nostack, preserves_flags)) };
    }
    // SAFETY: a barrier.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
    for line in lines(instruction_line) {
        // SAFETY: as above.
        unsafe { asm!("ic ivau, {}", in(reg) line, options(nostack, preserves_flags)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
}

/// Has every thread of this process see what was written back, before it fetches any of it.
#[cfg(target_arch = "x86_64")]
pub(super) fn synchronise() -> io::Result<()> {
    Ok(())
}

/// Has every thread of this process see what was written back, before it fetches any of it.
///
/// # Errors
/// Of kernels that cannot: before Linux 4.16, or where the call is forbidden.
#[cfg(target_arch = "aarch64")]
pub(super) fn synchronise() -> io::Result<()> {
    use rustix::thread::{MembarrierCommand, membarrier};

    // Once would do, and costs more to remember than to repeat.
    membarrier(MembarrierCommand::RegisterPrivateExpeditedSyncCore)?;
    Ok(membarrier(MembarrierCommand::PrivateExpeditedSyncCore)?)
}
