//! One sample of every type, and strategies for random ones.
#![allow(dead_code, reason = "each test file uses a part")]

use millrace_types::certificate::SOLO_CONSENSUS_ID;
use millrace_types::chain_spec::{ConsensusSpec, GenesisAccount};
use millrace_types::receipt::{Failure, Outcome};
use millrace_types::state::Account;
use millrace_types::{
    Address, Block, Body, ChainSpec, ExecutionReceipt, ExecutionStatus, Hash, Header, Log, Payload,
    SecretKey, SignedTransaction, SoloCertificate, Statement, Transaction, TransactionReceipt, merkle,
    receipt,
};
use proptest::collection::vec;
use proptest::prelude::*;

pub fn hash(byte: u8) -> Hash {
    Hash([byte; 32])
}

pub fn address(byte: u8) -> Address {
    Address([byte; 32])
}

pub fn key() -> SecretKey {
    SecretKey::from_seed([7; 32])
}

pub fn spec() -> ChainSpec {
    let account = |byte, balance| GenesisAccount {
        address: address(byte),
        balance,
    };
    let consensus = ConsensusSpec {
        id: SOLO_CONSENSUS_ID.into(),
        parameters: key().public_key().0.to_vec(),
    };
    let accounts = vec![account(9, 5), account(1, 10_u128.pow(24))];
    let mut spec = ChainSpec::development(42, 1_760_000_000_000, accounts, consensus);
    // As it was when the bytes were frozen; development chains follow the newest rules.
    spec.versions[0].gas = 1;
    spec
}

pub fn transaction(payload: Payload) -> Transaction {
    Transaction {
        chain_id: 42,
        public_key: key().public_key().0,
        nonce: 3,
        gas_limit: 100_000,
        gas_price: 2,
        payload,
    }
}

pub fn payloads() -> [Payload; 3] {
    [
        Payload::Transfer {
            to: address(0x22),
            value: 1_000,
        },
        Payload::Deploy {
            code: vec![0x7f, b'E', b'L', b'F'],
            value: 0,
            input: vec![1, 2],
        },
        Payload::Call {
            to: address(0x33),
            value: u128::MAX,
            input: vec![],
        },
    ]
}

pub fn signed(payload: Payload) -> SignedTransaction {
    transaction(payload).sign(&key())
}

pub fn transactions(count: u64) -> Vec<SignedTransaction> {
    (0..count)
        .map(|nonce| {
            let payload = Payload::Transfer {
                to: address(nonce as u8),
                value: nonce.into(),
            };
            Transaction {
                nonce,
                ..transaction(payload)
            }
            .sign(&key())
        })
        .collect()
}

pub fn log() -> Log {
    Log {
        address: address(0x44),
        topics: vec![hash(1), hash(2)],
        data: vec![5, 6, 7],
    }
}

pub fn transaction_receipt(index: u32, outcome: Outcome) -> TransactionReceipt {
    TransactionReceipt {
        transaction_hash: hash(0x55),
        index,
        outcome,
        gas_used: 21_000,
        gas_charged: 50_000,
        output: vec![9],
        logs: vec![log()],
        created: Some(address(0x66)),
    }
}

pub fn execution_receipt(height: u64) -> ExecutionReceipt {
    ExecutionReceipt {
        height,
        block_hash: hash(height as u8),
        status: ExecutionStatus::Executed,
        post_state_root: hash(0xa0),
        transaction_receipts_root: hash(0xb0),
        gas_used: 1,
        gas_charged: 2,
    }
}

pub fn header() -> Header {
    Header {
        version: 1,
        chain_id: 42,
        height: 6,
        parent_hash: hash(5),
        timestamp_ms: 1_760_000_006_000,
        proposer: address(0x77),
        transactions_root: merkle::transactions_root(&payloads().map(signed)),
        gas_limit: 1_000_000,
        settled_height: 5,
        settlement_hash: receipt::settlement_hash(&[execution_receipt(4), execution_receipt(5)]),
        delayed_state_root: None,
        consensus_data: vec![0xcd],
        seal: vec![0x5e, 0xa1],
    }
}

pub fn body() -> Body {
    Body {
        transactions: payloads().map(signed).to_vec(),
        receipts: vec![execution_receipt(4), execution_receipt(5)],
    }
}

pub fn block() -> Block {
    Block {
        header: header(),
        body: body(),
    }
}

pub fn statement() -> Statement {
    Statement {
        chain_id: 42,
        consensus_id: SOLO_CONSENSUS_ID.into(),
        view: 8,
        block_hash: hash(6),
    }
}

