//! Commands against a running chain: the fields of their JSON, as `docs/cli.md` lists them, and their exit statuses.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::process::{self, Running};

#[track_caller]
fn has_fields(value: &Value, fields: &[&str]) {
    let found: BTreeSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, fields.iter().copied().collect(), "{value}");
}

const RECEIPT: &[&str] = &[
    "transaction_hash",
    "block_hash",
    "height",
    "canonical",
    "index",
    "outcome",
    "gas_used",
    "gas_charged",
    "output",
    "logs",
    "created",
    "settled_by",
    "proof",
];
const PROVEN: &[&str] = &[
    "verified",
    "present",
    "value",
    "height",
    "settled_by",
    "settling_hash",
    "nodes",
];

#[test]
fn commands_print_the_documented_fields() {
    let chain = Running::start(&["--block-interval-ms", "20", "--seed", "3"]);
    has_fields(&chain.ready, &["event", "rpc", "genesis_hash", "accounts"]);
    has_fields(&chain.ready["accounts"][0], &["address", "secret_key", "balance"]);
    let account = |n: usize, field: &str| chain.ready["accounts"][n][field].as_str().unwrap().to_owned();
    let (key, bob) = (account(0, "secret_key"), account(1, "address"));
    let genesis = chain.ready["genesis_hash"].as_str().unwrap();
    let node = ["--rpc", chain.url(), "--json"];
    let with = |arguments: &[&str]| process::json(&[arguments, &node].concat());
    let signed = |arguments: &[&str]| with(&[arguments, &["--key", &key, "--wait", "settled"]].concat());
    let proven = |arguments: &[&str]| with(&[&["light"], arguments, &["--genesis", genesis]].concat());

    let moved = signed(&["tx", "transfer", "--to", &bob, "--value", "1000"]);
    has_fields(&moved, RECEIPT);
    assert_eq!(moved["outcome"], "success");
    let hash = moved["transaction_hash"].as_str().unwrap();
    assert_eq!(with(&["tx", "receipt", hash]), moved);
    let status = with(&["tx", "status", hash]);
    has_fields(
        &status,
        &["status", "block_hash", "height", "index", "outcome", "settled_by"],
    );
    let pooled = with(&[
        "tx", "transfer", "--to", &bob, "--value", "1", "--key", &key, "--wait", "pool",
    ]);
    has_fields(&pooled, &["transaction_hash"]);

    let elf = concat!(env!("CARGO_MANIFEST_DIR"), "/../contracts/artifacts/counter.elf");
    let deployed = signed(&["contract", "deploy", elf]);
    // Its interface lies beside it.
    has_fields(&deployed, &[RECEIPT, &["named"]].concat());
    has_fields(&deployed["named"], &["output", "error", "events"]);
    assert_eq!(
        deployed["gas_charged"], deployed["gas_used"],
        "the limit was an estimate"
    );
    let counter = deployed["created"].as_str().unwrap();
    has_fields(
        &signed(&["contract", "call", counter, "--input", "0x01"]),
        RECEIPT,
    );
    let read = with(&["contract", "read", counter, "--input", "0x10"]);
    has_fields(
        &read,
        &[
            "origin",
            "outcome",
            "output",
            "gas_used",
            "logs",
            "trap",
            "image_error",
        ],
    );
    assert_eq!(read["output"], "0x0100000000000000");

    let synced = proven(&["sync"]);
    has_fields(
        &synced,
        &["finalized_height", "executed_height", "finalized_hash", "nodes"],
    );
    let account = proven(&["get", "account", &bob]);
    has_fields(&account, PROVEN);
    has_fields(&account["value"], &["nonce", "balance", "code_hash"]);
    let code = proven(&["get", "code", counter]);
    has_fields(&code, PROVEN);
    has_fields(&code["value"], &["code_hash", "bytes"]);
    let slot = proven(&["get", "storage", counter, "0x636f756e74"]);
    assert_eq!(
        (&slot["present"], &slot["value"]),
        (&true.into(), &"0x0100000000000000".into())
    );
    let absent = proven(&["get", "storage", counter, "0x00"]);
    has_fields(&absent, PROVEN);
    assert_eq!(
        (&absent["present"], &absent["value"]),
        (&false.into(), &Value::Null)
    );
    let ended = proven(&["get", "transaction", hash]);
    has_fields(&ended, PROVEN);
    has_fields(
        &ended["value"],
        &["outcome", "index", "gas_used", "output", "logs"],
    );
}

#[test]
fn what_fails_ends_with_a_status_and_a_reason() {
    let chain = Running::start(&["--block-interval-ms", "20"]);
    let ends = |arguments: &[&str], status: i32, reason: &str| {
        let output = process::run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {errors}");
        assert!(errors.contains(reason), "{arguments:?}: {errors}");
    };
    let key = chain.ready["accounts"][0]["secret_key"].as_str().unwrap();
    let to = chain.ready["accounts"][1]["address"].as_str().unwrap();
    let transfer = [
        "tx",
        "transfer",
        "--to",
        to,
        "--value",
        "1",
        "--key",
        key,
        "--rpc",
        chain.url(),
    ];
    let nonce = |nonce| [&transfer[..], &["--nonce", nonce]].concat();
    ends(&nonce("0"), 0, "");
    ends(&nonce("0"), 1, "millrace: ");
    ends(&nonce("0"), 1, "NonceTooLow: nonce 0 is used");
    ends(&["tx", "transfer"], 2, "required arguments were not provided");
    ends(
        &["contract", "read", to, "--rpc", chain.url()],
        1,
        "the call ended as no_code",
    );
    ends(
        &["tx", "receipt", "0x00", "--rpc", chain.url()],
        2,
        "64 are needed",
    );
    let nowhere = [
        "tx",
        "status",
        &format!("0x{}", "00".repeat(32)),
        "--rpc",
        "http://127.0.0.1:9",
    ];
    ends(&nowhere, 1, "is the node running there?");
}

#[test]
fn keys_are_made_once_and_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("alice.key");
    let file = file.to_str().unwrap();
    let made = process::json(&["keys", "new", file, "--json"]);
    has_fields(&made, &["public_key", "address"]);
    assert_eq!(process::json(&["keys", "show", file, "--json"]), made);
    let secret = std::fs::read_to_string(file).unwrap();
    assert_eq!(process::json(&["keys", "show", secret.trim(), "--json"]), made);
    assert!(!process::text(&["keys", "show", file]).contains(secret.trim()));
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(file).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        process::run(&["keys", "new", file]).status.code(),
        Some(1),
        "it is not overwritten"
    );
    assert_eq!(std::fs::read_to_string(file).unwrap(), secret);
}
