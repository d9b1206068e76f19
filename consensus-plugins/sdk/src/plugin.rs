//! The threaded mode's trait, which the stepped mode is driven through as well.

use core::time::Duration;

use millrace_types::{Hash, Height};

use crate::event::Event;
use crate::host::Host;

/// A consensus plugin that calls the engine whenever it wants, from any of its threads.
///
/// The three functions are called on one thread of the host, in the order `start`, `deliver`*, `stop`, never
/// overlapping. `deliver` should return within milliseconds: hand long work to a thread of your own
/// ([`Host::spawn`]). A panic in any of them, or in a thread that `Host::spawn` began, ends the plugin, not the node.
pub trait Plugin: Send + Sized + 'static {
    /// The consensus id, for example `solo/1`: 1 to 56 bytes of printable ASCII. Chain specs name it, and verifiers of
    /// certificates are found by it.
    const CONSENSUS_ID: &'static str;
    /// The plugin's own version, for people.
    const VERSION: &'static str;

    /// Begins. Whatever was finalized after the block that `chain` names is handed over again.
    ///
    /// # Errors
    /// If it cannot; the reason is for the operator and says what to change.
    fn start(host: Host, chain: ChainState) -> Result<Self, StartError>;

    /// One event. `now_ms` is the host's clock, in milliseconds since the epoch; it never falls.
    fn deliver(&mut self, event: Event, now_ms: u64);

    /// Ends, within `deadline`. Every request has completed before; the engine takes nothing more.
    fn stop(self, deadline: Duration);
}

/// What a plugin learns about the chain when it starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChainState {
    /// Bound into every certificate.
    pub chain_id: u64,
    /// The consensus id of the chain spec.
    pub consensus_id: String,
    /// The chain spec's consensus parameters: the same on every node.
    pub parameters: Vec<u8>,
    /// The operator's configuration of this plugin.
    pub config: Vec<u8>,
    /// Hash of the chain spec.
    pub chain_spec_hash: Hash,
    /// Hash of the genesis block.
    pub genesis_hash: Hash,
    /// The genesis block's canonical bytes.
    pub genesis_block: Vec<u8>,
    /// Hash of the last finalized block that is durable here; genesis on a new chain.
    pub finalized_hash: Hash,
    /// Its height.
    pub finalized_height: Height,
    /// Its canonical bytes.
    pub finalized_block: Vec<u8>,
    /// Its certificate; empty at genesis.
    pub finalized_certificate: Vec<u8>,
    /// K: how far settlement may lag behind a block.
    pub max_receipt_lag: u64,
    /// The chain's gas limit of a block.
    pub block_gas: u64,
    /// The chain's byte limit of a block.
    pub block_bytes: u64,
    /// Blocks above finality that this node keeps, over all branches: its operator's choice. `None` without
    /// `fork-choice/1`, and where the host does not say. A head chain that is longer stops the engine.
    pub max_unfinalized_blocks: Option<u64>,
    /// Milliseconds since the epoch at the start.
    pub now_ms: u64,
}

/// Why a plugin does not start.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StartError {
    /// The operator's configuration, or the chain's parameters, are wrong. Says which value, and what it should be.
    #[error("{0}")]
    Configuration(String),
    /// The host lacks something that the plugin needs, a capability for example.
    #[error("{0}")]
    Host(String),
    /// Anything else.
    #[error("{0}")]
    Fatal(String),
}
