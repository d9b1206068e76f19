//! Instances of programs: memory, registers, gas, host calls, and how a call ends.

use std::sync::Arc;

use crate::Program;

/// Which implementation of the one semantics runs. More come behind the same interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tier {
    /// The reference interpreter.
    #[default]
    Interpreter,
}

/// What a host call sees and may change: a0 to a5, a7, memory and gas; it sets a0 and a1 and nothing else.
pub struct Ecall<'a> {
    /// a7.
    pub number: u64,
    /// a0 to a5.
    pub args: [u64; 6],
    /// The guest's memory.
    pub memory: &'a mut Memory,
    /// a0 and a1 after the call; start out as `args[0]` and `args[1]`.
    pub results: [u64; 2],
    gas_left: &'a mut u64,
}

impl Ecall<'_> {
    /// Gas left, exact: everything executed so far, the `ecall` included, has been charged.
    #[must_use]
    pub fn gas_left(&self) -> u64 {
        *self.gas_left
    }

    /// Charges `gas` before the host acts.
    ///
    /// # Errors
    /// [`Flow::Trap`] with out of gas, for the caller to return, when less is left.
    pub fn charge(&mut self, gas: u64) -> Result<(), Flow> {
        let _ = gas;
        unimplemented!()
    }
}

/// What the machine does after a host call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// Go on behind the `ecall`.
    Continue,
    /// The call ends, effects stand, unused gas is given back.
    Return,
    /// The call ends, effects are undone, unused gas is given back.
    Revert,
    /// The call traps at the `ecall`.
    Trap(TrapKind),
    /// The caller abandons this run (a stale speculative read, a stop); nothing of it counts.
    Abort,
}

/// The meaning of `ecall` is the caller's business.
pub trait Host {
    /// One host call. May run other instances before it returns.
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow;
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// [`Flow::Return`].
    Returned,
    /// [`Flow::Revert`].
    Reverted,
    /// A trap: consumes all gas the run was given.
    Trapped(Trap),
    /// [`Flow::Abort`].
    Aborted,
}

/// A trap's diagnostics. Never part of consensus: receipts know only that there was one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trap {
    /// What went wrong.
    pub kind: TrapKind,
    /// Guest address of the instruction that trapped.
    pub pc: u64,
}

/// Kinds of traps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TrapKind {
    /// Reserved, unlisted or cut encoding.
    IllegalInstruction,
    /// Jump to an address outside text.
    FetchFault,
    /// `ebreak`.
    Breakpoint,
    /// Load, store or host-call range outside what is mapped that way.
    AccessFault {
        /// First address of the access.
        address: u64,
        /// Bytes accessed.
        len: u64,
        /// A store, or a host call's write.
        write: bool,
    },
    /// Atomic access to a misaligned address.
    Misaligned {
        /// The address.
        address: u64,
    },
    /// More gas was needed than given.
    OutOfGas,
    /// A host call refused: bad number, bound exceeded. The string names it.
    Host(&'static str),
}

/// What a run came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Gas used; all of the limit after a trap.
    pub gas_used: u64,
    /// Instructions executed, where the tier counts them.
    pub instructions: Option<u64>,
}

/// A guest's 32-bit address space, in 4 KiB pages. Accessors check ranges in the page table, never by a signal.
#[derive(Debug)]
pub struct Memory {}

impl Memory {
    /// Borrows a readable range. `pointer` is zero-extended from 32 bits, `len` is 64-bit.
    ///
    /// # Errors
    /// [`TrapKind::AccessFault`] unless every byte is mapped readable. `len == 0` always succeeds.
    pub fn read(&self, pointer: u64, len: u64) -> Result<&[u8], TrapKind> {
        let _ = (pointer, len);
        unimplemented!()
    }

    /// Writes `bytes` at `pointer`.
    ///
    /// # Errors
    /// [`TrapKind::AccessFault`] unless every byte is mapped writable; nothing is written then.
    pub fn write(&mut self, pointer: u64, bytes: &[u8]) -> Result<(), TrapKind> {
        let _ = (pointer, bytes);
        unimplemented!()
    }

    /// Checks that a range is writable, before paying for what is to be written there.
    ///
    /// # Errors
    /// [`TrapKind::AccessFault`] unless every byte is mapped writable.
    pub fn check_writable(&self, pointer: u64, len: u64) -> Result<(), TrapKind> {
        let _ = (pointer, len);
        unimplemented!()
    }

    /// Pages of heap granted so far.
    #[must_use]
    pub fn heap_pages(&self) -> u32 {
        unimplemented!()
    }

    /// First heap address (the page after bss).
    #[must_use]
    pub fn heap_start(&self) -> u64 {
        unimplemented!()
    }

    /// Grows the heap by whole zeroed pages and returns the old end, or `None` beyond the version's maximum.
    pub fn grow_heap(&mut self, pages: u32) -> Option<u64> {
        let _ = pages;
        unimplemented!()
    }
}

/// A program with fresh memory, ready for one run.
#[derive(Debug)]
pub struct Instance {}

impl Instance {
    /// Fresh memory, all registers zero but sp.
    #[must_use]
    pub fn new(program: Arc<Program>) -> Self {
        let _ = program;
        unimplemented!()
    }

    /// The instance's memory, for hosts that lay something out before the run.
    pub fn memory_mut(&mut self) -> &mut Memory {
        unimplemented!()
    }

    /// Sets sp before the run; only the bare host does.
    pub fn set_stack_pointer(&mut self, sp: u64) {
        let _ = sp;
        unimplemented!()
    }

    /// Runs from the entry until the call ends. `gas_limit` is at most 2^62.
    pub fn run(&mut self, tier: Tier, gas_limit: u64, host: &mut dyn Host) -> Outcome {
        let _ = (tier, gas_limit, host);
        unimplemented!()
    }
}
