//! LR, SC and AMOs.

use millrace_jit::{Ecall, End, Flow, Host, Trap, TrapKind};

use crate::common::{CODE, DATA, Guest, RODATA, Ran};

const MIN: u64 = 1 << 63;
const ONES: u64 = u64::MAX;
/// The least 32-bit value, as a register holds it.
const MINW: u64 = 0xffff_ffff_8000_0000;

/// Name, and cases of: the eight bytes in memory, rs2, the eight bytes afterwards, rd.
type Case = (u64, u64, u64, u64);
const AMOS: &[(&str, &[Case])] = &[
    (
        "amoswap.w",
        &[(
            0x1111_1111_8000_0000,
            0x2222_2222_3333_3333,
            0x1111_1111_3333_3333,
            MINW,
        )],
    ),
    (
        "amoadd.w",
        &[
            (0x1_ffff_ffff, 1, 0x1_0000_0000, ONES),
            (5, ONES, 4, 5),
            (0x7fff_ffff, 1, 0x8000_0000, 0x7fff_ffff),
        ],
    ),
    (
        "amoxor.w",
        &[(0xff_0000_ff00, 0xff_0000_0ff0, 0xff_0000_f0f0, 0xff00)],
    ),
    ("amoand.w", &[(0xff_0000_ff00, 0x0ff0, 0xff_0000_0f00, 0xff00)]),
    (
        "amoor.w",
        &[(0xff_0000_ff00, 0xff_0000_0ff0, 0xff_0000_fff0, 0xff00)],
    ),
    (
        "amomin.w",
        &[
            (0x8000_0000, 1, 0x8000_0000, MINW),
            (1, 0x8000_0000, 0x8000_0000, 1),
            (1, 0x7_0000_0000, 0, 1),
        ],
    ),
    (
        "amomax.w",
        &[
            (0x8000_0000, 1, 1, MINW),
            (1, 0x8000_0000, 1, 1),
            (1, 0xf_0000_0002, 2, 1),
        ],
    ),
    (
        "amominu.w",
        &[
            (0x8000_0000, 1, 1, MINW),
            (1, 0x8000_0000, 1, 1),
            (2, 0xf_0000_0001, 1, 2),
        ],
    ),
    (
        "amomaxu.w",
        &[
            (0x8000_0000, 1, 0x8000_0000, MINW),
            (1, 0xffff_ffff, 0xffff_ffff, 1),
            (2, 0xf_0000_0001, 2, 2),
        ],
    ),
    (
        "amoswap.d",
        &[(
            0x1111_1111_8000_0000,
            0x2222_2222_3333_3333,
            0x2222_2222_3333_3333,
            0x1111_1111_8000_0000,
        )],
    ),
    ("amoadd.d", &[(ONES, 1, 0, ONES), (MIN - 1, 1, MIN, MIN - 1)]),
    ("amoxor.d", &[(0xff00, 0x0ff0, 0xf0f0, 0xff00)]),
    ("amoand.d", &[(0xff00, 0x0ff0, 0x0f00, 0xff00)]),
    ("amoor.d", &[(0xff00, 0x0ff0, 0xfff0, 0xff00)]),
    (
        "amomin.d",
        &[
            (MIN, 1, MIN, MIN),
            (1, MIN, MIN, 1),
            (0x8000_0000, 1, 1, 0x8000_0000),
        ],
    ),
    ("amomax.d", &[(MIN, 1, 1, MIN), (1, MIN, 1, 1)]),
    ("amominu.d", &[(MIN, 1, 1, MIN), (1, MIN, 1, 1)]),
    ("amomaxu.d", &[(MIN, 1, MIN, MIN), (1, ONES, ONES, 1)]),
];

const RESERVED: &[&str] = &["lr.w", "lr.d", "sc.w", "sc.d"];

pub fn names() -> impl Iterator<Item = &'static str> {
    AMOS.iter().map(|row| row.0).chain(RESERVED.iter().copied())
}

