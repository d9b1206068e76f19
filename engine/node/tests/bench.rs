//! `millrace bench jit`, as a command, on the programs that are built in and kept.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["bench", "jit", "--rounds", "2"])
        .args(arguments)
        .output()
        .expect("the command starts")
}

fn sha256() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/artifacts/sha256.elf");
    path.to_str().expect("a path of text").to_owned()
}

#[test]
fn a_program_of_ones_own_is_timed_in_every_tier() {
    let output = bench(&["--json", &sha256(), "--", "50"]);
    assert!(output.status.success(), "{output:?}");
    let value: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let program = &value["programs"][0];
    assert_eq!(program["status"], 0);
    let [less, more] = ["20", "50"].map(|work| {
        let output = bench(&["--json", &sha256(), "--", work]);
        let value: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        value["programs"][0]["gas_used"].as_u64().expect("a number")
    });
    assert!(less < more, "arguments arrive: {less} gas and {more}");
    assert_eq!(program["gas_used"], more, "gas is the same every time");
    let tiers = program["tiers"].as_array().expect("a list");
    let names: Vec<_> = tiers.iter().map(|tier| tier["tier"].as_str()).collect();
    assert_eq!(names, [Some("interpreter"), Some("auto"), Some("jit")]);
    for tier in tiers.iter().chain([&program["compile"]]) {
        let [least, median] = ["least_ns", "median_ns"].map(|key| tier[key].as_u64().expect("a number"));
        assert!(0 < least && least <= median, "{tier}");
    }
    assert!(program["code_ratio"].as_f64().is_some_and(|ratio| ratio > 1.0));
    assert!(
        program["interpreted_share"]
            .as_f64()
            .is_some_and(|share| share < 0.01)
    );
}

#[test]
fn what_is_built_in_runs_in_native_code() {
    let output = bench(&["--json"]);
    assert!(output.status.success(), "{output:?}");
    let value: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let programs = value["programs"].as_array().expect("a list");
    assert!(programs.len() > 4);
    for program in programs {
        let share = program["interpreted_share"].as_f64().expect("a number");
        assert!(
            share < 0.01,
            "{}: {share} of the gas is used in tier 0",
            program["program"]
        );
    }
}

#[test]
fn a_person_gets_a_table() {
    let output = bench(&[&sha256(), "--", "50"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    for wanted in [
        "gas/ns",
        "compile ms",
        "code/text",
        "interpreter",
        "auto",
        "jit",
        "bytes of text",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing:\n{text}");
    }
}
