//! Inclusion proofs: complete, and worth nothing once anything about them is changed.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;

use common::*;
use millrace_types::hash::domains;
use millrace_types::merkle::{
    InclusionError, InclusionProof, prove, prove_receipt, prove_transaction, receipts_root, root,
    transactions_root, verify, verify_receipt, verify_transaction,
};
use millrace_types::receipt::Outcome;
use millrace_types::{Hash, TransactionReceipt};

fn leaves(count: u32) -> Vec<Hash> {
    (0..count)
        .map(|index| domains::TRANSACTION_LEAF.hash(&[&index.to_le_bytes()]))
        .collect()
}

/// The root as the specification words it, by recursion on the split.
fn root_by_definition(leaves: &[Hash]) -> Hash {
    fn top(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::ZERO,
            [leaf] => *leaf,
            _ => {
                let split = (0..32)
                    .map(|bit| 1 << bit)
                    .filter(|split| *split < leaves.len())
                    .max()
                    .unwrap();
                let (left, right) = (top(&leaves[..split]), top(&leaves[split..]));
                domains::MERKLE_NODE.hash(&[&left.0, &right.0])
            }
        }
    }
    domains::MERKLE_ROOT.hash(&[&(leaves.len() as u32).to_le_bytes(), &top(leaves).0])
}

#[test]
fn every_leaf_of_every_small_list_is_proven() {
    for count in 0..70 {
        let leaves = leaves(count);
        let root = root(&leaves);
        assert_eq!(root, root_by_definition(&leaves));
        for index in 0..count {
            let proof = prove(&leaves, index).unwrap();
            assert_eq!((proof.index, proof.count), (index, count));
            assert_eq!(verify(&root, leaves[index as usize], &proof), Ok(()));
        }
        assert_eq!(prove(&leaves, count), None);
    }
}

#[test]
fn roots_of_different_lists_differ() {
    let prefixes = (0..70).map(|count| root(&leaves(count)));
    let repeated = (1..20).map(|count| root(&vec![hash(1); count]));
    let roots: BTreeSet<Hash> = prefixes.chain(repeated).collect();
    assert_eq!(roots.len(), 89);
}

#[test]
fn no_proof_stands_for_another_index_or_count() {
    for count in 1..20 {
        let leaves = leaves(count);
        let root = root(&leaves);
        for index in 0..count {
            let proof = prove(&leaves, index).unwrap();
            for (other_index, other_count) in
                (0..25).flat_map(|index| (0..25).map(move |count| (index, count)))
            {
                let other = InclusionProof {
                    index: other_index,
                    count: other_count,
                    ..proof.clone()
                };
                for leaf in &leaves {
                    let holds = other == proof && *leaf == leaves[index as usize];
                    assert_eq!(verify(&root, *leaf, &other).is_ok(), holds);
                }
            }
        }
    }
}

#[test]
fn changed_siblings_prove_nothing() {
    let leaves = leaves(11);
    let root = root(&leaves);
    for index in 0..11 {
        let proof = prove(&leaves, index).unwrap();
        let leaf = leaves[index as usize];
        for at in 0..proof.siblings.len() {
            let mut changed = proof.clone();
            changed.siblings[at].0[5] ^= 1;
            assert!(matches!(
                verify(&root, leaf, &changed),
                Err(InclusionError::Root { .. })
            ));
            let mut shorter = proof.clone();
            shorter.siblings.remove(at);
            assert!(matches!(
                verify(&root, leaf, &shorter),
                Err(InclusionError::Length { .. })
            ));
        }
        let mut longer = proof.clone();
        longer.siblings.push(hash(0));
        assert!(matches!(
            verify(&root, leaf, &longer),
            Err(InclusionError::Length { .. })
        ));
    }
}

#[test]
fn a_node_is_no_leaf() {
    // The classic second preimage: a shorter list whose leaves are the inner nodes of the longer.
    let four = leaves(4);
    let nodes = [0, 2].map(|at| domains::MERKLE_NODE.hash(&[&four[at].0, &four[at + 1].0]));
    assert_ne!(root(&four), root(&nodes));
}

#[test]
fn the_largest_index_is_refused_without_work() {
    let proof = InclusionProof {
        index: u32::MAX - 1,
        count: u32::MAX,
        siblings: vec![],
    };
    assert_eq!(
        verify(&hash(1), hash(2), &proof),
        Err(InclusionError::Length {
            found: 0,
            expected: 31
        }),
    );
}

#[test]
fn transactions_are_proven_by_hash() {
    let transactions = transactions(6);
    let root = transactions_root(&transactions);
    let proof = prove_transaction(&transactions, 4).unwrap();
    assert_eq!(verify_transaction(&root, &transactions[4].hash(), &proof), Ok(()));
    assert!(verify_transaction(&root, &transactions[3].hash(), &proof).is_err());
    assert_eq!(prove_transaction(&transactions, 6), None);
}

#[test]
fn receipts_are_proven_whole() {
    let receipts: Vec<TransactionReceipt> = (0..5)
        .map(|index| transaction_receipt(index, Outcome::Success))
        .collect();
    let root = receipts_root(&receipts);
    let proof = prove_receipt(&receipts, 3).unwrap();
    assert_eq!(verify_receipt(&root, &receipts[3], &proof), Ok(()));
    let elsewhere = verify_receipt(&root, &receipts[2], &proof);
    assert_eq!(
        elsewhere,
        Err(InclusionError::ReceiptIndex { receipt: 2, proof: 3 })
    );
    let changes: [fn(&mut TransactionReceipt); 6] = [
        |receipt| receipt.transaction_hash = hash(0),
        |receipt| receipt.outcome = Outcome::Reverted,
        |receipt| receipt.gas_used += 1,
        |receipt| receipt.output.clear(),
        |receipt| receipt.logs.clear(),
        |receipt| receipt.created = None,
    ];
    for change in changes {
        let mut receipt = receipts[3].clone();
        change(&mut receipt);
        assert!(matches!(
            verify_receipt(&root, &receipt, &proof),
            Err(InclusionError::Root { .. })
        ));
    }
}

#[test]
fn empty_lists_of_both_kinds_have_the_root_of_no_leaves() {
    assert_eq!(transactions_root(&[]), root(&[]));
    assert_eq!(receipts_root(&[]), root(&[]));
}