fn trap(ran: &Ran) -> (TrapKind, u64) {
    match ran.outcome.end {
        End::Trapped(Trap { kind, pc }) => (kind, pc),
        ref end => panic!("no trap: {end:?}"),
    }
}

fn width(name: &str) -> u64 {
    if name.ends_with(".w") { 4 } else { 8 }
}

/// s0 is the address, a1 the operand.
fn at(address: u64) -> Guest {
    Guest::new().register(8, address)
}

fn memory(ran: &Ran) -> u64 {
    u64::from_le_bytes(ran.instance.memory().read(DATA, 8).unwrap().try_into().unwrap())
}

#[test]
fn amos_swap_memory_and_register() {
    for &(name, cases) in AMOS {
        for &(old, operand, new, result) in cases {
            // The ordering bits change nothing, and rd may be a source.
            for (rd, ordering) in [(10, 0), (10, 1), (10, 2), (10, 3), (11, 0), (8, 0)] {
                let guest = at(DATA | 0xffff_ffff << 32)
                    .register(11, operand)
                    .data(DATA, &old.to_le_bytes());
                let ran = guest.op(name, rd, 8, 11, ordering).ecall().run();
                assert_eq!(ran.outcome.end, End::Returned, "{name}");
                assert_eq!(
                    (memory(&ran), ran.instance.registers()[usize::from(rd)]),
                    (new, result),
                    "{name}"
                );
            }
            let guest = at(DATA).register(11, operand).data(DATA, &old.to_le_bytes());
            let ran = guest.op(name, 0, 8, 11, 0).ecall().run();
            assert_eq!(
                (memory(&ran), ran.instance.registers()[0]),
                (new, 0),
                "{name} into x0"
            );
        }
    }
}

#[test]
fn alignment_is_checked_before_anything_else() {
    for name in names() {
        let rs2 = if name.starts_with("lr") { 0 } else { 11 };
        // Unmapped, read-only, or an SC that would fail: misalignment comes first.
        for address in [1, 2, RODATA + 1, DATA + 2, 0xffff_ffff]
            .into_iter()
            .chain((width(name) == 8).then_some(4))
        {
            let ran = at(address).op(name, 10, 8, rs2, 0).ecall().run();
            assert_eq!(trap(&ran), (TrapKind::Misaligned { address }, CODE), "{name}");
        }
    }
}

#[test]
fn amos_need_a_writable_page() {
    for &(name, _) in AMOS {
        for address in [0, RODATA, CODE & !7, 0xffff_0000] {
            let ran = at(address).op(name, 10, 8, 11, 0).ecall().run();
            let fault = TrapKind::AccessFault {
                address,
                len: width(name),
                write: true,
            };
            assert_eq!(trap(&ran), (fault, CODE), "{name}");
        }
    }
}

#[test]
fn load_reserved_loads() {
    for (name, value) in [("lr.w", MINW | 5), ("lr.d", 0x1234_5678_8000_0005)] {
        for (base, address) in [(DATA, DATA), (RODATA, RODATA), (DATA | 0xf << 32, DATA)] {
            let guest = at(base).data(address, &0x1234_5678_8000_0005_u64.to_le_bytes());
            let ran = guest.op(name, 10, 8, 0, 0).ecall().run();
            assert_eq!(ran.instance.registers()[10], value, "{name}");
        }
        let ran = at(0).op(name, 10, 8, 0, 0).ecall().run();
        assert_eq!(
            trap(&ran).0,
            TrapKind::AccessFault {
                address: 0,
                len: width(name),
                write: false
            }
        );
    }
}

