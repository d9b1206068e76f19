//! Assembly text: names of the manual, ABI register names, no aliases, compressed forms as `c.*`.

use std::fmt::{self, Display, Formatter};

use super::decode::Instruction;
use super::form::{FFLAGS, FRM};
use super::format::Syntax;

const REGISTER_NAMES: [&str; 64] = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5", "a6",
    "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6", "ft0", "ft1",
    "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2", "fa3", "fa4", "fa5", "fa6",
    "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10",
    "ft11",
];

/// ABI name of a register: x0 to x31, and f0 to f31 from 32 on.
///
/// # Panics
/// If `register` is not below 64.
#[must_use]
pub const fn register_name(register: u8) -> &'static str {
    REGISTER_NAMES[register as usize]
}

/// An instruction at an address, to be displayed: jump targets are absolute.
#[derive(Clone, Copy, Debug)]
pub struct Disassembly<'a> {
    instruction: &'a Instruction,
    pc: u64,
}

impl Instruction {
    /// Its text if it stands at `pc`.
    #[must_use]
    pub const fn at(&self, pc: u64) -> Disassembly<'_> {
        Disassembly {
            instruction: self,
            pc,
        }
    }
}

impl Display for Disassembly<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Instruction { form, operands } = self.instruction;
        let (rd, rs1, rs2, rs3) = (
            register_name(operands.rd),
            register_name(operands.rs1),
            register_name(operands.rs2),
            register_name(operands.rs3),
        );
        let imm = operands.imm;
        let target = self.pc.wrapping_add_signed(i64::from(imm));
        f.write_str(form.name)?;
        match form.format.syntax {
            Syntax::None => Ok(()),
            Syntax::Three => write!(f, " {rd}, {rs1}, {rs2}"),
            Syntax::ThreeImmediate => write!(f, " {rd}, {rs1}, {imm}"),
            Syntax::Two => write!(f, " {rd}, {rs1}"),
            Syntax::DestinationImmediate => write!(f, " {rd}, {imm}"),
            Syntax::Upper => write!(f, " {rd}, {:#x}", imm.cast_unsigned() >> 12),
            Syntax::Load => write!(f, " {rd}, {imm}({rs1})"),
            Syntax::Store => write!(f, " {rs2}, {imm}({rs1})"),
            Syntax::Branch => write!(f, " {rs1}, {rs2}, {target:#x}"),
            Syntax::Jump => write!(f, " {rd}, {target:#x}"),
            Syntax::LoadReserved => write!(f, "{} {rd}, ({rs1})", ordering(imm)),
            Syntax::Atomic => write!(f, "{} {rd}, {rs2}, ({rs1})", ordering(imm)),
            Syntax::Fence => write!(f, " {}, {}", FenceSet(imm >> 4), FenceSet(imm)),
            Syntax::Update => write!(f, " {rd}, {rs2}"),
            Syntax::Source => write!(f, " {rs1}"),
            Syntax::CompressedBranch => write!(f, " {rs1}, {target:#x}"),
            Syntax::Target => write!(f, " {target:#x}"),
            Syntax::Immediate if imm == 0 => Ok(()),
            Syntax::Immediate => write!(f, " {imm}"),
            Syntax::RoundedTwo => write!(f, " {rd}, {rs1}{}", rounding(imm)),
            Syntax::RoundedThree => write!(f, " {rd}, {rs1}, {rs2}{}", rounding(imm)),
            Syntax::RoundedFour => write!(f, " {rd}, {rs1}, {rs2}, {rs3}{}", rounding(imm)),
            Syntax::Csr => write!(f, " {rd}, {}, {rs1}", csr_name(imm)),
            Syntax::CsrImmediate => write!(f, " {rd}, {}, {}", csr_name(imm), imm >> 12),
        }
    }
}

/// A rounding mode as the last operand; the dynamic one goes without saying.
const fn rounding(mode: i32) -> &'static str {
    match mode {
        0 => ", rne",
        1 => ", rtz",
        2 => ", rdn",
        3 => ", rup",
        4 => ", rmm",
        _ => "",
    }
}

/// Name of a CSR whose number is in the low bits.
const fn csr_name(imm: i32) -> &'static str {
    match imm & 0xfff {
        FFLAGS => "fflags",
        FRM => "frm",
        _ => "fcsr",
    }
}

/// Suffix of an atomic's name.
const fn ordering(bits: i32) -> &'static str {
    match bits & 3 {
        0 => "",
        1 => ".rl",
        2 => ".aq",
        _ => ".aqrl",
    }
}

/// A predecessor or successor set of a fence: the low four bits.
struct FenceSet(i32);

impl Display for FenceSet {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0 & 0xf == 0 {
            return f.write_str("0");
        }
        let letters = [(8, "i"), (4, "o"), (2, "r"), (1, "w")];
        letters
            .into_iter()
            .filter(|(bit, _)| self.0 & bit != 0)
            .try_for_each(|(_, letter)| f.write_str(letter))
    }
}
