//! What the ordering thread shows to readers: heights, status, pressure, counters.
//!
//! One writer, who puts a new record in the place of the old one; readers look at the one that is there, and nobody waits.

use std::sync::Arc;

use arc_swap::ArcSwap;
use millrace_types::Hash;

use crate::api::{Counters, EngineStatus, Heights, PressureSnapshot, StopReason};

/// Everything that changes together.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) heights: Heights,
    /// The blocks from the finalized one's child to the head.
    pub(crate) head_chain: Arc<[Hash]>,
    pub(crate) status: EngineStatus,
    pub(crate) pressure: PressureSnapshot,
    /// When the oldest block in flight came, in milliseconds since the epoch.
    pub(crate) oldest_since_ms: Option<u64>,
    pub(crate) counters: Counters,
}

/// The record.
pub(crate) struct Board(ArcSwap<Facts>);

impl Board {
    /// A board that shows `facts`.
    pub(crate) fn new(facts: Facts) -> Self {
        Self(ArcSwap::from_pointee(facts))
    }

    /// Shows `facts` from now on.
    pub(crate) fn post(&self, facts: Facts) {
        self.0.store(Arc::new(facts));
    }

    /// Shows that no more blocks are taken, when nobody is left who knows more.
    pub(crate) fn stop(&self, reason: &StopReason) {
        let status = EngineStatus::Stopped {
            reason: reason.clone(),
        };
        self.post(Facts {
            status,
            ..Facts::clone(&self.0.load())
        });
    }

    /// Heights, and the head chain above the finalized one.
    pub(crate) fn chain(&self) -> (Heights, Arc<[Hash]>) {
        self.read(|facts| (facts.heights, Arc::clone(&facts.head_chain)))
    }

    /// Reads a part of what it shows.
    pub(crate) fn read<T>(&self, part: impl FnOnce(&Facts) -> T) -> T {
        part(&self.0.load())
    }
}