/// Runs `before`, then an SC of all ones at [`DATA`]; whether it succeeded, and memory.
fn conditional(sc: &str, before: impl FnOnce(Guest) -> Guest) -> (bool, u64) {
    let guest = at(DATA)
        .register(9, DATA + 8)
        .register(11, ONES)
        .data(DATA, &7_u64.to_le_bytes());
    let ran = before(guest)
        .op(sc, 10, 8, 11, 0)
        .op("ebreak", 0, 0, 0, 0)
        .run_with(1 << 40, &mut Continues);
    assert_eq!(trap(&ran).0, TrapKind::Breakpoint);
    (ran.instance.registers()[10] == 0, memory(&ran))
}

struct Continues;

impl Host for Continues {
    fn ecall(&mut self, _: &mut Ecall<'_>) -> Flow {
        Flow::Continue
    }
}

#[test]
fn store_conditional_succeeds_after_the_same_reservation() {
    assert_eq!(
        conditional("sc.w", |guest| guest.op("lr.w", 12, 8, 0, 0)),
        (true, 0xffff_ffff)
    );
    assert_eq!(
        conditional("sc.d", |guest| guest.op("lr.d", 12, 8, 0, 0)),
        (true, ONES)
    );
    // The newest LR counts.
    let two = |guest: Guest| guest.op("lr.d", 12, 9, 0, 0).op("lr.d", 12, 8, 0, 0);
    assert_eq!(conditional("sc.d", two), (true, ONES));
}

#[test]
fn ordinary_stores_and_amos_keep_the_reservation() {
    let stored = |guest: Guest| guest.op("lr.d", 12, 8, 0, 0).op("sd", 0, 8, 12, 0);
    assert_eq!(conditional("sc.d", stored), (true, ONES));
    let amo = |guest: Guest| guest.op("lr.d", 12, 8, 0, 0).op("amoadd.d", 0, 8, 12, 0);
    assert_eq!(conditional("sc.d", amo), (true, ONES));
}

#[test]
fn store_conditional_fails_without_its_reservation() {
    let untouched = (false, 7);
    assert_eq!(conditional("sc.d", |guest| guest), untouched);
    assert_eq!(conditional("sc.w", |guest| guest), untouched);
    assert_eq!(
        conditional("sc.d", |guest| guest.op("lr.w", 12, 8, 0, 0)),
        untouched
    );
    assert_eq!(
        conditional("sc.w", |guest| guest.op("lr.d", 12, 8, 0, 0)),
        untouched
    );
    assert_eq!(
        conditional("sc.d", |guest| guest.op("lr.d", 12, 9, 0, 0)),
        untouched
    );
    let other = |guest: Guest| guest.op("lr.d", 12, 8, 0, 0).op("lr.d", 12, 9, 0, 0);
    assert_eq!(conditional("sc.d", other), untouched);
    // A failing SC clears the reservation as well as a successful one.
    let between = |guest: Guest| guest.op("lr.d", 12, 8, 0, 0).op("sc.d", 12, 9, 11, 0);
    assert_eq!(conditional("sc.d", between), untouched);
    assert_eq!(
        conditional("sc.d", |guest| guest.op("lr.d", 12, 8, 0, 0).ecall()),
        untouched
    );
    let twice = |guest: Guest| guest.op("lr.d", 12, 8, 0, 0).op("sc.d", 12, 8, 0, 0);
    assert_eq!(conditional("sc.d", twice), (false, 0));
}

#[test]
fn a_failing_sc_touches_no_memory_and_a_matching_one_needs_a_writable_page() {
    let ran = at(RODATA).op("sc.d", 10, 8, 11, 0).ecall().run();
    assert_eq!(
        (&ran.outcome.end, ran.instance.registers()[10]),
        (&End::Returned, 1)
    );
    let ran = at(RODATA)
        .op("lr.d", 10, 8, 0, 0)
        .op("sc.d", 10, 8, 11, 0)
        .ecall()
        .run();
    let fault = TrapKind::AccessFault {
        address: RODATA,
        len: 8,
        write: true,
    };
    assert_eq!(trap(&ran), (fault, CODE + 4));
}
