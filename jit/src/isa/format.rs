//! Operand formats: where registers and immediates lie in an encoding.
//!
//! Each format is a row of data, read by decoder, encoder and disassembler alike, so that the three cannot disagree.

/// Number of f0 among registers: those of integers come first.
pub const F0: u8 = 32;

/// Operands of one instruction, expanded: implied registers are named, immediates are sign-extended and scaled. Registers
/// 0 to 31 are x0 to x31, those from [`F0`] on f0 to f31.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Operands {
    /// Destination, 0 where there is none.
    pub rd: u8,
    /// First source, 0 where there is none.
    pub rs1: u8,
    /// Second source, 0 where there is none.
    pub rs2: u8,
    /// Third source, 0 where there is none.
    pub rs3: u8,
    /// Immediate in bytes or bits, 0 where there is none. `lui` and `auipc` have it shifted into place, atomics have
    /// release in bit 0 and acquire in bit 1, `fence` has the successor set in bits 0 to 3 and the predecessors above,
    /// floating-point operations have their rounding mode, CSR instructions the CSR's number in bits 0 to 11 and what
    /// they write, if that is an immediate, above.
    pub imm: i32,
}

/// Where a register operand comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Register {
    /// The operation has no such operand.
    Absent,
    /// Five bits from this position.
    At(u8),
    /// Three bits from this position, meaning x8 to x15.
    Short(u8),
    /// Five bits from this position, meaning f0 to f31.
    Float(u8),
    /// Three bits from this position, meaning f8 to f15.
    ShortFloat(u8),
    /// Implied by the encoding.
    Implied(u8),
    /// The same register as `rd`.
    SameAsRd,
}

/// A run of immediate bits in an encoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// Lowest bit in the encoding.
    pub word_low: u8,
    /// Number of bits.
    pub width: u8,
    /// Lowest bit in the immediate.
    pub imm_low: u8,
}

/// How operands are written in assembly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Syntax {
    /// No operands.
    None,
    /// `rd, rs1, rs2`.
    Three,
    /// `rd, rs1, imm`.
    ThreeImmediate,
    /// `rd, rs1`.
    Two,
    /// `rd, imm`.
    DestinationImmediate,
    /// `rd, imm` with the upper 20 bits as a number.
    Upper,
    /// `rd, imm(rs1)`.
    Load,
    /// `rs2, imm(rs1)`.
    Store,
    /// `rs1, rs2, target`.
    Branch,
    /// `rd, target`.
    Jump,
    /// `rd, (rs1)`.
    LoadReserved,
    /// `rd, rs2, (rs1)`.
    Atomic,
    /// Predecessor and successor sets.
    Fence,
    /// `rd, rs2`: compressed operations on a destination that is also the first source.
    Update,
    /// `rs1`.
    Source,
    /// `rs1, target`.
    CompressedBranch,
    /// `target`.
    Target,
    /// `imm`.
    Immediate,
    /// `rd, rs1`, and the rounding mode unless it is dynamic.
    RoundedTwo,
    /// `rd, rs1, rs2`, and the rounding mode unless it is dynamic.
    RoundedThree,
    /// `rd, rs1, rs2, rs3`, and the rounding mode unless it is dynamic.
    RoundedFour,
    /// `rd, csr, rs1`.
    Csr,
    /// `rd, csr, imm`.
    CsrImmediate,
}

/// An operand format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Format {
    /// Destination.
    pub rd: Register,
    /// First source.
    pub rs1: Register,
    /// Second source.
    pub rs2: Register,
    /// Third source.
    pub rs3: Register,
    /// Immediate bits; none overlap.
    pub imm: &'static [Field],
    /// The highest immediate bit is its sign.
    pub signed: bool,
    /// How it is written.
    pub syntax: Syntax,
}

const fn bits(word_low: u8, width: u8, imm_low: u8) -> Field {
    Field {
        word_low,
        width,
        imm_low,
    }
}

impl Format {
    /// Reads the operands out of `word`.
    #[must_use]
    pub fn extract(&self, word: u32) -> Operands {
        let mut imm = 0_u32;
        let mut top = 0;
        for field in self.imm {
            imm |= (word >> field.word_low & low_mask(field.width)) << field.imm_low;
            top = top.max(field.imm_low + field.width);
        }
        let imm = if self.signed && top < 32 {
            let unused = 32 - u32::from(top);
            (imm << unused).cast_signed() >> unused
        } else {
            imm.cast_signed()
        };
        let rd = extract_register(self.rd, word, 0);
        let rs1 = extract_register(self.rs1, word, rd);
        let rs2 = extract_register(self.rs2, word, rd);
        let rs3 = extract_register(self.rs3, word, rd);
        Operands {
            rd,
            rs1,
            rs2,
            rs3,
            imm,
        }
    }

