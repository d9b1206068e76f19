//! The store on a disk that fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::changes::Value;
use crate::files::simulated::{Disk, Fault};
use crate::model;

const GENESIS: VersionId = VersionId([0xee; 32]);
const HEIGHTS: u64 = 26;

/// So small that what is written is moved, and forgotten, on the way.
fn config() -> Config {
    Config {
        retention: 5,
        sweep_bits: 2,
        record_bytes: 700,
        threads: 2,
        log: LogConfig {
            segment_bytes: 4_000,
            checks_sealed: false,
        },
    }
}

/// A version of the script: branch 0 is the one that becomes final.
fn id(height: u64, branch: u64) -> VersionId {
    let mut id = VersionId([0; 32]);
    id.0[..8].copy_from_slice(&height.to_be_bytes());
    id.0[8..16].copy_from_slice(&branch.to_be_bytes());
    id
}

fn changes(seed: u64, height: u64, branch: u64) -> Changes {
    let mut random = ChaCha8Rng::seed_from_u64(seed << 32 | height << 8 | branch);
    let mut writes: Vec<(crate::Path, Option<Value>)> = Vec::new();
    for _ in 0..random.random_range(0..12) {
        let mut path = [0; 32];
        path[0] = random.random_range(0..48);
        path[1] = random.random_range(0..3);
        // Rarely, for then a chain of pages leads there.
        path[9] = u8::from(random.random_ratio(1, 60));
        let len = [0, 3, 64, 64, 150][random.random_range(0..5)];
        let value = random
            .random_bool(0.75)
            .then(|| vec![random.random::<u8>(); len].into());
        writes.push((path, value));
    }
    writes.into_iter().collect()
}

fn genesis(seed: u64) -> Genesis {
    Genesis {
        id: GENESIS,
        height: 0,
        changes: changes(seed, 0, 0),
    }
}

/// What every version of a script should hold.
struct Expected {
    seed: u64,
    tries: BTreeMap<VersionId, (u64, model::Trie)>,
}

impl Expected {
    fn new(seed: u64) -> Self {
        let mut tries = BTreeMap::new();
        let mut below = model::Trie::default().updated(&changes(seed, 0, 0));
        tries.insert(GENESIS, (0, below.clone()));
        for height in 1..=HEIGHTS + 3 {
            for branch in 1..3 {
                let fork = below.updated(&changes(seed, height, branch));
                tries.insert(id(height, branch), (height, fork));
            }
            below = below.updated(&changes(seed, height, 0));
            tries.insert(id(height, 0), (height, below.clone()));
        }
        Self { seed, tries }
    }

    fn check(&self, store: &Store, held: VersionId, random: &mut ChaCha8Rng) {
        let view = store.view(held).unwrap();
        let (height, expected) = &self.tries[&held];
        assert_eq!((view.height(), view.root()), (*height, Some(expected.root())));
        let path = changes(self.seed, random.random_range(0..=*height), 0);
        if let Some((path, _)) = path.iter().next() {
            assert_eq!(
                view.get(path).unwrap().as_deref(),
                expected.get(path).map(|v| &**v)
            );
            assert_eq!(view.prove(path).unwrap(), expected.prove(path));
        }
    }

    /// All of a version.
    fn check_all(&self, store: &Store, held: VersionId) {
        let view = store.view(held).unwrap();
        let all: Vec<_> = view.iter().map(Result::unwrap).collect();
        let expected: Vec<_> = self.tries[&held].1.iter().map(|(p, v)| (*p, v.clone())).collect();
        assert_eq!(all, expected);
    }
}

/// What a run of the script was told before the disk stopped it.
#[derive(Clone, Copy, Default, Debug)]
struct Told {
    /// The newest height that was said to be durable, on branch 0.
    persisted: u64,
    /// The newest height of which anything was begun.
    begun: u64,
}

