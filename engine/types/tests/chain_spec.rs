//! The chain spec: its JSON form, and an error for each value that is not allowed.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use millrace_types::ChainSpec;
use millrace_types::certificate::LONGEST_CHAIN_CONSENSUS_ID;
use millrace_types::chain_spec::{GenesisAccount, ReadChainSpecError, VersionActivation};
use millrace_types::codec::encode;

#[test]
fn the_development_spec_is_valid_in_any_order_of_accounts() {
    assert_eq!(spec().validate(), Ok(()));
    assert_eq!(ChainSpec::decode(&encode(&spec())), Ok(spec()));
}

#[test]
fn json_round_trips_and_knows_its_keys() {
    let text = serde_json::to_string_pretty(&spec()).unwrap();
    assert_eq!(serde_json::from_str::<ChainSpec>(&text).unwrap(), spec());
    let typo = text.replace("block_gas", "block_gass");
    let error = serde_json::from_str::<ChainSpec>(&typo).unwrap_err().to_string();
    assert!(
        error.starts_with("unknown field `block_gass`, expected one of `block_gas`"),
        "{error}"
    );
    let number = text.replace("\"1000000000000000000000000\"", "1000");
    let error = serde_json::from_str::<ChainSpec>(&number)
        .unwrap_err()
        .to_string();
    assert!(error.contains("an amount: a string of decimal digits"), "{error}");
}

#[test]
fn every_value_that_is_not_allowed() {
    let account = |byte, balance| GenesisAccount {
        address: address(byte),
        balance,
    };
    let version = |height, machine| VersionActivation {
        height,
        machine,
        gas: 1,
    };
    let check = |change: &dyn Fn(&mut ChainSpec), expected: &str| {
        let mut spec = spec();
        change(&mut spec);
        let error = spec.validate().unwrap_err();
        assert_eq!(error.to_string(), format!("invalid chain spec: {expected}"));
        let decoded = ChainSpec::decode(&encode(&spec));
        assert!(matches!(
            decoded,
            Err(ReadChainSpecError::Invalid(_) | ReadChainSpecError::Decode(_))
        ));
    };
    check(
        &|spec| spec.name.clear(),
        "length of name = 0: allowed is 1 ..= 64",
    );
    check(
        &|spec| spec.accounts = vec![account(1, 1), account(1, 1)],
        &format!(
            "accounts[1].address = {}: allowed is an address greater than the one before",
            address(1)
        ),
    );
    check(
        &|spec| spec.accounts = vec![account(1, 1 << 126), account(2, 1 << 126)],
        &format!(
            "accounts: sum of all balances = {}: allowed is less than 2^127",
            1_u128 << 127
        ),
    );
    check(
        &|spec| spec.accounts = vec![account(1, u128::MAX), account(2, 1)],
        "accounts: sum of all balances = 2^128 or more: allowed is less than 2^127",
    );
    check(
        &|spec| spec.max_receipt_lag = 0,
        "max_receipt_lag = 0: allowed is 1 ..= 1024",
    );
    check(
        &|spec| spec.max_receipt_lag = 1025,
        "max_receipt_lag = 1025: allowed is 1 ..= 1024",
    );
    check(
        &|spec| spec.receipt_age = 5,
        "receipt_age = 5: allowed is 1 ..= 4",
    );
    check(
        &|spec| spec.receipt_age = 0,
        "receipt_age = 0: allowed is 1 ..= 4",
    );
    check(
        &|spec| spec.versions.clear(),
        "length of versions = 0: allowed is 1 ..= 1024",
    );
    check(
        &|spec| spec.versions[0].height = 1,
        "versions[0].height = 1: allowed is 0",
    );
    check(
        &|spec| spec.versions[0].machine = 0,
        "versions[0].machine = 0: allowed is 1 ..= 65535",
    );
    check(
        &|spec| spec.versions = vec![version(0, 1), version(7, 1), version(7, 2)],
        "versions[2].height = 7: allowed is a height greater than the one before",
    );
    check(
        &|spec| spec.consensus.id = "a b".into(),
        "consensus.id = \"a b\": allowed is visible ASCII without spaces",
    );
    check(
        &|spec| spec.consensus.parameters.truncate(31),
        "consensus.parameters = 31 bytes: allowed is the sequencer's public key: 32 bytes",
    );
    check(
        &|spec| {
            spec.consensus.id = LONGEST_CHAIN_CONSENSUS_ID.into();
            spec.consensus.parameters.push(0);
        },
        "consensus.parameters = 33 bytes: allowed is the finalizer's public key: 32 bytes",
    );
}

#[test]
fn every_limit_that_is_not_allowed() {
    let check = |key: &str, value: u64, allowed: &str| {
        let mut json = serde_json::to_value(spec()).unwrap();
        json["limits"][key] = value.into();
        let error = serde_json::from_value::<ChainSpec>(json)
            .unwrap()
            .validate()
            .unwrap_err();
        assert_eq!(
            error.problems[0].to_string(),
            format!("limits.{key} = {value}: allowed is {allowed}")
        );
    };
    check("block_gas", 0, "1 ..= 4611686018427387904");
    check("block_gas", (1 << 62) + 1, "1 ..= 4611686018427387904");
    check("transaction_gas", 1_000_000_001, "1 ..= 1000000000");
    check("transaction_gas", 0, "1 ..= 1000000000");
    check("block_bytes", 1 << 20, "1057471 ..= 4294967295");
    for key in [
        "block_transactions",
        "transaction_bytes",
        "min_gas_price",
        "consensus_data_bytes",
        "seal_bytes",
        "call_depth",
        "transaction_pages",
        "return_bytes",
        "log_bytes",
        "journal_entries",
        "block_write_bytes",
        "timestamp_drift_ms",
    ] {
        check(key, 0, "1 or more");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let mut spec = spec();
    spec.name.clear();
    spec.limits.call_depth = 0;
    assert_eq!(
        spec.validate().unwrap_err().to_string(),
        "invalid chain spec: length of name = 0: allowed is 1 ..= 64; limits.call_depth = 0: allowed is 1 or more"
    );
}

#[test]
fn versions_hold_from_their_height_on() {
    let mut spec = spec();
    spec.versions.push(VersionActivation {
        height: 10,
        machine: 2,
        gas: 3,
    });
    assert_eq!(spec.validate(), Ok(()));
    let machine_at = |height| spec.versions_at(height).machine;
    assert_eq!([0, 9, 10, u64::MAX].map(machine_at), [1, 1, 2, 2]);
}
