//! Floating point: edge values of every form, with the exceptions that they raise.
//!
//! Each case runs in programs that read exceptions and in programs that do not, with its rounding mode in the instruction
//! and in `frm`: native code computes differently in each.

use millrace_jit::isa::{F0, Operands, Register};
use millrace_jit::{End, TrapKind};

use crate::common::{DATA, Guest, RODATA, Ran, encode_operands, form, v1, v2};
use crate::float_cases::{Case, TABLE};

/// How a case is put.
#[derive(Clone, Copy, Debug)]
struct Setting {
    /// The rounding mode stands in `frm`.
    is_dynamic: bool,
    /// Exceptions are read.
    reads_flags: bool,
}

const DYNAMIC: i32 = 7;
/// Where the sources are put, as integers, and where results are looked for.
const SOURCES: [u8; 3] = [10, 11, 12];
const RESULT: u8 = 20;
const FLAGS: u8 = 21;

fn is_float(register: Register) -> bool {
    matches!(register, Register::Float(_) | Register::ShortFloat(_))
}

fn is_rounded(name: &str) -> bool {
    form(name)
        .constraints
        .contains(&millrace_jit::isa::Constraint::RoundingNotReserved)
}

/// A guest that executes a case with these operands.
fn guest(name: &str, case: &Case, setting: Setting, operands: Operands) -> Guest {
    let format = form(name).format;
    let mut guest = Guest::new().on(v2()).register(25, (case.mode as u64) << 5);
    for (register, value) in SOURCES.into_iter().zip(case.sources) {
        guest = guest.register(register, value);
    }
    if setting.is_dynamic {
        guest = guest.op("csrrw", 0, 25, 0, 3);
    }
    for (source, kind, register) in [
        (SOURCES[0], format.rs1, operands.rs1),
        (SOURCES[1], format.rs2, operands.rs2),
        (SOURCES[2], format.rs3, operands.rs3),
    ] {
        if is_float(kind) {
            guest = guest.op("fmv.d.x", register, source, 0, 0);
        }
    }
    guest = guest.bytes(&encode_operands(name, &operands));
    guest = if is_float(format.rd) {
        guest.op("fmv.x.d", RESULT, operands.rd, 0, 0)
    } else {
        guest.op("addi", RESULT, operands.rd, 0, 0)
    };
    if setting.reads_flags {
        guest = guest.op("csrrs", FLAGS, 0, 0, 1);
    }
    guest.ecall()
}

/// Registers for a form's operands: distinct, or the destination one of the sources.
fn operands(name: &str, case: &Case, setting: Setting) -> Vec<Operands> {
    let format = form(name).format;
    let pick = |kind, float: u8, integer: u8| match kind {
        Register::Absent => 0,
        kind if is_float(kind) => F0 + float,
        _ => integer,
    };
    let imm = match (is_rounded(name), setting.is_dynamic) {
        (false, _) => 0,
        (true, true) => DYNAMIC,
        (true, false) => case.mode,
    };
    [(0, 1, 2, 31), (9, 9, 2, 3), (9, 8, 9, 10), (5, 6, 7, 5)]
        .into_iter()
        .map(|(rd, rs1, rs2, rs3)| Operands {
            rd: pick(format.rd, rd, 18),
            rs1: pick(format.rs1, rs1, SOURCES[0]),
            rs2: pick(format.rs2, rs2, SOURCES[1]),
            rs3: pick(format.rs3, rs3, SOURCES[2]),
            imm,
        })
        .collect()
}

fn check(name: &str, case: &Case) {
    for (is_dynamic, reads_flags) in [(false, true), (false, false), (true, true), (true, false)] {
        let setting = Setting {
            is_dynamic,
            reads_flags,
        };
        for operands in operands(name, case, setting) {
            let context = format!("{name} {case:x?}, {setting:?}, {operands:?}");
            let ran = guest(name, case, setting, operands).run();
            assert_eq!(ran.outcome.end, End::Returned, "{context}");
            let registers = ran.instance.registers();
            let found = registers[usize::from(RESULT)];
            assert_eq!(found, case.value, "{context}: {found:#x}");
            if reads_flags {
                assert_eq!(registers[usize::from(FLAGS)], case.flags, "{context}");
            }
        }
    }
}

