//! Pages and leaves, as bytes.
//!
//! | a page | bytes | |
//! |---|---|---|
//! | occupied | 2^LEVELS / 8 | bit i: slot i is not empty; little endian |
//! | nodes | 32 each | of the slots that are not empty, in their order |
//! | positions | 8 each | where these lie |
//!
//! | a leaf | bytes | |
//! |---|---|---|
//! | path | 32 | |
//! | length | 4 | of the value, little endian |
//! | value | length | |
//!
//! Bytes of a log are hostile until their hash is checked, and parsed with care after that.

use millrace_proof::{EMPTY, Node, Path, hash_leaf, hash_value};

use super::{Link, WIDTH, hash, is_leaf};
use crate::error::ReadError;
use crate::log::{At, Position, Snapshot};

/// Bytes of the slots' bits.
const MASK_BYTES: usize = WIDTH / 8;

/// Bytes of a leaf in front of its value.
const LEAF_HEAD: usize = 36;

/// Bytes of a page with so many slots that are not empty.
pub(super) const fn page_len(occupied: usize) -> usize {
    MASK_BYTES + occupied * 40
}

/// Bytes of a leaf with a value of so many.
pub(super) const fn leaf_len(value: usize) -> usize {
    LEAF_HEAD + value
}

/// A page, read in place.
#[derive(Clone, Copy)]
pub(super) struct Page<'a> {
    occupied: u64,
    nodes: &'a [Node],
    positions: &'a [[u8; 8]],
}

/// A leaf, read in place.
#[derive(Clone, Copy)]
pub(super) struct Leaf<'a> {
    pub(super) path: &'a Path,
    pub(super) value: &'a [u8],
}

impl<'a> Page<'a> {
    /// The page of a link to one.
    #[inline]
    pub(super) fn read(snapshot: &'a Snapshot, link: &Link) -> Result<Self, ReadError> {
        let at = find(snapshot, link.position)?;
        let page = Self::parse(at.bytes).ok_or_else(|| damaged(snapshot, link.position))?;
        if at.is_unchecked() {
            page.check(snapshot, link, &at)?;
        }
        Ok(page)
    }

    #[cold]
    fn check(&self, snapshot: &Snapshot, link: &Link, at: &At<'_>) -> Result<(), ReadError> {
        if self.tree()[1] != link.node {
            return Err(damaged(snapshot, link.position));
        }
        at.set_checked();
        Ok(())
    }

    #[inline]
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (mask, rest) = bytes.split_at_checked(MASK_BYTES)?;
        let mut occupied = [0; 8];
        occupied[..MASK_BYTES].copy_from_slice(mask);
        let occupied = u64::from_le_bytes(occupied);
        let count = occupied.count_ones() as usize;
        let (nodes, rest) = rest.split_at_checked(count * 32)?;
        let (positions, _) = rest.split_at_checked(count * 8)?;
        Some(Self {
            occupied,
            nodes: nodes.as_chunks().0,
            positions: positions.as_chunks().0,
        })
    }

    /// What is in a slot.
    #[inline]
    pub(super) fn slot(&self, slot: usize) -> Link {
        let bit = 1 << slot;
        if self.occupied & bit == 0 {
            return Link::default();
        }
        let index = (self.occupied & (bit - 1)).count_ones() as usize;
        Link {
            node: self.nodes[index],
            position: Position::from_bytes(self.positions[index]),
        }
    }

    /// All slots, the empty ones too.
    pub(super) fn slots(&self) -> [Link; WIDTH] {
        std::array::from_fn(|slot| self.slot(slot))
    }

    /// The nodes inside: node i has the children 2i and 2i + 1, the page's own is node 1, the slots' are from WIDTH on.
    pub(super) fn tree(&self) -> [Node; 2 * WIDTH] {
        let mut tree = [EMPTY; 2 * WIDTH];
        for slot in 0..WIDTH {
            tree[WIDTH + slot] = self.slot(slot).node;
        }
        for i in (1..WIDTH).rev() {
            tree[i] = hash::join(&tree[2 * i], &tree[2 * i + 1]);
        }
        tree
    }

    /// The first slot from `slot` on that is not empty.
    pub(super) fn first_from(&self, slot: usize) -> Option<usize> {
        let left = self.occupied.checked_shr(slot as u32).unwrap_or(0);
        (left != 0).then(|| slot + left.trailing_zeros() as usize)
    }
}

impl<'a> Leaf<'a> {
    /// The leaf of a link to one.
    #[inline]
    pub(super) fn read(snapshot: &'a Snapshot, link: &Link) -> Result<Self, ReadError> {
        let at = find(snapshot, link.position)?;
        let leaf = Self::parse(at.bytes).ok_or_else(|| damaged(snapshot, link.position))?;
        if at.is_unchecked() {
            leaf.check(snapshot, link, &at)?;
        }
        Ok(leaf)
    }

    #[cold]
    fn check(&self, snapshot: &Snapshot, link: &Link, at: &At<'_>) -> Result<(), ReadError> {
        if hash_leaf(self.path, &hash_value(self.value)) != link.node {
            return Err(damaged(snapshot, link.position));
        }
        at.set_checked();
        Ok(())
    }

    #[inline]
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (path, rest) = bytes.split_first_chunk::<32>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let value = rest.get(..u32::from_le_bytes(*len) as usize)?;
        Some(Self { path, value })
    }
}

#[inline]
fn find(snapshot: &Snapshot, position: Position) -> Result<At<'_>, ReadError> {
    snapshot.at(position).ok_or_else(|| damaged(snapshot, position))
}

#[cold]
fn damaged(snapshot: &Snapshot, position: Position) -> ReadError {
    ReadError::Damaged(snapshot.place(position))
}

/// Appends a page with these slots, in their order, of which `occupied` are not empty.
pub(super) fn write_page(occupied: u64, slots: impl Iterator<Item = Link> + Clone, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&occupied.to_le_bytes()[..MASK_BYTES]);
    for link in slots.clone() {
        bytes.extend_from_slice(&link.node);
    }
    for link in slots {
        bytes.extend_from_slice(&link.position.to_bytes());
    }
}

/// Appends a leaf.
pub(super) fn write_leaf(path: &Path, value: &[u8], bytes: &mut Vec<u8>) {
    let len = u32::try_from(value.len()).expect("values are far smaller than 4 GiB");
    bytes.extend_from_slice(path);
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(value);
}

/// Whether a link leads to a page.
pub(super) fn is_page(link: &Link) -> bool {
    !link.is_empty() && !is_leaf(&link.node)
}
