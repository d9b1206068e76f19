//! A chain for tests: rich accounts, small limits.
#![allow(dead_code)]

use millrace_types::chain_spec::{ConsensusSpec, GenesisAccount, Limits, VersionActivation};
use millrace_types::{
    Address, Amount, ChainSpec, Commitment, Gas, Payload, SecretKey, SignedTransaction, Transaction,
};

/// Accounts that exist at genesis.
pub const ACCOUNTS: u8 = 16;
/// What each of them has.
pub const BALANCE: Amount = 1_000_000_000_000;

/// The key of account `n`.
pub fn key(n: u8) -> SecretKey {
    SecretKey::from_seed([n + 1; 32])
}

/// The address of account `n`.
pub fn address(n: u8) -> Address {
    key(n).address()
}

/// Option B, K = 4, age 1.
pub fn spec() -> ChainSpec {
    let mut accounts: Vec<GenesisAccount> = (0..ACCOUNTS)
        .map(|n| GenesisAccount {
            address: address(n),
            balance: BALANCE,
        })
        .collect();
    accounts.sort_by_key(|account| account.address);
    ChainSpec {
        name: "pipeline tests".to_owned(),
        chain_id: 7,
        genesis_timestamp_ms: 1_000,
        accounts,
        commitment: Commitment::ExecutionReceipts,
        max_receipt_lag: 4,
        receipt_age: 1,
        versions: vec![VersionActivation {
            height: 0,
            machine: 1,
            gas: 1,
        }],
        limits: Limits {
            block_gas: 30_000_000,
            block_bytes: 1 << 20,
            block_transactions: 64,
            transaction_gas: 10_000_000,
            transaction_bytes: 200_000,
            min_gas_price: 1,
            consensus_data_bytes: 64,
            seal_bytes: 128,
            call_depth: 8,
            transaction_pages: 4_096,
            return_bytes: 4_096,
            log_bytes: 4_096,
            journal_entries: 10_000,
            block_write_bytes: 1 << 24,
            timestamp_drift_ms: 10_000,
        },
        consensus: ConsensusSpec {
            id: "test/1".to_owned(),
            parameters: Vec::new(),
        },
    }
}

/// What a transfer's limit must be at least; a little more than its intrinsic gas.
pub const TRANSFER_GAS: u64 = 60_000;

/// A signed transfer.
pub fn transfer(from: u8, nonce: u64, to: Address, value: Amount) -> SignedTransaction {
    transfer_at(from, nonce, to, value, 1)
}

/// A signed transaction.
pub fn sign(from: u8, nonce: u64, gas_limit: Gas, gas_price: u64, payload: Payload) -> SignedTransaction {
    let transaction = Transaction {
        chain_id: spec().chain_id,
        public_key: [0; 32],
        nonce,
        gas_limit,
        gas_price,
        payload,
    };
    transaction.sign(&key(from))
}

/// A signed transfer at a gas price.
pub fn transfer_at(from: u8, nonce: u64, to: Address, value: Amount, gas_price: u64) -> SignedTransaction {
    sign(
        from,
        nonce,
        TRANSFER_GAS,
        gas_price,
        Payload::Transfer { to, value },
    )
}
