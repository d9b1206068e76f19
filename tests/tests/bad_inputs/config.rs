//! Configurations of a node that cannot be used, and chain specs that no node of this build can run.

use std::fs;

use millrace_tests::program;
use millrace_types::chain_spec::ConsensusSpec;
use serde_json::{Value, json};

use super::chain::{self, key};
use super::process::refusal;
use super::{Case, case, check};

const FILE: &str = "version = 1
chain_spec = \"spec.json\"
data_directory = \"data\"
[plugin]
path = \"{solo}\"
";

/// A valid chain spec, as people write it.
pub fn spec() -> Value {
    let mut spec = chain::spec();
    spec.consensus = ConsensusSpec {
        id: "solo/1".to_owned(),
        parameters: key(0).public_key().0.to_vec(),
    };
    serde_json::to_value(spec).unwrap()
}

/// What `millrace node --check` says to a file and a chain spec.
fn said(file: &str, spec: &[u8]) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    let solo = program::solo_plugin();
    let text = file.replace("{solo}", solo.to_str().unwrap());
    fs::write(directory.path().join("node.toml"), text).unwrap();
    fs::write(directory.path().join("spec.json"), spec).unwrap();
    let config = directory.path().join("node.toml");
    let said = refusal(
        &["node", "--check", "--config", config.to_str().unwrap()],
        directory.path(),
    );
    assert!(
        !directory.path().join("data").exists(),
        "nothing is made of a bad configuration"
    );
    said
}

fn as_result(said: Option<String>) -> Result<(), String> {
    said.map_or(Ok(()), Err)
}

#[test]
fn the_unchanged_file_is_accepted() {
    assert_eq!(said(FILE, spec().to_string().as_bytes()), None);
}

/// A whole file.
fn file(name: &'static str, text: &'static str, expected: &'static str) -> Case {
    case(
        name,
        || as_result(said(text, spec().to_string().as_bytes())),
        expected,
    )
}

/// The valid file with one part changed.
fn changed(name: &'static str, from: &'static str, to: &'static str, expected: &'static str) -> Case {
    let read = move || {
        assert!(FILE.contains(from));
        as_result(said(&FILE.replace(from, to), spec().to_string().as_bytes()))
    };
    case(name, read, expected)
}

/// The valid file and more.
fn with(name: &'static str, more: &'static str, expected: &'static str) -> Case {
    let read = move || as_result(said(&format!("{FILE}{more}\n"), spec().to_string().as_bytes()));
    case(name, read, expected)
}

