//! Subscriptions: what may be asked for, and what is told.

use millrace_types::{Hash, Height};
use serde::{Deserialize, Serialize};

use super::ReceiptView;

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
        /// Its receipt. Whether it is settled changes later: `millrace_getExecutionReceipt` tells.
        receipt: ReceiptView,
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
