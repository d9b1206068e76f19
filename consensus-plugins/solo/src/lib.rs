//! `solo/1`: one sequencer orders all blocks and certifies each with its Ed25519 key.
//!
//! ```text
//!          turn (timer, work)              built                      taken over
//!   Waiting ───────────────▶ Building ───────────────▶ Submitting ───────────────▶ Waiting (next height)
//!      ▲                        │ not now                  │ no room
//!      └────────────────────────┘                          ▼
//!                                                         Full ── credit ──▶ Submitting
//! ```
//!
//! The next block is asked for as soon as the last one was taken over and the interval has passed; execution is never
//! waited for: that is the engine's queue, its credits and its "not now".
//!
//! A block is final when its certificate exists, and the certificate leaves this plugin only towards the engine, which
//! publishes nothing before body and certificate are durable. So a block that was taken over but not yet durable when
//! the process died was seen by nobody, and `start` goes on after the last durable one without having contradicted
//! itself.
//!
//! Modules: [`config`] (the operator's part), [`sequencer`] (the state machine).

pub mod config;
pub mod sequencer;

pub use config::{Config, EmptyBlocks};
pub use sequencer::Solo;

millrace_plugin_sdk::export_plugin!(stepped Solo);
