//! What operations of F and D do, apart from their precision.

use crate::isa::Op;

/// The precision that an operation computes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Precision {
    Single,
    Double,
}

/// An integer in a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Integer {
    Word,
    UnsignedWord,
    Long,
    UnsignedLong,
}

impl Integer {
    pub(crate) const fn bits(self) -> u32 {
        match self {
            Self::Word | Self::UnsignedWord => 32,
            Self::Long | Self::UnsignedLong => 64,
        }
    }

    pub(crate) const fn is_signed(self) -> bool {
        matches!(self, Self::Word | Self::Long)
    }

    /// The largest, as a register holds it: words are sign-extended, unsigned ones too.
    pub(crate) const fn largest(self) -> u64 {
        match self {
            Self::Word => i32::MAX as u64,
            Self::Long => i64::MAX as u64,
            Self::UnsignedWord | Self::UnsignedLong => u64::MAX,
        }
    }

    /// The smallest, as a register holds it.
    pub(crate) const fn smallest(self) -> u64 {
        match self {
            Self::Word => i32::MIN as u64,
            Self::Long => i64::MIN as u64,
            Self::UnsignedWord | Self::UnsignedLong => 0,
        }
    }
}

/// What becomes of the sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sign {
    Copy,
    Negate,
    Xor,
}

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    SquareRoot,
    /// The product of the first two and the third.
    Fused {
        negates_product: bool,
        negates_addend: bool,
    },
    InjectSign(Sign),
    Minimum,
    Maximum,
    Equal,
    Less,
    LessOrEqual,
    Classify,
    /// Into an integer register.
    ToInteger(Integer),
    /// From an integer register.
    FromInteger(Integer),
    /// From the other precision.
    FromOther,
    /// Bits into an integer register.
    MoveToInteger,
    /// Bits from an integer register.
    MoveFromInteger,
}

const fn fused(negates_product: bool, negates_addend: bool) -> Operation {
    Operation::Fused {
        negates_product,
        negates_addend,
    }
}

impl Operation {
    /// What a floating-point operation does, and in which precision.
    ///
    /// # Panics
    /// If it is none.
    pub(crate) fn of(op: Op) -> (Precision, Self) {
        use Integer::{Long, UnsignedLong, UnsignedWord, Word};
        use Precision::{Double, Single};
        match op {
            Op::FaddS => (Single, Self::Add),
            Op::FaddD => (Double, Self::Add),
            Op::FsubS => (Single, Self::Subtract),
            Op::FsubD => (Double, Self::Subtract),
            Op::FmulS => (Single, Self::Multiply),
            Op::FmulD => (Double, Self::Multiply),
            Op::FdivS => (Single, Self::Divide),
            Op::FdivD => (Double, Self::Divide),
            Op::FsqrtS => (Single, Self::SquareRoot),
            Op::FsqrtD => (Double, Self::SquareRoot),
            Op::FmaddS => (Single, fused(false, false)),
            Op::FmaddD => (Double, fused(false, false)),
            Op::FmsubS => (Single, fused(false, true)),
            Op::FmsubD => (Double, fused(false, true)),
            Op::FnmsubS => (Single, fused(true, false)),
            Op::FnmsubD => (Double, fused(true, false)),
            Op::FnmaddS => (Single, fused(true, true)),
            Op::FnmaddD => (Double, fused(true, true)),
            Op::FsgnjS => (Single, Self::InjectSign(Sign::Copy)),
            Op::FsgnjD => (Double, Self::InjectSign(Sign::Copy)),
            Op::FsgnjnS => (Single, Self::InjectSign(Sign::Negate)),
            Op::FsgnjnD => (Double, Self::InjectSign(Sign::Negate)),
            Op::FsgnjxS => (Single, Self::InjectSign(Sign::Xor)),
            Op::FsgnjxD => (Double, Self::InjectSign(Sign::Xor)),
            Op::FminS => (Single, Self::Minimum),
            Op::FminD => (Double, Self::Minimum),
            Op::FmaxS => (Single, Self::Maximum),
            Op::FmaxD => (Double, Self::Maximum),
            Op::FeqS => (Single, Self::Equal),
            Op::FeqD => (Double, Self::Equal),
            Op::FltS => (Single, Self::Less),
            Op::FltD => (Double, Self::Less),
            Op::FleS => (Single, Self::LessOrEqual),
            Op::FleD => (Double, Self::LessOrEqual),
            Op::FclassS => (Single, Self::Classify),
            Op::FclassD => (Double, Self::Classify),
            Op::FcvtWS => (Single, Self::ToInteger(Word)),
            Op::FcvtWD => (Double, Self::ToInteger(Word)),
            Op::FcvtWuS => (Single, Self::ToInteger(UnsignedWord)),
            Op::FcvtWuD => (Double, Self::ToInteger(UnsignedWord)),
            Op::FcvtLS => (Single, Self::ToInteger(Long)),
            Op::FcvtLD => (Double, Self::ToInteger(Long)),
            Op::FcvtLuS => (Single, Self::ToInteger(UnsignedLong)),
            Op::FcvtLuD => (Double, Self::ToInteger(UnsignedLong)),
            Op::FcvtSW => (Single, Self::FromInteger(Word)),
            Op::FcvtDW => (Double, Self::FromInteger(Word)),
            Op::FcvtSWu => (Single, Self::FromInteger(UnsignedWord)),
            Op::FcvtDWu => (Double, Self::FromInteger(UnsignedWord)),
            Op::FcvtSL => (Single, Self::FromInteger(Long)),
            Op::FcvtDL => (Double, Self::FromInteger(Long)),
            Op::FcvtSLu => (Single, Self::FromInteger(UnsignedLong)),
            Op::FcvtDLu => (Double, Self::FromInteger(UnsignedLong)),
            Op::FcvtSD => (Single, Self::FromOther),
            Op::FcvtDS => (Double, Self::FromOther),
            Op::FmvXW => (Single, Self::MoveToInteger),
            Op::FmvXD => (Double, Self::MoveToInteger),
            Op::FmvWX => (Single, Self::MoveFromInteger),
            Op::FmvDX => (Double, Self::MoveFromInteger),
            _ => unreachable!("{op:?} is no floating-point operation"),
        }
    }
}
