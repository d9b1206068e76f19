//! The tree of versions.
//!
//! A store is a handle: clones share one tree, from any thread. The tree's lock guards the map of versions only.
//! Each operation takes the versions it needs out of the map and works on them without the lock; versions that
//! leave the map are dropped after the lock is released.
//!
//! Committed versions lie in a log, each with all that its parent had not. What the log has to keep follows from the
//! versions that are held: each says behind which place all lies that it reaches ([`crate::header::Epoch`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::changes::Changes;
use crate::error::{
    CommitError, DiscardError, FinalizeError, InsertError, OpenError, PersistError, RollBackError,
};
use crate::files::{Files, MemoryFiles};
use crate::header::{Epoch, Header};
use crate::log::{Log, LogConfig, Position, WriteError};
use crate::trie::{Said, Trie, WriteTrieError};
use crate::version::{Commit, Committed, Version, VersionId};
use crate::view::View;

/// How a store is set up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// How many versions stay readable and provable, counted from the finalized one down. Those above it all stay.
    pub retention: u64,
    /// Binary logarithm of the number of versions in which everything that is old is written anew once, a part in each, so
    /// that what it lay in can be forgotten. Fewer keep less on the disk, and write more for each version.
    pub sweep_bits: u32,
    /// Records are cut at this many bytes.
    pub record_bytes: usize,
    /// How the log is set up.
    pub log: LogConfig,
}

impl Default for Config {
    /// A retention of 1,024 versions, sweeps of 512, records of 32 MiB.
    fn default() -> Self {
        Self {
            retention: 1024,
            sweep_bits: 9,
            record_bytes: 32 << 20,
            log: LogConfig::default(),
        }
    }
}

