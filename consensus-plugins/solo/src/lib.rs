//! Consensus plugin: a single sequencer with its own key.
