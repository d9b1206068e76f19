//! What each operation does, a type for each, so that handlers can be made of one or of two.

use super::arithmetic as math;
use super::atomic::atomic;
use super::code::{Slot, THIRD_SOURCE};
use super::handlers::At;
use super::{Registers, Reservation};
use crate::float;
use crate::runtime::{AddressSpace, TrapKind};

/// What few operations need, and what is counted from line to line.
pub(super) struct Rest<'a> {
    /// Gas left. Lines are paid for when they begin.
    pub gas: u64,
    /// Instructions executed, up to the line that is being executed.
    pub executed: u64,
    /// Where that line begins.
    pub line: At,
    /// Lines that handlers may still go on to before they go back to the loop.
    pub lines: u32,
    /// Address of the page's first halfword.
    pub base: u64,
    /// Why the last operation that trapped did.
    pub trap: TrapKind,
    pub reservation: &'a mut Reservation,
    pub fcsr: &'a mut u64,
}

impl Rest<'_> {
    /// Address of an instruction.
    #[inline(always)]
    pub(super) fn pc(&self, slot: &Slot) -> u64 {
        self.base + u64::from(slot.position) * 2
    }

    #[cold]
    #[inline(never)]
    fn access_fault(&mut self, address: u64, len: usize, write: bool) {
        self.trap = TrapKind::AccessFault {
            address,
            len: len as u64,
            write,
        };
    }

    /// The address behind a jump.
    #[inline(always)]
    pub(super) fn link(&self, slot: &Slot) -> u64 {
        self.pc(slot) + u64::from(slot.rs2) * 2
    }
}

/// An operation with which the line goes on.
pub(super) trait Step {
    /// Executes a slot with `a` as its first source. Gives what went to rd; `None` where it trapped, for the reason left in
    /// `rest`.
    fn run(
        slot: &Slot,
        a: u64,
        registers: &mut Registers,
        memory: &mut AddressSpace<'_>,
        rest: &mut Rest<'_>,
    ) -> Option<u64>;
}

/// How a line ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum End {
    /// Behind a branch that is not taken.
    Through,
    /// At the target of a branch or direct jump.
    Taken,
    /// As the operation says.
    Leaves,
    /// Not yet: at an operation to be executed by itself.
    Pause,
    /// With a trap.
    Trap,
}

