//! The reference interpreter: the semantics that every other tier is compared with.
//!
//! Text is decoded once per program and page into `code::Slot`s, one per halfword, so that any even address can be
//! jumped to and overlapping decodes cost nothing. `execute` has them executed a straight line at a time until something
//! leaves the machine: an `ecall`, which `run` hands to the host, or a trap. `operations` says what each operation does,
//! `handlers` makes them follow one another, `arithmetic` has what takes more than an operator.
//!
//! Gas and instructions are charged a straight line at a time, on entering it. That is exact at each `ecall`, since
//! an `ecall` ends its line, and a trap consumes everything. Where the gas left does not cover the line, the line
//! is cut in front of the first instruction that cannot be paid, so that the trap has its exact kind and pc.
//!
//! Floating point is computed in software (`crate::float`), exceptions and all.

mod arithmetic;
mod atomic;
mod code;
mod execute;
mod handlers;
mod operations;
#[cfg(test)]
mod tests;

pub(crate) use arithmetic::carryless_multiply;
pub(crate) use code::{Code, decode};

use crate::image::Program;
use crate::runtime::{Ecall, End, Flow, Host, Jump, JumpKind, Memory, Observer, Outcome, Trap, TrapKind};

const RA: u8 = 1;
/// The other register that the ABI knows as a link register.
const T0: u8 = 5;
const SP: usize = 2;
const A0: usize = 10;
const A1: usize = 11;
const A5: usize = 15;
const A7: usize = 17;
const ECALL_BYTES: u64 = 4;

/// Destination of writes to x0, which stays zero that way: behind the floating-point registers.
const SINK: u8 = 64;

/// x0 to x31, f0 to f31 and the sink. As long as a byte can index, so that no access needs a check.
type Registers = [u64; 256];

/// Architectural state and counters of one run.
///
/// Native code shares it: `runtime::native::layout` derives offsets from this record.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Hart {
    /// Integer and floating-point registers.
    pub(crate) registers: Registers,
    /// Next instruction.
    pub(crate) pc: u64,
    /// Gas left, in units of the rate: what is left, shifted by [`Meter::shift`].
    pub(crate) gas: u64,
    meter: Meter,
    /// Instructions executed.
    instructions: u64,
    /// What the last LR reserved, until an SC or `ecall`.
    pub(crate) reservation: Reservation,
    /// Accrued exceptions and the dynamic rounding mode.
    pub(crate) fcsr: u64,
}

/// How the units that instructions are charged in become gas.
///
/// Weights are multiplied by a power of two that follows from the memory held ([`crate::Machine::memory_shift`]), which
/// changes at host calls only. So instructions are charged their plain weights from a count of what is left divided by
/// that power. What the division leaves over never pays for an instruction, each of which costs a multiple of the power;
/// host calls, charged in gas, can use it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Meter {
    limit: u64,
    /// What the division left over.
    rest: u64,
    shift: u32,
}

impl Meter {
    /// Gas left, where so much is left in units of the rate.
    #[inline]
    fn gas_left(self, left: u64) -> u64 {
        left << self.shift | self.rest
    }
}

/// What an LR reserved: its address, and its bytes from bit 32 on. 0 where nothing is reserved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(crate) struct Reservation(u64);

impl Reservation {
    pub(crate) const NONE: Self = Self(0);

    /// A reservation of `width` bytes at a 32-bit address.
    const fn new(address: u64, width: u64) -> Self {
        Self(address | width << 32)
    }
}

/// Where a run starts, and with what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) entry: u64,
    pub(crate) stack_pointer: u64,
    pub(crate) gas_limit: u64,
}

impl Hart {
    /// A hart at its start, about to run in `memory`.
    pub(crate) fn new(start: Start, memory: &Memory) -> Self {
        let mut hart = Self {
            registers: [0; 256],
            pc: 0,
            gas: 0,
            meter: Meter::default(),
            instructions: 0,
            reservation: Reservation::NONE,
            fcsr: 0,
        };
        hart.restart(start, memory);
        hart
    }

