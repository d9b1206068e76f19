//! Subscriptions: what may be asked for, and what is told.

use millrace_pipeline::BlockRef;
use millrace_types::{Gas, Hash, Height};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LogFilterView, PlacedLogView, ReceiptView};

/// What to subscribe to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Finalized blocks.
    Finalized,
    /// Executed blocks of the head chain, and those that a reorg took back.
    Executed,
    /// Settled ranges.
    Settled,
    /// Moves of the head.
    Head,
    /// Every transaction of the blocks that `executed` tells of.
    Transactions,
    /// Logs of these blocks.
    Logs(LogFilterView),
}

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notification {
    /// Counts this subscription's notifications from 0.
    pub sequence: u64,
    /// What happened.
    pub event: EventView,
}

/// A block's place and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockRefView {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub block_hash: Hash,
}

impl From<&BlockRef> for BlockRefView {
    fn from(block: &BlockRef) -> Self {
        Self {
            height: block.height,
            block_hash: block.hash,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
        /// Its receipt. Whether it is settled changes later: `millrace_getExecutionReceipt` tells.
        receipt: ReceiptView,
        /// Its transactions.
        transactions: u32,
    },
    /// An executed block is not on the head chain any more. Its receipt stays, and counts again if the block comes back.
    Removed {
        /// Its height.
        height: Height,
        /// Its hash.
        block_hash: Hash,
    },
    /// A transaction of an executed block.
    Transaction {
        /// Its hash.
        hash: Hash,
        /// Height of its block.
        height: Height,
        /// Its block.
        block_hash: Hash,
        /// Its place in the block.
        index: u32,
        /// How it ended.
        outcome: String,
        /// Gas executed.
        gas_used: Gas,
        /// Gas paid for.
        gas_charged: Gas,
    },
    /// A log of an executed block.
    Log(PlacedLogView),
    /// The head moved.
    HeadMoved {
        /// The new head's height.
        height: Height,
        /// The new head.
        block_hash: Hash,
        /// Blocks that the head chain has no longer, the highest first.
        removed: Vec<BlockRefView>,
        /// Blocks that it has instead, the lowest first.
        added: Vec<BlockRefView>,
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
