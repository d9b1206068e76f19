//! A run that is observed is the run that it would have been, and every jump of it is told.

use std::cell::RefCell;

use millrace_jit::{End, Flow, Instance, Jump, JumpKind, Observed, Observer, Tier, TrapKind};

use crate::common::{Returns, TEXT, v1};
use crate::{ADDI, Answers, ECALL, bare, ops, run, trapped};

#[derive(Default)]
struct Jumps(RefCell<Vec<Jump>>);

impl Observer for Jumps {
    fn jumped(&self, jump: Jump) {
        self.0.borrow_mut().push(jump);
    }
}

fn observed(text: &[u8], gas_limit: u64) -> (Observed, Vec<Jump>) {
    let jumps = Jumps::default();
    let ran = Instance::new(bare(TEXT, text)).run_observed(gas_limit, &mut Returns, &jumps);
    (ran, jumps.0.into_inner())
}

/// A loop of three turns, a call by each link register, jumps that are neither, and both returns.
fn all_kinds() -> Vec<u8> {
    ops(&[
        ("addi", 6, 0, 0, 3),
        ADDI,
        ("bne", 0, 5, 6, -4),
        ("jal", 1, 0, 0, 8),
        ECALL,
        ("jal", 5, 0, 0, 8),
        ("c.jr", 0, 1, 0, 0),
        ("c.mv", 7, 0, 6, 0),
        ("jal", 0, 0, 0, 8),
        ("jalr", 0, 5, 0, 0),
        ("jal", 0, 0, 0, -4),
    ])
}

#[test]
fn every_jump_is_told_with_what_it_is_and_the_gas_behind_it() {
    let w = &v1().weights;
    let (turn, limit) = (w.alu + w.branch, 10_000);
    let (ran, jumps) = observed(&all_kinds(), limit);
    let call = |returns_to: u64| JumpKind::Call {
        returns_to: TEXT + returns_to,
    };
    let expected = [
        (8, 4, JumpKind::Within, w.alu + turn),
        (8, 4, JumpKind::Within, turn),
        (12, 20, call(16), turn + w.jal),
        (20, 28, call(24), w.jal),
        (28, 36, JumpKind::Within, w.jal),
        (36, 32, JumpKind::Within, w.jal),
        (32, 24, JumpKind::Return, w.jalr),
        (24, 16, JumpKind::Return, w.jalr),
    ];
    let mut gas_left = limit;
    let expected = expected.map(|(from, to, kind, gas)| {
        gas_left -= u64::from(gas);
        let (from, to) = (TEXT + from, TEXT + to);
        Jump {
            from,
            to,
            kind,
            gas_left,
        }
    });
    assert_eq!(jumps, expected);
    assert_eq!((&ran.outcome.end, ran.pc), (&End::Returned, TEXT + 16));
    assert_eq!(ran.gas_left, gas_left - u64::from(w.ecall));
    assert_eq!(ran.outcome.gas_used, limit - ran.gas_left);
}

#[test]
fn wherever_gas_runs_out_the_run_is_the_same_and_told_so_far() {
    let text = all_kinds();
    let (whole, all) = observed(&text, 10_000);
    for missing in 1..=whole.outcome.gas_used {
        let limit = whole.outcome.gas_used - missing;
        let (ran, jumps) = observed(&text, limit);
        assert_eq!(ran.outcome, run(bare(TEXT, &text), limit), "{limit} gas");
        assert!(matches!(&ran.outcome.end, End::Trapped(trap) if trap.pc == ran.pc));
        let told: Vec<_> = jumps.iter().map(|jump| (jump.from, jump.to, jump.kind)).collect();
        let first: Vec<_> = all.iter().map(|jump| (jump.from, jump.to, jump.kind)).collect();
        assert_eq!(told, first[..told.len()], "{limit} gas");
        for (jump, same) in jumps.iter().zip(&all) {
            assert_eq!(10_000 - same.gas_left, limit - jump.gas_left, "{limit} gas");
        }
        assert!(ran.gas_left <= jumps.last().map_or(limit, |jump| jump.gas_left));
    }
}

