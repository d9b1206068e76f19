//! Whatever is altered in a proof, it proves nothing; what is sound proves the truth.

#![allow(clippy::unwrap_used)]

mod model;

use millrace_proof::{
    BatchProof, EMPTY, Path, Proof, ProofError, Root, Step, Terminal, hash_internal, hash_leaf, hash_value,
    verify, verify_batch, verify_value,
};
use model::Model;
use proptest::prelude::*;
use rand::seq::IteratorRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const SEED: u64 = 0x6d69_6c6c_7261_6365;

/// Tries of every size that matters, with a present and an absent path each, and a few more.
fn cases() -> Vec<(Model, Vec<Path>)> {
    println!("seed {SEED:#x}");
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    (0..40)
        .map(|round| {
            let model = model::random_model(&mut rng, [0, 1, 2, 3, 8, 40][round % 6]);
            let mut paths: Vec<Path> = model.keys().copied().choose_multiple(&mut rng, 3);
            paths.extend((0..3).map(|_| model::random_path(&mut rng, &model)));
            paths.sort();
            paths.dedup();
            (model, paths)
        })
        .collect()
}

fn check_rejected(root: &Root, path: &Path, terminal: Terminal, siblings: &[[u8; 32]], what: &str) {
    let forged = Proof::new(terminal, siblings).unwrap();
    assert!(
        verify(root, path, &forged).is_err(),
        "{what} was accepted: {forged:?}"
    );
}

#[test]
fn sound_proofs_prove_the_truth() {
    for (model, paths) in cases() {
        let root = model::root(&model);
        for path in &paths {
            let proof = model::prove(&model, path);
            assert_eq!(verify(&root, path, &proof), Ok(model.get(path).copied()));
            assert_eq!(Proof::from_bytes(&proof.to_bytes()), Ok(proof.clone()));
            assert!(proof.to_bytes().len() <= Proof::MAX_BYTES);
        }
        let batch = model::batch(&model::batch_steps(&model, &paths));
        let held: Vec<_> = paths.iter().map(|path| model.get(path).copied()).collect();
        assert_eq!(verify_batch(&root, &paths, &batch), Ok(held));
        assert_eq!(BatchProof::from_bytes(&batch.to_bytes()), Ok(batch));
    }
}

#[test]
fn values_are_compared_with_what_is_proved() {
    let path = [3; 32];
    let root = hash_leaf(&path, &hash_value(b"value"));
    let held = Proof::new(Terminal::Present(hash_value(b"value")), &[]).unwrap();
    assert_eq!(verify_value(&root, &path, Some(b"value"), &held), Ok(()));
    assert_eq!(
        verify_value(&root, &path, Some(b"other"), &held),
        Err(ProofError::ValueMismatch)
    );
    assert_eq!(
        verify_value(&root, &path, None, &held),
        Err(ProofError::ValueMismatch)
    );
    let other = Terminal::Other {
        path,
        value_hash: hash_value(b"value"),
    };
    let absent = Proof::new(other, &[]).unwrap();
    assert_eq!(verify_value(&root, &[4; 32], None, &absent), Ok(()));
    assert_eq!(
        verify_value(&root, &[4; 32], Some(b""), &absent),
        Err(ProofError::ValueMismatch)
    );
}

#[test]
fn a_proof_with_any_byte_changed_cut_or_added_is_rejected() {
    for (model, paths) in cases() {
        let root = model::root(&model);
        for path in &paths {
            let bytes = model::prove(&model, path).to_bytes();
            let accepted =
                |bytes: &[u8]| Proof::from_bytes(bytes).is_ok_and(|p| verify(&root, path, &p).is_ok());
            assert!(accepted(&bytes));
            for at in 0..bytes.len() {
                for mask in [0x01, 0x80, 0xff] {
                    let mut altered = bytes.clone();
                    altered[at] ^= mask;
                    assert!(!accepted(&altered), "byte {at} ^ {mask:#x} of {bytes:?}");
                }
                assert!(Proof::from_bytes(&bytes[..at]).is_err(), "cut to {at} bytes");
            }
            assert!(
                Proof::from_bytes(&[bytes, vec![0]].concat()).is_err(),
                "one byte more"
            );
        }
    }
}

