//! What Millrace's nodes, light clients and plugins agree on, byte for byte.
//!
//! Reading order: [`hash`] (every hash and its domain), [`address`], [`transaction`], [`block`], [`receipt`],
//! [`merkle`] (roots and inclusion proofs), [`state`] (what the authenticated state holds and under which
//! paths), [`chain_spec`], [`codec`] (bounded, canonical decoding).
//!
//! The rules are those of `docs/spec/blocks.md`. Two invariants hold everywhere: an encoding has exactly one
//! byte string (decoding rejects every other), and decoding allocates no more than the input's length.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod address;
pub mod block;
pub mod chain_spec;
pub mod codec;
pub mod hash;
pub mod merkle;
pub mod receipt;
pub mod state;
pub mod transaction;

pub use address::Address;
pub use block::{Block, Body, Header};
pub use chain_spec::{ChainSpec, Commitment};
pub use hash::Hash;
pub use receipt::{ExecutionReceipt, ExecutionStatus, Log, TransactionReceipt};
pub use transaction::{Payload, SignedTransaction, Transaction};

/// A block's distance from genesis, which is at height 0.
pub type Height = u64;
/// An amount of the native token in its smallest unit. Total supply stays below 2^127.
pub type Amount = u128;
/// Execution gas. Limits are at most 2^62 (`docs/spec/gas.md`).
pub type Gas = u64;
/// Native token units per unit of gas.
pub type GasPrice = u64;
/// Milliseconds since the Unix epoch.
pub type TimestampMs = u64;