pub fn certificate() -> SoloCertificate {
    SoloCertificate::sign(42, 8, hash(6), &key())
}

pub fn account() -> Account {
    Account {
        nonce: 1,
        balance: 1 << 100,
        code_hash: Some(hash(0xcc)),
    }
}

fn any_hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

fn any_address() -> impl Strategy<Value = Address> {
    any::<[u8; 32]>().prop_map(Address)
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..200)
}

pub fn any_payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        (any_address(), any::<u128>()).prop_map(|(to, value)| Payload::Transfer { to, value }),
        (any_bytes(), any::<u128>(), any_bytes()).prop_map(|(code, value, input)| Payload::Deploy {
            code,
            value,
            input
        }),
        (any_address(), any::<u128>(), any_bytes()).prop_map(|(to, value, input)| Payload::Call {
            to,
            value,
            input
        }),
    ]
}

pub fn any_transaction() -> impl Strategy<Value = SignedTransaction> {
    let signature = prop::array::uniform32(any::<u16>()).prop_map(|halves| {
        let mut signature = [0; 64];
        halves
            .iter()
            .zip(signature.chunks_mut(2))
            .for_each(|(half, to)| to.copy_from_slice(&half.to_le_bytes()));
        signature
    });
    (any::<[u64; 4]>(), any::<[u8; 32]>(), any_payload(), signature).prop_map(
        |([chain_id, nonce, gas_limit, gas_price], public_key, payload, signature)| {
            let transaction = Transaction {
                chain_id,
                public_key,
                nonce,
                gas_limit,
                gas_price,
                payload,
            };
            SignedTransaction {
                transaction,
                signature,
            }
        },
    )
}

pub fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop::sample::select(vec![
        Outcome::Success,
        Outcome::Reverted,
        Outcome::Trapped,
        Outcome::Failed(Failure::NoCode),
        Outcome::Failed(Failure::InvalidProgram),
        Outcome::Failed(Failure::AddressCollision),
    ])
}

pub fn any_transaction_receipt() -> impl Strategy<Value = TransactionReceipt> {
    let log = (any_address(), vec(any_hash(), 0..5), any_bytes());
    let log = log.prop_map(|(address, topics, data)| Log {
        address,
        topics,
        data,
    });
    let created = prop::option::of(any_address());
    let fields = (
        any_hash(),
        any::<u32>(),
        any_outcome(),
        any::<[u64; 2]>(),
        any_bytes(),
        vec(log, 0..4),
        created,
    );
    fields.prop_map(
        |(transaction_hash, index, outcome, [gas_used, gas_charged], output, logs, created)| {
            TransactionReceipt {
                transaction_hash,
                index,
                outcome,
                gas_used,
                gas_charged,
                output,
                logs,
                created,
            }
        },
    )
}

pub fn any_execution_receipt() -> impl Strategy<Value = ExecutionReceipt> {
    (any::<[u64; 3]>(), any_hash(), any_hash(), any_hash()).prop_map(
        |([height, gas_used, gas_charged], block_hash, post_state_root, transaction_receipts_root)| {
            ExecutionReceipt {
                height,
                block_hash,
                status: ExecutionStatus::Executed,
                post_state_root,
                transaction_receipts_root,
                gas_used,
                gas_charged,
            }
        },
    )
}

pub fn any_header() -> impl Strategy<Value = Header> {
    let hashes = (any_hash(), any_hash(), any_hash(), prop::option::of(any_hash()));
    let u64s = any::<[u64; 4]>();
    let numbers = (any::<u16>(), any::<u64>(), u64s);
    (hashes, numbers, any_address(), any_bytes(), any_bytes()).prop_map(
        |(hashes, numbers, proposer, consensus_data, seal)| {
            let (parent_hash, transactions_root, settlement_hash, delayed_state_root) = hashes;
            let (version, chain_id, [height, timestamp_ms, gas_limit, settled_height]) = numbers;
            Header {
                version,
                chain_id,
                height,
                parent_hash,
                timestamp_ms,
                proposer,
                transactions_root,
                gas_limit,
                settled_height,
                settlement_hash,
                delayed_state_root,
                consensus_data,
                seal,
            }
        },
    )
}

pub fn any_block() -> impl Strategy<Value = Block> {
    let body = (vec(any_transaction(), 0..4), vec(any_execution_receipt(), 0..4)).prop_map(
        |(transactions, receipts)| Body {
            transactions,
            receipts,
        },
    );
    (any_header(), body).prop_map(|(header, body)| Block { header, body })
}
