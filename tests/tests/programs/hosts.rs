//! Hosts that end runs at each of their calls, in each of the ways there are.

use millrace_jit::{End, TrapKind};
use millrace_tests::programs::choices::Choices;
use millrace_tests::programs::generate::Shape;
use millrace_tests::programs::host::{Ending, Script};
use millrace_tests::programs::run::Setting;

use super::{Volume, load, program, setting};

const ENDINGS: [Ending; 5] = [
    Ending::Return,
    Ending::Revert,
    Ending::Refuse,
    Ending::OutOfGas,
    Ending::Abort,
];

#[test]
fn hosts_may_end_a_run_at_any_call() {
    let mut volume = Volume::new("hosts", 120);
    while let Some(seed) = volume.next() {
        let shape = Shape {
            budget: 5000,
            depth: 100,
            ..Shape::OURS
        };
        let guest = program(&volume, seed, shape);
        let loaded = load(&guest);
        let whole = setting(&guest);
        let checked = loaded.check(&whole);
        volume.count(&guest, &whole, &checked);
        let calls = checked.reference.events.len();
        let mut choices = Choices::seeded(seed);
        for at in 0..calls.min(12) {
            let ending = *choices.pick(&ENDINGS);
            let setting = Setting {
                script: Script {
                    end: Some((at, ending)),
                    ..whole.script
                },
                ..whole
            };
            let checked = loaded.check(&setting);
            volume.count(&guest, &setting, &checked);
            let run = &checked.reference;
            assert_eq!(run.events.len(), at + 1, "{}", guest.origin);
            let as_said = match (&run.outcome.end, ending) {
                (End::Returned, Ending::Return)
                | (End::Reverted, Ending::Revert)
                | (End::Aborted, Ending::Abort) => true,
                (End::Trapped(trap), Ending::Refuse) => matches!(trap.kind, TrapKind::Host(_)),
                (End::Trapped(trap), Ending::OutOfGas) => trap.kind == TrapKind::OutOfGas,
                _ => false,
            };
            assert!(
                as_said,
                "{}: {ending:?} came to {:?}",
                guest.origin, run.outcome.end
            );
        }
    }
}
