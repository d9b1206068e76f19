//! A proof of what one path holds: its value's hash, or nothing.
//!
//! The proof names the node where the walk along the path ends (the [`Terminal`]) and the siblings met on the way.
//! The verifier hashes from the terminal up to the root. Empty siblings, of which a deep trie has many, cost one
//! bit each; in memory a proof has the same compact form as on the wire.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize, io};

use crate::node::may_join;
use crate::path::{PATH_BITS, bit, shared_bits};
use crate::{EMPTY, Node, Path, Root, ValueHash, hash_internal, hash_leaf, hash_value};

/// Where the walk along the proven path ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Terminal {
    /// In an empty subtree: the path holds nothing.
    Empty,
    /// In the path's own leaf: the path holds a value with this hash.
    Present(ValueHash),
    /// In the leaf of another path, which is alone in the subtree: the path holds nothing.
    Other {
        /// The other leaf's path. It differs from the proven one and shares its first `depth` bits.
        path: Path,
        /// The hash of the other leaf's value.
        value_hash: ValueHash,
    },
}

/// A proof of what one path holds under a root.
///
/// Its borsh bytes are canonical: decoding accepts exactly one byte string per proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    terminal: Terminal,
    /// Depth of the terminal, at most 256.
    depth: u16,
    /// One bit for each depth 1 ..= `depth`, first bit most significant: whether the sibling there is not empty.
    occupied: Vec<u8>,
    /// The siblings that are not empty, from the root down; as many as bits are set in `occupied`.
    siblings: Vec<Node>,
}

/// Why a proof does not prove what is asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The terminal lies deeper than a path has bits.
    #[error("the proof goes {depth} levels deep, a path has 256 bits: ask for a proof of this path")]
    TooDeep {
        /// Siblings given.
        depth: usize,
    },
    /// The leaf that should stand in the path's place lies elsewhere.
    #[error(
        "the proof ends in a leaf that shares {shared} bits with the path, at depth {depth}: it is of another path"
    )]
    Elsewhere {
        /// Leading bits shared with the proven path.
        shared: usize,
        /// Depth of the terminal.
        depth: usize,
    },
    /// The path's own leaf is given as another path's.
    #[error("the proof denies the path with the path's own leaf")]
    SelfDenial,
    /// The proof describes a trie that the rules never build: a leaf alone under an internal node.
    #[error("the proof's lowest sibling lets a lone leaf stay down: no trie has this shape")]
    NotCompact,
    /// The steps or words of a batch proof are not those of a walk along the asked paths.
    #[error("the batch proof's steps do not fit the asked paths: it is of other paths, cut, or altered")]
    WrongWalk,
    /// The paths asked of a batch proof are none, repeat, or are out of order.
    #[error("a batch proof is verified for at least one path, in ascending order without repetition")]
    PathsNotAscending,
    /// The proof leads to another root.
    #[error("the proof leads to another root: it is of another state, of another path, or altered")]
    RootMismatch,
    /// The proof holds, but not for this value.
    #[error("the proof is sound but proves another value, or absence, for this path")]
    ValueMismatch,
}

/// Why bytes are no proof.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not the bytes of a proof: {reason}")]
pub struct DecodeError {
    reason: String,
}

impl From<io::Error> for DecodeError {
    fn from(error: io::Error) -> Self {
        Self {
            reason: error.to_string(),
        }
    }
}

/// What `path` holds under `root`: the hash of its value, or `None` if it holds nothing.
///
/// # Errors
/// [`ProofError`] when `proof` does not prove either for this root and path.
pub fn verify(root: &Root, path: &Path, proof: &Proof) -> Result<Option<ValueHash>, ProofError> {
    let depth = proof.depth();
    let (terminal, held) = match &proof.terminal {
        Terminal::Empty => (EMPTY, None),
        Terminal::Present(value_hash) => (hash_leaf(path, value_hash), Some(*value_hash)),
        Terminal::Other {
            path: other,
            value_hash,
        } => {
            let shared = shared_bits(other, path);
            if shared == PATH_BITS {
                return Err(ProofError::SelfDenial);
            }
            if shared < depth {
                return Err(ProofError::Elsewhere { shared, depth });
            }
            (hash_leaf(other, value_hash), None)
        }
    };
    let mut remaining = proof.siblings.iter().rev();
    let mut node = terminal;
    for level in (0..depth).rev() {
        let sibling = if proof.is_occupied(level) {
            remaining.next().ok_or(ProofError::RootMismatch)?
        } else {
            &EMPTY
        };
        if level + 1 == depth && !may_join(&node, sibling) {
            return Err(ProofError::NotCompact);
        }
        node = if bit(path, level) {
            hash_internal(sibling, &node)
        } else {
            hash_internal(&node, sibling)
        };
    }
    if node == *root {
        Ok(held)
    } else {
        Err(ProofError::RootMismatch)
    }
}