fn file_cases() -> Vec<Case> {
    let command = |arguments: &'static [&'static str]| {
        move || as_result(refusal(arguments, tempfile::tempdir().unwrap().path()))
    };
    vec![
        case(
            "configuration: no such file",
            command(&["node", "--config", "none.toml"]),
            "configuration none.toml: No such file or directory (os error 2); docs/configuration.md shows a minimal one",
        ),
        case(
            "configuration: a directory",
            command(&["node", "--config", "/"]),
            "configuration /: Is a directory (os error 21); docs/configuration.md shows a minimal one",
        ),
        case(
            "configuration: none named",
            command(&["node"]),
            "status 2: error: the following required arguments were not provided:\n  --config <CONFIG>\n\nUsage: millrace node --config <CONFIG>\n\nFor more information, try '--help'.",
        ),
        file(
            "configuration: empty",
            "",
            "configuration {dir}/node.toml: `version` is missing; docs/configuration.md shows a minimal one",
        ),
        file(
            "configuration: no TOML",
            "version = = 1\n",
            "configuration {dir}/node.toml: TOML parse error at line 1, column 11: invalid string, expected `\"`, `'`",
        ),
        changed(
            "configuration: unknown key",
            "[plugin]",
            "colour = 1\n[plugin]",
            "configuration {dir}/node.toml: there is no key `colour`; there are version, chain_spec, data_directory, plugin, rpc, engine, execution",
        ),
        with(
            "configuration: unknown key in a table",
            "colour = 1",
            "configuration {dir}/node.toml: there is no key `plugin.colour`; there are path, blake3, config, patience_ms",
        ),
        with(
            "configuration: unknown table",
            "[colour]\nred = 1",
            "configuration {dir}/node.toml: there is no key `colour`; there are version, chain_spec, data_directory, plugin, rpc, engine, execution",
        ),
        with(
            "configuration: unknown profile",
            "[execution]\nprofile = \"perf\"",
            "configuration {dir}/node.toml: `execution.profile` is \"perf\": allowed is one of perfmap, jitdump, gdb",
        ),
        with(
            "configuration: a profile without native code",
            "[execution]\nprofile = \"gdb\"\ntier = \"interpreter\"",
            "configuration {dir}/node.toml: execution.tier = \"interpreter\": allowed is \"jit\" or \"auto\" with a profile, which shows native code",
        ),
        with(
            "configuration: a code cache without native code",
            "[execution]\ncode_cache = true",
            "configuration {dir}/node.toml: execution.tier = \"interpreter\": allowed is \"jit\" or \"auto\" with execution.code_cache, which keeps native code",
        ),
        with(
            "configuration: a code cache of no size",
            "[execution]\ntier = \"auto\"\ncode_cache_mib = 0",
            "configuration {dir}/node.toml: execution.code_cache_mib = 0: allowed is from 1 to 1048576",
        ),
        changed(
            "configuration: no chain spec named",
            "chain_spec = \"spec.json\"",
            "",
            "configuration {dir}/node.toml: `chain_spec` is missing; docs/configuration.md shows a minimal one",
        ),
        changed(
            "configuration: no plugin",
            "[plugin]\npath = \"{solo}\"",
            "",
            "configuration {dir}/node.toml: `plugin` is missing; docs/configuration.md shows a minimal one",
        ),
        changed(
            "configuration: no path of the plugin",
            "path = \"{solo}\"",
            "",
            "configuration {dir}/node.toml: `plugin.path` is missing; docs/configuration.md shows a minimal one",
        ),
        changed(
            "configuration: version in letters",
            "version = 1",
            "version = \"one\"",
            "configuration {dir}/node.toml: `version` is string \"one\": allowed is a whole number that is not negative",
        ),
        changed(
            "configuration: negative version",
            "version = 1",
            "version = -1",
            "configuration {dir}/node.toml: `version` is signed int `-1`: allowed is a whole number that is not negative",
        ),
        changed(
            "configuration: newer version",
            "version = 1",
            "version = 2",
            "configuration {dir}/node.toml: version = 2, this build reads up to 1; use the newer build, or write the file for this one",
        ),
        changed(
            "configuration: version 0",
            "version = 1",
            "version = 0",
            "configuration {dir}/node.toml: version = 0: allowed is 1",
        ),
    ]
}

