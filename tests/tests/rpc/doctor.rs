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

/// A configuration of a chain for `solo`, with its plugin and the sequencer's key.
fn usable(more: &str) -> Configuration {
    let key = crate::sequencer::key(0).to_seed();
    let secret: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    configured(&format!("config = {{ secret_key = \"0x{secret}\" }}\n{more}"))
}

/// The same with these lines behind `[plugin]` and its path.
fn configured(more: &str) -> Configuration {
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
        "plugin start",
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

/// A configuration of the plugin that fails as it is told to.
fn misbehaving(how: &str) -> Configuration {
    // Short where it hangs, and long where it must have the time to fail by itself, on a machine with much to do.
    let patience_ms = match how {
        "hang in start" => 300,
        "hang in stop" => 3_000,
        _ => 20_000,
    };
    let configuration = configured(&format!("config = {how:?}\npatience_ms = {patience_ms}"));
    let spec = configuration.directory.path().join("spec.json");
    let text = fs::read_to_string(&spec).unwrap();
    fs::write(&spec, text.replace("solo/1", "misbehaving/1")).unwrap();
    let text = fs::read_to_string(&configuration.file).unwrap();
    let (solo, other) = (program::solo_plugin(), program::misbehaving_plugin());
    fs::write(
        &configuration.file,
        text.replace(solo.to_str().unwrap(), other.to_str().unwrap()),
    )
    .unwrap();
    configuration
}

#[test]
fn a_plugin_is_started_with_its_configuration_and_its_words_are_told() {
    let other = "11".repeat(32);
    for (config, words, advice) in [
        (
            "",
            "refuses its configuration: invalid type: null",
            "mend plugin.config",
        ),
        (
            "config = { secret_key = 7 }",
            "refuses its configuration: invalid type",
            "mend plugin.config",
        ),
        (
            &format!("config = {{ secret_key = \"0x{other}\" }}"),
            "but the chain spec's sequencer is",
            "mend plugin.config",
        ),
    ] {
        let configuration = configured(config);
        assert_fails(&configuration, "plugin start", words, advice);
        let (_, said) = of(&configuration);
        assert_eq!(
            check(&said, "plugin").0,
            "ok",
            "the file is as it should be: {said}"
        );
        assert!(!said.to_string().contains(&other), "{said}");
    }
    for (how, words, advice) in [
        (
            "refuse",
            "`refuse` is no mode to run in; choose another",
            "mend plugin.config",
        ),
        (
            "want too much",
            "the capability `telepathy/1` is missing",
            "rebuild the plugin",
        ),
        (
            "panic in start",
            "panicked in start: told to panic in start",
            "ask its author",
        ),
        (
            "panic in stop",
            "panicked in stop: told to panic in stop",
            "ask its author",
        ),
        ("panic with a number", "panicked in start", "ask its author"),
        (
            "hang in start",
            "its start has not returned in 300 ms",
            "raise plugin.patience_ms",
        ),
        (
            "hang in stop",
            "its stop has not returned in 3000 ms",
            "ask its author",
        ),
    ] {
        assert_fails(&misbehaving(how), "plugin start", words, advice);
    }
    // It asks for everything when it starts, and is answered nothing.
    let (status, said) = of(&misbehaving("record"));
    assert_eq!(
        (status, check(&said, "plugin start").0),
        (Some(0), "ok"),
        "{said}"
    );
}

#[test]
fn a_plugin_that_chooses_forks_finds_what_it_needs() {
    let configuration = usable("");
    let spec = configuration.directory.path().join("spec.json");
    let text = fs::read_to_string(&spec).unwrap();
    fs::write(&spec, text.replace("solo/1", "longest-chain/1")).unwrap();
    let text = fs::read_to_string(&configuration.file).unwrap();
    let (solo, other) = (program::solo_plugin(), program::longest_chain_plugin());
    let text = text.replace(solo.to_str().unwrap(), other.to_str().unwrap());
    fs::write(&configuration.file, text).unwrap();
    let (status, said) = of(&configuration);
    assert_eq!(
        (status, check(&said, "plugin start").0),
        (Some(0), "ok"),
        "{said}"
    );
}

/// Everything below a directory: names, lengths, times of change, contents.
fn everything(directory: &Path) -> Vec<(std::path::PathBuf, std::time::SystemTime, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let (path, metadata) = (entry.path(), entry.metadata().unwrap());
            if metadata.is_dir() {
                directories.push(path.clone());
            }
            let contents = metadata.is_file().then(|| fs::read(&path).unwrap());
            found.push((path, metadata.modified().unwrap(), contents));
        }
    }
    found.sort();
    found
}

#[test]
fn the_doctor_changes_nothing_whatever_there_is() {
    let configuration = usable("");
    let data = configuration.directory.path().join("data");
    let unchanged = || {
        let before = everything(configuration.directory.path());
        let (status, said) = of(&configuration);
        assert_eq!(status, Some(0), "{said}");
        assert!(everything(configuration.directory.path()) == before, "{said}");
    };
    unchanged();
    fs::create_dir_all(data.join("state")).unwrap();
    unchanged();
    fs::write(data.join("state/LOCK"), "").unwrap();
    unchanged();

    let dev = tempfile::tempdir().unwrap();
    let path = dev.path().to_str().unwrap();
    process::text(&[
        "dev",
        "--data-dir",
        path,
        "--blocks",
        "3",
        "--rpc-listen",
        "127.0.0.1:0",
    ]);
    for lock in [true, false] {
        if !lock {
            fs::remove_file(dev.path().join("state/LOCK")).unwrap();
        }
        let before = everything(dev.path());
        let (status, said) = doctor(&["--data-dir", path]);
        assert_eq!((status, check(&said, "states").0), (Some(0), "ok"), "{said}");
        assert!(everything(dev.path()) == before, "{lock} {said}");
    }
}

#[test]
fn a_plugin_is_not_started_beside_a_node_that_runs() {
    let configuration = usable("");
    let node = process::Running::node(&configuration.file);
    let (status, said) = of(&configuration);
    let start = check(&said, "plugin start");
    assert_eq!((status, check(&said, "plugin").0), (Some(0), "ok"), "{said}");
    assert!(start.1.contains("the node seems to run"), "{start:?}");
    drop(node);
    // Whether a node runs is not known of a ledger that cannot be looked at, nor of a port that somebody has.
    let ledger = configuration.directory.path().join("data/ledger.redb");
    let whole = fs::read(&ledger).unwrap();
    fs::write(&ledger, "no ledger").unwrap();
    let (_, said) = of(&configuration);
    let start = check(&said, "plugin start");
    assert!(
        start.0 == "warning" && start.1.contains("\"ledger\" fails"),
        "{start:?}"
    );
    fs::write(&ledger, whole).unwrap();
    let (_, said) = of(&configuration);
    assert!(
        check(&said, "plugin start")
            .1
            .contains("starts at the genesis block"),
        "{said}"
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
    let secret = configured("config = { secret_key = \"0x12\" }");
    fs::set_permissions(&secret.file, fs::Permissions::from_mode(0o644)).unwrap();
    let (_, said) = of(&secret);
    let found = check(&said, "secrets");
    assert!(
        found.0 == "warning" && found.2.starts_with("chmod 600 "),
        "{found:?}"
    );
}
