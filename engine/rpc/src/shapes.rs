//! The JSON of requests and answers. Conventions and the meaning of each shape: `docs/spec/rpc.md`.

use millrace_types::receipt::{Failure, Outcome};
use millrace_types::{
    Address, ExecutionReceipt, Gas, GasPrice, Hash, Header, Height, Log, Payload, SignedTransaction,
    TimestampMs, TransactionReceipt,
};
use serde::{Deserialize, Serialize};

use crate::encoding::{Bytes, Units};

/// Answer of `millrace_status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The node's version.
    pub version: String,
    /// The chain.
    pub chain_id: u64,
    /// Hash of the chain spec.
    pub chain_spec_hash: Hash,
    /// Hash of the genesis header.
    pub genesis_hash: Hash,
    /// Consensus id.
    pub consensus: String,
    /// All heights.
    pub heights: HeightsView,
    /// h - s(B) of the newest finalized block.
    pub lag: u64,
    /// The largest since the node started.
    pub max_lag: u64,
    /// What the pipeline tells proposers.
    pub pressure: PressureView,
    /// The pool of transactions.
    pub pool: PoolView,
    /// The consensus plugin.
    pub plugin: PluginView,
    /// What was counted since the node started.
    pub counters: CountersView,
    /// Why the engine takes no more blocks; null while it does.
    pub stopped: Option<String>,
}

/// Heights by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeightsView {
    /// Highest finalized block.
    pub finalized: Height,
    /// Newest head-chain block whose receipt is durable.
    pub executed: Height,
    /// What light clients see.
    pub settled: Height,
    /// min(finalized, executed).
    pub safe: Height,
    /// The head.
    pub pending: Height,
}

/// The pressure record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PressureView {
    /// Rung of the soft ladder by name.
    pub rung: String,
    /// Finalized blocks that would be taken now.
    pub credits_blocks: u64,
    /// Largest sum of gas limits for the next block.
    pub max_gas: Gas,
    /// Most bytes for it.
    pub max_bytes: u64,
    /// Least distance from its parent.
    pub min_interval_ms: u64,
    /// Age of the oldest block in flight.
    pub oldest_in_flight_ms: u64,
}

/// The pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolView {
    /// Transactions in it.
    pub transactions: u64,
    /// Their canonical bytes.
    pub bytes: u64,
}

/// The plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginView {
    /// Its name and version, as it gives them.
    pub name: String,
    /// `healthy`, or what is wrong.
    pub state: String,
}

/// Counters since the node started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountersView {
    /// Blocks finalized.
    pub blocks_finalized: u64,
    /// Blocks executed.
    pub blocks_executed: u64,
    /// Transactions executed.
    pub transactions_executed: u64,
    /// Gas charged to them.
    pub gas_charged: Gas,
    /// Largest number of finalized blocks that waited for execution.
    pub max_in_flight: u64,
    /// Finalized blocks answered "again" for want of a credit.
    pub submissions_refused: u64,
    /// Block requests that were declined for now.
    pub builds_declined: u64,
}

/// Answer of `millrace_chainSpec`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainSpecView {
    /// Its hash.
    pub hash: Hash,
    /// Its canonical bytes, which hash to that.
    pub encoded: Bytes,
    /// The same for people.
    pub spec: serde_json::Value,
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// How much of a block's transactions to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransactionDetail {
    /// Their hashes.
    #[default]
    Hashes,
    /// All of them.
    Full,
}

/// A block's transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TransactionsView {
    /// By hash.
    Hashes(Vec<Hash>),
    /// Whole.
    Full(Vec<TransactionView>),
}

/// A transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocatedTransactionView {
    /// The transaction.
    pub transaction: TransactionView,
    /// The block.
    pub block_hash: Hash,
    /// Its height.
    pub height: Height,
    /// The transaction's place in it.
    pub index: u32,
    /// The block is on the finalized chain.
    pub canonical: bool,
}

/// An execution receipt and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionReceiptView {
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
    /// The block is on the finalized chain.
    pub canonical: bool,
    /// Height of the finalized block that settles it.
    pub settled_by: Option<Height>,
}

impl ExecutionReceiptView {
    /// The view of `receipt`.
    #[must_use]
    pub fn new(receipt: &ExecutionReceipt, canonical: bool, settled_by: Option<Height>) -> Self {
        Self {
            height: receipt.height,
            block_hash: receipt.block_hash,
            status: "executed".to_owned(),
            post_state_root: receipt.post_state_root,
            transaction_receipts_root: receipt.transaction_receipts_root,
            gas_used: receipt.gas_used,
            gas_charged: receipt.gas_charged,
            canonical,
            settled_by,
        }
    }
}

