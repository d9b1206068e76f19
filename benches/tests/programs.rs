//! Every C program gives in every tier what its native twins give, with work so small that nothing is timed.

use std::path::Path;

use millrace_benches::programs::{self, Language};
use millrace_benches::toolchain::{self, Target};
use millrace_benches::{guest, native, tiers};

#[test]
fn every_tier_agrees_with_both_native_twins() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for program in programs::ALL
        .iter()
        .filter(|program| program.language == Language::C)
    {
        let build = |target| toolchain::build(program, target, directory.path());
        let expected = native::run(&build(Target::Native), program.small).output;
        let with_features = native::run(&build(Target::NativeWithFeatures), program.small).output;
        assert_eq!(with_features, expected, "{}: the twins", program.name);
        let loaded = guest::load(&build(Target::Guest));
        for column in tiers::ALL {
            let run = guest::run(&loaded, column.tier, program.small);
            assert_eq!(run.output, expected, "{} in tier {}", program.name, column.name);
        }
    }
}

#[test]
fn the_work_decides_the_result() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let calls = programs::find("calls").expect("it is on the list");
    let twin = toolchain::build(calls, Target::Native, directory.path());
    let outputs = [1, 2].map(|work| native::run(&twin, work).output);
    assert_ne!(outputs[0], outputs[1]);
    assert_eq!(outputs[0].len(), 17, "sixteen digits and a newline");
}

/// `millrace bench jit` embeds them, so that it needs no compiler. `MILLRACE_BLESS=1` writes them anew.
#[test]
fn built_programs_are_those_of_their_sources() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let artifacts = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts");
    for name in ["bytecode", "calls", "quicksort", "sha256", "uint256", "vtable"] {
        let program = programs::find(name).expect("it is on the list");
        let built = toolchain::build_stripped(program, directory.path());
        let kept = artifacts.join(format!("{name}.elf"));
        if std::env::var_os("MILLRACE_BLESS").is_some() {
            std::fs::copy(&built, &kept).expect("the artifact can be written");
        }
        let [fresh, kept] = [&built, &kept]
            .map(|file| guest::run(&guest::load(file), millrace_jit::Tier::Interpreter, program.small));
        assert_eq!(
            (fresh.output, fresh.gas),
            (kept.output, kept.gas),
            "artifacts/{name}.elf is not what guests/{name}.c gives: run this test with MILLRACE_BLESS=1 and commit the \
             result"
        );
    }
}
