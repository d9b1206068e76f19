//! What crosses crates: isa differential, end to end, crash, bad inputs, tidy.
//!
//! The tests are in `tests/tests`; here is what several of them share.

pub mod asm;
pub mod bombs;
pub mod elf;
pub mod program;
pub mod programs;
pub mod qemu;
pub mod tools;
