//! One version, read and proved.

use std::iter::Peekable;
use std::sync::Arc;

use millrace_proof::{BatchProof, Path, Proof, Root};

use crate::changes::{Changes, Value};
use crate::error::{ProveError, ReadError};
use crate::trie::{Iter, Trie};
use crate::version::{Contents, Version, VersionId};

/// A version as it was when the view was taken: cheap to copy, free of locks, unaffected by whatever happens to the
/// store, even by the version being dropped there. Only its root, and proofs with it, appear later.
#[derive(Clone)]
pub struct View {
    version: Arc<Version>,
    contents: Contents,
}

impl View {
    pub(crate) fn new(version: Arc<Version>) -> Self {
        Self {
            contents: version.contents(),
            version,
        }
    }

    /// The version's id.
    #[must_use]
    pub fn id(&self) -> VersionId {
        self.version.id
    }

    /// The version's height.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.version.height
    }

    /// The version's root, `None` until it is committed.
    #[must_use]
    pub fn root(&self) -> Option<Root> {
        self.version.commit_info().map(|commit| commit.root)
    }

    /// The value under `path`, or `None` if there is none. An empty value is a value.
    ///
    /// # Errors
    /// [`ReadError`] when the store failed: never for a store in memory.
    pub fn get(&self, path: &Path) -> Result<Option<Value>, ReadError> {
        let value = match &self.contents {
            Contents::Trie(trie) => trie.get(path),
            Contents::Overlay(overlay) => overlay.get(path),
        };
        Ok(value.cloned())
    }

    /// A proof of what `path` holds, value or nothing, against [`Self::root`].
    ///
    /// # Errors
    /// [`ProveError::NotCommitted`] until the version is committed.
    pub fn prove(&self, path: &Path) -> Result<Proof, ProveError> {
        Ok(self.trie()?.prove(path))
    }

    /// One proof of what each of `paths` holds, against [`Self::root`]; nodes that they share appear once. The paths
    /// must be distinct and ascend, as for [`millrace_proof::verify_batch`].
    ///
    /// # Errors
    /// [`ProveError::NotCommitted`] until the version is committed, [`ProveError::PathsNotAscending`].
    pub fn prove_batch(&self, paths: &[Path]) -> Result<BatchProof, ProveError> {
        if paths.is_empty() || !paths.is_sorted_by(|a, b| a < b) {
            return Err(ProveError::PathsNotAscending);
        }
        Ok(self.trie()?.prove_batch(paths))
    }

    /// All values by ascending path. Taking the first costs time in proportion to what is not committed yet.
    ///
    /// # Errors
    /// Each item is a [`ReadError`] when the store failed: never for a store in memory.
    pub fn iter(&self) -> impl Iterator<Item = Result<(Path, Value), ReadError>> + '_ {
        let (trie, changes) = match &self.contents {
            Contents::Trie(trie) => (trie, Arc::default()),
            Contents::Overlay(overlay) => (overlay.base(), overlay.flattened()),
        };
        Merged {
            base: trie.iter().peekable(),
            changes,
            next: 0,
        }
        .map(Ok)
    }

    fn trie(&self) -> Result<Trie, ProveError> {
        self.version.trie().ok_or(ProveError::NotCommitted {
            id: self.id(),
            height: self.height(),
        })
    }
}

/// The values of a trie under a set of changes, in the order of their paths.
struct Merged<'a> {
    base: Peekable<Iter<'a>>,
    changes: Arc<Changes>,
    /// The first change that is still to come.
    next: usize,
}

impl Iterator for Merged<'_> {
    type Item = (Path, Value);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((changed, written)) = self.changes.entries().get(self.next) else {
                return self.base.next().map(|(path, value)| (*path, value.clone()));
            };
            if let Some((path, value)) = self.base.next_if(|(path, _)| *path < changed) {
                return Some((*path, value.clone()));
            }
            self.base.next_if(|(path, _)| *path == changed);
            self.next += 1;
            if let Some(value) = written {
                return Some((*changed, value.clone()));
            }
        }
    }
}
