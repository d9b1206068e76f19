//! Instances of programs: memory, registers, gas, host calls, and how a call ends.
//!
//! [`Instance::new`] lays a program out in fresh [`Memory`]; [`Instance::run`] runs it from its entry, on a [`Tier`],
//! until it ends. On the way each `ecall` is handed to the caller's [`Host`] as an [`Ecall`]; the [`Flow`] that comes
//! back says whether the machine goes on. The [`Outcome`] has the end, the gas and the count of instructions.
//!
//! Invariants: every access of guest or host is checked against the page table before it happens; gas left is exact
//! at every `ecall`; nothing here reads a clock or depends on the host beyond its memory.

mod code_cache;
mod host;
mod instance;
mod memory;
pub(crate) mod native;
mod observer;
mod outcome;
mod pool;
mod replay;

pub(crate) use code_cache::Attachment;
pub use code_cache::{CodeCache, CodeCacheError, CodeCacheKey, CodeCacheStatistics};
pub use host::{Ecall, Flow, Host};
pub use instance::{Instance, Tier};
pub(crate) use memory::{AddressSpace, Template};
pub use memory::{InstanceError, Memory};
pub(crate) use native::layout;
pub use native::{
    CompilerStatistics, NATIVE_STACK_BYTES, NativeSize, restore_fault_handlers, wait_for_compiler,
};
pub use observer::{Jump, JumpKind, Observed, Observer};
pub use outcome::{End, Outcome, Trap, TrapKind};
