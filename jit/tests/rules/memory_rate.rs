//! What instructions cost in an instance that holds much memory.

use millrace_jit::machine::MAX_GAS_LIMIT;
use millrace_jit::{Ecall, End, Flow, Instance, Outcome, Tier, TrapKind};
use proptest::prelude::*;

use crate::common::{Guest, OTHER_TIERS, Returns, TEXT, v1};
use crate::{ADDI, Answers, ECALL, bare, ops};

/// Every tier, the reference first.
fn tiers() -> impl Iterator<Item = Tier> {
    std::iter::once(Tier::Interpreter).chain(OTHER_TIERS.iter().copied())
}

#[test]
fn weights_are_multiplied_by_the_rate_of_what_is_held() {
    let guest = Guest::new().op("addi", 5, 0, 0, 1).ecall();
    let once = Guest::prologue_gas() + 1 + u64::from(v1().weights.ecall);
    let program = guest.program();
    // Text, constants and initial registers too: 8 pages of segments, 64 of stack.
    assert_eq!((program.pages(), program.entry_pages()), (72, 67));
    let most = program.pages() + v1().layout.heap_max_bytes / 4096;
    let rates = [
        (72, 1),
        (256, 1),
        (257, 4),
        (512, 4),
        (513, 32),
        (1024, 32),
        (1025, 64),
        (2048, 64),
        (2049, 64),
        (most, 64),
    ];
    for (held, rate) in rates {
        assert_eq!(1 << v1().memory_shift(held), rate, "{held} pages");
        for tier in tiers() {
            let run = |limit| {
                let mut instance = Instance::new(program.clone());
                instance.memory_mut().grow_heap(held - program.pages()).unwrap();
                instance.prepare(tier).unwrap();
                instance.run(tier, limit, &mut Returns)
            };
            for limit in [once * rate, once * rate + 1, MAX_GAS_LIMIT] {
                let Outcome { end, gas_used, .. } = run(limit);
                let expected = (End::Returned, once * rate);
                assert_eq!((end, gas_used), expected, "{held} pages, {limit} gas, {tier:?}");
            }
            // What is left over pays for nothing.
            for limit in once * rate - 2 * rate..once * rate {
                let Outcome { end, gas_used, .. } = run(limit);
                assert!(
                    matches!(end, End::Trapped(_)),
                    "{held} pages, {limit} gas, {tier:?}"
                );
                assert_eq!(gas_used, limit);
            }
        }
    }
}

/// What happens at a host call: gas charged, pages of heap granted; and how many additions come before it.
#[derive(Clone, Copy, Debug)]
struct Step {
    additions: u64,
    charge: u64,
    pages: u32,
}

fn step() -> impl Strategy<Value = Step> {
    let pages = prop_oneof![6 => Just(0), 2 => 1..40_u32, 2 => 100..600_u32, 1 => 1000..3000_u32];
    let charge = prop_oneof![2 => Just(0), 3 => 1..70_u64, 1 => 0..10_000_u64];
    (0..40_u64, charge, pages).prop_map(|(additions, charge, pages)| Step {
        additions,
        charge,
        pages,
    })
}

/// Gas left at each host call and how the run ends, one instruction at a time. `pages` are held at the start.
fn model(steps: &[Step], limit: u64, mut pages: u32) -> (Vec<u64>, Option<u64>) {
    let (mut left, mut seen) = (limit, Vec::new());
    for step in steps {
        let rate = 1 << v1().memory_shift(pages);
        let weights = std::iter::repeat_n(1, step.additions as usize).chain([v1().weights.ecall]);
        for weight in weights {
            match left.checked_sub(u64::from(weight) * rate) {
                Some(rest) => left = rest,
                None => return (seen, None),
            }
        }
        seen.push(left);
        match left.checked_sub(step.charge) {
            Some(rest) => left = rest,
            None => return (seen, None),
        }
        pages += step.pages;
    }
    (seen, Some(limit - left))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn growing_changes_the_rate_from_there_on(
        steps in proptest::collection::vec(step(), 1..9),
        short_by in prop_oneof![Just(None), (0..300_000_u64).prop_map(Some)],
    ) {
        let mut list = Vec::new();
        for step in &steps {
            list.extend((0..step.additions).map(|_| ADDI));
            list.push(ECALL);
        }
        let program = bare(TEXT, &ops(&list));
        let whole = model(&steps, 1 << 40, program.pages()).1.expect("that is enough");
        let limit = short_by.map_or(1 << 40, |short| whole.saturating_sub(short % (whole + 2)));
        let (seen, used) = model(&steps, limit, program.pages());
        for tier in tiers() {
            let mut instance = Instance::new(program.clone());
            instance.prepare(tier).unwrap();
            let mut left = Vec::new();
            let outcome = instance.run(tier, limit, &mut Answers(|call: &mut Ecall<'_>| {
                let step = steps[left.len()];
                left.push(call.gas_left());
                if let Err(flow) = call.charge(step.charge) {
                    return flow;
                }
                call.memory.grow_heap(step.pages).expect("less than the maximum");
                if left.len() == steps.len() { Flow::Return } else { Flow::Continue }
            }));
            prop_assert_eq!(&left, &seen, "{:?}", tier);
            prop_assert_eq!(outcome.gas_used, used.unwrap_or(limit), "{:?}", tier);
            match (used, outcome.end) {
                (Some(_), end) => prop_assert_eq!(end, End::Returned),
                (None, End::Trapped(trap)) => {
                    let kind = instance.diagnose(&trap).kind;
                    prop_assert_eq!(kind, TrapKind::OutOfGas, "{:?}", tier);
                }
                (None, end) => prop_assert!(false, "{end:?}"),
            }
        }
    }
}
