//! What can go wrong, one type for each operation.
//!
//! None of these leaves the store changed, but that it takes nothing more after the disk refused. All are open to new cases.

use crate::log::{OpenLogError, Place, WriteError};
use crate::version::VersionId;

/// Why [`crate::Store::open`] refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Nothing would be retained.
    #[error("the retention window is 0 versions: it takes at least 1, the finalized one")]
    NoRetention,
    /// Versions would be moved forward in less than 1 step or more than 2^20.
    #[error("{bits} sweep bits: there are at most {limit}")]
    SweepBits {
        /// As configured.
        bits: u32,
        /// The most.
        limit: u32,
    },
    /// The log cannot be opened.
    #[error(transparent)]
    Log(#[from] OpenLogError),
    /// The genesis, or what was found, cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What was found cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The directory holds versions, but none that the others descend from.
    #[error(
        "{place}: no version of the state there is whole with what it descends from; restore the directory from a copy, or \
         delete it, and the state is executed again from the ledger"
    )]
    NoVersion {
        /// Where the newest lies.
        place: Place,
    },
    /// The directory belongs to another chain.
    #[error("the directory holds the state of another chain: its genesis is {found}, not {expected}")]
    OtherGenesis {
        /// The genesis in the directory.
        found: VersionId,
        /// The genesis given.
        expected: VersionId,
    },
}

/// Why [`crate::Store::insert`] refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InsertError {
    /// The parent was never inserted, was discarded, or fell out of the retention window.
    #[error("version {id} follows {parent}, which the store does not hold: insert the parent first")]
    UnknownParent {
        /// The version to insert.
        id: VersionId,
        /// Its parent.
        parent: VersionId,
    },
    /// Heights along a branch count up by one.
    #[error("version {id} is said to be at height {height}, one above its parent is {expected}")]
    WrongHeight {
        /// The version to insert.
        id: VersionId,
        /// The height given.
        height: u64,
        /// The parent's height plus one.
        expected: u64,
    },
    /// A version of this id is there with another parent, height or changes. An id names one content forever.
    #[error("version {id} at height {height} is there already with another content: two executions differ")]
    Conflict {
        /// The version to insert.
        id: VersionId,
        /// The height at which it is there.
        height: u64,
    },
    /// The version would be a branch against finality.
    #[error(
        "version {id} follows {parent}, an ancestor of the finalized version {finalized}: the branch is lost"
    )]
    AgainstFinality {
        /// The version to insert.
        id: VersionId,
        /// Its parent.
        parent: VersionId,
        /// The finalized version.
        finalized: VersionId,
    },
}

/// Why [`crate::Store::commit`] computed no root.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// No such version is held.
    #[error(
        "version {0} is not held: it was never inserted, was discarded, or fell out of the retention window"
    )]
    UnknownVersion(VersionId),
    /// Roots are computed parents first.
    #[error("version {id} follows {parent}, which is not committed: commit the parent first")]
    ParentNotCommitted {
        /// The version to commit.
        id: VersionId,
        /// Its parent.
        parent: VersionId,
    },
    /// The parent cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The disk refused; the store takes no more commits.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why [`crate::Store::persist`] did nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PersistError {
    /// No such version is held.
    #[error(
        "version {0} is not held: it was never inserted, was discarded, or fell out of the retention window"
    )]
    UnknownVersion(VersionId),
    /// Only versions with a root are kept.
    #[error("version {0} is not committed: commit it first")]
    NotCommitted(VersionId),
    /// The disk refused; the store takes no more commits. Whether the version is durable is known by opening it again.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why [`crate::Store::set_finalized`] refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FinalizeError {
    /// No such version is held.
    #[error(
        "version {0} is not held: it was never inserted, was discarded, or fell out of the retention window"
    )]
    UnknownVersion(VersionId),
    /// Finality never goes back and never changes branch.
    #[error(
        "version {id} does not descend from the finalized version {finalized}: finality cannot move there"
    )]
    AgainstFinality {
        /// The version that was to be final.
        id: VersionId,
        /// The finalized version.
        finalized: VersionId,
    },
}

/// Why [`crate::Store::roll_back`] refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RollBackError {
    /// No such version is held.
    #[error(
        "version {0} is not held: it was never inserted, was discarded, or fell out of the retention window"
    )]
    UnknownVersion(VersionId),
    /// What a store goes back to has a root.
    #[error("version {0} is not committed: commit it first")]
    NotCommitted(VersionId),
    /// The disk refused; the store takes no more commits.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why [`crate::Store::discard`] refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscardError {
    /// No such version is held.
    #[error(
        "version {0} is not held: it was never inserted, was discarded, or fell out of the retention window"
    )]
    UnknownVersion(VersionId),
    /// The finalized version and its ancestors stay until they fall out of the retention window.
    #[error("version {0} is final: only versions above the finalized one can be discarded")]
    Final(VersionId),
}

/// Why [`crate::View::get`] and [`crate::View::iter`] gave no answer.
///
/// A store in memory cannot fail.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// What lies there is not what was written.
    #[error(
        "the state is damaged in {0}: what lies there, or what refers to it, is not what was written; restore the directory from a copy, or \
         delete it, and the state is executed again from the ledger"
    )]
    Damaged(Place),
}

/// Why [`crate::View::prove`] or [`crate::View::prove_batch`] gave no proof.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// A proof needs the version's root.
    #[error("version {id} at height {height} has no root yet: commit it first")]
    NotCommitted {
        /// The view's version.
        id: VersionId,
        /// Its height.
        height: u64,
    },
    /// The view was taken before the version was committed, and used after it was dropped.
    #[error(
        "version {id} at height {height} was dropped: take the view of a committed version to keep its proofs"
    )]
    Forgotten {
        /// The view's version.
        id: VersionId,
        /// Its height.
        height: u64,
    },
    /// What lies on the disk is not what was written.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The paths asked at once are none, repeat, or are out of order.
    #[error("a batch is proved for at least one path, in ascending order without repetition")]
    PathsNotAscending,
}
