//! What Millrace's nodes, light clients and plugins agree on, byte for byte.
//!
//! Reading order: [`hash`] (every hash and its domain), [`address`], [`transaction`], [`block`], [`receipt`],
//! [`merkle`] (roots and inclusion proofs), [`settlement`] (what a header may say after its parent), [`state`]
//! (what the authenticated state holds and under which paths), [`chain_spec`], [`certificate`], [`keys`];
//! [`codec`] and [`bounded`] (strict decoding within limits), [`hex`] and, with the feature `serde`, [`json`].
//!
//! The rules are those of `docs/spec/blocks.md`. Two invariants hold everywhere: a value has exactly one byte
//! string (decoding rejects every other), and decoding allocates no more than a small multiple of the bytes it has
//! read.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod address;
pub mod block;
pub mod bounded;
pub mod certificate;
pub mod chain_spec;
pub mod codec;
pub mod hash;
pub mod hex;
#[cfg(feature = "serde")]
pub mod json;
pub mod keys;
pub mod merkle;
pub mod receipt;
#[cfg(feature = "json-schema")]
mod schema;
pub mod settlement;
pub mod state;
pub mod transaction;

pub use address::Address;
pub use block::{Block, Body, Header};
pub use certificate::{SoloCertificate, Statement};
pub use chain_spec::{ChainSpec, Commitment};
pub use codec::DecodeError;
pub use hash::Hash;
pub use keys::{PublicKey, SecretKey, SignatureError};
pub use receipt::{ExecutionReceipt, ExecutionStatus, Failure, Log, Outcome, TransactionReceipt};
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
