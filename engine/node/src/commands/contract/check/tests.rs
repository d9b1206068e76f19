use millrace_tests::elf::{R, RW, RX, Segment, file};

use super::*;

const TEXT: u64 = 0x1_0000;
/// `fadd.s f0, f1, f2`, which machine version 2 has; an encoding that none has; `ecall`.
const FADD: u32 = 0x0020_f053;
const NONE: u32 = 0xffff_ffff;
const ECALL: u32 = 0x0000_0073;

fn elf(text: &[u32]) -> Vec<u8> {
    let bytes: Vec<u8> = text.iter().flat_map(|word| word.to_le_bytes()).collect();
    file(TEXT, &[Segment::load(RX, TEXT, bytes)])
}

fn check(elf: &[u8], machine_version: u16) -> Check {
    let rules = RulesArgs {
        machine_version: Some(machine_version),
        chain_spec: None,
    };
    Check::of(elf, None, &rules).expect("the development chain")
}

#[test]
fn places_that_trap_are_named_and_meant_ones_are_not() {
    let elf = elf(&[ECALL, FADD, 0, UNIMPLEMENTED[1], ECALL]);
    let (first, second) = (check(&elf, 1), check(&elf, 2));
    let found: Vec<_> = first
        .warnings
        .iter()
        .map(|warning| {
            (
                u64::from(warning.pc) - TEXT,
                warning.word,
                warning.since.as_ref().map(|(version, _)| *version),
            )
        })
        .collect();
    assert_eq!(found, [(4, FADD, Some(2))]);
    assert!(second.warnings.is_empty());
    let text = first.as_text(Path::new("x.elf"));
    assert!(text.contains("0x10004: 0x0020f053: fadd.s "), "{text}");
    assert!(
        first.verdict(Path::new("x.elf")).is_ok(),
        "a chain takes it all the same"
    );
    let many = check(&self::elf(&[NONE; 100]), 2);
    assert_eq!((many.traps, many.warnings.len()), (100, MOST_WARNINGS));
}

#[test]
fn a_refused_file_gets_all_its_reasons_with_their_segments() {
    let segments = [
        Segment::load(RW | 1, TEXT, ECALL.to_le_bytes()),
        Segment::load(R, TEXT + 4, [1]),
    ];
    let refused = check(&file(TEXT, &segments), 1);
    let segments: Vec<_> = refused.faults.iter().map(|fault| fault.segment).collect();
    assert_eq!(segments, [Some(0)], "the second segment is sound");
    let error = refused
        .verdict(Path::new("x.elf"))
        .expect_err("refused")
        .to_string();
    assert_eq!(error, "x.elf: a chain refuses it for the reason above");
    let json = refused.as_json(Path::new("x.elf"));
    assert_eq!(
        (&json["accepted"], &json["gas"]["deploy"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(json["faults"][0]["segment"], 0);

    let large = file(TEXT, &[Segment::load(RX, TEXT, vec![0x13; 1 << 20])]);
    let large = check(&large, 1);
    let messages: Vec<_> = large.faults.iter().map(|fault| fault.message.as_str()).collect();
    assert!(
        messages[0].contains("limits.transaction_bytes of the chain is 1048576"),
        "{messages:?}"
    );
    assert!(large.report.program.is_some(), "as a program it is sound");
}
