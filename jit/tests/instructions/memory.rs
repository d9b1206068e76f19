//! Loads and stores: widths, extension, displacements, misalignment, page crossings, faults.

use millrace_jit::isa::{Form, Register, Syntax};
use millrace_jit::{End, Trap, TrapKind};

use crate::common::{CODE, DATA, DATA_LEN, Guest, RODATA, Ran, TEXT, form};

/// Name, bytes, what rd becomes when they are `f8 f9 .. ff`, and when they are `71 72 .. 78`.
const LOADS: &[(&str, u64, u64, u64)] = &[
    ("lb", 1, 0xffff_ffff_ffff_fff8, 0x71),
    ("lh", 2, 0xffff_ffff_ffff_f9f8, 0x7271),
    ("lw", 4, 0xffff_ffff_fbfa_f9f8, 0x7473_7271),
    ("ld", 8, 0xfffe_fdfc_fbfa_f9f8, 0x7877_7675_7473_7271),
    ("lbu", 1, 0xf8, 0x71),
    ("lhu", 2, 0xf9f8, 0x7271),
    ("lwu", 4, 0xfbfa_f9f8, 0x7473_7271),
    ("c.lw", 4, 0xffff_ffff_fbfa_f9f8, 0x7473_7271),
    ("c.ld", 8, 0xfffe_fdfc_fbfa_f9f8, 0x7877_7675_7473_7271),
    ("c.lwsp", 4, 0xffff_ffff_fbfa_f9f8, 0x7473_7271),
    ("c.ldsp", 8, 0xfffe_fdfc_fbfa_f9f8, 0x7877_7675_7473_7271),
];

/// Name and bytes.
const STORES: &[(&str, u64)] = &[
    ("sb", 1),
    ("sh", 2),
    ("sw", 4),
    ("sd", 8),
    ("c.sw", 4),
    ("c.sd", 8),
    ("c.swsp", 4),
    ("c.sdsp", 8),
];

const HIGH: [u8; 8] = [0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff];
const LOW: [u8; 8] = [0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78];

pub fn names() -> impl Iterator<Item = &'static str> {
    LOADS
        .iter()
        .map(|row| row.0)
        .chain(STORES.iter().map(|row| row.0))
}

fn base(form: &Form) -> u8 {
    if let Register::Implied(register) = form.format.rs1 {
        register
    } else {
        9
    }
}

/// The least and the largest displacement of a form, zero, and one between.
fn displacements(form: &Form) -> Vec<i32> {
    let register = |register| {
        if matches!(register, Register::Absent) {
            0
        } else {
            8
        }
    };
    let encodable = |imm: &i32| {
        let operands = millrace_jit::isa::Operands {
            rd: register(form.format.rd),
            rs1: base(form),
            rs2: register(form.format.rs2),
            imm: *imm,
            ..Default::default()
        };
        form.encode(&operands).is_some()
    };
    let all: Vec<i32> = (-2048..2048).filter(encodable).collect();
    vec![all[0], 0, all[all.len() / 3], all[all.len() - 1]]
}

fn load(name: &str, address: u64, imm: i32, bytes: &[u8]) -> Ran {
    let form = form(name);
    let guest = Guest::new().register(base(form), address.wrapping_sub_signed(imm.into()));
    let guest = if bytes.is_empty() {
        guest
    } else {
        guest.data(address & 0xffff_ffff, bytes)
    };
    guest.op(name, 8, base(form), 0, imm).ecall().run()
}

fn store(name: &str, address: u64, imm: i32, value: u64) -> Ran {
    let form = form(name);
    assert!(matches!(form.format.syntax, Syntax::Store));
    let guest = Guest::new()
        .register(base(form), address.wrapping_sub_signed(imm.into()))
        .register(8, value);
    guest.op(name, 0, base(form), 8, imm).ecall().run()
}