    /// Goes to the start: registers zero but sp, `fcsr` too, nothing reserved. In place, since most of a hart's bytes are
    /// there to be indexed and never read: to move it costs more than to enter native code.
    #[inline]
    pub(crate) fn restart(&mut self, start: Start, memory: &Memory) {
        let Self {
            registers,
            pc,
            gas: _,
            meter,
            instructions,
            reservation,
            fcsr,
        } = self;
        registers[..usize::from(SINK)].fill(0);
        registers[SP] = start.stack_pointer;
        *pc = start.entry;
        meter.limit = start.gas_limit;
        *instructions = 0;
        *reservation = Reservation::NONE;
        *fcsr = 0;
        self.set_gas_left(start.gas_limit, memory);
    }

    /// Gas left: exact at an `ecall`.
    pub(crate) fn gas_left(&self) -> u64 {
        self.meter.gas_left(self.gas)
    }

    /// Goes on with `left`, at the rate of what `memory` holds now.
    fn set_gas_left(&mut self, left: u64, memory: &Memory) {
        let shift = memory.rate_shift();
        self.gas = left >> shift;
        self.meter.rest = left & ((1 << shift) - 1);
        self.meter.shift = shift;
    }

    /// x0 to x31.
    pub(crate) fn registers(&self) -> [u64; 32] {
        let (registers, _) = self
            .registers
            .split_first_chunk()
            .expect("a byte indexes more than 32 registers");
        *registers
    }

    /// How the run ends after a host call at the hart's pc, if it does.
    pub(crate) fn end_of(&self, flow: Flow) -> Option<End> {
        Some(match flow {
            Flow::Continue => return None,
            Flow::Return => End::Returned,
            Flow::Revert => End::Reverted,
            Flow::Trap(kind) => End::Trapped(Trap { kind, pc: self.pc }),
            Flow::Abort => End::Aborted,
        })
    }

    /// One host call with the hart's registers.
    pub(crate) fn ecall(&mut self, memory: &mut Memory, host: &mut dyn Host) -> Flow {
        self.reservation = Reservation::NONE;
        let args = std::array::from_fn(|i| self.registers[A0 + i]);
        const { assert!(A0 + 5 == A5) };
        let mut left = self.gas_left();
        let mut call = Ecall::new(self.registers[A7], args, memory, &mut left);
        let flow = host.ecall(&mut call);
        [self.registers[A0], self.registers[A1]] = call.results;
        self.set_gas_left(left, memory);
        flow
    }

    /// What the run came to.
    pub(crate) fn outcome(&self, end: End) -> Outcome {
        let gas_used = match end {
            End::Trapped(_) => self.meter.limit,
            End::Returned | End::Reverted | End::Aborted => self.meter.limit - self.gas_left(),
        };
        Outcome {
            end,
            gas_used,
            instructions: Some(self.instructions),
        }
    }
}

/// Why execution left the loop. The hart's pc is that of the instruction in question.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// At an `ecall`, which has been charged and counted.
    Ecall,
    /// At an instruction that trapped.
    Trap(TrapKind),
    /// At the target of a jump where the watch stops.
    Watched,
    /// At the target of a jump through a register, which the watch did not expect.
    Strayed,
}

/// How control comes to where the text alone does not say that it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transfer {
    /// `jalr x0, 0(ra)`.
    Return,
    /// `jalr ra, ...`.
    Call,
    /// Any other.
    Jump,
    /// To behind an `ecall`, which is no jump, but may be as unexpected.
    HostReturn,
}

impl Transfer {
    /// What a `jalr` with these operands is.
    #[inline]
    pub(crate) const fn of(rd: u8, rs1: u8, imm: i64) -> Self {
        match (rd, rs1, imm) {
            (0, RA, 0) => Self::Return,
            (RA, ..) => Self::Call,
            _ => Self::Jump,
        }
    }
}

