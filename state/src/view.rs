//! One version, read and proved.

use std::iter::Peekable;
use std::sync::Arc;

use millrace_proof::{BatchProof, Path, Proof, Root};

use crate::changes::{Changes, Value};
use crate::error::{ProveError, ReadError};
use crate::log::{Log, Snapshot};
use crate::overlay::Overlay;
use crate::trie::{Iter, Trie};
use crate::version::{Contents, Version, VersionId};

/// A version as it was when the view was taken: cheap to copy, free of locks, unaffected by whatever happens to the
/// store, even by the version being dropped there. Only its root, and proofs with it, appear later.
#[derive(Clone)]
pub struct View {
    version: Arc<Version>,
    /// What was not committed, and the first of its layers that counts.
    overlay: Option<(Arc<Overlay>, usize)>,
    /// What lies below.
    base: Trie,
    /// Taken after the base was committed.
    snapshot: Arc<Snapshot>,
    /// For proofs, where the version is committed later.
    log: Arc<Log>,
}

impl View {
    /// A view of a version that is held. Meanwhile nothing that the version reaches may leave the log.
    pub(crate) fn new(version: Arc<Version>, log: &Arc<Log>) -> Self {
        let (overlay, base) = match version.contents() {
            Contents::Trie(base) => (None, base),
            Contents::Overlay(overlay) => {
                let (base, first) = overlay.newest_base();
                (Some((overlay, first)), base)
            }
        };
        Self {
            version,
            overlay,
            base: base.trie,
            snapshot: log.snapshot(),
            log: Arc::clone(log),
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
    /// [`ReadError`] when what lies on the disk is not what was written.
    pub fn get(&self, path: &Path) -> Result<Option<Value>, ReadError> {
        if let Some((overlay, first)) = &self.overlay
            && let Some(written) = overlay.get(*first, path)
        {
            return Ok(written.cloned());
        }
        Ok(self.base.get(&self.snapshot, path)?.map(Value::from))
    }

    /// A proof of what `path` holds, value or nothing, against [`Self::root`].
    ///
    /// # Errors
    /// [`ProveError::NotCommitted`] until the version is committed, [`ProveError::Forgotten`], [`ProveError::Read`].
    pub fn prove(&self, path: &Path) -> Result<Proof, ProveError> {
        let (trie, snapshot) = self.trie()?;
        Ok(trie.prove(&snapshot, path)?)
    }

    /// One proof of what each of `paths` holds, against [`Self::root`]; nodes that they share appear once. The paths
    /// must be distinct and ascend, as for [`millrace_proof::verify_batch`].
    ///
    /// # Errors
    /// As for [`Self::prove`], and [`ProveError::PathsNotAscending`].
    pub fn prove_batch(&self, paths: &[Path]) -> Result<BatchProof, ProveError> {
        if paths.is_empty() || !paths.is_sorted_by(|a, b| a < b) {
            return Err(ProveError::PathsNotAscending);
        }
        let (trie, snapshot) = self.trie()?;
        Ok(trie.prove_batch(&snapshot, paths)?)
    }

    /// All values by ascending path. Taking the first costs time in proportion to what is not committed yet.
    ///
    /// # Errors
    /// Each item is a [`ReadError`] when what lies on the disk is not what was written; the last one then.
    pub fn iter(&self) -> impl Iterator<Item = Result<(Path, Value), ReadError>> + '_ {
        let changes = match &self.overlay {
            Some((overlay, first)) => overlay.flattened(*first),
            None => Arc::default(),
        };
        Merged {
            base: self.base.iter(&self.snapshot).peekable(),
            changes,
            next: 0,
        }
    }

    /// The version's trie, and what it is read from.
    pub(crate) fn trie(&self) -> Result<(Trie, Arc<Snapshot>), ProveError> {
        if self.overlay.is_none() {
            return Ok((self.base, Arc::clone(&self.snapshot)));
        }
        let (id, height) = (self.id(), self.height());
        let committed = self
            .version
            .committed
            .get()
            .ok_or(ProveError::NotCommitted { id, height })?;
        let snapshot = self.log.snapshot();
        if committed.epoch.floor.segment() < snapshot.first_segment() {
            return Err(ProveError::Forgotten { id, height });
        }
        Ok((committed.trie, snapshot))
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
    type Item = Result<(Path, Value), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((changed, written)) = self.changes.entries().get(self.next) else {
                let next = self.base.next()?;
                return Some(next.map(|(path, value)| (*path, value.into())));
            };
            let before = self
                .base
                .next_if(|next| next.as_ref().map_or(true, |(path, _)| *path < changed));
            if let Some(next) = before {
                return Some(next.map(|(path, value)| (*path, value.into())));
            }
            self.base
                .next_if(|next| next.as_ref().is_ok_and(|(path, _)| *path == changed));
            self.next += 1;
            if let Some(value) = written {
                return Some(Ok((*changed, value.clone())));
            }
        }
    }
}
