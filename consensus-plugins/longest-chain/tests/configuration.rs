//! What the operator may configure, and the exact words about what is wrong.
#![allow(clippy::unwrap_used)]

use millrace_plugin_longest_chain::config::{ForkDepth, Forks};
use millrace_plugin_longest_chain::{Config, EmptyBlocks, LongestChain};
use millrace_plugin_sdk::harness::Harness;
use millrace_plugin_sdk::types::{Hash, SecretKey};
use millrace_plugin_sdk::{ChainState, StartError};

fn key() -> SecretKey {
    SecretKey::from_seed([3; 32])
}

fn chain(config: &str) -> ChainState {
    ChainState {
        chain_id: 7,
        consensus_id: "longest-chain/1".into(),
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
        max_unfinalized_blocks: Some(256),
        now_ms: 1_000,
    }
}

/// A configuration with the right key and `more`, which is empty or begins with a comma.
fn with(more: &str) -> String {
    format!(r#"{{"secret_key": "0x{}"{more}}}"#, "03".repeat(32))
}

/// Checks the message with which `start` refuses.
fn check(chain: &ChainState, message: &str) {
    let Err(StartError::Configuration(found)) = Harness::<LongestChain>::start(chain, None) else {
        panic!("not refused: {message}")
    };
    assert_eq!(found, message);
    assert!(!found.contains(&"03".repeat(32)), "secrets are not shown");
}

const FORM: &str = r#"the configuration is JSON: {"secret_key": "0x…", "seed": 0, "slot_ms": 500, …}; docs/spec/plugin-abi.md, longest-chain/1, lists the keys"#;

#[test]
fn defaults_and_choices() {
    let config = Config::read(&chain(&with(""))).unwrap();
    assert_eq!(
        (config.slot_ms, config.propagation_slots, config.finality_depth),
        (500, 1, 6)
    );
    let lottery = config.lottery;
    assert_eq!((lottery.seed, lottery.miners, lottery.won_percent), (0, 4, 50));
    assert_eq!(
        (config.forks, config.empty_blocks),
        (None, EmptyBlocks::WhenNeeded)
    );
    assert!(
        !format!("{config:?}").contains("0303"),
        "the secret key is not shown"
    );
    let text = with(
        r#", "seed": 9, "slot_ms": 10, "won_slots_percent": 100, "miners": 2, "propagation_slots": 0, "finality_depth": 20, "fork_every_slots": 30, "fork_depth": 4, "empty_blocks": "always""#,
    );
    let config = Config::read(&chain(&text)).unwrap();
    assert_eq!(
        config.forks,
        Some(Forks {
            every_slots: 30,
            depth: ForkDepth { min: 4, max: 4 }
        })
    );
    assert_eq!(config.empty_blocks, EmptyBlocks::Always);
}

#[test]
fn depths_are_a_number_or_a_range_within_finality() {
    let depth = |more: &str| {
        let text = with(&format!(r#", "fork_every_slots": 1{more}"#));
        let depth = Config::read(&chain(&text)).unwrap().forks.unwrap().depth;
        (depth.min, depth.max)
    };
    assert_eq!(depth(""), (1, 3));
    assert_eq!(depth(r#", "finality_depth": 2"#), (1, 2));
    assert_eq!(depth(r#", "fork_depth": 6"#), (6, 6));
    assert_eq!(depth(r#", "fork_depth": [2, 6]"#), (2, 6));
    let why = "a deeper fork would undo what is final; lower it or raise finality_depth";
    for (value, message) in [
        ("7", "fork_depth is 7, allowed is 1 to 6"),
        ("0", "fork_depth is 0, allowed is 1 to 6"),
        ("[1, 7]", "the end of fork_depth is 7, allowed is 1 to 6"),
        ("[3, 2]", "the end of fork_depth is 2, allowed is 3 to 6"),
    ] {
        check(
            &chain(&with(&format!(r#", "fork_depth": {value}"#))),
            &format!("{message}: {why}"),
        );
    }
}

#[test]
fn values_out_of_range_name_key_value_limits_and_meaning() {
    for (key, value, rest) in [
        (
            "slot_ms",
            "0",
            "allowed is 1 to 3600000: it is a slot's length in milliseconds",
        ),
        (
            "slot_ms",
            "3600001",
            "allowed is 1 to 3600000: it is a slot's length in milliseconds",
        ),
        (
            "won_slots_percent",
            "101",
            "allowed is 1 to 100: it says how many of a hundred slots bring a block",
        ),
        (
            "miners",
            "0",
            "allowed is 1 to 1000: natural forks need 2 or more",
        ),
        (
            "propagation_slots",
            "101",
            "allowed is 0 to 100: 0 is a network without delay",
        ),
        (
            "finality_depth",
            "513",
            "allowed is 1 to 512: the node keeps so many blocks above finality, and K more: max_unfinalized_blocks",
        ),
        (
            "fork_every_slots",
            "1000001",
            "allowed is 0 to 1000000: 0 makes no fork on demand",
        ),
    ] {
        check(
            &chain(&with(&format!(r#", "{key}": {value}"#))),
            &format!("{key} is {value}, {rest}"),
        );
    }
}

#[test]
fn more_above_finality_than_the_node_keeps() {
    let keeps = |blocks| ChainState {
        max_unfinalized_blocks: blocks,
        ..chain(&with(r#", "finality_depth": 12"#))
    };
    for fits in [None, Some(16), Some(4096)] {
        assert!(Harness::<LongestChain>::start(&keeps(fits), None).is_ok());
    }
    check(
        &keeps(Some(15)),
        "finality_depth = 12 and max_receipt_lag = 4 keep up to 16 blocks above finality; this node keeps 15 \
         (engine.max_unfinalized_blocks): lower finality_depth, or raise that to 16 and more for side branches",
    );
}

#[test]
fn another_chain_or_another_key() {
    let other = ChainState {
        consensus_id: "solo/1".into(),
        ..chain(&with(""))
    };
    check(
        &other,
        "the chain spec names solo/1, this plugin is longest-chain/1",
    );
    let short = ChainState {
        parameters: vec![1; 31],
        ..chain(&with(""))
    };
    check(
        &short,
        "the chain spec's consensus parameters are 31 bytes; longest-chain/1 has the finalizer's public key there, 32 bytes",
    );
    check(
        &chain(&with("").replace("03", "04")),
        &format!(
            "secret_key belongs to {}, but the chain spec's finalizer is {}; configure the finalizer's key",
            SecretKey::from_seed([4; 32]).public_key(),
            key().public_key()
        ),
    );
    check(
        &chain(r#"{"secret_key": "0x03"}"#),
        "secret_key is not 32 bytes of hexadecimal with 0x in front",
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
    let text = with(r#", "colour": 1"#);
    let Err(StartError::Configuration(found)) = Harness::<LongestChain>::start(&chain(&text), None) else {
        panic!("an unknown key is refused")
    };
    assert!(
        found.starts_with("unknown field `colour`, expected one of `secret_key`, `seed`, `slot_ms`"),
        "{found}"
    );
    let text = with(r#", "fork_depth": "deep""#);
    check(
        &chain(&text),
        &format!(
            "fork_depth is a number, or a range as [1, 3] at line 1 column {}; {FORM}",
            text.len()
        ),
    );
}
