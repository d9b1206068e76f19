//! Valid programs that end.

use millrace_jit::End;
use millrace_tests::programs::check::{Loaded, check_qemu};
use millrace_tests::programs::choices::Choices;
use millrace_tests::programs::generate::{Shape, generate_deep};
use millrace_tests::programs::minimise::report_qemu;

use super::{Volume, load, program, setting};

const DEPTH: u64 = 1_000_000;

#[test]
fn programs_agree_with_qemu() {
    let mut volume = Volume::new("qemu", 500);
    while let Some(seed) = volume.next() {
        let guest = program(&volume, seed, Shape::WHOLE);
        let setting = setting(&guest);
        let checked = load(&guest).check(&setting);
        volume.count(&guest, &setting, &checked);
        assert_eq!(
            checked.reference.status,
            Some(0),
            "{}: a program that was to end did not: {:x?}",
            guest.origin,
            checked.reference.outcome
        );
        if let Some(difference) = check_qemu(&guest, &checked.reference) {
            panic!("{}", report_qemu(&guest, &setting, &difference));
        }
    }
}

#[test]
fn programs_agree_between_tiers() {
    let mut volume = Volume::new("tiers", 500);
    while let Some(seed) = volume.next() {
        let guest = program(&volume, seed, Shape::OURS);
        let setting = setting(&guest);
        let checked = load(&guest).check(&setting);
        volume.count(&guest, &setting, &checked);
    }
}

#[test]
fn programs_agree_however_they_are_compiled() {
    let mut volume = Volume::new("compiled otherwise", 60);
    while let Some(seed) = volume.next() {
        let guest = program(&volume, seed, Shape::OURS);
        let setting = setting(&guest);
        let image = guest.image().expect("whole programs have their labels");
        let loaded = Loaded::compiled_otherwise(|| image.program(), 8);
        let checked = loaded.check(&setting);
        volume.count(&guest, &setting, &checked);
    }
}

#[test]
fn long_programs_agree_between_tiers_and_with_qemu() {
    let mut volume = Volume::long("long", 20);
    while let Some(seed) = volume.next() {
        let for_qemu = seed % 2 == 0;
        let shape = Shape {
            for_qemu,
            ..Shape::LONG
        };
        let guest = program(&volume, seed, shape);
        let setting = setting(&guest);
        let checked = load(&guest).check(&setting);
        volume.count(&guest, &setting, &checked);
        if for_qemu && let Some(difference) = check_qemu(&guest, &checked.reference) {
            panic!("{}", report_qemu(&guest, &setting, &difference));
        }
    }
}

#[test]
fn a_recursion_may_be_a_million_deep() {
    let mut volume = Volume::new("deep", 4);
    while let Some(seed) = volume.next() {
        let for_qemu = seed % 2 == 0;
        let guest = generate_deep(&mut Choices::seeded(seed), DEPTH, for_qemu, volume.origin(seed));
        let setting = setting(&guest);
        let checked = load(&guest).check(&setting);
        volume.count(&guest, &setting, &checked);
        let run = &checked.reference;
        assert_eq!(run.outcome.end, End::Returned, "{}", guest.origin);
        assert!(
            run.instructions() > 6 * DEPTH,
            "{}: {} instructions are too few",
            guest.origin,
            run.instructions()
        );
        if for_qemu && let Some(difference) = check_qemu(&guest, run) {
            panic!("{}", report_qemu(&guest, &setting, &difference));
        }
    }
}
