//! The node's handle on a loaded plugin.

use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::{BlockBytes, Engine, HashBytes};
use crate::error::{LoadError, ProposalsFull, StartError, StopError};
use crate::shared::Shared;
use crate::status::PluginStatus;
use millrace_plugin_abi::PressureValues;

/// What to load.
#[derive(Clone, Debug)]
pub struct PluginSpec {
    /// The shared object.
    pub path: PathBuf,
    /// The BLAKE3 hash that the file must have.
    pub pin: Option<HashBytes>,
    /// The consensus id that the chain spec names.
    pub consensus_id: Option<String>,
    /// How long a call may take before the plugin counts as unhealthy. Five seconds is a good choice.
    pub patience: Duration,
}

/// What a loaded plugin says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PluginInfo {
    /// The file it was loaded from.
    pub path: PathBuf,
    /// Its consensus id.
    pub consensus_id: String,
    /// Its own version.
    pub version: String,
    /// The ABI it was built for: major, minor.
    pub abi: (u16, u16),
    /// The BLAKE3 hash of the file, to pin it by.
    pub blake3: HashBytes,
}

/// What a plugin learns about the chain when it starts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChainState {
    /// Bound into every certificate.
    pub chain_id: u64,
    /// The consensus id of the chain spec.
    pub consensus_id: String,
    /// The chain spec's consensus parameters.
    pub parameters: Vec<u8>,
    /// The operator's configuration of this plugin.
    pub config: Vec<u8>,
    /// Hash of the chain spec.
    pub chain_spec_hash: HashBytes,
    /// Hash of the genesis block.
    pub genesis_hash: HashBytes,
    /// The genesis block's canonical bytes.
    pub genesis_block: Vec<u8>,
    /// Hash of the last finalized block that is durable here (rule 18): genesis on a new chain.
    pub finalized_hash: HashBytes,
    /// Its height.
    pub finalized_height: u64,
    /// Its canonical bytes.
    pub finalized_block: Vec<u8>,
    /// Its certificate; empty at genesis.
    pub finalized_certificate: Vec<u8>,
    /// K of the chain spec.
    pub max_receipt_lag: u64,
    /// The chain spec's gas limit of a block.
    pub block_gas: u64,
    /// The chain spec's byte limit of a block.
    pub block_bytes: u64,
}

/// A loaded plugin. Copies are handles on the same one; it lives as long as the process.
///
/// Events may be sent from any thread at any time, before `start` too; those sent after `stop` or a failure go nowhere.
/// No method but [`PluginHandle::load`], [`PluginHandle::start`] and [`PluginHandle::stop`] waits.
#[derive(Clone, Copy)]
pub struct PluginHandle {
    pub(crate) shared: &'static Shared,
}

impl PluginHandle {
    /// Loads a plugin on a thread of its own and checks it, running none of its code but the constructors of the
    /// shared object and its dependencies.
    ///
    /// # Errors
    /// Whatever is wrong with the file, with its path and the mend.
    pub fn load(spec: PluginSpec) -> Result<Self, LoadError> {
        crate::thread::spawn(spec).map(|shared| Self { shared })
    }

    /// Starts the plugin, and returns when its `start` has.
    ///
    /// # Errors
    /// If `start` refused, panicked or broke the ABI, or was called before.
    pub fn start(&self, engine: Arc<dyn Engine>, chain: ChainState) -> Result<(), StartError> {
        crate::thread::start(self.shared, engine, chain)
    }

    /// What the plugin says of itself.
    #[must_use]
    pub fn info(&self) -> &'static PluginInfo {
        self.shared.info()
    }

    /// The writer of the pressure record; there is one, so the second call answers `None`.
    #[must_use]
    pub fn pressure_writer(&self) -> Option<PressureWriter> {
        self.shared
            .take_pressure_writer()
            .then_some(PressureWriter { shared: self.shared })
    }

    /// There is room for `blocks` finalized blocks with `gas` together. Owed after [`crate::Submitted::Again`]; harmless
    /// at any other time.
    pub fn credit(&self, blocks: u64, gas: u64) {
        self.shared.inbox.credit(blocks, gas);
    }

    /// A build that was answered [`crate::BuildAnswer::NotNow`] may succeed now. Harmless at any other time.
    pub fn work(&self) {
        self.shared.inbox.work();
    }

    /// The newest finalized block settles up to `height`, whose block has this hash.
    pub fn settled(&self, hash: HashBytes, height: u64) {
        self.shared.inbox.settled(hash, height);
    }

    /// Every finalized block up to this one is durable, with its certificate (rule 18): the acknowledgement.
    pub fn finalized(&self, hash: HashBytes, height: u64) {
        self.shared.inbox.finalized(hash, height);
    }

    /// The head moved without having been asked to.
    pub fn head_moved(&self, hash: HashBytes, height: u64) {
        self.shared.inbox.head_moved(hash, height);
    }

    /// A proposal reached this node, to be voted on.
    ///
    /// # Errors
    /// If 64 wait already; the block comes back.
    pub fn proposal(&self, block: BlockBytes) -> Result<(), ProposalsFull> {
        self.shared.inbox.proposal(block)
    }

    /// How the plugin is.
    #[must_use]
    pub fn status(&self) -> PluginStatus {
        self.shared.status()
    }

    /// Stops the plugin: no request is taken any more, those under way complete as aborted, then the plugin's own
    /// `stop` runs with what is left of `deadline`. Calling it again waits again.
    ///
    /// # Errors
    /// If the plugin has not come back within `deadline` (then leave the process without it, rule 9), or its `stop` failed.
    pub fn stop(&self, deadline: Duration) -> Result<(), StopError> {
        crate::thread::stop(self.shared, deadline)
    }
}

impl core::fmt::Debug for PluginHandle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PluginHandle")
            .field("info", self.info())
            .field("status", &self.status())
            .finish()
    }
}

/// Writes the pressure record. There is one per plugin, and publishing takes it mutably: the record has one writer.
pub struct PressureWriter {
    shared: &'static Shared,
}

impl PressureWriter {
    /// Publishes what the plugin reads from now on.
    pub fn publish(&mut self, values: &PressureValues) {
        self.shared.pressure.publish(values);
    }
}
