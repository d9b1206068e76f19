//! The safe way to write a consensus plugin.
//!
//! A plugin decides the order of blocks and which of them are final, and nothing else. It comes in one of two modes:
//!
//! - **stepped** ([`Stepped`]): a state machine without I/O. An event and the time go in, actions come out; the SDK
//!   performs them. Such a plugin is simulated and replayed exactly ([`harness`]). Start here.
//! - **threaded** ([`Plugin`]): brings its own threads, runtime and network, and calls the engine from any of them
//!   through a [`Host`].
//!
//! ```text
//!   engine ─▶ host ═▶ export (catches panics) ─▶ Plugin::deliver(Event)      threaded: calls Host at will
//!                                                  └─ Driver ─▶ Stepped::on_event(Event, Step)
//!                                                                 Step's actions ─▶ Host ═▶ engine
//! ```
//!
//! A plugin is a crate of type `cdylib` that depends on this one alone, and ends with [`export_plugin!`]:
//!
//! ```
//! use millrace_plugin_sdk::{ChainState, Event, StartError, Step, Stepped, export_plugin};
//!
//! struct Silent;
//!
//! impl Stepped for Silent {
//!     const CONSENSUS_ID: &'static str = "silent/1";
//!     const VERSION: &'static str = env!("CARGO_PKG_VERSION");
//!
//!     fn start(_chain: &ChainState, _step: &mut Step) -> Result<Self, StartError> {
//!         Ok(Self)
//!     }
//!
//!     fn on_event(&mut self, _event: Event, _step: &mut Step) {}
//! }
//!
//! export_plugin!(stepped Silent);
//! # fn main() {}
//! ```
//!
//! Reading order: [`event`] (what comes in), [`stepped`] (actions, the driver), [`plugin`] and [`host`] (the threaded
//! mode), [`harness`], [`bytes`], [`export`] (where the ABI is met; with [`host`] and [`bytes`] the only `unsafe`).
//!
//! Invariants: no panic leaves the plugin (every export and every thread root catches it, and a build with
//! `panic = "abort"` is refused); every request completes by exactly one event; the host's tables are checked before
//! they are used. The contract is `docs/spec/plugin-abi.md`.

pub mod bytes;
pub mod event;
pub mod export;
pub mod harness;
pub mod host;
pub mod plugin;
pub mod stepped;

pub use bytes::Bytes;
pub use event::{BlockBytes, BlockMark, Declined, Event, HeadDeclined, Submitted, Token};
pub use host::{Host, Level, Metric};
pub use millrace_plugin_abi as abi;
pub use millrace_plugin_abi::PressureValues;
pub use millrace_types as types;
pub use plugin::{ChainState, Plugin, StartError};
pub use stepped::{Action, BuildRequest, Driver, Step, Stepped};
