//! Gas that runs out: at every possible point of small programs, and around every `ecall` of large ones.

use millrace_tests::programs::check::{Loaded, prefix_difference};
use millrace_tests::programs::choices::Choices;
use millrace_tests::programs::generate::Shape;
use millrace_tests::programs::guest::Guest;
use millrace_tests::programs::run::{Run, Setting};

use super::{Volume, load, program, setting};

/// Programs that take more are not run at every limit.
const SMALL: u64 = 4000;

/// Runs with less gas, and compares tiers with the reference, and the reference with its own longer run.
fn check_cut(volume: &mut Volume, guest: &Guest, loaded: &Loaded, full: &(Run, Setting), limit: u64) {
    let (full, full_setting) = full;
    let setting = Setting {
        gas_limit: limit,
        ..*full_setting
    };
    let checked = loaded.check(&setting);
    volume.count(guest, &setting, &checked);
    if !setting.script.acts
        && let Some(what) = prefix_difference(full, full_setting.gas_limit, &checked.reference, limit)
    {
        panic!("{}, gas limit {limit}: {what}", guest.origin);
    }
}

/// The program's run with enough gas; none if it does not end by itself.
fn full(volume: &mut Volume, guest: &Guest, loaded: &Loaded, acts: bool) -> (Run, Setting) {
    let mut setting = setting(guest);
    setting.script.acts = acts;
    let checked = loaded.check(&setting);
    volume.count(guest, &setting, &checked);
    (checked.reference, setting)
}

#[test]
fn gas_may_run_out_at_every_point_of_small_programs() {
    let mut volume = Volume::new("every limit", 40);
    while let Some(seed) = volume.next() {
        let guest = program(&volume, seed, Shape::SMALL);
        let loaded = load(&guest);
        let full = full(&mut volume, &guest, &loaded, seed % 3 == 0);
        if full.0.outcome.gas_used > SMALL {
            continue;
        }
        for limit in 0..=full.0.outcome.gas_used {
            check_cut(&mut volume, &guest, &loaded, &full, limit);
        }
    }
}

#[test]
fn gas_may_run_out_around_every_ecall_and_anywhere_in_large_programs() {
    let mut volume = Volume::new("some limits", 40);
    while let Some(seed) = volume.next() {
        let guest = program(&volume, seed, Shape::OURS);
        let loaded = load(&guest);
        let full = full(&mut volume, &guest, &loaded, seed % 3 == 0);
        let used = full.0.outcome.gas_used;
        let mut choices = Choices::seeded(seed);
        let mut limits: Vec<u64> = (0..15).map(|_| choices.below(used + 1)).collect();
        for _ in 0..10.min(full.0.events.len()) {
            let event = choices.pick(&full.0.events);
            let spent = full.1.gas_limit - event.gas_left;
            limits.extend((0..3).map(|more| spent.saturating_sub(1) + more));
            limits.push(spent.saturating_sub(12 + choices.below(3)));
        }
        limits.extend([used.saturating_sub(1), used, used + 1]);
        for limit in limits {
            check_cut(&mut volume, &guest, &loaded, &full, limit);
        }
    }
}

#[test]
fn gas_may_run_out_in_programs_that_trap() {
    let mut volume = Volume::new("limits and traps", 100);
    while let Some(seed) = volume.next() {
        let shape = Shape {
            traps: true,
            ..Shape::SMALL
        };
        let guest = program(&volume, seed, shape);
        let loaded = load(&guest);
        let mut choices = Choices::seeded(seed);
        for _ in 0..60 {
            let setting = Setting {
                gas_limit: choices.below(1500),
                ..setting(&guest)
            };
            let checked = loaded.check(&setting);
            volume.count(&guest, &setting, &checked);
        }
    }
}
