//! The chain spec: everything that nodes of one chain must have in common.

use alloc::string::String;
use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{Address, Amount, Gas, GasPrice, Hash, Height, TimestampMs};

/// How headers commit to earlier execution (`docs/design/consensus-execution-pipelining.md`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Commitment {
    /// Option A: the header carries the post-state root of s(B); receipts are only hashed.
    DelayedRoot,
    /// Option B, the default: the body carries the execution receipts.
    ExecutionReceipts,
}

/// A chain's constants. Its hash is the genesis header's parent.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct ChainSpec {
    /// A name for people; part of the hash like all else.
    pub name: String,
    /// Bound into every transaction and certificate.
    pub chain_id: u64,
    /// The genesis header's timestamp.
    pub genesis_timestamp_ms: TimestampMs,
    /// Accounts that exist at genesis, strictly ascending by address. Balances add up to less than 2^127.
    pub accounts: Vec<GenesisAccount>,
    /// Option A or B.
    pub commitment: Commitment,
    /// K: h - s(B) is at most this; at least 1.
    pub max_receipt_lag: u64,
    /// Proposers settle n only if h - n is at least this; 1 ..= K. Policy of proposers, never validity.
    pub receipt_age: u64,
    /// Versions in force, strictly ascending by height; the first is for height 0.
    pub versions: Vec<VersionActivation>,
    /// Bounds of blocks and transactions.
    pub limits: Limits,
    /// The consensus that certifies blocks.
    pub consensus: ConsensusSpec,
}

/// An account that exists at genesis.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct GenesisAccount {
    /// Where.
    pub address: Address,
    /// How much.
    pub balance: Amount,
}

/// Machine and gas versions from a height on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct VersionActivation {
    /// The first height they hold for.
    pub height: Height,
    /// Instruction set, memory layout, limits of programs.
    pub machine: u16,
    /// Weights of instructions and host calls.
    pub gas: u16,
}

/// Bounds of blocks and transactions (protocol rule 13). Every one is at least 1.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Limits {
    /// Gas limits of a block's transactions add up to at most this.
    pub block_gas: Gas,
    /// A block's canonical bytes.
    pub block_bytes: u32,
    /// A block's transactions.
    pub block_transactions: u32,
    /// One transaction's gas limit.
    pub transaction_gas: Gas,
    /// One transaction's canonical bytes.
    pub transaction_bytes: u32,
    /// Least gas price; at least 1. This part is burned.
    pub min_gas_price: GasPrice,
    /// A header's `consensus_data`.
    pub consensus_data_bytes: u32,
    /// A header's `seal`.
    pub seal_bytes: u32,
    /// Frames of one transaction: 1 allows no calls between contracts.
    pub call_depth: u32,
    /// Live 4 KiB pages over one transaction's whole call stack.
    pub transaction_pages: u32,
    /// Bytes of a frame's return data.
    pub return_bytes: u32,
    /// Bytes of one transaction's logs.
    pub log_bytes: u32,
    /// Journal entries of one transaction.
    pub journal_entries: u32,
    /// State bytes (keys and values) that one block may write. Admission bounds it through gas.
    pub block_write_bytes: u64,
    /// A proposal's timestamp may be this far ahead of a voter's clock.
    pub timestamp_drift_ms: u64,
}

/// Which consensus runs the chain.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct ConsensusSpec {
    /// The plugin's consensus id, for example `solo/1`; verifiers of certificates are found by it.
    pub id: String,
    /// Opaque to the engine: the plugin's own genesis parameters (validator keys and such).
    pub parameters: Vec<u8>,
}

impl ChainSpec {
    /// The chain spec's hash.
    #[must_use]
    pub fn hash(&self) -> Hash {
        crate::codec::hash_of(&crate::hash::domains::CHAIN_SPEC, self)
    }

    /// Versions in force at `height`.
    ///
    /// # Panics
    /// If the spec was not validated and has no version for height 0.
    #[must_use]
    pub fn versions_at(&self, height: Height) -> VersionActivation {
        *self.versions.iter().rev().find(|v| v.height <= height).expect("a valid spec has a version for height 0")
    }
}
