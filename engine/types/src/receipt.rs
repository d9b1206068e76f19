//! What execution leaves behind: one receipt per transaction, one per block.

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::hash::domains;
use crate::{Address, Gas, Hash, Height, codec};

/// Bytes of an [`ExecutionReceipt`]'s encoding, all of which are as long.
pub const EXECUTION_RECEIPT_BYTES: usize = 121;

/// A block's execution status. Execution cannot fail a block, so there is one value, and no other decodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum ExecutionStatus {
    /// Executed.
    Executed,
}

/// The outcome of executing a block: a function of the block's hash.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct ExecutionReceipt {
    /// The block's height.
    pub height: Height,
    /// The block.
    pub block_hash: Hash,
    /// Always `Executed`.
    pub status: ExecutionStatus,
    /// Root of the state after the block.
    pub post_state_root: Hash,
    /// Merkle root over the transaction receipts.
    pub transaction_receipts_root: Hash,
    /// Gas that its transactions used.
    pub gas_used: Gas,
    /// Gas that its transactions paid for: max(used, ceil(limit / 2)) each.
    pub gas_charged: Gas,
}

/// The hash that a header carries for the receipts it settles. [`Hash::ZERO`] for none.
#[must_use]
pub fn settlement_hash(receipts: &[ExecutionReceipt]) -> Hash {
    if receipts.is_empty() {
        Hash::ZERO
    } else {
        codec::hash_of(&domains::SETTLEMENT, receipts)
    }
}

/// How a transaction ended. Every outcome uses the nonce and pays.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Outcome {
    /// Its effects stand.
    Success,
    /// The contract reverted; effects undone; unused gas given back.
    Reverted,
    /// The contract trapped; effects undone; the whole gas limit used.
    Trapped,
    /// It never ran a contract, for this reason. Value stays with the sender.
    Failed(Failure),
}

/// Why a transaction never ran a contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Failure {
    /// A call to an address without code.
    NoCode,
    /// A deploy whose bytes are no valid program; the transaction carried them anyway.
    InvalidProgram,
    /// A deploy to an address that has code already.
    AddressCollision,
}

/// The most topics of a log; a log with more does not decode.
pub const MAX_TOPICS: u32 = 4;

/// An event that a contract emitted in a frame that was not undone.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Log {
    /// The contract.
    pub address: Address,
    /// Indexed words; at most four.
    #[borsh(deserialize_with = "codec::short_list::<MAX_TOPICS, _, _>")]
    pub topics: Vec<Hash>,
    /// Anything.
    #[borsh(deserialize_with = "codec::bytes")]
    #[cfg_attr(feature = "serde", serde(with = "crate::json::bytes"))]
    pub data: Vec<u8>,
}

/// One transaction's outcome.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct TransactionReceipt {
    /// The transaction.
    pub transaction_hash: Hash,
    /// Its place in the block.
    pub index: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Gas executed, intrinsic gas included.
    pub gas_used: Gas,
    /// Gas paid for.
    pub gas_charged: Gas,
    /// What the contract returned or reverted with. Bounded by the chain spec.
    #[borsh(deserialize_with = "codec::bytes")]
    #[cfg_attr(feature = "serde", serde(with = "crate::json::bytes"))]
    pub output: Vec<u8>,
    /// Events, in order of emission; empty unless `Success`.
    #[borsh(deserialize_with = "codec::list")]
    pub logs: Vec<Log>,
    /// The contract that a successful deploy created.
    pub created: Option<Address>,
}
