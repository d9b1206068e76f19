//! From the entry to the kernel and back.

use core::arch::global_asm;
use core::ffi::{CStr, c_char};
use core::panic::PanicInfo;

use crate::system;

// What the system leaves at the stack pointer goes to `start`.
#[cfg(target_arch = "riscv64")]
global_asm!(".globl _start", "_start:", "mv a0, sp", "call {start}", start = sym start);
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "mov rdi, rsp", "call {start}", start = sym start);

unsafe extern "Rust" {
    /// Defined by [`program!`](crate::program).
    safe fn guests_rust_kernel(work: u64) -> u64;
}

/// # Safety
/// `stack` is the stack pointer at entry: argc, then as many addresses of strings.
unsafe extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: argc lies there.
    let arguments = unsafe { stack.read() };
    let work = if arguments > 1 {
        // SAFETY: with argc above 1, the second address after argc is that of a string.
        let text = unsafe { CStr::from_ptr(stack.add(2).read() as *const c_char) };
        let digits = text.to_bytes().iter();
        digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
    } else {
        1
    };
    let begin = system::cpu_time_ns();
    let result = guests_rust_kernel(work);
    if let (Some(begin), Some(end)) = (begin, system::cpu_time_ns()) {
        print(2, end - begin, 10, 1);
    }
    print(1, result, 16, 16);
    system::exit(0)
}

fn print(descriptor: usize, mut number: u64, base: u64, digits: usize) {
    let mut text = [b'\n'; 24];
    let mut at = text.len() - 1;
    while number > 0 || text.len() - 1 - at < digits {
        at -= 1;
        text[at] = b"0123456789abcdef"[(number % base) as usize];
        number /= base;
    }
    system::write(descriptor, &text[at..]);
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    system::write(2, b"panic\n");
    system::exit(101)
}

/// Folds everything that a program computes into its result.
#[derive(Default)]
pub struct Digest(u64);

impl Digest {
    /// Folds in a number.
    pub fn add(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// Folds in bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.add(u64::from_le_bytes(word));
        }
    }

    /// The program's result.
    pub fn finish(self) -> u64 {
        self.0
    }
}