    /// The bits that encode `operands`, or `None` where this format cannot hold them.
    #[must_use]
    pub fn insert(&self, operands: &Operands) -> Option<u32> {
        let imm = operands.imm.cast_unsigned();
        let mut word = 0;
        for field in self.imm {
            word |= (imm >> field.imm_low & low_mask(field.width)) << field.word_low;
        }
        for (register, number) in [
            (self.rd, operands.rd),
            (self.rs1, operands.rs1),
            (self.rs2, operands.rs2),
            (self.rs3, operands.rs3),
        ] {
            word |= insert_register(register, number);
        }
        (self.extract(word) == *operands).then_some(word)
    }

    /// Bits of an encoding that hold operands.
    #[must_use]
    pub fn operand_mask(&self) -> u32 {
        let registers = [self.rd, self.rs1, self.rs2, self.rs3]
            .into_iter()
            .map(|register| match register {
                Register::At(low) | Register::Float(low) => 0x1f << low,
                Register::Short(low) | Register::ShortFloat(low) => 0x7 << low,
                Register::Absent | Register::Implied(_) | Register::SameAsRd => 0,
            });
        let fields = self
            .imm
            .iter()
            .map(|field| low_mask(field.width) << field.word_low);
        registers.chain(fields).fold(0, |mask, bits| mask | bits)
    }
}

const fn low_mask(width: u8) -> u32 {
    (1 << width) - 1
}

fn extract_register(register: Register, word: u32, rd: u8) -> u8 {
    match register {
        Register::Absent => 0,
        Register::At(low) => (word >> low & 0x1f) as u8,
        Register::Short(low) => (word >> low & 0x7) as u8 + 8,
        Register::Float(low) => (word >> low & 0x1f) as u8 + F0,
        Register::ShortFloat(low) => (word >> low & 0x7) as u8 + 8 + F0,
        Register::Implied(number) => number,
        Register::SameAsRd => rd,
    }
}

fn insert_register(register: Register, number: u8) -> u32 {
    match register {
        Register::At(low) | Register::Float(low) => u32::from(number & 0x1f) << low,
        Register::Short(low) | Register::ShortFloat(low) => u32::from(number & 0x7) << low,
        Register::Absent | Register::Implied(_) | Register::SameAsRd => 0,
    }
}

/// Formats of 32-bit encodings.
pub(super) mod wide {
    use super::Register::{Absent, At, Float};
    use super::{Field, Format, Register, Syntax, bits};

    const RD: Register = At(7);
    const RS1: Register = At(15);
    const RS2: Register = At(20);
    const I_IMM: &[Field] = &[bits(20, 12, 0)];
    const STORE_IMM: &[Field] = &[bits(7, 5, 0), bits(25, 7, 5)];

    const fn format(
        rd: Register,
        rs1: Register,
        rs2: Register,
        imm: &'static [Field],
        signed: bool,
        syntax: Syntax,
    ) -> Format {
        Format {
            rd,
            rs1,
            rs2,
            rs3: Absent,
            imm,
            signed,
            syntax,
        }
    }

    pub const R: Format = format(RD, RS1, RS2, &[], false, Syntax::Three);
    pub const I: Format = format(RD, RS1, Absent, I_IMM, true, Syntax::ThreeImmediate);
    pub const LOAD: Format = format(RD, RS1, Absent, I_IMM, true, Syntax::Load);
    pub const SHIFT64: Format = format(RD, RS1, Absent, &[bits(20, 6, 0)], false, Syntax::ThreeImmediate);
    pub const SHIFT32: Format = format(RD, RS1, Absent, &[bits(20, 5, 0)], false, Syntax::ThreeImmediate);
    pub const UNARY: Format = format(RD, RS1, Absent, &[], false, Syntax::Two);
    pub const STORE: Format = format(Absent, RS1, RS2, STORE_IMM, true, Syntax::Store);
    pub const BRANCH: Format = format(
        Absent,
        RS1,
        RS2,
        &[bits(8, 4, 1), bits(25, 6, 5), bits(7, 1, 11), bits(31, 1, 12)],
        true,
        Syntax::Branch,
    );
    pub const UPPER: Format = format(RD, Absent, Absent, &[bits(12, 20, 12)], true, Syntax::Upper);
    pub const JUMP: Format = format(
        RD,
        Absent,
        Absent,
        &[bits(21, 10, 1), bits(20, 1, 11), bits(12, 8, 12), bits(31, 1, 20)],
        true,
        Syntax::Jump,
    );
    /// Release in bit 0, acquire in bit 1. Without effect: a hart sees its own accesses in order whatever they say.
    const ORDERING: &[Field] = &[bits(25, 2, 0)];
    pub const LOAD_RESERVED: Format = format(RD, RS1, Absent, ORDERING, false, Syntax::LoadReserved);
    pub const ATOMIC: Format = format(RD, RS1, RS2, ORDERING, false, Syntax::Atomic);
    pub const FENCE: Format = format(Absent, Absent, Absent, &[bits(20, 8, 0)], false, Syntax::Fence);
    pub const NONE: Format = format(Absent, Absent, Absent, &[], false, Syntax::None);

