//! What runs are charged, and where they end when it does not last.

use millrace_jit::isa::{self, Class, Op};
use millrace_jit::machine::MAX_GAS_LIMIT;
use millrace_jit::{End, Outcome, Program, TrapKind};
use proptest::prelude::*;
use proptest::sample::select;

use crate::common::{CODE, DATA, Guest, Returns, TEXT, encode, v1};
use crate::{ADDI, ECALL, bare, ops, run, trapped};

#[test]
fn every_class_costs_its_weight() {
    let weights = &v1().weights;
    let samples = [
        (("addi", 5, 6, 0, 1), Class::Alu),
        (("c.mv", 5, 0, 6, 0), Class::Alu),
        (("lui", 5, 0, 0, 0), Class::Alu),
        (("mulhsu", 5, 6, 7, 0), Class::Mul),
        (("clmulr", 5, 6, 7, 0), Class::Clmul),
        (("remuw", 5, 6, 7, 0), Class::Div),
        (("c.lwsp", 5, 2, 0, 0), Class::Load),
        (("sd", 0, 2, 6, 0), Class::Store),
        (("bne", 0, 0, 0, -4), Class::Branch),
        (("beq", 0, 0, 0, 4), Class::Branch),
        (("jal", 0, 0, 0, 4), Class::Jal),
        (("jalr", 0, 9, 0, 0), Class::Jalr),
        (("amoor.w", 5, 2, 6, 0), Class::Atomic),
        (("lr.d", 5, 2, 0, 0), Class::Atomic),
        (("fence", 0, 0, 0, 0), Class::Fence),
    ];
    for ((name, rd, rs1, rs2, imm), class) in samples {
        let guest = Guest::new().register(2, DATA).register(9, CODE + 4);
        let ran = guest.op(name, rd, rs1, rs2, imm).ecall().run_for_outcome();
        assert_eq!(ran.outcome.end, End::Returned, "{name}");
        let expected = Guest::prologue_gas() + u64::from(weights.of(class)) + u64::from(weights.ecall);
        assert_eq!(ran.outcome.gas_used, expected, "{name}");
        assert_eq!(
            ran.outcome.instructions,
            Some(Guest::PROLOGUE_INSTRUCTIONS + 2),
            "{name}"
        );
    }
    assert_eq!(
        Op::ALL.iter().map(|op| weights.of(op.class())).max(),
        Some(weights.largest())
    );
}

/// Three turns of a loop of two instructions, a call of a function, then `ecall`.
fn loops_and_calls() -> Vec<u8> {
    ops(&[
        ("addi", 6, 0, 0, 3),
        ADDI,
        ("bne", 0, 5, 6, -4),
        ("jal", 1, 0, 0, 8),
        ECALL,
        ("ld", 7, 2, 0, -8),
        ("c.jr", 0, 1, 0, 0),
    ])
}

#[test]
fn gas_runs_out_at_the_first_instruction_that_passes_the_limit() {
    let w = &v1().weights;
    // Executed in order: offsets and weights.
    let order: [(u64, u64); 11] = [
        (0, w.alu),
        (4, w.alu),
        (8, w.branch),
        (4, w.alu),
        (8, w.branch),
        (4, w.alu),
        (8, w.branch),
        (12, w.jal),
        (20, w.load),
        (24, w.jalr),
        (16, w.ecall),
    ]
    .map(|(offset, weight)| (offset, u64::from(weight)));
    let program = bare(TEXT, &loops_and_calls());
    let total: u64 = order.iter().map(|(_, weight)| weight).sum();
    let complete = Outcome {
        end: End::Returned,
        gas_used: total,
        instructions: Some(11),
    };
    assert_eq!(run(program.clone(), total), complete);
    assert_eq!(run(program.clone(), MAX_GAS_LIMIT), complete);
    for limit in 0..total {
        let mut left = limit;
        let (executed, (offset, _)) = order
            .iter()
            .enumerate()
            .find(|(_, (_, weight))| match left.checked_sub(*weight) {
                Some(rest) => {
                    left = rest;
                    false
                }
                None => true,
            })
            .unwrap();
        let expected = Outcome {
            end: trapped(TrapKind::OutOfGas, TEXT + offset),
            gas_used: limit,
            instructions: Some(executed as u64),
        };
        assert_eq!(run(program.clone(), limit), expected, "limit {limit}");
    }
}

#[test]
fn what_happens_before_the_gas_runs_out_happens() {
    // The store is paid for, the addition behind it is not.
    let guest = Guest::new()
        .register(8, DATA)
        .op("sb", 0, 8, 8, 1)
        .op("addi", 5, 0, 0, 1)
        .ecall();
    let ran = guest
        .register(8, DATA + 7)
        .run_with(Guest::prologue_gas() + 4, &mut Returns);
    assert_eq!(ran.outcome.end, trapped(TrapKind::OutOfGas, CODE + 4));
    assert_eq!(ran.instance.memory().read(DATA + 8, 1), Ok(&[7][..]));
    // A trap in front of the instruction that cannot be paid comes first.
    let guest = Guest::new().op("sb", 0, 0, 0, 0).op("addi", 5, 0, 0, 1).ecall();
    let ran = guest.run_with(Guest::prologue_gas() + 4, &mut Returns);
    assert_eq!(
        ran.outcome.end,
        trapped(
            TrapKind::AccessFault {
                address: 0,
                len: 1,
                write: true
            },
            CODE
        )
    );
}

