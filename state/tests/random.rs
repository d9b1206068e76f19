//! Random operations over many forks, held against a plain map for each version and `nomt-core` for each root.
//!
//! By default a part of a million operations runs; all of them with MILLRACE_LONG=1. An operation is a write, or one
//! of insert, commit, persist, finalize, discard, roll back, restart. Segments are so small that most of what is written is
//! moved and forgotten again on the way.

#![allow(clippy::unwrap_used)]

#[path = "../proof/tests/verdict/mod.rs"]
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_state::files::{Files as _, MemoryFiles};
use millrace_state::log::LogConfig;
use millrace_state::{
    Changes, CommitError, Config, DiscardError, FinalizeError, Genesis, InsertError, Path, PersistError,
    ProveError, RollBackError, Root, Store, Value, VersionId, View, verify, verify_batch,
};
use nomt_core::hasher::{Blake3Hasher, ValueHasher};
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{Rng, RngCore};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// About how many keys a version holds.
const KEYS: usize = 1500;
const RETENTION: u64 = 24;
const MOST_WRITES: usize = 100;
/// At most this many heights above the finalized version.
const FINALITY_DEPTH: u64 = 20;

type Contents = BTreeMap<Path, (Value, [u8; 32])>;

/// A version as it should be.
struct Expected {
    parent: Option<VersionId>,
    height: u64,
    contents: Arc<Contents>,
    changes: Changes,
    committed: bool,
}

struct Run {
    rng: ChaCha8Rng,
    files: MemoryFiles,
    config: Config,
    genesis: Genesis,
    store: Store,
    /// What was discarded, and is there again after a restart.
    discarded: BTreeSet<VersionId>,
    restarts: u64,
    has_rolled_back: bool,
    /// Heights below those of the model that are held again after a restart.
    ghosts: std::ops::Range<u64>,
    /// The greatest height that was final.
    highest: u64,
    /// Segments that were forgotten.
    forgotten: BTreeSet<String>,
    model: BTreeMap<VersionId, Expected>,
    finalized: VersionId,
    /// Views that outlive what happens to the store, with what they must go on to read.
    kept: Vec<(View, Arc<Contents>)>,
    next_id: u64,
    operations: u64,
    proofs: u64,
}

