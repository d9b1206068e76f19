//! The state store over files in memory: updates, reads, proofs, with `nomt-core` and a `BTreeMap` measured beside it.
//!
//! `cargo bench -p millrace-benches --bench state`. Every root is checked against `nomt-core` before it is timed.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use millrace_state::{
    Changes, Config, Genesis, Path, Root, Store, Value, VersionId, View, verify, verify_batch,
};
use nomt_core::hasher::{Blake3Hasher, ValueHasher};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const GENESIS: VersionId = VersionId([0; 32]);
const SIZES: [(usize, &str); 2] = [(100_000, "100k"), (1_000_000, "1M")];
const UPDATES: usize = 10_000;

fn random_value(rng: &mut ChaCha8Rng) -> Value {
    rng.random::<[u8; 64]>().as_slice().into()
}

/// `accounts` random paths with values of 64 bytes.
struct Fixture {
    rng: ChaCha8Rng,
    store: Store,
    contents: BTreeMap<Path, Value>,
    paths: Vec<Path>,
}

impl Fixture {
    fn new(accounts: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(accounts as u64);
        let contents: BTreeMap<Path, Value> = (0..accounts)
            .map(|_| (rng.random(), random_value(&mut rng)))
            .collect();
        let store = open(genesis_of(&contents));
        assert_eq!(store.persisted().root, oracle_root(&contents));
        let paths = contents.keys().copied().collect();
        Self {
            rng,
            store,
            contents,
            paths,
        }
    }

    fn random_present(&mut self) -> Path {
        self.paths[self.rng.random_range(0..self.paths.len())]
    }

    /// New values for `UPDATES` accounts.
    fn updates(&mut self) -> Changes {
        (0..UPDATES)
            .map(|_| (self.random_present(), Some(random_value(&mut self.rng))))
            .collect()
    }

    /// `depth` uncommitted versions of `UPDATES` updates each above genesis; the newest.
    fn overlaid(&mut self, depth: u64) -> View {
        let mut parent = GENESIS;
        for height in 1..=depth {
            let id = VersionId(self.rng.random());
            let changes = self.updates();
            self.store.insert(parent, id, height, changes).unwrap();
            parent = id;
        }
        self.store.view(parent).unwrap()
    }
}

fn genesis_of(contents: &BTreeMap<Path, Value>) -> Changes {
    contents
        .iter()
        .map(|(path, value)| (*path, Some(value.clone())))
        .collect()
}

fn open(changes: Changes) -> Store {
    Store::open(
        Config::default(),
        Genesis {
            id: GENESIS,
            height: 0,
            changes,
        },
    )
    .unwrap()
}

fn oracle_root(contents: &BTreeMap<Path, Value>) -> Root {
    let leaves = contents
        .iter()
        .map(|(path, value)| (*path, Blake3Hasher::hash_value(value)));
    nomt_core::update::build_trie::<Blake3Hasher>(0, leaves, |_| {})
}

fn checked_update(fixture: &mut Fixture) {
    let changes = fixture.updates();
    let mut contents = fixture.contents.clone();
    contents.extend(
        changes
            .iter()
            .map(|(path, value)| (*path, value.unwrap().clone())),
    );
    fixture
        .store
        .insert(GENESIS, VersionId([1; 32]), 1, changes)
        .unwrap();
    assert_eq!(
        fixture.store.commit(VersionId([1; 32])).unwrap().root,
        oracle_root(&contents)
    );
    fixture.store.discard(VersionId([1; 32])).unwrap();
}

