//! What sorted changes make of a trie: first its shape, in one pass from the root down, then all nodes that are new, many at
//! once, from the deepest level up.

use std::ops::Range;

use millrace_proof::{EMPTY, Node, Path};

use super::page::{Leaf, Page, is_page};
use super::{ChangesDigest, DEEPEST, LEVELS, Link, Trie, WIDTH, hash, is_leaf, slot_of};
use crate::changes::Changes;
use crate::error::ReadError;
use crate::log::{Position, Snapshot};

/// A part of the trie that is moved: what lies in it before a position is written anew, so that what it lay in can be
/// forgotten some day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sweep {
    /// A path in the part.
    pub(crate) path: Path,
    /// How many of its first bits all paths of the part have.
    pub(crate) bits: usize,
    /// What lies before this is moved.
    pub(crate) before: Position,
}

impl Sweep {
    /// Whether a slot of a page that is itself in reach of the sweep is in reach too.
    fn reaches(&self, level: usize, slot: usize) -> bool {
        let bits = self.bits.saturating_sub(level * LEVELS).min(LEVELS);
        (slot ^ slot_of(&self.path, level)) >> (LEVELS - bits) == 0
    }
}

/// What changes make of a trie, hashed and not yet written.
pub(super) struct Update<'a> {
    pub(super) root: Slot,
    /// By level.
    pub(super) pages: Vec<Vec<NewPage>>,
    pub(super) leaves: Vec<NewLeaf<'a>>,
}

/// What is below a page's slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    /// Nothing, or what lies in the log.
    Old(Link),
    /// A new leaf, by its index.
    Leaf(u32),
    /// A new page of the next level, by its index.
    Page(u32),
}

const EMPTY_SLOT: Slot = Slot::Old(Link {
    node: EMPTY,
    position: Position::ZERO,
});

/// A page to be written.
pub(super) struct NewPage {
    pub(super) slots: [Slot; WIDTH],
    pub(super) node: Node,
}

/// A leaf to be written.
pub(super) struct NewLeaf<'a> {
    pub(super) path: &'a Path,
    pub(super) value: &'a [u8],
    pub(super) node: Node,
    /// Whether anything refers to it.
    pub(super) is_needed: bool,
}

impl Trie {
    /// The trie with `changes` applied, and the digest of the changes. What is in reach of the sweep is moved.
    pub(super) fn update<'a>(
        &self,
        snapshot: &'a Snapshot,
        changes: &'a Changes,
        sweep: Option<&'a Sweep>,
    ) -> Result<(Update<'a>, ChangesDigest), ReadError> {
        let (leaves, entries, digest) = prepare(changes);
        let mut shape = Shape {
            snapshot,
            sweep,
            update: Update {
                root: EMPTY_SLOT,
                pages: Vec::new(),
                leaves,
            },
        };
        shape.update.root = shape.descend(self.root, 0, &entries, sweep.is_some())?;
        let mut update = shape.update;
        update.hash();
        Ok((update, digest))
    }
}

/// A change: where, and the new leaf.
type Entry<'a> = (&'a Path, Option<u32>);

/// Hashes what is written.
fn prepare(changes: &Changes) -> (Vec<NewLeaf<'_>>, Vec<Entry<'_>>, ChangesDigest) {
    let written = || {
        let entries = changes.iter();
        entries.filter_map(|(path, value)| value.map(|value| (path, &value[..])))
    };
    let hashes = hash::values(written().map(|(_, value)| value));
    let nodes = hash::leaves(
        written()
            .zip(&hashes)
            .map(|((path, _), value_hash)| (path, *value_hash)),
    );
    let leaves = written().zip(nodes);
    let leaves = leaves
        .map(|((path, value), node)| NewLeaf {
            path,
            value,
            node,
            is_needed: true,
        })
        .collect();
    let mut digest = blake3::Hasher::new();
    let mut entries = Vec::with_capacity(changes.len());
    let mut next = 0;
    for (path, value) in changes.iter() {
        digest.update(path);
        digest.update(&[u8::from(value.is_some())]);
        match value {
            Some(_) => {
                digest.update(&hashes[next as usize]);
                entries.push((path, Some(next)));
                next += 1;
            }
            None => {
                digest.update(&[0; 32]);
                entries.push((path, None));
            }
        }
    }
    (leaves, entries, *digest.finalize().as_bytes())
}

/// The pass from the root down.
struct Shape<'a> {
    snapshot: &'a Snapshot,
    sweep: Option<&'a Sweep>,
    update: Update<'a>,
}

