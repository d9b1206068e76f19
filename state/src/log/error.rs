//! What can go wrong with a log.

use std::fmt::{self, Display, Formatter};
use std::io;

/// A place in a log's files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Name of the file in the log's directory.
    pub file: String,
    /// Bytes from its start.
    pub offset: u64,
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.file, self.offset)
    }
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenLogError {
    /// The operating system's.
    #[error("the log's files cannot be read: {doing}: {source}")]
    Io {
        /// What was to be done.
        doing: String,
        /// Why not.
        source: io::Error,
    },
    /// Written by a newer program.
    #[error(
        "{file} has format {found} of the log, this build reads formats up to {known}; use the newer build that wrote it, or \
         delete the directory of states: it is made again from the ledger"
    )]
    NewerFormat {
        /// The file.
        file: String,
        /// Its format.
        found: u32,
        /// The newest that this build knows.
        known: u32,
    },
    /// Records that were durable once are gone or changed.
    #[error(
        "the log is damaged in {place}: record {sequence} (after label {last_label}) is not what was written, though it was \
         made durable; restore the directory from a copy, or start from a snapshot"
    )]
    Damaged {
        /// Where the record begins, or should.
        place: Place,
        /// Which it is.
        sequence: u64,
        /// Label of the last whole record before it, 0 if there is none.
        last_label: u64,
    },
    /// A file of the log's that does not follow the one before it.
    #[error(
        "{file} is no segment of this log, or files in front of it are missing: it begins with record {first}, not {expected}"
    )]
    Gap {
        /// The file.
        file: String,
        /// Its first record.
        first: u64,
        /// What should be its first record.
        expected: u64,
    },
}

/// Why something was not appended, or not made durable.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The disk refused. From here on the log takes nothing more: what is durable is known by opening it again.
    #[error(
        "the log cannot be written: {doing}: {reason}; mend the disk and restart, nothing that was acknowledged is lost"
    )]
    Poisoned {
        /// What failed first.
        doing: String,
        /// What the operating system said.
        reason: String,
    },
    /// More than a record can hold.
    #[error("a record of {len} bytes is larger than {limit}")]
    TooLarge {
        /// Its length.
        len: usize,
        /// The most.
        limit: usize,
    },
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadLogError {
    /// It was removed, or never written.
    #[error("record {sequence} is not in the log, which has {first} to {end}, the last excluded")]
    Missing {
        /// Which was asked for.
        sequence: u64,
        /// The oldest there is.
        first: u64,
        /// One above the newest.
        end: u64,
    },
    /// The operating system's.
    #[error("{place} cannot be read: {source}")]
    Io {
        /// Where.
        place: Place,
        /// Why not.
        source: io::Error,
    },
    /// It is not what was written.
    #[error("the log is damaged in {place}: record {sequence} is not what was written")]
    Damaged {
        /// Where it begins.
        place: Place,
        /// Which it is.
        sequence: u64,
    },
}