#[test]
fn table_of_floats() {
    for (name, cases) in TABLE {
        assert!(!cases.is_empty(), "{name}");
        for case in *cases {
            check(name, case);
        }
    }
}

#[test]
fn reserved_rounding_modes_are_illegal() {
    for (name, _) in TABLE.iter().filter(|(name, _)| is_rounded(name)) {
        for mode in 5..=7 {
            let case = Case {
                sources: [0; 3],
                mode,
                value: 0,
                flags: 0,
            };
            for reads_flags in [true, false] {
                let setting = Setting {
                    is_dynamic: true,
                    reads_flags,
                };
                let operands = operands(name, &case, setting)[0];
                let ran = guest(name, &case, setting, operands).run();
                let End::Trapped(trap) = ran.outcome.end else {
                    panic!("{name} with frm {mode}: {:?}", ran.outcome.end);
                };
                assert_eq!(trap.kind, TrapKind::IllegalInstruction, "{name} with frm {mode}");
            }
        }
    }
}

#[test]
fn exact_operations_ignore_the_dynamic_rounding_mode() {
    for (name, cases) in TABLE.iter().filter(|(name, _)| !is_rounded(name)) {
        let case = Case { mode: 6, ..cases[0] };
        let setting = Setting {
            is_dynamic: true,
            reads_flags: true,
        };
        let ran = guest(name, &case, setting, operands(name, &case, setting)[0]).run();
        assert_eq!(ran.outcome.end, End::Returned, "{name}");
        assert_eq!(
            ran.instance.registers()[usize::from(RESULT)],
            case.value,
            "{name}"
        );
    }
}

#[test]
fn version_1_has_no_floats() {
    for (name, cases) in TABLE {
        let setting = Setting {
            is_dynamic: false,
            reads_flags: false,
        };
        let operands = operands(name, &cases[0], setting)[0];
        let ran = Guest::new()
            .on(v1())
            .bytes(&encode_operands(name, &operands))
            .ecall()
            .run();
        assert!(
            matches!(&ran.outcome.end, End::Trapped(trap) if trap.kind == TrapKind::IllegalInstruction),
            "{name}"
        );
    }
}

/// Loads and stores: name, whether of doubles, base register, and the float's.
const LOADS: [(&str, bool, u8, u8); 4] = [
    ("flw", false, 18, 3),
    ("fld", true, 18, 3),
    ("c.fld", true, 9, 11),
    ("c.fldsp", true, 2, 29),
];
const STORES: [(&str, bool, u8, u8); 4] = [
    ("fsw", false, 18, 3),
    ("fsd", true, 18, 3),
    ("c.fsd", true, 9, 11),
    ("c.fsdsp", true, 2, 29),
];

const PATTERN: u64 = 0xfedc_ba98_7654_3210;

fn displacements(name: &str) -> [i32; 2] {
    if name.starts_with("c.") {
        [0, 248]
    } else {
        [-2048, 2047]
    }
}

#[test]
fn loads_box_singles_and_keep_bits() {
    for (name, is_double, base, float) in LOADS {
        for (imm, at) in displacements(name)
            .into_iter()
            .flat_map(|imm| [(imm, 0), (imm, 4093)])
        {
            let address = RODATA + 4096 + at;
            let ran = Guest::new()
                .on(v2())
                .data(address, &PATTERN.to_le_bytes())
                .register(base, address.wrapping_sub_signed(imm.into()))
                .op(name, F0 + float, base, 0, imm)
                .op("fmv.x.d", RESULT, F0 + float, 0, 0)
                .ecall()
                .run();
            assert_eq!(ran.outcome.end, End::Returned, "{name}");
            let expected = if is_double {
                PATTERN
            } else {
                PATTERN | 0xffff_ffff << 32
            };
            assert_eq!(
                ran.instance.registers()[usize::from(RESULT)],
                expected,
                "{name} {imm}"
            );
        }
        faults(name, base, F0 + float, RODATA - 4, false, is_double);
    }
}

