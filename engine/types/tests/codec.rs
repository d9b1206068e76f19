//! Decoding is strict, bounded, and never panics.
#![allow(clippy::unwrap_used)]

mod common;

use borsh::{BorshDeserialize, BorshSerialize};
use common::*;
use millrace_types::codec::{DecodeError, decode, encode, encoded_len, hash_of};
use millrace_types::hash::domains::TRANSACTION;
use millrace_types::merkle::{self, InclusionProof};
use millrace_types::receipt::{EXECUTION_RECEIPT_BYTES, Outcome};
use millrace_types::state::Account;
use millrace_types::{
    Block, Body, ChainSpec, ExecutionReceipt, Header, SignedTransaction, SoloCertificate, Statement,
    Transaction, TransactionReceipt, block,
};
use proptest::prelude::*;

const NO_LIMIT: usize = usize::MAX;

/// Bytes either decode to a value that encodes to the same bytes, or they do not decode.
fn strict<T: BorshSerialize + BorshDeserialize>(bytes: &[u8]) {
    if let Ok(value) = decode::<T>(bytes, NO_LIMIT) {
        assert_eq!(
            encode(&value),
            bytes,
            "{} has two encodings",
            std::any::type_name::<T>()
        );
    }
}

fn strict_as_every_type(bytes: &[u8]) {
    strict::<Transaction>(bytes);
    strict::<SignedTransaction>(bytes);
    strict::<Header>(bytes);
    strict::<Body>(bytes);
    strict::<Block>(bytes);
    strict::<ExecutionReceipt>(bytes);
    strict::<TransactionReceipt>(bytes);
    strict::<ChainSpec>(bytes);
    strict::<Statement>(bytes);
    strict::<SoloCertificate>(bytes);
    strict::<InclusionProof>(bytes);
    strict::<Account>(bytes);
}

fn samples() -> Vec<Vec<u8>> {
    vec![
        encode(&block()),
        encode(&header()),
        encode(&body()),
        encode(&signed(payloads()[1].clone())),
        encode(&transaction_receipt(0, Outcome::Reverted)),
        encode(&execution_receipt(4)),
        encode(&spec()),
        encode(&statement()),
        encode(&certificate()),
        encode(&account()),
        encode(&merkle::prove_transaction(&transactions(5), 2).unwrap()),
    ]
}

/// One change of the kinds that a hostile or broken sender makes.
#[derive(Clone, Debug)]
enum Change {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Cut(prop::sample::Index),
    Lengthen(prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        any::<prop::sample::Index>().prop_map(Change::Remove),
        any::<prop::sample::Index>().prop_map(Change::Cut),
        any::<prop::sample::Index>().prop_map(Change::Lengthen),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    if bytes.is_empty() {
        return;
    }
    match change {
        Change::Set(at, byte) => *at.get_mut(bytes) = *byte,
        Change::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
        Change::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
        Change::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Change::Lengthen(at) => {
            let at = at.index(bytes.len());
            bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff);
        }
    }
}

proptest! {
    /// Fields shorter and longer than what is collected before it is hashed.
    #[test]
    fn hashing_a_value_is_hashing_its_bytes(
        fields in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..8),
        number: u64,
    ) {
        let value = (number, fields);
        prop_assert_eq!(hash_of(&TRANSACTION, &value), TRANSACTION.hash(&[&encode(&value)]));
    }

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        strict_as_every_type(&bytes);
    }

    #[test]
    fn changed_samples(which in any::<prop::sample::Index>(), changes in prop::collection::vec(change(), 1..4)) {
        let samples = samples();
        let mut bytes = which.get(&samples).clone();
        changes.iter().for_each(|change| apply(&mut bytes, change));
        strict_as_every_type(&bytes);
    }

    #[test]
    fn blocks_round_trip(block in any_block()) {
        let bytes = encode(&block);
        prop_assert_eq!(encoded_len(&block), bytes.len());
        prop_assert_eq!(decode::<Block>(&bytes, bytes.len()).unwrap(), block);
    }

    #[test]
    fn receipts_round_trip(receipt in any_transaction_receipt()) {
        let bytes = encode(&receipt);
        prop_assert_eq!(decode::<TransactionReceipt>(&bytes, bytes.len()).unwrap(), receipt);
    }
}

#[test]
fn every_truncation_is_refused() {
    for bytes in samples() {
        for end in 0..bytes.len() {
            let cut = &bytes[..end];
            strict_as_every_type(cut);
        }
    }
    let bytes = encode(&block());
    assert!((0..bytes.len()).all(|end| decode::<Block>(&bytes[..end], NO_LIMIT).is_err()));
}

