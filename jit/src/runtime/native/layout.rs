//! The context: the record that native code, the trampoline and the host share, and the offsets of its fields.
//!
//! It lies at a constant distance below guest address 0, so that one register reaches both. Everything that generated
//! code reads or writes is declared here once; offsets are derived from the record.

use std::mem::offset_of;
use std::sync::atomic::AtomicUsize;

use super::run::Run;
use crate::interpreter::Hart;
use crate::runtime::memory::CONTEXT_OFFSET;

/// What native code shares with the host.
#[repr(C)]
pub(crate) struct Context {
    /// Registers, pc, gas, reservation. While native code runs, `gas` is the complement of the gas left.
    pub(crate) hart: Hart,
    /// Stack pointer of the host in the trampoline: where every exit goes.
    pub(crate) host_stack: usize,
    /// Below this address of the host's stack, functions leave before they use more.
    pub(crate) stack_limit: usize,
    /// For each halfword of text, the native function that starts there, or 0.
    pub(crate) entries: *const AtomicUsize,
    /// Shim of host calls.
    pub(crate) host_call: usize,
    /// Stub that leaves to the trampoline.
    pub(crate) exit: usize,
    /// A byte for each page of guest memory, for checked mode.
    pub(crate) permissions: *const u8,
    /// Helpers.
    pub(crate) float: usize,
    pub(crate) clmul: usize,
    pub(crate) clmulh: usize,
    pub(crate) clmulr: usize,
    /// The run that is going on.
    pub(crate) run: *mut Run<'static>,
}

const _: () = assert!(size_of::<Context>() <= crate::runtime::memory::CONTEXT_BYTES);

const fn at(offset: usize) -> i32 {
    offset as i32 - CONTEXT_OFFSET as i32
}

/// Displacement of a guest register from the base; those from 32 on are floating-point registers.
pub(crate) const fn register(number: u8) -> i32 {
    at(offset_of!(Context, hart.registers) + number as usize * 8)
}

pub(crate) const PC: i32 = at(offset_of!(Context, hart.pc));
pub(crate) const GAS: i32 = at(offset_of!(Context, hart.gas));
pub(crate) const RESERVATION: i32 = at(offset_of!(Context, hart.reservation));
pub(crate) const FCSR: i32 = at(offset_of!(Context, hart.fcsr));
pub(crate) const HOST_STACK: i32 = at(offset_of!(Context, host_stack));
pub(crate) const STACK_LIMIT: i32 = at(offset_of!(Context, stack_limit));
pub(crate) const ENTRIES: i32 = at(offset_of!(Context, entries));
pub(crate) const HOST_CALL: i32 = at(offset_of!(Context, host_call));
pub(crate) const EXIT: i32 = at(offset_of!(Context, exit));
pub(crate) const PERMISSIONS: i32 = at(offset_of!(Context, permissions));
pub(crate) const FLOAT: i32 = at(offset_of!(Context, float));
pub(crate) const CLMUL: i32 = at(offset_of!(Context, clmul));
pub(crate) const CLMULH: i32 = at(offset_of!(Context, clmulh));
pub(crate) const CLMULR: i32 = at(offset_of!(Context, clmulr));

pub(crate) use crate::runtime::memory::{READ as READ_BIT, WRITE as WRITE_BIT};

/// Why native code came back to the dispatcher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub(crate) enum ExitReason {
    /// The function that the dispatcher called returned to the ra that it was given.
    Returned = 0,
    /// Execution goes on at the context's pc, where the text says.
    Jump = 1,
    /// A trap.
    Trap = 2,
    /// A host call ended the run; the run knows how.
    Ended = 3,
    /// A return to the context's pc, which was not predicted.
    Return = 4,
    /// A call through a register to the context's pc.
    Call = 5,
    /// Any other jump through a register to the context's pc.
    JumpIndirect = 6,
    /// To behind a host call, at the context's pc, where nothing was expected to go on.
    HostReturn = 7,
}

impl ExitReason {
    /// What the trampoline returned.
    pub(crate) fn of(raw: u64) -> Self {
        match raw {
            0 => Self::Returned,
            1 => Self::Jump,
            2 => Self::Trap,
            3 => Self::Ended,
            4 => Self::Return,
            5 => Self::Call,
            6 => Self::JumpIndirect,
            7 => Self::HostReturn,
            _ => unreachable!("the trampoline returns reasons only"),
        }
    }
}
