//! Forms of floating point: 32 bits wide, by extension, and the CSR instructions that reach its state.

use super::form::Constraint::{self, FloatCsr, RoundingNotReserved};
use super::form::Form;
use super::format::{Format, wide};
use super::op::Extension::{self, D, F, Zicsr};
use super::op::Op;

const LOAD_FP: u32 = 0x07;
const STORE_FP: u32 = 0x27;
const MADD: u32 = 0x43;
const MSUB: u32 = 0x47;
const NMSUB: u32 = 0x4b;
const NMADD: u32 = 0x4f;
const OP_FP: u32 = 0x53;
const SYSTEM: u32 = 0x73;

const MASK_FUNCT3: u32 = 0x0000_707f;
/// Major opcode and the two bits of the format.
const MASK_FORMAT: u32 = 0x0600_007f;
const MASK_FUNCT7: u32 = 0xfe00_007f;
const MASK_FUNCT7_3: u32 = 0xfe00_707f;
const MASK_FUNCT7_RS2: u32 = 0xfff0_007f;
const MASK_FUNCT7_RS2_3: u32 = 0xfff0_707f;

/// The format's bits in an encoding.
const fn format_bits(extension: Extension) -> u32 {
    match extension {
        D => 1 << 25,
        _ => 0,
    }
}

const fn form(
    name: &'static str,
    op: Op,
    extension: Extension,
    mask: u32,
    pattern: u32,
    format: Format,
    constraints: &'static [Constraint],
) -> Form {
    Form {
        name,
        op,
        extension,
        mask,
        pattern,
        format,
        constraints,
    }
}

/// A load or store: major opcode and width.
const fn access(
    name: &'static str,
    op: Op,
    extension: Extension,
    major: u32,
    width: u32,
    format: Format,
) -> Form {
    form(name, op, extension, MASK_FUNCT3, width << 12 | major, format, &[])
}

/// Three sources.
const fn fused(name: &'static str, op: Op, extension: Extension, major: u32) -> Form {
    form(
        name,
        op,
        extension,
        MASK_FORMAT,
        format_bits(extension) | major,
        wide::FLOAT_FUSED,
        &[RoundingNotReserved],
    )
}

/// Two sources, rounded.
const fn binary(name: &'static str, op: Op, extension: Extension, funct5: u32) -> Form {
    form(
        name,
        op,
        extension,
        MASK_FUNCT7,
        funct5 << 27 | format_bits(extension) | OP_FP,
        wide::FLOAT_BINARY,
        &[RoundingNotReserved],
    )
}

/// One source, rounded; what would be the second one says what it is made into.
const fn unary(
    name: &'static str,
    op: Op,
    extension: Extension,
    funct5: u32,
    rs2: u32,
    format: Format,
) -> Form {
    form(
        name,
        op,
        extension,
        MASK_FUNCT7_RS2,
        funct5 << 27 | format_bits(extension) | rs2 << 20 | OP_FP,
        format,
        &[RoundingNotReserved],
    )
}

/// Two sources, exact; funct3 tells operations apart.
const fn exact(
    name: &'static str,
    op: Op,
    extension: Extension,
    funct5: u32,
    funct3: u32,
    format: Format,
) -> Form {
    form(
        name,
        op,
        extension,
        MASK_FUNCT7_3,
        funct5 << 27 | format_bits(extension) | funct3 << 12 | OP_FP,
        format,
        &[],
    )
}

/// One source, exact.
const fn transfer(
    name: &'static str,
    op: Op,
    extension: Extension,
    funct5: u32,
    funct3: u32,
    format: Format,
) -> Form {
    Form {
        mask: MASK_FUNCT7_RS2_3,
        ..exact(name, op, extension, funct5, funct3, format)
    }
}

/// Access to a CSR.
const fn csr(name: &'static str, op: Op, funct3: u32, format: Format) -> Form {
    form(
        name,
        op,
        Zicsr,
        MASK_FUNCT3,
        funct3 << 12 | SYSTEM,
        format,
        &[FloatCsr],
    )
}

