//! The rules of the machine that are not about one instruction: entry, gas, ends, host calls, text, memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;

use common::{CODE, DATA, DATA_LEN, Guest, RODATA, Ran, Returns, TEXT, encode, v1};
use millrace_jit::image::{OwnedSegment, Permissions};
use millrace_jit::isa::{Class, Op};
use millrace_jit::machine::MAX_GAS_LIMIT;
use millrace_jit::{Ecall, End, Flow, Host, Instance, Outcome, Program, Tier, Trap, TrapKind};

/// A host that answers with a closure.
struct Answers<F>(F);

impl<F: FnMut(&mut Ecall<'_>) -> Flow> Host for Answers<F> {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        (self.0)(call)
    }
}

/// The only segment: text, as it is.
fn bare(address: u64, text: &[u8]) -> Arc<Program> {
    let (data, permissions) = (text.to_vec(), Permissions::ReadExecute);
    let segment = OwnedSegment {
        address: address as u32,
        memory_len: data.len() as u32,
        data,
        permissions,
    };
    let entry = address.next_multiple_of(2) as u32;
    Arc::new(Program::from_segments(vec![segment], entry, v1()).unwrap())
}

fn run(program: Arc<Program>, gas_limit: u64) -> Outcome {
    Instance::new(program).run(Tier::Interpreter, gas_limit, &mut Returns)
}

fn trapped(kind: TrapKind, pc: u64) -> End {
    End::Trapped(Trap { kind, pc })
}

fn ops(list: &[(&str, u8, u8, u8, i32)]) -> Vec<u8> {
    list.iter()
        .flat_map(|&(name, rd, rs1, rs2, imm)| encode(name, rd, rs1, rs2, imm))
        .collect()
}

const ADDI: (&str, u8, u8, u8, i32) = ("addi", 5, 5, 0, 1);
const ECALL: (&str, u8, u8, u8, i32) = ("ecall", 0, 0, 0, 0);

// Entry.

#[test]
fn registers_are_zero_at_entry_but_sp() {
    let mut instance = Instance::new(bare(TEXT, &ops(&[ECALL])));
    instance.run(Tier::Interpreter, 1000, &mut Returns);
    let mut expected = [0; 32];
    expected[2] = 0xffff_0000;
    assert_eq!(instance.registers(), &expected);
    instance.set_stack_pointer(0xfffe_fff0);
    instance.run(Tier::Interpreter, 1000, &mut Returns);
    assert_eq!(instance.registers()[2], 0xfffe_fff0);
}

#[test]
fn the_stack_is_mapped_whole_and_guarded() {
    let instance = Instance::new(bare(TEXT, &ops(&[ECALL])));
    let memory = instance.memory();
    let (top, bottom) = (0xffff_0000, 0xffff_0000 - (256 << 10));
    assert_eq!(memory.read(bottom, 256 << 10), Ok(&[0; 256 << 10][..]));
    memory.check_writable(bottom, 256 << 10).unwrap();
    for address in [bottom - 1, top] {
        let fault = TrapKind::AccessFault {
            address,
            len: 1,
            write: true,
        };
        assert_eq!(memory.check_writable(address, 1), Err(fault));
    }
}

// Gas.

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
        let ran = guest.op(name, rd, rs1, rs2, imm).ecall().run();
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
    // Executed in order, with weights: addi 1, (addi 1, bne 2) three times, jal 2, ld 4, c.jr 5, ecall 12.
    let order: [(u64, u64); 11] = [
        (0, 1),
        (4, 1),
        (8, 2),
        (4, 1),
        (8, 2),
        (4, 1),
        (8, 2),
        (12, 2),
        (20, 4),
        (24, 5),
        (16, 12),
    ];
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
    let outcome = run(bare(TEXT, &ops(&[("jal", 0, 0, 0, 0)])), 2_000_001);
    let end = trapped(TrapKind::OutOfGas, TEXT);
    assert_eq!(
        outcome,
        Outcome {
            end,
            gas_used: 2_000_001,
            instructions: Some(1_000_000)
        }
    );
}

#[test]
#[should_panic(expected = "passes the maximum")]
fn limits_beyond_the_maximum_are_refused() {
    run(bare(TEXT, &ops(&[ECALL])), MAX_GAS_LIMIT + 1);
}

// Host calls and ends.

