//! What the host delivers.
//!
//! Events with a token complete the request that carried it; each token completes exactly once. Events without one
//! (`token` 0) tell of a change; those that say "up to here" (credit, settled, finalized, work, an unasked head
//! move) are merged while they wait, so that only the newest is delivered.

use crate::{Buffer, Bytes, Hash, Status};

/// Completes `request_block`. Status: `OK` with the block; `TRANSIENT` when there is nothing to do now (a work
/// event follows); `UNKNOWN_PARENT`; `INVALID` with a reason; `STOPPED`, the engine builds nothing more; `ABORTED`.
pub const EVENT_BLOCK_BUILT: u32 = 1;
/// Completes `validate`. Status: `OK`, valid; `INVALID` with a reason; `UNKNOWN_PARENT`; `TRANSIENT`, ask again
/// later; `ABORTED`.
pub const EVENT_VERDICT: u32 = 2;
/// There is room for this many blocks and this much gas. Follows every `AGAIN`.
pub const EVENT_CREDIT: u32 = 3;
/// A proposal that reached this node, to be validated and voted on.
pub const EVENT_PROPOSAL: u32 = 4;
/// The head moved; completes `set_head` when it has a token. Status: `OK`; `INVALID` with the offending block as
/// hash; `ABORTED`, superseded by a later `set_head` or cut short by stop.
pub const EVENT_HEAD_MOVED: u32 = 5;
/// Completes `timer_set`. Status: `OK`, it is due; `ABORTED`, cancelled.
pub const EVENT_TIMER: u32 = 6;
/// The newest finalized block settles up to this height.
pub const EVENT_SETTLED: u32 = 7;
/// Every finalized block up to this height is durable here, with its certificate. What is above may have to be
/// handed over again after a restart.
pub const EVENT_FINALIZED: u32 = 8;
/// A `request_block` that was answered by `TRANSIENT` may succeed now.
pub const EVENT_WORK: u32 = 9;
/// Completes `kv_get`. Status: `OK` with the value; `NOT_FOUND`; `ABORTED`.
pub const EVENT_KV_VALUE: u32 = 10;
/// Completes `kv_put` and `kv_remove`, once durable. Status: `OK`; `INVALID` with a reason; `ABORTED`.
pub const EVENT_KV_STORED: u32 = 11;

/// One event. Lent to the plugin for the call of `deliver`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Event {
    /// Size of this record, in bytes.
    pub size: u32,
    /// Which event; unknown kinds are ignored.
    pub kind: u32,
    /// The request that it completes, or 0.
    pub token: u64,
    /// Milliseconds since the epoch by the host's clock when the event was delivered; never falls.
    pub now_ms: u64,
    /// How the request ended; `OK` without a token.
    pub status: Status,
    /// Zero.
    pub reserved: u32,
    /// Why, for people, when `status` is not `OK`; may be empty.
    pub reason: Bytes,
    /// What belongs to the kind. All zeros where the kind has no data or the status is not `OK`, but for the hash of
    /// a refused `set_head`.
    pub data: EventData,
}

/// What belongs to a kind.
#[repr(C)]
#[derive(Clone, Copy)]
pub union EventData {
    /// Of [`EVENT_BLOCK_BUILT`] and [`EVENT_PROPOSAL`].
    pub block: BlockData,
    /// Of [`EVENT_VERDICT`], [`EVENT_HEAD_MOVED`], [`EVENT_SETTLED`] and [`EVENT_FINALIZED`].
    pub mark: BlockMark,
    /// Of [`EVENT_CREDIT`].
    pub credit: Credit,
    /// Of [`EVENT_KV_VALUE`].
    pub value: Buffer,
}

/// A block with its bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct BlockData {
    /// Its canonical bytes.
    pub bytes: Buffer,
    /// Its hash.
    pub hash: Hash,
    /// Its parent's hash.
    pub parent_hash: Hash,
    /// Its height.
    pub height: u64,
}

/// A block by name.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct BlockMark {
    /// Its hash.
    pub hash: Hash,
    /// Its height.
    pub height: u64,
}

/// Room in the queue of finalized blocks.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Credit {
    /// Blocks that would be taken now.
    pub blocks: u64,
    /// Gas that they may have together.
    pub gas: u64,
}

impl EventData {
    /// The data of events without any.
    pub const NONE: Self = Self {
        block: BlockData {
            bytes: Buffer::EMPTY,
            hash: Hash { bytes: [0; 32] },
            parent_hash: Hash { bytes: [0; 32] },
            height: 0,
        },
    };
}
