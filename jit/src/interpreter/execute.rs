//! The loop: from the hart's pc to the next `ecall` or trap.

use std::cell::OnceCell;

use super::arithmetic::compute;
use super::atomic::atomic;
use super::code::{Slot, Step, Text};
use super::{Hart, Stop};
use crate::isa::{Class, Op};
use crate::runtime::{Memory, TrapKind};

/// Where the loop is. Jumps inside a page of code move the index only.
struct Cursor<'a> {
    page: &'a [Slot],
    /// Address of the page's first halfword.
    base: u64,
    /// Halfwords from there; outside the page after a jump out of it, before [`enter`] finds the right one.
    index: usize,
}

impl Cursor<'_> {
    /// Address of the instruction, modulo 2^64.
    fn pc(&self) -> u64 {
        self.base.wrapping_add((self.index as u64).wrapping_mul(2))
    }

    /// Moves to an even address.
    fn jump(&mut self, target: u64) {
        self.index = (target.wrapping_sub(self.base) >> 1) as usize;
    }

    /// Moves by an even displacement.
    fn branch(&mut self, displacement: i32) {
        self.index = self.index.wrapping_add_signed((displacement >> 1) as isize);
    }
}

/// Runs until something leaves the machine.
pub(super) fn execute(hart: &mut Hart, text: &Text<'_>, memory: &mut Memory) -> Stop {
    let cut = OnceCell::new();
    let mut at = Cursor {
        page: &[],
        base: hart.pc,
        index: 0,
    };
    loop {
        if let Err(stop) = enter(hart, text, &mut at, &cut) {
            hart.pc = at.pc();
            return stop;
        }
        if let Err((stop, unexecuted)) = run_line(hart, memory, &mut at) {
            hart.instructions -= u64::from(unexecuted);
            hart.pc = at.pc();
            return stop;
        }
    }
}

/// Starts the straight line at the cursor: finds its page and charges it.
#[inline(always)]
fn enter<'a>(
    hart: &mut Hart,
    text: &Text<'a>,
    at: &mut Cursor<'a>,
    cut: &'a OnceCell<Vec<Slot>>,
) -> Result<(), Stop> {
    let slot = match at.page.get(at.index) {
        Some(slot) => slot,
        None => {
            let pc = at.pc();
            (at.page, at.base) = text.page(pc).ok_or(Stop::Trap(TrapKind::FetchFault))?;
            at.jump(pc);
            &at.page[at.index]
        }
    };
    hart.instructions += u64::from(slot.count);
    match hart.gas.checked_sub(u64::from(slot.gas)) {
        Some(gas) => hart.gas = gas,
        None => at.page = cut.get_or_init(|| text.cut_line(at.page, at.index, hart.gas)),
    }
    Ok(())
}

/// Runs the line at the cursor, which has been charged, and leaves the cursor where the next one starts. On a stop
/// the cursor stays, and the number of instructions that were counted in advance but not executed comes along.
#[inline(always)]
fn run_line(hart: &mut Hart, memory: &mut Memory, at: &mut Cursor<'_>) -> Result<(), (Stop, u16)> {
    let registers = &mut hart.registers;
    while let Some(slot) = at.page.get(at.index) {
        let trap = |kind| (Stop::Trap(kind), slot.count);
        let op = match slot.step {
            Step::Run(op) => op,
            Step::Illegal => return Err(trap(TrapKind::IllegalInstruction)),
            Step::OutOfGas => return Err(trap(TrapKind::OutOfGas)),
        };
        let (a, b) = (registers[usize::from(slot.rs1)], registers[usize::from(slot.rs2)]);
        let imm = i64::from(slot.imm).cast_unsigned();
        // Loads and stores; a macro, since the width is a type.
        let address = u64::from(a as u32).wrapping_add(imm);
        macro_rules! load {
            ($type:ty, $extended:ty) => {
                match memory.load(address) {
                    Some(bytes) => <$extended>::from(<$type>::from_le_bytes(bytes)) as u64,
                    None => return Err(trap(access_fault(address, size_of::<$type>(), false))),
                }
            };
        }
        macro_rules! store {
            ($type:ty) => {
                match memory.store(address, (b as $type).to_le_bytes()) {
                    Some(()) => 0,
                    None => return Err(trap(access_fault(address, size_of::<$type>(), true))),
                }
            };
        }
        macro_rules! branch {
            ($taken:expr) => {{
                at.branch(if $taken {
                    slot.imm
                } else {
                    i32::from(slot.halfwords) * 2
                });
                return Ok(());
            }};
        }
        let value = match op {
            Op::Lb => load!(i8, i64),
            Op::Lh => load!(i16, i64),
            Op::Lw => load!(i32, i64),
            Op::Ld => load!(u64, u64),
            Op::Lbu => load!(u8, u64),
            Op::Lhu => load!(u16, u64),
            Op::Lwu => load!(u32, u64),
            Op::Sb => store!(u8),
            Op::Sh => store!(u16),
            Op::Sw => store!(u32),
            Op::Sd => store!(u64),
            Op::Beq => branch!(a == b),
            Op::Bne => branch!(a != b),
            Op::Blt => branch!(a.cast_signed() < b.cast_signed()),
            Op::Bge => branch!(a.cast_signed() >= b.cast_signed()),
            Op::Bltu => branch!(a < b),
            Op::Bgeu => branch!(a >= b),
            Op::Jal => {
                registers[usize::from(slot.rd)] = link(at, slot);
                at.branch(slot.imm);
                return Ok(());
            }
            Op::Jalr => {
                registers[usize::from(slot.rd)] = link(at, slot);
                at.jump(address & !1);
                return Ok(());
            }
            Op::Auipc => at.pc().wrapping_add(imm),
            Op::Fence | Op::FenceI => 0,
            Op::Ecall => return Err((Stop::Ecall, 0)),
            Op::Ebreak => return Err(trap(TrapKind::Breakpoint)),
            _ if matches!(op.class(), Class::Atomic) => {
                match atomic(op, u64::from(a as u32), b, memory, &mut hart.reservation) {
                    Ok(value) => value,
                    Err(kind) => return Err(trap(kind)),
                }
            }
            _ => compute(op, a, b, imm),
        };
        registers[usize::from(slot.rd)] = value;
        at.index += usize::from(slot.halfwords);
    }
    Ok(())
}

/// Address of the instruction behind a jump.
#[inline(always)]
fn link(at: &Cursor<'_>, slot: &Slot) -> u64 {
    at.pc().wrapping_add(u64::from(slot.halfwords) * 2)
}

#[cold]
fn access_fault(address: u64, len: usize, write: bool) -> TrapKind {
    TrapKind::AccessFault {
        address,
        len: len as u64,
        write,
    }
}
