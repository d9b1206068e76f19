//! The tree of versions.
//!
//! A store is a handle: clones share one tree, from any thread. The tree's lock guards the map of versions only.
//! Each operation takes the versions it needs out of the map and works on them without the lock; versions that
//! leave the map are dropped after the lock is released.
//!
//! Committed versions lie in a log, each with all that its parent had not. What the log has to keep follows from the
//! versions that are held: each says behind which place all lies that it reaches (`header::Epoch`).

mod opening;
#[cfg(test)]
mod tests;
mod tree;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::changes::Changes;
use crate::error::{
    CommitError, DiscardError, FinalizeError, InsertError, OpenError, PersistError, RollBackError,
};
use crate::files::{Files, MemoryFiles};
use crate::log::{Log, LogConfig, Position, WriteError};
use crate::trie::{Said, WriteTrieError};
use crate::version::{Commit, Version, VersionId};
use crate::view::View;
pub(crate) use opening::Import;
use opening::{Found, Place, write_genesis};
use tree::Tree;

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
    /// Threads that may compute the root of a version with many changes. The root does not depend on it.
    pub threads: usize,
    /// How the log is set up.
    pub log: LogConfig,
}

impl Default for Config {
    /// A retention of 1,024 versions, sweeps of 512, records of 32 MiB, as many threads as there are cores, up to 8.
    fn default() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "how many threads compute a root does not change the root"
        )]
        let cores = std::thread::available_parallelism();
        Self {
            retention: 1024,
            sweep_bits: 9,
            record_bytes: 32 << 20,
            threads: cores.map_or(1, |cores| cores.get().min(8)),
            log: LogConfig::default(),
        }
    }
}

/// Segments forgotten at a time, if not more were begun: few enough that nobody waits for long.
const MOST_FORGOTTEN: u32 = 4;

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
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Height of the version whose record is the oldest in the log: how far forgetting is behind [`Self::oldest_height`].
    pub log_oldest_height: u64,
}

