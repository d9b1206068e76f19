//! What hosts see, what they change, and how a call ends.

use millrace_jit::{Ecall, End, Flow, Instance, Outcome, Tier, TrapKind};

use crate::common::{CODE, Guest, Returns, TEXT, v1};
use crate::{ADDI, Answers, ECALL, bare, ops, trapped};

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
