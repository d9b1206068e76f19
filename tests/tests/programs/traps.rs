//! Programs that end badly: kind and pc of the trap are compared, and all gas is used.

use std::collections::BTreeMap;

use millrace_jit::{End, TrapKind};
use millrace_tests::programs::choices::Choices;
use millrace_tests::programs::generate::{Shape, generate, raw};
use millrace_tests::programs::guest::Guest;
use millrace_tests::programs::run::{Run, Setting};
use rand::RngCore;

use super::{Volume, load, program, setting};

/// Gas of programs that need not end.
const LIMIT: u64 = 300_000;

fn limited(guest: &Guest) -> Setting {
    Setting {
        gas_limit: LIMIT,
        ..setting(guest)
    }
}

/// What a run ended with, in a word.
fn ending(run: &Run) -> &'static str {
    match &run.outcome.end {
        End::Returned => "returned",
        End::Reverted => "reverted",
        End::Aborted => "aborted",
        End::Trapped(trap) => match trap.kind {
            TrapKind::IllegalInstruction => "illegal instruction",
            TrapKind::FetchFault => "fetch fault",
            TrapKind::Breakpoint => "breakpoint",
            TrapKind::AccessFault { write: false, .. } => "read fault",
            TrapKind::AccessFault { write: true, .. } => "write fault",
            TrapKind::Misaligned { .. } => "misaligned",
            TrapKind::OutOfGas => "out of gas",
            _ => "refused by the host",
        },
    }
}

#[test]
fn traps_agree_between_tiers() {
    let mut volume = Volume::new("traps", 800);
    let mut endings = BTreeMap::new();
    while let Some(seed) = volume.next() {
        let guest = program(&volume, seed, Shape::TRAPS);
        let setting = limited(&guest);
        let checked = load(&guest).check(&setting);
        volume.count(&guest, &setting, &checked);
        let run = &checked.reference;
        if matches!(run.outcome.end, End::Trapped(_)) {
            assert_eq!(
                run.outcome.gas_used, LIMIT,
                "{}: a trap uses all gas",
                guest.origin
            );
        }
        *endings.entry(ending(run)).or_insert(0) += 1;
    }
    println!("{endings:?}");
    let every = [
        "illegal instruction",
        "fetch fault",
        "breakpoint",
        "read fault",
        "write fault",
        "misaligned",
        "out of gas",
        "returned",
    ];
    for wanted in every {
        assert!(
            endings.contains_key(wanted),
            "no program ended with {wanted}: {endings:?}"
        );
    }
}

#[test]
fn damaged_programs_agree_between_tiers() {
    let mut volume = Volume::new("damaged", 800);
    while let Some(seed) = volume.next() {
        let mut choices = Choices::seeded(seed);
        let shape = Shape {
            budget: 20_000,
            depth: 2000,
            ..Shape::OURS
        };
        let guest = generate(&mut choices, shape, volume.origin(seed)).damaged(&mut choices);
        let setting = limited(&guest);
        let checked = load(&guest).check(&setting);
        volume.count(&guest, &setting, &checked);
    }
}

#[test]
fn random_bytes_agree_between_tiers() {
    let mut volume = Volume::new("bytes", 500);
    while let Some(seed) = volume.next() {
        let mut choices = Choices::seeded(seed);
        let mut bytes = vec![0; choices.magnitude(400) as usize];
        choices.fill_bytes(&mut bytes);
        let guest = raw(&mut choices, &bytes, volume.origin(seed));
        let setting = limited(&guest);
        let checked = load(&guest).check(&setting);
        volume.count(&guest, &setting, &checked);
    }
}