#[test]
fn hosts_see_arguments_and_change_a0_and_a1() {
    let guest = (1..32).fold(Guest::new(), |guest, register| {
        guest.register(register, u64::from(register) << 33)
    });
    let mut calls = 0;
    let ran = guest.clone().ecall().ecall().run_with(
        1 << 40,
        &mut Answers(|call: &mut Ecall<'_>| {
            calls += 1;
            assert_eq!(call.number, 17 << 33);
            let a = |i: u64| (10 + i) << 33;
            if calls == 1 {
                assert_eq!(call.args, [a(0), a(1), a(2), a(3), a(4), a(5)]);
                assert_eq!(call.results, [a(0), a(1)]);
                call.results = [u64::MAX, 7];
                call.args[2] = 1;
                return Flow::Continue;
            }
            assert_eq!(call.args, [u64::MAX, 7, a(2), a(3), a(4), a(5)]);
            Flow::Return
        }),
    );
    let mut expected = guest.registers();
    (expected[10], expected[11]) = (u64::MAX, 7);
    assert_eq!((ran.outcome.end, calls), (End::Returned, 2));
    assert_eq!(ran.instance.registers(), &expected);
}

#[test]
fn gas_is_exact_at_each_ecall() {
    let ecall = u64::from(v1().weights.ecall);
    let mut seen = Vec::new();
    let program = bare(TEXT, &ops(&[ADDI, ECALL, ADDI, ADDI, ECALL, ECALL]));
    let outcome = Instance::new(program).run(
        Tier::Interpreter,
        1000,
        &mut Answers(|call: &mut Ecall<'_>| {
            seen.push(call.gas_left());
            match seen.len() {
                1 => {
                    call.charge(100).unwrap();
                    assert_eq!(call.gas_left(), seen[0] - 100);
                    call.refund(30);
                    Flow::Continue
                }
                2 => {
                    let too_much = call.gas_left() + 1;
                    assert_eq!(call.charge(too_much), Err(Flow::Trap(TrapKind::OutOfGas)));
                    assert_eq!(call.gas_left(), seen[1]);
                    Flow::Continue
                }
                _ => Flow::Revert,
            }
        }),
    );
    assert_eq!(seen, [999 - ecall, 927 - 2 * ecall, 927 - 3 * ecall]);
    assert_eq!(
        outcome,
        Outcome {
            end: End::Reverted,
            gas_used: 73 + 3 * ecall,
            instructions: Some(6)
        }
    );
}

#[test]
#[should_panic(expected = "at most what it charged")]
fn hosts_cannot_make_gas() {
    let guest = Guest::new().ecall();
    guest.run_with(
        1000,
        &mut Answers(|call: &mut Ecall<'_>| {
            call.charge(5).unwrap();
            call.refund(6);
            Flow::Return
        }),
    );
}

