//! Instructions that native code takes together: what is shifted, extended or added only to be compared or to be an
//! address.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{CODE, DATA, Guest};
use millrace_jit::End;

const BRANCHES: [&str; 6] = ["beq", "bne", "blt", "bge", "bltu", "bgeu"];

/// Values around powers of two, and such whose halves disagree.
const EDGES: [u64; 24] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xffff,
    0x1_0000,
    0x3fff_ffff,
    0x4000_0000,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_8000_0000,
    0xffff_ffff_7fff_ffff,
    0xffff_ffff_8000_0000,
    0xffff_ffff_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0x8000_0000_8000_0000,
    0xffff_fffe_ffff_ffff,
    0xffff_ffff_ffff_fffe,
    0xffff_ffff_ffff_ffff,
];

const VALUE: u8 = 10;
const OTHER: u8 = 11;
const SCRATCH: u8 = 12;
const SECOND: u8 = 13;
const BITS: u8 = 14;
const POINTER: u8 = 15;
const END: u8 = 16;

/// A guest that loads every pair of neighbours in the table of edges, runs `body` on them, and keeps what that leaves in
/// [`BITS`], where every comparison adds a bit.
fn over_edges(body: impl Fn(Guest) -> Guest) -> Guest {
    let values: Vec<u64> = EDGES
        .iter()
        .flat_map(|&a| [a, a.rotate_left(1), a])
        .chain(EDGES.iter().rev().copied())
        .collect();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let last = DATA + bytes.len() as u64 - 8;
    let guest = Guest::new()
        .data(DATA, &bytes)
        .register(POINTER, DATA)
        .register(END, last)
        .op("ld", VALUE, POINTER, 0, 0)
        .op("ld", OTHER, POINTER, 0, 8);
    let guest = body(guest)
        .op("sd", 0, POINTER, BITS, 0x400)
        .op("addi", POINTER, POINTER, 0, 8)
        .op("beq", 0, POINTER, END, 8);
    let back = CODE.wrapping_sub(guest.here()) as i32;
    guest.op("jal", 0, 0, 0, back).ecall()
}

/// Adds a bit: whether a branch is taken.
fn note(guest: Guest, branch: &str, a: u8, b: u8) -> Guest {
    guest
        .op("slli", BITS, BITS, 0, 1)
        .op(branch, 0, a, b, 8)
        .op("addi", BITS, BITS, 0, 1)
        // What was compared is used for nothing else.
        .op("addi", SCRATCH, 0, 0, 3)
        .op("addi", SECOND, 0, 0, 5)
        .op("rori", BITS, BITS, 0, 7)
}

fn runs(guest: &Guest) {
    assert_eq!(guest.run_for_memory().outcome.end, End::Returned);
}

#[test]
fn shifted_values_are_compared_with_zero() {
    for (shift, width) in [
        ("srli", 64),
        ("slli", 64),
        ("srliw", 32),
        ("slliw", 32),
        ("srai", 64),
    ] {
        for branch in BRANCHES {
            runs(&over_edges(|guest| {
                (0..width).fold(guest, |guest, by| {
                    let guest = guest.op(shift, SCRATCH, VALUE, 0, by);
                    let guest = note(guest, branch, SCRATCH, 0);
                    note(guest.op(shift, SCRATCH, OTHER, 0, by), branch, 0, SCRATCH)
                })
            }));
        }
    }
}

#[test]
fn extended_words_are_compared() {
    let extended: [fn(Guest, u8, u8) -> Guest; 5] = [
        |guest, rd, rs| guest.op("addiw", rd, rs, 0, 0),
        |guest, rd, rs| guest.op("addw", rd, rs, OTHER, 0),
        |guest, rd, _| guest.op("lw", rd, POINTER, 0, 0),
        |guest, rd, _| guest.op("lw", rd, POINTER, 0, 12),
        |guest, rd, rs| guest.op("subw", rd, OTHER, rs, 0),
    ];
    let compared: [fn(Guest, u8) -> Guest; 5] = [
        |guest, rd| guest.op("addi", rd, 0, 0, -1),
        |guest, rd| guest.op("lui", rd, 0, 0, i32::MIN),
        |guest, rd| guest.op("addi", rd, OTHER, 0, 0),
        |guest, rd| guest.op("lwu", rd, POINTER, 0, 4),
        |guest, rd| guest.op("addiw", rd, OTHER, 0, 0),
    ];
    for branch in BRANCHES {
        for first in extended {
            runs(&over_edges(|mut guest| {
                for second in extended {
                    guest = second(first(guest, SCRATCH, VALUE), SECOND, OTHER);
                    guest = note(guest, branch, SCRATCH, SECOND);
                }
                for second in compared {
                    guest = second(first(guest, SCRATCH, VALUE), SECOND);
                    guest = note(guest, branch, SCRATCH, SECOND);
                    guest = second(first(guest, SCRATCH, VALUE), SECOND);
                    guest = note(guest, branch, SECOND, SCRATCH);
                }
                for set in ["slt", "sltu"] {
                    for second in extended {
                        guest = second(first(guest, SCRATCH, VALUE), SECOND, OTHER)
                            .op(set, SCRATCH, SCRATCH, SECOND, 0)
                            .op("slli", BITS, BITS, 0, 1)
                            .op("add", BITS, BITS, SCRATCH, 0)
                            .op("rori", BITS, BITS, 0, 7);
                    }
                }
                guest
            }));
        }
    }
}

