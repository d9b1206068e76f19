//! The reference interpreter: the semantics that every other tier is compared with.
//!
//! Text is decoded once per program and page into `code::Slot`s, one per halfword, so that any even address can be
//! jumped to and overlapping decodes cost nothing. `execute` walks slots until something leaves the machine: an
//! `ecall`, which `run` hands to the host, or a trap. `arithmetic` has the operations that only compute.
//!
//! Gas and instructions are charged a straight line at a time, on entering it. That is exact at each `ecall`, since
//! an `ecall` ends its line, and a trap consumes everything. Where the gas left does not cover the line, the line
//! is cut in front of the first instruction that cannot be paid, so that the trap has its exact kind and pc.

mod arithmetic;
mod atomic;
mod code;
mod execute;

pub(crate) use code::Code;

use crate::image::Program;
use crate::runtime::{Ecall, End, Flow, Host, Memory, Outcome, Trap, TrapKind};

const SP: usize = 2;
const A0: usize = 10;
const A1: usize = 11;
const A5: usize = 15;
const A7: usize = 17;
const ECALL_BYTES: u64 = 4;

/// Destination of writes to x0, which stays zero that way.
const SINK: u8 = 32;

/// Architectural state and counters of one run.
#[derive(Debug)]
pub(crate) struct Hart {
    /// x0 to x31 and the sink. As long as a byte can index, so that no access needs a check.
    registers: [u64; 256],
    /// Next instruction.
    pc: u64,
    /// Gas left.
    gas: u64,
    gas_limit: u64,
    /// Instructions executed.
    instructions: u64,
    /// What the last LR reserved, until an SC or `ecall`.
    reservation: Option<Reservation>,
}

/// Address and bytes of an LR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Reservation {
    address: u64,
    width: u8,
}

impl Hart {
    /// A hart at the entry: registers zero but sp, nothing reserved.
    pub(crate) fn new(entry: u64, stack_pointer: u64, gas_limit: u64) -> Self {
        let mut registers = [0; 256];
        registers[SP] = stack_pointer;
        Self {
            registers,
            pc: entry,
            gas: gas_limit,
            gas_limit,
            instructions: 0,
            reservation: None,
        }
    }

    /// x0 to x31.
    pub(crate) fn registers(&self) -> [u64; 32] {
        let (registers, _) = self
            .registers
            .split_first_chunk()
            .expect("a byte indexes more than 32 registers");
        *registers
    }

    fn ecall<'a>(&'a mut self, memory: &'a mut Memory, host: &mut dyn Host) -> Flow {
        self.reservation = None;
        let args = std::array::from_fn(|i| self.registers[A0 + i]);
        const { assert!(A0 + 5 == A5) };
        let mut call = Ecall::new(self.registers[A7], args, memory, &mut self.gas);
        let flow = host.ecall(&mut call);
        [self.registers[A0], self.registers[A1]] = call.results;
        flow
    }

    fn outcome(&self, end: End) -> Outcome {
        let gas_used = match end {
            End::Trapped(_) => self.gas_limit,
            End::Returned | End::Reverted | End::Aborted => self.gas_limit - self.gas,
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
enum Stop {
    /// At an `ecall`, which has been charged and counted.
    Ecall,
    /// At an instruction that trapped.
    Trap(TrapKind),
}

/// Runs from the hart's pc until the call ends.
pub(crate) fn run(hart: &mut Hart, program: &Program, memory: &mut Memory, host: &mut dyn Host) -> Outcome {
    let text = code::Text::new(program);
    loop {
        let end = match execute::execute(hart, &text, memory.address_space()) {
            Stop::Trap(kind) => End::Trapped(Trap { kind, pc: hart.pc }),
            Stop::Ecall => match hart.ecall(memory, host) {
                Flow::Continue => {
                    hart.pc += ECALL_BYTES;
                    continue;
                }
                Flow::Return => End::Returned,
                Flow::Revert => End::Reverted,
                Flow::Trap(kind) => End::Trapped(Trap { kind, pc: hart.pc }),
                Flow::Abort => End::Aborted,
            },
        };
        return hart.outcome(end);
    }
}
