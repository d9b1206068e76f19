//! Where code may be: any even address, up to the end of text.

use std::sync::Arc;

use millrace_jit::image::{OwnedSegment, Permissions};
use millrace_jit::isa::{self, Form};
use millrace_jit::{Ecall, End, Flow, Instance, Outcome, Program, Tier, TrapKind};
use proptest::prelude::*;

use crate::common::{DATA, Guest, Returns, TEXT, encode, v1};
use crate::{ADDI, Answers, ECALL, bare, ops, run, trapped};

#[test]
fn running_off_the_end_of_text_faults_there() {
    let text = ops(&[ADDI, ("c.nop", 0, 0, 0, 0)]);
    assert_eq!(
        run(bare(TEXT, &text), 1000).end,
        trapped(TrapKind::FetchFault, TEXT + 6)
    );
    // Behind an ecall that continues, and behind a full page of text.
    let mut continues = Answers(|_: &mut Ecall<'_>| Flow::Continue);
    let outcome = Instance::new(bare(TEXT, &ops(&[ECALL]))).run(Tier::Interpreter, 1000, &mut continues);
    assert_eq!(outcome.end, trapped(TrapKind::FetchFault, TEXT + 4));
    let text: Vec<u8> = (0..4096).flat_map(|_| encode("c.nop", 0, 0, 0, 0)).collect();
    let outcome = run(bare(TEXT, &text), 1 << 20);
    assert_eq!(outcome.end, trapped(TrapKind::FetchFault, TEXT + 8192));
    assert_eq!(outcome.instructions, Some(4096));
}

#[test]
fn an_instruction_cut_by_the_end_of_text_is_illegal_at_its_own_address() {
    for cut in 1..4 {
        let mut text = ops(&[ADDI, ADDI]);
        text.truncate(8 - cut);
        let outcome = run(bare(TEXT, &text), 1000);
        assert_eq!(
            outcome.end,
            trapped(TrapKind::IllegalInstruction, TEXT + 4),
            "{cut} bytes cut"
        );
        assert_eq!(outcome.instructions, Some(1));
    }
    // One byte of a 16-bit instruction.
    let mut text = ops(&[ADDI, ("c.nop", 0, 0, 0, 0)]);
    text.pop();
    assert_eq!(
        run(bare(TEXT, &text), 1000).end,
        trapped(TrapKind::IllegalInstruction, TEXT + 4)
    );
}

#[test]
fn text_may_start_at_an_odd_address() {
    let mut text = vec![0xff];
    text.extend(ops(&[ADDI, ECALL]));
    assert_eq!(run(bare(TEXT + 1, &text), 1000).end, End::Returned);
}

#[test]
fn every_tier_counts_from_the_first_even_address() {
    let code = ops(&[
        ("c.li", 11, 0, 0, 9),
        ("jal", 1, 0, 0, 8),
        ADDI,
        ("c.addi", 5, 5, 0, 1),
        ECALL,
    ]);
    for odd in [0, 1, 3] {
        let text = [vec![0xff; odd % 2], code.clone()].concat();
        for tier in [Tier::Interpreter, Tier::Jit] {
            let mut seen = 0;
            let mut host = Answers(|call: &mut Ecall<'_>| {
                seen = call.args[1];
                Flow::Return
            });
            let program = bare(TEXT + odd as u64, &text);
            let outcome = Instance::new(program).run(tier, 1000, &mut host);
            assert_eq!(outcome.end, End::Returned);
            assert_eq!(seen, 9, "{tier:?}, text {odd} bytes behind a page's start");
        }
    }
}

/// Native code looks pointers to functions up in a table; from an odd address on it once read between two entries.
#[test]
fn pointers_lead_to_functions_behind_an_odd_address() {
    const COUNT: u64 = 8;
    for odd in [0, 1] {
        let start = TEXT + 2 * odd;
        let mut code = ops(&[
            ("lui", 8, 0, 0, DATA as i32),
            ("addi", 9, 0, 0, COUNT as i32),
            ("ld", 5, 8, 0, 0),
            ("srli", 5, 5, 0, 1),
            ("addi", 8, 8, 0, 8),
            ("jalr", 1, 5, 0, 0),
            ("addi", 9, 9, 0, -1),
            ("bne", 0, 9, 0, -20),
            ECALL,
        ]);
        let functions = start + code.len() as u64;
        let mut pointers = Vec::new();
        for number in 0..COUNT {
            code.extend(ops(&[("addi", 10, 10, 0, 1), ("jalr", 0, 1, 0, 0)]));
            // Doubled, so that it is the sum that the loop makes, beside what shows that it is a function.
            let pointer = functions + 8 * number;
            pointers.push([2 * pointer, pointer]);
        }
        let segment = |address: u64, data: Vec<u8>, permissions| OwnedSegment {
            address: address as u32,
            memory_len: data.len() as u32,
            data,
            permissions,
        };
        let [doubled, plain] = [0, 1].map(|which| pointers.iter().map(move |pair| pair[which]));
        let data = doubled.chain(plain).flat_map(u64::to_le_bytes).collect();
        let text = [vec![0xff; odd as usize], code].concat();
        let segments = vec![
            segment(TEXT + odd, text, Permissions::ReadExecute),
            segment(DATA, data, Permissions::Read),
        ];
        let program = Arc::new(Program::from_segments(segments, start as u32, v1()).unwrap());
        for tier in [Tier::Interpreter, Tier::Jit] {
            let mut instance = Instance::new(Arc::clone(&program));
            assert_eq!(instance.run(tier, 10_000, &mut Returns).end, End::Returned);
            assert_eq!(instance.registers()[10], COUNT, "{tier:?}");
        }
    }
}

