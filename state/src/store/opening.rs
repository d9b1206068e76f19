//! From what lies in the log to the tree of versions; and the first version, where there is nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tree::Tree;
use super::{Config, Genesis};
use crate::changes::Changes;
use crate::error::{OpenError, ReadError};
use crate::export::{Heading, ImportError};
use crate::files::Files;
use crate::header::{Epoch, Header};
use crate::log::{Log, Position, Snapshot};
use crate::trie::{How, Said, Trie, WriteTrieError};
use crate::version::{Commit, Committed, Version, VersionId};

/// A version's place among the others.
pub(super) struct Place {
    pub(super) id: VersionId,
    pub(super) parent: Option<VersionId>,
    pub(super) genesis: VersionId,
    pub(super) height: u64,
    pub(super) finalized: (u64, VersionId),
    pub(super) epoch: Epoch,
}

impl Place {
    /// That of a version which follows none that is there.
    fn first(id: VersionId, genesis: VersionId, height: u64, config: &Config) -> Self {
        Self {
            id,
            parent: None,
            genesis,
            height,
            finalized: (height, id),
            epoch: Epoch::first(height, config.sweep_bits),
        }
    }

    /// Writes what `changes` make of a trie.
    pub(super) fn write(
        &self,
        log: &Log,
        snapshot: &Snapshot,
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
        let how = How {
            sweep: Some(&sweep),
            label: self.height,
            record_bytes: config.record_bytes,
            threads: config.threads,
        };
        let written = below.write(log, snapshot, changes, how, header)?;
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
pub(super) fn write_genesis(log: &Log, config: &Config, genesis: &Genesis) -> Result<Version, OpenError> {
    let place = Place::first(genesis.id, genesis.id, genesis.height, config);
    let written = place.write(log, &log.snapshot(), config, &Trie::default(), &genesis.changes);
    let committed = written.map_err(|error| match error {
        WriteTrieError::Read(error) => OpenError::Read(error),
        WriteTrieError::Write(error) => OpenError::Write(error),
    })?;
    log.sync(committed.sequence)?;
    Ok(Version::committed(genesis.id, genesis.height, None, committed))
}

/// A version that is written without the one below it.
pub(crate) struct Import {
    log: Log,
    config: Config,
    trie: Trie,
    /// What was added and not written.
    waiting: Vec<Changes>,
    waiting_bytes: usize,
}

/// So many bytes are written together.
const IMPORTED_TOGETHER: usize = 16 << 20;

impl Import {
    /// Begins in a directory. `None` if it holds something.
    pub(crate) fn begin(files: Arc<dyn Files>, config: Config) -> Result<Option<Self>, OpenError> {
        let (log, _) = Log::open(files, config.log.clone())?;
        if !log.range().is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            log,
            config,
            trie: Trie::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
        }))
    }

    /// Adds values, with greater paths than those before.
    pub(crate) fn add(&mut self, changes: Changes) -> Result<(), ImportError> {
        let values = changes.iter().filter_map(|(_, value)| value);
        self.waiting_bytes += values.map(|value| value.len() + 36).sum::<usize>();
        self.waiting.push(changes);
        if self.waiting_bytes >= IMPORTED_TOGETHER {
            let changes = self.take();
            self.trie = self
                .trie
                .write_part(&self.log, &changes)
                .map_err(ImportError::from)?;
        }
        Ok(())
    }

    fn take(&mut self) -> Changes {
        self.waiting_bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        let entries = waiting.iter().flat_map(Changes::iter);
        entries.map(|(path, value)| (*path, value.cloned())).collect()
    }

    /// Writes the version, and makes everything durable.
    pub(crate) fn finish(mut self, heading: &Heading) -> Result<Commit, ImportError> {
        let changes = self.take();
        let place = Place::first(heading.id, heading.genesis, heading.height, &self.config);
        let committed = place.write(
            &self.log,
            &self.log.snapshot(),
            &self.config,
            &self.trie,
            &changes,
        )?;
        self.log.sync(committed.sequence)?;
        Ok(Commit {
            id: heading.id,
            height: heading.height,
            root: committed.trie.root(),
        })
    }
}