#[test]
fn a_batch_proof_with_any_byte_changed_or_cut_is_rejected() {
    for (model, paths) in cases() {
        let root = model::root(&model);
        let bytes = model::batch(&model::batch_steps(&model, &paths)).to_bytes();
        let accepted = |bytes: &[u8]| {
            BatchProof::from_bytes(bytes).is_ok_and(|p| verify_batch(&root, &paths, &p).is_ok())
        };
        assert!(accepted(&bytes));
        for at in 0..bytes.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut altered = bytes.clone();
                altered[at] ^= mask;
                assert!(!accepted(&altered), "byte {at} ^ {mask:#x} of {bytes:?}");
            }
            assert!(!accepted(&bytes[..at]), "cut to {at} bytes");
        }
        assert!(!accepted(&[bytes, vec![0]].concat()), "one byte more");
    }
}

#[test]
fn dropped_swapped_repeated_siblings_and_exchanged_terminals_are_rejected() {
    for (model, paths) in cases() {
        let root = model::root(&model);
        for path in &paths {
            let (terminal, siblings) = model::proof_parts(&model, path);
            for at in 0..siblings.len() {
                let mut dropped = siblings.clone();
                dropped.remove(at);
                check_rejected(&root, path, terminal, &dropped, "a proof without a sibling");
                check_rejected(&root, path, terminal, &siblings[..at], "a proof cut short");
                let mut emptied = siblings.clone();
                if std::mem::take(&mut emptied[at]) != EMPTY {
                    check_rejected(&root, path, terminal, &emptied, "a proof with a sibling emptied");
                }
                if at > 0 && siblings[at] != siblings[at - 1] {
                    let mut swapped = siblings.clone();
                    swapped.swap(at, at - 1);
                    check_rejected(&root, path, terminal, &swapped, "a proof with siblings swapped");
                }
                if siblings.len() < 256 {
                    let mut repeated = siblings.clone();
                    repeated.insert(at, siblings[at]);
                    check_rejected(
                        &root,
                        path,
                        terminal,
                        &repeated,
                        "a proof with a sibling repeated",
                    );
                }
            }
            for forged in exchanged(terminal, path) {
                check_rejected(&root, path, forged, &siblings, "a proof with another terminal");
            }
        }
    }
}

/// Every terminal that a forger could put in place of `terminal`.
fn exchanged(terminal: Terminal, path: &Path) -> Vec<Terminal> {
    let mut near = *path;
    near[31] ^= 1;
    let all = match terminal {
        Terminal::Empty => vec![
            Terminal::Present([0; 32]),
            Terminal::Present(hash_value(b"")),
            Terminal::Other {
                path: near,
                value_hash: [0; 32],
            },
        ],
        Terminal::Present(value_hash) => vec![
            Terminal::Empty,
            Terminal::Present(hash_value(b"forged")),
            Terminal::Other {
                path: *path,
                value_hash,
            },
            Terminal::Other {
                path: near,
                value_hash,
            },
        ],
        Terminal::Other { value_hash, .. } => vec![
            Terminal::Empty,
            Terminal::Present(value_hash),
            Terminal::Other {
                path: near,
                value_hash,
            },
            Terminal::Other {
                path: *path,
                value_hash,
            },
        ],
    };
    all.into_iter().filter(|forged| *forged != terminal).collect()
}

#[test]
fn a_proof_for_another_path_or_root_proves_no_lie() {
    for (model, paths) in cases() {
        let root = model::root(&model);
        let mut other_state = model.clone();
        other_state.insert([0xaa; 32], [0xbb; 32]);
        for path in &paths {
            let proof = model::prove(&model, path);
            for asked in &paths {
                if let Ok(held) = verify(&root, asked, &proof) {
                    assert_eq!(
                        held,
                        model.get(asked).copied(),
                        "one absence may cover both paths, no more"
                    );
                }
            }
            assert_eq!(
                verify(&model::root(&other_state), path, &proof),
                Err(ProofError::RootMismatch)
            );
            assert!(verify(&[0x5a; 32], path, &proof).is_err());
        }
    }
}

