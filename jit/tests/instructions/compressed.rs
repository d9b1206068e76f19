//! Compressed computations, with the limits of their immediates.

use crate::compute::Row::{self, Binary, Constant, Immediate};

const MIN: u64 = 1 << 63;
const MAX: u64 = MIN - 1;
const ONES: u64 = u64::MAX;
const MINW: u64 = 0xffff_ffff_8000_0000;

pub const TABLE: &[Row] = &[
    Immediate(
        "c.addi4spn",
        &[
            (0x1000, 4, 0x1004),
            (0x1000, 1020, 0x13fc),
            (ONES, 8, 7),
            (0, 512, 512),
            (0, 64, 64),
        ],
    ),
    Constant("c.nop", &[(0, 0), (1, 0), (-32, 0), (31, 0)]),
    Immediate(
        "c.addi",
        &[
            (5, -1, 4),
            (0, 31, 31),
            (0, -32, ONES - 31),
            (MAX, 1, MIN),
            (7, 0, 7),
        ],
    ),
    Immediate(
        "c.addiw",
        &[
            (0x7fff_ffff, 1, MINW),
            (0xffff_ffff, 0, ONES),
            (0x1_0000_0000, -32, ONES - 31),
            (0, 31, 31),
        ],
    ),
    Constant("c.li", &[(0, 0), (31, 31), (-32, ONES - 31), (-1, ONES)]),
    Immediate(
        "c.addi16sp",
        &[
            (0x1000, 16, 0x1010),
            (0x1000, -512, 0x0e00),
            (0x1000, 496, 0x11f0),
            (0, -16, ONES - 15),
            (0, 32, 32),
            (0, 64, 64),
            (0, 128, 128),
        ],
    ),
    Constant(
        "c.lui",
        &[
            (0x1000, 0x1000),
            (0x1_f000, 0x1_f000),
            (-0x2_0000, 0xffff_ffff_fffe_0000),
            (-0x1000, 0xffff_ffff_ffff_f000),
        ],
    ),
    Immediate(
        "c.srli",
        &[(MIN, 63, 1), (ONES, 1, MAX), (5, 0, 5), (ONES, 32, 0xffff_ffff)],
    ),
    Immediate(
        "c.srai",
        &[(MIN, 63, ONES), (MAX, 62, 1), (MIN, 0, MIN), (MIN, 32, MINW)],
    ),
    Immediate(
        "c.andi",
        &[
            (ONES, -1, ONES),
            (ONES, 31, 31),
            (ONES, -32, ONES - 31),
            (0xff, 0, 0),
        ],
    ),
    Binary("c.sub", &[(3, 2, 1), (0, 1, ONES), (MIN, 1, MAX)]),
    Binary("c.xor", &[(0xff00, 0x0ff0, 0xf0f0), (ONES, 0, ONES)]),
    Binary("c.or", &[(0xff00, 0x0ff0, 0xfff0), (MIN, MAX, ONES)]),
    Binary("c.and", &[(0xff00, 0x0ff0, 0x0f00), (MIN, MAX, 0)]),
    Binary(
        "c.subw",
        &[(0, 1, ONES), (MINW, 1, 0x7fff_ffff), (0x1_0000_0000, 1, ONES)],
    ),
    Binary(
        "c.addw",
        &[(0x7fff_ffff, 1, MINW), (ONES, 1, 0), (0x1_0000_0001, 1, 2)],
    ),
    Immediate(
        "c.slli",
        &[
            (1, 63, MIN),
            (1, 1, 2),
            (5, 0, 5),
            (ONES, 32, 0xffff_ffff_0000_0000),
        ],
    ),
    Binary("c.mv", &[(0, 5, 5), (0, ONES, ONES), (0, MIN, MIN)]),
    Binary("c.add", &[(1, 2, 3), (MAX, 1, MIN), (ONES, 1, 0)]),
];

#[test]
fn compressed() {
    crate::compute::check_table(TABLE);
}