/// Every form. No two match the same word.
pub(super) const FORMS: &[Form] = &[
    access("flw", Op::Flw, F, LOAD_FP, 2, wide::FLOAT_LOAD),
    access("fsw", Op::Fsw, F, STORE_FP, 2, wide::FLOAT_STORE),
    fused("fmadd.s", Op::FmaddS, F, MADD),
    fused("fmsub.s", Op::FmsubS, F, MSUB),
    fused("fnmsub.s", Op::FnmsubS, F, NMSUB),
    fused("fnmadd.s", Op::FnmaddS, F, NMADD),
    binary("fadd.s", Op::FaddS, F, 0x00),
    binary("fsub.s", Op::FsubS, F, 0x01),
    binary("fmul.s", Op::FmulS, F, 0x02),
    binary("fdiv.s", Op::FdivS, F, 0x03),
    unary("fsqrt.s", Op::FsqrtS, F, 0x0b, 0, wide::FLOAT_UNARY),
    exact("fsgnj.s", Op::FsgnjS, F, 0x04, 0, wide::FLOAT_BITS),
    exact("fsgnjn.s", Op::FsgnjnS, F, 0x04, 1, wide::FLOAT_BITS),
    exact("fsgnjx.s", Op::FsgnjxS, F, 0x04, 2, wide::FLOAT_BITS),
    exact("fmin.s", Op::FminS, F, 0x05, 0, wide::FLOAT_BITS),
    exact("fmax.s", Op::FmaxS, F, 0x05, 1, wide::FLOAT_BITS),
    exact("fle.s", Op::FleS, F, 0x14, 0, wide::FLOAT_COMPARE),
    exact("flt.s", Op::FltS, F, 0x14, 1, wide::FLOAT_COMPARE),
    exact("feq.s", Op::FeqS, F, 0x14, 2, wide::FLOAT_COMPARE),
    unary("fcvt.w.s", Op::FcvtWS, F, 0x18, 0, wide::FLOAT_TO_INTEGER),
    unary("fcvt.wu.s", Op::FcvtWuS, F, 0x18, 1, wide::FLOAT_TO_INTEGER),
    unary("fcvt.l.s", Op::FcvtLS, F, 0x18, 2, wide::FLOAT_TO_INTEGER),
    unary("fcvt.lu.s", Op::FcvtLuS, F, 0x18, 3, wide::FLOAT_TO_INTEGER),
    unary("fcvt.s.w", Op::FcvtSW, F, 0x1a, 0, wide::INTEGER_TO_FLOAT),
    unary("fcvt.s.wu", Op::FcvtSWu, F, 0x1a, 1, wide::INTEGER_TO_FLOAT),
    unary("fcvt.s.l", Op::FcvtSL, F, 0x1a, 2, wide::INTEGER_TO_FLOAT),
    unary("fcvt.s.lu", Op::FcvtSLu, F, 0x1a, 3, wide::INTEGER_TO_FLOAT),
    transfer("fmv.x.w", Op::FmvXW, F, 0x1c, 0, wide::MOVE_TO_INTEGER),
    transfer("fclass.s", Op::FclassS, F, 0x1c, 1, wide::MOVE_TO_INTEGER),
    transfer("fmv.w.x", Op::FmvWX, F, 0x1e, 0, wide::MOVE_TO_FLOAT),
    access("fld", Op::Fld, D, LOAD_FP, 3, wide::FLOAT_LOAD),
    access("fsd", Op::Fsd, D, STORE_FP, 3, wide::FLOAT_STORE),
    fused("fmadd.d", Op::FmaddD, D, MADD),
    fused("fmsub.d", Op::FmsubD, D, MSUB),
    fused("fnmsub.d", Op::FnmsubD, D, NMSUB),
    fused("fnmadd.d", Op::FnmaddD, D, NMADD),
    binary("fadd.d", Op::FaddD, D, 0x00),
    binary("fsub.d", Op::FsubD, D, 0x01),
    binary("fmul.d", Op::FmulD, D, 0x02),
    binary("fdiv.d", Op::FdivD, D, 0x03),
    unary("fsqrt.d", Op::FsqrtD, D, 0x0b, 0, wide::FLOAT_UNARY),
    exact("fsgnj.d", Op::FsgnjD, D, 0x04, 0, wide::FLOAT_BITS),
    exact("fsgnjn.d", Op::FsgnjnD, D, 0x04, 1, wide::FLOAT_BITS),
    exact("fsgnjx.d", Op::FsgnjxD, D, 0x04, 2, wide::FLOAT_BITS),
    exact("fmin.d", Op::FminD, D, 0x05, 0, wide::FLOAT_BITS),
    exact("fmax.d", Op::FmaxD, D, 0x05, 1, wide::FLOAT_BITS),
    exact("fle.d", Op::FleD, D, 0x14, 0, wide::FLOAT_COMPARE),
    exact("flt.d", Op::FltD, D, 0x14, 1, wide::FLOAT_COMPARE),
    exact("feq.d", Op::FeqD, D, 0x14, 2, wide::FLOAT_COMPARE),
    unary("fcvt.w.d", Op::FcvtWD, D, 0x18, 0, wide::FLOAT_TO_INTEGER),
    unary("fcvt.wu.d", Op::FcvtWuD, D, 0x18, 1, wide::FLOAT_TO_INTEGER),
    unary("fcvt.l.d", Op::FcvtLD, D, 0x18, 2, wide::FLOAT_TO_INTEGER),
    unary("fcvt.lu.d", Op::FcvtLuD, D, 0x18, 3, wide::FLOAT_TO_INTEGER),
    unary("fcvt.d.w", Op::FcvtDW, D, 0x1a, 0, wide::INTEGER_TO_FLOAT),
    unary("fcvt.d.wu", Op::FcvtDWu, D, 0x1a, 1, wide::INTEGER_TO_FLOAT),
    unary("fcvt.d.l", Op::FcvtDL, D, 0x1a, 2, wide::INTEGER_TO_FLOAT),
    unary("fcvt.d.lu", Op::FcvtDLu, D, 0x1a, 3, wide::INTEGER_TO_FLOAT),
    transfer("fmv.x.d", Op::FmvXD, D, 0x1c, 0, wide::MOVE_TO_INTEGER),
    transfer("fclass.d", Op::FclassD, D, 0x1c, 1, wide::MOVE_TO_INTEGER),
    transfer("fmv.d.x", Op::FmvDX, D, 0x1e, 0, wide::MOVE_TO_FLOAT),
    Form {
        extension: D,
        ..unary("fcvt.s.d", Op::FcvtSD, F, 0x08, 1, wide::FLOAT_UNARY)
    },
    unary("fcvt.d.s", Op::FcvtDS, D, 0x08, 0, wide::FLOAT_UNARY),
    csr("csrrw", Op::Csrrw, 1, wide::CSR),
    csr("csrrs", Op::Csrrs, 2, wide::CSR),
    csr("csrrc", Op::Csrrc, 3, wide::CSR),
    csr("csrrwi", Op::Csrrwi, 5, wide::CSR_IMMEDIATE),
    csr("csrrsi", Op::Csrrsi, 6, wide::CSR_IMMEDIATE),
    csr("csrrci", Op::Csrrci, 7, wide::CSR_IMMEDIATE),
];
