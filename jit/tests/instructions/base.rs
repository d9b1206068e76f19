//! RV64I and M computations.

use crate::common::CODE;
use crate::compute::Row::{self, Binary, Constant, Immediate};

const MIN: u64 = 1 << 63;
const MAX: u64 = MIN - 1;
const ONES: u64 = u64::MAX;
/// The least 32-bit value, as a register holds it.
const MINW: u64 = 0xffff_ffff_8000_0000;

pub const TABLE: &[Row] = &[
    Constant(
        "lui",
        &[
            (0, 0),
            (0x1000, 0x1000),
            (0x7fff_f000, 0x7fff_f000),
            (i32::MIN, MINW),
            (-4096, 0xffff_ffff_ffff_f000),
        ],
    ),
    Constant(
        "auipc",
        &[
            (0, CODE),
            (0x1000, CODE + 0x1000),
            (0x7fff_f000, CODE + 0x7fff_f000),
            // A 64-bit sum: below zero it wraps to the top.
            (i32::MIN, 0xffff_ffff_8000_0000 + CODE),
            (-4096, CODE - 4096),
        ],
    ),
    Immediate(
        "addi",
        &[
            (0, 0, 0),
            (5, -1, 4),
            (0, -1, ONES),
            (ONES, 1, 0),
            (MAX, 1, MIN),
            (0x7fff_ffff, 1, 0x8000_0000),
            (0, 2047, 2047),
            (0, -2048, 0xffff_ffff_ffff_f800),
        ],
    ),
    Immediate(
        "slti",
        &[
            (0, 0, 0),
            (0, 1, 1),
            (0, -1, 0),
            (ONES, 0, 1),
            (MIN, -2048, 1),
            (MAX, 2047, 0),
            (5, 5, 0),
        ],
    ),
    // The immediate is sign-extended, then compared unsigned.
    Immediate(
        "sltiu",
        &[
            (0, 0, 0),
            (0, 1, 1),
            (0, -1, 1),
            (ONES, -1, 0),
            (ONES - 1, -1, 1),
            (MIN, 2047, 0),
        ],
    ),
    Immediate(
        "xori",
        &[
            (0, -1, ONES),
            (ONES, -1, 0),
            (0xff, 0x0f, 0xf0),
            (0, -2048, 0xffff_ffff_ffff_f800),
        ],
    ),
    Immediate(
        "ori",
        &[(0, 0, 0), (0xf0, 0x0f, 0xff), (0, -1, ONES), (MIN, 1, MIN | 1)],
    ),
    Immediate(
        "andi",
        &[
            (ONES, -1, ONES),
            (ONES, 0x7ff, 0x7ff),
            (ONES, -2048, 0xffff_ffff_ffff_f800),
            (0xf0, 0x0f, 0),
        ],
    ),
    Immediate(
        "slli",
        &[
            (1, 0, 1),
            (1, 63, MIN),
            (ONES, 32, 0xffff_ffff_0000_0000),
            (3, 63, MIN),
            (1, 31, 0x8000_0000),
        ],
    ),
    Immediate(
        "srli",
        &[
            (MIN, 63, 1),
            (ONES, 0, ONES),
            (ONES, 32, 0xffff_ffff),
            (ONES, 63, 1),
            (1, 1, 0),
        ],
    ),
    Immediate(
        "srai",
        &[
            (MIN, 63, ONES),
            (MAX, 62, 1),
            (MIN, 0, MIN),
            (MIN, 32, MINW),
            (ONES, 63, ONES),
            (1, 1, 0),
        ],
    ),
    Binary(
        "add",
        &[
            (1, 2, 3),
            (MAX, 1, MIN),
            (ONES, 1, 0),
            (MIN, MIN, 0),
            (0xffff_ffff, 1, 0x1_0000_0000),
        ],
    ),
    Binary(
        "sub",
        &[
            (3, 2, 1),
            (0, 1, ONES),
            (MIN, 1, MAX),
            (0, MIN, MIN),
            (ONES, ONES, 0),
        ],
    ),
    // Shifts take the low six bits of rs2.
    Binary(
        "sll",
        &[
            (1, 0, 1),
            (1, 63, MIN),
            (1, 64, 1),
            (1, 65, 2),
            (1, ONES, MIN),
            (ONES, 4, ONES - 15),
        ],
    ),
    Binary(
        "slt",
        &[
            (0, 0, 0),
            (MIN, MAX, 1),
            (MAX, MIN, 0),
            (ONES, 0, 1),
            (0, ONES, 0),
        ],
    ),
    Binary(
        "sltu",
        &[
            (0, 0, 0),
            (MIN, MAX, 0),
            (MAX, MIN, 1),
            (ONES, 0, 0),
            (0, ONES, 1),
            (0, 1, 1),
        ],
    ),
    Binary(
        "xor",
        &[(0xff00, 0x0ff0, 0xf0f0), (ONES, ONES, 0), (ONES, 0, ONES)],
    ),
    Binary(
        "srl",
        &[
            (MIN, 63, 1),
            (MIN, 64, MIN),
            (ONES, 127, 1),
            (ONES, 4, 0x0fff_ffff_ffff_ffff),
        ],
    ),
    Binary(
        "sra",
        &[
            (MIN, 63, ONES),
            (MIN, 64, MIN),
            (MAX, 63, 0),
            (MIN, 4, 0xf800_0000_0000_0000),
        ],
    ),
    Binary("or", &[(0xff00, 0x0ff0, 0xfff0), (0, 0, 0), (MIN, MAX, ONES)]),
    Binary(
        "and",
        &[(0xff00, 0x0ff0, 0x0f00), (ONES, ONES, ONES), (MIN, MAX, 0)],
    ),
    Immediate(
        "addiw",
        &[
            (0x7fff_ffff, 1, MINW),
            (0xffff_ffff, 1, 0),
            (0x1_0000_0005, -1, 4),
            (0xffff_ffff, 0, ONES),
            (0, -1, ONES),
            (MINW, -1, 0x7fff_ffff),
        ],
    ),
    Immediate(
        "slliw",
        &[
            (1, 31, MINW),
            (0x1_0000_0001, 0, 1),
            (0xffff_ffff, 4, 0xffff_ffff_ffff_fff0),
            (ONES, 31, MINW),
        ],
    ),
    Immediate(
        "srliw",
        &[
            (0x8000_0000, 31, 1),
            (ONES, 0, ONES),
            (ONES, 1, 0x7fff_ffff),
            (0xf_0000_0000, 4, 0),
        ],
    ),
    Immediate(
        "sraiw",
        &[
            (0x8000_0000, 31, ONES),
            (0x7fff_ffff, 30, 1),
            (0xf_8000_0000, 4, 0xffff_ffff_f800_0000),
            (MIN, 1, 0),
        ],
    ),
    Binary(
        "addw",
        &[
            (0x7fff_ffff, 1, MINW),
            (ONES, 1, 0),
            (0x1_0000_0000, 0x2_0000_0003, 3),
            (MINW, MINW, 0),
        ],
    ),
    Binary(
        "subw",
        &[
            (0, 1, ONES),
            (MINW, 1, 0x7fff_ffff),
            (0x1_0000_0000, 1, ONES),
            (5, 3, 2),
        ],
    ),
    // Word shifts take the low five bits of rs2.
    Binary(
        "sllw",
        &[
            (1, 31, MINW),
            (1, 32, 1),
            (1, 33, 2),
            (ONES, 63, MINW),
            (0xff_0000_0001, 0, 1),
        ],
    ),
    Binary(
        "srlw",
        &[
            (0x8000_0000, 31, 1),
            (ONES, 32, ONES),
            (ONES, 63, 1),
            (ONES, 1, 0x7fff_ffff),
        ],
    ),
    Binary(
        "sraw",
        &[
            (0x8000_0000, 31, ONES),
            (0x8000_0000, 32, MINW),
            (0x7fff_ffff, 63, 0),
            (MAX, 4, ONES),
        ],
    ),
    Binary(
        "mul",
        &[
            (3, 5, 15),
            (ONES, ONES, 1),
            (MIN, 2, 0),
            (MIN, ONES, MIN),
            (0xffff_ffff, 0xffff_ffff, 0xffff_fffe_0000_0001),
        ],
    ),
    Binary(
        "mulh",
        &[
            (ONES, ONES, 0),
            (MIN, MIN, 1 << 62),
            (MIN, ONES, 0),
            (MIN, MAX, 0xc000_0000_0000_0000),
            (1, ONES, ONES),
            (MAX, MAX, 0x3fff_ffff_ffff_ffff),
        ],
    ),
    // rs1 is signed, rs2 unsigned.
    Binary(
        "mulhsu",
        &[
            (ONES, ONES, ONES),
            (1, ONES, 0),
            (MIN, ONES, MIN),
            (MIN, 1, ONES),
            (MAX, ONES, MAX - 1),
            (ONES, 1, ONES),
        ],
    ),
    Binary(
        "mulhu",
        &[
            (ONES, ONES, ONES - 1),
            (MIN, 2, 1),
            (MIN, MIN, 1 << 62),
            (1, ONES, 0),
            (1 << 32, 1 << 32, 1),
        ],
    ),
    Binary(
        "mulw",
        &[
            (0x7fff_ffff, 2, 0xffff_ffff_ffff_fffe),
            (0x1_0000_0003, 5, 15),
            (MINW, ONES, MINW),
            (ONES, ONES, 1),
            (0x1_0000, 0x1_0000, 0),
        ],
    ),
    Binary(
        "div",
        &[
            (7, 2, 3),
            (7u64.wrapping_neg(), 2, 3u64.wrapping_neg()),
            (7, 2u64.wrapping_neg(), 3u64.wrapping_neg()),
            (5, 0, ONES),
            (0, 0, ONES),
            (MIN, ONES, MIN),
            (MIN, 0, ONES),
            (MIN, 1, MIN),
        ],
    ),
    Binary(
        "divu",
        &[
            (7, 2, 3),
            (ONES, 2, MAX),
            (5, 0, ONES),
            (0, 0, ONES),
            (MIN, ONES, 0),
            (ONES, ONES, 1),
        ],
    ),
    // The remainder has the dividend's sign.
    Binary(
        "rem",
        &[
            (7, 2, 1),
            (7u64.wrapping_neg(), 2, ONES),
            (7, 2u64.wrapping_neg(), 1),
            (5, 0, 5),
            (MIN, 0, MIN),
            (MIN, ONES, 0),
            (ONES, 0, ONES),
        ],
    ),
    Binary(
        "remu",
        &[
            (7, 2, 1),
            (ONES, 2, 1),
            (5, 0, 5),
            (ONES, 0, ONES),
            (MIN, ONES, MIN),
        ],
    ),
    Binary(
        "divw",
        &[
            (7u64.wrapping_neg(), 2, 3u64.wrapping_neg()),
            (5, 0, ONES),
            (5, 1 << 32, ONES),
            (MINW, ONES, MINW),
            (0x8000_0000, 0xffff_ffff, MINW),
            (0x1_0000_0007, 2, 3),
        ],
    ),
    Binary(
        "divuw",
        &[
            (0xffff_ffff, 2, 0x7fff_ffff),
            (5, 0, ONES),
            (5, 1 << 32, ONES),
            (0x8000_0000, 1, MINW),
            (ONES, ONES, 1),
            (0xf_0000_0009, 3, 3),
        ],
    ),
    Binary(
        "remw",
        &[
            (7u64.wrapping_neg(), 2, ONES),
            (5, 0, 5),
            (0x8000_0000, 0, MINW),
            (MINW, ONES, 0),
            (0x1_0000_0007, 4, 3),
            (0xffff_ffff, 1 << 32, ONES),
        ],
    ),
    Binary(
        "remuw",
        &[
            (0xffff_ffff, 2, 1),
            (5, 0, 5),
            (0x8000_0000, 0, MINW),
            (0x8000_0000, 0xffff_ffff, MINW),
            (0x1_0000_0007, 4, 3),
        ],
    ),
];

#[test]
fn base_and_multiplication() {
    crate::compute::check_table(TABLE);
}
