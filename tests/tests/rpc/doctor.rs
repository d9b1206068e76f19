//! `millrace doctor`: each check, made to fail.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use millrace_tests::{program, tools};
use serde_json::Value;

use crate::configuration::Configuration;
use crate::process;

/// A configuration of a chain for `solo`, with its plugin.
fn usable(more: &str) -> Configuration {
    let configuration = Configuration::new("");
    let mut spec = crate::contracts::spec();
    spec.consensus.id = "solo/1".to_owned();
    spec.consensus.parameters = crate::sequencer::key(0).public_key().0.to_vec();
    fs::write(
        configuration.directory.path().join("spec.json"),
        serde_json::to_string(&spec).unwrap(),
    )
    .unwrap();
    let solo = program::solo_plugin();
    let text = fs::read_to_string(&configuration.file)
        .unwrap()
        .replace("plugin.so", solo.to_str().unwrap());
    fs::write(
        &configuration.file,
        format!("{text}{more}\n[rpc]\nlisten = \"127.0.0.1:0\"\n"),
    )
    .unwrap();
    fs::set_permissions(&configuration.file, fs::Permissions::from_mode(0o600)).unwrap();
    configuration
}

pub fn doctor(arguments: &[&str]) -> (Option<i32>, Value) {
    let output = process::run(&[&["doctor", "--json"], arguments].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    let said = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    (output.status.code(), said)
}

fn of(configuration: &Configuration) -> (Option<i32>, Value) {
    doctor(&["--config", configuration.file.to_str().unwrap()])
}

/// What a check found: status, words, advice.
#[track_caller]
fn check<'a>(said: &'a Value, name: &str) -> (&'a str, &'a str, &'a str) {
    let checks = said["checks"].as_array().unwrap();
    let found = checks
        .iter()
        .find(|check| check["check"] == name)
        .unwrap_or_else(|| panic!("no {name}: {said}"));
    let text = |field: &str| found[field].as_str().unwrap_or("");
    (text("status"), text("found"), text("advice"))
}

#[track_caller]
fn assert_fails(configuration: &Configuration, name: &str, words: &str, advice: &str) {
    let (status, said) = of(configuration);
    let found = check(&said, name);
    assert_eq!((status, found.0), (Some(1), "failure"), "{said}");
    assert!(found.1.contains(words), "{found:?}");
    assert!(found.2.contains(advice), "{found:?}");
}

#[test]
fn a_node_that_would_run_has_no_failure_and_nothing_is_made() {
    let configuration = usable("");
    let (status, said) = of(&configuration);
    assert_eq!((status, &said["failures"]), (Some(0), &Value::from(0)), "{said}");
    for name in [
        "configuration",
        "chain spec",
        "data directory",
        "file system",
        "free space",
        "port",
        "plugin",
        "open files",
        "address space",
        "overcommit",
        "memory maps",
        "memory",
        "cores",
        "clock",
    ] {
        check(&said, name);
    }
    let plugin = check(&said, "plugin");
    assert_eq!(plugin.0, "ok");
    let hash = blake3::hash(&fs::read(program::solo_plugin()).unwrap()).to_string();
    assert!(
        plugin.1.contains("loads: solo/1 ") && plugin.1.contains(&hash),
        "{plugin:?}"
    );
    assert!(!configuration.directory.path().join("data").exists());
    let text = process::text(&["doctor", "--config", configuration.file.to_str().unwrap()]);
    assert!(
        text.lines().any(|line| line.starts_with("ok       plugin ")),
        "{text}"
    );
}

