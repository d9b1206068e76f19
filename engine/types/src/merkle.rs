//! Merkle roots over a block's transactions and receipts, and inclusion proofs.
//!
//! The shape is that of RFC 6962: a tree over n > 1 leaves splits at the largest power of two below n; nothing is
//! duplicated or padded. Four things keep a proof from meaning anything else than it says: leaves of transactions,
//! leaves of receipts, inner nodes and the root are hashed in four domains; a leaf binds its index; the root binds
//! the number of leaves; and index and count fix a proof's length and the side of every sibling.
//!
//! ```text
//! leaf(i)  = LEAF(i as u32 LE ‖ item)           item: a transaction's hash, or a transaction receipt's bytes
//! node     = MERKLE_NODE(left ‖ right)
//! root     = MERKLE_ROOT(n as u32 LE ‖ top)     top = 32 zero bytes when n = 0
//! ```

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec;
use crate::hash::domains;
use crate::{Hash, SignedTransaction, TransactionReceipt};

/// The most siblings that a proof can have: a list has less than 2^32 items.
pub const MAX_SIBLINGS: u32 = 32;

/// That an item is at `index` of a list of `count`.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct InclusionProof {
    /// The item's place.
    pub index: u32,
    /// The list's length.
    pub count: u32,
    /// The hashes beside the path from the leaf to the top, the leaf's own sibling first.
    #[borsh(deserialize_with = "codec::short_list::<MAX_SIBLINGS, _, _>")]
    pub siblings: Vec<Hash>,
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InclusionError {
    /// The index lies outside the list.
    #[error("index {index} in a list of {count}")]
    Index {
        /// The proof's index.
        index: u32,
        /// The proof's count.
        count: u32,
    },
    /// More or fewer siblings than a path of that index and count has.
    #[error("{found} siblings where index and count call for {expected}")]
    Length {
        /// Siblings found.
        found: usize,
        /// Siblings needed.
        expected: usize,
    },
    /// The receipt names another place than the proof.
    #[error("the receipt says index {receipt}, its proof {proof}")]
    ReceiptIndex {
        /// The receipt's index.
        receipt: u32,
        /// The proof's index.
        proof: u32,
    },
    /// The path leads to another root.
    #[error("the path leads to {found}, not to the root {root}")]
    Root {
        /// The root asked about.
        root: Hash,
        /// Where the path leads.
        found: Hash,
    },
}

/// The root over a block's transactions.
#[must_use]
pub fn transactions_root(transactions: &[SignedTransaction]) -> Hash {
    root(&transaction_leaves(transactions))
}

/// The root over a block's transaction receipts.
#[must_use]
pub fn receipts_root(receipts: &[TransactionReceipt]) -> Hash {
    root(&receipt_leaves(receipts))
}

/// Proves that `transactions[index]` is there. `None` if it is not.
#[must_use]
pub fn prove_transaction(transactions: &[SignedTransaction], index: u32) -> Option<InclusionProof> {
    prove(&transaction_leaves(transactions), index)
}

/// Proves that `receipts[index]` is there. `None` if it is not.
#[must_use]
pub fn prove_receipt(receipts: &[TransactionReceipt], index: u32) -> Option<InclusionProof> {
    prove(&receipt_leaves(receipts), index)
}

/// Checks that the transaction with this hash is in the list with this root.
///
/// # Errors
/// If the proof does not show it.
pub fn verify_transaction(
    root: &Hash,
    transaction: &Hash,
    proof: &InclusionProof,
) -> Result<(), InclusionError> {
    verify(root, transaction_leaf(proof.index, transaction), proof)
}

/// Checks that the receipt is in the list with this root.
///
/// # Errors
/// If the proof does not show it, or shows it at another index than the receipt's own.
pub fn verify_receipt(
    root: &Hash,
    receipt: &TransactionReceipt,
    proof: &InclusionProof,
) -> Result<(), InclusionError> {
    if receipt.index != proof.index {
        return Err(InclusionError::ReceiptIndex {
            receipt: receipt.index,
            proof: proof.index,
        });
    }
    verify(root, receipt_leaf(proof.index, receipt), proof)
}

