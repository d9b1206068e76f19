//! Branches and jumps: conditions, targets, links.

use millrace_jit::{End, Trap, TrapKind};

use crate::common::{CODE, Guest, form};

const MIN: u64 = 1 << 63;
const ONES: u64 = u64::MAX;

/// rs1, rs2, taken.
type Case = (u64, u64, bool);

const BRANCHES: &[(&str, &[Case])] = &[
    (
        "beq",
        &[
            (1, 1, true),
            (1, 2, false),
            (ONES, 0xffff_ffff, false),
            (0, 0, true),
        ],
    ),
    ("bne", &[(1, 1, false), (1, 2, true), (1 << 32, 0, true)]),
    (
        "blt",
        &[
            (1, 2, true),
            (2, 2, false),
            (ONES, 0, true),
            (MIN, MIN - 1, true),
            (0, ONES, false),
        ],
    ),
    (
        "bge",
        &[
            (1, 2, false),
            (2, 2, true),
            (ONES, 0, false),
            (MIN - 1, MIN, true),
            (0, ONES, true),
        ],
    ),
    (
        "bltu",
        &[
            (1, 2, true),
            (2, 2, false),
            (ONES, 0, false),
            (MIN - 1, MIN, true),
            (0, ONES, true),
        ],
    ),
    (
        "bgeu",
        &[
            (1, 2, false),
            (2, 2, true),
            (ONES, 0, true),
            (MIN, MIN - 1, true),
            (0, ONES, false),
        ],
    ),
    (
        "c.beqz",
        &[(0, 0, true), (1, 0, false), (MIN, 0, false), (1 << 32, 0, false)],
    ),
    (
        "c.bnez",
        &[(0, 0, false), (1, 0, true), (MIN, 0, true), (1 << 32, 0, true)],
    ),
];

const JUMPS: &[&str] = &["jal", "jalr", "c.j", "c.jr", "c.jalr"];

pub fn names() -> impl Iterator<Item = &'static str> {
    BRANCHES.iter().map(|row| row.0).chain(JUMPS.iter().copied())
}

/// Where a guest's code ran into a breakpoint.
fn breakpoint(guest: &Guest) -> (u64, [u64; 32]) {
    let ran = guest.run();
    match ran.outcome.end {
        End::Trapped(Trap {
            kind: TrapKind::Breakpoint,
            pc,
        }) => (pc, *ran.instance.registers()),
        end => panic!("no breakpoint: {end:?}"),
    }
}

/// A guest that fills `halfwords` with breakpoints.
fn breakpoints(guest: Guest, halfwords: usize) -> Guest {
    (0..halfwords).fold(guest, |guest, _| guest.op("c.ebreak", 0, 0, 0, 0))
}

/// Jumps to the middle of a field of breakpoints, where the instruction stands.
fn in_the_middle(guest: Guest, name: &str, operands: (u8, u8, u8, i32), around: usize) -> Guest {
    let middle = (around * 2 + 4) as i32;
    let guest = breakpoints(guest.op("jal", 0, 0, 0, middle), around);
    let (rd, rs1, rs2, imm) = operands;
    breakpoints(guest.op(name, rd, rs1, rs2, imm), around)
}

#[test]
fn branches_follow_their_condition() {
    for &(name, cases) in BRANCHES {
        let rs2 = if name.starts_with("c.") { 0 } else { 10 };
        let length = u64::from(form(name).length());
        for &(a, b, taken) in cases {
            for imm in [-40, 40] {
                let guest = Guest::new().register(9, a).register(rs2, b).register(0, 0);
                let (pc, _) = breakpoint(&in_the_middle(guest, name, (0, 9, rs2, imm), 50));
                let at = CODE + 4 + 100;
                let expected = if taken {
                    at.wrapping_add_signed(imm.into())
                } else {
                    at + length
                };
                assert_eq!(pc, expected, "{name} {a:#x}, {b:#x} by {imm}");
            }
        }
    }
}

#[test]
fn branches_reach_their_limits() {
    for (name, low, high) in [("beq", -4096, 4094), ("bgeu", -4096, 4094), ("c.beqz", -256, 254)] {
        for imm in [low, high] {
            let (pc, _) = breakpoint(&in_the_middle(Guest::new(), name, (0, 9, 0, imm), 2100));
            assert_eq!(
                pc,
                (CODE + 4 + 4200).wrapping_add_signed(imm.into()),
                "{name} by {imm}"
            );
        }
    }
}

