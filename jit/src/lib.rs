//! RISC-V programs in, outcomes out. Knows bytes and registers, nothing of chains.
//!
//! Reading order: [`machine`] (versions: weights, limits, layout), [`isa`] (decode, names, disassembly), [`image`]
//! (ELF to validated [`Program`]; symbols and lines), [`interpreter`] (the reference semantics), [`runtime`]
//! (instances: memory, registers, gas, host calls, ends).
//!
//! The rules are those of `docs/spec/machine.md`.

pub mod image;
pub mod interpreter;
pub mod isa;
pub mod machine;
pub mod runtime;

pub use image::{ImageError, Program};
pub use machine::Machine;
pub use runtime::{Ecall, End, Flow, Host, Instance, Memory, Outcome, Tier, Trap, TrapKind};
