//! The tree of versions.
//!
//! A store is a handle: clones share one tree, from any thread. The tree's lock guards the map of versions only.
//! Each operation takes the versions it needs out of the map and works on them without the lock; versions that
//! leave the map are dropped after the lock is released.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::changes::Changes;
use crate::error::{CommitError, DiscardError, FinalizeError, InsertError, OpenError, PersistError};
use crate::version::{Commit, Version, VersionId};
use crate::view::View;

/// How a store is set up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// How many versions stay readable and provable, counted from the finalized one down. Those above it all stay.
    pub retention: u64,
}

impl Default for Config {
    /// A retention of 1,024 versions.
    fn default() -> Self {
        Self { retention: 1024 }
    }
}

/// The version that everything descends from. It is committed and finalized from the start.
#[derive(Clone, Debug)]
pub struct Genesis {
    /// Its id.
    pub id: VersionId,
    /// Its height.
    pub height: u64,
    /// Its whole contents.
    pub changes: Changes,
}

/// How much a store holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stats {
    /// Versions held.
    pub versions: usize,
    /// Versions that have no root yet.
    pub uncommitted: usize,
    /// Height of the oldest version held.
    pub oldest_height: u64,
    /// Height of the finalized version.
    pub finalized_height: u64,
    /// Height of the newest version held, on any branch.
    pub newest_height: u64,
}

/// A handle to a tree of versions.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    genesis: Commit,
    tree: RwLock<Tree>,
}

struct Tree {
    versions: BTreeMap<VersionId, Arc<Version>>,
    /// The same versions in the order of their heights, so parents before children.
    by_height: BTreeSet<(u64, VersionId)>,
    finalized: Arc<Version>,
}

/// Versions taken out of the tree, to be dropped once its lock is released.
type Removed = Vec<Arc<Version>>;

