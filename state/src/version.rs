//! A version: its name, its place, and its contents in the form they have at the time.

use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use millrace_proof::Root;

use crate::changes::Changes;
use crate::overlay::Overlay;
use crate::trie::{ChangesDigest, Trie, digest};

/// The caller's name for a version; the store reads nothing into it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionId(pub [u8; 32]);

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex(&self.0))
    }
}

impl fmt::Debug for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pub(crate) fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A version with its root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Commit {
    /// The version.
    pub id: VersionId,
    /// Its height.
    pub height: u64,
    /// The root over everything that the version holds.
    pub root: Root,
}

/// What a version is once its root is known.
#[derive(Clone)]
pub(crate) struct Committed {
    pub(crate) trie: Trie,
    digest: ChangesDigest,
}

/// Where a version's trie appears, once. Overlays above share the cell, to learn that they need to reach no deeper.
pub(crate) type CommitCell = OnceLock<Committed>;

/// One node of the tree of versions.
pub(crate) struct Version {
    pub(crate) id: VersionId,
    pub(crate) height: u64,
    pub(crate) parent: Option<VersionId>,
    pub(crate) committed: Arc<CommitCell>,
    /// `Some` until the commit. The lock is held to copy or take the pointer only.
    overlay: RwLock<Option<Arc<Overlay>>>,
}

/// What a version reads from.
#[derive(Clone)]
pub(crate) enum Contents {
    Trie(Trie),
    Overlay(Arc<Overlay>),
}

impl Version {
    /// The first version, committed from the start.
    pub(crate) fn genesis(id: VersionId, height: u64, changes: &Changes) -> Self {
        let (trie, digest) = Trie::default().updated(changes);
        let committed = Arc::new(CommitCell::from(Committed { trie, digest }));
        Self {
            id,
            height,
            parent: None,
            committed,
            overlay: RwLock::new(None),
        }
    }

    /// A version above `parent`, readable but without a root.
    pub(crate) fn child(parent: &Self, id: VersionId, changes: Arc<Changes>) -> Self {
        let committed = Arc::new(CommitCell::new());
        let overlay = Overlay::above(&parent.contents(), changes, committed.clone());
        Self {
            id,
            height: parent.height + 1,
            parent: Some(parent.id),
            committed,
            overlay: RwLock::new(Some(Arc::new(overlay))),
        }
    }

    pub(crate) fn contents(&self) -> Contents {
        if let Some(committed) = self.committed.get() {
            return Contents::Trie(committed.trie.clone());
        }
        let overlay = self
            .overlay
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match overlay {
            Some(overlay) => Contents::Overlay(overlay),
            None => Contents::Trie(
                self.trie()
                    .expect("an overlay is taken only once the trie is there"),
            ),
        }
    }

    pub(crate) fn trie(&self) -> Option<Trie> {
        self.committed.get().map(|committed| committed.trie.clone())
    }

    pub(crate) fn commit_info(&self) -> Option<Commit> {
        let committed = self.committed.get()?;
        Some(Commit {
            id: self.id,
            height: self.height,
            root: committed.trie.root(),
        })
    }

    /// Computes the root on top of the parent's trie. Repeated and concurrent calls agree.
    pub(crate) fn commit(&self, parent: &Trie) -> Commit {
        if let Contents::Overlay(overlay) = self.contents() {
            let (trie, digest) = parent.updated(overlay.changes());
            self.committed.get_or_init(|| Committed { trie, digest });
            drop(self.take_overlay());
        }
        self.commit_info()
            .expect("the trie is there from the first commit on")
    }

    /// Whether the version is what `parent` with `changes` gives.
    pub(crate) fn is_same(&self, parent: VersionId, height: u64, changes: &Changes) -> bool {
        let same_changes = match self.contents() {
            Contents::Overlay(overlay) => overlay.changes() == changes,
            Contents::Trie(_) => self.committed.get().is_some_and(|c| c.digest == digest(changes)),
        };
        self.parent == Some(parent) && self.height == height && same_changes
    }

    fn take_overlay(&self) -> Option<Arc<Overlay>> {
        self.overlay
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}
