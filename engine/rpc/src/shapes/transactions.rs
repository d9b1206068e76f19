//! Transactions, their receipts, and where they are.

use millrace_mempool::Held;
use millrace_types::receipt::{Failure, Outcome};
use millrace_types::{
    Address, Gas, GasPrice, Hash, Height, Log, Payload, SignedTransaction, TransactionReceipt,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encoding::{Bytes, Units};

/// How much of a block's transactions to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransactionDetail {
    /// Their hashes.
    #[default]
    Hashes,
    /// All of them.
    Full,
}

/// A block's transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TransactionsView {
    /// By hash.
    Hashes(Vec<Hash>),
    /// Whole.
    Full(Vec<TransactionView>),
}

/// A transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TransactionView {
    /// Its hash.
    pub hash: Hash,
    /// The sender's address.
    pub sender: Address,
    /// The sender's key.
    pub public_key: Bytes,
    /// Its place among the sender's.
    pub nonce: u64,
    /// Gas it may use.
    pub gas_limit: Gas,
    /// Units per gas.
    pub gas_price: GasPrice,
    /// `transfer`, `deploy` or `call`.
    pub kind: String,
    /// Receiver or contract called.
    pub to: Option<Address>,
    /// Units moved.
    pub value: Units,
    /// Input of the call or the initialiser.
    pub input: Bytes,
    /// Bytes of code deployed; the code itself is in the canonical bytes.
    pub code_size: u64,
    /// Canonical bytes.
    pub encoded: Bytes,
}

impl From<&SignedTransaction> for TransactionView {
    fn from(signed: &SignedTransaction) -> Self {
        let transaction = &signed.transaction;
        let (kind, to, input, code_size) = match &transaction.payload {
            Payload::Transfer { to, .. } => ("transfer", Some(*to), Vec::new(), 0),
            Payload::Deploy { code, input, .. } => ("deploy", None, input.clone(), code.len() as u64),
            Payload::Call { to, input, .. } => ("call", Some(*to), input.clone(), 0),
        };
        Self {
            hash: signed.hash(),
            sender: signed.sender(),
            public_key: Bytes(transaction.public_key.to_vec()),
            nonce: transaction.nonce,
            gas_limit: transaction.gas_limit,
            gas_price: transaction.gas_price,
            kind: kind.to_owned(),
            to,
            value: Units(transaction.payload.value()),
            input: Bytes(input),
            code_size,
            encoded: Bytes::of(signed),
        }
    }
}

/// A transaction and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LocatedTransactionView {
    /// The transaction.
    pub transaction: TransactionView,
    /// The block.
    pub block_hash: Hash,
    /// Its height.
    pub height: Height,
    /// The transaction's place in it.
    pub index: u32,
    /// The block is on the finalized chain, or above it on the head chain.
    pub canonical: bool,
}

/// A log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogView {
    /// The contract.
    pub address: Address,
    /// Indexed words.
    pub topics: Vec<Hash>,
    /// The rest.
    pub data: Bytes,
}

impl From<&Log> for LogView {
    fn from(log: &Log) -> Self {
        Self {
            address: log.address,
            topics: log.topics.clone(),
            data: Bytes(log.data.clone()),
        }
    }
}

/// A transaction's receipt and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TransactionReceiptView {
    /// The transaction.
    pub transaction_hash: Hash,
    /// The block.
    pub block_hash: Hash,
    /// Its height.
    pub height: Height,
    /// The block is on the finalized chain, or above it on the head chain.
    pub canonical: bool,
    /// Its place in the block.
    pub index: u32,
    /// `success`, `reverted`, `trapped`, or why it never ran.
    pub outcome: String,
    /// Gas executed.
    pub gas_used: Gas,
    /// Gas paid for.
    pub gas_charged: Gas,
    /// What the contract returned or reverted with.
    pub output: Bytes,
    /// Events.
    pub logs: Vec<LogView>,
    /// The contract that it created.
    pub created: Option<Address>,
    /// Height of the finalized block that settles it.
    pub settled_by: Option<Height>,
    /// Canonical bytes of receipt and inclusion proof, when asked for.
    pub proof: Option<ReceiptProofView>,
}

/// What ties a transaction's receipt to its block's execution receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptProofView {
    /// Canonical bytes of the transaction receipt.
    pub receipt: Bytes,
    /// Canonical bytes of the Merkle inclusion proof.
    pub inclusion: Bytes,
}

/// Where a transaction is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum TransactionStatusView {
    /// Nowhere here.
    Unknown,
    /// In the pool.
    Pooled,
    /// In the pool, not ready.
    Held {
        /// Why.
        reason: HeldView,
    },
    /// In a block that is not executed here yet.
    Included {
        /// The block.
        block_hash: Hash,
        /// Its height.
        height: Height,
        /// The place in it.
        index: u32,
        /// The block is on the finalized chain, or above it on the head chain.
        canonical: bool,
    },
    /// Executed here; not settled by a finalized block yet.
    Executed {
        /// The block.
        block_hash: Hash,
        /// Its height.
        height: Height,
        /// The place in it.
        index: u32,
        /// How it ended.
        outcome: String,
        /// The block is on the finalized chain, or above it on the head chain.
        canonical: bool,
    },
    /// Executed, and the receipt settled by a finalized block.
    Settled {
        /// The block.
        block_hash: Hash,
        /// Its height.
        height: Height,
        /// The place in it.
        index: u32,
        /// How it ended.
        outcome: String,
        /// Height of the settling block.
        settled_by: Height,
    },
}

/// Why a pooled transaction is not ready. Each passes by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name")]
pub enum HeldView {
    /// What is settled does not cover what comes before it and itself.
    InsufficientSettledFunds {
        /// Balance in the settled state.
        settled: Units,
        /// Worst case of what is in flight and before it in the pool.
        reserved: Units,
        /// Its own worst case.
        needed: Units,
    },
    /// An earlier nonce is missing.
    NonceGap {
        /// The first that is missing.
        expected: u64,
        /// Its own.
        found: u64,
    },
}

impl From<Held> for HeldView {
    fn from(reason: Held) -> Self {
        match reason {
            Held::InsufficientSettledFunds {
                settled,
                reserved,
                needed,
            } => Self::InsufficientSettledFunds {
                settled: Units(settled),
                reserved: Units(reserved),
                needed: Units(needed),
            },
            Held::NonceGap { expected, found } => Self::NonceGap { expected, found },
        }
    }
}

/// A receipt's outcome as one word.
#[must_use]
pub fn outcome_name(receipt: &TransactionReceipt) -> String {
    outcome_word(&receipt.outcome).to_owned()
}

/// An outcome as one word.
#[must_use]
pub fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Reverted => "reverted",
        Outcome::Trapped => "trapped",
        Outcome::Failed(Failure::NoCode) => "no_code",
        Outcome::Failed(Failure::InvalidProgram) => "invalid_program",
        Outcome::Failed(Failure::AddressCollision) => "address_collision",
    }
}