#[test]
fn a_batch_proof_with_steps_dropped_swapped_or_for_other_paths_is_rejected() {
    for (model, paths) in cases() {
        let root = model::root(&model);
        let steps = model::batch_steps(&model, &paths);
        for at in 0..steps.len() {
            let mut dropped = steps.clone();
            dropped.remove(at);
            assert!(
                verify_batch(&root, &paths, &model::batch(&dropped)).is_err(),
                "step {at} dropped: {steps:?}"
            );
            let mut swapped = steps.clone();
            swapped.swap(at, at.saturating_sub(1));
            if swapped != steps {
                assert!(
                    verify_batch(&root, &paths, &model::batch(&swapped)).is_err(),
                    "step {at} swapped"
                );
            }
        }
        let proof = model::batch(&steps);
        for at in 0..paths.len() {
            let mut fewer = paths.clone();
            fewer.remove(at);
            match verify_batch(&root, &fewer, &proof) {
                Ok(held) => assert_eq!(
                    held,
                    fewer.iter().map(|p| model.get(p).copied()).collect::<Vec<_>>()
                ),
                Err(error) => assert_ne!(error, ProofError::ValueMismatch),
            }
        }
        let descending: Vec<Path> = paths.iter().rev().copied().collect();
        for wrong in [&[][..], &descending[..], &[paths[0], paths[0]][..]] {
            if wrong != paths {
                assert_eq!(
                    verify_batch(&root, wrong, &proof),
                    Err(ProofError::PathsNotAscending)
                );
            }
        }
    }
}

#[test]
fn a_trie_that_the_rules_never_build_is_rejected() {
    let mut right = [0; 32];
    right[0] = 0x80;
    let leaf = hash_leaf(&right, &[1; 32]);
    let root = hash_internal(&EMPTY, &leaf);
    let held = Proof::new(Terminal::Present([1; 32]), &[EMPTY]).unwrap();
    assert_eq!(verify(&root, &right, &held), Err(ProofError::NotCompact));
    let absent = Proof::new(Terminal::Empty, &[leaf]).unwrap();
    assert_eq!(verify(&root, &[0; 32], &absent), Err(ProofError::NotCompact));
    let batch = model::batch(&[Step::Fork, Step::Empty, Step::Present([1; 32])]);
    assert_eq!(
        verify_batch(&root, &[[0; 32], right], &batch),
        Err(ProofError::NotCompact)
    );
}

#[test]
fn a_walk_deeper_than_a_path_is_rejected() {
    let mut steps = vec![Step::Side([0x11; 32]); 257];
    steps.push(Step::Empty);
    assert_eq!(
        verify_batch(&[1; 32], &[[0; 32]], &model::batch(&steps)),
        Err(ProofError::WrongWalk)
    );
    assert_eq!(
        Proof::new(Terminal::Empty, &[[0x11; 32]; 257]).unwrap_err(),
        ProofError::TooDeep { depth: 257 }
    );
}

proptest! {
    #[test]
    fn any_bytes_decode_to_at_most_one_proof(bytes in prop::collection::vec(any::<u8>(), 0..200), tag in 0u8..4,
            depth in 0u16..300, path: [u8; 32], root: [u8; 32]) {
        let mut shaped = vec![tag];
        shaped.resize(1 + 32 * usize::from(tag.min(2)), 7);
        shaped.extend(depth.to_le_bytes());
        shaped.extend(&bytes);
        for bytes in [&bytes, &shaped] {
            if let Ok(proof) = Proof::from_bytes(bytes) {
                prop_assert_eq!(&proof.to_bytes(), bytes);
                prop_assert!(verify(&root, &path, &proof).is_err());
            }
            if let Ok(proof) = BatchProof::from_bytes(bytes) {
                prop_assert_eq!(&proof.to_bytes(), bytes);
                prop_assert!(verify_batch(&root, &[path], &proof).is_err());
            }
        }
    }

    #[test]
    fn any_steps_and_words_are_walked_without_panic(steps in prop::collection::vec(0u8..7, 0..600),
            words in prop::collection::vec(any::<[u8; 32]>(), 0..300), mut paths: Vec<[u8; 32]>) {
        paths.sort();
        paths.dedup();
        let bytes = borsh::to_vec(&(steps, words)).unwrap();
        let proof = BatchProof::from_bytes(&bytes).unwrap();
        prop_assert!(verify_batch(&[9; 32], &paths, &proof).is_err());
    }
}

#[test]
fn a_length_that_the_bytes_do_not_hold_allocates_nothing() {
    for length in [1, 1000, u32::MAX] {
        let mut bytes = length.to_le_bytes().to_vec();
        assert!(BatchProof::from_bytes(&bytes).is_err());
        bytes.extend([0; 8]);
        bytes.extend(length.to_le_bytes());
        assert!(BatchProof::from_bytes(&bytes).is_err());
    }
}

#[test]
fn random_paths_of_the_model_reach_great_depths() {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let model = model::random_model(&mut rng, 40);
    let deepest = model.keys().map(|path| model::prove(&model, path).depth()).max();
    assert!(deepest > Some(100), "the cases must hold deep tries: {deepest:?}");
}