fn updates(c: &mut Criterion) {
    for (accounts, name) in SIZES {
        let mut fixture = Fixture::new(accounts);
        checked_update(&mut fixture);
        let mut group = c.benchmark_group(format!("state/{name}"));
        group.sample_size(10).measurement_time(Duration::from_secs(5));
        group.bench_function("whole trie", |b| {
            b.iter_batched(|| genesis_of(&fixture.contents), open, BatchSize::PerIteration);
        });
        group.bench_function("whole trie, nomt-core build_trie", |b| {
            b.iter(|| oracle_root(&fixture.contents))
        });
        group.bench_function("insert 10,000 updates", |b| {
            let store = fixture.store.clone();
            let setup = || {
                let _ = store.discard(VersionId([1; 32]));
                fixture.updates()
            };
            let insert = |changes| store.insert(GENESIS, VersionId([1; 32]), 1, changes).unwrap();
            b.iter_batched(setup, insert, BatchSize::PerIteration);
            store.discard(VersionId([1; 32])).unwrap();
        });
        group.bench_function("commit 10,000 updates", |b| {
            let store = fixture.store.clone();
            let setup = || {
                let _ = store.discard(VersionId([1; 32]));
                store
                    .insert(GENESIS, VersionId([1; 32]), 1, fixture.updates())
                    .unwrap();
            };
            b.iter_batched(
                setup,
                |()| store.commit(VersionId([1; 32])).unwrap(),
                BatchSize::PerIteration,
            );
            store.discard(VersionId([1; 32])).unwrap();
        });
        group.finish();
    }
}

fn reads(c: &mut Criterion) {
    let mut fixture = Fixture::new(1_000_000);
    let present: Vec<Path> = (0..1 << 16).map(|_| fixture.random_present()).collect();
    let absent: Vec<Path> = (0..1 << 16).map(|_| fixture.rng.random()).collect();
    let committed = fixture.store.view(GENESIS).unwrap();
    let overlaid = fixture.overlaid(3);
    let mut group = c.benchmark_group("state/1M/read");
    for (what, paths) in [("present", &present), ("absent", &absent)] {
        for (name, view) in [("committed", &committed), ("3 overlays", &overlaid)] {
            let mut next = paths.iter().cycle();
            group.bench_function(format!("{what}, {name}"), |b| {
                b.iter(|| view.get(next.next().unwrap()).unwrap())
            });
        }
        let mut next = paths.iter().cycle();
        group.bench_function(format!("{what}, BTreeMap"), |b| {
            b.iter(|| fixture.contents.get(next.next().unwrap()).cloned());
        });
    }
    group.finish();
}

fn proofs(c: &mut Criterion) {
    let mut fixture = Fixture::new(1_000_000);
    let view = fixture.store.view(GENESIS).unwrap();
    let root = view.root().unwrap();
    let paths: Vec<Path> = (0..1 << 12).map(|_| fixture.random_present()).collect();
    let proof = view.prove(&paths[0]).unwrap();
    assert_eq!(
        verify(&root, &paths[0], &proof),
        Ok(Some(Blake3Hasher::hash_value(&fixture.contents[&paths[0]])))
    );
    let mut batch: Vec<Path> = paths[..1000].to_vec();
    batch.sort();
    batch.dedup();
    let batch_proof = view.prove_batch(&batch).unwrap();
    println!(
        "one proof {} bytes, {} at once {}",
        proof.to_bytes().len(),
        batch.len(),
        batch_proof.to_bytes().len()
    );

    let mut group = c.benchmark_group("state/1M/proof");
    let mut next = paths.iter().cycle();
    group.bench_function("prove", |b| b.iter(|| view.prove(next.next().unwrap()).unwrap()));
    group.bench_function("verify", |b| {
        b.iter(|| verify(&root, black_box(&paths[0]), &proof).unwrap())
    });
    group.bench_function("verify, nomt-core", |b| {
        let leaf = nomt_core::trie::LeafData {
            key_path: paths[0],
            value_hash: Blake3Hasher::hash_value(&fixture.contents[&paths[0]]),
        };
        let terminal = nomt_core::proof::PathProofTerminal::Leaf(leaf);
        let oracle = nomt_core::proof::PathProof {
            terminal,
            siblings: proof.siblings().collect(),
        };
        b.iter(|| {
            oracle
                .verify::<Blake3Hasher>(oracle.terminal.path(), root)
                .unwrap()
        });
    });
    group.bench_function("prove 1,000 at once", |b| {
        b.iter(|| view.prove_batch(&batch).unwrap())
    });
    group.bench_function("verify 1,000 at once", |b| {
        b.iter(|| verify_batch(&root, &batch, &batch_proof).unwrap())
    });
    group.finish();
}

criterion_group!(benches, updates, reads, proofs);
criterion_main!(benches);
