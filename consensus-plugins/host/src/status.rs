//! What the operator sees of a plugin.

use core::time::Duration;

use millrace_plugin_abi::Status;
use millrace_plugin_abi::status::{E_ABI, E_CONFIG, E_FATAL, E_PANIC};

/// Where a plugin is in its life.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PluginStatus {
    /// Loaded and checked; `start` was not called yet.
    Loaded,
    /// Running, and returning from its calls.
    Healthy,
    /// Running, but it has not returned from the call named here for this long. It recovers by returning.
    Unhealthy {
        /// For example `deliver(block built)`.
        call: &'static str,
        /// Since when.
        for_how_long: Duration,
    },
    /// It failed, and is not entered again.
    Failed(PluginFailure),
    /// Being stopped.
    Stopping,
    /// Stopped.
    Stopped,
}

/// Why a plugin is not entered again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PluginFailure {
    /// Its consensus id.
    pub plugin: String,
    /// The file it was loaded from.
    pub path: std::path::PathBuf,
    /// The call that it failed in, for example `deliver(credit)`.
    pub call: String,
    /// What happened.
    pub kind: FailureKind,
    /// Its own words, or the host's.
    pub reason: String,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureKind {
    /// It panicked; the panic was caught at the boundary.
    Panic,
    /// It said that it cannot go on.
    Fatal,
    /// It said that its configuration, or the chain's parameters for it, are wrong.
    Configuration,
    /// It did what the ABI forbids, such as returning a number that is not a status code.
    Abi,
    /// A function of the host panicked while serving it: a bug of the node.
    Host,
}

impl FailureKind {
    /// What an error code of the plugin means; `None` for anything but an error code.
    pub(crate) fn of(status: Status) -> Option<Self> {
        match status {
            E_PANIC => Some(Self::Panic),
            E_FATAL => Some(Self::Fatal),
            E_CONFIG => Some(Self::Configuration),
            E_ABI => Some(Self::Abi),
            _ => None,
        }
    }
}

impl core::fmt::Display for PluginFailure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let what = match self.kind {
            FailureKind::Panic => "panicked",
            FailureKind::Fatal => "gave up",
            FailureKind::Configuration => "found its configuration wrong",
            FailureKind::Abi => "broke the plugin ABI",
            FailureKind::Host => "ran into a bug of this node",
        };
        write!(
            f,
            "consensus plugin {} ({}) {what} in {}: {}; it takes no further part until the node is restarted",
            self.plugin,
            self.path.display(),
            self.call,
            self.reason
        )
    }
}
