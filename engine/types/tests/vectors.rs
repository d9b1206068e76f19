//! Frozen bytes: every encoding, every hash domain, every JSON form, as `vectors.json` has them.
//!
//! `MILLRACE_BLESS=1 cargo test -p millrace-types --test vectors` writes the file anew. A change there is a change of
//! protocol: chains that exist do not survive it without a new version.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use borsh::{BorshDeserialize, BorshSerialize};
use common::*;
use millrace_types::codec::{decode, encode};
use millrace_types::hash::{Domain, domains};
use millrace_types::keys::verify_batch;
use millrace_types::receipt::{Failure, Outcome, settlement_hash};
use millrace_types::state::{Account, account_path, code_hash, code_path, storage_path};
use millrace_types::{
    Address, Block, ChainSpec, Commitment, ExecutionReceipt, Hash, Header, SignedTransaction, merkle,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[derive(Default, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
struct Vectors {
    /// Canonical bytes, in hex.
    encodings: BTreeMap<String, String>,
    /// Hashes, addresses, paths, signatures.
    hashes: BTreeMap<String, String>,
    /// For each domain its tag and the hash of the text `millrace` in it.
    domains: BTreeMap<String, [String; 2]>,
    /// JSON forms of the values under `encodings`.
    json: BTreeMap<String, Value>,
}

impl Vectors {
    /// Pins a value's bytes and JSON form, both of which lead back to the value.
    fn value<T>(&mut self, name: &str, value: &T)
    where
        T: BorshSerialize + BorshDeserialize + Serialize + DeserializeOwned + PartialEq + Debug,
    {
        let bytes = encode(value);
        assert_eq!(decode::<T>(&bytes, bytes.len()).as_ref(), Ok(value), "{name}");
        let json = serde_json::to_value(value).unwrap();
        assert_eq!(
            serde_json::from_value::<T>(json.clone()).unwrap(),
            *value,
            "{name}"
        );
        assert_eq!(
            self.encodings.insert(name.into(), hex::encode(bytes)),
            None,
            "{name} twice"
        );
        self.json.insert(name.into(), json);
    }

    fn hash(&mut self, name: &str, hash: impl AsRef<[u8]>) {
        assert_eq!(
            self.hashes.insert(name.into(), hex::encode(hash)),
            None,
            "{name} twice"
        );
    }
}

fn current() -> Vectors {
    let mut vectors = Vectors::default();
    transaction_vectors(&mut vectors);
    block_vectors(&mut vectors);
    receipt_vectors(&mut vectors);
    merkle_vectors(&mut vectors);
    chain_vectors(&mut vectors);
    address_and_state_vectors(&mut vectors);
    for (name, domain) in domains::ALL {
        let tag = String::from_utf8(domain.0.to_vec())
            .unwrap()
            .trim_end_matches('\0')
            .to_owned();
        vectors.domains.insert(
            (*name).into(),
            [tag, hex::encode(domain.hash(&[b"mill", b"race"]).0)],
        );
    }
    vectors
}

fn transaction_vectors(vectors: &mut Vectors) {
    for (name, payload) in ["transfer", "deploy", "call"].into_iter().zip(payloads()) {
        vectors.value(&format!("transaction.{name}"), &transaction(payload.clone()));
        let signed = signed(payload);
        assert_eq!(signed.verify(), Ok(()));
        vectors.value(&format!("signed_transaction.{name}"), &signed);
        vectors.hash(
            &format!("signing_hash.{name}"),
            signed.transaction.signing_hash().0,
        );
        vectors.hash(&format!("transaction_hash.{name}"), signed.hash().0);
    }
}

fn block_vectors(vectors: &mut Vectors) {
    let delayed = Header {
        delayed_state_root: Some(hash(0xdd)),
        ..header()
    };
    let genesis = Header::genesis(&spec(), hash(0xee));
    for (name, header) in [
        ("receipts", header()),
        ("delayed_root", delayed),
        ("genesis", genesis),
    ] {
        vectors.value(&format!("header.{name}"), &header);
        vectors.hash(&format!("block_hash.{name}"), header.hash().0);
        vectors.hash(&format!("pre_seal_hash.{name}"), header.pre_seal_hash().0);
    }
    vectors.value("body", &body());
    vectors.value("block", &block());
}

fn receipt_vectors(vectors: &mut Vectors) {
    let receipts = [execution_receipt(4), execution_receipt(5)];
    vectors.value("execution_receipt", &receipts[0]);
    let genesis = ExecutionReceipt::of_genesis(&Header::genesis(&spec(), hash(0xee))).unwrap();
    vectors.value("execution_receipt.genesis", &genesis);
    for count in 0..=2 {
        vectors.hash(
            &format!("settlement_hash.{count}"),
            settlement_hash(&receipts[..count]).0,
        );
    }
    for (name, outcome) in [
        ("success", Outcome::Success),
        ("reverted", Outcome::Reverted),
        ("trapped", Outcome::Trapped),
        ("no_code", Outcome::Failed(Failure::NoCode)),
        ("invalid_program", Outcome::Failed(Failure::InvalidProgram)),
        ("address_collision", Outcome::Failed(Failure::AddressCollision)),
    ] {
        vectors.value(
            &format!("transaction_receipt.{name}"),
            &transaction_receipt(1, outcome),
        );
    }
    vectors.value("log", &log());
}

fn merkle_vectors(vectors: &mut Vectors) {
    for count in [0, 1, 2, 3, 5, 8] {
        let transactions = transactions(count);
        vectors.hash(
            &format!("transactions_root.{count}"),
            merkle::transactions_root(&transactions).0,
        );
        let receipts: Vec<_> = (0..count as u32)
            .map(|index| transaction_receipt(index, Outcome::Success))
            .collect();
        vectors.hash(
            &format!("receipts_root.{count}"),
            merkle::receipts_root(&receipts).0,
        );
    }
    vectors.hash("transaction_leaf", merkle::transaction_leaf(1, &hash(2)).0);
    vectors.hash(
        "receipt_leaf",
        merkle::receipt_leaf(1, &transaction_receipt(1, Outcome::Success)).0,
    );
    let transactions = transactions(5);
    for index in [0, 4] {
        let proof = merkle::prove_transaction(&transactions, index).unwrap();
        vectors.value(&format!("inclusion_proof.{index}_of_5"), &proof);
    }
}

fn chain_vectors(vectors: &mut Vectors) {
    vectors.value("chain_spec", &spec());
    vectors.hash("chain_spec", spec().hash().0);
    let delayed = ChainSpec {
        commitment: Commitment::DelayedRoot,
        ..spec()
    };
    vectors.hash("chain_spec.delayed_root", delayed.hash().0);
    vectors.value("statement", &statement());
    vectors.hash("statement.signing_hash", statement().signing_hash().0);
    vectors.value("solo_certificate", &certificate());
    assert_eq!(certificate().verify(42, hash(6), &key().public_key()), Ok(()));
}

fn address_and_state_vectors(vectors: &mut Vectors) {
    vectors.hash("public_key", key().public_key().0);
    vectors.hash("address.key", key().address().0);
    vectors.hash("address.deploy", Address::of_deploy(&address(1), 2).0);
    vectors.hash("address.create", Address::of_create(&address(1), 2).0);
    vectors.value("account", &account());
    vectors.value(
        "account.without_code",
        &Account {
            code_hash: None,
            ..account()
        },
    );
    vectors.hash("code_hash", code_hash(b"\x7fELF").0);
    vectors.hash("path.account", account_path(&address(1)));
    vectors.hash("path.code", code_path(&hash(2)));
    vectors.hash("path.storage", storage_path(&address(1), b"key"));
    vectors.hash("path.storage.empty_key", storage_path(&address(1), b""));
}

#[test]
fn bytes_are_frozen() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors.json");
    let current = current();
    if std::env::var_os("MILLRACE_BLESS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&current).unwrap() + "\n").unwrap();
    }
    let frozen: Vectors = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let hint = "bytes have changed: see the head of vectors.rs";
    assert_eq!(frozen.encodings, current.encodings, "{hint}");
    assert_eq!(frozen.hashes, current.hashes, "{hint}");
    assert_eq!(frozen.domains, current.domains, "{hint}");
    assert_eq!(frozen.json, current.json, "{hint}");
}

#[test]
fn frozen_blocks_still_decode() {
    let frozen: Vectors = serde_json::from_str(
        &std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors.json")).unwrap(),
    )
    .unwrap();
    let bytes = hex::decode(&frozen.encodings["block"]).unwrap();
    let block = Block::decode(&bytes, &spec()).unwrap();
    assert_eq!(
        block.hash().to_string(),
        format!("0x{}", frozen.hashes["block_hash.receipts"])
    );
    assert_eq!(verify_batch(&block.body.transactions), Ok(()));
    assert_eq!(
        merkle::transactions_root(&block.body.transactions),
        block.header.transactions_root
    );
    let hashes: Vec<Hash> = block
        .body
        .transactions
        .iter()
        .map(SignedTransaction::hash)
        .collect();
    assert_eq!(
        hex::encode(hashes[0].0),
        frozen.hashes["transaction_hash.transfer"]
    );
}

#[test]
fn domains_are_distinct_and_all_listed() {
    let tags: BTreeMap<[u8; 32], &str> = domains::ALL
        .iter()
        .map(|(name, Domain(tag))| (*tag, *name))
        .collect();
    assert_eq!(tags.len(), domains::ALL.len(), "two domains share a tag");
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/hash.rs")).unwrap();
    assert_eq!(
        source.matches(": Domain = Domain::new(").count(),
        domains::ALL.len(),
        "domains::ALL lacks one"
    );
}
