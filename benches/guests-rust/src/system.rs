//! System calls: of the bare host and of Linux on RV64, which agree, and of Linux on x86-64.

use core::arch::asm;

#[cfg(target_arch = "riscv64")]
mod number {
    pub const WRITE: usize = 64;
    pub const EXIT: usize = 93;
    pub const CLOCK_GETTIME: usize = 113;
}

#[cfg(target_arch = "x86_64")]
mod number {
    pub const WRITE: usize = 1;
    pub const EXIT: usize = 60;
    pub const CLOCK_GETTIME: usize = 228;
}

const THREAD_CPU_TIME: usize = 3;

/// # Safety
/// The arguments are what the call with this number wants: pointers to memory that it may use.
unsafe fn call(number: usize, a: usize, b: usize, c: usize) -> isize {
    let result;
    #[cfg(target_arch = "riscv64")]
    // SAFETY: the caller's duty; the call changes a0 and memory.
    unsafe {
        asm!("ecall", inlateout("a0") a => result, in("a1") b, in("a2") c, in("a7") number, options(nostack));
    }
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's duty; the call changes rax, rcx, r11 and memory.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
             out("rcx") _, out("r11") _, options(nostack));
    }
    result
}

/// Writes all of `bytes` or gives up silently.
pub fn write(descriptor: usize, bytes: &[u8]) {
    // SAFETY: `bytes` may be read.
    let _ = unsafe { call(number::WRITE, descriptor, bytes.as_ptr() as usize, bytes.len()) };
}

/// Ends the program.
pub fn exit(status: usize) -> ! {
    loop {
        // SAFETY: the call takes a number; it does not return.
        let _ = unsafe { call(number::EXIT, status, 0, 0) };
    }
}

/// CPU time of this thread in nanoseconds, where the system tells.
pub fn cpu_time_ns() -> Option<u64> {
    let mut time = [0u64; 2];
    // SAFETY: `time` is as large as the structure that the call writes.
    let failed = unsafe {
        call(
            number::CLOCK_GETTIME,
            THREAD_CPU_TIME,
            time.as_mut_ptr() as usize,
            0,
        )
    };
    (failed == 0).then(|| time[0] * 1_000_000_000 + time[1])
}