fn oracle_root(contents: &Contents) -> Root {
    let leaves = contents.iter().map(|(path, (_, hash))| (*path, *hash));
    nomt_core::update::build_trie::<Blake3Hasher>(0, leaves, |_| {})
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let genesis = VersionId([0; 32]);
        let mut contents = Contents::new();
        let changes = random_changes(&mut rng, &mut contents, KEYS / 2);
        let config = Config {
            retention: RETENTION,
            sweep_bits: [0, 2, 4][seed as usize % 3],
            record_bytes: 3_000,
            threads: 1 + seed as usize % 2,
            log: LogConfig {
                segment_bytes: 60_000,
                ..LogConfig::default()
            },
        };
        let files = MemoryFiles::default();
        let first = Genesis {
            id: genesis,
            height: 0,
            changes: changes.clone(),
        };
        let store = Store::open_in(Arc::new(files.clone()), config.clone(), first.clone()).unwrap();
        assert_eq!(store.persisted().root, oracle_root(&contents));
        let expected = Expected {
            parent: None,
            height: 0,
            contents: Arc::new(contents),
            changes,
            committed: true,
        };
        Self {
            rng,
            files,
            config,
            genesis: first,
            store,
            discarded: BTreeSet::new(),
            restarts: 0,
            has_rolled_back: false,
            ghosts: 0..0,
            highest: 0,
            forgotten: BTreeSet::new(),
            model: BTreeMap::from([(genesis, expected)]),
            finalized: genesis,
            kept: Vec::new(),
            next_id: 0,
            operations: 0,
            proofs: 0,
        }
    }

    fn step(&mut self) {
        self.operations += 1;
        match self.rng.random_range(0..100) {
            0..45 => self.insert(),
            45..80 => self.commit(),
            80..87 => self.persist(),
            87..94 => self.finalize(),
            94..96 => self.discard(),
            96..98 => self.restart(),
            98 if self.rng.random_bool(0.2) => self.roll_back(),
            _ => self.check_kept(),
        }
    }

    fn persist(&mut self) {
        let id = self.pick_live();
        if !self.model[&id].committed {
            assert_eq!(self.store.persist(id), Err(PersistError::NotCommitted(id)));
            return;
        }
        let before = self.files.list().unwrap();
        let persisted = self.store.persist(id).unwrap();
        assert!(persisted.height >= self.model[&id].height);
        let after = self.files.list().unwrap();
        self.forgotten
            .extend(before.into_iter().filter(|name| !after.contains(name)));
    }

    fn roll_back(&mut self) {
        let id = if self.rng.random_bool(0.3) {
            self.pick_any()
        } else {
            self.pick_live()
        };
        if !self.model[&id].committed {
            assert_eq!(self.store.roll_back(id), Err(RollBackError::NotCommitted(id)));
            return;
        }
        let kept = self.chain_down(id);
        let dropped = self.model.len() - kept.len();
        assert_eq!(self.store.roll_back(id), Ok(dropped));
        self.model.retain(|version, _| kept.contains(version));
        self.finalized = id;
        self.has_rolled_back = true;
        // What was discarded does not come back from there.
        self.discarded.clear();
        assert_eq!(self.store.finalized(), (id, self.model[&id].height));
        self.check_reads(id);
        self.check_proofs(id);
    }

    /// What was committed is there again, and nothing else.
    fn restart(&mut self) {
        self.commit_chain(self.finalized);
        self.restarts += 1;
        let files = Arc::new(self.files.clone());
        self.store = Store::open_in(files, self.config.clone(), self.genesis.clone()).unwrap();
        let (found, height) = self.store.finalized();
        assert!(self.chain_down(self.finalized).contains(&found) || height < self.oldest_height());
        // What was final is known from the versions that were written after.
        self.store.set_finalized(self.finalized).unwrap();
        for id in std::mem::take(&mut self.discarded) {
            if self.store.view(id).is_some() {
                self.store.discard(id).unwrap();
                self.discarded.insert(id);
            }
        }
        let lowest = self.finalized_height().saturating_sub(RETENTION - 1);
        self.model
            .retain(|_, version| version.committed && version.height >= lowest);
        let stats = self.store.stats();
        self.ghosts = stats.oldest_height..self.oldest_height();
        assert!(self.ghosts.is_empty() || self.has_rolled_back);
        let versions = self.model.len() + self.held_ghosts();
        assert_eq!((stats.versions, stats.uncommitted), (versions, 0));
        for id in self.model.keys().copied().collect::<Vec<_>>() {
            self.check_reads(id);
            if self.rng.random_bool(0.2) {
                self.check_proofs(id);
                self.check_repeated(id);
            }
        }
    }

    /// Versions that are held again because the finalized one is an older one now.
    fn held_ghosts(&self) -> usize {
        let finalized = self.finalized_height();
        let heights = self.ghosts.clone();
        heights.filter(|height| height + RETENTION > finalized).count()
    }

    fn oldest_height(&self) -> u64 {
        self.model.values().map(|version| version.height).min().unwrap()
    }

    fn finalized_height(&self) -> u64 {
        self.model[&self.finalized].height
    }

    /// A version from the finalized one up, most often a high one.
    fn pick_live(&mut self) -> VersionId {
        let floor = self.finalized_height();
        let live = self.model.iter().filter(|(_, version)| version.height >= floor);
        let mut picked: Vec<_> = live
            .map(|(id, version)| (version.height, *id))
            .choose_multiple(&mut self.rng, 3);
        picked.sort();
        picked.last().unwrap().1
    }

    fn pick_any(&mut self) -> VersionId {
        *self.model.keys().choose(&mut self.rng).unwrap()
    }

    fn insert(&mut self) {
        let parent = self.pick_live();
        if self.model[&parent].height >= self.finalized_height() + FINALITY_DEPTH {
            return self.finalize();
        }
        let height = self.model[&parent].height + 1;
        let mut contents = Contents::clone(&self.model[&parent].contents);
        let writes = self.rng.random_range(0..=MOST_WRITES);
        let changes = random_changes(&mut self.rng, &mut contents, writes);
        self.operations += changes.len() as u64;
        self.next_id += 1;
        let mut id = VersionId(self.rng.random());
        id.0[24..].copy_from_slice(&self.next_id.to_be_bytes());
        self.store.insert(parent, id, height, changes.clone()).unwrap();
        self.model.insert(
            id,
            Expected {
                parent: Some(parent),
                height,
                contents: Arc::new(contents),
                changes,
                committed: false,
            },
        );
        self.check_reads(id);
        self.check_repeated(id);
    }

    /// An equal insertion is accepted, a different one refused, whether or not there is a root.
    fn check_repeated(&mut self, id: VersionId) {
        let version = &self.model[&id];
        let Some(parent) = version.parent.filter(|parent| self.model.contains_key(parent)) else {
            return;
        };
        self.store
            .insert(parent, id, version.height, version.changes.clone())
            .unwrap();
        let other = version
            .changes
            .iter()
            .map(|(path, value)| (*path, value.cloned()));
        let other: Changes = other
            .chain([([0x77; 32], Some(self.rng.next_u64().to_be_bytes()[..].into()))])
            .collect();
        let conflict = InsertError::Conflict {
            id,
            height: version.height,
        };
        assert_eq!(
            self.store.insert(parent, id, version.height, other),
            Err(conflict)
        );
    }

    fn commit(&mut self) {
        let id = self.pick_live();
        let version = &self.model[&id];
        let is_uncommitted =
            |parent: &VersionId| self.model.get(parent).is_some_and(|parent| !parent.committed);
        match version.parent.filter(is_uncommitted) {
            Some(parent) if !version.committed => {
                let refused = CommitError::ParentNotCommitted { id, parent };
                assert_eq!(self.store.commit(id), Err(refused));
                let view = self.store.view(id).unwrap();
                assert_eq!(view.root(), None);
                let refused = ProveError::NotCommitted {
                    id,
                    height: view.height(),
                };
                assert_eq!(view.prove(&[0; 32]), Err(refused));
                self.commit_chain(id);
            }
            _ => self.commit_chain(id),
        }
        self.check_repeated(id);
        self.check_reads(id);
        self.check_proofs(id);
    }

    fn commit_chain(&mut self, id: VersionId) {
        let mut chain = vec![id];
        while let Some(parent) = self.model[chain.last().unwrap()].parent {
            if !self.model.contains_key(&parent) || self.model[&parent].committed {
                break;
            }
            chain.push(parent);
        }
        for id in chain.into_iter().rev() {
            let commit = self.store.commit(id).unwrap();
            let version = self.model.get_mut(&id).unwrap();
            assert_eq!((commit.id, commit.height), (id, version.height));
            assert_eq!(
                commit.root,
                oracle_root(&version.contents),
                "root of {id} at {}",
                version.height
            );
            version.committed = true;
        }
    }

    fn finalize(&mut self) {
        let id = self.pick_any();
        let chain = self.chain_down(id);
        if !chain.contains(&self.finalized) {
            let refused = FinalizeError::AgainstFinality {
                id,
                finalized: self.finalized,
            };
            assert_eq!(self.store.set_finalized(id), Err(refused));
            return;
        }
        self.store.set_finalized(id).unwrap();
        self.finalized = id;
        let height = self.model[&id].height;
        self.highest = self.highest.max(height);
        let kept: BTreeSet<VersionId> = self
            .model
            .keys()
            .copied()
            .filter(|v| chain.contains(v) || self.chain_down(*v).contains(&id))
            .collect();
        self.model.retain(|version, _| kept.contains(version));
        for version in chain.iter().rev() {
            let expired = self.model[version].height + RETENTION <= height;
            let next = self
                .model
                .iter()
                .find(|(_, child)| child.parent == Some(*version));
            if !expired || !next.is_some_and(|(_, child)| child.committed) {
                break;
            }
            self.model.remove(version);
        }
        let stats = self.store.stats();
        assert_eq!(stats.versions, self.model.len() + self.held_ghosts());
        assert_eq!(
            stats.uncommitted,
            self.model.values().filter(|version| !version.committed).count()
        );
        if self.held_ghosts() == 0 {
            assert_eq!(stats.oldest_height, self.oldest_height());
        }
        assert_eq!(self.store.finalized(), (id, height));
    }

    /// The version and its ancestors, newest first.
    fn chain_down(&self, id: VersionId) -> Vec<VersionId> {
        let parent = |id: &VersionId| {
            self.model
                .get(id)?
                .parent
                .filter(|parent| self.model.contains_key(parent))
        };
        std::iter::successors(Some(id), parent).collect()
    }

    fn discard(&mut self) {
        let id = self.pick_any();
        if self.model[&id].height <= self.finalized_height() {
            assert_eq!(self.store.discard(id), Err(DiscardError::Final(id)));
            return;
        }
        let lost: Vec<VersionId> = self
            .model
            .keys()
            .copied()
            .filter(|version| self.chain_down(*version).contains(&id))
            .collect();
        let view = self.store.view(id).unwrap();
        self.kept.push((view, self.model[&id].contents.clone()));
        assert_eq!(self.store.discard(id), Ok(lost.len()));
        self.discarded.insert(id);
        for id in lost {
            self.model.remove(&id);
            assert!(self.store.view(id).is_none());
            assert_eq!(self.store.commit(id), Err(CommitError::UnknownVersion(id)));
        }
    }

    /// Views read what they read when they were taken.
    fn check_kept(&mut self) {
        for (view, contents) in &self.kept {
            assert_reads(&mut self.rng, view, contents);
        }
        // Each holds what it reads, though the log forgets it.
        while self.kept.len() > 8 {
            self.kept.remove(0);
        }
        let id = self.pick_any();
        let view = self.store.view(id).unwrap();
        let contents = self.model[&id].contents.clone();
        let all: Vec<(Path, Value)> = view.iter().collect::<Result<_, _>>().unwrap();
        assert!(
            all.iter()
                .map(|(path, value)| (path, value))
                .eq(contents.iter().map(|(p, (v, _))| (p, v)))
        );
        self.kept.push((view, contents));
    }

    fn check_reads(&mut self, id: VersionId) {
        let view = self.store.view(id).unwrap();
        let version = &self.model[&id];
        for (path, _) in version.changes.iter() {
            let held = version.contents.get(path).map(|(value, _)| value);
            assert_eq!(view.get(path).unwrap().as_ref(), held);
        }
        assert_reads(&mut self.rng, &view, &version.contents);
    }

    fn check_proofs(&mut self, id: VersionId) {
        let view = self.store.view(id).unwrap();
        let root = view.root().unwrap();
        let contents = &self.model[&id].contents;
        let mut paths: Vec<Path> = (0..4).map(|_| random_path(&mut self.rng, contents)).collect();
        paths.extend(contents.keys().copied().choose_multiple(&mut self.rng, 4));
        paths.sort();
        paths.dedup();
        let held: Vec<_> = paths
            .iter()
            .map(|path| contents.get(path).map(|(_, hash)| *hash))
            .collect();
        for (path, held) in paths.iter().zip(&held) {
            let proof = view.prove(path).unwrap();
            assert_eq!(verify(&root, path, &proof), Ok(*held));
            assert_eq!(verdict::of(&proof, path, root), Some(*held));
        }
        self.proofs += paths.len() as u64;
        assert_eq!(
            verify_batch(&root, &paths, &view.prove_batch(&paths).unwrap()),
            Ok(held)
        );
    }
}

