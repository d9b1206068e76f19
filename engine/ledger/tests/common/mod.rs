//! Small chains for the ledger's tests.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "every test binary uses its own part"
)]

use std::path::Path;

use millrace_ledger::Ledger;
use millrace_types::chain_spec::{ChainSpec, Commitment, ConsensusSpec, Limits, VersionActivation};
use millrace_types::{
    Address, Block, Body, ExecutionReceipt, ExecutionStatus, Hash, Header, Payload, SignedTransaction,
    Transaction,
};

pub fn spec(name: &str) -> ChainSpec {
    ChainSpec {
        name: name.into(),
        chain_id: 1,
        genesis_timestamp_ms: 0,
        accounts: Vec::new(),
        commitment: Commitment::ExecutionReceipts,
        max_receipt_lag: 4,
        receipt_age: 1,
        versions: vec![VersionActivation {
            height: 0,
            machine: 1,
            gas: 1,
        }],
        limits: Limits {
            block_gas: 1,
            block_bytes: 1,
            block_transactions: 1,
            transaction_gas: 1,
            transaction_bytes: 1,
            min_gas_price: 1,
            consensus_data_bytes: 1,
            seal_bytes: 1,
            call_depth: 1,
            transaction_pages: 1,
            return_bytes: 1,
            log_bytes: 1,
            journal_entries: 1,
            block_write_bytes: 1,
            timestamp_drift_ms: 1,
        },
        consensus: ConsensusSpec {
            id: "solo/1".into(),
            parameters: Vec::new(),
        },
    }
}

pub fn transaction(nonce: u64) -> SignedTransaction {
    SignedTransaction {
        transaction: Transaction {
            chain_id: 1,
            public_key: [7; 32],
            nonce,
            gas_limit: 1,
            gas_price: 1,
            payload: Payload::Transfer {
                to: Address([1; 32]),
                value: 5,
            },
        },
        signature: [9; 64],
    }
}

pub fn block(height: u64, parent: Hash, settled_height: u64, transactions: Vec<SignedTransaction>) -> Block {
    let header = Header {
        version: 1,
        chain_id: 1,
        height,
        parent_hash: parent,
        timestamp_ms: height,
        proposer: Address::default(),
        transactions_root: Hash::ZERO,
        gas_limit: 0,
        settled_height,
        settlement_hash: Hash::ZERO,
        delayed_state_root: None,
        consensus_data: Vec::new(),
        seal: Vec::new(),
    };
    Block {
        header,
        body: Body {
            transactions,
            receipts: Vec::new(),
        },
    }
}

pub fn receipt(block: &Block, root: u8) -> ExecutionReceipt {
    ExecutionReceipt {
        height: block.header.height,
        block_hash: block.hash(),
        status: ExecutionStatus::Executed,
        post_state_root: Hash([root; 32]),
        transaction_receipts_root: Hash::ZERO,
        gas_used: 1,
        gas_charged: 1,
    }
}

pub fn open(path: &Path) -> Ledger {
    Ledger::open(path, &spec("one")).unwrap()
}
