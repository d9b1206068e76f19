//! Zba, Zbb, Zbc, Zbs and Zicond.

use crate::compute::Row::{self, Binary, Immediate, Unary};

const MIN: u64 = 1 << 63;
const MAX: u64 = MIN - 1;
const ONES: u64 = u64::MAX;
const MINW: u64 = 0xffff_ffff_8000_0000;
const BYTES: u64 = 0x0123_4567_89ab_cdef;

pub const TABLE: &[Row] = &[
    Binary(
        "add.uw",
        &[
            (ONES, 1, 0x1_0000_0000),
            (0xdead_beef_0000_0001, 2, 3),
            (0xffff_ffff, ONES, 0xffff_fffe),
        ],
    ),
    Binary(
        "sh1add",
        &[(3, 5, 11), (MIN, 1, 1), (ONES, 0, ONES - 1), (MAX, 2, 0)],
    ),
    Binary("sh2add", &[(3, 5, 17), (1 << 62, 1, 1), (ONES, 4, 0)]),
    Binary("sh3add", &[(3, 5, 29), (1 << 61, 1, 1), (ONES, 8, 0)]),
    Binary(
        "sh1add.uw",
        &[
            (0xffff_ffff_8000_0000, 1, 0x1_0000_0001),
            (ONES, 0, 0x1_ffff_fffe),
            (3, ONES, 5),
        ],
    ),
    Binary(
        "sh2add.uw",
        &[
            (0xffff_ffff_8000_0000, 1, 0x2_0000_0001),
            (ONES, 0, 0x3_ffff_fffc),
            (3, ONES, 11),
        ],
    ),
    Binary(
        "sh3add.uw",
        &[
            (0xffff_ffff_8000_0000, 1, 0x4_0000_0001),
            (ONES, 0, 0x7_ffff_fff8),
            (3, ONES, 23),
        ],
    ),
    Immediate(
        "slli.uw",
        &[
            (ONES, 0, 0xffff_ffff),
            (ONES, 32, 0xffff_ffff_0000_0000),
            (ONES, 63, MIN),
            (1 << 32, 4, 0),
            (MINW, 1, 0x1_0000_0000),
        ],
    ),
    Binary(
        "andn",
        &[
            (ONES, 0, ONES),
            (ONES, 0xff, ONES - 0xff),
            (0xff, ONES, 0),
            (0xf0f0, 0xff00, 0x00f0),
        ],
    ),
    Binary(
        "orn",
        &[
            (0, 0, ONES),
            (0, ONES, 0),
            (0xff, ONES - 0xf, 0xff),
            (MIN, ONES, MIN),
        ],
    ),
    Binary(
        "xnor",
        &[
            (0, 0, ONES),
            (ONES, 0, 0),
            (0xff00, 0x0ff0, 0xffff_ffff_ffff_0f0f),
        ],
    ),
    Unary("clz", &[(0, 64), (1, 63), (MIN, 0), (ONES, 0), (0xffff_ffff, 32)]),
    Unary("ctz", &[(0, 64), (1, 0), (MIN, 63), (ONES, 0), (1 << 32, 32)]),
    Unary("cpop", &[(0, 0), (ONES, 64), (MIN, 1), (BYTES, 32)]),
    Unary(
        "clzw",
        &[
            (0, 32),
            (1, 31),
            (0x8000_0000, 0),
            (1 << 32, 32),
            (0xffff_ffff_0000_0001, 31),
        ],
    ),
    Unary(
        "ctzw",
        &[(0, 32), (1, 0), (0x8000_0000, 31), (1 << 32, 32), (MIN, 32)],
    ),
    Unary(
        "cpopw",
        &[(0, 0), (ONES, 32), (0xffff_ffff_0000_0000, 0), (0xf_0000_000f, 4)],
    ),
    Binary("max", &[(1, 2, 2), (ONES, 1, 1), (MIN, MAX, MAX), (5, 5, 5)]),
    Binary("maxu", &[(1, 2, 2), (ONES, 1, ONES), (MIN, MAX, MIN)]),
    Binary("min", &[(1, 2, 1), (ONES, 1, ONES), (MIN, MAX, MIN)]),
    Binary("minu", &[(1, 2, 1), (ONES, 1, 1), (MIN, MAX, MAX)]),
    Unary(
        "sext.b",
        &[
            (0x7f, 0x7f),
            (0x80, 0xffff_ffff_ffff_ff80),
            (0xff00, 0),
            (ONES, ONES),
        ],
    ),
    Unary(
        "sext.h",
        &[
            (0x7fff, 0x7fff),
            (0x8000, 0xffff_ffff_ffff_8000),
            (0xffff_0000, 0),
            (ONES, ONES),
        ],
    ),
    Unary("zext.h", &[(0x8000, 0x8000), (ONES, 0xffff), (0xffff_0000, 0)]),
    Binary(
        "rol",
        &[
            (MIN | 1, 1, 3),
            (BYTES, 8, 0x2345_6789_abcd_ef01),
            (BYTES, 64, BYTES),
            (1, 63, MIN),
            (1, ONES, MIN),
        ],
    ),
    Binary(
        "ror",
        &[
            (3, 1, MIN | 1),
            (BYTES, 8, 0xef01_2345_6789_abcd),
            (BYTES, 0, BYTES),
            (BYTES, 64, BYTES),
            (MIN, 63, 1),
        ],
    ),
    Immediate(
        "rori",
        &[
            (3, 1, MIN | 1),
            (BYTES, 8, 0xef01_2345_6789_abcd),
            (BYTES, 0, BYTES),
            (MIN, 63, 1),
            (BYTES, 32, 0x89ab_cdef_0123_4567),
        ],
    ),
    Binary(
        "rolw",
        &[
            (0x8000_0001, 1, 3),
            (0x4000_0000, 1, MINW),
            (BYTES, 32, 0xffff_ffff_89ab_cdef),
            (0xff_0000_0001, 31, MINW),
        ],
    ),
    Binary(
        "rorw",
        &[
            (3, 1, 0xffff_ffff_8000_0001),
            (BYTES, 4, 0xffff_ffff_f89a_bcde),
            (BYTES, 32, 0xffff_ffff_89ab_cdef),
            (1 << 32, 1, 0),
        ],
    ),
    Immediate(
        "roriw",
        &[
            (3, 1, 0xffff_ffff_8000_0001),
            (BYTES, 4, 0xffff_ffff_f89a_bcde),
            (BYTES, 0, 0xffff_ffff_89ab_cdef),
            (2, 1, 1),
            (1, 31, 2),
        ],
    ),
    Unary(
        "orc.b",
        &[
            (0, 0),
            (ONES, ONES),
            (BYTES, ONES),
            (0x0100_8000_0010_0000, 0xff00_ff00_00ff_0000),
            (0x80, 0xff),
        ],
    ),
    Unary("rev8", &[(0, 0), (BYTES, 0xefcd_ab89_6745_2301), (1, 1 << 56)]),
    // 0b101 * 0b11 = 0b101 ^ 0b1010 = 0b1111: no carries.
    Binary(
        "clmul",
        &[
            (5, 3, 15),
            (3, 3, 5),
            (ONES, 0, 0),
            (ONES, 1, ONES),
            (ONES, ONES, 0x5555_5555_5555_5555),
            (MIN, 2, 0),
            (MIN, 3, MIN),
        ],
    ),
    Binary(
        "clmulh",
        &[
            (5, 3, 0),
            (MIN, 2, 1),
            (MIN, MIN, 1 << 62),
            (ONES, ONES, 0x5555_5555_5555_5555),
            (ONES, 1, 0),
            (ONES, 3, 1),
            (MIN, 3, 1),
        ],
    ),
    // Bits 63 to 126 of the product.
    Binary(
        "clmulr",
        &[
            (5, 3, 0),
            (MIN, 1, 1),
            (MIN, 2, 2),
            (MIN, MIN, MIN),
            (ONES, ONES, 0xaaaa_aaaa_aaaa_aaaa),
            (ONES, 1, 1),
            (MIN, 3, 3),
        ],
    ),
    Binary(
        "bclr",
        &[
            (ONES, 0, ONES - 1),
            (ONES, 63, MAX),
            (ONES, 64, ONES - 1),
            (0, 5, 0),
        ],
    ),
    Immediate(
        "bclri",
        &[
            (ONES, 0, ONES - 1),
            (ONES, 63, MAX),
            (0, 5, 0),
            (ONES, 32, 0xffff_fffe_ffff_ffff),
        ],
    ),
    Binary(
        "bext",
        &[
            (MIN, 63, 1),
            (MIN, 62, 0),
            (1, 64, 1),
            (2, ONES - 62, 1),
            (0, 0, 0),
        ],
    ),
    Immediate(
        "bexti",
        &[(MIN, 63, 1), (MIN, 62, 0), (1, 0, 1), (1 << 32, 32, 1)],
    ),
    Binary("binv", &[(0, 63, MIN), (ONES, 63, MAX), (0, 64, 1), (1, 0, 0)]),
    Immediate(
        "binvi",
        &[(0, 63, MIN), (ONES, 63, MAX), (1, 0, 0), (0, 32, 1 << 32)],
    ),
    Binary("bset", &[(0, 63, MIN), (ONES, 63, ONES), (0, 64, 1), (8, 0, 9)]),
    Immediate(
        "bseti",
        &[(0, 63, MIN), (ONES, 63, ONES), (8, 0, 9), (0, 32, 1 << 32)],
    ),
    Binary(
        "czero.eqz",
        &[
            (7, 0, 0),
            (7, 1, 7),
            (ONES, MIN, ONES),
            (ONES, 1 << 32, ONES),
            (0, 0, 0),
        ],
    ),
    Binary(
        "czero.nez",
        &[
            (7, 0, 7),
            (7, 1, 0),
            (ONES, MIN, 0),
            (ONES, 1 << 32, 0),
            (0, 0, 0),
        ],
    ),
];

#[test]
fn bit_manipulation() {
    crate::compute::check_table(TABLE);
}
