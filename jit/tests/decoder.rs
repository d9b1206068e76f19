//! The decoder: exhaustive over 16-bit encodings, sampled over 32-bit ones, checked against the encoder.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};

use millrace_jit::isa::{self, Constraint, Extension, F0, Form, Op, Operands, Register};
use millrace_jit::machine::machine;
use proptest::prelude::*;

/// A word that belongs to `form`: random bits where the form leaves them free.
fn sample(form: &Form, bits: u32) -> u32 {
    form.pattern | bits & !form.mask & if form.is_compressed() { 0xffff } else { u32::MAX }
}

/// What decoding a word shows about table and encoder.
fn check(word: u32) {
    let Some(instruction) = isa::decode(word) else {
        return;
    };
    let form = instruction.form;
    let significant = if form.is_compressed() { word & 0xffff } else { word };
    assert_eq!(
        significant & form.mask,
        form.pattern,
        "{word:#010x} as {}",
        form.name
    );
    // What the encoder writes differs in bits that are neither fixed nor operands, and only fences have such bits.
    let encoded = form.encode(&instruction.operands).unwrap();
    let operand_bits = form.format.operand_mask() | form.mask;
    assert_eq!(
        encoded,
        significant & operand_bits,
        "{word:#010x} as {}",
        form.name
    );
    if form.extension != Extension::Zifencei && form.op != Op::Fence {
        assert_eq!(encoded, significant, "{word:#010x} as {}", form.name);
    }
    assert_eq!(form.decode(encoded), Some(instruction.operands));
    let text = instruction.at(0x1_0000).to_string();
    assert!(text.starts_with(form.name), "{text}");
    assert_eq!(text.starts_with("c."), form.is_compressed(), "{text}");
}

#[test]
fn every_16_bit_word_decodes_to_at_most_one_form() {
    let mut legal = 0;
    for word in 0..=0xffff_u32 {
        let matching: Vec<_> = isa::forms()
            .iter()
            .filter(|form| form.is_compressed() && form.decode(word).is_some())
            .collect();
        let decoded = (word & 3 != 3).then(|| isa::decode(word)).flatten();
        assert_eq!(
            matching.first().copied(),
            decoded.map(|instruction| instruction.form),
            "{word:#06x}"
        );
        assert!(matching.len() <= 1, "{word:#06x} is {matching:?}");
        if decoded.is_some() {
            legal += 1;
            check(word);
            assert_eq!(
                isa::decode(word | 0xdead_0000),
                decoded,
                "the high half is ignored"
            );
        }
    }
    println!("{legal} of 49152 16-bit encodings are legal");
}

#[test]
fn compressed_encodings_that_are_reserved_are_illegal() {
    let ranges: BTreeMap<&str, Vec<u32>> = BTreeMap::from([
        (
            "all zero, and c.addi4spn of 0",
            (0..8).map(|rd| rd << 2).collect(),
        ),
        ("quadrant 0, funct3 4", (0x8000..0xa000).step_by(4).collect()),
        ("c.addiw to x0", (0..32).map(|imm| 0x2001 | imm << 2).collect()),
        (
            "c.lui of 0",
            (0..32).filter(|&rd| rd != 2).map(|rd| 0x6001 | rd << 7).collect(),
        ),
        ("c.addi16sp of 0", vec![0x6101]),
        (
            "funct6 0x27, funct2 2 and 3",
            (0..0x1_0000).filter(|word| word & 0xfc43 == 0x9c41).collect(),
        ),
        ("c.lwsp to x0", (0..32).map(|imm| 0x4002 | imm << 2).collect()),
        ("c.ldsp to x0", (0..32).map(|imm| 0x6002 | imm << 2).collect()),
        ("c.jr through x0", vec![0x8002]),
    ]);
    for (name, words) in ranges {
        for word in words {
            assert_eq!(isa::decode(word), None, "{name}: {word:#06x}");
        }
    }
}

#[test]
fn hints_execute() {
    let hints: [(u32, &str); 12] = [
        (0x0005, "c.nop 1"),
        (0x0081, "c.addi ra, 0"),
        (0x4001, "c.li zero, 0"),
        (0x6005, "c.lui zero, 0x1"),
        (0x8006, "c.mv zero, ra"),
        (0x9006, "c.add zero, ra"),
        (0x9016, "c.add zero, t0"),
        (0x0002, "c.slli zero, 0"),
        (0x8001, "c.srli s0, 0"),
        (0x8401, "c.srai s0, 0"),
        (0x0010_0013, "addi zero, zero, 1"),
        (0x0000_6013, "ori zero, zero, 0"),
    ];
    for (word, text) in hints {
        assert_eq!(isa::decode(word).unwrap().at(0).to_string(), text);
    }
}

