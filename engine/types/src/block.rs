//! Headers, bodies, blocks.

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::hash::domains;
use crate::merkle;
use crate::{
    Address, ChainSpec, ExecutionReceipt, ExecutionStatus, Gas, Hash, Height, SignedTransaction, TimestampMs,
    codec,
};

/// A block's header. It commits to consensus data and to the execution of *earlier* blocks only.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
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
    #[borsh(deserialize_with = "codec::bytes")]
    #[cfg_attr(feature = "serde", serde(with = "crate::json::bytes"))]
    pub consensus_data: Vec<u8>,
    /// Signatures over the pre-seal hash that are part of the block's identity; empty for most plugins. Bounded.
    #[borsh(deserialize_with = "codec::bytes")]
    #[cfg_attr(feature = "serde", serde(with = "crate::json::bytes"))]
    pub seal: Vec<u8>,
}

/// The one header version so far.
pub const HEADER_VERSION: u16 = 1;

/// The most bytes of a header beside its `consensus_data` and `seal`: their length prefixes are counted, and
/// `delayed_state_root` as present.
pub const HEADER_FIXED_BYTES: usize = 211;

impl Header {
    /// The header of height 0. Its every field follows from the chain spec and the root of the genesis state.
    #[must_use]
    pub fn genesis(spec: &ChainSpec, genesis_state_root: Hash) -> Self {
        Self {
            version: HEADER_VERSION,
            chain_id: spec.chain_id,
            height: 0,
            parent_hash: spec.hash(),
            timestamp_ms: spec.genesis_timestamp_ms,
            proposer: Address::default(),
            transactions_root: merkle::transactions_root(&[]),
            gas_limit: 0,
            settled_height: 0,
            settlement_hash: crate::receipt::settlement_hash(&[]),
            delayed_state_root: Some(genesis_state_root),
            consensus_data: Vec::new(),
            seal: Vec::new(),
        }
    }

    /// The block's id.
    #[must_use]
    pub fn hash(&self) -> Hash {
        codec::hash_of(&domains::BLOCK, self)
    }

    /// What seals sign: the header as if it had none.
    #[must_use]
    pub fn pre_seal_hash(&self) -> Hash {
        if self.seal.is_empty() {
            return codec::hash_of(&domains::PRE_SEAL, self);
        }
        codec::hash_of(
            &domains::PRE_SEAL,
            &Self {
                seal: Vec::new(),
                ..self.clone()
            },
        )
    }
}

impl ExecutionReceipt {
    /// The receipt that a genesis header implies. It is never carried. `None` if the header is no genesis header.
    #[must_use]
    pub fn of_genesis(header: &Header) -> Option<Self> {
        let (0, Some(post_state_root)) = (header.height, header.delayed_state_root) else {
            return None;
        };
        Some(Self {
            height: 0,
            block_hash: header.hash(),
            status: ExecutionStatus::Executed,
            post_state_root,
            transaction_receipts_root: merkle::receipts_root(&[]),
            gas_used: 0,
            gas_charged: 0,
        })
    }
}

/// What a block carries beside its header.
#[derive(Clone, PartialEq, Eq, Debug, Default, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Body {
    /// In order of execution.
    #[borsh(deserialize_with = "codec::list")]
    pub transactions: Vec<SignedTransaction>,
    /// Option B: receipts of the heights s(parent)+1 ..= s(B), in order. Empty under option A.
    #[borsh(deserialize_with = "codec::list")]
    pub receipts: Vec<ExecutionReceipt>,
}

/// A block.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
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