#[test]
fn a_plugin_is_looked_at_in_a_process_of_its_own() {
    assert_fails(
        &usable("blake3 = \"1111111111111111111111111111111111111111111111111111111111111111\""),
        "plugin",
        "but the configuration pins 1111",
        "install the pinned file, or pin the new hash",
    );
    // One that ends the process that loads it, before the node has said a word to it.
    for (leave, words) in [
        ("abort()", "ends the process that loads it (signal: 6"),
        ("exit(0)", "ends the process that loads it, in order"),
    ] {
        assert_fails(
            &with_constructor(leave),
            "plugin",
            words,
            "a node that loads it would end too",
        );
    }
    // What it says is shown on a terminal that does not obey it.
    let configuration = with_constructor("fputs(\"\\033]0;mine\\007\", stderr); abort()");
    let output = process::run(&["doctor", "--config", configuration.file.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("\\u{1b}]0;mine\\u{7}") && !text.contains('\x1b'),
        "{text}"
    );
}

/// A configuration whose plugin does this when it is loaded.
fn with_constructor(code: &str) -> Configuration {
    let configuration = usable("");
    let directory = configuration.directory.path();
    fs::write(
        directory.join("plugin.c"),
        format!(
            "#include <stdio.h>\n#include <stdlib.h>\n#include \"millrace_plugin.h\"\nMILLRACE_PLUGIN_NOTE(\"solo/1\");\n\
             const MillracePlugin millrace_plugin = {{0}};\n__attribute__((constructor)) static void leave(void) {{ {code}; }}\n"
        ),
    )
    .unwrap();
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../consensus-plugins/abi/include");
    let built = Command::new(tools::find("cc", "gcc"))
        .args(["-std=c11", "-shared", "-fPIC", "-I"])
        .arg(header)
        .args(["-o", "hostile.so", "plugin.c"])
        .current_dir(directory)
        .status();
    assert!(built.unwrap().success());
    let text = fs::read_to_string(&configuration.file).unwrap();
    let solo = program::solo_plugin();
    fs::write(
        &configuration.file,
        text.replace(solo.to_str().unwrap(), "hostile.so"),
    )
    .unwrap();
    configuration
}

#[test]
fn data_that_a_node_would_refuse_is_a_failure() {
    let configuration = usable("");
    let data = configuration.directory.path().join("data");
    fs::write(&data, "").unwrap();
    assert_fails(
        &configuration,
        "data directory",
        "is no directory",
        "name another",
    );
    fs::remove_file(&data).unwrap();
    fs::create_dir(&data).unwrap();
    fs::write(data.join("ledger.redb"), "no ledger").unwrap();
    assert_fails(
        &configuration,
        "ledger",
        "fewer than any ledger",
        "restore it from a backup",
    );
    fs::remove_file(data.join("ledger.redb")).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
    let (status, said) = of(&configuration);
    assert_eq!(
        (status, check(&said, "data directory").0),
        (Some(0), "warning"),
        "{said}"
    );
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(data.join("code-cache")).unwrap();
    fs::set_permissions(data.join("code-cache"), fs::Permissions::from_mode(0o755)).unwrap();
    let text = fs::read_to_string(&configuration.file).unwrap();
    fs::write(
        &configuration.file,
        format!("{text}[execution]\ntier = \"auto\"\n"),
    )
    .unwrap();
    assert_fails(&configuration, "code cache", "has mode 0755", "chmod 700");
    // A key that the doctor made would be the doctor's user's, and no other's.
    fs::set_permissions(data.join("code-cache"), fs::Permissions::from_mode(0o700)).unwrap();
    let (_, said) = of(&configuration);
    assert_eq!(check(&said, "code cache").0, "ok", "{said}");
    assert!(!data.join("code-cache.key").exists(), "it made a key");
}

#[test]
fn a_port_that_is_taken_is_a_failure_and_a_node_that_runs_is_none() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let configuration = usable("");
    let text = fs::read_to_string(&configuration.file).unwrap();
    fs::write(&configuration.file, text.replace("127.0.0.1:0", &address)).unwrap();
    assert_fails(
        &configuration,
        "port",
        "in use",
        "choose another address with rpc.listen",
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let chain = process::Running::start(&[
        "--data-dir",
        path,
        "--blocks",
        "1000000",
        "--block-interval-ms",
        "20",
    ]);
    chain.blocks_after(2);
    let (status, said) = doctor(&["--data-dir", path]);
    assert_eq!(
        (status, check(&said, "ledger").0, check(&said, "states").0),
        (Some(0), "warning", "warning"),
        "{said}"
    );
    assert!(check(&said, "ledger").1.contains("the node seems to run"));
    chain.signal("TERM");
    chain.summary();
    let ledger = directory.path().join("ledger.redb");
    let before = fs::read(&ledger).unwrap();
    let (status, said) = doctor(&["--data-dir", path]);
    assert_eq!(
        (status, check(&said, "ledger").0, check(&said, "states").0),
        (Some(0), "ok", "ok"),
        "{said}"
    );
    assert!(
        check(&said, "ledger").1.contains("opens, of this chain"),
        "{said}"
    );
    assert!(fs::read(&ledger).unwrap() == before, "the ledger's file changed");
}

#[test]
fn a_configuration_that_cannot_be_used_is_said_as_the_node_says_it() {
    let configuration = usable("patience_ms = 1");
    assert_fails(
        &configuration,
        "configuration",
        "plugin.patience_ms = 1: allowed is from 100 to 600000",
        "",
    );
    let secret = usable("config = { secret_key = \"0x12\" }");
    fs::set_permissions(&secret.file, fs::Permissions::from_mode(0o644)).unwrap();
    let (_, said) = of(&secret);
    let found = check(&said, "secrets");
    assert!(
        found.0 == "warning" && found.2.starts_with("chmod 600 "),
        "{found:?}"
    );
}
