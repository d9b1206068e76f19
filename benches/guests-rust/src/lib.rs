//! What every program has around its kernel: the Rust sibling of `guests/kernel.h`, with an allocator.
//!
//! A program says `program!(run)` of a `fn run(work: u64) -> u64`. `work` is the first argument in decimal, 1 without
//! one; the result goes to descriptor 1 as 16 hexadecimal digits and a newline. Where the system has a clock, the CPU
//! time of `run` in nanoseconds goes to descriptor 2; the bare host has none. A panic exits with 101.
#![no_std]

mod heap;
mod start;
mod system;

pub use heap::Heap;
pub use start::Digest;

/// Makes `$run`, a `fn(work: u64) -> u64`, the kernel of this program, with `$heap` bytes for its allocator: 256 KiB unless
/// it says more. A program that allocates nothing holds none of it.
#[macro_export]
macro_rules! program {
    ($run:path) => {
        $crate::program!($run, 256 << 10);
    };
    ($run:path, $heap:expr) => {
        #[global_allocator]
        static HEAP: $crate::Heap<{ $heap }> = $crate::Heap::new();

        #[unsafe(no_mangle)]
        fn guests_rust_kernel(work: u64) -> u64 {
            $run(work)
        }
    };
}

/// A generator of numbers that no compiler foresees (splitmix64).
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = (self.number() >> 56) as u8;
        }
    }
}