#[test]
fn stores_keep_bits_of_any_register() {
    for (name, is_double, base, float) in STORES {
        for (imm, at) in displacements(name)
            .into_iter()
            .flat_map(|imm| [(imm, 0), (imm, 4093)])
        {
            let address = DATA + 4096 + at;
            let ran = Guest::new()
                .on(v2())
                .register(base, address.wrapping_sub_signed(imm.into()))
                .register(30, PATTERN)
                .op("fmv.d.x", F0 + float, 30, 0, 0)
                .op(name, 0, base, F0 + float, imm)
                .ecall()
                .run();
            assert_eq!(ran.outcome.end, End::Returned, "{name}");
            let expected = if is_double { PATTERN } else { PATTERN & 0xffff_ffff };
            let found = ran.instance.memory().read(address, 8).unwrap();
            assert_eq!(found, expected.to_le_bytes(), "{name} {imm}");
        }
        faults(name, base, F0 + float, RODATA, true, is_double);
    }
}

fn faults(name: &str, base: u8, float: u8, address: u64, write: bool, is_double: bool) {
    let (rd, rs2) = if write { (0, float) } else { (float, 0) };
    let Ran { outcome, .. } = Guest::new()
        .on(v2())
        .register(base, address)
        .op(name, rd, base, rs2, 0)
        .ecall()
        .run();
    let End::Trapped(trap) = outcome.end else {
        panic!("{name}: {:?}", outcome.end);
    };
    let len = if is_double { 8 } else { 4 };
    assert_eq!(trap.kind, TrapKind::AccessFault { address, len, write }, "{name}");
}

/// CSR instructions: what `fcsr` was, the CSR, the source, what rd gets, and what `fcsr` is then.
type CsrCase = (u64, i32, u64, u64, u64);
const CSRS: [(&str, &[CsrCase]); 6] = [
    (
        "csrrw",
        &[
            (0xff, 1, 0, 0x1f, 0xe0),
            (0, 1, !0, 0, 0x1f),
            (0xff, 2, 2, 7, 0x5f),
            (0x1f, 2, !0, 0, 0xff),
            (0xa5, 3, 0x1_0000_015a, 0xa5, 0x5a),
        ],
    ),
    (
        "csrrs",
        &[
            (0x41, 1, 6, 1, 0x47),
            (0x20, 2, 0xa, 1, 0x60),
            (0x81, 3, 0x118, 0x81, 0x99),
            (0xff, 3, 0, 0xff, 0xff),
        ],
    ),
    (
        "csrrc",
        &[
            (0xff, 1, 0x26, 0x1f, 0xf9),
            (0xff, 2, 5, 7, 0x5f),
            (0xff, 3, 0x1_0000_0081, 0xff, 0x7e),
        ],
    ),
    (
        "csrrwi",
        &[
            (0xff, 1, 9, 0x1f, 0xe9),
            (0xff, 2, 9, 7, 0x3f),
            (0xff, 3, 31, 0xff, 0x1f),
        ],
    ),
    (
        "csrrsi",
        &[
            (0x40, 1, 17, 0, 0x51),
            (0, 2, 12, 0, 0x80),
            (0xe0, 3, 31, 0xe0, 0xff),
        ],
    ),
    (
        "csrrci",
        &[
            (0xff, 1, 17, 0x1f, 0xee),
            (0xff, 2, 12, 7, 0x7f),
            (0xff, 3, 31, 0xff, 0xe0),
        ],
    ),
];

