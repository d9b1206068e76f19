//! What the plugin calls: the table that `start` is given.

use core::ffi::c_void;

use crate::{Bytes, Hash, Pressure, Status};

/// `BuildRequest::flags`: build a block even if it would carry no transaction and settle nothing that anyone waits
/// for. The rules of settlement still hold: at the lag limit there is no block.
pub const BUILD_EMPTY: u32 = 1;

/// `log` level: something failed.
pub const LOG_ERROR: u32 = 1;
/// `log` level: something is wrong and the plugin goes on.
pub const LOG_WARN: u32 = 2;
/// `log` level: an operator wants to know.
pub const LOG_INFO: u32 = 3;
/// `log` level: an author wants to know.
pub const LOG_DEBUG: u32 = 4;
/// `log` level: every step.
pub const LOG_TRACE: u32 = 5;

/// `metric` kind: adds `value`, which is at least 0, to a counter.
pub const METRIC_COUNTER: u32 = 1;
/// `metric` kind: sets a gauge to `value`.
pub const METRIC_GAUGE: u32 = 2;
/// `metric` kind: records `value` in a histogram.
pub const METRIC_HISTOGRAM: u32 = 3;

/// The name of the capability [`crate::ForkChoice`].
pub const FORK_CHOICE_1: &str = "fork-choice/1";

/// A block to be built.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct BuildRequest {
    /// Size of this record, in bytes.
    pub size: u32,
    /// [`BUILD_EMPTY`] or 0.
    pub flags: u32,
    /// The parent.
    pub parent_hash: Hash,
    /// Who receives the tips: an address.
    pub proposer: Hash,
    /// Gas at most; 0 for the chain's limit. The engine takes the smallest of this, the chain's and its own.
    pub max_gas: u64,
    /// Canonical bytes at most; 0 for the chain's limit.
    pub max_bytes: u64,
    /// The block's timestamp; 0 for now. The engine raises it to the parent's if it is less.
    pub timestamp_ms: u64,
    /// The header's consensus data; bounded by the chain spec.
    pub consensus_data: Bytes,
}

/// The table that `start` is given. It, its context and the pressure record are never freed.
///
/// Every function may be called from any thread, within `deliver` too, takes `context` first, copies its inputs
/// before it returns, never blocks on the plugin and never calls into it. After stop every one that returns a status
/// returns `STOPPED`.
///
/// Functions with a token begin a request: on `OK`, and only then, an event with this token follows. Tokens are the
/// plugin's choice; they are not 0 and not in use by a request under way, or the answer is `INVALID`. With 1,024
/// requests under way the answer is `TRANSIENT`.
#[repr(C)]
pub struct Host {
    /// [`crate::HOST_MAGIC`].
    pub magic: u64,
    /// [`crate::ABI_MAJOR`] of the host.
    pub abi_major: u16,
    /// [`crate::ABI_MINOR`] of the host.
    pub abi_minor: u16,
    /// Size of this table, in bytes, as the host knows it.
    pub size: u32,
    /// First argument of every function.
    pub context: *mut c_void,
    /// The pressure record: read it with `millrace_pressure_read`.
    pub pressure: *const Pressure,
    /// Requests a block on a parent, within limits. Completed by [`crate::event::EVENT_BLOCK_BUILT`].
    pub request_block:
        unsafe extern "C" fn(context: *mut c_void, token: u64, request: *const BuildRequest) -> Status,
    /// Requests the verdict on a block. Completed by [`crate::event::EVENT_VERDICT`].
    pub validate: unsafe extern "C" fn(context: *mut c_void, token: u64, block: Bytes) -> Status,
    /// Tells of a proposal that is being voted on, so that the engine may execute it ahead of its finalization.
    pub announce_proposal: unsafe extern "C" fn(context: *mut c_void, block: Bytes) -> Status,
    /// Hands over a finalized block and its certificate: the child of the last one taken over, or any before it
    /// again. `OK` takes both over and spends a credit; `AGAIN` takes nothing and is followed by
    /// [`crate::event::EVENT_CREDIT`]; after `UNKNOWN_PARENT` and `INVALID` the engine stops, for the plugin broke its
    /// duty. [`crate::event::EVENT_FINALIZED`] tells when they are durable.
    pub submit_finalized:
        unsafe extern "C" fn(context: *mut c_void, block: Bytes, certificate: Bytes) -> Status,
    /// Requests a value of the plugin's durable store. Keys have 1 to 256 bytes. Completed by
    /// [`crate::event::EVENT_KV_VALUE`].
    pub kv_get: unsafe extern "C" fn(context: *mut c_void, token: u64, key: Bytes) -> Status,
    /// Stores a value of at most 1 MiB. Writes become durable in the order of their calls. Completed by
    /// [`crate::event::EVENT_KV_STORED`].
    pub kv_put: unsafe extern "C" fn(context: *mut c_void, token: u64, key: Bytes, value: Bytes) -> Status,
    /// Removes a value. Completed by [`crate::event::EVENT_KV_STORED`].
    pub kv_remove: unsafe extern "C" fn(context: *mut c_void, token: u64, key: Bytes) -> Status,
    /// Sets a timer that is due `delay_ms` milliseconds from now. Completed by [`crate::event::EVENT_TIMER`].
    pub timer_set: unsafe extern "C" fn(context: *mut c_void, token: u64, delay_ms: u64) -> Status,
    /// Cancels a timer, which completes as `ABORTED`; `INVALID` if none with this token waits (it may be due
    /// already, and its event on the way).
    pub timer_cancel: unsafe extern "C" fn(context: *mut c_void, token: u64) -> Status,
    /// Milliseconds since the epoch by the host's clock; never falls. Works always.
    pub now_ms: unsafe extern "C" fn(context: *mut c_void) -> u64,
    /// Writes to the node's log. Longer than 16 KiB is cut.
    pub log: unsafe extern "C" fn(context: *mut c_void, level: u32, message: Bytes) -> Status,
    /// Reports a metric. Names have 1 to 64 bytes of `a-z`, `0-9` and `_`, at most 128 names per plugin; the node
    /// adds its prefix and the plugin's id.
    pub metric: unsafe extern "C" fn(context: *mut c_void, kind: u32, name: Bytes, value: f64) -> Status,
    /// The plugin cannot go on: it is not entered again and the engine drains. `status` is one of the `E_` codes and
    /// `reason` is for the operator. From within `start` it gives the reason of the failure that `start` then returns.
    pub fatal: unsafe extern "C" fn(context: *mut c_void, status: Status, reason: Bytes) -> Status,
    /// The table of an optional capability, for example `fork-choice/1`, or null if this host does not offer it.
    pub extension: unsafe extern "C" fn(context: *mut c_void, name: Bytes) -> *const c_void,
}

// SAFETY: the table is constant once handed out; its functions may be called from any thread by their contract.
unsafe impl Sync for Host {}
// SAFETY: as above; no field is tied to a thread.
unsafe impl Send for Host {}
