//! What fuzz targets do with a program; the targets themselves are in `tests/fuzz`.

use std::sync::Arc;

use millrace_jit::Program;

use super::check::Loaded;
use super::choices::Choices;
use super::generate::{Shape, generate};
use super::guest::Guest;
use super::host::Script;
use super::minimise::report;
use super::run::Setting;

/// Gas of a fuzzed program: enough to end for those that end.
const LIMIT: u64 = 120_000;

/// Runs the program of these decisions: nearly every input makes a valid one that ends.
///
/// # Panics
/// If tiers differ, with a report.
pub fn check_decisions(bytes: &[u8]) {
    let mut choices = Choices::given(bytes);
    let shape = Shape {
        budget: 5000,
        depth: 200,
        traps: choices.chance(50),
        ..Shape::OURS
    };
    let guest = generate(&mut choices, shape, "a fuzzer's decisions".to_owned());
    check(&guest, &mut choices);
}

/// Runs it on all tiers, with much gas and with a limit that the input chooses.
///
/// # Panics
/// If tiers differ, with a report.
pub fn check(guest: &Guest, choices: &mut Choices) {
    let image = guest.image().expect("whole programs have all their labels");
    let loaded = Loaded::new(|| image.program());
    let acts = choices.chance(70);
    let mut gas_limit = LIMIT;
    for _ in 0..2 {
        let setting = Setting {
            gas_limit,
            script: Script { end: None, acts },
            layout: Some(guest.layout),
        };
        let checked = loaded.check(&setting);
        if let Some(difference) = checked.difference {
            panic!("{}", report(guest, &setting, &difference));
        }
        gas_limit = choices.below(checked.reference.outcome.gas_used + 1);
    }
}

/// Runs a program that came from elsewhere on all tiers.
///
/// # Panics
/// If tiers differ.
pub fn check_program(load: impl FnMut() -> Arc<Program>) {
    let setting = Setting {
        gas_limit: LIMIT,
        script: Script::default(),
        layout: None,
    };
    if let Some(difference) = Loaded::new(load).check(&setting).difference {
        panic!("{difference}");
    }
}