impl Store {
    /// A store whose only version is `genesis`.
    ///
    /// # Errors
    /// [`OpenError`] when the configuration makes no sense.
    pub fn open(config: Config, genesis: Genesis) -> Result<Self, OpenError> {
        if config.retention == 0 {
            return Err(OpenError::NoRetention);
        }
        let version = Arc::new(Version::genesis(genesis.id, genesis.height, &genesis.changes));
        let commit = version
            .commit_info()
            .expect("genesis is committed from the start");
        let mut tree = Tree {
            versions: BTreeMap::new(),
            by_height: BTreeSet::new(),
            finalized: version.clone(),
        };
        tree.add(version);
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                genesis: commit,
                tree: RwLock::new(tree),
            }),
        })
    }

    /// Adds the version `id`, which is `parent` with `changes`. It is readable at once; its root comes with
    /// [`Self::commit`]. Inserting what is there already does nothing.
    ///
    /// # Errors
    /// [`InsertError`]; [`InsertError::Conflict`] tells that two executions of one block differ.
    pub fn insert(
        &self,
        parent: VersionId,
        id: VersionId,
        height: u64,
        changes: Changes,
    ) -> Result<(), InsertError> {
        let (existing, above) = {
            let tree = self.read();
            (
                tree.versions.get(&id).cloned(),
                tree.parent_of_new(parent, id, height),
            )
        };
        if let Some(existing) = existing {
            return existing.accepts_again(parent, height, &changes);
        }
        let above = above?;
        let changes = Arc::new(changes);
        let version = Arc::new(Version::child(&above, id, changes.clone()));
        let raced = {
            let mut tree = self.write();
            tree.parent_of_new(parent, id, height)?;
            match tree.versions.get(&id).cloned() {
                Some(other) => Some(other),
                None => {
                    tree.add(version);
                    None
                }
            }
        };
        raced.map_or(Ok(()), |other| other.accepts_again(parent, height, &changes))
    }

    /// Computes the root of `id`, whose parent must be committed. This takes time in proportion to the version's
    /// changes; nobody waits for it but the caller. Committing what is committed answers the root again.
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn commit(&self, id: VersionId) -> Result<Commit, CommitError> {
        let (version, parent) = {
            let tree = self.read();
            let version = tree
                .versions
                .get(&id)
                .cloned()
                .ok_or(CommitError::UnknownVersion(id))?;
            let parent = version
                .parent
                .and_then(|parent| tree.versions.get(&parent))
                .cloned();
            (version, parent)
        };
        if let Some(commit) = version.commit_info() {
            return Ok(commit);
        }
        let parent = parent.expect("only committed versions outlive their parent in the tree");
        match parent.trie() {
            Some(trie) => Ok(version.commit(&trie)),
            None => Err(CommitError::ParentNotCommitted {
                id,
                parent: parent.id,
            }),
        }
    }

    /// Blocks until the committed version `id` will be found by the next start, if this store can keep versions at
    /// all, and answers [`Self::persisted`]. A store in memory keeps none: it answers at once, and whoever needs the
    /// version after a restart executes the blocks above the answered one again.
    ///
    /// # Errors
    /// [`PersistError`].
    pub fn persist(&self, id: VersionId) -> Result<Commit, PersistError> {
        let version = self
            .read()
            .versions
            .get(&id)
            .cloned()
            .ok_or(PersistError::UnknownVersion(id))?;
        version.commit_info().ok_or(PersistError::NotCommitted(id))?;
        Ok(self.persisted())
    }

    /// The newest version that a restart finds without executing anything: for a store in memory, genesis.
    #[must_use]
    pub fn persisted(&self) -> Commit {
        self.shared.genesis
    }

    /// The newest version that a restart finds and that `on_chain` accepts. Recovery asks with "is on the finalized
    /// chain of the ledger" and executes the blocks above the answer. `None` means that the store belongs to another
    /// chain than the ledger.
    #[must_use]
    pub fn newest_persisted(&self, on_chain: impl Fn(&Commit) -> bool) -> Option<Commit> {
        Some(self.shared.genesis).filter(on_chain)
    }

    /// A view of the version `id`, if it is held.
    #[must_use]
    pub fn view(&self, id: VersionId) -> Option<View> {
        let version = self.read().versions.get(&id).cloned()?;
        Some(View::new(version))
    }

    /// Makes `id` final: drops every branch that does not lead to or from it, and the versions that fall out of the
    /// retention window. Making the finalized version final again does nothing.
    ///
    /// An ancestor that has no root yet stays, with those above it, until its root is there: commits go on.
    ///
    /// # Errors
    /// [`FinalizeError`].
    pub fn set_finalized(&self, id: VersionId) -> Result<(), FinalizeError> {
        let removed = self.write().finalize(id, self.shared.config.retention)?;
        drop(removed);
        Ok(())
    }

    /// Drops `id` with all its descendants and answers how many versions those were. Views of them stay good.
    ///
    /// # Errors
    /// [`DiscardError`].
    pub fn discard(&self, id: VersionId) -> Result<usize, DiscardError> {
        let removed = self.write().discard(id)?;
        Ok(removed.len())
    }

    /// The finalized version's id and height.
    #[must_use]
    pub fn finalized(&self) -> (VersionId, u64) {
        let tree = self.read();
        (tree.finalized.id, tree.finalized.height)
    }

    /// How much the store holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let tree = self.read();
        let heights = || tree.by_height.iter().map(|(height, _)| *height);
        let uncommitted = tree
            .versions
            .values()
            .filter(|version| version.commit_info().is_none());
        Stats {
            versions: tree.versions.len(),
            uncommitted: uncommitted.count(),
            oldest_height: heights().next().unwrap_or(tree.finalized.height),
            finalized_height: tree.finalized.height,
            newest_height: heights().next_back().unwrap_or(tree.finalized.height),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Tree> {
        self.shared.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tree> {
        self.shared.tree.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Version {
    fn accepts_again(&self, parent: VersionId, height: u64, changes: &Changes) -> Result<(), InsertError> {
        if self.is_same(parent, height, changes) {
            Ok(())
        } else {
            Err(InsertError::Conflict {
                id: self.id,
                height: self.height,
            })
        }
    }
}

impl Tree {
    fn add(&mut self, version: Arc<Version>) {
        self.by_height.insert((version.height, version.id));
        self.versions.insert(version.id, version);
    }

    fn remove(&mut self, id: VersionId) -> Option<Arc<Version>> {
        let version = self.versions.remove(&id)?;
        self.by_height.remove(&(version.height, id));
        Some(version)
    }

    /// Versions above `height`, parents before children.
    fn versions_above(&self, height: u64) -> impl Iterator<Item = &Arc<Version>> {
        let above = self
            .by_height
            .range((height.saturating_add(1), VersionId([0; 32]))..);
        above.filter_map(|(_, id)| self.versions.get(id))
    }

    /// The parent of a version that may be added.
    fn parent_of_new(
        &self,
        parent: VersionId,
        id: VersionId,
        height: u64,
    ) -> Result<Arc<Version>, InsertError> {
        let above = self
            .versions
            .get(&parent)
            .ok_or(InsertError::UnknownParent { id, parent })?;
        if above.height.checked_add(1) != Some(height) {
            let expected = above.height.saturating_add(1);
            return Err(InsertError::WrongHeight { id, height, expected });
        }
        if above.height < self.finalized.height {
            return Err(InsertError::AgainstFinality {
                id,
                parent,
                finalized: self.finalized.id,
            });
        }
        Ok(above.clone())
    }

    fn finalize(&mut self, id: VersionId, retention: u64) -> Result<Removed, FinalizeError> {
        let target = self
            .versions
            .get(&id)
            .cloned()
            .ok_or(FinalizeError::UnknownVersion(id))?;
        let chain = self
            .chain_from_finalized(&target)
            .ok_or(FinalizeError::AgainstFinality {
                id,
                finalized: self.finalized.id,
            })?;
        let lost: Vec<VersionId> = {
            let mut kept = chain;
            let mut lost = Vec::new();
            for version in self.versions_above(self.finalized.height) {
                let descends = version.height > target.height
                    && version.parent.is_some_and(|parent| kept.contains(&parent));
                if kept.contains(&version.id) || descends {
                    kept.insert(version.id);
                } else {
                    lost.push(version.id);
                }
            }
            lost
        };
        let mut removed: Removed = lost.into_iter().filter_map(|lost| self.remove(lost)).collect();
        self.finalized = target;
        self.expire(retention, &mut removed);
        Ok(removed)
    }

    /// The versions from the finalized one to `target`, if one descends from the other.
    fn chain_from_finalized(&self, target: &Arc<Version>) -> Option<BTreeSet<VersionId>> {
        let mut chain = BTreeSet::from([target.id]);
        let mut version = target;
        while version.height > self.finalized.height {
            version = self.versions.get(&version.parent?)?;
            chain.insert(version.id);
        }
        (version.id == self.finalized.id).then_some(chain)
    }

    /// Removes what is below the retention window, oldest first. Below the finalized version there is one chain.
    fn expire(&mut self, retention: u64, removed: &mut Removed) {
        while let Some((height, oldest)) = self.by_height.first().copied() {
            if height.saturating_add(retention) > self.finalized.height {
                return;
            }
            let next = self
                .by_height
                .iter()
                .nth(1)
                .and_then(|(_, id)| self.versions.get(id));
            if next.is_none_or(|next| next.commit_info().is_none()) {
                return;
            }
            removed.extend(self.remove(oldest));
        }
    }

    fn discard(&mut self, id: VersionId) -> Result<Removed, DiscardError> {
        let target = self.versions.get(&id).ok_or(DiscardError::UnknownVersion(id))?;
        if target.height <= self.finalized.height {
            return Err(DiscardError::Final(id));
        }
        let mut lost = BTreeSet::from([id]);
        for version in self.versions_above(target.height) {
            if version.parent.is_some_and(|parent| lost.contains(&parent)) {
                lost.insert(version.id);
            }
        }
        Ok(lost.into_iter().filter_map(|lost| self.remove(lost)).collect())
    }
}