fn value_cases() -> Vec<Case> {
    vec![
        with(
            "configuration: patience too short",
            "patience_ms = 99",
            "configuration {dir}/node.toml: plugin.patience_ms = 99: allowed is from 100 to 600000",
        ),
        with(
            "configuration: patience too long",
            "patience_ms = 600001",
            "configuration {dir}/node.toml: plugin.patience_ms = 600001: allowed is from 100 to 600000",
        ),
        with(
            "configuration: pin too short",
            "blake3 = \"0xabcd\"",
            "configuration {dir}/node.toml: plugin.blake3 = \"0xabcd\": allowed is the BLAKE3 hash of the plugin's file: 4 hex digits where 64 are needed (beside an optional 0x)",
        ),
        with(
            "configuration: pin with another letter",
            "blake3 = \"g000000000000000000000000000000000000000000000000000000000000000\"",
            "configuration {dir}/node.toml: plugin.blake3 = \"g000000000000000000000000000000000000000000000000000000000000000\": allowed is the BLAKE3 hash of the plugin's file: 'g' at position 0 is no hex digit",
        ),
        with(
            "configuration: listens on a name",
            "[rpc]\nlisten = \"localhost:4860\"",
            "configuration {dir}/node.toml: rpc.listen = \"localhost:4860\": allowed is an IP address and a port, such as 127.0.0.1:4860",
        ),
        with(
            "configuration: listens on a number",
            "[rpc]\nlisten = 4860",
            "configuration {dir}/node.toml: `rpc.listen` is signed int `4860`: allowed is a string",
        ),
        with(
            "configuration: no connections",
            "[rpc]\nmax_connections = 0",
            "configuration {dir}/node.toml: rpc.max_connections = 0: allowed is from 1 to 100000",
        ),
        with(
            "configuration: requests too short",
            "[rpc]\nmax_request_bytes = 1023",
            "configuration {dir}/node.toml: rpc.max_request_bytes = 1023: allowed is from 1024 to 1073741824",
        ),
        with(
            "configuration: batches too large",
            "[rpc]\nmax_batch = 10001",
            "configuration {dir}/node.toml: rpc.max_batch = 10001: allowed is from 1 to 10000",
        ),
        with(
            "configuration: calls without gas",
            "[rpc]\ncall_gas_limit = 0",
            "configuration {dir}/node.toml: rpc.call_gas_limit = 0: allowed is from 1 to 2^62",
        ),
        with(
            "configuration: pipelining neither true nor false",
            "[engine]\npipelining = \"off\"",
            "configuration {dir}/node.toml: `engine.pipelining` is string \"off\": allowed is true or false",
        ),
        with(
            "configuration: no queue",
            "[engine]\nqueue_blocks = 0",
            "configuration {dir}/node.toml: engine.queue_blocks = 0: allowed is from 1 to 4096",
        ),
        with(
            "configuration: a negative queue",
            "[engine]\nqueue_blocks = -1",
            "configuration {dir}/node.toml: `engine.queue_blocks` is signed int `-1`: allowed is a whole number that is not negative",
        ),
        with(
            "configuration: a queue of a fraction",
            "[engine]\nqueue_blocks = 1.5",
            "configuration {dir}/node.toml: `engine.queue_blocks` is float `1.5`: allowed is a whole number that is not negative",
        ),
        with(
            "configuration: retention too short",
            "[engine]\nretention_blocks = 15",
            "configuration {dir}/node.toml: engine.retention_blocks = 15: allowed is from 16 to 1000000",
        ),
        with(
            "configuration: speculation neither true nor false",
            "[engine]\nspeculation = 1",
            "configuration {dir}/node.toml: `engine.speculation` is signed int `1`: allowed is true or false",
        ),
        with(
            "configuration: speculation on nothing",
            "[engine]\nmax_speculative_blocks = 0",
            "configuration {dir}/node.toml: engine.max_speculative_blocks = 0: allowed is from 1 to 64",
        ),
        with(
            "configuration: nobody to execute blocks",
            "[engine]\nworkers = 0",
            "configuration {dir}/node.toml: engine.workers = 0: allowed is from 1 to 64",
        ),
        with(
            "configuration: a tree without room",
            "[engine]\nmax_unfinalized_blocks = 15",
            "configuration {dir}/node.toml: engine.max_unfinalized_blocks = 15: allowed is from 16 to 4096",
        ),
    ]
}

/// The valid chain spec, changed.
fn with_spec(name: &'static str, change: fn(&mut Value), expected: &'static str) -> Case {
    let read = move || {
        let mut spec = spec();
        change(&mut spec);
        as_result(said(
            FILE,
            serde_json::to_string_pretty(&spec).unwrap().as_bytes(),
        ))
    };
    case(name, read, expected)
}

fn spec_bytes(name: &'static str, bytes: &'static [u8], expected: &'static str) -> Case {
    case(name, move || as_result(said(FILE, bytes)), expected)
}

