//! Loads, checks, isolates and feeds consensus plugins.
//!
//! ```text
//!   file ─▶ image (sealed memfd) ─▶ elf (note, pin) ─▶ library (dlopen, table) ─▶ thread: start, deliver*, stop
//!                                                                                    ▲            │
//!   engine ── handle: credit, work, settled, proposal … ──▶ inbox (bounded) ─────────┘            ▼
//!   engine ◀── Engine trait ◀── calls (host functions, tokens) ◀───────────────────────────── plugin
//!   engine ── PressureWriter ──▶ pressure record ·····························································▶ plugin
//! ```
//!
//! Reading order: [`handle`] (what the node holds), [`engine`] (what the node implements), [`error`], [`status`], then
//! the path of a plugin through `image`, `elf`, `library`, `thread`, `inbox`, `calls`.
//!
//! Invariants:
//! - no code of a file runs before its note, and its pin if there is one, were checked in the very bytes that are
//!   mapped: the file is read once, into memory that is sealed against writing;
//! - the plugin is entered by one thread only, one call at a time, and never again once it failed;
//! - every token that a host function accepted is delivered exactly once, unless the plugin failed;
//! - what the plugin can make the host hold is bounded: 1,024 requests, 64 proposals, 128 metric names, and the merged
//!   events take one place each;
//! - nothing handed to a plugin is ever freed or unmapped: tables, pressure record, library, file descriptor.
//!
//! The contract is `docs/spec/plugin-abi.md`.

pub mod engine;
pub mod error;
pub mod handle;
pub mod status;

mod calls;
mod elf;
mod event;
mod image;
mod inbox;
mod library;
mod metric;
mod shared;
mod thread;

pub use engine::{
    BlockBytes, BuildAnswer, BuildRequest, Engine, ForkChoice, HeadAnswer, Reply, Submitted, Verdict,
};
pub use error::{LoadError, ProposalsFull, StartError, StopError};
pub use handle::{ChainState, PluginHandle, PluginInfo, PluginSpec, PressureWriter};
pub use millrace_plugin_abi::PressureValues;
pub use status::{FailureKind, PluginFailure, PluginStatus};
