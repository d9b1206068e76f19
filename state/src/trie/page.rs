//! Pages and leaves, as bytes.
//!
//! | a page | bytes | |
//! |---|---|---|
//! | occupied | 2^LEVELS / 8 | bit i: slot i is not empty; little endian |
//! | leaves | 2^LEVELS / 8 | bit i: there is a leaf in it |
//! | check | 8 | the first bytes of BLAKE3(occupied ‖ leaves ‖ positions): the page's node does not depend on positions |
//! | positions | 8 each | where what is in the slots lies that are not empty, in their order |
//! | nodes | 32 each | of the same |
//!
//! | a leaf | bytes | |
//! |---|---|---|
//! | path | 32 | |
//! | length | 4 | of the value, little endian |
//! | value | length | |
//!
//! Whoever looks a path up needs masks and positions, which lie together.
//!
//! Bytes of a log are hostile until their hash is checked, and parsed with care after that.

use millrace_proof::{EMPTY, Node, Path, hash_leaf, hash_value};

use super::{Link, WIDTH, hash, is_leaf};
use crate::error::ReadError;
use crate::log::{Position, Snapshot};

/// Bytes of the slots' bits.
const MASK_BYTES: usize = WIDTH / 8;

/// Bytes of the check.
const CHECK_BYTES: usize = 8;

/// Bytes of a page in front of its positions.
const POSITIONS: usize = 2 * MASK_BYTES + CHECK_BYTES;

/// Bytes of a leaf in front of its value.
const LEAF_HEAD: usize = 36;

/// Bytes of a page with so many slots that are not empty.
pub(super) const fn page_len(occupied: usize) -> usize {
    POSITIONS + occupied * 40
}

/// Bytes of a leaf with a value of so many.
pub(super) const fn leaf_len(value: usize) -> usize {
    LEAF_HEAD + value
}

/// A page, read in place.
#[derive(Clone, Copy)]
pub(super) struct Page<'a> {
    /// All of it.
    bytes: &'a [u8],
    occupied: u64,
    leaves: u64,
    nodes: &'a [Node],
    positions: &'a [[u8; 8]],
}

/// What is below a slot.
pub(super) enum Below<'a> {
    Nothing,
    Leaf(Leaf<'a>),
    Page(Page<'a>),
}

/// A leaf, read in place.
#[derive(Clone, Copy)]
pub(super) struct Leaf<'a> {
    pub(super) path: &'a Path,
    pub(super) value: &'a [u8],
}

impl<'a> Page<'a> {
    /// What is in a slot.
    #[inline]
    pub(super) fn slot(&self, slot: usize) -> Link {
        self.index(slot).map_or(Link::default(), |index| Link {
            node: self.nodes[index],
            position: Position::from_bytes(self.positions[index]),
        })
    }

    /// The page below a slot, or what is there instead: a leaf, or `None`. The node is read only where it is needed.
    #[inline]
    pub(super) fn below(&self, snapshot: &'a Snapshot, slot: usize) -> Result<Below<'a>, ReadError> {
        let Some(index) = self.index(slot) else {
            return Ok(Below::Nothing);
        };
        let position = Position::from_bytes(self.positions[index]);
        let node = || self.nodes[index];
        if self.leaves >> slot & 1 == 1 {
            Leaf::read_at(snapshot, position, node).map(Below::Leaf)
        } else {
            Self::read_at(snapshot, position, node).map(Below::Page)
        }
    }

    /// Which of the slots that are not empty it is.
    #[inline]
    fn index(&self, slot: usize) -> Option<usize> {
        let bit = 1 << slot;
        let before = (self.occupied & (bit - 1)).count_ones() as usize;
        (self.occupied & bit != 0).then_some(before)
    }

    /// Bit i: slot i is not empty.
    pub(super) fn occupied(&self) -> u64 {
        self.occupied
    }

    /// The nodes of all slots, the empty ones too.
    pub(super) fn nodes(&self, nodes: &mut [Node; WIDTH]) {
        let mut next = self.nodes.iter();
        for (slot, node) in nodes.iter_mut().enumerate() {
            *node = match self.occupied >> slot & 1 {
                1 => next.next().copied().unwrap_or(EMPTY),
                _ => EMPTY,
            };
        }
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

/// What lies at positions.
pub(super) trait Stored<'a>: Sized {
    /// What bytes begin with.
    fn parse(bytes: &'a [u8]) -> Option<Self>;

    /// Whether it is what the node says, and whole.
    fn fits(&self, node: &Node) -> bool;

    /// What a link leads to.
    #[inline]
    fn read(snapshot: &'a Snapshot, link: &Link) -> Result<Self, ReadError> {
        Self::read_at(snapshot, link.position, || link.node)
    }

    /// What lies at a position, with the node that `node` gives. That is asked for, and held against what lies there, the
    /// first time only.
    #[inline]
    fn read_at(
        snapshot: &'a Snapshot,
        position: Position,
        node: impl FnOnce() -> Node,
    ) -> Result<Self, ReadError> {
        let at = snapshot.at(position).ok_or_else(|| damaged(snapshot, position))?;
        let stored = Self::parse(at.bytes).ok_or_else(|| damaged(snapshot, position))?;
        if at.is_unchecked() {
            if !stored.fits(&node()) {
                return Err(damaged(snapshot, position));
            }
            at.set_checked();
        }
        Ok(stored)
    }
}

impl<'a> Stored<'a> for Page<'a> {
    #[inline]
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let all = bytes;
        let (masks, rest) = bytes.split_at_checked(POSITIONS)?;
        let mask = |bytes: &[u8]| {
            let mut mask = [0; 8];
            mask[..MASK_BYTES].copy_from_slice(bytes);
            u64::from_le_bytes(mask)
        };
        let (occupied, leaves) = (
            mask(&masks[..MASK_BYTES]),
            mask(&masks[MASK_BYTES..2 * MASK_BYTES]),
        );
        let count = occupied.count_ones() as usize;
        let (positions, rest) = rest.split_at_checked(count * 8)?;
        let nodes = rest.get(..count * 32)?;
        Some(Self {
            bytes: all.get(..page_len(count))?,
            occupied,
            leaves,
            nodes: nodes.as_chunks().0,
            positions: positions.as_chunks().0,
        })
    }

    #[cold]
    fn fits(&self, node: &Node) -> bool {
        let mut nodes = [EMPTY; WIDTH];
        self.nodes(&mut nodes);
        let mut leaves = 0;
        for (slot, node) in nodes.iter().enumerate() {
            leaves |= u64::from(is_leaf(node)) << slot;
        }
        hash::fold_one(&mut nodes);
        nodes[0] == *node
            && leaves == self.leaves
            && !self.nodes.contains(&EMPTY)
            && self.bytes[2 * MASK_BYTES..POSITIONS] == check_of(self.bytes, self.positions.len())
    }
}

impl<'a> Stored<'a> for Leaf<'a> {
    #[inline]
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (path, rest) = bytes.split_first_chunk::<32>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let value = rest.get(..u32::from_le_bytes(*len) as usize)?;
        Some(Self { path, value })
    }

    #[cold]
    fn fits(&self, node: &Node) -> bool {
        hash_leaf(self.path, &hash_value(self.value)) == *node
    }
}

