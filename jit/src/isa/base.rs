//! Forms of 32 bits, by extension.

use super::form::Form;
use super::format::{Format, wide};
use super::op::Extension::{self, A, I, M, Zba, Zbb, Zbc, Zbs, Zicond, Zifencei};
use super::op::Op;

const LOAD: u32 = 0x03;
const MISC_MEM: u32 = 0x0f;
const OP_IMM: u32 = 0x13;
const AUIPC: u32 = 0x17;
const OP_IMM_32: u32 = 0x1b;
const STORE: u32 = 0x23;
const AMO: u32 = 0x2f;
const OP: u32 = 0x33;
const LUI: u32 = 0x37;
const OP_32: u32 = 0x3b;
const BRANCH: u32 = 0x63;
const JALR: u32 = 0x67;
const JAL: u32 = 0x6f;

const MASK_OPCODE: u32 = 0x0000_007f;
const MASK_FUNCT3: u32 = 0x0000_707f;
const MASK_FUNCT5: u32 = 0xf800_707f;
const MASK_FUNCT6: u32 = 0xfc00_707f;
const MASK_FUNCT7: u32 = 0xfe00_707f;
const MASK_FUNCT12: u32 = 0xfff0_707f;
const MASK_LOAD_RESERVED: u32 = 0xf9f0_707f;

const fn form(
    name: &'static str,
    op: Op,
    extension: Extension,
    mask: u32,
    pattern: u32,
    format: Format,
) -> Form {
    Form {
        name,
        op,
        extension,
        mask,
        pattern,
        format,
        constraints: &[],
    }
}

/// A form with major opcode and funct3 fixed.
const fn minor(name: &'static str, op: Op, major: u32, funct3: u32, format: Format) -> Form {
    form(name, op, I, MASK_FUNCT3, funct3 << 12 | major, format)
}

/// Three registers.
const fn r(name: &'static str, op: Op, extension: Extension, major: u32, funct7: u32, funct3: u32) -> Form {
    form(
        name,
        op,
        extension,
        MASK_FUNCT7,
        funct7 << 25 | funct3 << 12 | major,
        wide::R,
    )
}

/// A shift or bit number of six bits; `funct7`'s lowest bit belongs to it.
const fn shift64(
    name: &'static str,
    op: Op,
    extension: Extension,
    major: u32,
    funct7: u32,
    funct3: u32,
) -> Form {
    form(
        name,
        op,
        extension,
        MASK_FUNCT6,
        funct7 << 25 | funct3 << 12 | major,
        wide::SHIFT64,
    )
}

/// A shift of five bits.
const fn shift32(name: &'static str, op: Op, extension: Extension, funct7: u32, funct3: u32) -> Form {
    form(
        name,
        op,
        extension,
        MASK_FUNCT7,
        funct7 << 25 | funct3 << 12 | OP_IMM_32,
        wide::SHIFT32,
    )
}

/// One source register, everything above it fixed.
const fn unary(name: &'static str, op: Op, major: u32, funct12: u32, funct3: u32) -> Form {
    form(
        name,
        op,
        Zbb,
        MASK_FUNCT12,
        funct12 << 20 | funct3 << 12 | major,
        wide::UNARY,
    )
}

/// LR: no second source. The two ordering bits are free.
const fn load_reserved(name: &'static str, op: Op, funct3: u32) -> Form {
    form(
        name,
        op,
        A,
        MASK_LOAD_RESERVED,
        0x02 << 27 | funct3 << 12 | AMO,
        wide::LOAD_RESERVED,
    )
}

/// SC and AMOs. The two ordering bits are free.
const fn atomic(name: &'static str, op: Op, funct5: u32, funct3: u32) -> Form {
    form(
        name,
        op,
        A,
        MASK_FUNCT5,
        funct5 << 27 | funct3 << 12 | AMO,
        wide::ATOMIC,
    )
}

