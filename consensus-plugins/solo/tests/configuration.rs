//! What the operator may configure, and the exact words about what is wrong.
#![allow(clippy::unwrap_used)]

use millrace_plugin_sdk::harness::Harness;
use millrace_plugin_sdk::types::{Hash, SecretKey};
use millrace_plugin_sdk::{ChainState, StartError};
use millrace_plugin_solo::{Config, EmptyBlocks, Solo};

fn key() -> SecretKey {
    SecretKey::from_seed([3; 32])
}

fn chain(config: &str) -> ChainState {
    ChainState {
        chain_id: 7,
        consensus_id: "solo/1".into(),
        parameters: key().public_key().0.to_vec(),
        config: config.into(),
        chain_spec_hash: Hash::ZERO,
        genesis_hash: Hash::ZERO,
        genesis_block: Vec::new(),
        finalized_hash: Hash([1; 32]),
        finalized_height: 4,
        finalized_block: Vec::new(),
        finalized_certificate: Vec::new(),
        max_receipt_lag: 4,
        block_gas: 1,
        block_bytes: 1,
        max_unfinalized_blocks: None,
        now_ms: 1_000,
    }
}

fn good() -> String {
    format!(r#"{{"secret_key": "0x{}"}}"#, "03".repeat(32))
}

/// Checks the message with which `start` refuses.
fn check(chain: &ChainState, message: &str) {
    let Err(StartError::Configuration(found)) = Harness::<Solo>::start(chain, None) else {
        panic!("not refused: {message}")
    };
    assert_eq!(found, message);
    assert!(
        !found.contains(&"03".repeat(32)) && !found.contains(&"04".repeat(32)),
        "secrets are not shown"
    );
}

const FORM: &str = r#"the configuration is JSON: {"secret_key": "0x…", "block_interval_ms": 1000, "empty_blocks": "when_needed" or "always"}"#;

#[test]
fn defaults_and_choices() {
    let config = Config::read(&chain(&good())).unwrap();
    assert_eq!(
        (config.block_interval_ms, config.empty_blocks),
        (1000, EmptyBlocks::WhenNeeded)
    );
    let text = good().replace('}', r#", "block_interval_ms": 0, "empty_blocks": "always"}"#);
    let config = Config::read(&chain(&text)).unwrap();
    assert_eq!(
        (config.block_interval_ms, config.empty_blocks),
        (0, EmptyBlocks::Always)
    );
    assert!(
        !format!("{config:?}").contains("0303"),
        "the secret key is not shown"
    );
}

#[test]
fn another_chain() {
    let other = ChainState {
        consensus_id: "simplex/1".into(),
        ..chain(&good())
    };
    check(&other, "the chain spec names simplex/1, this plugin is solo/1");
    let short = ChainState {
        parameters: vec![1; 31],
        ..chain(&good())
    };
    check(
        &short,
        "the chain spec's consensus parameters are 31 bytes; solo/1 has the sequencer's public key there, 32 bytes",
    );
}

#[test]
fn another_key() {
    let text = good().replace("03", "04");
    check(
        &chain(&text),
        &format!(
            "secret_key belongs to {}, but the chain spec's sequencer is {}; configure the sequencer's key",
            SecretKey::from_seed([4; 32]).public_key(),
            key().public_key()
        ),
    );
}

#[test]
fn damaged_text() {
    check(
        &chain(""),
        &format!("EOF while parsing a value at line 1 column 0; {FORM}"),
    );
    check(
        &chain("{}"),
        &format!("missing field `secret_key` at line 1 column 2; {FORM}"),
    );
    let unknown = good().replace('}', r#", "colour": 1}"#);
    check(
        &chain(&unknown),
        &format!(
            "unknown field `colour`, expected one of `secret_key`, `block_interval_ms`, `empty_blocks` at line 1 column {}; {FORM}",
            unknown.find("\"colour\"").unwrap() + 8
        ),
    );
    for key in ["0x03", "03", "", "0xzz"] {
        check(
            &chain(&format!(r#"{{"secret_key": "{key}"}}"#)),
            "secret_key is not 32 bytes of hexadecimal with 0x in front",
        );
    }
    let slow = good().replace('}', r#", "block_interval_ms": 3600001}"#);
    check(
        &chain(&slow),
        "block_interval_ms is 3600001, at most 3600000 (an hour) makes sense",
    );
}