#[test]
fn every_flow_has_its_end() {
    let used = Guest::prologue_gas() + u64::from(v1().weights.ecall);
    let refused = TrapKind::Host("unknown host call");
    for (flow, end, gas) in [
        (Flow::Return, End::Returned, used),
        (Flow::Revert, End::Reverted, used),
        (Flow::Abort, End::Aborted, used),
        (Flow::Trap(refused), trapped(refused, CODE), 5000),
    ] {
        let ran = Guest::new()
            .ecall()
            .run_with(5000, &mut Answers(|_: &mut Ecall<'_>| flow));
        assert_eq!((ran.outcome.end, ran.outcome.gas_used), (end, gas));
    }
}

#[test]
fn hosts_run_other_instances() {
    let inner = bare(TEXT, &ops(&[("addi", 10, 0, 0, 42), ECALL]));
    let ran = Guest::new().ecall().ecall().run_with(
        1 << 40,
        &mut Answers(|call: &mut Ecall<'_>| {
            if call.results[0] != 0 {
                return Flow::Return;
            }
            let mut instance = Instance::new(inner.clone());
            let outcome = instance.run(Tier::Interpreter, 1000, &mut Returns);
            call.charge(outcome.gas_used).unwrap();
            call.results[0] = instance.registers()[10];
            Flow::Continue
        }),
    );
    assert_eq!(ran.instance.registers()[10], 42);
    assert_eq!(
        ran.outcome.gas_used,
        Guest::prologue_gas() + 1 + 3 * u64::from(v1().weights.ecall)
    );
}

// Text.

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

// Memory.

fn fresh() -> Instance {
    Instance::new(
        Guest::new()
            .data(RODATA, b"constant")
            .data(DATA, b"variable")
            .ecall()
            .program(),
    )
}

#[test]
fn host_ranges_are_checked_in_the_page_table() {
    let mut instance = fresh();
    let memory = instance.memory_mut();
    assert_eq!(memory.read(RODATA, 8), Ok(&b"constant"[..]));
    assert_eq!(
        memory.read(DATA | 0xdead_beef << 32, 8),
        Ok(&b"variable"[..]),
        "pointers have 32 bits"
    );
    assert_eq!(memory.read(TEXT, 2).unwrap().len(), 2, "text can be read");
    assert_eq!(memory.write(DATA + 4094, b"abcd"), Ok(()));
    assert_eq!(memory.read(DATA + 4094, 4), Ok(&b"abcd"[..]));
    for (pointer, len) in [
        (0, 1),
        (DATA, DATA_LEN + 1),
        (DATA, u64::MAX),
        (0xffff_ffff, 2),
        (DATA, 1 << 32),
        (RODATA - 1, 2),
    ] {
        let fault = TrapKind::AccessFault {
            address: pointer,
            len,
            write: false,
        };
        assert_eq!(memory.read(pointer, len), Err(fault));
    }
    for (pointer, len) in [(RODATA, 1), (TEXT, 1), (DATA + DATA_LEN - 1, 2), (DATA - 1, 2)] {
        let fault = TrapKind::AccessFault {
            address: pointer,
            len,
            write: true,
        };
        assert_eq!(memory.check_writable(pointer, len), Err(fault));
        assert_eq!(memory.write(pointer, &vec![1; len as usize]), Err(fault));
    }
    assert_eq!(
        memory.read(DATA + DATA_LEN - 1, 1),
        Ok(&[0][..]),
        "nothing of a failed write is there"
    );
    for pointer in [0, u64::MAX, RODATA] {
        assert_eq!(memory.read(pointer, 0), Ok(&[][..]));
        assert_eq!(memory.write(pointer, &[]), Ok(()));
        assert_eq!(memory.check_writable(pointer, 0), Ok(()));
    }
}

#[test]
fn the_heap_grows_from_the_page_behind_the_image_to_its_maximum() {
    let mut instance = fresh();
    let memory = instance.memory_mut();
    let start = memory.heap_start();
    assert_eq!(start, 0x40_1000);
    assert_eq!((memory.heap_pages(), memory.grow_heap(0)), (0, Some(start)));
    assert!(memory.read(start, 1).is_err());
    assert_eq!(memory.grow_heap(2), Some(start));
    assert_eq!(memory.read(start, 8192), Ok(&[0; 8192][..]));
    assert!(memory.write(start + 8191, &[1, 2]).is_err());
    let maximum = v1().layout.heap_max_bytes / 4096;
    for pages in [maximum - 1, u32::MAX] {
        assert_eq!(memory.grow_heap(pages), None);
    }
    assert_eq!(memory.grow_heap(maximum - 2), Some(start + 8192));
    assert_eq!((memory.heap_pages(), memory.grow_heap(1)), (maximum, None));
    assert_eq!(memory.grow_heap(0), Some(start + u64::from(maximum) * 4096));
}

#[test]
fn guests_use_the_heap_that_they_were_granted() {
    let ran = Guest::new()
        .ecall()
        .op("sd", 0, 10, 10, 0)
        .op("ld", 11, 10, 0, 0)
        .ecall()
        .run_with(
            1 << 40,
            &mut Answers(|call: &mut Ecall<'_>| {
                if call.memory.heap_pages() > 0 {
                    return Flow::Return;
                }
                call.results[0] = call.memory.grow_heap(1).unwrap();
                Flow::Continue
            }),
        );
    assert_eq!(ran.outcome.end, End::Returned);
    assert_eq!(ran.instance.registers()[11], 0x40_1000);
}

#[test]
fn instances_of_a_program_share_nothing_that_changes() {
    let guest = Guest::new()
        .register(8, DATA)
        .op("lw", 9, 8, 0, 0)
        .op("addi", 9, 9, 0, 1)
        .op("sw", 0, 8, 9, 0)
        .ecall();
    let program = guest.program();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut instance = Instance::new(program.clone());
                    let outcome = instance.run(Tier::Interpreter, 1 << 40, &mut Returns);
                    (outcome, instance.registers()[9])
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.1 == 1 && outcome == &outcomes[0])
    );
}

#[test]
fn a_run_repeats_itself() {
    let twice = || -> Ran {
        Guest::new()
            .register(8, DATA)
            .op("sd", 0, 8, 2, 0)
            .op("ld", 9, 8, 0, 0)
            .ecall()
            .run()
    };
    let (first, second) = (twice(), twice());
    assert_eq!(first.outcome, second.outcome);
    assert_eq!(first.instance.registers(), second.instance.registers());
}
