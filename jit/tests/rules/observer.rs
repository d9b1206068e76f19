//! What an observer is told of a run: every jump that is taken, with its gas, and where the run ended.

use std::cell::RefCell;

use millrace_jit::{End, Instance, Jump, JumpKind, Observed, Observer, TrapKind};

use crate::common::{Returns, TEXT, v1};
use crate::{ADDI, Answers, ECALL, Flow, bare, ops, trapped};

#[derive(Default)]
struct Told(RefCell<Vec<Jump>>);

impl Observer for Told {
    fn jumped(&self, jump: Jump) {
        self.0.borrow_mut().push(jump);
    }
}

fn observe(code: &[(&str, u8, u8, u8, i32)], gas: u64) -> (Observed, Vec<Jump>) {
    let told = Told::default();
    let mut instance = Instance::new(bare(TEXT, &ops(code)));
    let observed = instance.run_observed(gas, &mut Returns, &told);
    (observed, told.0.into_inner())
}

/// Places and kinds, addresses from the beginning of text.
fn places(jumps: &[Jump]) -> Vec<(u64, u64, JumpKind)> {
    let kind = |kind| match kind {
        JumpKind::Call { returns_to } => JumpKind::Call {
            returns_to: returns_to - TEXT,
        },
        other => other,
    };
    jumps
        .iter()
        .map(|jump| (jump.from - TEXT, jump.to - TEXT, kind(jump.kind)))
        .collect()
}

#[test]
fn jumps_are_told_in_order_with_exact_gas() {
    let w = &v1().weights;
    let code = [
        ("addi", 6, 0, 0, 3),
        ADDI,
        ("bne", 0, 5, 6, -4),
        ("jal", 1, 0, 0, 8),
        ECALL,
        ("ld", 7, 2, 0, -8),
        ("c.jr", 0, 1, 0, 0),
    ];
    let (observed, jumps) = observe(&code, 1_000_000);
    let call = JumpKind::Call { returns_to: 16 };
    assert_eq!(
        places(&jumps),
        [
            (8, 4, JumpKind::Within),
            (8, 4, JumpKind::Within),
            (12, 20, call),
            (24, 16, JumpKind::Return),
        ]
    );
    let spent = |weights: &[u32]| 1_000_000 - weights.iter().map(|w| u64::from(*w)).sum::<u64>();
    let first = [w.alu, w.alu, w.branch];
    let second = [&first[..], &[w.alu, w.branch]].concat();
    let third = [&second[..], &[w.alu, w.branch, w.jal]].concat();
    let fourth = [&third[..], &[w.load, w.jalr]].concat();
    let gas: Vec<_> = jumps.iter().map(|jump| jump.gas_left).collect();
    assert_eq!(gas, [&first[..], &second, &third, &fourth].map(spent));
    assert_eq!((observed.outcome.end, observed.pc), (End::Returned, TEXT + 16));
    assert_eq!(observed.gas_left, spent(&[&fourth[..], &[w.ecall]].concat()));
}

#[test]
fn link_registers_tell_calls_from_returns() {
    // By t0 as by ra; through a register as directly; compressed jumps are two bytes long.
    let code = [
        ("jal", 5, 0, 0, 8),
        ECALL,
        ("auipc", 6, 0, 0, 0),
        ("jalr", 1, 6, 0, 12),
        ("jalr", 0, 5, 0, 0),
        ("c.jr", 0, 1, 0, 0),
    ];
    let (_, jumps) = observe(&code, 1_000_000);
    assert_eq!(
        places(&jumps),
        [
            (0, 8, JumpKind::Call { returns_to: 4 }),
            (12, 20, JumpKind::Call { returns_to: 16 }),
            (20, 16, JumpKind::Return),
            (16, 4, JumpKind::Return),
        ]
    );
    let code = [
        ("auipc", 6, 0, 0, 0),
        ("addi", 6, 6, 0, 16),
        ("c.jalr", 1, 6, 0, 0),
        ("c.j", 0, 0, 0, 2),
        ECALL,
    ];
    let (_, jumps) = observe(&code, 1_000_000);
    // Into the middle of what would be an instruction more: the kind is what counts.
    assert_eq!(places(&jumps)[0].2, JumpKind::Call { returns_to: 10 });
}

#[test]
fn a_trap_is_where_it_is_and_says_what_was_left() {
    let w = &v1().weights;
    let (observed, jumps) = observe(&[ADDI, ("ld", 7, 0, 0, 0), ECALL], 500);
    let fault = TrapKind::AccessFault {
        address: 0,
        len: 8,
        write: false,
    };
    assert_eq!(
        (observed.outcome.end, observed.pc),
        (trapped(fault, TEXT + 4), TEXT + 4)
    );
    assert_eq!((observed.outcome.gas_used, jumps.len()), (500, 0));
    // The straight line was paid for when it was entered.
    assert_eq!(observed.gas_left, 500 - u64::from(w.alu + w.load + w.ecall));
    let (observed, _) = observe(&[ADDI, ADDI, ECALL], u64::from(w.alu));
    assert_eq!(observed.outcome.end, trapped(TrapKind::OutOfGas, TEXT + 4));
    // And where the gas does not pay for all of it, nothing was.
    assert_eq!((observed.pc, observed.gas_left), (TEXT + 4, u64::from(w.alu)));
}

#[test]
fn gas_is_told_in_gas_where_memory_makes_it_dear() {
    // The rate changes at host calls: a host that grows the heap, then a jump.
    let told = Told::default();
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
    let observed = instance.run_observed(1_000_000_007, &mut host, &told);
    assert_eq!(observed.outcome.end, End::Returned);
    let jump = told.0.into_inner()[0];
    assert_eq!(jump.gas_left, left - (u64::from(v1().weights.jal) << shift));
}
