//! A version: its name, its place, and its contents in the form they have at the time.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use millrace_proof::Root;

use crate::changes::Changes;
use crate::header::Epoch;
use crate::log::Position;
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

/// What a version is once its root is known and it lies in the log.
#[derive(Clone, Copy)]
pub(crate) struct Committed {
    pub(crate) trie: Trie,
    pub(crate) digest: ChangesDigest,
    pub(crate) epoch: Epoch,
    /// Number of its record.
    pub(crate) sequence: u64,
    /// Where its record lies.
    pub(crate) position: Position,
}

impl Committed {
    /// What reading starts from.
    pub(crate) fn base(&self) -> Base {
        Base {
            trie: self.trie,
            floor: self.epoch.floor,
        }
    }
}

/// A trie, and what has to be kept of the log so that it can be read.
#[derive(Clone, Copy)]
pub(crate) struct Base {
    pub(crate) trie: Trie,
    /// All that the trie reaches lies behind this.
    pub(crate) floor: Position,
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
    /// Held by whoever computes the root.
    committing: Mutex<()>,
}

/// What a version reads from.
#[derive(Clone)]
pub(crate) enum Contents {
    Trie(Base),
    Overlay(Arc<Overlay>),
}

impl Version {
    /// A version that lies in the log.
    pub(crate) fn committed(
        id: VersionId,
        height: u64,
        parent: Option<VersionId>,
        committed: Committed,
    ) -> Self {
        Self {
            id,
            height,
            parent,
            committed: Arc::new(CommitCell::from(committed)),
            overlay: RwLock::new(None),
            committing: Mutex::new(()),
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
            committing: Mutex::new(()),
        }
    }

    pub(crate) fn contents(&self) -> Contents {
        if let Some(committed) = self.committed.get() {
            return Contents::Trie(committed.base());
        }
        let overlay = self
            .overlay
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match overlay {
            Some(overlay) => Contents::Overlay(overlay),
            None => Contents::Trie(
                self.committed
                    .get()
                    .expect("an overlay is taken only once the trie is there")
                    .base(),
            ),
        }
    }

    /// What has to be kept of the log so that the version, and views of it, can be read.
    pub(crate) fn floor(&self) -> Position {
        match self.contents() {
            Contents::Trie(base) => base.floor,
            Contents::Overlay(overlay) => overlay.floor(),
        }
    }

    pub(crate) fn commit_info(&self) -> Option<Commit> {
        let committed = self.committed.get()?;
        Some(Commit {
            id: self.id,
            height: self.height,
            root: committed.trie.root(),
        })
    }

    /// Has the root computed by `write`, which is given the changes and gives where that lies. Repeated and concurrent calls
    /// agree, and only one of them writes.
    pub(crate) fn commit<E>(
        &self,
        write: impl FnOnce(&Changes) -> Result<Committed, E>,
    ) -> Result<Commit, E> {
        let _only_one = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Contents::Overlay(overlay) = self.contents() {
            let committed = write(overlay.changes())?;
            self.committed.get_or_init(|| committed);
            drop(self.take_overlay());
        }
        Ok(self
            .commit_info()
            .expect("the trie is there from the first commit on"))
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