impl Shared {
    fn lock_floors(&self) -> MutexGuard<'_, Vec<(u64, Position)>> {
        self.floors.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    /// Ordinal of the last segment when segments were forgotten last.
    forgotten_at: Mutex<u32>,
    /// For records that were not known to be durable: the lowest floor of what was held when each was written.
    floors: Mutex<Vec<(u64, Position)>>,
    /// The newest version known to be durable.
    persisted: Mutex<Commit>,
    tree: RwLock<Tree>,
}

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
        let found = Found::read(&log, Some(genesis.id))?;
        let tree = match found.newest {
            Some(_) => found.tree(&log, config.retention)?,
            None => Tree::new(Arc::new(write_genesis(&log, &config, &genesis)?)),
        };
        Self::new(config, genesis.id, log, is_kept, tree)
    }

    /// The store that a directory holds, whatever its genesis: to look at it, not to go on with it.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::NoVersion`] if it holds none.
    pub fn open_existing(files: Arc<dyn Files>, config: Config) -> Result<Self, OpenError> {
        let (log, _) = Log::open(files, config.log.clone())?;
        let found = Found::read(&log, None)?;
        let tree = found.tree(&log, config.retention)?;
        let genesis = found.genesis.unwrap_or(tree.finalized.id);
        Self::new(config, genesis, log, true, tree)
    }

    fn new(
        config: Config,
        genesis: VersionId,
        log: Log,
        is_kept: bool,
        tree: Tree,
    ) -> Result<Self, OpenError> {
        let newest = log.snapshot().last_segment();
        // What opening found is durable.
        let persisted = tree.newest().ok_or(OpenError::NoVersion {
            place: log.snapshot().place(Position::ZERO),
        })?;
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                genesis,
                log: Arc::new(log),
                is_kept,
                forgotten_at: Mutex::new(newest),
                floors: Mutex::default(),
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
        let mut version = Arc::new(Version::child(&above, id, changes.clone()));
        let raced = {
            let mut tree = self.write();
            let above = tree.parent_of_new(parent, id, height)?;
            match tree.versions.get(&id).cloned() {
                Some(other) => Some(other),
                None => {
                    if version.floor() < tree.floor {
                        // What it was made above has been committed and forgotten meanwhile.
                        version = Arc::new(Version::child(&above, id, changes.clone()));
                    }
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
        let (version, parent, snapshot, finalized, floor) = {
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
            let finalized = (tree.finalized.height, tree.finalized.id);
            // What the parent reaches is there as long as the parent is held, and in a snapshot for longer.
            (
                version,
                parent,
                self.shared.log.snapshot(),
                finalized,
                tree.lowest_floor(),
            )
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
                let committed = place.write(&shared.log, &snapshot, &shared.config, &below.trie, changes)?;
                shared.lock_floors().push((committed.sequence, floor));
                Ok(committed)
            })
            .map_err(|error| match error {
                WriteTrieError::Read(error) => CommitError::from(error),
                WriteTrieError::Write(error) => error.into(),
            })
            .inspect(|_| self.write().look_again(id))
    }

    /// Blocks until the committed version `id` will be found by the next start, if this store can keep versions at
    /// all, and answers [`Self::persisted`]. A store in memory keeps none: it answers at once, and whoever needs the
    /// version after a restart executes the blocks above the answered one again.
    ///
    /// Then some segments of the log are forgotten, if there are such that no version held reaches any more.
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
            let is_newer = commit.height >= self.persisted().height;
            if is_newer {
                *self.lock_persisted() = commit;
            }
        }
        self.forget()?;
        Ok(self.persisted())
    }

    /// Forgets the oldest segments of the log, as far as nothing in them is reached any more, by what is held now and by
    /// what a restart would find.
    fn forget(&self) -> Result<(), WriteError> {
        let durable = self.shared.log.durable();
        let floor = {
            let mut floors = self.shared.lock_floors();
            let said = floors.iter().filter(|(sequence, _)| *sequence < durable);
            let newest = said.map(|(_, floor)| *floor).max();
            floors.retain(|(sequence, _)| *sequence >= durable);
            newest
        };
        let floor = {
            let mut tree = self.write();
            // What is inserted from now on is made above something that stays.
            tree.floor = floor.unwrap_or_default().min(tree.lowest_floor()).max(tree.floor);
            tree.floor
        };
        let newest = self.shared.log.snapshot().last_segment();
        let mut seen = self
            .shared
            .forgotten_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Faster than segments are begun, or the log would grow.
        let most = MOST_FORGOTTEN.max(newest.saturating_sub(*seen).saturating_mul(2));
        *seen = newest;
        for _ in 0..most {
            if !self.shared.log.remove_oldest_before(floor)? {
                break;
            }
        }
        Ok(())
    }

    fn lock_persisted(&self) -> MutexGuard<'_, Commit> {
        self.shared
            .persisted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest version that a restart finds without executing anything: for a store in memory, genesis.
    #[must_use]
    pub fn persisted(&self) -> Commit {
        let last = *self.lock_persisted();
        if !self.shared.is_kept || self.read().versions.contains_key(&last.id) {
            return last;
        }
        // It was dropped since: another branch became final, or it is older than what is retained.
        self.newest_persisted(|_| true).unwrap_or(last)
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

    /// All committed versions that are held, by height.
    #[must_use]
    pub fn committed(&self) -> Vec<Commit> {
        let tree = self.read();
        let ids = tree.by_height.iter();
        ids.filter_map(|(_, id)| tree.versions.get(id)?.commit_info())
            .collect()
    }

    /// The id of the version that all descend from.
    #[must_use]
    pub fn genesis(&self) -> VersionId {
        self.shared.genesis
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
            log_bytes: self.shared.log.snapshot().bytes(),
            log_oldest_height: self.shared.log.oldest_label().unwrap_or(0),
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