#[test]
fn jal_links_and_jumps() {
    for (rd, imm) in [(1, -4096), (5, 4096), (31, 40), (0, -40)] {
        let (pc, registers) = breakpoint(&in_the_middle(Guest::new(), "jal", (rd, 0, 0, imm), 2100));
        let at = CODE + 4 + 4200;
        assert_eq!(pc, at.wrapping_add_signed(imm.into()));
        assert_eq!(registers[usize::from(rd)], if rd == 0 { 0 } else { at + 4 });
    }
}

#[test]
fn jumps_outside_text_fault_at_their_target() {
    for (name, imm) in [
        ("jal", -0x10_0000),
        ("jal", 0xf_fffe),
        ("c.j", -2048),
        ("c.j", 2046),
        ("beq", -4096),
    ] {
        let ran = Guest::new().op(name, 0, 0, 0, imm).run();
        let pc = CODE.wrapping_add_signed(imm.into());
        assert_eq!(
            ran.outcome.end,
            End::Trapped(Trap {
                kind: TrapKind::FetchFault,
                pc
            }),
            "{name}"
        );
    }
}

#[test]
fn compressed_jumps_do_not_link() {
    for imm in [-40, 40, -2048, 2046] {
        let guest = Guest::new().register(1, 7);
        let (pc, registers) = breakpoint(&in_the_middle(guest, "c.j", (0, 0, 0, imm), 1100));
        assert_eq!(pc, (CODE + 4 + 2200).wrapping_add_signed(imm.into()));
        assert_eq!(registers[1], 7);
    }
    let guest = Guest::new().register(1, 7).register(9, CODE + 8);
    let (pc, registers) = breakpoint(&breakpoints(guest.op("c.jr", 0, 9, 0, 0), 8));
    assert_eq!((pc, registers[1]), (CODE + 8, 7));
}

#[test]
fn indirect_jumps_link() {
    let (pc, registers) = breakpoint(&breakpoints(
        Guest::new().register(9, CODE + 8).op("c.jalr", 1, 9, 0, 0),
        8,
    ));
    assert_eq!((pc, registers[1]), (CODE + 8, CODE + 2));
    // Through ra itself: read before it is written.
    let (pc, registers) = breakpoint(&breakpoints(
        Guest::new().register(1, CODE + 8).op("c.jalr", 1, 1, 0, 0),
        8,
    ));
    assert_eq!((pc, registers[1]), (CODE + 8, CODE + 2));
    for (rd, rs1) in [(5, 9), (9, 9), (0, 9), (1, 1)] {
        let guest = Guest::new().register(rs1, CODE + 10).op("jalr", rd, rs1, 0, -2);
        let (pc, registers) = breakpoint(&breakpoints(guest, 8));
        assert_eq!(pc, CODE + 8);
        assert_eq!(registers[usize::from(rd)], if rd == 0 { 0 } else { CODE + 4 });
    }
}

#[test]
fn jalr_takes_a_32_bit_base_and_drops_bit_0() {
    for base in [CODE + 9, (CODE + 9) | (0xdead_beef << 32)] {
        let (pc, _) = breakpoint(&breakpoints(
            Guest::new().register(9, base).op("jalr", 0, 9, 0, 0),
            8,
        ));
        assert_eq!(pc, CODE + 8);
        // The bit is dropped from the sum, not from the base.
        let (pc, _) = breakpoint(&breakpoints(
            Guest::new().register(9, base).op("jalr", 0, 9, 0, -1),
            8,
        ));
        assert_eq!(pc, CODE + 8);
    }
}

#[test]
fn jalr_outside_text_faults_at_the_64_bit_sum() {
    let cases = [
        (0, -2, u64::MAX - 1),
        (0, 0, 0),
        (0xffff_ffff, 1, 1 << 32),
        (CODE, 2047, CODE + 2046),
    ];
    for (base, imm, pc) in cases {
        let ran = Guest::new().register(9, base).op("jalr", 1, 9, 0, imm).run();
        assert_eq!(
            ran.outcome.end,
            End::Trapped(Trap {
                kind: TrapKind::FetchFault,
                pc
            })
        );
    }
}
