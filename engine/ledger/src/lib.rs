//! Blocks, certificates, receipts and their indexes, durable on an embedded database (redb).
//!
//! The ledger is what a node can be rebuilt from: state is a function of it. It knows nothing of forks, votes or
//! execution; [`Batch`] names every kind of record, [`Ledger::commit`] makes a batch durable at once or not at
//! all. When `commit` has returned, the batch survives a power loss.
//!
//! Reading order: [`Batch`] (what can be written), [`Ledger`] (open, commit, look up), [`LogSummary`] (which blocks a search for
//! logs can pass by), [`LedgerError`].
//!
//! Invariants:
//! - a receipt is a function of its block's hash: a second, different one is refused ([`LedgerError::ReceiptConflict`]);
//! - a finalized height never changes its block ([`LedgerError::FinalityConflict`]);
//! - a damaged file is an error with the record's name, never a panic and never another value ([`LedgerError::Corrupt`]);
//! - records are keyed by block hash, so writing one again is harmless and losing forks keep what was published.
#![forbid(unsafe_code)]

mod batch;
mod contain;
mod error;
mod open;
mod overlay;
mod read;
mod seal;
mod summary;
mod tables;
mod write;

pub use batch::Batch;
pub use error::{LedgerError, OpenError};
pub use open::{FORMAT_VERSION, Ledger};
pub use read::{Finalized, Inclusion};
pub use summary::{LogKey, LogSummary};