/// Checks that `path` holds exactly `value` under `root`, or nothing for `None`.
///
/// # Errors
/// [`ProofError`] when `proof` does not prove that, [`ProofError::ValueMismatch`] when it proves something else.
pub fn verify_value(root: &Root, path: &Path, value: Option<&[u8]>, proof: &Proof) -> Result<(), ProofError> {
    if verify(root, path, proof)? == value.map(hash_value) {
        Ok(())
    } else {
        Err(ProofError::ValueMismatch)
    }
}

impl Proof {
    /// The most bytes that a proof's encoding takes.
    pub const MAX_BYTES: usize = 1 + 64 + 2 + PATH_BITS / 8 + PATH_BITS * 32;

    /// A proof from where the walk ends and all siblings on the way, from the root down, empty ones included.
    ///
    /// # Errors
    /// [`ProofError::TooDeep`] for more than 256 siblings.
    pub fn new(terminal: Terminal, siblings: &[Node]) -> Result<Self, ProofError> {
        if siblings.len() > PATH_BITS {
            return Err(ProofError::TooDeep {
                depth: siblings.len(),
            });
        }
        let mut occupied = alloc::vec![0; siblings.len().div_ceil(8)];
        for (level, _) in siblings
            .iter()
            .enumerate()
            .filter(|(_, sibling)| **sibling != EMPTY)
        {
            occupied[level / 8] |= 0x80 >> (level % 8);
        }
        Ok(Self {
            terminal,
            depth: siblings.len() as u16,
            occupied,
            siblings: siblings
                .iter()
                .filter(|sibling| **sibling != EMPTY)
                .copied()
                .collect(),
        })
    }

    /// Where the walk ends.
    #[must_use]
    pub fn terminal(&self) -> &Terminal {
        &self.terminal
    }

    /// Depth of the terminal: the number of siblings, empty ones included.
    #[must_use]
    pub fn depth(&self) -> usize {
        usize::from(self.depth)
    }

    /// All siblings from the root down, empty ones included.
    pub fn siblings(&self) -> impl Iterator<Item = Node> + '_ {
        let mut remaining = self.siblings.iter();
        (0..self.depth()).map(move |level| match self.is_occupied(level) {
            true => remaining.next().copied().unwrap_or(EMPTY),
            false => EMPTY,
        })
    }

    /// What [`verify`] says of this proof.
    ///
    /// # Errors
    /// As [`verify`].
    pub fn verify(&self, root: &Root, path: &Path) -> Result<Option<ValueHash>, ProofError> {
        verify(root, path, self)
    }

    /// The proof's canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("a vector takes every byte")
    }

    /// Decodes a proof from exactly `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not the canonical encoding of a proof.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(borsh::from_slice(bytes)?)
    }

    fn is_occupied(&self, level: usize) -> bool {
        self.occupied[level / 8] >> (7 - level % 8) & 1 == 1
    }
}

const EMPTY_TAG: u8 = 0;
const PRESENT_TAG: u8 = 1;
const OTHER_TAG: u8 = 2;

impl BorshSerialize for Proof {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        match &self.terminal {
            Terminal::Empty => EMPTY_TAG.serialize(writer)?,
            Terminal::Present(value_hash) => (PRESENT_TAG, value_hash).serialize(writer)?,
            Terminal::Other { path, value_hash } => (OTHER_TAG, path, value_hash).serialize(writer)?,
        }
        self.depth.serialize(writer)?;
        writer.write_all(&self.occupied)?;
        self.siblings
            .iter()
            .try_for_each(|sibling| writer.write_all(sibling))
    }
}

impl BorshDeserialize for Proof {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let terminal = match u8::deserialize_reader(reader)? {
            EMPTY_TAG => Terminal::Empty,
            PRESENT_TAG => Terminal::Present(read_node(reader)?),
            OTHER_TAG => Terminal::Other {
                path: read_node(reader)?,
                value_hash: read_node(reader)?,
            },
            _ => return Err(invalid("the terminal's tag is none of 0, 1, 2")),
        };
        let depth = u16::deserialize_reader(reader)?;
        if usize::from(depth) > PATH_BITS {
            return Err(invalid("deeper than the 256 bits of a path"));
        }
        let mut occupied = [0; PATH_BITS / 8];
        let occupied = &mut occupied[..usize::from(depth).div_ceil(8)];
        reader.read_exact(occupied)?;
        let spare = occupied.len() * 8 - usize::from(depth);
        if occupied
            .last()
            .is_some_and(|last| last.trailing_zeros() < spare as u32)
        {
            return Err(invalid("a bit is set beyond the depth"));
        }
        let mut siblings = Vec::new();
        for _ in 0..occupied.iter().map(|byte| byte.count_ones()).sum() {
            let sibling = read_node(reader)?;
            if sibling == EMPTY {
                return Err(invalid("an empty sibling is spelled out"));
            }
            siblings.push(sibling);
        }
        Ok(Self {
            terminal,
            depth,
            occupied: occupied.to_vec(),
            siblings,
        })
    }
}

fn read_node<R: io::Read>(reader: &mut R) -> io::Result<Node> {
    let mut node = EMPTY;
    reader.read_exact(&mut node)?;
    Ok(node)
}

pub(crate) fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
