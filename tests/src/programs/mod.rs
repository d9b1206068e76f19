//! Whole random programs: a generator of valid ones that end, and a checker that runs them on every tier.
//!
//! ```text
//! seed, or a fuzzer's bytes ─ Choices ─► generate ─ Guest: chunks of code with labels, data, tables
//!                                                     │ image
//!                                     qemu ◄─ ELF ────┤
//!                                                     ▼
//!   check: the reference's run, then each tier's ─► difference? ─► minimise ─► report: seed, listing
//! ```
//!
//! What is compared: the outcome with its gas, the trap's kind and pc; at every `ecall` the number, a0 to a5, the gas
//! left and a digest of memory; what was written out; memory at the end. Programs store all registers before they
//! leave.

pub mod check;
pub mod choices;
pub mod code;
pub mod fuzz;
pub mod generate;
pub mod guest;
pub mod host;
pub mod minimise;
pub mod run;