/// A guest that stores through an address that `compute` makes of two registers, with its sum in their lower halves.
fn stores(compute: impl Fn(Guest, u8, u8) -> Guest, a: u64, b: u64, expected: u64) {
    let guest = Guest::new()
        .register(VALUE, a)
        .register(OTHER, b)
        .register(BITS, 0x0123_4567_89ab_cdef);
    let guest = compute(guest, SCRATCH, VALUE)
        .op("sd", 0, SCRATCH, BITS, 0)
        .op("addi", SCRATCH, 0, 0, 0);
    let guest = compute(guest, SCRATCH, VALUE)
        .op("lhu", SECOND, SCRATCH, 0, 2)
        .op("addi", SCRATCH, 0, 0, 0)
        .ecall();
    let ran = guest.run();
    assert_eq!(ran.outcome.end, End::Returned, "{a:#x} and {b:#x}");
    assert_eq!(ran.instance.registers()[usize::from(SECOND)], 0x89ab);
    let stored = ran.instance.memory().read(expected, 8).unwrap().to_vec();
    assert_eq!(
        stored,
        0x0123_4567_89ab_cdef_u64.to_le_bytes(),
        "{a:#x} and {b:#x}"
    );
}

#[test]
fn addresses_are_the_lower_halves_of_sums() {
    let at = DATA + 0x100;
    for high in [0, 1 << 32, 0xffff_ffff_0000_0000, 0x8000_0000_0000_0000] {
        for offset in [0, 8, 0x7fff_ff00, 0x8000_0000, 0xffff_fff0, 0x1_0000_0010] {
            let sum = |guest: Guest, rd, rs| guest.op("add", rd, rs, OTHER, 0);
            stores(sum, (at.wrapping_sub(offset)) ^ high, offset, at);
            stores(sum, offset, at.wrapping_sub(offset) ^ high, at);
            let difference = |guest: Guest, rd, rs| guest.op("sub", rd, rs, OTHER, 0);
            stores(difference, at.wrapping_add(offset) ^ high, offset, at);
            let scaled = |guest: Guest, rd, rs| guest.op("sh3add", rd, OTHER, rs, 0);
            stores(scaled, at.wrapping_sub(offset << 3) ^ high, offset, at);
            let unsigned = |guest: Guest, rd, rs| guest.op("sh2add.uw", rd, OTHER, rs, 0);
            stores(unsigned, at.wrapping_sub(offset << 2) ^ high, offset, at);
            let shifted = |guest: Guest, rd, rs: u8| {
                guest
                    .op("slli", rd, OTHER, 0, 31)
                    .op("add", rd, rd, rs, 0)
                    .op("addi", rd, rd, 0, -8)
            };
            stores(
                shifted,
                at.wrapping_sub(offset << 31).wrapping_add(8) ^ high,
                offset,
                at,
            );
            let shifted_out =
                |guest: Guest, rd, rs: u8| guest.op("slli", rd, OTHER, 0, 32).op("add", rd, rd, rs, 0);
            stores(shifted_out, at ^ high, offset, at);
        }
    }
}

/// Farther from the stack pointer than an immediate reaches.
#[test]
fn the_frame_is_reached_by_lui_and_add() {
    const RA: u8 = 1;
    const SP: u8 = 2;
    let top = DATA + 0x2800;
    for (upper, lower) in [(0x1000, -0x7d0), (0x2000, -0x800), (0x1000, 0x7f8)] {
        for is_first in [true, false] {
            let reach = |guest: Guest| {
                let guest = guest.op("lui", SCRATCH, 0, 0, upper);
                if is_first {
                    guest.op("add", SCRATCH, SCRATCH, SP, 0)
                } else {
                    guest.op("add", SCRATCH, SP, SCRATCH, 0)
                }
            };
            let guest = Guest::new()
                .register(SP, top)
                .register(BITS, 0xfeed_beef)
                // A function, whose frame begins where the stack pointer is when it is called.
                .op("jal", RA, 0, 0, 8)
                .ecall()
                .op("addi", SP, SP, 0, -2032)
                .op("addi", SP, SP, 0, -2032)
                .op("addi", SP, SP, 0, -2032)
                .op("addi", VALUE, 0, 0, 0);
            // Long enough to be a function of its own in native code.
            let guest = (0..20).fold(guest, |guest, i| guest.op("sd", 0, SP, VALUE, 8 * i));
            let guest = reach(guest).op("sd", 0, SCRATCH, BITS, lower);
            let guest = reach(guest)
                .op("ld", OTHER, SCRATCH, 0, lower)
                .op("addi", SCRATCH, 0, 0, 0)
                .op("jalr", 0, RA, 0, 0);
            let ran = guest.run_for_memory();
            assert_eq!(ran.outcome.end, End::Returned);
            assert_eq!(ran.instance.registers()[usize::from(OTHER)], 0xfeed_beef);
            let at = (top - 3 * 2032 + upper as u64).wrapping_add_signed(i64::from(lower));
            let stored = ran.instance.memory().read(at, 8).unwrap().to_vec();
            assert_eq!(stored, 0xfeed_beef_u64.to_le_bytes());
        }
    }
}