#[test]
fn unlisted_32_bit_encodings_are_illegal() {
    let words: [(u32, &str); 37] = [
        (0xc000_2573, "rdcycle"),
        (0xc010_2573, "rdtime"),
        (0xc020_2573, "rdinstret"),
        (0x0000_2573, "csrrs of CSR 0"),
        (0x0040_2573, "csrrs of CSR 4"),
        (0x3000_2573, "csrrs of mstatus"),
        (0x0010_4573, "SYSTEM funct3 4"),
        (0x1050_0073, "wfi"),
        (0x3020_0073, "mret"),
        (0x0020_0073, "uret"),
        (0x0000_00f3, "ecall with rd"),
        (0x0015_2503 | 7 << 12, "load funct3 7"),
        (0x0000_4023, "store funct3 4"),
        (0x0000_2063, "branch funct3 2"),
        (0x0000_1067, "jalr funct3 1"),
        (0x0000_0007 | 1 << 12, "flh"),
        (0x0000_0007 | 4 << 12, "flq"),
        (0x0000_1027, "fsh"),
        (0x0000_0053 | 5 << 12, "fadd.s with rounding mode 5"),
        (0x0000_0053 | 6 << 12, "fadd.s with rounding mode 6"),
        (0x0400_0053, "fadd.h"),
        (0x0600_0053, "fadd.q"),
        (0x0400_0043, "fmadd.h"),
        (0x5810_0053, "fsqrt.s with rs2"),
        (0x4000_0053, "fcvt.s.s"),
        (0x4210_0053, "fcvt.d.d"),
        (0xc040_0053, "fcvt.w.s with rs2 4"),
        (0xe000_2053, "fclass funct3 2"),
        (0x2000_3053, "fsgnj funct3 3"),
        (0x1005_252f | 1 << 20, "lr.w with rs2"),
        (0x1005_352f | 31 << 20, "lr.d with rs2"),
        (0x0800_102f, "amoswap of a halfword"),
        (0x0200_901b | 1 << 25, "slliw by 32"),
        (0x0805_4533, "zext.h of RV32"),
        (0x0000_200f, "cbo"),
        (0x0000_001f, "48 bits"),
        (0xffff_ffff, "192 bits and more"),
    ];
    for (word, name) in words {
        assert_eq!(isa::decode(word), None, "{name}: {word:#010x}");
    }
}

#[test]
fn floating_point_is_legal_from_version_2_on() {
    let floats: BTreeSet<Extension> =
        BTreeSet::from([Extension::F, Extension::D, Extension::Zcd, Extension::Zicsr]);
    let (v1, v2) = (machine(1).unwrap(), machine(2).unwrap());
    let words = [
        0x0000_2007,
        0x0000_3007,
        0x0000_2027,
        0x0000_3027,
        0x0000_0053,
        0x0000_0043,
        0x0010_2573,
        0x0030_1073,
        0x2000,
        0xa000,
        0x2002,
        0xa002,
    ];
    for word in words {
        assert_eq!(v1.decode(word), None, "{word:#x}");
        assert!(v2.decode(word).is_some(), "{word:#x}");
    }
    let mut legal = [0; 2];
    for form in isa::forms() {
        legal[0] += u32::from(v1.supports(form.extension));
        legal[1] += u32::from(v2.supports(form.extension));
        assert_eq!(
            v1.supports(form.extension),
            !floats.contains(&form.extension),
            "{}",
            form.name
        );
    }
    assert_eq!(legal, [168, 240]);
    for word in 0..=0xffff_u32 {
        let expected = isa::decode(word).filter(|found| !floats.contains(&found.form.extension));
        assert_eq!(v1.decode(word), expected, "{word:#x}");
    }
}

#[test]
fn disassembly_names_registers_and_targets() {
    let words: [(u32, &str); 31] = [
        (0xfff5_0593, "addi a1, a0, -1"),
        (0x0000_00b7 | 0xfffff << 12, "lui ra, 0xfffff"),
        (0x0081_3083, "ld ra, 8(sp)"),
        (0xfe11_3c23, "sd ra, -8(sp)"),
        (0xfe00_0ee3, "beq zero, zero, 0xfffc"),
        (0x0080_00ef, "jal ra, 0x10008"),
        (0x0000_8067, "jalr zero, 0(ra)"),
        (0x1405_352f, "lr.d.aq a0, (a0)"),
        (0x1ab5_25af, "sc.w.rl a1, a1, (a0)"),
        (0x06b5_352f, "amoadd.d.aqrl a0, a1, (a0)"),
        (0x0ff0_000f, "fence iorw, iorw"),
        (0x0310_000f, "fence rw, w"),
        (0x8330_000f, "fence.tso"),
        (0x0100_000f, "pause"),
        (0x6005_1513, "clz a0, a0"),
        (0x02b5_5513 | 0x30 << 25, "rori a0, a0, 43"),
        (0x0000_0073, "ecall"),
        (0x8082, "c.jr ra"),
        (0x1141, "c.addi sp, -16"),
        (0xe406, "c.sdsp ra, 8(sp)"),
        (0xbfd5, "c.j 0xfff4"),
        (0x0001, "c.nop"),
        (0x00c5_f553, "fadd.s fa0, fa1, fa2"),
        (0x02c5_8553, "fadd.d fa0, fa1, fa2, rne"),
        (0x6ac5_f543, "fmadd.d fa0, fa1, fa2, fa3"),
        (0xc205_1553, "fcvt.w.d a0, fa0, rtz"),
        (0x0085_3507, "fld fa0, 8(a0)"),
        (0x00a5_2427, "fsw fa0, 8(a0)"),
        (0x0010_2573, "csrrs a0, fflags, zero"),
        (0x0023_d073, "csrrwi zero, frm, 7"),
        (0xbc22, "c.fsdsp fs0, 56(sp)"),
    ];
    for (word, text) in words {
        assert_eq!(
            isa::decode(word).unwrap().at(0x1_0000).to_string(),
            text,
            "{word:#x}"
        );
    }
}