#[test]
fn csrs_hold_exceptions_and_rounding_mode() {
    for (name, cases) in CSRS {
        for &(before, csr, source, old, after) in cases {
            let is_immediate = name.ends_with('i');
            let imm = if is_immediate {
                csr | (source as i32) << 12
            } else {
                csr
            };
            for rd in [0, 18, 19] {
                let ran = Guest::new()
                    .on(v2())
                    .register(25, before)
                    .register(19, source)
                    .op("csrrw", 0, 25, 0, 3)
                    .op(name, rd, if is_immediate { 0 } else { 19 }, 0, imm)
                    .op("csrrs", FLAGS, 0, 0, 3)
                    .ecall()
                    .run();
                let case = format!("{name} {csr} of {source:#x}, {before:#x}");
                let registers = ran.instance.registers();
                assert_eq!(registers[usize::from(FLAGS)], after, "{case}");
                if rd != 0 {
                    assert_eq!(registers[usize::from(rd)], old, "{case}");
                }
            }
        }
    }
}

#[test]
fn floating_point_state_is_zero_at_entry() {
    let mut guest = Guest::new().on(v2()).op("csrrs", RESULT, 0, 0, 3);
    for float in 0..32 {
        guest = guest
            .op("fmv.x.d", FLAGS, F0 + float, 0, 0)
            .op("or", RESULT, RESULT, FLAGS, 0);
    }
    let program = guest.ecall();
    assert_eq!(program.run().instance.registers()[usize::from(RESULT)], 0);
    // In the same instance again, too, after a run that left something.
    let dirty = Guest::new()
        .on(v2())
        .op("fmv.x.d", RESULT, F0 + 7, 0, 0)
        .op("csrrs", FLAGS, 0, 0, 3)
        .op("csrrwi", 0, 0, 0, 3 | 31 << 12)
        .op("fmv.d.x", F0 + 7, 2, 0, 0)
        .ecall();
    for tier in [millrace_jit::Tier::Interpreter, millrace_jit::Tier::Jit] {
        let mut instance = millrace_jit::Instance::new(dirty.program());
        for _ in 0..2 {
            instance.run(tier, 1 << 40, &mut crate::common::Returns);
            let registers = instance.registers();
            assert_eq!(
                (registers[usize::from(RESULT)], registers[usize::from(FLAGS)]),
                (0, 0),
                "{tier:?}"
            );
        }
    }
}

pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE
        .iter()
        .map(|(name, _)| *name)
        .chain(LOADS.iter().chain(&STORES).map(|(name, ..)| *name))
        .chain(CSRS.iter().map(|(name, _)| *name))
}

/// As a library does that was built with fast mathematics: subnormal numbers become zero, and rounding is toward zero.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_control_register_of_the_host_changes_nothing() {
    let set = |control: u32| {
        // SAFETY: masks all exceptions; Rust code that computes with floats does not run until it is put back.
        unsafe { core::arch::asm!("ldmxcsr [{}]", in(reg) &raw const control) };
    };
    let setting = Setting {
        is_dynamic: false,
        reads_flags: false,
    };
    let names = ["fadd.d", "fmul.d", "fdiv.d", "fadd.s", "fmul.s", "fcvt.s.d"];
    for (name, cases) in TABLE.iter().filter(|(name, _)| names.contains(name)) {
        for case in cases.iter().filter(|case| case.mode == 0) {
            let program = guest(name, case, setting, operands(name, case, setting)[0]).program();
            let mut instance = millrace_jit::Instance::new(program);
            instance.prepare(millrace_jit::Tier::Jit).unwrap();
            set(0xffc0);
            let outcome = instance.run(millrace_jit::Tier::Jit, 1 << 40, &mut crate::common::Returns);
            set(0x1f80);
            assert_eq!(outcome.end, End::Returned, "{name}");
            assert_eq!(
                instance.registers()[usize::from(RESULT)],
                case.value,
                "{name} {case:x?}"
            );
        }
    }
}