/// An operation that ends the line.
pub(super) trait Last {
    /// Executes a slot with `a` as its first source.
    fn end(slot: &Slot, a: u64, registers: &mut Registers, rest: &Rest<'_>) -> End;
}

/// The immediate as an operand.
#[inline(always)]
pub(super) fn immediate(slot: &Slot) -> u64 {
    i64::from(slot.imm).cast_unsigned()
}

/// Rule 4: the base is a 32-bit address, the sum is not cut.
#[inline(always)]
pub(super) fn effective_address(base: u64, offset: u64) -> u64 {
    u64::from(base as u32).wrapping_add(offset)
}

#[inline(always)]
fn second(slot: &Slot, registers: &Registers) -> u64 {
    registers[usize::from(slot.rs2)]
}

#[inline(always)]
fn set(slot: &Slot, registers: &mut Registers, value: u64) {
    registers[usize::from(slot.rd)] = value;
}

/// An operation that is a function of its sources. The compiler drops the reads of those that it does not name.
trait Compute {
    fn of(a: u64, b: u64, imm: u64) -> u64;
}

impl<C: Compute> Step for C {
    #[inline(always)]
    fn run(
        slot: &Slot,
        a: u64,
        registers: &mut Registers,
        _: &mut AddressSpace<'_>,
        _: &mut Rest<'_>,
    ) -> Option<u64> {
        let value = C::of(a, second(slot, registers), immediate(slot));
        set(slot, registers, value);
        Some(value)
    }
}

macro_rules! computations {
    ($($op:ident($a:pat, $b:pat, $imm:pat) => $value:expr;)*) => {
        $(
            pub(super) struct $op;

            impl Compute for $op {
                #[inline(always)]
                fn of($a: u64, $b: u64, $imm: u64) -> u64 {
                    $value
                }
            }
        )*

        /// Gives `$then!` the names of all of them.
        macro_rules! with_computations {
            ($then:ident) => { $then!($($op)*) };
        }
        pub(super) use with_computations;
    };
}

computations! {
    Lui(_, _, imm) => imm;
    Addi(a, _, imm) => a.wrapping_add(imm);
    Slti(a, _, imm) => math::less(a, imm);
    Sltiu(a, _, imm) => u64::from(a < imm);
    Xori(a, _, imm) => a ^ imm;
    Ori(a, _, imm) => a | imm;
    Andi(a, _, imm) => a & imm;
    Slli(a, _, imm) => a << (imm & 63);
    Srli(a, _, imm) => a >> (imm & 63);
    Srai(a, _, imm) => math::sra(a, imm);
    Add(a, b, _) => a.wrapping_add(b);
    Sub(a, b, _) => a.wrapping_sub(b);
    Sll(a, b, _) => a << (b & 63);
    Slt(a, b, _) => math::less(a, b);
    Sltu(a, b, _) => u64::from(a < b);
    Xor(a, b, _) => a ^ b;
    Srl(a, b, _) => a >> (b & 63);
    Sra(a, b, _) => math::sra(a, b);
    Or(a, b, _) => a | b;
    And(a, b, _) => a & b;
    Addiw(a, _, imm) => math::addw(a, imm);
    Slliw(a, _, imm) => math::sllw(a, imm);
    Srliw(a, _, imm) => math::srlw(a, imm);
    Sraiw(a, _, imm) => math::sraw(a, imm);
    Addw(a, b, _) => math::addw(a, b);
    Subw(a, b, _) => math::subw(a, b);
    Sllw(a, b, _) => math::sllw(a, b);
    Srlw(a, b, _) => math::srlw(a, b);
    Sraw(a, b, _) => math::sraw(a, b);
    Mul(a, b, _) => a.wrapping_mul(b);
    Mulh(a, b, _) => math::mulh(a, b);
    Mulhsu(a, b, _) => math::mulhsu(a, b);
    Mulhu(a, b, _) => math::mulhu(a, b);
    Mulw(a, b, _) => math::mulw(a, b);
    Div(a, b, _) => math::div(a, b);
    Divu(a, b, _) => a.checked_div(b).unwrap_or(u64::MAX);
    Rem(a, b, _) => math::rem(a, b);
    Remu(a, b, _) => a.checked_rem(b).unwrap_or(a);
    Divw(a, b, _) => math::divw(a, b);
    Divuw(a, b, _) => math::divuw(a, b);
    Remw(a, b, _) => math::remw(a, b);
    Remuw(a, b, _) => math::remuw(a, b);
    AddUw(a, b, _) => math::zero_extend(a).wrapping_add(b);
    Sh1add(a, b, _) => (a << 1).wrapping_add(b);
    Sh2add(a, b, _) => (a << 2).wrapping_add(b);
    Sh3add(a, b, _) => (a << 3).wrapping_add(b);
    Sh1addUw(a, b, _) => (math::zero_extend(a) << 1).wrapping_add(b);
    Sh2addUw(a, b, _) => (math::zero_extend(a) << 2).wrapping_add(b);
    Sh3addUw(a, b, _) => (math::zero_extend(a) << 3).wrapping_add(b);
    SlliUw(a, _, imm) => math::zero_extend(a) << (imm & 63);
    Andn(a, b, _) => a & !b;
    Orn(a, b, _) => a | !b;
    Xnor(a, b, _) => !(a ^ b);
    Clz(a, _, _) => u64::from(a.leading_zeros());
    Ctz(a, _, _) => u64::from(a.trailing_zeros());
    Cpop(a, _, _) => u64::from(a.count_ones());
    Clzw(a, _, _) => u64::from((a as u32).leading_zeros());
    Ctzw(a, _, _) => u64::from((a as u32).trailing_zeros());
    Cpopw(a, _, _) => u64::from((a as u32).count_ones());
    Max(a, b, _) => math::max(a, b);
    Maxu(a, b, _) => a.max(b);
    Min(a, b, _) => math::min(a, b);
    Minu(a, b, _) => a.min(b);
    SextB(a, _, _) => a as i8 as u64;
    SextH(a, _, _) => a as i16 as u64;
    ZextH(a, _, _) => u64::from(a as u16);
    Rol(a, b, _) => a.rotate_left((b & 63) as u32);
    Ror(a, b, _) => a.rotate_right((b & 63) as u32);
    Rori(a, _, imm) => a.rotate_right((imm & 63) as u32);
    Rolw(a, b, _) => math::rolw(a, b);
    Rorw(a, b, _) => math::rorw(a, b);
    Roriw(a, _, imm) => math::rorw(a, imm);
    OrcB(a, _, _) => math::or_combine_bytes(a);
    Rev8(a, _, _) => a.swap_bytes();
    Clmul(a, b, _) => math::carryless_multiply(a, b) as u64;
    Clmulh(a, b, _) => (math::carryless_multiply(a, b) >> 64) as u64;
    Clmulr(a, b, _) => (math::carryless_multiply(a, b) >> 63) as u64;
    Bclr(a, b, _) => a & !math::bit(b);
    Bclri(a, _, imm) => a & !math::bit(imm);
    Bext(a, b, _) => a >> (b & 63) & 1;
    Bexti(a, _, imm) => a >> (imm & 63) & 1;
    Binv(a, b, _) => a ^ math::bit(b);
    Binvi(a, _, imm) => a ^ math::bit(imm);
    Bset(a, b, _) => a | math::bit(b);
    Bseti(a, _, imm) => a | math::bit(imm);
    CzeroEqz(a, b, _) => if b == 0 { 0 } else { a };
    CzeroNez(a, b, _) => if b == 0 { a } else { 0 };
}

macro_rules! loads {
    ($($op:ident: $type:ty as $extended:ty $(, $held_as:expr)?;)*) => {$(
        pub(super) struct $op;

        impl Step for $op {
            #[inline(always)]
            fn run(
                slot: &Slot,
                a: u64,
                registers: &mut Registers,
                memory: &mut AddressSpace<'_>,
                rest: &mut Rest<'_>,
            ) -> Option<u64> {
                let address = effective_address(a, immediate(slot));
                let Some(bytes) = memory.load(address) else {
                    rest.access_fault(address, size_of::<$type>(), false);
                    return None;
                };
                let value = <$extended>::from(<$type>::from_le_bytes(bytes)) as u64;
                $(let value = $held_as(value);)?
                set(slot, registers, value);
                Some(value)
            }
        }
    )*};
}

loads! {
    Lb: i8 as i64;
    Lh: i16 as i64;
    Lw: i32 as i64;
    Ld: u64 as u64;
    Lbu: u8 as u64;
    Lhu: u16 as u64;
    Lwu: u32 as u64;
    Flw: u32 as u64, float::boxed_single;
    Fld: u64 as u64;
}

macro_rules! stores {
    ($($op:ident: $type:ty;)*) => {$(
        pub(super) struct $op;

        impl Step for $op {
            #[inline(always)]
            fn run(
                slot: &Slot,
                a: u64,
                registers: &mut Registers,
                memory: &mut AddressSpace<'_>,
                rest: &mut Rest<'_>,
            ) -> Option<u64> {
                let address = effective_address(a, immediate(slot));
                let value = (second(slot, registers) as $type).to_le_bytes();
                if memory.store(address, value).is_none() {
                    rest.access_fault(address, size_of::<$type>(), true);
                    return None;
                }
                Some(0)
            }
        }
    )*};
}

stores! {
    Sb: u8;
    Sh: u16;
    Sw: u32;
    Sd: u64;
    Fsw: u32;
    Fsd: u64;
}

macro_rules! steps {
    ($($(#[$attribute:meta])* $name:ident($slot:ident, $a:pat, $registers:pat, $memory:pat, $rest:pat) => $value:expr;)*) => {$(
        $(#[$attribute])*
        pub(super) struct $name;

        impl Step for $name {
            #[inline(always)]
            fn run(
                $slot: &Slot,
                $a: u64,
                registers: &mut Registers,
                $memory: &mut AddressSpace<'_>,
                $rest: &mut Rest<'_>,
            ) -> Option<u64> {
                let $registers = &*registers;
                let value = $value;
                set($slot, registers, value);
                Some(value)
            }
        }
    )*};
}

steps! {
    Auipc(slot, _, _, _, rest) => rest.pc(slot).wrapping_add(immediate(slot));
    /// LR, SC and AMOs.
    Atomic(slot, a, registers, memory, rest) => {
        let address = effective_address(a, 0);
        match atomic(slot.op, address, second(slot, registers), memory, rest.reservation) {
            Ok(value) => value,
            Err(kind) => {
                rest.trap = kind;
                return None;
            }
        }
    };
    /// What computes with floating-point registers.
    Float(slot, a, registers, _, rest) => {
        let third = registers[usize::from((slot.imm >> THIRD_SOURCE) as u8)];
        let sources = [a, second(slot, registers), third];
        let Some(value) = float::execute(slot.op, slot.imm as u8, sources, rest.fcsr) else {
            rest.trap = TrapKind::IllegalInstruction;
            return None;
        };
        value
    };
    /// Access to `fflags`, `frm` or `fcsr` with a register.
    Csr(slot, a, _, _, rest) => float::access_csr(slot.op, slot.imm, a, rest.fcsr);
    /// The same with an immediate, which is above the CSR's number.
    CsrImmediate(slot, _, _, _, rest) => {
        float::access_csr(slot.op, slot.imm, immediate(slot) >> 12, rest.fcsr)
    };
}

/// Fences, which do nothing on a single hart.
pub(super) struct Fence;

impl Step for Fence {
    #[inline(always)]
    fn run(_: &Slot, _: u64, _: &mut Registers, _: &mut AddressSpace<'_>, _: &mut Rest<'_>) -> Option<u64> {
        Some(0)
    }
}

macro_rules! branches {
    ($($op:ident($a:ident, $b:ident) => $taken:expr;)*) => {$(
        pub(super) struct $op;

        impl Last for $op {
            #[inline(always)]
            fn end(slot: &Slot, $a: u64, registers: &mut Registers, _: &Rest<'_>) -> End {
                let $b = second(slot, registers);
                if $taken { End::Taken } else { End::Through }
            }
        }
    )*};
}

branches! {
    Beq(a, b) => a == b;
    Bne(a, b) => a != b;
    Blt(a, b) => a.cast_signed() < b.cast_signed();
    Bge(a, b) => a.cast_signed() >= b.cast_signed();
    Bltu(a, b) => a < b;
    Bgeu(a, b) => a >= b;
}

pub(super) struct Jal;

impl Last for Jal {
    #[inline(always)]
    fn end(slot: &Slot, _: u64, registers: &mut Registers, rest: &Rest<'_>) -> End {
        set(slot, registers, rest.link(slot));
        End::Taken
    }
}

/// The target of a `jalr`, which is looked at before rd is written.
pub(super) fn jump_through_register(slot: &Slot, registers: &mut Registers, rest: &Rest<'_>) -> u64 {
    let base = registers[usize::from(slot.rs1)];
    let target = effective_address(base, immediate(slot)) & !1;
    set(slot, registers, rest.link(slot));
    target
}

/// What only the loop can do: `jalr`, `ecall`, and everything that an `ebreak` stands for.
pub(super) struct Leaving;

impl Last for Leaving {
    #[inline(always)]
    fn end(_: &Slot, _: u64, _: &mut Registers, _: &Rest<'_>) -> End {
        End::Leaves
    }
}
