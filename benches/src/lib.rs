//! Benchmarks: every figure is a ratio of two things measured in one run.
//!
//! The benches themselves are in `benches/`. Here is what those that run guests share, in reading order: [`programs`]
//! (what is run, and how much of it), [`tiers`], [`toolchain`] (one source, one compiler, both
//! sides), [`guest`] and [`native`]
//! (one run of either side), [`host`] (the computer that figures belong to), [`report`] (the table and the result
//! file).
//!
//! ```text
//!  guests/NAME.c ──┬─ clang, RV64 ───► ELF ──► guest::run, by tiers ──┐
//!  guests-rust/NAME┤  rustc, RV64                                     ├─► outputs equal, times by turns ─► report
//!                  └─ the same, x86-64 ► native twin ► native::run ───┘
//! ```

pub mod guest;
pub mod host;
pub mod native;
pub mod programs;
pub mod report;
pub mod tiers;
pub mod toolchain;