impl<'a> Shape<'a> {
    /// The subtree `old` at `level` with the changes `entries`, all of which lie in it.
    fn descend(
        &mut self,
        old: Link,
        level: usize,
        entries: &[Entry<'a>],
        is_swept: bool,
    ) -> Result<Slot, ReadError> {
        if entries.is_empty() && !is_swept {
            return Ok(Slot::Old(old));
        }
        if is_page(&old) {
            return self.descend_page(old, level, entries, is_swept);
        }
        if !is_leaf(&old.node) {
            return Ok(self.build(level, &leaves_of(entries)));
        }
        let leaf = Leaf::read(self.snapshot, &old)?;
        let moves = is_swept && self.is_old(old.position);
        let mut items = leaves_of(entries);
        match entries.binary_search_by(|(path, _)| (*path).cmp(leaf.path)) {
            Ok(index) => {
                // Written again with the same value, it may stay where it is.
                if let (_, Some(new)) = entries[index]
                    && self.update.leaves[new as usize].node == old.node
                    && !moves
                    && let Ok(place) = items.binary_search_by(|(path, _)| (*path).cmp(leaf.path))
                {
                    items[place].1 = Slot::Old(old);
                    self.update.leaves[new as usize].is_needed = false;
                }
            }
            Err(_) => {
                let slot = if moves {
                    self.update.leaves.push(NewLeaf {
                        path: leaf.path,
                        value: leaf.value,
                        node: old.node,
                        is_needed: true,
                    });
                    Slot::Leaf(self.update.leaves.len() as u32 - 1)
                } else {
                    Slot::Old(old)
                };
                let place = items.partition_point(|(path, _)| *path < leaf.path);
                items.insert(place, (leaf.path, slot));
            }
        }
        Ok(self.build(level, &items))
    }

    fn descend_page(
        &mut self,
        old: Link,
        level: usize,
        entries: &[Entry<'a>],
        is_swept: bool,
    ) -> Result<Slot, ReadError> {
        let page = Page::read(self.snapshot, &old)?;
        let mut slots = page.slots().map(Slot::Old);
        let mut is_changed = is_swept && self.is_old(old.position);
        let mut rest = entries;
        for (slot, place) in slots.iter_mut().enumerate() {
            let Slot::Old(child) = *place else { continue };
            let count = rest.partition_point(|(path, _)| slot_of(path, level) <= slot);
            let (here, behind) = rest.split_at(count);
            rest = behind;
            let reaches = is_swept && self.sweep.is_some_and(|sweep| sweep.reaches(level, slot));
            let new = self.descend(child, level + 1, here, reaches && !child.is_empty())?;
            is_changed |= new != *place;
            *place = new;
        }
        if !is_changed {
            return Ok(Slot::Old(old));
        }
        Ok(self.page(level, slots))
    }

    fn is_old(&self, position: Position) -> bool {
        self.sweep.is_some_and(|sweep| position < sweep.before)
    }

    /// The subtree of leaves with distinct, ascending paths.
    fn build(&mut self, level: usize, leaves: &[(&Path, Slot)]) -> Slot {
        match leaves {
            [] => EMPTY_SLOT,
            [(_, leaf)] => *leaf,
            _ => {
                let mut slots = [EMPTY_SLOT; WIDTH];
                for group in leaves.chunk_by(|(a, _), (b, _)| slot_of(a, level) == slot_of(b, level)) {
                    slots[slot_of(group[0].0, level)] = self.build(level + 1, group);
                }
                self.page(level, slots)
            }
        }
    }

    /// A page with these slots; nothing or a leaf where there is no more.
    fn page(&mut self, level: usize, slots: [Slot; WIDTH]) -> Slot {
        let mut occupied = slots.iter().filter(|slot| **slot != EMPTY_SLOT);
        match (occupied.next(), occupied.next()) {
            (None, _) => return EMPTY_SLOT,
            (Some(Slot::Leaf(leaf)), None) => return Slot::Leaf(*leaf),
            (Some(Slot::Old(link)), None) if is_leaf(&link.node) => return Slot::Old(*link),
            _ => {}
        }
        debug_assert!(level < DEEPEST, "distinct paths part before they end");
        let pages = &mut self.update.pages;
        if pages.len() <= level {
            pages.resize_with(level + 1, Vec::new);
        }
        pages[level].push(NewPage { slots, node: EMPTY });
        Slot::Page(pages[level].len() as u32 - 1)
    }
}

/// The leaves that entries write.
fn leaves_of<'a>(entries: &[Entry<'a>]) -> Vec<(&'a Path, Slot)> {
    let written = entries.iter();
    written
        .filter_map(|(path, leaf)| leaf.map(|leaf| (*path, Slot::Leaf(leaf))))
        .collect()
}

/// Pages that are hashed together: as many as fit a cache near the processor.
const TOGETHER: usize = 256;

impl Update<'_> {
    fn hash(&mut self) {
        let mut nodes = vec![[EMPTY; WIDTH]; TOGETHER];
        for level in (0..self.pages.len()).rev() {
            let count = self.pages[level].len();
            for start in (0..count).step_by(TOGETHER) {
                let range = start..(start + TOGETHER).min(count);
                self.hash_pages(level, range, &mut nodes);
            }
        }
    }

    fn hash_pages(&mut self, level: usize, range: Range<usize>, nodes: &mut [[Node; WIDTH]]) {
        let nodes = &mut nodes[..range.len()];
        for (page, nodes) in self.pages[level][range.clone()].iter().zip(nodes.iter_mut()) {
            for (slot, node) in page.slots.iter().zip(nodes) {
                *node = self.node(slot, level + 1);
            }
        }
        hash::fold(nodes);
        for (page, nodes) in self.pages[level][range].iter_mut().zip(nodes) {
            page.node = nodes[0];
        }
    }

    /// The node of a slot whose pages are at `level`.
    pub(super) fn node(&self, slot: &Slot, level: usize) -> Node {
        match *slot {
            Slot::Old(link) => link.node,
            Slot::Leaf(leaf) => self.leaves[leaf as usize].node,
            Slot::Page(page) => self.pages[level][page as usize].node,
        }
    }
}
