//! Key paths, node hashing and proof verification of the state trie.
//!
//! The state is a binary Merkle trie over 32-byte paths. This crate holds what a prover and a verifier share and
//! nothing that stores state, so that a light client (`no_std` with `alloc`) links it alone. The rules are those
//! of `docs/spec/state.md`.
//!
//! Reading order: [`path`] (bits of a path), [`node`] (the hash rules), [`proof`] (one path), [`batch`] (many
//! paths that share nodes).
//!
//! ```
//! use millrace_proof::{Proof, Terminal, hash_leaf, hash_value, verify_value};
//!
//! // A trie with one value is one leaf, at the root.
//! let path = [7; 32];
//! let root = hash_leaf(&path, &hash_value(b"hello"));
//! let proof = Proof::new(Terminal::Present(hash_value(b"hello")), &[])?;
//! verify_value(&root, &path, Some(b"hello"), &proof)?;
//! assert!(verify_value(&root, &path, None, &proof).is_err());
//!
//! let received = Proof::from_bytes(&proof.to_bytes())?;
//! verify_value(&root, &path, Some(b"hello"), &received)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Invariants:
//! - Verification is a pure function of root, paths and proof. It never panics, takes time linear in the sizes of
//!   its arguments, and a proof in memory is no larger than its bytes plus a constant.
//! - A proof has one encoding, and a root and a path have one proof: whatever bytes were altered, verification
//!   fails or (with a hash collision) BLAKE3 is broken.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod batch;
pub mod node;
pub mod path;
pub mod proof;

pub use batch::{BatchProof, Step, verify_batch};
pub use node::{EMPTY, Node, NodeKind, Root, ValueHash, hash_internal, hash_leaf, hash_value, kind};
pub use path::Path;
pub use proof::{DecodeError, Proof, ProofError, Terminal, verify, verify_value};
