//! What can go wrong: faults of this node's disk, and broken promises of the caller.

use std::path::PathBuf;

use millrace_types::{Hash, Height};

/// Why a ledger did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database refused.
    #[error(
        "ledger {path}: {source}; if the file is damaged, restore it from a backup or start with an empty data directory"
    )]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: Box<redb::Error>,
    },
    /// Another process has it.
    #[error(
        "ledger {path} is in use by another process; stop that node first, or name another data directory"
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer program.
    #[error(
        "ledger {path} has format {found}, this build reads formats up to {known}; use the newer build that wrote it"
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that this build knows.
        known: u32,
    },
    /// The data of another chain.
    #[error(
        "ledger {path} belongs to the chain with spec hash {found}, the chain spec given hashes to {expected}; give the spec that created it, or another data directory"
    )]
    OtherChain {
        /// The file.
        path: PathBuf,
        /// The chain that it holds.
        found: Hash,
        /// The chain asked for.
        expected: Hash,
    },
    /// Not a ledger, or damaged.
    #[error("ledger {path}: {what}; restore it from a backup or start with an empty data directory")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// Why a look-up or a commit failed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The disk or the database failed. The node stops before it publishes anything that depends on it.
    #[error(
        "ledger: {0}; nothing after the last acknowledged commit is durable: check the disk, then restart the node"
    )]
    Storage(Box<redb::Error>),
    /// A record does not decode.
    #[error("ledger: the {record} of {key} does not decode ({reason}); restore the ledger from a backup")]
    Corrupt {
        /// Kind of record.
        record: &'static str,
        /// Its key.
        key: String,
        /// Why.
        reason: String,
    },
    /// Two receipts for one block hash: execution was not deterministic, or a disk changed bytes.
    #[error("ledger: block {block} already has another receipt; both are kept, the node must stop")]
    ReceiptConflict {
        /// The block.
        block: Hash,
    },
    /// Two finalized blocks at one height.
    #[error(
        "ledger: height {height} is finalized as {stored}, not {given}; the consensus plugin contradicts itself"
    )]
    FinalityConflict {
        /// Where.
        height: Height,
        /// What is finalized.
        stored: Hash,
        /// What was to be finalized.
        given: Hash,
    },
    /// A batch refers to a block that is neither in it nor stored.
    #[error("ledger: block {block} is not stored; write its body before its {record}")]
    MissingBlock {
        /// The block.
        block: Hash,
        /// What was to be written.
        record: &'static str,
    },
}

macro_rules! storage_error {
    ($($from:ty),*) => {$(
        impl From<$from> for LedgerError {
            fn from(error: $from) -> Self {
                Self::Storage(Box::new(error.into()))
            }
        }
    )*};
}
storage_error!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError
);