fn assert_reads(rng: &mut ChaCha8Rng, view: &View, contents: &Contents) {
    for _ in 0..8 {
        let path = random_path(rng, contents);
        assert_eq!(
            view.get(&path).unwrap().as_ref(),
            contents.get(&path).map(|(value, _)| value)
        );
    }
}

/// A path that is there, one that shares bits with it, or any.
fn random_path(rng: &mut ChaCha8Rng, contents: &Contents) -> Path {
    let random: Path = rng.random();
    let near = contents.range(random..).next().or_else(|| contents.iter().next());
    let Some((near, _)) = near else { return random };
    match rng.random_range(0..4) {
        0 | 1 => *near,
        2 => random,
        _ => {
            let shared = rng.random_range(0..256);
            let mut path = *near;
            path[shared / 8] ^= 0x80 >> (shared % 8);
            path[shared / 8 + 1..].copy_from_slice(&random[shared / 8 + 1..]);
            path
        }
    }
}

/// Applies random writes to `contents` and answers them.
fn random_changes(rng: &mut ChaCha8Rng, contents: &mut Contents, writes: usize) -> Changes {
    let mut changes = Vec::new();
    for _ in 0..writes {
        let path = random_path(rng, contents);
        let remove = rng.random_range(0..KEYS * 2) < contents.len();
        let value = match contents.get(&path) {
            _ if remove => None,
            Some((value, _)) if rng.random_bool(0.1) => Some(value.clone()),
            _ => {
                let length = *[0, 1, 8, 32, 64, 65, 1100].choose(rng).unwrap();
                Some((0..length).map(|_| rng.random()).collect::<Vec<u8>>().into())
            }
        };
        match &value {
            Some(value) => contents.insert(path, (value.clone(), Blake3Hasher::hash_value(value))),
            None => contents.remove(&path),
        };
        changes.push((path, value));
    }
    changes.into_iter().collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the length of a test run is a setting of whoever runs it"
)]
fn is_long_run() -> bool {
    std::env::var("MILLRACE_LONG").is_ok_and(|value| value == "1")
}

#[test]
fn random_operations_over_forks_equal_the_model_and_nomt_core() {
    let operations_per_seed = if is_long_run() { 250_000 } else { 12_000 };
    let (mut operations, mut proofs) = (0, 0);
    let (mut restarts, mut forgotten, mut highest) = (0, 0, 0);
    for seed in 1..=4 {
        println!("seed {seed}");
        let mut run = Run::new(seed);
        while run.operations < operations_per_seed {
            run.step();
        }
        highest = highest.max(run.highest);
        restarts += run.restarts;
        forgotten += run.forgotten.len();
        operations += run.operations;
        proofs += run.proofs;
    }
    println!("{operations} operations and {proofs} proofs equal the model and the oracle");
    println!("{restarts} restarts, {forgotten} segments forgotten");
    assert!(highest > 2 * RETENTION, "the window must have moved");
    assert!(restarts > 5 && forgotten > 20, "the log must have moved");
}
