//! What the host calls: the table that a plugin exports, and the chain state that `start` is given.

use core::ffi::{c_char, c_void};

use crate::{Bytes, Event, Hash, Host, Status};

/// The table that a plugin exports as the data symbol `millrace_plugin`. It is constant and lives as long as the
/// process: a plugin is never unloaded.
///
/// All three calls are made on one thread of the host, in this order, never overlapping.
#[repr(C)]
pub struct Plugin {
    /// [`crate::PLUGIN_MAGIC`].
    pub magic: u64,
    /// [`crate::ABI_MAJOR`] that the plugin was built for.
    pub abi_major: u16,
    /// [`crate::ABI_MINOR`] that the plugin was built for.
    pub abi_minor: u16,
    /// Size of this table, in bytes, as the plugin knows it.
    pub size: u32,
    /// The consensus id, as in the note; UTF-8, terminated by zero.
    pub consensus_id: *const c_char,
    /// The plugin's own version, for people; UTF-8, terminated by zero.
    pub version: *const c_char,
    /// Starts the plugin. `host` and what it points to live as long as the process; `chain` and the bytes that it
    /// names are borrowed for the call. On `OK` the plugin has written its instance, which may be null, to
    /// `*instance`. Otherwise `E_ABI`, `E_CONFIG`, `E_PANIC` or `E_FATAL`, and the reason was sent to `fatal`.
    pub start: Option<
        unsafe extern "C" fn(
            host: *const Host,
            chain: *const ChainState,
            instance: *mut *mut c_void,
        ) -> Status,
    >,
    /// Delivers one event. Returns `OK`, also for kinds that the plugin does not know; anything else means that the
    /// plugin has failed, and it is not entered again. The event is lent for the call; see [`crate::Buffer`].
    pub deliver: Option<unsafe extern "C" fn(instance: *mut c_void, event: *mut Event) -> Status>,
    /// Stops the plugin and frees the instance, within `deadline_ms` milliseconds. Every token has completed before.
    pub stop: Option<unsafe extern "C" fn(instance: *mut c_void, deadline_ms: u64) -> Status>,
}

// SAFETY: the table is constant: its pointers lead to constants and functions, and nobody writes through them.
unsafe impl Sync for Plugin {}
// SAFETY: as above; no field is tied to a thread.
unsafe impl Send for Plugin {}

/// What a plugin learns about the chain when it starts. Borrowed for the call.
#[repr(C)]
pub struct ChainState {
    /// Size of this record, in bytes.
    pub size: u32,
    /// Zero.
    pub reserved: u32,
    /// Bound into every certificate.
    pub chain_id: u64,
    /// The consensus id of the chain spec.
    pub consensus_id: Bytes,
    /// The chain spec's consensus parameters: the same on every node; the plugin's own encoding.
    pub parameters: Bytes,
    /// The operator's configuration of this plugin on this node; the plugin's own encoding.
    pub config: Bytes,
    /// Hash of the chain spec.
    pub chain_spec_hash: Hash,
    /// Hash of the genesis block.
    pub genesis_hash: Hash,
    /// The genesis block's canonical bytes.
    pub genesis_block: Bytes,
    /// Hash of the last finalized block that is durable here. Whatever the plugin finalized after it, it hands over
    /// again; handing over older blocks again is harmless.
    pub finalized_hash: Hash,
    /// That block's height; 0 at genesis.
    pub finalized_height: u64,
    /// That block's canonical bytes.
    pub finalized_block: Bytes,
    /// That block's certificate; empty at genesis.
    pub finalized_certificate: Bytes,
    /// K of the chain spec: how far settlement may lag behind a block.
    pub max_receipt_lag: u64,
    /// The chain spec's gas limit of a block.
    pub block_gas: u64,
    /// The chain spec's byte limit of a block.
    pub block_bytes: u64,
    /// Milliseconds since the epoch, by the host's clock, at the call.
    pub now_ms: u64,
}
