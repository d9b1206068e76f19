//! RISC-V programs in, outcomes out. Knows bytes and registers, nothing of chains.
//!
//! Reading order: [`machine`] (versions: weights, limits, layout), [`isa`] (decode, names, disassembly), [`image`]
//! (ELF to validated [`Program`]; symbols and lines), `float` (F and D in software), [`interpreter`] (the reference
//! semantics), [`runtime`]
//! (instances: memory, registers, gas, host calls, ends; native code and the tiers), `compiler` (RISC-V to native code
//! by Cranelift), [`profile`] (names and lines of guests for perf and gdb).
//!
//! ```text
//!        ELF file                        Host (the caller's: contracts, or the bare host)
//!           │ Program::load                 ▲ Ecall: a0..a5, a7, memory, gas
//!           ▼                               │
//!  image ─ Program ──► runtime ─ Instance ──┤
//!           │           Memory, gas, ends   ▼ Flow: continue, return, revert, trap, abort
//!           └── text ─► isa ─┬► interpreter ◄──┤ Tier: where an address has native code it runs,
//!                            └► compiler ─► native code      and the interpreter everywhere else
//! ```
//!
//! The rules are those of `docs/spec/machine.md`, the prices those of `docs/spec/gas.md`. What decides validity, gas
//! or results reads no clock, no randomness, no setting and nothing of the host.

mod compiler;
mod float;
pub mod image;
pub mod interpreter;
pub mod isa;
pub mod machine;
pub mod profile;
pub mod runtime;

pub use compiler::{CompileError, CompileOptions, Protection};
pub use image::{ImageError, Program};
pub use machine::Machine;
pub use runtime::{
    CodeCache, CodeCacheError, CodeCacheKey, CodeCacheStatistics, CompilerStatistics, Ecall, End, Flow, Host,
    Instance, InstanceError, Jump, JumpKind, Memory, NATIVE_STACK_BYTES, NativeSize, Observed, Observer,
    Outcome, Tier, Trap, TrapKind, restore_fault_handlers, wait_for_compiler,
};
