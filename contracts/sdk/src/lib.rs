//! Write Millrace contracts in Rust.
//!
//! A contract is a program of its own: a module with `#[contract]`, whose functions read and write through
//! [`storage`](mod@storage) and [`host`]. What they return ends the frame; a panic reverts with its message.
//!
//! ```
//! use millrace_contract::contract;
//!
//! #[contract]
//! mod notes {
//!     use millrace_contract::storage::Map;
//!     use millrace_contract::{Address, Error, Event, host, storage};
//!
//!     #[storage]
//!     struct Storage {
//!         notes: Map<Address, u64>,
//!     }
//!
//!     #[derive(Event)]
//!     struct Kept {
//!         #[topic]
//!         owner: Address,
//!         note: u64,
//!     }
//!
//!     #[derive(Error)]
//!     enum NoteError {
//!         /// A note must not be zero.
//!         Zero,
//!     }
//!
//!     #[init]
//!     fn init() {}
//!
//!     /// Keeps a note of the caller.
//!     #[call(0x01)]
//!     fn keep(note: u64) -> Result<(), NoteError> {
//!         if note == 0 {
//!             return Err(NoteError::Zero);
//!         }
//!         let owner = host::caller();
//!         STORAGE.notes.set(&owner, note);
//!         Kept { owner, note }.emit();
//!         Ok(())
//!     }
//!
//!     /// The note of an account, or zero.
//!     #[call(0x10)]
//!     fn note_of(owner: Address) -> u64 {
//!         STORAGE.notes.get_or_zero(&owner)
//!     }
//! }
//! ```
//!
//! Reading order: [`dispatch`] (from the entry point to a function), [`encoding`] (inputs, outputs and stored values as
//! bytes), [`storage`](mod@storage), [`event`], [`error`], [`host`] (every host call, typed), [`client`] (calls of other
//! contracts), [`allocator`], and for tests on this machine [`mock`], the host in memory. [`interface`] describes a
//! contract as JSON.
//!
//! The numbers and layouts of host calls are those of `docs/spec/host-calls.md`, those of inputs, keys and interfaces
//! of `docs/spec/contracts.md`. Code for the chain is built by `contracts/build.sh`; every other target gets the host
//! in memory.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

mod address;
pub mod allocator;
pub mod client;
pub mod dispatch;
pub mod encoding;
pub mod error;
pub mod event;
#[cfg(target_os = "none")]
mod guest;
pub mod host;
#[cfg(not(target_os = "none"))]
pub mod interface;
#[cfg(not(target_os = "none"))]
pub mod mock;
#[cfg_attr(
    not(target_os = "none"),
    allow(dead_code, reason = "a panic unwinds on this machine")
)]
mod panic;
mod revert;
pub mod storage;

pub use address::Address;
pub use encoding::Fixed;
pub use error::Error;
pub use event::Event;
pub use millrace_contract_macros::{Error, Event, Fixed, contract, import, storage};
pub use revert::Revert;

/// This SDK's version, as interfaces name it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What macros name, since `std` and `alloc` are known by different names in different builds.
#[doc(hidden)]
pub use alloc::{string::String as Text, vec::Vec as List};

#[doc(hidden)]
pub type Bytes = alloc::vec::Vec<u8>;

#[cfg(target_os = "none")]
use guest as imp;
#[cfg(not(target_os = "none"))]
use mock::calls as imp;
