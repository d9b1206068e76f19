//! Looking at a whole store that nobody has open: what is damaged, and what can still be read.

use std::collections::BTreeSet;

use millrace_proof::Root;

use crate::error::ReadError;
use crate::files::Files;
use crate::header::Header;
use crate::log::{self, OpenLogError, Place};
use crate::trie::{Said, Trie};
use crate::version::VersionId;

/// What a check found.
#[derive(Debug)]
pub struct Report {
    /// Whole records.
    pub records: usize,
    /// What opening the store would refuse for, in the order in which it lies: each names file and offset, and the height
    /// behind which it lies.
    pub damage: Vec<OpenLogError>,
    /// Bytes at the end that nobody was promised, and where they begin: what a power failure left. Opening cuts them off.
    pub torn: Option<(Place, u64)>,
    /// Every version of which there is a record, by height.
    pub versions: Vec<CheckedVersion>,
}

/// A version, and whether all of it can be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckedVersion {
    /// Its id.
    pub id: VersionId,
    /// Its height.
    pub height: u64,
    /// Its root.
    pub root: Root,
    /// How far it is there.
    pub condition: Condition,
}

/// How far a version is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// All of it, and its hashes lead to its root.
    Whole,
    /// It fell out of the retention window: part of what it reached was forgotten.
    Forgotten,
    /// Something of it is not what was written.
    Damaged(Place),
}

/// Reads all that a store's directory holds, and changes nothing. What is looked at is told to `progress`: versions checked,
/// and how many there are.
///
/// # Errors
/// [`OpenLogError::Io`] if the files cannot be read.
pub fn check(files: &dyn Files, mut progress: impl FnMut(usize, usize)) -> Result<Report, OpenLogError> {
    let found = log::inspect(files)?;
    let mut headers = Vec::new();
    for &(_, _, position) in &found.records {
        let at = found.snapshot.at(position);
        if let Some(Said::Version(header)) = at.and_then(|at| Said::read(at.bytes))
            && let Some(header) = Header::from_bytes(header)
        {
            headers.push(header);
        }
    }
    headers.sort_by_key(|header| (header.height, header.id));
    let mut seen = BTreeSet::new();
    let mut versions = Vec::with_capacity(headers.len());
    for (index, header) in headers.iter().enumerate() {
        let condition = if header.epoch.floor.segment() < found.snapshot.first_segment() {
            Condition::Forgotten
        } else {
            match (Trie { root: header.root }).check(&found.snapshot, &mut seen) {
                Ok(()) => Condition::Whole,
                Err(ReadError::Damaged(place)) => Condition::Damaged(place),
            }
        };
        versions.push(CheckedVersion {
            id: header.id,
            height: header.height,
            root: header.root.node,
            condition,
        });
        progress(index + 1, headers.len());
    }
    Ok(Report {
        records: found.records.len(),
        damage: found.damage,
        torn: found.torn,
        versions,
    })
}
