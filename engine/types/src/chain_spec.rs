//! The chain spec: everything that nodes of one chain must have in common.
//!
//! People write it as JSON (feature `serde`); nodes hash its borsh bytes. [`ChainSpec::validate`] says what a spec
//! must hold; whoever reads one calls it before anything else.

use alloc::string::String;
use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec::{self, Keyed};
use crate::{Address, Amount, Gas, GasPrice, Hash, Height, TimestampMs};

mod validate;

pub use validate::{ChainSpecError, InvalidChainSpec, MAX_RECEIPT_LAG};

/// How headers commit to earlier execution (`docs/design/consensus-execution-pipelining.md`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Commitment {
    /// Option A: the header carries the post-state root of s(B); receipts are only hashed.
    DelayedRoot,
    /// Option B, the default: the body carries the execution receipts.
    ExecutionReceipts,
}

/// A chain's constants. Its hash is the genesis header's parent.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct ChainSpec {
    /// A name for people; part of the hash like all else.
    #[borsh(deserialize_with = "codec::text")]
    pub name: String,
    /// Bound into every transaction and certificate.
    pub chain_id: u64,
    /// The genesis header's timestamp.
    pub genesis_timestamp_ms: TimestampMs,
    /// Accounts that exist at genesis, strictly ascending by address. Balances add up to less than 2^127.
    #[borsh(deserialize_with = "codec::ascending")]
    pub accounts: Vec<GenesisAccount>,
    /// Option A or B.
    pub commitment: Commitment,
    /// K: h - s(B) is at most this; at least 1.
    pub max_receipt_lag: u64,
    /// Proposers settle n only if h - n is at least this; 1 ..= K. Policy of proposers, never validity.
    pub receipt_age: u64,
    /// Versions in force, strictly ascending by height; the first is for height 0.
    #[borsh(deserialize_with = "codec::ascending")]
    pub versions: Vec<VersionActivation>,
    /// Bounds of blocks and transactions.
    pub limits: Limits,
    /// The consensus that certifies blocks.
    pub consensus: ConsensusSpec,
}

/// An account that exists at genesis.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct GenesisAccount {
    /// Where.
    pub address: Address,
    /// How much.
    #[cfg_attr(feature = "serde", serde(with = "crate::json::amount"))]
    pub balance: Amount,
}

/// Machine and gas versions from a height on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
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
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
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
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct ConsensusSpec {
    /// The plugin's consensus id, for example `solo/1`; verifiers of certificates are found by it.
    #[borsh(deserialize_with = "codec::text")]
    pub id: String,
    /// Opaque to the engine: the plugin's own genesis parameters (validator keys and such).
    #[borsh(deserialize_with = "codec::bytes")]
    #[cfg_attr(feature = "serde", serde(with = "crate::json::bytes"))]
    pub parameters: Vec<u8>,
}

/// The most bytes of an encoded chain spec: room for a quarter of a million genesis accounts.
pub const MAX_CHAIN_SPEC_BYTES: usize = 16 << 20;

impl Keyed for GenesisAccount {
    type Key = Address;
    fn key(&self) -> Address {
        self.address
    }
}

impl Keyed for VersionActivation {
    type Key = Height;
    fn key(&self) -> Height {
        self.height
    }
}

impl Limits {
    /// Limits for `millrace dev`: generous to contracts, sized so that a full block executes within about a second
    /// on one core in the slowest tier.
    #[must_use]
    pub fn development() -> Self {
        Self {
            block_gas: 1_000_000_000,
            block_bytes: 8 << 20,
            block_transactions: 10_000,
            transaction_gas: 200_000_000,
            transaction_bytes: 1 << 20,
            min_gas_price: 1,
            consensus_data_bytes: 4 << 10,
            seal_bytes: 4 << 10,
            call_depth: 64,
            transaction_pages: 16 << 10,
            return_bytes: 256 << 10,
            log_bytes: 1 << 20,
            journal_entries: 100_000,
            block_write_bytes: 64 << 20,
            timestamp_drift_ms: 2_000,
        }
    }

    /// The most bytes of a header.
    #[must_use]
    pub fn header_bytes(&self) -> usize {
        crate::block::HEADER_FIXED_BYTES
            .saturating_add(self.consensus_data_bytes as usize)
            .saturating_add(self.seal_bytes as usize)
    }
}

impl ChainSpec {
    /// A spec for `millrace dev`: option B, K = 4, machine and gas version 1, [`Limits::development`]. Accounts may
    /// come in any order; [`ChainSpec::validate`] still has the last word on them.
    #[must_use]
    pub fn development(
        chain_id: u64,
        genesis_timestamp_ms: TimestampMs,
        mut accounts: Vec<GenesisAccount>,
        consensus: ConsensusSpec,
    ) -> Self {
        accounts.sort_by_key(|account| account.address);
        Self {
            name: "development".into(),
            chain_id,
            genesis_timestamp_ms,
            accounts,
            commitment: Commitment::ExecutionReceipts,
            max_receipt_lag: 4,
            receipt_age: 1,
            versions: alloc::vec![VersionActivation {
                height: 0,
                machine: 1,
                gas: 2
            }],
            limits: Limits::development(),
            consensus,
        }
    }

    /// Decodes a spec from its canonical bytes and validates it.
    ///
    /// # Errors
    /// If the bytes are not canonical, too many, or the spec is not valid.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReadChainSpecError> {
        let spec: Self = codec::decode(bytes, MAX_CHAIN_SPEC_BYTES)?;
        spec.validate()?;
        Ok(spec)
    }

    /// The chain spec's hash.
    #[must_use]
    pub fn hash(&self) -> Hash {
        codec::hash_of(&crate::hash::domains::CHAIN_SPEC, self)
    }

    /// Versions in force at `height`.
    ///
    /// # Panics
    /// If the spec was not validated and has no version for height 0.
    #[must_use]
    pub fn versions_at(&self, height: Height) -> VersionActivation {
        *self
            .versions
            .iter()
            .rev()
            .find(|v| v.height <= height)
            .expect("a valid spec has a version for height 0")
    }
}

/// Why bytes are no valid chain spec.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadChainSpecError {
    /// Not canonical, or too many.
    #[error(transparent)]
    Decode(#[from] codec::DecodeError),
    /// Decoded, but not valid.
    #[error(transparent)]
    Invalid(#[from] InvalidChainSpec),
}