/// The step from one height to the next: forks, a commit, now and then durable and final.
fn step(store: &Store, seed: u64, height: u64, told: &mut Told) -> Result<(), String> {
    let parent = if height == 1 { GENESIS } else { id(height - 1, 0) };
    let mut random = ChaCha8Rng::seed_from_u64(seed << 32 | height << 8 | 99);
    told.begun = height;
    for branch in 1..random.random_range(1..=3) {
        store
            .insert(parent, id(height, branch), height, changes(seed, height, branch))
            .map_err(|error| error.to_string())?;
        store
            .commit(id(height, branch))
            .map_err(|error| error.to_string())?;
    }
    store
        .insert(parent, id(height, 0), height, changes(seed, height, 0))
        .map_err(|error| error.to_string())?;
    store.commit(id(height, 0)).map_err(|error| error.to_string())?;
    if random.random_bool(0.6) {
        store.persist(id(height, 0)).map_err(|error| error.to_string())?;
        told.persisted = height;
        store
            .set_finalized(id(height, 0))
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Runs the script until it ends or the disk does not go on.
fn run(disk: &Disk, seed: u64) -> Told {
    let mut told = Told::default();
    let Ok(store) = Store::open_in(Arc::new(disk.clone()), config(), genesis(seed)) else {
        return told;
    };
    for height in 1..=HEIGHTS {
        if let Err(error) = step(&store, seed, height, &mut told) {
            assert!(error.contains("cannot be written"), "{error}");
            // Nothing goes on behind a failure, and reading does.
            assert!(store.commit(id(height, 0)).is_err() || store.persist(id(height, 0)).is_err());
            let finalized = store.view(store.finalized().0).unwrap();
            finalized.get(&[0; 32]).unwrap();
            assert!(finalized.root().is_some());
            break;
        }
    }
    told
}

fn on_branch_0(commit: &Commit) -> bool {
    commit.id == GENESIS || commit.id == id(commit.height, 0)
}

/// Opens a disk behind a failure, checks everything that is held, and goes on from there.
fn recovers(disk: &Disk, expected: &Expected, told: Told, random: &mut ChaCha8Rng) {
    let seed = expected.seed;
    let open = |disk: &Disk| {
        Store::open_in(Arc::new(disk.clone()), config(), genesis(seed))
            .unwrap_or_else(|error| panic!("{error}; seed {seed}, {told:?}"))
    };
    let store = open(disk);
    let newest = store.newest_persisted(on_branch_0).unwrap();
    assert!(
        newest.height >= told.persisted,
        "{newest:?} of {told:?}, seed {seed}"
    );
    assert!(newest.height <= told.begun, "{newest:?} of {told:?}, seed {seed}");
    let versions: Vec<VersionId> = store.read().versions.keys().copied().collect();
    for held in versions {
        expected.check(&store, held, random);
    }
    expected.check_all(&store, newest.id);
    // All that was final is there as far back as it is retained.
    for height in newest.height.saturating_sub(config().retention - 1)..=newest.height {
        let held = if height == 0 { GENESIS } else { id(height, 0) };
        assert!(
            store.view(held).is_some(),
            "height {height} of {newest:?}, seed {seed}"
        );
    }
    if store.finalized().1 > newest.height {
        panic!("what is final is durable: {:?}, {newest:?}", store.finalized());
    }
    store.set_finalized(newest.id).unwrap();
    let mut again = Told::default();
    for height in newest.height + 1..=newest.height + 3 {
        step(&store, seed, height, &mut again).unwrap();
        expected.check(&store, id(height, 0), random);
    }
    let last = id(newest.height + 3, 0);
    store.persist(last).unwrap();
    drop(store);
    let store = open(&disk.crash(random));
    assert_eq!(store.newest_persisted(on_branch_0).unwrap().id, last);
    expected.check_all(&store, last);
}

fn is_long() -> bool {
    #[expect(clippy::disallowed_methods, reason = "how long a test takes decides nothing")]
    std::env::var("MILLRACE_LONG").is_ok_and(|value| value != "0")
}

/// The power fails in front of every call, and leaves several images each.
#[test]
fn after_a_power_failure_the_newest_durable_version_is_there() {
    let (scripts, images) = if is_long() { (12, 20) } else { (3, 3) };
    let mut count = 0;
    for seed in 0..scripts {
        let expected = Expected::new(seed);
        let whole = Disk::default();
        assert!(run(&whole, seed).persisted > HEIGHTS - 10);
        assert!(
            whole.list().unwrap()[0] != "00000000000000000000.log",
            "some of it was forgotten"
        );
        for call in 0..=whole.calls() {
            let disk = Disk::default();
            disk.fail_at(call, Fault::Cut);
            let told = run(&disk, seed);
            for image in 0..images {
                let mut random = ChaCha8Rng::seed_from_u64(seed << 32 | call << 8 | image);
                recovers(&disk.crash(&mut random), &expected, told, &mut random);
                count += 1;
            }
        }
    }
    println!("{count} images");
}

/// Every call fails in turn with EIO and with ENOSPC: nothing acknowledged is lost, after a restart or a power failure.
#[test]
fn every_call_may_fail() {
    let scripts = if is_long() { 20 } else { 2 };
    let mut count = 0;
    for seed in 0..scripts {
        let expected = Expected::new(seed);
        let whole = Disk::default();
        run(&whole, seed);
        for call in 0..whole.calls() {
            for fault in [Fault::Io, Fault::Full] {
                let disk = Disk::default();
                disk.fail_at(call, fault);
                let told = run(&disk, seed);
                let mut random = ChaCha8Rng::seed_from_u64(call);
                recovers(&disk.killed(), &expected, told, &mut random);
                recovers(&disk.crash(&mut random), &expected, told, &mut random);
                count += 1;
            }
        }
    }
    println!("{count} failures");
}

/// A store on which heights 1 to `heights` were committed, made durable and final.
fn chain(disk: &Disk, config: Config, heights: u64) -> Store {
    let store = Store::open_in(Arc::new(disk.clone()), config, genesis(0)).unwrap();
    for height in 1..=heights {
        let parent = if height == 1 { GENESIS } else { id(height - 1, 0) };
        store
            .insert(parent, id(height, 0), height, changes(0, height, 0))
            .unwrap();
        store.commit(id(height, 0)).unwrap();
        store.persist(id(height, 0)).unwrap();
        store.set_finalized(id(height, 0)).unwrap();
    }
    store
}

#[test]
fn what_reaches_into_what_was_forgotten_is_not_opened() {
    let disk = Disk::default();
    drop(chain(&disk, config(), HEIGHTS));
    // However much is to be retained.
    let whole = Config {
        retention: u64::MAX,
        ..config()
    };
    let store = Store::open_existing(Arc::new(disk), whole).unwrap();
    let stats = store.stats();
    assert!(
        stats.log_oldest_height < stats.oldest_height,
        "there are records of versions that cannot be read: {stats:?}"
    );
    let expected = Expected::new(0);
    for commit in store.committed() {
        expected.check_all(&store, commit.id);
    }
}

#[test]
fn going_back_is_durable_when_it_returns() {
    let expected = Expected::new(0);
    let config = Config {
        retention: 100,
        ..config()
    };
    for target in [1, 5, 11] {
        let disk = Disk::default();
        let store = chain(&disk, config.clone(), 12);
        assert_eq!(store.roll_back(id(target, 0)).unwrap() as u64, 12 - target);
        for image in 0..20 {
            let mut random = ChaCha8Rng::seed_from_u64(target << 32 | image);
            let disk = disk.crash(&mut random);
            let store = Store::open_in(Arc::new(disk), config.clone(), genesis(0)).unwrap();
            assert_eq!(store.stats().newest_height, target);
            assert_eq!(store.finalized(), (id(target, 0), target));
            expected.check_all(&store, id(target, 0));
        }
    }
    // One that says that the store went back to what is not there leaves what is.
    let disk = Disk::default();
    let store = chain(&disk, config.clone(), 3);
    let sequence = Said::write_roll_back(&store.shared.log, 2, &[1; 32]).unwrap();
    store.shared.log.sync(sequence).unwrap();
    drop(store);
    let store = Store::open_in(Arc::new(disk), config, genesis(0)).unwrap();
    expected.check_all(&store, id(3, 0));
}

/// A view keeps what it reads. Proofs are of what was committed later, and that may be gone.
#[test]
fn a_view_of_what_was_forgotten_reads_and_does_not_prove() {
    let store = chain(&Disk::default(), config(), 2);
    let fork = id(3, 1);
    store.insert(id(2, 0), fork, 3, changes(0, 3, 1)).unwrap();
    let view = store.view(fork).unwrap();
    assert!(matches!(
        view.prove(&[0; 32]),
        Err(crate::ProveError::NotCommitted { .. })
    ));
    store.commit(fork).unwrap();
    view.prove(&[0; 32]).unwrap();
    let mut parent = id(2, 0);
    for height in 3..=HEIGHTS {
        let next = id(height, 0);
        store.insert(parent, next, height, changes(0, height, 0)).unwrap();
        store.commit(next).unwrap();
        store.persist(next).unwrap();
        store.set_finalized(next).unwrap();
        parent = next;
    }
    assert!(store.view(fork).is_none());
    assert!(matches!(
        view.prove(&[0; 32]),
        Err(crate::ProveError::Forgotten { .. })
    ));
    let all: Vec<_> = view.iter().map(Result::unwrap).collect();
    let expected = Expected::new(0);
    let expected: Vec<_> = expected.tries[&fork]
        .1
        .iter()
        .map(|(p, v)| (*p, v.clone()))
        .collect();
    assert_eq!(all, expected);
}