impl From<WriteTrieError> for ImportError {
    fn from(error: WriteTrieError) -> Self {
        match error {
            WriteTrieError::Read(error) => error.into(),
            WriteTrieError::Write(error) => error.into(),
        }
    }
}

/// Versions that a log holds.
pub(super) struct Found {
    versions: BTreeMap<VersionId, (Header, Arc<Version>)>,
    /// Id of the version that all descend from.
    pub(super) genesis: Option<VersionId>,
    /// Where the newest lies.
    pub(super) newest: Option<Position>,
}

impl Found {
    /// Reads the header of every record that has one. `genesis` is the first version's id; `None`: what it is.
    pub(super) fn read(log: &Log, genesis: Option<VersionId>) -> Result<Self, OpenError> {
        let snapshot = log.snapshot();
        let mut found = Self {
            versions: BTreeMap::new(),
            genesis,
            newest: None,
        };
        for (sequence, _, position) in log.records() {
            let damaged = || OpenError::Read(ReadError::Damaged(snapshot.place(position)));
            let at = snapshot.at(position).ok_or_else(damaged)?;
            let header = match Said::read(at.bytes).ok_or_else(damaged)? {
                Said::Version(header) => Header::from_bytes(header).ok_or_else(damaged)?,
                Said::RollBack(id) => {
                    found.roll_back(VersionId(id));
                    continue;
                }
                Said::Part => continue,
            };
            let expected = *found.genesis.get_or_insert(header.genesis);
            if header.genesis != expected {
                return Err(OpenError::OtherGenesis {
                    found: header.genesis,
                    expected,
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

    /// Leaves the version and its ancestors. Where it is not there, everything that it would drop is older than what is kept, or
    /// the store did not go back after all.
    fn roll_back(&mut self, id: VersionId) {
        if !self.versions.contains_key(&id) {
            return;
        }
        let mut left = BTreeMap::new();
        let mut next = Some(id);
        while let Some(id) = next
            && let Some((mut header, version)) = self.versions.remove(&id)
        {
            next = version.parent;
            // What was final then is no more.
            header.finalized = (0, self.genesis.unwrap_or(id));
            left.insert(id, (header, version));
        }
        self.versions = left;
        if let Some((header, version)) = self.versions.get_mut(&id) {
            header.finalized = (version.height, id);
        }
    }

    /// The version that one follows, if it is there, a height below.
    fn parent(&self, version: &Version) -> Option<&Arc<Version>> {
        let (_, parent) = self.versions.get(&version.parent?)?;
        (parent.height.checked_add(1) == Some(version.height)).then_some(parent)
    }

    /// The tree as finality and retention leave it.
    pub(super) fn tree(&self, log: &Log, retention: u64) -> Result<Tree, OpenError> {
        let no_version = || OpenError::NoVersion {
            place: log.snapshot().place(self.newest.unwrap_or_default()),
        };
        // What records say was final when they were written. Nothing is forgotten that the newest of these reaches.
        let all = || self.versions.values();
        let said = all().map(|(header, _)| header.finalized.1);
        let said = said.filter_map(|id| self.versions.get(&id));
        let (_, finalized) = said
            .max_by_key(|(header, version)| (header.height, version.id))
            .or_else(|| all().min_by_key(|(header, version)| (header.height, version.id)))
            .ok_or_else(no_version)?;
        let mut tree = Tree::new(Arc::clone(finalized));
        let mut oldest = finalized;
        while let Some(parent) = self.parent(oldest) {
            if parent.height.saturating_add(retention) <= finalized.height {
                break;
            }
            tree.add(Arc::clone(parent));
            oldest = parent;
        }
        let mut above: Vec<_> = all().map(|(_, version)| version).collect();
        above.retain(|version| version.height > finalized.height);
        above.sort_by_key(|version| version.height);
        for version in above {
            let parent = self.parent(version);
            if parent.is_some_and(|parent| {
                parent.height >= finalized.height && tree.versions.contains_key(&parent.id)
            }) {
                tree.add(Arc::clone(version));
            }
        }
        Ok(tree)
    }
}
