//! Forms of 16 bits: each expands to the operation of a 32-bit form.

use super::form::Constraint::{self, ImmediateNotZero, RdNotSp, RdNotZero, Rs1NotZero, Rs2NotZero};
use super::form::Form;
use super::format::{Format, narrow};
use super::op::{Extension, Op};

const QUADRANT0: u32 = 0;
const QUADRANT1: u32 = 1;
const QUADRANT2: u32 = 2;

const MASK_FUNCT3: u32 = 0xe003;
/// funct3 and the rd field.
const MASK_FUNCT3_RD: u32 = 0xef83;
/// funct3 and the two bits that tell shifts and logic apart.
const MASK_FUNCT2: u32 = 0xec03;
/// funct6 and the two bits that tell register operations apart.
const MASK_FUNCT6_2: u32 = 0xfc63;
/// funct4.
const MASK_FUNCT4: u32 = 0xf003;
/// funct4 and the rs2 field.
const MASK_FUNCT4_RS2: u32 = 0xf07f;

const fn form(
    name: &'static str,
    op: Op,
    mask: u32,
    pattern: u32,
    format: Format,
    constraints: &'static [Constraint],
) -> Form {
    Form {
        name,
        op,
        extension: Extension::C,
        mask,
        pattern,
        format,
        constraints,
    }
}

/// A form with quadrant and funct3 fixed.
const fn minor(name: &'static str, op: Op, quadrant: u32, funct3: u32, format: Format) -> Form {
    form(name, op, MASK_FUNCT3, funct3 << 13 | quadrant, format, &[])
}

/// The same with excluded operands.
const fn constrained(
    name: &'static str,
    op: Op,
    quadrant: u32,
    funct3: u32,
    format: Format,
    constraints: &'static [Constraint],
) -> Form {
    form(
        name,
        op,
        MASK_FUNCT3,
        funct3 << 13 | quadrant,
        format,
        constraints,
    )
}

/// Arithmetic on two of x8 to x15.
const fn short(name: &'static str, op: Op, funct6: u32, funct2: u32) -> Form {
    form(
        name,
        op,
        MASK_FUNCT6_2,
        funct6 << 10 | funct2 << 5 | QUADRANT1,
        narrow::SHORT_UPDATE,
        &[],
    )
}

/// A load or store of a double, with quadrant and funct3 fixed.
const fn float(name: &'static str, op: Op, quadrant: u32, funct3: u32, format: Format) -> Form {
    Form {
        extension: Extension::Zcd,
        ..minor(name, op, quadrant, funct3, format)
    }
}

/// Every 16-bit form. No two match the same word.
pub(super) const FORMS: &[Form] = &[
    constrained(
        "c.addi4spn",
        Op::Addi,
        QUADRANT0,
        0,
        narrow::ADDI4SPN,
        &[ImmediateNotZero],
    ),
    minor("c.lw", Op::Lw, QUADRANT0, 2, narrow::LOAD_WORD),
    minor("c.ld", Op::Ld, QUADRANT0, 3, narrow::LOAD_DOUBLE),
    minor("c.sw", Op::Sw, QUADRANT0, 6, narrow::STORE_WORD),
    minor("c.sd", Op::Sd, QUADRANT0, 7, narrow::STORE_DOUBLE),
    form("c.nop", Op::Addi, MASK_FUNCT3_RD, QUADRANT1, narrow::NOP, &[]),
    constrained(
        "c.addi",
        Op::Addi,
        QUADRANT1,
        0,
        narrow::ADD_IMMEDIATE,
        &[RdNotZero],
    ),
    constrained(
        "c.addiw",
        Op::Addiw,
        QUADRANT1,
        1,
        narrow::ADD_IMMEDIATE,
        &[RdNotZero],
    ),
    minor("c.li", Op::Addi, QUADRANT1, 2, narrow::LOAD_IMMEDIATE),
    form(
        "c.addi16sp",
        Op::Addi,
        MASK_FUNCT3_RD,
        0x6101,
        narrow::ADDI16SP,
        &[ImmediateNotZero],
    ),
    constrained(
        "c.lui",
        Op::Lui,
        QUADRANT1,
        3,
        narrow::UPPER,
        &[RdNotSp, ImmediateNotZero],
    ),
    form("c.srli", Op::Srli, MASK_FUNCT2, 0x8001, narrow::SHORT_SHIFT, &[]),
    form("c.srai", Op::Srai, MASK_FUNCT2, 0x8401, narrow::SHORT_SHIFT, &[]),
    form("c.andi", Op::Andi, MASK_FUNCT2, 0x8801, narrow::SHORT_AND, &[]),
    short("c.sub", Op::Sub, 0x23, 0),
    short("c.xor", Op::Xor, 0x23, 1),
    short("c.or", Op::Or, 0x23, 2),
    short("c.and", Op::And, 0x23, 3),
    short("c.subw", Op::Subw, 0x27, 0),
    short("c.addw", Op::Addw, 0x27, 1),
    minor("c.j", Op::Jal, QUADRANT1, 5, narrow::JUMP),
    minor("c.beqz", Op::Beq, QUADRANT1, 6, narrow::BRANCH),
    minor("c.bnez", Op::Bne, QUADRANT1, 7, narrow::BRANCH),
    minor("c.slli", Op::Slli, QUADRANT2, 0, narrow::SHIFT),
    constrained("c.lwsp", Op::Lw, QUADRANT2, 2, narrow::LOAD_WORD_SP, &[RdNotZero]),
    constrained(
        "c.ldsp",
        Op::Ld,
        QUADRANT2,
        3,
        narrow::LOAD_DOUBLE_SP,
        &[RdNotZero],
    ),
    form(
        "c.jr",
        Op::Jalr,
        MASK_FUNCT4_RS2,
        0x8002,
        narrow::JUMP_REGISTER,
        &[Rs1NotZero],
    ),
    form("c.mv", Op::Add, MASK_FUNCT4, 0x8002, narrow::MOVE, &[Rs2NotZero]),
    form("c.ebreak", Op::Ebreak, 0xffff, 0x9002, narrow::NONE, &[]),
    form(
        "c.jalr",
        Op::Jalr,
        MASK_FUNCT4_RS2,
        0x9002,
        narrow::CALL_REGISTER,
        &[Rs1NotZero],
    ),
    form(
        "c.add",
        Op::Add,
        MASK_FUNCT4,
        0x9002,
        narrow::UPDATE,
        &[Rs2NotZero],
    ),
    minor("c.swsp", Op::Sw, QUADRANT2, 6, narrow::STORE_WORD_SP),
    minor("c.sdsp", Op::Sd, QUADRANT2, 7, narrow::STORE_DOUBLE_SP),
    float("c.fld", Op::Fld, QUADRANT0, 1, narrow::LOAD_FLOAT),
    float("c.fsd", Op::Fsd, QUADRANT0, 5, narrow::STORE_FLOAT),
    float("c.fldsp", Op::Fld, QUADRANT2, 1, narrow::LOAD_FLOAT_SP),
    float("c.fsdsp", Op::Fsd, QUADRANT2, 5, narrow::STORE_FLOAT_SP),
];