fn access_fault(ran: &Ran) -> (u64, u64, bool) {
    match ran.outcome.end {
        End::Trapped(Trap {
            kind: TrapKind::AccessFault { address, len, write },
            pc: CODE,
        }) => (address, len, write),
        ref end => panic!("no access fault at the instruction: {end:?}"),
    }
}

#[test]
fn loads_extend_at_every_displacement() {
    for &(name, len, high, low) in LOADS {
        for imm in displacements(form(name)) {
            for (segment, bytes, value) in [(RODATA, HIGH, high), (DATA, LOW, low)] {
                let ran = load(name, segment + 0x800, imm, &bytes[..len as usize]);
                assert_eq!(ran.outcome.end, End::Returned, "{name} {imm}");
                assert_eq!(ran.instance.registers()[8], value, "{name} {imm}");
            }
        }
    }
}

#[test]
fn loads_work_at_every_alignment_and_across_pages() {
    for &(name, len, high, _) in LOADS {
        for address in (DATA + 0xff8..=DATA + 0x1000).chain([RODATA + 0x1fff]) {
            let ran = load(name, address, 0, &HIGH[..len as usize]);
            assert_eq!(ran.instance.registers()[8], high, "{name} at {address:#x}");
        }
    }
}

#[test]
fn stores_change_their_bytes_alone() {
    for &(name, len) in STORES {
        for imm in displacements(form(name)) {
            for address in (DATA + 0xff8..=DATA + 0x1000).chain([DATA + 0x800]) {
                let ran = store(name, address, imm, u64::from_le_bytes(HIGH));
                let mut expected = [0; 24];
                expected[8..8 + len as usize].copy_from_slice(&HIGH[..len as usize]);
                assert_eq!(ran.outcome.end, End::Returned, "{name} {imm}");
                assert_eq!(
                    ran.instance.memory().read(address - 8, 24),
                    Ok(&expected[..]),
                    "{name} {imm}"
                );
            }
        }
    }
}

#[test]
fn the_upper_half_of_the_base_is_ignored() {
    for &(name, len, high, _) in LOADS {
        let ran = load(name, 0xdead_beef_0000_0000 | DATA, 0, &HIGH[..len as usize]);
        assert_eq!(ran.instance.registers()[8], high, "{name}");
    }
    for &(name, _) in STORES {
        let ran = store(name, 0xffff_ffff_0000_0000 | DATA, 0, 0x55);
        assert_eq!(ran.instance.memory().read(DATA, 1), Ok(&[0x55][..]), "{name}");
    }
}

#[test]
fn effective_addresses_do_not_wrap() {
    for &(name, len, ..) in LOADS.iter().filter(|row| !row.0.starts_with("c.")) {
        // Zero minus one is no address, although 2^32 - 1 would be one.
        let ran = Guest::new()
            .register(9, 1 << 32)
            .op(name, 8, 9, 0, -1)
            .ecall()
            .run();
        assert_eq!(access_fault(&ran), (u64::MAX, len, false), "{name}");
        let ran = Guest::new()
            .register(9, 0xffff_ffff)
            .op(name, 8, 9, 0, 1)
            .ecall()
            .run();
        assert_eq!(access_fault(&ran), (1 << 32, len, false), "{name}");
        let ran = Guest::new()
            .register(9, 0xffff_ffff)
            .op(name, 8, 9, 0, 0)
            .ecall()
            .run();
        assert_eq!(access_fault(&ran), (0xffff_ffff, len, false), "{name}");
    }
    for &(name, len) in STORES.iter().filter(|row| !row.0.starts_with("c.")) {
        let ran = Guest::new().register(9, 0).op(name, 0, 9, 8, -8).ecall().run();
        assert_eq!(access_fault(&ran), (u64::MAX - 7, len, true), "{name}");
    }
}

