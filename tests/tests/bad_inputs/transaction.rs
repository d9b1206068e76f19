//! Transactions that are not taken: over RPC by a development chain, and by an engine with a small pool.

use std::rc::Rc;

use millrace_mempool::PoolConfig;
use millrace_pipeline::EngineConfig;
use millrace_types::{Amount, Hash, Payload, SignedTransaction, Transaction, codec};
use serde_json::json;

use super::chain::{Chain, key, spec, transfer};
use super::process::{LazyNode, Node};
use super::{Case, case, check};

type Shared = Rc<LazyNode>;

fn unsigned(nonce: u64) -> Transaction {
    Transaction {
        chain_id: 4860,
        gas_price: 1,
        ..super::chain::unsigned(nonce)
    }
}

fn send_bytes(node: &Node, bytes: &[u8]) -> Result<Hash, String> {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let hash = node.call("millrace_sendTransaction", &json!([format!("0x{digits}")]))?;
    Ok(serde_json::from_value(hash).unwrap())
}

fn send(node: &Node, transaction: &SignedTransaction) -> Result<Hash, String> {
    send_bytes(node, &codec::encode(transaction))
}

/// What the node says to these bytes.
fn bytes(name: &'static str, node: &Shared, make: fn(&Node) -> Vec<u8>, expected: &'static str) -> Case {
    let node = Rc::clone(node);
    let submit = move || {
        let node = node.get();
        let result = send_bytes(node, &make(node));
        node.assert_well();
        result
    };
    case(name, submit, expected)
}

/// What the node says to this transaction of account 0, which sends none that is taken.
fn signed(name: &'static str, node: &Shared, edit: fn(&mut Transaction), expected: &'static str) -> Case {
    let node = Rc::clone(node);
    let submit = move || {
        let node = node.get();
        let mut transaction = unsigned(0);
        edit(&mut transaction);
        let result = send(node, &transaction.sign(&node.keys[0]));
        node.assert_well();
        result
    };
    case(name, submit, expected)
}

fn valid(node: &Node) -> Vec<u8> {
    codec::encode(&unsigned(0).sign(&node.keys[0]))
}

/// Chain, key, nonce, gas limit, gas price; then the payload's tag.
const TAG: usize = 8 + 32 + 8 + 8 + 8;

fn encoding_cases(node: &Shared) -> Vec<Case> {
    vec![
        bytes(
            "transaction: no bytes",
            node,
            |_| Vec::new(),
            "-32010 Malformed {size: 0} SignedTransaction: the input ends before the value does at byte 0 of 0; send the canonical (borsh) bytes of a signed transaction",
        ),
        bytes(
            "transaction: cut short",
            node,
            |node| valid(node)[..100].to_vec(),
            "-32010 Malformed {size: 100} SignedTransaction: the input ends before the value does at byte 100 of 100; send the canonical (borsh) bytes of a signed transaction",
        ),
        bytes(
            "transaction: bytes after its end",
            node,
            |node| [valid(node), vec![0]].concat(),
            "-32010 Malformed {size: 178} SignedTransaction: ends at byte 177, but 178 bytes were given; send the canonical (borsh) bytes of a signed transaction",
        ),
        bytes(
            "transaction: unknown payload",
            node,
            |node| {
                let mut bytes = valid(node);
                bytes[TAG] = 3;
                bytes
            },
            "-32010 Malformed {size: 177} SignedTransaction: Unexpected variant tag: 3 at byte 65 of 177; send the canonical (borsh) bytes of a signed transaction",
        ),
        bytes(
            "transaction: code of 4 GiB that is not there",
            node,
            |node| {
                let mut bytes = valid(node);
                bytes[TAG] = 1;
                bytes[TAG + 1..TAG + 5].fill(0xff);
                bytes
            },
            "-32010 Malformed {size: 177} SignedTransaction: a byte string passes the end of the input at byte 177 of 177; send the canonical (borsh) bytes of a signed transaction",
        ),
        bytes(
            "transaction: longer than the chain allows",
            node,
            |_| vec![0; (1 << 20) + 1],
            "-32010 TooLarge {limit: 1048576, size: 1048577} the transaction has 1048577 bytes, the chain allows 1048576",
        ),
    ]
}