#[test]
fn forms_are_distinct_and_their_bits_do_not_overlap() {
    let mut names = BTreeMap::new();
    for form in isa::forms() {
        assert_eq!(form.pattern & !form.mask, 0, "{}", form.name);
        assert_eq!(form.mask & form.format.operand_mask(), 0, "{}", form.name);
        assert_eq!(names.insert(form.name, form.op), None, "{} twice", form.name);
        assert_eq!(
            form.is_compressed(),
            matches!(form.extension, Extension::C | Extension::Zcd),
            "{}",
            form.name
        );
        assert_eq!(form.mask & 3, 3, "{}", form.name);
    }
    // Every operation has a 32-bit form, of which a compressed one is the abbreviation.
    for op in Op::ALL {
        assert!(
            isa::forms()
                .iter()
                .any(|form| form.op == *op && !form.is_compressed()),
            "{op:?}"
        );
    }
}

#[test]
fn immediates_have_the_ranges_of_the_manual() {
    let ranges = [
        ("addi", -2048, 2047, 1),
        ("sd", -2048, 2047, 1),
        ("beq", -4096, 4094, 2),
        ("jal", -0x10_0000, 0xf_fffe, 2),
        ("slli", 0, 63, 1),
        ("slliw", 0, 31, 1),
        ("c.addi4spn", 4, 1020, 4),
        ("c.lw", 0, 124, 4),
        ("c.ld", 0, 248, 8),
        ("c.sw", 0, 124, 4),
        ("c.sd", 0, 248, 8),
        ("c.lwsp", 0, 252, 4),
        ("c.ldsp", 0, 504, 8),
        ("c.swsp", 0, 252, 4),
        ("c.sdsp", 0, 504, 8),
        ("c.addi", -32, 31, 1),
        ("c.addi16sp", -512, 496, 16),
        ("c.slli", 0, 63, 1),
        ("c.j", -2048, 2046, 2),
        ("c.beqz", -256, 254, 2),
        ("fld", -2048, 2047, 1),
        ("fsw", -2048, 2047, 1),
        ("c.fld", 0, 248, 8),
        ("c.fsd", 0, 248, 8),
        ("c.fldsp", 0, 504, 8),
        ("c.fsdsp", 0, 504, 8),
    ];
    for (name, low, high, step) in ranges {
        let form = isa::forms().iter().find(|form| form.name == name).unwrap();
        let register = |register, chosen| match register {
            Register::Absent => 0,
            Register::Implied(number) => number,
            Register::Float(_) | Register::ShortFloat(_) => chosen + F0,
            _ => chosen,
        };
        for imm in (low - 2 * step..=high + 2 * step).filter(|imm| step < 1000 || imm % 2 == 0) {
            let rd = register(form.format.rd, 8);
            let operands = Operands {
                rd,
                rs1: register(form.format.rs1, 8),
                rs2: register(form.format.rs2, 8),
                imm,
                ..Operands::default()
            };
            let excluded = imm == 0 && form.constraints.contains(&Constraint::ImmediateNotZero);
            let expected = (low..=high).contains(&imm) && imm % step == 0 && !excluded;
            assert_eq!(form.encode(&operands).is_some(), expected, "{name} {imm}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_words_decode_as_they_encode(word: u32) {
        check(word);
        check(word | 3);
    }

    #[test]
    fn samples_of_a_form_decode_to_it(index in 0..isa::forms().len(), bits: u32) {
        let form = &isa::forms()[index];
        let word = sample(form, bits);
        check(word);
        if form.decode(word).is_some() {
            let decoded = isa::decode(word).unwrap().form;
            // Only `fence` has narrower forms inside it.
            prop_assert!(decoded == form || form.name == "fence", "{:#010x}: {}, not {}", word, decoded.name, form.name);
        }
    }
}
