//! The loop: from the hart's pc to the next `ecall` or trap.

use std::cell::OnceCell;

use super::arithmetic as math;
use super::atomic::atomic;
use super::code::{FAR, Leave, Slot, THIRD_SOURCE, Text};
use super::{Hart, SINK, Stop, Transfer, Watch};
use crate::float;
use crate::isa::Op;
use crate::runtime::{AddressSpace, TrapKind};

/// Runs until something leaves the machine.
///
/// One function, since the compiler keeps what the three loops share in registers: pages, the straight lines on
/// them, the instructions of a line.
// Out of line, so that it has its registers to itself: inlined into its caller it ran a third slower.
#[inline(never)]
pub(super) fn execute<W: Watch>(
    hart: &mut Hart,
    text: &Text<'_>,
    mut memory: AddressSpace<'_>,
    watch: &mut W,
) -> Stop {
    let cut = OnceCell::new();
    let Hart {
        registers,
        pc,
        gas,
        instructions,
        reservation,
        fcsr,
        ..
    } = hart;
    let (mut gas_left, mut executed) = (*gas, *instructions);
    let mut next_pc = *pc;
    let (stop, stop_pc) = 'page: loop {
        let Some((page, mut index)) = text.find(next_pc) else {
            break (Stop::Trap(TrapKind::FetchFault), next_pc);
        };
        let base = page.base;
        let mut slots: &[Slot] = &page.slots;
        'line: loop {
            let first = &slots[index];
            executed += u64::from(first.count);
            match gas_left.checked_sub(u64::from(first.gas)) {
                Some(rest) => gas_left = rest,
                None => slots = cut.get_or_init(|| text.cut_line(slots, index, gas_left)),
            }
            let mut line = slots[index..].iter();
            loop {
                let slot = line.next().expect("every run ends with a slot that leaves it");
                // Macros, since most of these leave the function, and operands are read only where they are needed.
                macro_rules! a {
                    () => {
                        registers[usize::from(slot.rs1)]
                    };
                }
                macro_rules! b {
                    () => {
                        registers[usize::from(slot.rs2)]
                    };
                }
                macro_rules! imm {
                    () => {
                        i64::from(slot.imm).cast_unsigned()
                    };
                }
                macro_rules! set {
                    ($value:expr) => {{
                        let value = $value;
                        registers[usize::from(slot.rd)] = value;
                    }};
                }
                macro_rules! pc {
                    () => {
                        base + u64::from(slot.position) * 2
                    };
                }
                macro_rules! link {
                    () => {
                        set!(pc!() + u64::from(slot.rs2) * 2)
                    };
                }
                macro_rules! trap {
                    ($kind:expr) => {{
                        executed -= u64::from(slot.count);
                        break 'page (Stop::Trap($kind), pc!());
                    }};
                }
                macro_rules! jump {
                    () => {{
                        if W::ACTIVE || slot.target == FAR {
                            next_pc = pc!().wrapping_add(imm!());
                            if watch.stops_at(next_pc) {
                                break 'page (Stop::Watched, next_pc);
                            }
                        }
                        if slot.target == FAR {
                            continue 'page;
                        }
                        index = usize::from(slot.target);
                        continue 'line;
                    }};
                }
                macro_rules! load {
                    ($type:ty, $extended:ty) => {
                        load!($type, $extended, std::convert::identity)
                    };
                    ($type:ty, $extended:ty, $held_as:expr) => {{
                        let address = effective_address(a!(), imm!());
                        match memory.load(address) {
                            Some(bytes) => {
                                set!($held_as(
                                    <$extended>::from(<$type>::from_le_bytes(bytes)) as u64
                                ))
                            }
                            None => trap!(access_fault(address, size_of::<$type>(), false)),
                        }
                    }};
                }
                macro_rules! store {
                    ($type:ty) => {{
                        let address = effective_address(a!(), imm!());
                        match memory.store(address, (b!() as $type).to_le_bytes()) {
                            Some(()) => {}
                            None => trap!(access_fault(address, size_of::<$type>(), true)),
                        }
                    }};
                }
                macro_rules! branch {
                    ($taken:expr) => {{
                        if $taken {
                            jump!();
                        }
                        index = slots.len() - line.len();
                        continue 'line;
                    }};
                }
                match slot.op {
                    Op::Lui => set!(imm!()),
                    Op::Auipc => set!(pc!().wrapping_add(imm!())),
                    Op::Addi => set!(a!().wrapping_add(imm!())),
                    Op::Slti => set!(math::less(a!(), imm!())),
                    Op::Sltiu => set!(u64::from(a!() < imm!())),
                    Op::Xori => set!(a!() ^ imm!()),
                    Op::Ori => set!(a!() | imm!()),
                    Op::Andi => set!(a!() & imm!()),
                    Op::Slli => set!(a!() << (imm!() & 63)),
                    Op::Srli => set!(a!() >> (imm!() & 63)),
                    Op::Srai => set!(math::sra(a!(), imm!())),
                    Op::Add => set!(a!().wrapping_add(b!())),
                    Op::Sub => set!(a!().wrapping_sub(b!())),
                    Op::Sll => set!(a!() << (b!() & 63)),
                    Op::Slt => set!(math::less(a!(), b!())),
                    Op::Sltu => set!(u64::from(a!() < b!())),
                    Op::Xor => set!(a!() ^ b!()),
                    Op::Srl => set!(a!() >> (b!() & 63)),
                    Op::Sra => set!(math::sra(a!(), b!())),
                    Op::Or => set!(a!() | b!()),
                    Op::And => set!(a!() & b!()),
                    Op::Addiw => set!(math::addw(a!(), imm!())),
                    Op::Slliw => set!(math::sllw(a!(), imm!())),
                    Op::Srliw => set!(math::srlw(a!(), imm!())),
                    Op::Sraiw => set!(math::sraw(a!(), imm!())),
                    Op::Addw => set!(math::addw(a!(), b!())),
                    Op::Subw => set!(math::subw(a!(), b!())),
                    Op::Sllw => set!(math::sllw(a!(), b!())),
                    Op::Srlw => set!(math::srlw(a!(), b!())),
                    Op::Sraw => set!(math::sraw(a!(), b!())),

                    Op::Mul => set!(a!().wrapping_mul(b!())),
                    Op::Mulh => set!(math::mulh(a!(), b!())),
                    Op::Mulhsu => set!(math::mulhsu(a!(), b!())),
                    Op::Mulhu => set!(math::mulhu(a!(), b!())),
                    Op::Mulw => set!(math::mulw(a!(), b!())),
                    Op::Div => set!(math::div(a!(), b!())),
                    Op::Divu => set!(a!().checked_div(b!()).unwrap_or(u64::MAX)),
                    Op::Rem => set!(math::rem(a!(), b!())),
                    Op::Remu => set!(a!().checked_rem(b!()).unwrap_or(a!())),
                    Op::Divw => set!(math::divw(a!(), b!())),
                    Op::Divuw => set!(math::divuw(a!(), b!())),
                    Op::Remw => set!(math::remw(a!(), b!())),
                    Op::Remuw => set!(math::remuw(a!(), b!())),

                    Op::AddUw => set!(math::zero_extend(a!()).wrapping_add(b!())),
                    Op::Sh1add => set!((a!() << 1).wrapping_add(b!())),
                    Op::Sh2add => set!((a!() << 2).wrapping_add(b!())),
                    Op::Sh3add => set!((a!() << 3).wrapping_add(b!())),
                    Op::Sh1addUw => set!((math::zero_extend(a!()) << 1).wrapping_add(b!())),
                    Op::Sh2addUw => set!((math::zero_extend(a!()) << 2).wrapping_add(b!())),
                    Op::Sh3addUw => set!((math::zero_extend(a!()) << 3).wrapping_add(b!())),
                    Op::SlliUw => set!(math::zero_extend(a!()) << (imm!() & 63)),
                    Op::Andn => set!(a!() & !b!()),
                    Op::Orn => set!(a!() | !b!()),
                    Op::Xnor => set!(!(a!() ^ b!())),
                    Op::Clz => set!(u64::from(a!().leading_zeros())),
                    Op::Ctz => set!(u64::from(a!().trailing_zeros())),
                    Op::Cpop => set!(u64::from(a!().count_ones())),
                    Op::Clzw => set!(u64::from((a!() as u32).leading_zeros())),
                    Op::Ctzw => set!(u64::from((a!() as u32).trailing_zeros())),
                    Op::Cpopw => set!(u64::from((a!() as u32).count_ones())),
                    Op::Max => set!(math::max(a!(), b!())),
                    Op::Maxu => set!(a!().max(b!())),
                    Op::Min => set!(math::min(a!(), b!())),
                    Op::Minu => set!(a!().min(b!())),
                    Op::SextB => set!(a!() as i8 as u64),
                    Op::SextH => set!(a!() as i16 as u64),
                    Op::ZextH => set!(u64::from(a!() as u16)),
                    Op::Rol => set!(a!().rotate_left((b!() & 63) as u32)),
                    Op::Ror => set!(a!().rotate_right((b!() & 63) as u32)),
                    Op::Rori => set!(a!().rotate_right((imm!() & 63) as u32)),
                    Op::Rolw => set!(math::rolw(a!(), b!())),
                    Op::Rorw => set!(math::rorw(a!(), b!())),
                    Op::Roriw => set!(math::rorw(a!(), imm!())),
                    Op::OrcB => set!(math::or_combine_bytes(a!())),
                    Op::Rev8 => set!(a!().swap_bytes()),
                    Op::Clmul => set!(math::carryless_multiply(a!(), b!()) as u64),
                    Op::Clmulh => set!((math::carryless_multiply(a!(), b!()) >> 64) as u64),
                    Op::Clmulr => set!((math::carryless_multiply(a!(), b!()) >> 63) as u64),
                    Op::Bclr => set!(a!() & !math::bit(b!())),
                    Op::Bclri => set!(a!() & !math::bit(imm!())),
                    Op::Bext => set!(a!() >> (b!() & 63) & 1),
                    Op::Bexti => set!(a!() >> (imm!() & 63) & 1),
                    Op::Binv => set!(a!() ^ math::bit(b!())),
                    Op::Binvi => set!(a!() ^ math::bit(imm!())),
                    Op::Bset => set!(a!() | math::bit(b!())),
                    Op::Bseti => set!(a!() | math::bit(imm!())),
                    Op::CzeroEqz => set!(if b!() == 0 { 0 } else { a!() }),
                    Op::CzeroNez => set!(if b!() == 0 { a!() } else { 0 }),

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
                    Op::LrW
                    | Op::ScW
                    | Op::AmoswapW
                    | Op::AmoaddW
                    | Op::AmoxorW
                    | Op::AmoandW
                    | Op::AmoorW
                    | Op::AmominW
                    | Op::AmomaxW
                    | Op::AmominuW
                    | Op::AmomaxuW
                    | Op::LrD
                    | Op::ScD
                    | Op::AmoswapD
                    | Op::AmoaddD
                    | Op::AmoxorD
                    | Op::AmoandD
                    | Op::AmoorD
                    | Op::AmominD
                    | Op::AmomaxD
                    | Op::AmominuD
                    | Op::AmomaxuD => {
                        let address = effective_address(a!(), 0);
                        match atomic(slot.op, address, b!(), &mut memory, reservation) {
                            Ok(value) => set!(value),
                            Err(kind) => trap!(kind),
                        }
                    }
                    Op::Fence | Op::FenceI => {}

                    Op::Flw => load!(u32, u64, float::boxed_single),
                    Op::Fld => load!(u64, u64),
                    Op::Fsw => store!(u32),
                    Op::Fsd => store!(u64),
                    Op::FsgnjS
                    | Op::FsgnjnS
                    | Op::FsgnjxS
                    | Op::FminS
                    | Op::FmaxS
                    | Op::FeqS
                    | Op::FltS
                    | Op::FleS
                    | Op::FclassS
                    | Op::FmvXW
                    | Op::FmvWX
                    | Op::FsgnjD
                    | Op::FsgnjnD
                    | Op::FsgnjxD
                    | Op::FminD
                    | Op::FmaxD
                    | Op::FeqD
                    | Op::FltD
                    | Op::FleD
                    | Op::FclassD
                    | Op::FmvXD
                    | Op::FmvDX
                    | Op::FaddS
                    | Op::FsubS
                    | Op::FmulS
                    | Op::FcvtWS
                    | Op::FcvtWuS
                    | Op::FcvtLS
                    | Op::FcvtLuS
                    | Op::FcvtSW
                    | Op::FcvtSWu
                    | Op::FcvtSL
                    | Op::FcvtSLu
                    | Op::FaddD
                    | Op::FsubD
                    | Op::FmulD
                    | Op::FcvtWD
                    | Op::FcvtWuD
                    | Op::FcvtLD
                    | Op::FcvtLuD
                    | Op::FcvtDW
                    | Op::FcvtDWu
                    | Op::FcvtDL
                    | Op::FcvtDLu
                    | Op::FcvtSD
                    | Op::FcvtDS
                    | Op::FmaddS
                    | Op::FmsubS
                    | Op::FnmsubS
                    | Op::FnmaddS
                    | Op::FmaddD
                    | Op::FmsubD
                    | Op::FnmsubD
                    | Op::FnmaddD
                    | Op::FdivS
                    | Op::FsqrtS
                    | Op::FdivD
                    | Op::FsqrtD => {
                        let third = registers[usize::from((slot.imm >> THIRD_SOURCE) as u8)];
                        match float::execute(slot.op, slot.imm as u8, [a!(), b!(), third], fcsr) {
                            Some(value) => set!(value),
                            None => trap!(TrapKind::IllegalInstruction),
                        }
                    }
                    Op::Csrrw | Op::Csrrs | Op::Csrrc => {
                        set!(float::access_csr(slot.op, slot.imm, a!(), fcsr))
                    }
                    Op::Csrrwi | Op::Csrrsi | Op::Csrrci => {
                        set!(float::access_csr(slot.op, slot.imm, imm!() >> 12, fcsr))
                    }

                    Op::Beq => branch!(a!() == b!()),
                    Op::Bne => branch!(a!() != b!()),
                    Op::Blt => branch!(a!().cast_signed() < b!().cast_signed()),
                    Op::Bge => branch!(a!().cast_signed() >= b!().cast_signed()),
                    Op::Bltu => branch!(a!() < b!()),
                    Op::Bgeu => branch!(a!() >= b!()),
                    Op::Jal => {
                        link!();
                        jump!();
                    }
                    Op::Jalr => {
                        let target = effective_address(a!(), imm!()) & !1;
                        link!();
                        next_pc = target;
                        if W::ACTIVE {
                            let rd = if slot.rd == SINK { 0 } else { slot.rd };
                            let transfer = Transfer::of(rd, slot.rs1, i64::from(slot.imm));
                            if !watch.permits(transfer, next_pc) {
                                break 'page (Stop::Strayed, next_pc);
                            }
                        }
                        if watch.stops_at(next_pc) {
                            break 'page (Stop::Watched, next_pc);
                        }
                        continue 'page;
                    }
                    Op::Ecall => break 'page (Stop::Ecall, pc!()),
                    Op::Ebreak => match Leave::of(slot) {
                        Leave::Trap(kind) => trap!(kind),
                        Leave::Goto => line = slots[usize::from(slot.target)..].iter(),
                        Leave::Page => {
                            next_pc = pc!();
                            continue 'page;
                        }
                    },
                }
            }
        }
    };
    (*pc, *gas, *instructions) = (stop_pc, gas_left, executed);
    stop
}

/// Rule 4: the base is a 32-bit address, the sum is not cut.
#[inline(always)]
fn effective_address(base: u64, offset: u64) -> u64 {
    u64::from(base as u32).wrapping_add(offset)
}

#[cold]
fn access_fault(address: u64, len: usize, write: bool) -> TrapKind {
    TrapKind::AccessFault {
        address,
        len: len as u64,
        write,
    }
}
