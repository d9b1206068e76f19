//! The engine's side of the boundary: what the node implements so that a plugin's calls reach it.
//!
//! Everything is at the level of canonical bytes, so that this crate knows neither blocks nor the pipeline. Calls
//! come from the plugin's thread or from threads of the plugin, several at a time; none may wait for the plugin, for
//! execution or for the disk, nor call [`crate::PluginHandle::stop`]. Slow answers go through a [`Reply`], from any
//! thread, at any later time.
//!
//! The two promises that a plugin relies on, and that the engine keeps through its [`crate::PluginHandle`]:
//! - after [`Submitted::Again`] it calls [`crate::PluginHandle::credit`] once there is room. To leave no gap between
//!   "full" and "room again", note that someone was turned away *before* looking at the queue a last time, or decide
//!   and note under one lock;
//! - after [`BuildAnswer::NotNow`] it calls [`crate::PluginHandle::work`] once a build may succeed, in the same way.

use crate::PluginFailure;

/// A 32-byte hash, as in canonical bytes.
pub type HashBytes = [u8; 32];

/// What the node implements.
pub trait Engine: Send + Sync + 'static {
    /// Builds a block on `request.parent_hash` within the limits: transactions from the pool, receipts to settle.
    fn request_block(&self, request: BuildRequest, reply: Reply<BuildAnswer>);

    /// Validates a block fully: structure, settlement, admission.
    fn validate(&self, block: Vec<u8>, reply: Reply<Verdict>);

    /// A proposal is being voted on: execute it ahead of its finalization, or do nothing.
    fn announce_proposal(&self, block: Vec<u8>);

    /// Takes a finalized block over. Idempotent: a finalized block that is known already is `Accepted`, at no credit.
    /// What is neither that nor a child of the last one taken over stops the engine (protocol rule 16) and is answered
    /// `Invalid` or `UnknownParent`.
    fn submit_finalized(&self, block: Vec<u8>, certificate: Vec<u8>) -> Submitted;

    /// Reads the plugin's durable store.
    fn kv_get(&self, key: Vec<u8>, reply: Reply<Option<Vec<u8>>>);

    /// Writes the plugin's durable store, or removes the key when `value` is `None`. Writes become durable in the order
    /// of the calls; `reply` completes once this one is, with an error text if it never will be.
    fn kv_put(&self, key: Vec<u8>, value: Option<Vec<u8>>, reply: Reply<Result<(), String>>);

    /// The plugin failed and will not be entered again: finish what is finalized, keep reads going, tell the
    /// operator. Called once, after which no call of this plugin reaches the engine.
    fn plugin_failed(&self, failure: &PluginFailure);

    /// The capability `fork-choice/1`, if this engine offers it.
    fn fork_choice(&self) -> Option<&dyn ForkChoice> {
        None
    }
}

/// The capability `fork-choice/1`: chains whose head moves before it is final.
pub trait ForkChoice: Send + Sync {
    /// Blocks above finality that the engine keeps, over all branches; 0 if it does not say. Asked once.
    fn max_unfinalized_blocks(&self) -> u32;

    /// Takes over a block that may become head. A block that is known already is `Accepted`.
    fn import_block(&self, block: Vec<u8>) -> Submitted;

    /// Makes a block the head once it is valid.
    fn set_head(&self, hash: HashBytes, reply: Reply<HeadAnswer>);

    /// Finalizes a block and its ancestors. As [`Engine::submit_finalized`].
    fn finalize(&self, hash: HashBytes, certificate: Vec<u8>) -> Submitted;
}

/// A block to be built.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BuildRequest {
    /// The parent.
    pub parent_hash: HashBytes,
    /// Who receives the tips: an address.
    pub proposer: HashBytes,
    /// Gas at most; `None` for the chain's limit. The engine's own limits hold as well.
    pub max_gas: Option<u64>,
    /// Canonical bytes at most; `None` for the chain's limit.
    pub max_bytes: Option<u64>,
    /// The block's timestamp in milliseconds; `None` for now. Raised to the parent's if it is less.
    pub timestamp_ms: Option<u64>,
    /// The header's consensus data.
    pub consensus_data: Vec<u8>,
    /// Build even if the block carries no transaction and settles nothing that anyone waits for. The rules of
    /// settlement still hold.
    pub allow_empty: bool,
}

/// How a build ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BuildAnswer {
    /// Here it is.
    Built(BlockBytes),
    /// Nothing to do, or at the lag limit with nothing to settle. `PluginHandle::work` follows.
    NotNow(String),
    /// The parent is not known here.
    UnknownParent,
    /// The request is wrong and stays wrong.
    Invalid(String),
    /// The engine has stopped and builds nothing more.
    Stopped,
}

/// A block's canonical bytes, and what they say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockBytes {
    /// Canonical bytes.
    pub bytes: Vec<u8>,
    /// Its hash.
    pub hash: HashBytes,
    /// Its parent's hash.
    pub parent_hash: HashBytes,
    /// Its height.
    pub height: u64,
}

/// How a validation ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Vote for it.
    Valid {
        /// Its hash.
        hash: HashBytes,
        /// Its height.
        height: u64,
    },
    /// It, and every descendant, is invalid for ever.
    Invalid(String),
    /// An ancestor is missing.
    UnknownParent,
    /// Cannot tell yet (rule 9's pending); ask again.
    NotYet(String),
}

/// How a submission ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Submitted {
    /// Taken over, or known already.
    Accepted,
    /// The queue is full; `PluginHandle::credit` follows once there is room.
    Again,
    /// Refused for ever, with the reason; the engine stops.
    Invalid(String),
    /// The parent is not known here; the engine stops.
    UnknownParent,
    /// The engine is stopping and takes nothing more.
    Stopped,
}

/// How `set_head` ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HeadAnswer {
    /// The head is this block now.
    Moved {
        /// Its hash.
        hash: HashBytes,
        /// Its height.
        height: u64,
    },
    /// This block, the target or an ancestor, is invalid.
    Invalid {
        /// Its hash.
        hash: HashBytes,
        /// Why.
        reason: String,
    },
    /// A later `set_head` took its place.
    Superseded,
}

/// An answer that is owed. Dropping it without [`Reply::complete`] answers "aborted", so that every request completes.
#[must_use = "a request is answered by completing its reply"]
pub struct Reply<T> {
    sink: Option<Box<dyn FnOnce(Option<T>) + Send>>,
}

impl<T> Reply<T> {
    /// A reply that hands its answer to `sink`, or `None` when it is dropped unanswered.
    pub fn new(sink: impl FnOnce(Option<T>) + Send + 'static) -> Self {
        Self {
            sink: Some(Box::new(sink)),
        }
    }

    /// Answers.
    pub fn complete(mut self, answer: T) {
        if let Some(sink) = self.sink.take() {
            sink(Some(answer));
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(sink) = self.sink.take() {
            sink(None);
        }
    }
}

impl<T> core::fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Reply")
    }
}