#[cold]
fn damaged(snapshot: &Snapshot, position: Position) -> ReadError {
    ReadError::Damaged(snapshot.place(position))
}

/// Appends a page that is `old` but for what is in some slots, each with its new link.
pub(super) fn write_changed(
    old: &Page<'_>,
    changed: impl Iterator<Item = (usize, Link)> + Clone,
    bytes: &mut Vec<u8>,
) {
    let is_same_shape = |(slot, link): (usize, Link)| link.is_empty() == (old.occupied >> slot & 1 == 0);
    if !changed.clone().all(is_same_shape) {
        let mut slots = std::array::from_fn(|slot| old.slot(slot));
        for (slot, link) in changed {
            slots[slot] = link;
        }
        return write_page(&slots, bytes);
    }
    let start = bytes.len();
    bytes.extend_from_slice(old.bytes);
    let page = &mut bytes[start..];
    let positions = POSITIONS;
    let nodes = positions + 8 * old.positions.len();
    let mut leaves = old.leaves;
    for (slot, link) in changed {
        let Some(index) = old.index(slot) else { continue };
        page[positions + 8 * index..][..8].copy_from_slice(&link.position.to_bytes());
        page[nodes + 32 * index..][..32].copy_from_slice(&link.node);
        leaves = leaves & !(1 << slot) | u64::from(is_leaf(&link.node)) << slot;
    }
    page[MASK_BYTES..2 * MASK_BYTES].copy_from_slice(&leaves.to_le_bytes()[..MASK_BYTES]);
    set_check(page, old.positions.len());
}

/// The check of a page with so many positions.
fn check_of(page: &[u8], positions: usize) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&page[..2 * MASK_BYTES]);
    hasher.update(&page[POSITIONS..POSITIONS + 8 * positions]);
    let hash = hasher.finalize();
    std::array::from_fn(|i| hash.as_bytes()[i])
}

fn set_check(page: &mut [u8], positions: usize) {
    let check = check_of(page, positions);
    page[2 * MASK_BYTES..POSITIONS].copy_from_slice(&check);
}

/// Appends a page with these slots.
pub(super) fn write_page(slots: &[Link; WIDTH], bytes: &mut Vec<u8>) {
    let (mut occupied, mut leaves) = (0_u64, 0_u64);
    for (slot, link) in slots.iter().enumerate() {
        occupied |= u64::from(!link.is_empty()) << slot;
        leaves |= u64::from(is_leaf(&link.node)) << slot;
    }
    let start = bytes.len();
    bytes.extend_from_slice(&occupied.to_le_bytes()[..MASK_BYTES]);
    bytes.extend_from_slice(&leaves.to_le_bytes()[..MASK_BYTES]);
    bytes.extend_from_slice(&[0; CHECK_BYTES]);
    for link in slots.iter().filter(|link| !link.is_empty()) {
        bytes.extend_from_slice(&link.position.to_bytes());
    }
    for link in slots.iter().filter(|link| !link.is_empty()) {
        bytes.extend_from_slice(&link.node);
    }
    set_check(&mut bytes[start..], occupied.count_ones() as usize);
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
    is_internal(&link.node)
}

/// Whether a node is neither a leaf nor empty.
pub(super) fn is_internal(node: &Node) -> bool {
    *node != EMPTY && !is_leaf(node)
}
