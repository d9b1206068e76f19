//! Instruction forms: one encoding of one operation.

use super::format::{Format, Operands};
use super::op::{Extension, Op};

/// The CSR of accrued exceptions.
pub const FFLAGS: i32 = 1;
/// The CSR of the dynamic rounding mode.
pub const FRM: i32 = 2;
/// The CSR that holds both.
pub const FCSR: i32 = 3;

/// Operand values that a form excludes: they belong to another form, or are reserved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Constraint {
    /// rd is not x0.
    RdNotZero,
    /// rd is not sp.
    RdNotSp,
    /// rs1 is not x0.
    Rs1NotZero,
    /// rs2 is not x0.
    Rs2NotZero,
    /// The immediate is not 0.
    ImmediateNotZero,
    /// The rounding mode is one of the five, or the dynamic one.
    RoundingNotReserved,
    /// The CSR is `fflags`, `frm` or `fcsr`.
    FloatCsr,
}

impl Constraint {
    const fn holds(self, operands: &Operands) -> bool {
        match self {
            Self::RdNotZero => operands.rd != 0,
            Self::RdNotSp => operands.rd != 2,
            Self::Rs1NotZero => operands.rs1 != 0,
            Self::Rs2NotZero => operands.rs2 != 0,
            Self::ImmediateNotZero => operands.imm != 0,
            Self::RoundingNotReserved => !matches!(operands.imm, 5 | 6),
            Self::FloatCsr => matches!(operands.imm & 0xfff, FFLAGS..=FCSR),
        }
    }
}

/// One encoding of one operation. `word & mask == pattern`, and the constraints hold, for exactly the words of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Form {
    /// Name in the manual; compressed ones start with `c.`.
    pub name: &'static str,
    /// What it does.
    pub op: Op,
    /// The extension that makes it legal.
    pub extension: Extension,
    /// Fixed bits.
    pub mask: u32,
    /// Their values.
    pub pattern: u32,
    /// Where operands lie.
    pub format: Format,
    /// Operand values that are excluded.
    pub constraints: &'static [Constraint],
}

impl Form {
    /// Whether the encoding has 16 bits.
    #[must_use]
    pub const fn is_compressed(&self) -> bool {
        self.pattern & 3 != 3
    }

    /// Bytes of the encoding: 2 or 4.
    #[must_use]
    pub const fn length(&self) -> u8 {
        if self.is_compressed() { 2 } else { 4 }
    }

    /// The operands of `word` if it belongs to this form. A compressed form looks at the low half only.
    #[must_use]
    pub fn decode(&self, word: u32) -> Option<Operands> {
        if word & self.mask != self.pattern {
            return None;
        }
        let operands = self.format.extract(word);
        self.admits(&operands).then_some(operands)
    }

    /// The word with these operands and zero bits elsewhere, or `None` where the form cannot express them. The order
    /// of the fields is that of [`Operands`]; registers that the form implies have to be given as implied.
    #[must_use]
    pub fn encode(&self, operands: &Operands) -> Option<u32> {
        if !self.admits(operands) {
            return None;
        }
        Some(self.pattern | self.format.insert(operands)?)
    }

    /// Whether the operands are outside what the form excludes.
    #[must_use]
    pub fn admits(&self, operands: &Operands) -> bool {
        self.constraints
            .iter()
            .all(|constraint| constraint.holds(operands))
    }
}
