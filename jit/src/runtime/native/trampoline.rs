//! The way into native code, and the one way out of it.
//!
//! `enter` saves the host's callee-saved registers, notes the stack pointer in the context, puts the base into the
//! register that Cranelift calls pinned (r15, x21) and calls an entry thunk with the gas. `exit` may be jumped to from any depth of native frames: it takes
//! the noted stack pointer, so that all of them are gone at once, and returns from `enter`.

use super::layout::{GAS, HOST_STACK};

/// Calls the entry thunk `code` with the context below `base`. Gives an [`super::layout::ExitReason`].
///
/// # Safety
/// `base` is that of a live memory whose context is complete and initialised for this run, on a stack with room down
/// to the context's limit; `code` is an entry thunk of the program that runs in that memory, and stays mapped.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn enter(base: *mut u8, code: usize) -> u64 {
    core::arch::naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rdi",
        "mov [rdi + {host_stack}], rsp",
        "mov r15, rdi",
        "mov rdi, [r15 + {gas}]",
        "call rsi",
        "mov rdi, [rsp]",
        "mov [rdi + {gas}], rax",
        "xor eax, eax",
        "pop rdi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        host_stack = const HOST_STACK,
        gas = const GAS,
    )
}

/// Leaves native code of the memory at `base` for `reason`.
///
/// # Safety
/// Called or jumped to only from native code that was entered by [`enter`] with the same base, with no Rust frame in
/// between.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn exit(base: *mut u8, reason: u64) -> ! {
    core::arch::naked_asm!(
        "mov rsp, [rdi + {host_stack}]",
        "mov rax, rsi",
        "pop rdi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        host_stack = const HOST_STACK,
    )
}

/// Calls the entry thunk `code` with the context below `base`. Gives an [`super::layout::ExitReason`].
///
/// # Safety
/// As on x86-64.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn enter(base: *mut u8, code: usize) -> u64 {
    core::arch::naked_asm!(
        "stp x29, x30, [sp, #-176]!",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "str x0, [sp, #160]",
        "mov x9, x1",
        "mov x21, x0",
        "ldr x10, ={host_stack}",
        "mov x11, sp",
        "str x11, [x21, x10]",
        "ldr x10, ={gas}",
        "ldr x0, [x21, x10]",
        "blr x9",
        "ldr x9, [sp, #160]",
        "ldr x10, ={gas}",
        "str x0, [x9, x10]",
        "mov x0, #0",
        "ldp x19, x20, [sp, #16]",
        "ldp x21, x22, [sp, #32]",
        "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #64]",
        "ldp x27, x28, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "ldp x29, x30, [sp], #176",
        "ret",
        host_stack = const HOST_STACK,
        gas = const GAS,
    )
}

/// Leaves native code of the memory at `base` for `reason`.
///
/// # Safety
/// As on x86-64.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn exit(base: *mut u8, reason: u64) -> ! {
    core::arch::naked_asm!(
        "ldr x10, ={host_stack}",
        "ldr x11, [x0, x10]",
        "mov sp, x11",
        "mov x0, x1",
        "ldp x19, x20, [sp, #16]",
        "ldp x21, x22, [sp, #32]",
        "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #64]",
        "ldp x27, x28, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "ldp x29, x30, [sp], #176",
        "ret",
        host_stack = const HOST_STACK,
    )
}
