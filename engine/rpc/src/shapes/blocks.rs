//! Blocks, what certifies them, and what executing them came to.

use millrace_types::{Address, ExecutionReceipt, Gas, Hash, Header, Height, TimestampMs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TransactionsView;
use crate::encoding::Bytes;

/// A block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockView {
    /// Its hash.
    pub hash: Hash,
    /// Its header.
    pub header: HeaderView,
    /// On the finalized chain.
    pub finalized: bool,
    /// Its receipt is durable here.
    pub executed: bool,
    /// Hashes of its transactions, or the transactions.
    pub transactions: TransactionsView,
    /// Execution receipts that it carries (option B).
    pub receipts: Vec<ExecutionReceiptView>,
    /// Its canonical bytes.
    pub size: u64,
}

/// A header's fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeaderView {
    /// Format.
    pub version: u16,
    /// The chain.
    pub chain_id: u64,
    /// Distance from genesis.
    pub height: Height,
    /// Its parent.
    pub parent_hash: Hash,
    /// Its time.
    pub timestamp_ms: TimestampMs,
    /// Who gets the tips.
    pub proposer: Address,
    /// Merkle root over the transactions.
    pub transactions_root: Hash,
    /// Bound of the sum of gas limits.
    pub gas_limit: Gas,
    /// s(B).
    pub settled_height: Height,
    /// Hash of the receipts settled.
    pub settlement_hash: Hash,
    /// Option A: post-state root of s(B).
    pub delayed_state_root: Option<Hash>,
    /// The plugin's.
    pub consensus_data: Bytes,
    /// The plugin's.
    pub seal: Bytes,
}

impl From<Header> for HeaderView {
    fn from(header: Header) -> Self {
        Self {
            version: header.version,
            chain_id: header.chain_id,
            height: header.height,
            parent_hash: header.parent_hash,
            timestamp_ms: header.timestamp_ms,
            proposer: header.proposer,
            transactions_root: header.transactions_root,
            gas_limit: header.gas_limit,
            settled_height: header.settled_height,
            settlement_hash: header.settlement_hash,
            delayed_state_root: header.delayed_state_root,
            consensus_data: Bytes(header.consensus_data),
            seal: Bytes(header.seal),
        }
    }
}

impl From<HeaderView> for Header {
    fn from(view: HeaderView) -> Self {
        Self {
            version: view.version,
            chain_id: view.chain_id,
            height: view.height,
            parent_hash: view.parent_hash,
            timestamp_ms: view.timestamp_ms,
            proposer: view.proposer,
            transactions_root: view.transactions_root,
            gas_limit: view.gas_limit,
            settled_height: view.settled_height,
            settlement_hash: view.settlement_hash,
            delayed_state_root: view.delayed_state_root,
            consensus_data: view.consensus_data.0,
            seal: view.seal.0,
        }
    }
}

/// An execution receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptView {
    /// The block's height.
    pub height: Height,
    /// The block.
    pub block_hash: Hash,
    /// Always `executed`.
    pub status: String,
    /// Root of the state after it.
    pub post_state_root: Hash,
    /// Merkle root over its transactions' receipts.
    pub transaction_receipts_root: Hash,
    /// Gas used.
    pub gas_used: Gas,
    /// Gas paid for.
    pub gas_charged: Gas,
}

impl From<&ExecutionReceipt> for ReceiptView {
    fn from(receipt: &ExecutionReceipt) -> Self {
        Self {
            height: receipt.height,
            block_hash: receipt.block_hash,
            status: "executed".to_owned(),
            post_state_root: receipt.post_state_root,
            transaction_receipts_root: receipt.transaction_receipts_root,
            gas_used: receipt.gas_used,
            gas_charged: receipt.gas_charged,
        }
    }
}

/// An execution receipt and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutionReceiptView {
    /// The receipt; its fields stand beside the others.
    #[serde(flatten)]
    pub receipt: ReceiptView,
    /// The block is on the finalized chain, or above it on the head chain.
    pub canonical: bool,
    /// Height of the finalized block that settles it.
    pub settled_by: Option<Height>,
}

/// A header and what certifies it, as canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SealedHeader {
    /// Canonical bytes of the header.
    pub header: Bytes,
    /// Its certificate; null for genesis.
    pub certificate: Option<Bytes>,
}

/// How a height was settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Settlement {
    /// The height asked for.
    pub height: Height,
    /// Height of the finalized block that settles it.
    pub settled_by: Height,
    /// Canonical bytes of that block's header.
    pub header: Bytes,
    /// Canonical bytes of the list of receipts that its settlement hash commits to.
    pub receipts: Bytes,
}
