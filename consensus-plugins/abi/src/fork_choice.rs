//! The optional capability `fork-choice/1`: chains whose head moves before it is final.

use core::ffi::c_void;

use crate::{Bytes, Hash, Status};

/// The table behind the capability `fork-choice/1`. The functions take the host's `context`.
#[repr(C)]
pub struct ForkChoice {
    /// Size of this table, in bytes, as the host knows it.
    pub size: u32,
    /// Blocks above finality that this node keeps, over all branches; 0 where the host does not say. A head chain that is
    /// longer stops the engine, so a plugin whose depth to finality does not fit says so at its start.
    pub max_unfinalized_blocks: u32,
    /// Hands over a block that may become head; its parent must be known. `OK`, `AGAIN` (a credit event follows),
    /// `INVALID` or `UNKNOWN_PARENT`. A block that is known already is `OK`.
    pub import_block: unsafe extern "C" fn(context: *mut c_void, block: Bytes) -> Status,
    /// Makes a block the head, once it is valid. Completed by [`crate::event::EVENT_HEAD_MOVED`].
    pub set_head: unsafe extern "C" fn(context: *mut c_void, token: u64, hash: *const Hash) -> Status,
    /// Finalizes a block that was handed over, and all its ancestors. As `submit_finalized`.
    pub finalize: unsafe extern "C" fn(context: *mut c_void, hash: *const Hash, certificate: Bytes) -> Status,
}
