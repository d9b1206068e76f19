//! A proof of what many paths hold, in which shared nodes appear once.
//!
//! The proof is the walk over the part of the trie that the asked paths reach, in preorder, left before right: one
//! step for each node reached, and the 32-byte words that the steps need. The verifier makes the same walk, hashes
//! on the way back, and must use up everything.
//!
//! | step | the asked paths in this subtree | words | walk goes on |
//! |---|---|---|---|
//! | 0 empty | hold nothing | | |
//! | 1 present | are one, whose leaf this is | value hash | |
//! | 2 leaf | hold nothing, but for this leaf's own if it is among several | path, value hash | |
//! | 3 fork | lie on both sides | | left, then right |
//! | 4 side | lie on one side, the other is not empty | the other side's node | on the side that is asked |
//! | 5 lone side | lie on one side, the other is empty | | on the side that is asked |

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::node::may_join;
use crate::path::{PATH_BITS, bit, shared_bits};
use crate::proof::{DecodeError, ProofError};
use crate::{EMPTY, Node, Path, Root, ValueHash, hash_internal, hash_leaf};

/// What a step of a [`BatchProof`] meets. The prover's side; the verifier reads the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// An empty subtree.
    Empty,
    /// The leaf of the only path that is asked here.
    Present(ValueHash),
    /// Any other leaf.
    Leaf {
        /// The leaf's path.
        path: Path,
        /// The hash of its value.
        value_hash: ValueHash,
    },
    /// An internal node whose both children are walked.
    Fork,
    /// An internal node of which one child is walked; this is the other, [`EMPTY`] included.
    Side(Node),
}

const EMPTY_STEP: u8 = 0;
const PRESENT_STEP: u8 = 1;
const LEAF_STEP: u8 = 2;
const FORK_STEP: u8 = 3;
const SIDE_STEP: u8 = 4;
const LONE_SIDE_STEP: u8 = 5;

/// A proof of what several paths hold under a root.
#[derive(Clone, PartialEq, Eq, Debug, Default, BorshSerialize, BorshDeserialize)]
pub struct BatchProof {
    steps: Vec<u8>,
    words: Vec<[u8; 32]>,
}

impl BatchProof {
    /// Appends the next step of the walk.
    pub fn push(&mut self, step: Step) {
        let tag = match step {
            Step::Empty => EMPTY_STEP,
            Step::Present(value_hash) => {
                self.words.push(value_hash);
                PRESENT_STEP
            }
            Step::Leaf { path, value_hash } => {
                self.words.extend([path, value_hash]);
                LEAF_STEP
            }
            Step::Fork => FORK_STEP,
            Step::Side(EMPTY) => LONE_SIDE_STEP,
            Step::Side(other) => {
                self.words.push(other);
                SIDE_STEP
            }
        };
        self.steps.push(tag);
    }

    /// The proof's canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("a vector takes every byte")
    }

    /// Decodes a proof from exactly `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not the encoding of two lists. What the steps say is checked by
    /// [`verify_batch`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(borsh::from_slice(bytes)?)
    }
}

/// What each of `paths` holds under `root`, in their order: the hash of its value, or `None` if it holds nothing.
/// The paths must be distinct and ascend.
///
/// # Errors
/// [`ProofError`] when `proof` does not prove that for exactly these paths.
pub fn verify_batch(
    root: &Root,
    paths: &[Path],
    proof: &BatchProof,
) -> Result<Vec<Option<ValueHash>>, ProofError> {
    if paths.is_empty() || !paths.is_sorted_by(|a, b| a < b) {
        return Err(ProofError::PathsNotAscending);
    }
    let mut walk = Walk {
        steps: proof.steps.iter(),
        words: proof.words.iter(),
        held: Vec::new(),
    };
    let node = walk.subtree(paths, 0)?;
    if walk.steps.next().is_some() || walk.words.next().is_some() {
        return Err(ProofError::WrongWalk);
    }
    if node == *root {
        Ok(walk.held)
    } else {
        Err(ProofError::RootMismatch)
    }
}

struct Walk<'a> {
    steps: core::slice::Iter<'a, u8>,
    words: core::slice::Iter<'a, [u8; 32]>,
    /// What the paths walked so far hold.
    held: Vec<Option<ValueHash>>,
}

impl Walk<'_> {
    /// The node at `depth` that the asked `paths`, one or more, lead through.
    fn subtree(&mut self, paths: &[Path], depth: usize) -> Result<Node, ProofError> {
        match (self.steps.next(), paths) {
            (Some(&EMPTY_STEP), _) => {
                self.held.extend(paths.iter().map(|_| None));
                Ok(EMPTY)
            }
            (Some(&PRESENT_STEP), [path]) => {
                let value_hash = self.word()?;
                self.held.push(Some(value_hash));
                Ok(hash_leaf(path, &value_hash))
            }
            (Some(&LEAF_STEP), _) => self.leaf(paths, depth),
            (Some(&step @ FORK_STEP..=LONE_SIDE_STEP), _) if depth < PATH_BITS => {
                self.internal(step, paths, depth)
            }
            _ => Err(ProofError::WrongWalk),
        }
    }

    fn leaf(&mut self, paths: &[Path], depth: usize) -> Result<Node, ProofError> {
        let (leaf, value_hash) = (self.word()?, self.word()?);
        if *paths == [leaf] {
            return Err(ProofError::SelfDenial);
        }
        let shared = paths
            .iter()
            .map(|path| shared_bits(path, &leaf))
            .min()
            .unwrap_or(0);
        if shared < depth {
            return Err(ProofError::Elsewhere { shared, depth });
        }
        self.held
            .extend(paths.iter().map(|path| (*path == leaf).then_some(value_hash)));
        Ok(hash_leaf(&leaf, &value_hash))
    }

    fn internal(&mut self, step: u8, paths: &[Path], depth: usize) -> Result<Node, ProofError> {
        let (left, right) = paths.split_at(paths.partition_point(|path| !bit(path, depth)));
        let (left, right) = match (step, left, right) {
            (FORK_STEP, [_, ..], [_, ..]) => {
                (self.subtree(left, depth + 1)?, self.subtree(right, depth + 1)?)
            }
            (SIDE_STEP | LONE_SIDE_STEP, _, []) => {
                let other = self.side(step)?;
                (self.subtree(left, depth + 1)?, other)
            }
            (SIDE_STEP | LONE_SIDE_STEP, [], _) => {
                let other = self.side(step)?;
                (other, self.subtree(right, depth + 1)?)
            }
            _ => return Err(ProofError::WrongWalk),
        };
        if may_join(&left, &right) {
            Ok(hash_internal(&left, &right))
        } else {
            Err(ProofError::NotCompact)
        }
    }

    fn side(&mut self, step: u8) -> Result<Node, ProofError> {
        match step {
            LONE_SIDE_STEP => Ok(EMPTY),
            _ => self.word().and_then(|node| {
                if node == EMPTY {
                    Err(ProofError::WrongWalk)
                } else {
                    Ok(node)
                }
            }),
        }
    }

    fn word(&mut self) -> Result<[u8; 32], ProofError> {
        self.words.next().copied().ok_or(ProofError::WrongWalk)
    }
}