fn rule_cases(node: &Shared) -> Vec<Case> {
    vec![
        signed(
            "transaction: for another chain",
            node,
            |transaction| transaction.chain_id = 1,
            "-32010 WrongChainId {expected: 4860, found: 1} the transaction is for chain 1, this is chain 4860; sign it for this one",
        ),
        signed(
            "transaction: too little gas",
            node,
            |transaction| transaction.gas_limit = 1_000,
            "-32010 GasLimitTooLow {intrinsic: 42944, limit: 1000} gas limit 1000, inclusion alone costs 42944; raise it",
        ),
        signed(
            "transaction: too little gas for its code",
            node,
            |transaction| {
                transaction.payload = Payload::Deploy {
                    code: vec![0; 10_000],
                    value: 0,
                    input: Vec::new(),
                };
            },
            "-32010 GasLimitTooLow {intrinsic: 502560, limit: 60000} gas limit 60000, inclusion alone costs 502560; raise it",
        ),
        signed(
            "transaction: more gas than a transaction may use",
            node,
            |transaction| transaction.gas_limit = 200_000_001,
            "-32010 GasLimitTooHigh {limit: 200000001, max: 200000000} gas limit 200000001, the chain allows 200000000 for one transaction; lower it",
        ),
        signed(
            "transaction: for nothing",
            node,
            |transaction| transaction.gas_price = 0,
            "-32010 GasPriceTooLow {min: 1, price: 0} gas price 0, the chain's minimum is 1",
        ),
        signed(
            "transaction: a cost above 128 bits",
            node,
            |transaction| {
                transaction.payload = Payload::Transfer {
                    to: key(0).address(),
                    value: Amount::MAX,
                };
            },
            "-32010 CostOverflow {} gas limit times price plus value passes 2^128; no account could pay it",
        ),
        signed(
            "transaction: a nonce too far ahead",
            node,
            |transaction| transaction.nonce = 1 << 40,
            "-32011 NonceTooFar {given: 1099511627776, max: 4095} nonce 1099511627776 is too far ahead; the pool keeps nonces up to 4095 of this account",
        ),
        bytes(
            "transaction: a signature with a bit changed",
            node,
            |node| {
                let mut bytes = valid(node);
                *bytes.last_mut().unwrap() ^= 1;
                bytes
            },
            "-32010 InvalidSignature {} the signature is not valid for the message and the public key",
        ),
        bytes(
            "transaction: signed, then changed",
            node,
            |node| {
                let mut signed = unsigned(0).sign(&node.keys[0]);
                signed.transaction.nonce = 1;
                codec::encode(&signed)
            },
            "-32010 InvalidSignature {} the signature is not valid for the message and the public key",
        ),
        bytes(
            "transaction: a signature that is not reduced",
            node,
            |node| {
                let mut bytes = valid(node);
                *bytes.last_mut().unwrap() |= 0xe0;
                bytes
            },
            "-32010 InvalidSignature {} the signature is not valid for the message and the public key",
        ),
        bytes(
            "transaction: a key off the curve",
            node,
            |node| {
                let mut signed = unsigned(0).sign(&node.keys[0]);
                // No y-coordinate of a point: x² would be no square.
                signed.transaction.public_key = [0; 32];
                signed.transaction.public_key[0] = 2;
                codec::encode(&signed)
            },
            "-32010 InvalidSignature {} the public key is no point of the curve",
        ),
    ]
}

fn pool_cases(node: &Shared) -> Vec<Case> {
    let (used, replaced) = (Rc::clone(node), Rc::clone(node));
    let used = move || {
        let node = used.get();
        let hash = send(node, &unsigned(0).sign(&node.keys[1]))?;
        let status = || {
            node.call("millrace_getTransactionStatus", &json!([hash]))
                .unwrap()
        };
        while !matches!(status()["status"].as_str(), Some("executed" | "settled")) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let mut again = unsigned(0);
        again.gas_price = 2;
        send(node, &again.sign(&node.keys[1]))
    };
    let replaced = move || {
        let node = replaced.get();
        // Nonce 0 is missing, so it stays in the pool.
        let mut transaction = unsigned(1);
        transaction.gas_price = 10;
        send(node, &transaction.clone().sign(&node.keys[2]))?;
        transaction.gas_limit += 1;
        send(node, &transaction.sign(&node.keys[2]))
    };
    vec![
        case(
            "transaction: a nonce that is used",
            used,
            "-32010 NonceTooLow {given: 0, next: 1} nonce 0 is used; the next of this account is 1",
        ),
        case(
            "transaction: a replacement that pays no more",
            replaced,
            "-32011 ReplacementUnderpriced {needed: 11, nonce: 1, price: 10} nonce 1 of this account is in the pool at price 10; a replacement must pay at least 11",
        ),
    ]
}

/// What an engine with room for three transactions says, two at most of one sender.
fn small_pool(
    name: &'static str,
    before: fn() -> Vec<SignedTransaction>,
    last: fn() -> SignedTransaction,
    expected: &'static str,
) -> Case {
    let submit = move || {
        let pool = PoolConfig {
            max_transactions: 3,
            max_per_sender: 2,
            ..PoolConfig::default()
        };
        let config = EngineConfig {
            pool,
            ..EngineConfig::default()
        };
        let chain = Chain::new(spec(), config);
        for transaction in before() {
            chain.engine.submit_transaction(transaction).unwrap();
        }
        chain.engine.submit_transaction(last())
    };
    case(name, submit, expected)
}

fn engine_cases() -> Vec<Case> {
    let stopped = || {
        let chain = Chain::new(spec(), EngineConfig::default());
        chain.engine.stop();
        chain.engine.submit_transaction(transfer(0, 0))
    };
    vec![
        small_pool(
            "transaction: a nonce beyond a small pool's reach",
            || vec![transfer(0, 0), transfer(0, 1)],
            || transfer(0, 2),
            "NonceTooFar: nonce 2 is too far ahead; the pool keeps nonces up to 1 of this account",
        ),
        small_pool(
            "transaction: none dearer in a full pool",
            || vec![transfer(0, 0), transfer(1, 0), transfer(2, 0)],
            || transfer(3, 0),
            "PoolFull: the pool is full (3 transactions, 531 bytes) and the cheapest in it pays 2; pay more or try again later",
        ),
        case(
            "transaction: after the engine has stopped",
            stopped,
            "Stopped: the engine takes no more transactions (Shutdown); send to another node, or restart this one",
        ),
    ]
}

pub fn cases() -> Vec<Case> {
    let node = Shared::default();
    let mut cases = encoding_cases(&node);
    cases.extend(rule_cases(&node));
    cases.extend(pool_cases(&node));
    cases.extend(engine_cases());
    cases
}

#[test]
fn transactions() {
    check("transaction", 20, &cases());
}