/// Every 32-bit form. Of two that match a word the earlier one wins.
pub(super) const FORMS: &[Form] = &[
    form("lui", Op::Lui, I, MASK_OPCODE, LUI, wide::UPPER),
    form("auipc", Op::Auipc, I, MASK_OPCODE, AUIPC, wide::UPPER),
    form("jal", Op::Jal, I, MASK_OPCODE, JAL, wide::JUMP),
    minor("jalr", Op::Jalr, JALR, 0, wide::LOAD),
    minor("beq", Op::Beq, BRANCH, 0, wide::BRANCH),
    minor("bne", Op::Bne, BRANCH, 1, wide::BRANCH),
    minor("blt", Op::Blt, BRANCH, 4, wide::BRANCH),
    minor("bge", Op::Bge, BRANCH, 5, wide::BRANCH),
    minor("bltu", Op::Bltu, BRANCH, 6, wide::BRANCH),
    minor("bgeu", Op::Bgeu, BRANCH, 7, wide::BRANCH),
    minor("lb", Op::Lb, LOAD, 0, wide::LOAD),
    minor("lh", Op::Lh, LOAD, 1, wide::LOAD),
    minor("lw", Op::Lw, LOAD, 2, wide::LOAD),
    minor("ld", Op::Ld, LOAD, 3, wide::LOAD),
    minor("lbu", Op::Lbu, LOAD, 4, wide::LOAD),
    minor("lhu", Op::Lhu, LOAD, 5, wide::LOAD),
    minor("lwu", Op::Lwu, LOAD, 6, wide::LOAD),
    minor("sb", Op::Sb, STORE, 0, wide::STORE),
    minor("sh", Op::Sh, STORE, 1, wide::STORE),
    minor("sw", Op::Sw, STORE, 2, wide::STORE),
    minor("sd", Op::Sd, STORE, 3, wide::STORE),
    minor("addi", Op::Addi, OP_IMM, 0, wide::I),
    minor("slti", Op::Slti, OP_IMM, 2, wide::I),
    minor("sltiu", Op::Sltiu, OP_IMM, 3, wide::I),
    minor("xori", Op::Xori, OP_IMM, 4, wide::I),
    minor("ori", Op::Ori, OP_IMM, 6, wide::I),
    minor("andi", Op::Andi, OP_IMM, 7, wide::I),
    shift64("slli", Op::Slli, I, OP_IMM, 0x00, 1),
    shift64("srli", Op::Srli, I, OP_IMM, 0x00, 5),
    shift64("srai", Op::Srai, I, OP_IMM, 0x20, 5),
    r("add", Op::Add, I, OP, 0x00, 0),
    r("sub", Op::Sub, I, OP, 0x20, 0),
    r("sll", Op::Sll, I, OP, 0x00, 1),
    r("slt", Op::Slt, I, OP, 0x00, 2),
    r("sltu", Op::Sltu, I, OP, 0x00, 3),
    r("xor", Op::Xor, I, OP, 0x00, 4),
    r("srl", Op::Srl, I, OP, 0x00, 5),
    r("sra", Op::Sra, I, OP, 0x20, 5),
    r("or", Op::Or, I, OP, 0x00, 6),
    r("and", Op::And, I, OP, 0x00, 7),
    minor("addiw", Op::Addiw, OP_IMM_32, 0, wide::I),
    shift32("slliw", Op::Slliw, I, 0x00, 1),
    shift32("srliw", Op::Srliw, I, 0x00, 5),
    shift32("sraiw", Op::Sraiw, I, 0x20, 5),
    r("addw", Op::Addw, I, OP_32, 0x00, 0),
    r("subw", Op::Subw, I, OP_32, 0x20, 0),
    r("sllw", Op::Sllw, I, OP_32, 0x00, 1),
    r("srlw", Op::Srlw, I, OP_32, 0x00, 5),
    r("sraw", Op::Sraw, I, OP_32, 0x20, 5),
    // The manual tells implementations to ignore every other field of a fence, so no encoding of it is reserved.
    form("fence.tso", Op::Fence, I, 0xffff_ffff, 0x8330_000f, wide::NONE),
    form("pause", Op::Fence, I, 0xffff_ffff, 0x0100_000f, wide::NONE),
    minor("fence", Op::Fence, MISC_MEM, 0, wide::FENCE),
    form("ecall", Op::Ecall, I, 0xffff_ffff, 0x0000_0073, wide::NONE),
    form("ebreak", Op::Ebreak, I, 0xffff_ffff, 0x0010_0073, wide::NONE),
    form(
        "fence.i",
        Op::FenceI,
        Zifencei,
        MASK_FUNCT3,
        0x1 << 12 | MISC_MEM,
        wide::NONE,
    ),
    r("mul", Op::Mul, M, OP, 0x01, 0),
    r("mulh", Op::Mulh, M, OP, 0x01, 1),
    r("mulhsu", Op::Mulhsu, M, OP, 0x01, 2),
    r("mulhu", Op::Mulhu, M, OP, 0x01, 3),
    r("div", Op::Div, M, OP, 0x01, 4),
    r("divu", Op::Divu, M, OP, 0x01, 5),
    r("rem", Op::Rem, M, OP, 0x01, 6),
    r("remu", Op::Remu, M, OP, 0x01, 7),
    r("mulw", Op::Mulw, M, OP_32, 0x01, 0),
    r("divw", Op::Divw, M, OP_32, 0x01, 4),
    r("divuw", Op::Divuw, M, OP_32, 0x01, 5),
    r("remw", Op::Remw, M, OP_32, 0x01, 6),
    r("remuw", Op::Remuw, M, OP_32, 0x01, 7),
    load_reserved("lr.w", Op::LrW, 2),
    atomic("sc.w", Op::ScW, 0x03, 2),
    atomic("amoswap.w", Op::AmoswapW, 0x01, 2),
    atomic("amoadd.w", Op::AmoaddW, 0x00, 2),
    atomic("amoxor.w", Op::AmoxorW, 0x04, 2),
    atomic("amoand.w", Op::AmoandW, 0x0c, 2),
    atomic("amoor.w", Op::AmoorW, 0x08, 2),
    atomic("amomin.w", Op::AmominW, 0x10, 2),
    atomic("amomax.w", Op::AmomaxW, 0x14, 2),
    atomic("amominu.w", Op::AmominuW, 0x18, 2),
    atomic("amomaxu.w", Op::AmomaxuW, 0x1c, 2),
    load_reserved("lr.d", Op::LrD, 3),
    atomic("sc.d", Op::ScD, 0x03, 3),
    atomic("amoswap.d", Op::AmoswapD, 0x01, 3),
    atomic("amoadd.d", Op::AmoaddD, 0x00, 3),
    atomic("amoxor.d", Op::AmoxorD, 0x04, 3),
    atomic("amoand.d", Op::AmoandD, 0x0c, 3),
    atomic("amoor.d", Op::AmoorD, 0x08, 3),
    atomic("amomin.d", Op::AmominD, 0x10, 3),
    atomic("amomax.d", Op::AmomaxD, 0x14, 3),
    atomic("amominu.d", Op::AmominuD, 0x18, 3),
    atomic("amomaxu.d", Op::AmomaxuD, 0x1c, 3),
    r("add.uw", Op::AddUw, Zba, OP_32, 0x04, 0),
    r("sh1add", Op::Sh1add, Zba, OP, 0x10, 2),
    r("sh2add", Op::Sh2add, Zba, OP, 0x10, 4),
    r("sh3add", Op::Sh3add, Zba, OP, 0x10, 6),
    r("sh1add.uw", Op::Sh1addUw, Zba, OP_32, 0x10, 2),
    r("sh2add.uw", Op::Sh2addUw, Zba, OP_32, 0x10, 4),
    r("sh3add.uw", Op::Sh3addUw, Zba, OP_32, 0x10, 6),
    shift64("slli.uw", Op::SlliUw, Zba, OP_IMM_32, 0x04, 1),
    r("andn", Op::Andn, Zbb, OP, 0x20, 7),
    r("orn", Op::Orn, Zbb, OP, 0x20, 6),
    r("xnor", Op::Xnor, Zbb, OP, 0x20, 4),
    unary("clz", Op::Clz, OP_IMM, 0x600, 1),
    unary("ctz", Op::Ctz, OP_IMM, 0x601, 1),
    unary("cpop", Op::Cpop, OP_IMM, 0x602, 1),
    unary("clzw", Op::Clzw, OP_IMM_32, 0x600, 1),
    unary("ctzw", Op::Ctzw, OP_IMM_32, 0x601, 1),
    unary("cpopw", Op::Cpopw, OP_IMM_32, 0x602, 1),
    r("max", Op::Max, Zbb, OP, 0x05, 6),
    r("maxu", Op::Maxu, Zbb, OP, 0x05, 7),
    r("min", Op::Min, Zbb, OP, 0x05, 4),
    r("minu", Op::Minu, Zbb, OP, 0x05, 5),
    unary("sext.b", Op::SextB, OP_IMM, 0x604, 1),
    unary("sext.h", Op::SextH, OP_IMM, 0x605, 1),
    unary("zext.h", Op::ZextH, OP_32, 0x080, 4),
    r("rol", Op::Rol, Zbb, OP, 0x30, 1),
    r("ror", Op::Ror, Zbb, OP, 0x30, 5),
    shift64("rori", Op::Rori, Zbb, OP_IMM, 0x30, 5),
    r("rolw", Op::Rolw, Zbb, OP_32, 0x30, 1),
    r("rorw", Op::Rorw, Zbb, OP_32, 0x30, 5),
    shift32("roriw", Op::Roriw, Zbb, 0x30, 5),
    unary("orc.b", Op::OrcB, OP_IMM, 0x287, 5),
    unary("rev8", Op::Rev8, OP_IMM, 0x6b8, 5),
    r("clmul", Op::Clmul, Zbc, OP, 0x05, 1),
    r("clmulh", Op::Clmulh, Zbc, OP, 0x05, 3),
    r("clmulr", Op::Clmulr, Zbc, OP, 0x05, 2),
    r("bclr", Op::Bclr, Zbs, OP, 0x24, 1),
    shift64("bclri", Op::Bclri, Zbs, OP_IMM, 0x24, 1),
    r("bext", Op::Bext, Zbs, OP, 0x24, 5),
    shift64("bexti", Op::Bexti, Zbs, OP_IMM, 0x24, 5),
    r("binv", Op::Binv, Zbs, OP, 0x34, 1),
    shift64("binvi", Op::Binvi, Zbs, OP_IMM, 0x34, 1),
    r("bset", Op::Bset, Zbs, OP, 0x14, 1),
    shift64("bseti", Op::Bseti, Zbs, OP_IMM, 0x14, 1),
    r("czero.eqz", Op::CzeroEqz, Zicond, OP, 0x07, 5),
    r("czero.nez", Op::CzeroNez, Zicond, OP, 0x07, 7),
];
