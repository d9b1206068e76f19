//! Headers, bodies, blocks.

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{Address, ExecutionReceipt, Gas, Hash, Height, SignedTransaction, TimestampMs};

/// A block's header. It commits to consensus data and to the execution of *earlier* blocks only.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// Format of header and body; see [`crate::block::HEADER_VERSION`].
    pub version: u16,
    /// The chain.
    pub chain_id: u64,
    /// Distance from genesis.
    pub height: Height,
    /// Hash of the parent's header. The chain spec's hash in the genesis header.
    pub parent_hash: Hash,
    /// Milliseconds since the epoch; not less than the parent's.
    pub timestamp_ms: TimestampMs,
    /// Who receives the block's tips.
    pub proposer: Address,
    /// Merkle root over the transactions ([`crate::merkle`]).
    pub transactions_root: Hash,
    /// The most gas that the limits of its transactions may add up to.
    pub gas_limit: Gas,
    /// s(B): the newest height whose execution this block or an ancestor settles.
    pub settled_height: Height,
    /// Hash of the list of execution receipts for s(parent)+1 ..= s(B) ([`crate::receipt::settlement_hash`]).
    pub settlement_hash: Hash,
    /// Option A: the post-state root of s(B). `None` under option B. The genesis header carries the genesis root
    /// here under both.
    pub delayed_state_root: Option<Hash>,
    /// Opaque to the engine; bounded by the chain spec.
    pub consensus_data: Vec<u8>,
    /// Signatures over the pre-seal hash that are part of the block's identity; empty for most plugins. Bounded.
    pub seal: Vec<u8>,
}

/// The one header version so far.
pub const HEADER_VERSION: u16 = 1;

impl Header {
    /// The block's id.
    #[must_use]
    pub fn hash(&self) -> Hash {
        crate::codec::hash_of(&crate::hash::domains::BLOCK, self)
    }
}

/// What a block carries beside its header.
#[derive(Clone, PartialEq, Eq, Debug, Default, BorshSerialize, BorshDeserialize)]
pub struct Body {
    /// In order of execution.
    pub transactions: Vec<SignedTransaction>,
    /// Option B: receipts of the heights s(parent)+1 ..= s(B), in order. Empty under option A.
    pub receipts: Vec<ExecutionReceipt>,
}

/// A block.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// Its header.
    pub header: Header,
    /// Its body.
    pub body: Body,
}

impl Block {
    /// The block's id: the hash of its header, which commits to the body.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.header.hash()
    }
}
