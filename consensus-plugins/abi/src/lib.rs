//! The C ABI between Millrace and its consensus plugins, version 1.
//!
//! A plugin is a shared object that exports one data symbol, [`ENTRY_SYMBOL`], of type [`Plugin`], and carries an
//! ELF note ([`note`]) that the host reads before any code of the library runs. The host hands the plugin a
//! [`Host`] table when it starts it; from then on
//!
//! ```text
//!            start(host, chain state)   deliver(event)*   stop(deadline)
//!   host  ───────────────────────────────────────────────────────────────▶  plugin
//!         ◀───────────────────────────────────────────────────────────────
//!            request_block, validate, submit_finalized, timers, kv, log, …
//!         ······························································▶
//!            pressure: a record that the plugin reads at no cost
//! ```
//!
//! Reading order: [`status`] (what calls return), [`bytes`] (borrowed and owned bytes), [`note`], [`plugin`] (what
//! the host calls), [`event`] (what it delivers), [`host`] (what the plugin calls), [`fork_choice`] (an optional
//! capability), [`pressure`].
//!
//! Invariants of the layout, pinned by `tests/layout.rs`:
//! - every table and record begins with its own size (tables: magic, major, minor, size); within a major version
//!   fields are only ever appended, and a field is read only if it lies within the size that its maker wrote;
//! - numbers are fixed-width, little endian, naturally aligned, without hidden padding; no C `enum` and no `bool`
//!   crosses, so that no bit pattern is undefined;
//! - blocks, headers and certificates cross as canonical bytes, opaque to this crate, which depends on nothing.
//!
//! The C header `include/millrace_plugin.h` is generated from this source and kept in step by a test. Who may call
//! what, when and from which thread is specified in `docs/spec/plugin-abi.md`.
#![no_std]

pub mod bytes;
pub mod event;
pub mod fork_choice;
pub mod host;
pub mod note;
pub mod plugin;
pub mod pressure;
pub mod status;

pub use bytes::{Buffer, Bytes, Hash};
pub use event::{Event, EventData};
pub use fork_choice::ForkChoice;
pub use host::{BuildRequest, Host};
pub use note::{Note, NoteDescriptor};
pub use plugin::{ChainState, Plugin};
pub use pressure::{Pressure, PressureValues};
pub use status::Status;

/// Major version of the ABI. Host and plugin must have the same.
pub const ABI_MAJOR: u16 = 1;
/// Minor version of the ABI. Each side takes any minor of the other: fields beyond the other's size are absent.
pub const ABI_MINOR: u16 = 0;
/// Version of the canonical bytes of blocks and headers that cross the ABI. Host and plugin must have the same.
pub const SCHEMA: u32 = 1;
/// The data symbol, of type [`Plugin`], that a plugin exports.
pub const ENTRY_SYMBOL: &str = "millrace_plugin";
/// First word of the table that a plugin exports: the bytes `MLRPLUG1` in memory order.
pub const PLUGIN_MAGIC: u64 = 0x3147_554C_5052_4C4D;
/// First word of the table that the host hands over: the bytes `MLRHOST1` in memory order.
pub const HOST_MAGIC: u64 = 0x3154_534F_4852_4C4D;