#[test]
fn stated_sizes_hold() {
    let widest = Header {
        delayed_state_root: Some(hash(1)),
        consensus_data: vec![],
        seal: vec![],
        ..header()
    };
    assert_eq!(encoded_len(&widest), block::HEADER_FIXED_BYTES);
    assert_eq!(encoded_len(&execution_receipt(1)), EXECUTION_RECEIPT_BYTES);
    assert_eq!(encoded_len(&certificate()), SoloCertificate::BYTES);
    assert_eq!(signed(payloads()[0].clone()).byte_len(), 177);
}

#[test]
fn errors_say_what_and_where() {
    let receipt = encode(&execution_receipt(4));
    let check = |bytes: &[u8], limit, expected: &str| {
        assert_eq!(
            decode::<ExecutionReceipt>(bytes, limit).unwrap_err().to_string(),
            expected
        );
    };
    check(
        &receipt,
        120,
        "ExecutionReceipt: 121 bytes, more than the limit of 120",
    );
    check(
        &[&receipt[..], &[0]].concat(),
        200,
        "ExecutionReceipt: ends at byte 121, but 122 bytes were given",
    );
    let mut status = receipt.clone();
    status[40] = 1;
    check(
        &status,
        200,
        "ExecutionReceipt: Unexpected variant tag: 1 at byte 41 of 121",
    );
    check(
        &receipt[..50],
        200,
        "ExecutionReceipt: the input ends before the value does at byte 50 of 50",
    );
}

#[test]
fn tags_and_lists_that_do_not_exist() {
    let mut option = encode(&account());
    option[24] = 2;
    assert!(
        decode::<Account>(&option, NO_LIMIT)
            .unwrap_err()
            .to_string()
            .contains("Option")
    );

    let mut log = log();
    log.topics = vec![hash(0); 5];
    let error = decode::<millrace_types::Log>(&encode(&log), NO_LIMIT).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Log: a list of 5 entries where at most 4 are allowed at byte 36 of 203"
    );

    let mut unordered = spec();
    unordered.accounts.swap(0, 1);
    let error = decode::<ChainSpec>(&encode(&unordered), NO_LIMIT).unwrap_err();
    assert!(
        error.to_string().contains("entry 1 of a list does not ascend"),
        "{error}"
    );

    let mut name = encode(&spec());
    name[4] = 0xff;
    assert!(
        decode::<ChainSpec>(&name, NO_LIMIT)
            .unwrap_err()
            .to_string()
            .contains("utf-8")
    );
}

#[test]
fn chain_limits_bound_what_is_decoded() {
    let mut spec = spec();
    let bytes = encode(&block());
    assert_eq!(Block::decode(&bytes, &spec), Ok(block()));
    assert_eq!(Body::decode(&encode(&body()), &spec), Ok(body()));
    assert_eq!(Header::decode(&encode(&header()), &spec), Ok(header()));

    let over = |part, size, limit| {
        Err(DecodeError::OverLimit {
            what: "Block",
            part,
            size,
            limit,
        })
    };
    let largest = body()
        .transactions
        .iter()
        .map(SignedTransaction::byte_len)
        .max()
        .unwrap() as u64;
    for (narrow, expected) in [
        (
            (|spec| spec.limits.block_transactions = 2) as fn(&mut ChainSpec),
            over("number of transactions", 3, 2),
        ),
        (|spec| spec.max_receipt_lag = 1, over("number of receipts", 2, 1)),
        (
            |spec| spec.limits.transaction_bytes = 180,
            over("bytes of a transaction", largest, 180),
        ),
        (
            |spec| spec.limits.consensus_data_bytes = 0,
            over("bytes of consensus_data", 1, 0),
        ),
        (|spec| spec.limits.seal_bytes = 1, over("bytes of seal", 2, 1)),
    ] {
        let mut narrowed = spec.clone();
        narrow(&mut narrowed);
        assert_eq!(Block::decode(&bytes, &narrowed), expected);
    }
    spec.limits.block_bytes = bytes.len() as u32 - 1;
    let too_long = DecodeError::TooLong {
        what: "Block",
        len: bytes.len(),
        limit: bytes.len() - 1,
    };
    assert_eq!(Block::decode(&bytes, &spec), Err(too_long));
    assert!(block().check_bounds(&spec).is_err());
}
