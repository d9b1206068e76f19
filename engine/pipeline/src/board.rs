//! What the ordering thread shows to readers: heights, status, pressure, counters.
//!
//! One writer, who replaces a small record; readers copy it. The lock is held for a copy only.

use std::sync::{Arc, PoisonError, RwLock};

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
pub(crate) struct Board(RwLock<Facts>);

impl Board {
    /// A board that shows `facts`.
    pub(crate) fn new(facts: Facts) -> Self {
        Self(RwLock::new(facts))
    }

    /// Shows `facts` from now on.
    pub(crate) fn post(&self, facts: Facts) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = facts;
    }

    /// Shows that no more blocks are taken, when nobody is left who knows more.
    pub(crate) fn stop(&self, reason: &StopReason) {
        let mut facts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        facts.status = EngineStatus::Stopped {
            reason: reason.clone(),
        };
    }

    /// Heights, and the head chain above the finalized one.
    pub(crate) fn chain(&self) -> (Heights, Arc<[Hash]>) {
        self.read(|facts| (facts.heights, Arc::clone(&facts.head_chain)))
    }

    /// Reads a part of what it shows.
    pub(crate) fn read<T>(&self, part: impl FnOnce(&Facts) -> T) -> T {
        part(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
