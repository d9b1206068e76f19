//! Authenticated, versioned key-value state.
//!
//! Keys are 32-byte [`Path`]s, values are bytes. A *version* is the whole state after one step; whoever uses the
//! store names versions by ids of its own (the engine: block hashes) and says which version each one follows, so
//! that versions form a tree with a fork wherever two follow the same parent. Every retained version can be read,
//! and once committed, proved against its Merkle root.
//!
//! ```text
//!                insert                 commit                 persist            set_finalized, retention
//!   changes ──────────────▶ overlay ──────────────▶ record, root ───────▶ durable ───────────────────────▶ dropped, and
//!                              │                        ▲                                        ▲         forgotten
//!                              └────────────────────────│── discard, or another branch final ────┘         by the log
//!                          readable at once     readable, provable
//! ```
//!
//! Reading order: [`changes`] (what a version writes), [`files`] and [`log`] (records that are durable, read in place),
//! `trie` (nodes in records: reading, proofs, updates, roots), `overlay` (reads before the root is there), `header` (what a
//! version's record says), [`version`], [`store`] (the tree of versions and what is done with them), [`view`] (one version,
//! read), [`check`] and [`export`] (a store that nobody has open, a version as a stream), [`error`].
//!
//! [`Store::open`] keeps everything in memory; [`Store::open_in`] in a directory, and a restart finds it again:
//! [`Store::newest_persisted`] says from where to go on. The rules are those of `docs/spec/state.md`.
//!
//! Invariants:
//! - A root is a function of the set of (path, value) pairs alone: not of the order of writes, nor of forks.
//! - No lock is held while hashing, reading or dropping a trie: a reader waits for no commit, a commit for no reader.
//! - A [`View`] stays what it was when taken, whatever is inserted, committed, finalized or discarded later.
//!
//! ```
//! use millrace_state::{Changes, Config, Genesis, Store, VersionId, verify_value};
//!
//! let write = |value: &[u8]| Changes::from_iter([([1; 32], Some(value.into()))]);
//! let genesis = Genesis { id: VersionId([0; 32]), height: 0, changes: write(b"old") };
//! let store = Store::open(Config::default(), genesis)?;
//!
//! let block = VersionId([1; 32]);
//! store.insert(VersionId([0; 32]), block, 1, write(b"new"))?;
//! let view = store.view(block).expect("it was just inserted");
//! assert_eq!(view.get(&[1; 32])?.as_deref(), Some(&b"new"[..]));
//!
//! let root = store.commit(block)?.root;
//! let proof = view.prove(&[1; 32])?;
//! verify_value(&root, &[1; 32], Some(b"new"), &proof)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_code)]

pub mod changes;
pub mod check;
pub mod error;
pub mod export;
pub mod files;
mod header;
pub mod log;
#[cfg(test)]
mod model;
mod overlay;
pub mod store;
mod trie;
pub mod version;
pub mod view;

pub use changes::{Changes, Value};
pub use error::{
    CommitError, DiscardError, FinalizeError, InsertError, OpenError, PersistError, ProveError, ReadError,
    RollBackError,
};
pub use millrace_proof::{BatchProof, Path, Proof, ProofError, Root, verify, verify_batch, verify_value};
pub use store::{Config, Genesis, Stats, Store};
pub use version::{Commit, VersionId};
pub use view::View;
