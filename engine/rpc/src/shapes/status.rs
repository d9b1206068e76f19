//! The node and its chain.

use millrace_types::{Gas, Hash, Height};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encoding::Bytes;

/// Answer of `millrace_status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolView {
    /// Transactions in it.
    pub transactions: u64,
    /// Their canonical bytes.
    pub bytes: u64,
}

/// The plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginView {
    /// Its name and version, as it gives them.
    pub name: String,
    /// `healthy`, or what is wrong.
    pub state: String,
}

/// Counters since the node started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChainSpecView {
    /// Its hash.
    pub hash: Hash,
    /// Its canonical bytes, which hash to that.
    pub encoded: Bytes,
    /// The same for people.
    pub spec: serde_json::Value,
}
