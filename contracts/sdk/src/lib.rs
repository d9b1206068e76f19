//! Write Millrace contracts in Rust.
//!
//! A contract is a program of its own: `contract!` lists its functions and makes the entry point, the functions
//! read and write through [`storage`] and [`host`], and what they return ends the frame. A panic reverts with its
//! message.
//!
//! ```
//! use millrace_contract::{Address, Revert, contract, host, storage::Map};
//!
//! const NOTES: Map<Address, u64> = Map::new(b"notes/");
//!
//! contract! {
//!     init => init();
//!     0x01 => keep(note: u64);
//!     0x10 => note_of(owner: Address) -> u64;
//! }
//!
//! fn init() {}
//!
//! fn keep(note: u64) -> Result<(), Revert> {
//!     if note == 0 {
//!         return Err("a note must not be zero".into());
//!     }
//!     NOTES.set(&host::caller(), note);
//!     Ok(())
//! }
//!
//! fn note_of(owner: Address) -> u64 {
//!     NOTES.get_or_zero(&owner)
//! }
//! ```
//!
//! Reading order: [`dispatch`] (from the entry point to a function), [`encoding`] (inputs, outputs and stored
//! values as bytes), [`storage`], [`host`] (every host call, typed), [`allocator`], and [`mock`], the host in
//! memory under which contracts are tested by `cargo test`.
//!
//! The numbers and layouts of host calls are those of `docs/spec/host-calls.md`. Code for the chain is built by
//! `contracts/build.sh`; every other target gets the host in memory.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

mod address;
pub mod allocator;
pub mod dispatch;
pub mod encoding;
#[cfg(target_os = "none")]
mod guest;
pub mod host;
#[cfg(not(target_os = "none"))]
pub mod mock;
#[cfg(target_os = "none")]
mod panic;
mod revert;
pub mod storage;

pub use address::Address;
pub use revert::Revert;

#[cfg(target_os = "none")]
use guest as imp;
#[cfg(not(target_os = "none"))]
use mock::calls as imp;