#[test]
fn accesses_fault_outside_what_is_mapped() {
    for &(name, len, ..) in LOADS {
        for address in [
            0,
            8,
            0xffff,
            0xffff_0000,
            0xffff_fff8,
            DATA + DATA_LEN,
            DATA + DATA_LEN - len + 1,
            RODATA - len,
        ] {
            assert_eq!(
                access_fault(&load(name, address, 0, &[])),
                (address, len, false),
                "{name}"
            );
        }
    }
    for &(name, len) in STORES {
        for address in [
            0,
            0xffff_0000,
            DATA + DATA_LEN,
            DATA + DATA_LEN - len + 1,
            RODATA,
            CODE,
        ] {
            let ran = store(name, address, 0, u64::MAX);
            assert_eq!(access_fault(&ran), (address, len, true), "{name}");
        }
    }
}

#[test]
fn a_store_that_faults_in_its_second_page_writes_nothing() {
    let ran = store("sd", DATA + DATA_LEN - 4, 0, u64::MAX);
    access_fault(&ran);
    assert_eq!(
        ran.instance.memory().read(DATA + DATA_LEN - 4, 4),
        Ok(&[0; 4][..])
    );
}

#[test]
fn a_load_into_x0_still_faults() {
    let ran = Guest::new().op("ld", 0, 0, 0, 0).ecall().run();
    assert_eq!(access_fault(&ran), (0, 8, false));
}

/// Sums of a register and a constant that may or may not be folded into the access, up to the least constant there is. What
/// native code reads beyond what it guards would be the host's.
#[test]
fn sums_with_any_constant_lead_where_they_say() {
    const EDGES: [i64; 13] = [
        i32::MIN as i64,
        (i32::MIN + 4096) as i64,
        -(64 << 10),
        -(60 << 10),
        -(56 << 10),
        -(52 << 10),
        -4096,
        4096,
        52 << 10,
        56 << 10,
        60 << 10,
        64 << 10,
        0x7fff_f000,
    ];
    for constant in EDGES {
        for (displacement, in_two) in [(0, false), (-2048, false), (2047, false), (0, true), (2040, true)] {
            for swapped in [false, true] {
                let address = DATA + 0x800;
                let root = address.wrapping_sub_signed(constant + i64::from(displacement));
                let sum = if swapped { (10, 11) } else { (11, 10) };
                let mut guest = Guest::new()
                    .data(address, &HIGH)
                    .register(11, if in_two { root.wrapping_sub(8) } else { root })
                    .op("lui", 10, 0, 0, constant as i32)
                    .op("add", 12, sum.0, sum.1, 0);
                if in_two {
                    guest = guest.op("addi", 12, 12, 0, 8);
                }
                let ran = guest
                    .op("ld", 13, 12, 0, displacement)
                    .op("sd", 0, 12, 11, displacement)
                    .op("ld", 14, 12, 0, displacement)
                    .ecall()
                    .run();
                assert_eq!(ran.outcome.end, End::Returned, "{constant:#x} {displacement}");
                assert_eq!(ran.instance.registers()[13], u64::from_le_bytes(HIGH));
                assert_eq!(ran.instance.registers()[14], ran.instance.registers()[11]);
            }
        }
        // From what is mapped to what is not.
        for (name, write) in [("ld", false), ("sd", true)] {
            let register = DATA + 0x800;
            let address = register.wrapping_add_signed(constant) & 0xffff_ffff;
            if (RODATA..DATA + DATA_LEN).contains(&address) || (TEXT..TEXT + 4096).contains(&address) {
                continue;
            }
            let ran = Guest::new()
                .register(11, register)
                .op("lui", 10, 0, 0, constant as i32)
                .op("add", 12, 11, 10, 0)
                .op(
                    name,
                    if write { 0 } else { 13 },
                    12,
                    if write { 13 } else { 0 },
                    0,
                )
                .ecall()
                .run();
            match ran.outcome.end {
                End::Trapped(Trap {
                    kind: TrapKind::AccessFault { address: found, .. },
                    ..
                }) => assert_eq!(found & 0xffff_ffff, address, "{name} {constant:#x}"),
                ref end => panic!("{name} {constant:#x}: {end:?}"),
            }
        }
    }
}