    const FD: Register = Float(7);
    const FS1: Register = Float(15);
    const FS2: Register = Float(20);
    const ROUNDING: &[Field] = &[bits(12, 3, 0)];
    pub const FLOAT_LOAD: Format = format(FD, RS1, Absent, I_IMM, true, Syntax::Load);
    pub const FLOAT_STORE: Format = format(Absent, RS1, FS2, STORE_IMM, true, Syntax::Store);
    pub const FLOAT_FUSED: Format = Format {
        rs3: Float(27),
        ..format(FD, FS1, FS2, ROUNDING, false, Syntax::RoundedFour)
    };
    pub const FLOAT_BINARY: Format = format(FD, FS1, FS2, ROUNDING, false, Syntax::RoundedThree);
    pub const FLOAT_UNARY: Format = format(FD, FS1, Absent, ROUNDING, false, Syntax::RoundedTwo);
    pub const FLOAT_TO_INTEGER: Format = format(RD, FS1, Absent, ROUNDING, false, Syntax::RoundedTwo);
    pub const INTEGER_TO_FLOAT: Format = format(FD, RS1, Absent, ROUNDING, false, Syntax::RoundedTwo);
    pub const FLOAT_BITS: Format = format(FD, FS1, FS2, &[], false, Syntax::Three);
    pub const FLOAT_COMPARE: Format = format(RD, FS1, FS2, &[], false, Syntax::Three);
    pub const MOVE_TO_INTEGER: Format = format(RD, FS1, Absent, &[], false, Syntax::Two);
    pub const MOVE_TO_FLOAT: Format = format(FD, RS1, Absent, &[], false, Syntax::Two);
    pub const CSR: Format = format(RD, RS1, Absent, &[bits(20, 12, 0)], false, Syntax::Csr);
    pub const CSR_IMMEDIATE: Format = format(
        RD,
        Absent,
        Absent,
        &[bits(20, 12, 0), bits(15, 5, 12)],
        false,
        Syntax::CsrImmediate,
    );
}

/// Formats of 16-bit encodings, named as in the manual.
pub(super) mod narrow {
    use super::Register::{Absent, At, Float, Implied, SameAsRd, Short, ShortFloat};
    use super::{Field, Format, Register, Syntax, bits};

    const ZERO: Register = Implied(0);
    const RA: Register = Implied(1);
    const SP: Register = Implied(2);
    const CI_IMM: &[Field] = &[bits(2, 5, 0), bits(12, 1, 5)];
    const WORD_IMM: &[Field] = &[bits(6, 1, 2), bits(10, 3, 3), bits(5, 1, 6)];
    const DOUBLE_IMM: &[Field] = &[bits(10, 3, 3), bits(5, 2, 6)];
    const JUMP_IMM: &[Field] = &[
        bits(3, 3, 1),
        bits(11, 1, 4),
        bits(2, 1, 5),
        bits(7, 1, 6),
        bits(6, 1, 7),
        bits(9, 2, 8),
        bits(8, 1, 10),
        bits(12, 1, 11),
    ];
    const BRANCH_IMM: &[Field] = &[
        bits(3, 2, 1),
        bits(10, 2, 3),
        bits(2, 1, 5),
        bits(5, 2, 6),
        bits(12, 1, 8),
    ];

    const fn unsigned(
        rd: Register,
        rs1: Register,
        rs2: Register,
        imm: &'static [Field],
        syntax: Syntax,
    ) -> Format {
        Format {
            rd,
            rs1,
            rs2,
            rs3: Absent,
            imm,
            signed: false,
            syntax,
        }
    }

    const fn signed(
        rd: Register,
        rs1: Register,
        rs2: Register,
        imm: &'static [Field],
        syntax: Syntax,
    ) -> Format {
        Format {
            rd,
            rs1,
            rs2,
            rs3: Absent,
            imm,
            signed: true,
            syntax,
        }
    }

