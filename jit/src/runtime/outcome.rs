//! How a run ended, and what of it is diagnostics only.

use std::fmt::{self, Display, Formatter};

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// [`Flow::Return`](super::Flow::Return).
    Returned,
    /// [`Flow::Revert`](super::Flow::Revert).
    Reverted,
    /// A trap: consumes all gas the run was given.
    Trapped(Trap),
    /// [`Flow::Abort`](super::Flow::Abort).
    Aborted,
}

/// A trap's diagnostics. Never part of consensus: receipts know only that there was one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trap {
    /// What went wrong.
    pub kind: TrapKind,
    /// Guest address of the instruction that trapped; of the jump's target for a fetch fault.
    pub pc: u64,
}

/// Kinds of traps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TrapKind {
    /// Reserved, unlisted or cut encoding.
    IllegalInstruction,
    /// Jump to an address outside text, or running off its end.
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
    /// A fault of native code that was not looked into: run again in the interpreter, it has one of the other kinds.
    Undetermined,
    /// A host call refused: bad number, bound exceeded. The string names it.
    Host(&'static str),
}

impl Display for TrapKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::IllegalInstruction => f.write_str("illegal instruction"),
            Self::FetchFault => f.write_str("jump outside text"),
            Self::Breakpoint => f.write_str("breakpoint"),
            Self::AccessFault { address, len, write } => {
                let access = if *write { "write" } else { "read" };
                write!(f, "access fault: {access} of {len} bytes at {address:#x}")
            }
            Self::Misaligned { address } => write!(f, "misaligned atomic access at {address:#x}"),
            Self::OutOfGas => f.write_str("out of gas"),
            Self::Undetermined => f.write_str("trap in native code"),
            Self::Host(reason) => write!(f, "host call refused: {reason}"),
        }
    }
}

impl Display for Trap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pc {:#x})", self.kind, self.pc)
    }
}

/// What a run came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Gas used; all of the limit after a trap.
    pub gas_used: u64,
    /// Instructions executed, where the tier counts them. One that trapped is not counted, an `ecall` always is.
    pub instructions: Option<u64>,
}