/// Somebody who wants to know where jumps go: the tiers, to go on in native code.
pub(crate) trait Watch {
    /// Whether it is told anything.
    const ACTIVE: bool;
    /// Whether it is told what each jump was.
    const OBSERVES: bool = false;

    /// Told the target of each jump that is taken; whether to stop there.
    fn stops_at(&mut self, pc: u64) -> bool;

    /// Told where a jump through a register leads, before `stops_at`; whether it may.
    fn permits(&self, transfer: Transfer, pc: u64) -> bool;

    /// Told each jump that is taken, before `stops_at`.
    #[inline(always)]
    fn jumped(&mut self, _: Jump) {}
}

/// An observer, who never stops anything.
struct Observed<'a>(&'a dyn Observer);

impl Watch for Observed<'_> {
    const ACTIVE: bool = true;
    const OBSERVES: bool = true;

    #[inline]
    fn stops_at(&mut self, _: u64) -> bool {
        false
    }

    #[inline]
    fn permits(&self, _: Transfer, _: u64) -> bool {
        true
    }

    #[inline]
    fn jumped(&mut self, jump: Jump) {
        self.0.jumped(jump);
    }
}

/// What a jump with these operands does to the stack of calls, by the hints of the ISA manual (2.5.1, table 3); `returns_to` is
/// the address behind it.
const fn kind_of_jump(rd: u8, rs1: u8, returns_to: u64) -> JumpKind {
    match (rd, rs1) {
        (RA | T0, _) => JumpKind::Call { returns_to },
        (_, RA | T0) => JumpKind::Return,
        _ => JumpKind::Within,
    }
}

/// Nobody.
struct Unwatched;

impl Watch for Unwatched {
    const ACTIVE: bool = false;

    #[inline(always)]
    fn stops_at(&mut self, _: u64) -> bool {
        false
    }

    #[inline(always)]
    fn permits(&self, _: Transfer, _: u64) -> bool {
        true
    }
}

/// Runs from the hart's pc until the call ends.
pub(crate) fn run(hart: &mut Hart, program: &Program, memory: &mut Memory, host: &mut dyn Host) -> Outcome {
    run_watched(hart, program, memory, host, &mut Unwatched)
}

/// The same, told to `observer`.
pub(crate) fn run_observed(
    hart: &mut Hart,
    program: &Program,
    memory: &mut Memory,
    host: &mut dyn Host,
    observer: &dyn Observer,
) -> Outcome {
    run_watched(hart, program, memory, host, &mut Observed(observer))
}

/// Runs with a watch that never stops.
fn run_watched(
    hart: &mut Hart,
    program: &Program,
    memory: &mut Memory,
    host: &mut dyn Host,
    watch: &mut impl Watch,
) -> Outcome {
    loop {
        if let Advance::Ended(end) = advance(hart, program, memory, host, watch) {
            return hart.outcome(end);
        }
    }
}

/// Why [`advance`] came back.
pub(crate) enum Advance {
    /// The call ended.
    Ended(End),
    /// The watch stops at the hart's pc.
    Watched,
    /// The watch does not permit the jump to the hart's pc.
    Strayed,
}

/// Runs until the call ends or the watch stops.
pub(crate) fn advance(
    hart: &mut Hart,
    program: &Program,
    memory: &mut Memory,
    host: &mut dyn Host,
    watch: &mut impl Watch,
) -> Advance {
    let text = code::Text::new(program);
    loop {
        match execute::execute(hart, &text, memory.address_space(), watch) {
            Stop::Watched => return Advance::Watched,
            Stop::Strayed => return Advance::Strayed,
            Stop::Trap(kind) => return Advance::Ended(End::Trapped(Trap { kind, pc: hart.pc })),
            Stop::Ecall => {
                let flow = hart.ecall(memory, host);
                match hart.end_of(flow) {
                    None => {
                        hart.pc += ECALL_BYTES;
                        if !watch.permits(Transfer::HostReturn, hart.pc) {
                            return Advance::Strayed;
                        }
                    }
                    Some(end) => return Advance::Ended(end),
                }
            }
        }
    }
}