/// A transaction's leaf.
#[must_use]
pub fn transaction_leaf(index: u32, transaction: &Hash) -> Hash {
    domains::TRANSACTION_LEAF.hash(&[&index.to_le_bytes(), &transaction.0])
}

/// A transaction receipt's leaf. The receipt's bytes begin with the transaction's hash.
#[must_use]
pub fn receipt_leaf(index: u32, receipt: &TransactionReceipt) -> Hash {
    codec::hash_of(&domains::RECEIPT_LEAF, &(index, receipt))
}

fn transaction_leaves(transactions: &[SignedTransaction]) -> Vec<Hash> {
    (0..)
        .zip(transactions)
        .map(|(index, signed)| transaction_leaf(index, &signed.hash()))
        .collect()
}

fn receipt_leaves(receipts: &[TransactionReceipt]) -> Vec<Hash> {
    (0..)
        .zip(receipts)
        .map(|(index, receipt)| receipt_leaf(index, receipt))
        .collect()
}

/// The root over leaves.
///
/// # Panics
/// If there are 2^32 leaves or more, which no block has.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    bind_count(
        count(leaves),
        if leaves.is_empty() {
            Hash::ZERO
        } else {
            top(leaves)
        },
    )
}

/// Proves the leaf at `index`. `None` if there is none.
///
/// # Panics
/// As [`root`].
#[must_use]
pub fn prove(leaves: &[Hash], index: u32) -> Option<InclusionProof> {
    let count = count(leaves);
    if index >= count {
        return None;
    }
    let mut siblings = Vec::new();
    let (mut rest, mut place) = (leaves, index as usize);
    while rest.len() > 1 {
        let (left, right) = rest.split_at(split(rest.len()));
        if place < left.len() {
            siblings.push(top(right));
            rest = left;
        } else {
            siblings.push(top(left));
            place -= left.len();
            rest = right;
        }
    }
    siblings.reverse();
    Some(InclusionProof {
        index,
        count,
        siblings,
    })
}

/// Checks that `leaf` lies under `root` where the proof says.
///
/// # Errors
/// If it does not.
pub fn verify(root: &Hash, leaf: Hash, proof: &InclusionProof) -> Result<(), InclusionError> {
    let (index, count) = (proof.index, proof.count);
    if index >= count {
        return Err(InclusionError::Index { index, count });
    }
    let sides = sides(index, count);
    if sides.len() != proof.siblings.len() {
        return Err(InclusionError::Length {
            found: proof.siblings.len(),
            expected: sides.len(),
        });
    }
    let path = sides.iter().rev().zip(&proof.siblings);
    let top = path.fold(leaf, |below, (side, sibling)| match side {
        Side::Left => node(&below, sibling),
        Side::Right => node(sibling, &below),
    });
    let found = bind_count(count, top);
    if found == *root {
        Ok(())
    } else {
        Err(InclusionError::Root { root: *root, found })
    }
}

/// On which side of a node the path goes on.
enum Side {
    Left,
    Right,
}

/// The path from the top to leaf `index` of `count`; at most [`MAX_SIBLINGS`] long.
fn sides(index: u32, count: u32) -> Vec<Side> {
    let mut sides = Vec::new();
    let (mut index, mut count) = (index as usize, count as usize);
    while count > 1 {
        let left = split(count);
        if index < left {
            sides.push(Side::Left);
            count = left;
        } else {
            sides.push(Side::Right);
            index -= left;
            count -= left;
        }
    }
    sides
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: usize) -> usize {
    1 << (count - 1).ilog2()
}

/// The node above at least one leaf. Recursion is as deep as the tree: at most 32.
fn top(leaves: &[Hash]) -> Hash {
    if let [leaf] = leaves {
        return *leaf;
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    node(&top(left), &top(right))
}

fn node(left: &Hash, right: &Hash) -> Hash {
    domains::MERKLE_NODE.hash(&[&left.0, &right.0])
}

fn bind_count(count: u32, top: Hash) -> Hash {
    domains::MERKLE_ROOT.hash(&[&count.to_le_bytes(), &top.0])
}

fn count(leaves: &[Hash]) -> u32 {
    u32::try_from(leaves.len()).expect("a block has less than 2^32 items")
}