/// A header and what certifies it, as canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedHeader {
    /// Canonical bytes of the header.
    pub header: Bytes,
    /// Its certificate; null for genesis.
    pub certificate: Option<Bytes>,
}

/// How a height was settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionReceiptView {
    /// The transaction.
    pub transaction_hash: Hash,
    /// The block.
    pub block_hash: Hash,
    /// Its height.
    pub height: Height,
    /// The block is on the finalized chain.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptProofView {
    /// Canonical bytes of the transaction receipt.
    pub receipt: Bytes,
    /// Canonical bytes of the Merkle inclusion proof.
    pub inclusion: Bytes,
}

/// Where a transaction is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum TransactionStatusView {
    /// Nowhere here.
    Unknown,
    /// In the pool.
    Pooled,
    /// In the pool, not ready.
    Held {
        /// Why, with its numbers.
        reason: String,
    },
    /// In a block that is not executed here yet.
    Included {
        /// The block.
        block_hash: Hash,
        /// Its height.
        height: Height,
        /// The place in it.
        index: u32,
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

/// The state that an answer was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateOrigin {
    /// The block's height.
    pub height: Height,
    /// The block.
    pub block_hash: Hash,
    /// Root of the state after it.
    pub state_root: Hash,
}

/// Answer of `millrace_getAccount`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// Where it was read; null for `pending`.
    pub origin: Option<StateOrigin>,
    /// The account.
    pub address: Address,
    /// There is a record.
    pub exists: bool,
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// Units held; null for `pending`.
    pub balance: Option<Units>,
    /// Hash of its code.
    pub code_hash: Option<Hash>,
    /// Canonical bytes of a state proof.
    pub proof: Option<Bytes>,
}

/// Answer of `millrace_getStorage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageView {
    /// Where it was read.
    pub origin: StateOrigin,
    /// The contract.
    pub contract: Address,
    /// The key.
    pub key: Bytes,
    /// The value; null when absent.
    pub value: Option<Bytes>,
    /// Canonical bytes of a state proof.
    pub proof: Option<Bytes>,
}

/// Answer of `millrace_getCode`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeView {
    /// Where it was read.
    pub origin: StateOrigin,
    /// The contract.
    pub contract: Address,
    /// Hash of its code; null without.
    pub code_hash: Option<Hash>,
    /// The ELF file; null without.
    pub code: Option<Bytes>,
    /// Canonical bytes of the state proof of the account record.
    pub account_proof: Option<Bytes>,
    /// Canonical bytes of the state proof of the code blob.
    pub code_proof: Option<Bytes>,
}

/// Parameter of `millrace_call`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallRequest {
    /// The contract.
    pub to: Address,
    /// The caller that it sees; the zero address by default.
    #[serde(default)]
    pub from: Option<Address>,
    /// Its input.
    #[serde(default)]
    pub input: Bytes,
    /// Units that it sees.
    #[serde(default)]
    pub value: Option<Units>,
    /// Gas it may use; the server's limit by default.
    #[serde(default)]
    pub gas_limit: Option<Gas>,
}

/// Answer of `millrace_call`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallResult {
    /// The state it ran on.
    pub origin: StateOrigin,
    /// `success`, `reverted`, `trapped`, or why it never ran.
    pub outcome: String,
    /// What it returned or reverted with.
    pub output: Bytes,
    /// Gas used.
    pub gas_used: Gas,
    /// Events that it would emit.
    pub logs: Vec<LogView>,
    /// Kind and place of the trap.
    pub trap: Option<String>,
}

/// What to subscribe to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Finalized blocks.
    Finalized,
    /// Executed blocks.
    Executed,
    /// Settled ranges.
    Settled,
}

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Counts this subscription's notifications from 0.
    pub sequence: u64,
    /// What happened.
    pub event: EventView,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventView {
    /// A block is finalized, body and certificate durable.
    Finalized {
        /// Its height.
        height: Height,
        /// Its hash.
        block_hash: Hash,
        /// Its transactions.
        transactions: u32,
    },
    /// A block is executed, its receipt durable.
    Executed {
        /// Its receipt.
        receipt: ExecutionReceiptView,
        /// Its transactions.
        transactions: u32,
    },
    /// A finalized block settled a range of heights.
    Settled {
        /// The lowest.
        from: Height,
        /// The highest.
        to: Height,
        /// Height of the settling block.
        by: Height,
        /// The settling block.
        by_hash: Hash,
    },
    /// The engine takes no more blocks; the last event.
    Stopped {
        /// Why.
        reason: String,
    },
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