    pub const ADDI4SPN: Format = unsigned(
        Short(2),
        SP,
        Absent,
        &[bits(6, 1, 2), bits(5, 1, 3), bits(11, 2, 4), bits(7, 4, 6)],
        Syntax::ThreeImmediate,
    );
    pub const LOAD_WORD: Format = unsigned(Short(2), Short(7), Absent, WORD_IMM, Syntax::Load);
    pub const LOAD_DOUBLE: Format = unsigned(Short(2), Short(7), Absent, DOUBLE_IMM, Syntax::Load);
    pub const STORE_WORD: Format = unsigned(Absent, Short(7), Short(2), WORD_IMM, Syntax::Store);
    pub const STORE_DOUBLE: Format = unsigned(Absent, Short(7), Short(2), DOUBLE_IMM, Syntax::Store);
    pub const NOP: Format = signed(ZERO, ZERO, Absent, CI_IMM, Syntax::Immediate);
    pub const ADD_IMMEDIATE: Format = signed(At(7), SameAsRd, Absent, CI_IMM, Syntax::DestinationImmediate);
    pub const LOAD_IMMEDIATE: Format = signed(At(7), ZERO, Absent, CI_IMM, Syntax::DestinationImmediate);
    pub const ADDI16SP: Format = signed(
        SP,
        SP,
        Absent,
        &[
            bits(6, 1, 4),
            bits(2, 1, 5),
            bits(5, 1, 6),
            bits(3, 2, 7),
            bits(12, 1, 9),
        ],
        Syntax::DestinationImmediate,
    );
    pub const UPPER: Format = signed(
        At(7),
        Absent,
        Absent,
        &[bits(2, 5, 12), bits(12, 1, 17)],
        Syntax::Upper,
    );
    pub const SHIFT: Format = unsigned(At(7), SameAsRd, Absent, CI_IMM, Syntax::DestinationImmediate);
    pub const SHORT_SHIFT: Format =
        unsigned(Short(7), SameAsRd, Absent, CI_IMM, Syntax::DestinationImmediate);
    pub const SHORT_AND: Format = signed(Short(7), SameAsRd, Absent, CI_IMM, Syntax::DestinationImmediate);
    pub const SHORT_UPDATE: Format = unsigned(Short(7), SameAsRd, Short(2), &[], Syntax::Update);
    pub const JUMP: Format = signed(ZERO, Absent, Absent, JUMP_IMM, Syntax::Target);
    pub const BRANCH: Format = signed(Absent, Short(7), ZERO, BRANCH_IMM, Syntax::CompressedBranch);
    pub const LOAD_WORD_SP: Format = unsigned(
        At(7),
        SP,
        Absent,
        &[bits(4, 3, 2), bits(12, 1, 5), bits(2, 2, 6)],
        Syntax::Load,
    );
    const DOUBLE_SP_IMM: &[Field] = &[bits(5, 2, 3), bits(12, 1, 5), bits(2, 3, 6)];
    pub const LOAD_DOUBLE_SP: Format = unsigned(At(7), SP, Absent, DOUBLE_SP_IMM, Syntax::Load);
    pub const STORE_WORD_SP: Format =
        unsigned(Absent, SP, At(2), &[bits(9, 4, 2), bits(7, 2, 6)], Syntax::Store);
    pub const STORE_DOUBLE_SP: Format =
        unsigned(Absent, SP, At(2), &[bits(10, 3, 3), bits(7, 3, 6)], Syntax::Store);
    pub const LOAD_FLOAT: Format = unsigned(ShortFloat(2), Short(7), Absent, DOUBLE_IMM, Syntax::Load);
    pub const STORE_FLOAT: Format = unsigned(Absent, Short(7), ShortFloat(2), DOUBLE_IMM, Syntax::Store);
    pub const LOAD_FLOAT_SP: Format = unsigned(Float(7), SP, Absent, DOUBLE_SP_IMM, Syntax::Load);
    pub const STORE_FLOAT_SP: Format = unsigned(
        Absent,
        SP,
        Float(2),
        &[bits(10, 3, 3), bits(7, 3, 6)],
        Syntax::Store,
    );
    pub const JUMP_REGISTER: Format = unsigned(ZERO, At(7), Absent, &[], Syntax::Source);
    pub const CALL_REGISTER: Format = unsigned(RA, At(7), Absent, &[], Syntax::Source);
    pub const MOVE: Format = unsigned(At(7), ZERO, At(2), &[], Syntax::Update);
    pub const UPDATE: Format = unsigned(At(7), SameAsRd, At(2), &[], Syntax::Update);
    pub const NONE: Format = unsigned(Absent, Absent, Absent, &[], Syntax::None);
}