#[test]
fn a_jump_out_of_text_is_told_before_it_traps() {
    let text = ops(&[("addi", 6, 0, 0, 64), ("jalr", 1, 6, 0, 0)]);
    let (ran, jumps) = observed(&text, 1000);
    assert_eq!(ran.outcome, run(bare(TEXT, &text), 1000));
    let [jump] = &jumps[..] else { panic!("{jumps:?}") };
    assert_eq!((jump.from, jump.to), (TEXT + 4, 64));
    assert!(matches!(ran.outcome.end, End::Trapped(_)), "{ran:?}");
}

#[test]
fn an_instance_that_was_observed_runs_as_before() {
    let text = all_kinds();
    let mut instance = Instance::new(bare(TEXT, &text));
    let first = instance.run_observed(10_000, &mut Returns, &Jumps::default());
    let registers = *instance.registers();
    assert_eq!(registers[6], 3);
    let mut fresh = Instance::new(bare(TEXT, &text));
    let plain = fresh.run(Tier::Interpreter, 10_000, &mut Returns);
    assert_eq!((&first.outcome, registers), (&plain, *fresh.registers()));
}

#[test]
fn a_compressed_call_returns_behind_its_two_bytes() {
    let text = ops(&[
        ("auipc", 6, 0, 0, 0),
        ("addi", 6, 6, 0, 10),
        ("c.jalr", 1, 6, 0, 0),
        ECALL,
    ]);
    let (ran, jumps) = observed(&text, 1_000_000);
    let [jump] = &jumps[..] else { panic!("{jumps:?}") };
    let returns_to = TEXT + 10;
    assert_eq!(
        (jump.kind, ran.outcome.end),
        (JumpKind::Call { returns_to }, End::Returned)
    );
}

#[test]
fn a_trap_is_where_it_is_and_says_what_was_left() {
    let w = &v1().weights;
    let (ran, jumps) = observed(&ops(&[ADDI, ("ld", 7, 0, 0, 0), ECALL]), 500);
    let fault = TrapKind::AccessFault {
        address: 0,
        len: 8,
        write: false,
    };
    assert_eq!((ran.outcome.end, ran.pc), (trapped(fault, TEXT + 4), TEXT + 4));
    assert_eq!((ran.outcome.gas_used, jumps.len()), (500, 0));
    // The straight line was paid for when it was entered.
    assert_eq!(ran.gas_left, 500 - u64::from(w.alu + w.load + w.ecall));
    let (ran, _) = observed(&ops(&[ADDI, ADDI, ECALL]), u64::from(w.alu));
    assert_eq!(ran.outcome.end, trapped(TrapKind::OutOfGas, TEXT + 4));
    // And where the gas does not pay for all of it, nothing was.
    assert_eq!((ran.pc, ran.gas_left), (TEXT + 4, u64::from(w.alu)));
}

#[test]
fn gas_is_told_in_gas_where_memory_makes_it_dear() {
    // The rate changes at host calls: a host that grows the heap, then a jump.
    let told = Jumps::default();
    let code = ops(&[ECALL, ("jal", 0, 0, 0, 4), ("addi", 17, 0, 0, 1), ECALL]);
    let program = bare(TEXT, &code);
    let shift = v1().memory_shift(program.pages() + 1024);
    assert!(shift > 0, "so much memory has its price");
    let mut instance = Instance::new(program);
    let mut left = 0;
    let mut host = Answers(|call: &mut millrace_jit::Ecall<'_>| {
        if call.number == 1 {
            return Flow::Return;
        }
        call.memory.grow_heap(1024).unwrap();
        left = call.gas_left();
        Flow::Continue
    });
    let ran = instance.run_observed(1_000_000_007, &mut host, &told);
    assert_eq!(ran.outcome.end, End::Returned);
    let jump = told.0.into_inner()[0];
    assert_eq!(jump.gas_left, left - (u64::from(v1().weights.jal) << shift));
}