#[test]
fn a_trap_consumes_everything() {
    let outcome = run(bare(TEXT, &ops(&[ADDI, ADDI, ("ebreak", 0, 0, 0, 0)])), 1_000_000);
    let end = trapped(TrapKind::Breakpoint, TEXT + 8);
    assert_eq!(
        outcome,
        Outcome {
            end,
            gas_used: 1_000_000,
            instructions: Some(2)
        }
    );
}

#[test]
fn endless_loops_end() {
    let limit = 1_000_000 * u64::from(v1().weights.jal) + 1;
    let outcome = run(bare(TEXT, &ops(&[("jal", 0, 0, 0, 0)])), limit);
    let end = trapped(TrapKind::OutOfGas, TEXT);
    assert_eq!(
        outcome,
        Outcome {
            end,
            gas_used: limit,
            instructions: Some(1_000_000)
        }
    );
}

#[test]
#[should_panic(expected = "passes the maximum")]
fn limits_beyond_the_maximum_are_refused() {
    run(bare(TEXT, &ops(&[ECALL])), MAX_GAS_LIMIT + 1);
}

/// Instructions that end up overlapping when jumps lead into their middles: some are compressed inside.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let displacement = || (-12..12_i32).prop_map(|halfwords| halfwords * 2);
    let compressed = prop_oneof![
        Just(encode("c.nop", 0, 0, 0, 0)),
        Just(encode("c.addi", 8, 8, 0, 1)),
        Just(encode("c.ebreak", 0, 0, 0, 0)),
        displacement().prop_map(|imm| encode("c.j", 0, 0, 0, imm)),
        displacement().prop_map(|imm| encode("c.bnez", 0, 9, 0, imm)),
        displacement().prop_map(|imm| encode("c.beqz", 0, 9, 0, imm)),
    ];
    let wide = prop_oneof![
        Just(encode("mul", 5, 5, 5, 0)),
        Just(encode("ld", 5, 2, 0, -8)),
        displacement().prop_map(|imm| encode("bne", 0, 8, 9, imm)),
        displacement().prop_map(|imm| encode("jal", 1, 0, 0, imm)),
    ];
    // An instruction of its own in the upper half of `lui`.
    let hiding = compressed
        .clone()
        .prop_map(|inner| [vec![0xb7, 0x02], inner].concat());
    prop_oneof![compressed, wide, hiding]
}

/// Outcome of such code with `limit` gas, by stepping through it: only s0 and jumps matter to it. `None` where it
/// comes upon anything else, as in the middle of a branch.
fn model(program: &Program, limit: u64) -> Option<Outcome> {
    let (mut pc, mut s0, mut paid, mut count) = (TEXT, 0_u64, 0, 0);
    loop {
        let stop = |kind| {
            Some(Outcome {
                end: trapped(kind, pc),
                gas_used: limit,
                instructions: Some(count),
            })
        };
        let offset = pc.wrapping_sub(TEXT) as usize;
        let Some(bytes) = program.text().1.get(offset..).filter(|bytes| !bytes.is_empty()) else {
            return stop(TrapKind::FetchFault);
        };
        let word = [0, 1, 2, 3].map(|i| bytes.get(i).copied().unwrap_or(0));
        let Some(instruction) = isa::decode(u32::from_le_bytes(word)) else {
            return stop(TrapKind::IllegalInstruction);
        };
        let (op, operands) = (instruction.op(), instruction.operands);
        paid += u64::from(v1().weights.of(op.class()));
        if paid > limit {
            return stop(TrapKind::OutOfGas);
        }
        if op == Op::Ebreak {
            return stop(TrapKind::Breakpoint);
        }
        count += 1;
        let taken = match (op, operands.rd, operands.rs1, operands.rs2) {
            (Op::Ecall, ..) => {
                return Some(Outcome {
                    end: End::Returned,
                    gas_used: paid,
                    instructions: Some(count),
                });
            }
            (Op::Addi, 8, 8, _) if operands.imm == 1 => {
                s0 += 1;
                false
            }
            (Op::Addi, 0, ..) | (Op::Lui | Op::Mul, 5, ..) | (Op::Ld, 5, 2, _) | (Op::Bne, _, 9, 0) => false,
            (Op::Bne, _, 8, 9) => s0 != 0,
            (Op::Beq, _, 9, 0) | (Op::Jal, 0 | 1, ..) => true,
            _ => return None,
        };
        pc = pc.wrapping_add_signed(if taken {
            operands.imm.into()
        } else {
            instruction.length().into()
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_instruction_is_paid_before_it_runs(
        fragments in proptest::collection::vec(fragment(), 4..20),
        entry in select(vec![2, 4]),
    ) {
        let start = encode("c.j", 0, 0, 0, entry);
        let program = bare(TEXT, &[start, fragments.concat(), ops(&[ECALL])].concat());
        for limit in 0..100 {
            let Some(expected) = model(&program, limit) else { break };
            prop_assert_eq!(run(program.clone(), limit), expected);
        }
    }
}