fn spec_cases() -> Vec<Case> {
    let retention = || {
        let mut spec = spec();
        spec["max_receipt_lag"] = json!(100);
        let file = format!("{FILE}[engine]\nretention_blocks = 101\n");
        as_result(said(&file, spec.to_string().as_bytes()))
    };
    vec![
        changed(
            "chain spec: no such file",
            "spec.json",
            "none.json",
            "chain spec {dir}/none.json: cannot read the file: No such file or directory (os error 2); check the path and its permissions",
        ),
        spec_bytes(
            "chain spec: empty",
            b"",
            "chain spec {dir}/spec.json: not the JSON of a chain spec: EOF while parsing a value at line 1 column 0; docs/spec/blocks.md describes its fields",
        ),
        spec_bytes(
            "chain spec: cut short",
            b"{\"name\": \"a chain\",",
            "chain spec {dir}/spec.json: not the JSON of a chain spec: EOF while parsing a value at line 1 column 19; docs/spec/blocks.md describes its fields",
        ),
        spec_bytes(
            "chain spec: no UTF-8",
            b"{\"name\": \"\xff\"}",
            "chain spec {dir}/spec.json: not the JSON of a chain spec: invalid unicode code point at line 1 column 11; docs/spec/blocks.md describes its fields",
        ),
        with_spec(
            "chain spec: unknown field",
            |spec| spec["colour"] = json!("red"),
            "chain spec {dir}/spec.json: not the JSON of a chain spec: unknown field `colour`, expected one of `name`, `chain_id`, `genesis_timestamp_ms`, `accounts`, `commitment`, `max_receipt_lag`, `receipt_age`, `versions`, `limits`, `consensus` at line 21 column 10; docs/spec/blocks.md describes its fields",
        ),
        with_spec(
            "chain spec: a field missing",
            |spec| {
                spec.as_object_mut().unwrap().remove("chain_id");
            },
            "chain spec {dir}/spec.json: not the JSON of a chain spec: missing field `chain_id` at line 53 column 1; docs/spec/blocks.md describes its fields",
        ),
        with_spec(
            "chain spec: chain id in letters",
            |spec| spec["chain_id"] = json!("seven"),
            "chain spec {dir}/spec.json: not the JSON of a chain spec: invalid type: string \"seven\", expected u64 at line 20 column 21; docs/spec/blocks.md describes its fields",
        ),
        with_spec(
            "chain spec: unknown commitment",
            |spec| spec["commitment"] = json!("c"),
            "chain spec {dir}/spec.json: not the JSON of a chain spec: unknown variant `c`, expected `delayed_root` or `execution_receipts` at line 21 column 19; docs/spec/blocks.md describes its fields",
        ),
        with_spec(
            "chain spec: K = 0",
            |spec| spec["max_receipt_lag"] = json!(0),
            "chain spec {dir}/spec.json: invalid chain spec: max_receipt_lag = 0: allowed is 1 ..= 1024",
        ),
        with_spec(
            "chain spec: K too large",
            |spec| spec["max_receipt_lag"] = json!(1025),
            "chain spec {dir}/spec.json: invalid chain spec: max_receipt_lag = 1025: allowed is 1 ..= 1024; limits.block_bytes = 65536: allowed is 140699 ..= 4294967295",
        ),
        with_spec(
            "chain spec: receipts older than K",
            |spec| spec["receipt_age"] = json!(5),
            "chain spec {dir}/spec.json: invalid chain spec: receipt_age = 5: allowed is 1 ..= 4",
        ),
        with_spec(
            "chain spec: accounts out of order",
            |spec| {
                spec["accounts"].as_array_mut().unwrap().reverse();
            },
            "chain spec {dir}/spec.json: invalid chain spec: accounts[1].address = 0x720f38bc55f4801f499dedfb486ef88ccebad6b616403eac0256e404c7e0c08f: allowed is an address greater than the one before; accounts[2].address = 0x4830bf235403c19cc0f03981f0360dff83b07a3fffd2e87f67b63826f80646f1: allowed is an address greater than the one before; accounts[3].address = 0x19f9f11421d4ed66b832b5866a9bba53fcc39469bcc6729192c25ffda5dbc840: allowed is an address greater than the one before",
        ),
        with_spec(
            "chain spec: supply too large",
            |spec| {
                spec["accounts"][0]["balance"] = json!((1_u128 << 127).to_string());
            },
            "chain spec {dir}/spec.json: invalid chain spec: accounts: sum of all balances = 170141183460469231731687303718884105728: allowed is less than 2^127",
        ),
        with_spec(
            "chain spec: a balance that is a number",
            |spec| spec["accounts"][0]["balance"] = json!(1),
            "chain spec {dir}/spec.json: not the JSON of a chain spec: invalid type: integer `1`, expected an amount: a string of decimal digits, less than 2^128 at line 5 column 18; docs/spec/blocks.md describes its fields",
        ),
        with_spec(
            "chain spec: an address too short",
            |spec| spec["accounts"][0]["address"] = json!("0x12"),
            "chain spec {dir}/spec.json: not the JSON of a chain spec: 2 hex digits where 64 are needed (beside an optional 0x) at line 4 column 23; docs/spec/blocks.md describes its fields",
        ),
        with_spec(
            "chain spec: no versions",
            |spec| spec["versions"] = json!([]),
            "chain spec {dir}/spec.json: invalid chain spec: length of versions = 0: allowed is 1 ..= 1024",
        ),
        with_spec(
            "chain spec: versions begin late",
            |spec| spec["versions"][0]["height"] = json!(1),
            "chain spec {dir}/spec.json: invalid chain spec: versions[0].height = 1: allowed is 0",
        ),
        with_spec(
            "chain spec: unknown machine version",
            |spec| spec["versions"][0]["machine"] = json!(9),
            "chain spec {dir}/spec.json: versions: machine version 9 from height 0 on is not known to this build; update the node",
        ),
        with_spec(
            "chain spec: unknown gas version",
            |spec| spec["versions"][0]["gas"] = json!(9),
            "chain spec {dir}/spec.json: versions: gas version 9 from height 0 on is not known to this build; update the node",
        ),
        with_spec(
            "chain spec: a transaction larger than a block",
            |spec| spec["limits"]["block_bytes"] = json!(100),
            "chain spec {dir}/spec.json: invalid chain spec: limits.block_bytes = 100: allowed is 17279 ..= 4294967295",
        ),
        with_spec(
            "chain spec: transactions with more gas than blocks",
            |spec| spec["limits"]["transaction_gas"] = json!(30_000_001),
            "chain spec {dir}/spec.json: invalid chain spec: limits.transaction_gas = 30000001: allowed is 1 ..= 30000000",
        ),
        with_spec(
            "chain spec: free gas",
            |spec| spec["limits"]["min_gas_price"] = json!(0),
            "chain spec {dir}/spec.json: invalid chain spec: limits.min_gas_price = 0: allowed is 1 or more",
        ),
        with_spec(
            "chain spec: calls nested too deep",
            |spec| spec["limits"]["call_depth"] = json!(129),
            "chain spec {dir}/spec.json: limits.call_depth: 129 is outside 1 to 128",
        ),
        with_spec(
            "chain spec: consensus id with a space",
            |spec| spec["consensus"]["id"] = json!("solo 1"),
            "chain spec {dir}/spec.json: invalid chain spec: consensus.id = \"solo 1\": allowed is visible ASCII without spaces",
        ),
        with_spec(
            "chain spec: no sequencer",
            |spec| spec["consensus"]["parameters"] = json!("0x"),
            "chain spec {dir}/spec.json: invalid chain spec: consensus.parameters = 0 bytes: allowed is the sequencer's public key: 32 bytes",
        ),
        case(
            "chain spec: K above the retention",
            retention,
            "configuration {dir}/node.toml: engine.retention_blocks = 101: allowed is at least 102: the chain spec's max_receipt_lag and 2",
        ),
    ]
}

pub fn cases() -> Vec<Case> {
    let mut cases = file_cases();
    cases.extend(value_cases());
    cases.extend(spec_cases());
    cases
}

#[test]
fn configurations() {
    check("configuration", 50, &cases());
}