/// The largest [`Config::sweep_bits`].
pub const MAX_SWEEP_BITS: u32 = 20;

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
    genesis: VersionId,
    log: Arc<Log>,
    /// Whether a restart finds anything.
    is_kept: bool,
    /// The newest version known to be durable.
    persisted: Mutex<Commit>,
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
    /// A store in memory, whose only version is `genesis`.
    ///
    /// # Errors
    /// [`OpenError`] when the configuration makes no sense.
    pub fn open(config: Config, genesis: Genesis) -> Result<Self, OpenError> {
        Self::open_files(Arc::new(MemoryFiles::default()), false, config, genesis)
    }

    /// The store in a directory ([`crate::files::Directory`]), or a new one there whose only version is `genesis`. What was
    /// committed and is durable is held again, except what finality and retention had dropped.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_in(files: Arc<dyn Files>, config: Config, genesis: Genesis) -> Result<Self, OpenError> {
        Self::open_files(files, true, config, genesis)
    }

    fn open_files(
        files: Arc<dyn Files>,
        is_kept: bool,
        config: Config,
        genesis: Genesis,
    ) -> Result<Self, OpenError> {
        if config.retention == 0 {
            return Err(OpenError::NoRetention);
        }
        if config.sweep_bits > MAX_SWEEP_BITS {
            return Err(OpenError::SweepBits {
                bits: config.sweep_bits,
                limit: MAX_SWEEP_BITS,
            });
        }
        let (log, _) = Log::open(files, config.log.clone())?;
        let found = Found::read(&log, genesis.id)?;
        let tree = match found.newest {
            Some(_) => found.tree(&log, config.retention)?,
            None => Tree::new(Arc::new(write_genesis(&log, &config, &genesis)?)),
        };
        // What opening found is durable.
        let persisted = tree.newest().ok_or(OpenError::NoVersion {
            place: log.snapshot().place(Position::ZERO),
        })?;
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                genesis: genesis.id,
                log: Arc::new(log),
                is_kept,
                persisted: Mutex::new(persisted),
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
        let Some(below) = parent.committed.get() else {
            return Err(CommitError::ParentNotCommitted {
                id,
                parent: parent.id,
            });
        };
        let finalized = self.finalized().1;
        let shared = &*self.shared;
        version
            .commit(|changes| {
                let (height, bits) = (version.height, shared.config.sweep_bits);
                let place = Place {
                    id,
                    parent: version.parent,
                    genesis: shared.genesis,
                    height,
                    finalized,
                    epoch: below.epoch.next(height, below.position, bits),
                };
                place.write(&shared.log, &shared.config, &below.trie, changes)
            })
            .map_err(|error| match error {
                WriteTrieError::Read(error) => error.into(),
                WriteTrieError::Write(error) => error.into(),
            })
    }

    /// Blocks until the committed version `id` will be found by the next start, if this store can keep versions at
    /// all, and answers [`Self::persisted`]. A store in memory keeps none: it answers at once, and whoever needs the
    /// version after a restart executes the blocks above the answered one again.
    ///
    /// Then a part of the log is forgotten, if there is one that no version held reaches any more.
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
        let committed = version.committed.get().ok_or(PersistError::NotCommitted(id))?;
        let commit = version.commit_info().ok_or(PersistError::NotCommitted(id))?;
        self.shared.log.sync(committed.sequence)?;
        if self.shared.is_kept {
            let mut persisted = self.lock_persisted();
            if commit.height >= persisted.height {
                *persisted = commit;
            }
        }
        self.forget()?;
        Ok(self.persisted())
    }

    /// Forgets the oldest segment of the log, if nothing in it is reached any more.
    fn forget(&self) -> Result<(), WriteError> {
        let versions: Vec<Arc<Version>> = self.read().versions.values().cloned().collect();
        // What is held later descends from what is held now, and reaches nothing older.
        let floor = versions.iter().map(|version| version.floor()).min();
        if let Some(floor) = floor {
            self.shared.log.remove_oldest_before(floor)?;
        }
        Ok(())
    }

    fn lock_persisted(&self) -> std::sync::MutexGuard<'_, Commit> {
        self.shared
            .persisted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest version that a restart finds without executing anything: for a store in memory, genesis.
    #[must_use]
    pub fn persisted(&self) -> Commit {
        *self.lock_persisted()
    }

    /// The newest version that a restart finds and that `on_chain` accepts. Recovery asks with "is on the finalized
    /// chain of the ledger" and executes the blocks above the answer. `None` means that the store belongs to another
    /// chain than the ledger.
    #[must_use]
    pub fn newest_persisted(&self, mut on_chain: impl FnMut(&Commit) -> bool) -> Option<Commit> {
        if !self.shared.is_kept {
            return Some(self.persisted()).filter(|commit| on_chain(commit));
        }
        let durable = self.shared.log.durable();
        let newest_first: Vec<Arc<Version>> = {
            let tree = self.read();
            let ids = tree.by_height.iter().rev();
            ids.filter_map(|(_, id)| tree.versions.get(id).cloned()).collect()
        };
        newest_first
            .iter()
            .filter(|version| version.committed.get().is_some_and(|c| c.sequence < durable))
            .filter_map(|version| version.commit_info())
            .find(|commit| on_chain(commit))
    }

    /// A view of the version `id`, if it is held.
    #[must_use]
    pub fn view(&self, id: VersionId) -> Option<View> {
        // Under the lock: what leaves the tree may leave the log next.
        let tree = self.read();
        let version = tree.versions.get(&id).cloned()?;
        Some(View::new(version, &self.shared.log))
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

    /// Goes back to the committed version `id`: it becomes the finalized one, and all versions but its ancestors are dropped,
    /// those too that were final. Nothing is computed; views of what is dropped stay good. Durable when this returns. Answers
    /// how many versions were dropped.
    ///
    /// # Errors
    /// [`RollBackError`].
    pub fn roll_back(&self, id: VersionId) -> Result<usize, RollBackError> {
        let target = self
            .read()
            .versions
            .get(&id)
            .cloned()
            .ok_or(RollBackError::UnknownVersion(id))?;
        let commit = target.commit_info().ok_or(RollBackError::NotCommitted(id))?;
        let shared = &*self.shared;
        let sequence = Said::write_roll_back(&shared.log, target.height, &id.0)?;
        shared.log.sync(sequence)?;
        let removed = {
            let mut tree = self.write();
            if !tree.versions.contains_key(&id) {
                return Err(RollBackError::UnknownVersion(id));
            }
            if shared.is_kept {
                *self.lock_persisted() = commit;
            }
            tree.roll_back(&target)
        };
        Ok(removed.len())
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

/// A version's place among the others.
struct Place {
    id: VersionId,
    parent: Option<VersionId>,
    genesis: VersionId,
    height: u64,
    finalized: u64,
    epoch: Epoch,
}

impl Place {
    /// Writes what `changes` make of a trie.
    fn write(
        &self,
        log: &Log,
        config: &Config,
        below: &Trie,
        changes: &Changes,
    ) -> Result<Committed, WriteTrieError> {
        let sweep = self.epoch.sweep(self.height);
        let header = |trie: &Trie, digest: &_| {
            Header {
                id: self.id,
                parent: self.parent,
                genesis: self.genesis,
                root: trie.root,
                digest: *digest,
                height: self.height,
                finalized: self.finalized,
                epoch: self.epoch,
            }
            .to_bytes()
        };
        let written = below.write(
            log,
            changes,
            Some(&sweep),
            self.height,
            config.record_bytes,
            header,
        )?;
        Ok(Committed {
            trie: written.trie,
            digest: written.digest,
            epoch: self.epoch,
            sequence: written.sequence,
            position: written.position,
        })
    }
}

/// Writes the first version, and makes it durable.
fn write_genesis(log: &Log, config: &Config, genesis: &Genesis) -> Result<Version, OpenError> {
    let place = Place {
        id: genesis.id,
        parent: None,
        genesis: genesis.id,
        height: genesis.height,
        finalized: genesis.height,
        epoch: Epoch::first(genesis.height, config.sweep_bits),
    };
    let written = place.write(log, config, &Trie::default(), &genesis.changes);
    let committed = written.map_err(|error| match error {
        WriteTrieError::Read(error) => OpenError::Read(error),
        WriteTrieError::Write(error) => OpenError::Write(error),
    })?;
    log.sync(committed.sequence)?;
    Ok(Version::committed(genesis.id, genesis.height, None, committed))
}

/// Versions that a log holds.
struct Found {
    versions: BTreeMap<VersionId, (Header, Arc<Version>)>,
    /// Where the newest lies.
    newest: Option<Position>,
}

impl Found {
    /// Reads the header of every record that has one.
    fn read(log: &Log, genesis: VersionId) -> Result<Self, OpenError> {
        let snapshot = log.snapshot();
        let mut found = Self {
            versions: BTreeMap::new(),
            newest: None,
        };
        for (sequence, _, position) in log.records() {
            let damaged = || OpenError::Read(crate::ReadError::Damaged(snapshot.place(position)));
            let at = snapshot.at(position).ok_or_else(damaged)?;
            let header = match Said::read(at.bytes).ok_or_else(damaged)? {
                Said::Version(header) => Header::from_bytes(header).ok_or_else(damaged)?,
                Said::RollBack(id) => {
                    found.roll_back(VersionId(id));
                    continue;
                }
                Said::Part => continue,
            };
            if header.genesis != genesis {
                return Err(OpenError::OtherGenesis {
                    found: header.genesis,
                    expected: genesis,
                });
            }
            found.newest = Some(position);
            // What it reaches may have been forgotten.
            if header.epoch.floor.segment() < snapshot.first_segment() {
                continue;
            }
            let committed = Committed {
                trie: Trie { root: header.root },
                digest: header.digest,
                epoch: header.epoch,
                sequence,
                position: position.plus(1),
            };
            let version = Version::committed(header.id, header.height, header.parent, committed);
            // A version that was written again, after a fork of it was lost, is the same.
            found.versions.insert(header.id, (header, Arc::new(version)));
        }
        Ok(found)
    }

    /// Leaves the version and its ancestors.
    fn roll_back(&mut self, id: VersionId) {
        let mut left = BTreeMap::new();
        let mut next = Some(id);
        while let Some(id) = next
            && let Some((mut header, version)) = self.versions.remove(&id)
        {
            next = version.parent;
            // What was final then is no more.
            header.finalized = 0;
            left.insert(id, (header, version));
        }
        self.versions = left;
        if let Some((header, version)) = self.versions.get_mut(&id) {
            header.finalized = version.height;
        }
    }

    /// The tree as finality and retention leave it.
    fn tree(&self, log: &Log, retention: u64) -> Result<Tree, OpenError> {
        let no_version = || OpenError::NoVersion {
            place: log.snapshot().place(self.newest.unwrap_or_default()),
        };
        // What the others say was final when they were written, as far as it is there.
        let (header, said_by) = self
            .versions
            .values()
            .max_by_key(|(header, version)| (header.finalized, header.height, version.id))
            .ok_or_else(no_version)?;
        let mut finalized = Arc::clone(said_by);
        while finalized.height > header.finalized
            && let Some((_, parent)) = finalized.parent.and_then(|parent| self.versions.get(&parent))
        {
            finalized = Arc::clone(parent);
        }
        let mut tree = Tree::new(Arc::clone(&finalized));
        let mut oldest = &finalized;
        while let Some((_, parent)) = oldest.parent.and_then(|parent| self.versions.get(&parent)) {
            if parent.height.saturating_add(retention) <= finalized.height {
                break;
            }
            tree.add(Arc::clone(parent));
            oldest = parent;
        }
        let mut above: Vec<_> = self.versions.values().map(|(_, version)| version).collect();
        above.retain(|version| version.height > finalized.height);
        above.sort_by_key(|version| version.height);
        for version in above {
            let parent = version.parent.and_then(|parent| tree.versions.get(&parent));
            if parent.is_some_and(|parent| parent.height >= finalized.height) {
                tree.add(Arc::clone(version));
            }
        }
        Ok(tree)
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
    fn new(finalized: Arc<Version>) -> Self {
        let mut tree = Self {
            versions: BTreeMap::new(),
            by_height: BTreeSet::new(),
            finalized: Arc::clone(&finalized),
        };
        tree.add(finalized);
        tree
    }

    /// The highest committed version.
    fn newest(&self) -> Option<Commit> {
        let ids = self.by_height.iter().rev();
        ids.filter_map(|(_, id)| self.versions.get(id)?.commit_info())
            .next()
    }

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

    fn roll_back(&mut self, target: &Arc<Version>) -> Removed {
        let mut kept = BTreeSet::new();
        let mut next = Some(target);
        while let Some(version) = next {
            kept.insert(version.id);
            next = version.parent.and_then(|parent| self.versions.get(&parent));
        }
        let lost: Vec<VersionId> = self.versions.keys().copied().collect();
        self.finalized = Arc::clone(target);
        let lost = lost.into_iter().filter(|id| !kept.contains(id));
        lost.filter_map(|id| self.remove(id)).collect()
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
