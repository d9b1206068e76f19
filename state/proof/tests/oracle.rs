//! `nomt-core` as an independent oracle of hashing, roots and proofs.

#![allow(clippy::unwrap_used)]

mod model;
mod verdict;

use millrace_proof::{NodeKind, Path, hash_internal, hash_leaf, hash_value, kind, verify};
use nomt_core::hasher::{Blake3Hasher, NodeHasher, ValueHasher};
use nomt_core::trie::{self, InternalData, LeafData};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

proptest! {
    #[test]
    fn hashes_equal_the_oracles(a: [u8; 32], b: [u8; 32], value: Vec<u8>) {
        prop_assert_eq!(hash_value(&value), Blake3Hasher::hash_value(&value));
        prop_assert_eq!(hash_leaf(&a, &b), Blake3Hasher::hash_leaf(&LeafData { key_path: a, value_hash: b }));
        prop_assert_eq!(hash_internal(&a, &b), Blake3Hasher::hash_internal(&InternalData { left: a, right: b }));
        let expected = match Blake3Hasher::node_kind(&a) {
            trie::NodeKind::Terminator => NodeKind::Empty,
            trie::NodeKind::Leaf => NodeKind::Leaf,
            trie::NodeKind::Internal => NodeKind::Internal,
        };
        prop_assert_eq!(kind(&a), expected);
    }
}

#[test]
fn roots_and_verdicts_equal_the_oracles() {
    let seed = 7;
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for round in 0..60 {
        let model = model::random_model(&mut rng, [0, 1, 2, 5, 30, 100][round % 6]);
        let root = model::root(&model);
        let entries = model.iter().map(|(path, value_hash)| (*path, *value_hash));
        assert_eq!(
            root,
            nomt_core::update::build_trie::<Blake3Hasher>(0, entries, |_| {})
        );
        let mut paths: Vec<Path> = model.keys().copied().take(10).collect();
        paths.extend((0..10).map(|_| model::random_path(&mut rng, &model)));
        for path in &paths {
            let proof = model::prove(&model, path);
            let held = model.get(path).copied();
            assert_eq!(verify(&root, path, &proof), Ok(held));
            assert_eq!(verdict::of(&proof, path, root), Some(held));
            assert_eq!(verdict::of(&proof, path, [1; 32]), None);
        }
    }
}