#[test]
fn illegal_instructions_trap_at_their_address() {
    for word in [0, 0xffff_ffff, 0xc000_2573, 0x0000_2007_u32] {
        let text = [ops(&[ADDI]), word.to_le_bytes().to_vec()].concat();
        let outcome = run(bare(TEXT, &text), 1000);
        assert_eq!(
            outcome.end,
            trapped(TrapKind::IllegalInstruction, TEXT + 4),
            "{word:#x}"
        );
        assert_eq!(outcome.instructions, Some(1));
    }
}

#[test]
fn overlapping_decodes_are_legal() {
    // A `lui t0` whose upper half is `c.li a0, 5`.
    let inner = u16::from_le_bytes(encode("c.li", 10, 0, 0, 5).try_into().unwrap());
    let outer = 0x37 | 5 << 7 | u32::from(inner) << 16;
    let text = [
        ops(&[("jal", 0, 0, 0, 6)]),
        outer.to_le_bytes().to_vec(),
        // First through the middle of lui, then through all of it.
        ops(&[
            ("bne", 0, 6, 0, 10),
            ("addi", 6, 0, 0, 1),
            ("c.j", 0, 0, 0, -12),
            ECALL,
        ]),
    ]
    .concat();
    let mut instance = Instance::new(bare(TEXT, &text));
    let outcome = instance.run(Tier::Interpreter, 1000, &mut Returns);
    assert_eq!(outcome.end, End::Returned);
    assert_eq!(instance.registers()[10], 5);
    assert_eq!(
        instance.registers()[5],
        i64::from(i32::from_le_bytes((outer & !0xfff).to_le_bytes())) as u64
    );
    assert_eq!(outcome.instructions, Some(1 + 4 + 3));
}

#[test]
fn instructions_lie_across_any_boundary() {
    // A halfword in front, so that one 32-bit instruction lies across every 4 KiB.
    for count in [1023, 1024, 1025, 5000] {
        let mut text = encode("c.nop", 0, 0, 0, 0);
        for _ in 0..count {
            text.extend(encode("addi", 5, 5, 0, 1));
        }
        text.extend(ops(&[ECALL]));
        let mut instance = Instance::new(bare(TEXT, &text));
        let outcome = instance.run(Tier::Interpreter, 1 << 20, &mut Returns);
        let ecall = u64::from(v1().weights.ecall);
        let expected = Outcome {
            end: End::Returned,
            gas_used: 1 + count + ecall,
            instructions: Some(count + 2),
        };
        assert_eq!(outcome, expected);
        assert_eq!(instance.registers()[5], count);
        let outcome = run(bare(TEXT, &text), count - 5);
        assert_eq!(
            outcome.end,
            trapped(TrapKind::OutOfGas, TEXT + 2 + 4 * (count - 6))
        );
    }
}

#[test]
fn jumps_lead_to_any_page_and_back() {
    // A chain through six pages of text, forwards by 4 KiB and back to the start.
    let mut text = vec![0; 6 * 4096];
    for page in 0..5 {
        let at = page * 4096;
        text[at..at + 8].copy_from_slice(&ops(&[ADDI, ("jal", 0, 0, 0, 4092)]));
    }
    let last = 5 * 4096;
    let tail = ops(&[
        ("addi", 6, 6, 0, 1),
        ("addi", 7, 0, 0, 3),
        ("beq", 0, 6, 7, 8),
        ("jal", 0, 0, 0, -(last as i32) - 12),
        ECALL,
    ]);
    text[last..last + tail.len()].copy_from_slice(&tail);
    let mut instance = Instance::new(bare(TEXT, &text));
    assert_eq!(
        instance.run(Tier::Interpreter, 1000, &mut Returns).end,
        End::Returned
    );
    assert_eq!((instance.registers()[5], instance.registers()[6]), (15, 3));
}

/// A legal instruction with random operands, or, now and then, random bytes.
fn instruction() -> impl Strategy<Value = Vec<u8>> {
    let of_form = |form: &Form, bits: u32| {
        let word = form.pattern | bits & form.format.operand_mask();
        word.to_le_bytes()[..usize::from(form.length())].to_vec()
    };
    prop_oneof![
        20 => (0..isa::forms().len(), any::<u32>()).prop_map(move |(i, bits)| of_form(&isa::forms()[i], bits)),
        1 => proptest::collection::vec(any::<u8>(), 2..6),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the bytes, a run ends, twice the same, within its gas, and leaves x0 alone.
    #[test]
    fn any_text_runs_to_an_end(
        code in proptest::collection::vec(instruction(), 1..200),
        values in proptest::array::uniform31(prop_oneof![any::<u64>(), Just(DATA), TEXT..TEXT + 500, 0..70_u64]),
        gas_limit in 200..20_000_u64,
    ) {
        let guest = (1..32).zip(values).fold(Guest::new(), |guest, (number, value)| guest.register(number, value));
        let guest = guest.bytes(&code.concat());
        let mut host = Answers(|call: &mut Ecall<'_>| {
            call.results = [call.gas_left(), call.args[5]];
            Flow::Continue
        });
        let first = guest.run_with(gas_limit, &mut host);
        let second = guest.run_with(gas_limit, &mut host);
        prop_assert!(matches!(first.outcome.end, End::Trapped(_)), "no host call ends it");
        prop_assert_eq!(&first.outcome, &second.outcome);
        prop_assert_eq!(first.outcome.gas_used, gas_limit);
        prop_assert!(first.outcome.instructions.unwrap() <= gas_limit);
        prop_assert_eq!(first.instance.registers(), second.instance.registers());
        prop_assert_eq!(first.instance.registers()[0], 0);
    }
}
