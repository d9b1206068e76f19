//! What sorted changes make of a trie: first its shape, in one pass from the root down, then all nodes that are new, many at
//! once, from the deepest level up.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use millrace_proof::{EMPTY, Node, Path, ValueHash};

use super::page::{Leaf, Page, Stored as _, is_page};
use super::{ChangesDigest, DEEPEST, LEVELS, Link, Trie, WIDTH, hash, is_leaf, slot_of};
use crate::changes::{self, Changes};
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
    pub(super) levels: Vec<Level<'a>>,
    pub(super) leaves: Vec<NewLeaf<'a>>,
}

/// The new pages of a level.
#[derive(Default)]
pub(super) struct Level<'a> {
    pub(super) pages: Vec<NewPage<'a>>,
    /// What changed in them, one page after the other.
    slots: Vec<Slot>,
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

/// A page to be written: what it was before, and the slots that changed. Most pages change in one.
pub(super) struct NewPage<'a> {
    pub(super) old: Option<Page<'a>>,
    /// Bit i: slot i changed.
    changed: u64,
    /// Where the slots that changed begin among those of the level.
    first: u32,
    /// How many slots are not empty.
    pub(super) occupied: u32,
    pub(super) node: Node,
}

impl<'a> NewPage<'a> {
    /// The slots that changed.
    pub(super) fn changed<'s>(&self, level: &'s Level<'a>) -> &'s [Slot] {
        let first = self.first as usize;
        &level.slots[first..first + self.changed.count_ones() as usize]
    }

    /// The same with their numbers.
    pub(super) fn numbered<'s>(
        &self,
        level: &'s Level<'a>,
    ) -> impl Iterator<Item = (usize, &'s Slot)> + Clone {
        let numbers = (0..WIDTH).filter(|slot| self.changed >> slot & 1 == 1);
        numbers.zip(self.changed(level))
    }
}

/// A leaf to be written.
pub(super) struct NewLeaf<'a> {
    pub(super) path: &'a Path,
    pub(super) value: &'a [u8],
    pub(super) node: Node,
}

/// From so many changes on, subtrees are done by several threads.
const TOGETHER_AT_LEAST: usize = if cfg!(test) { 4 } else { 1024 };

impl Trie {
    /// The trie with `changes` applied, and the digest of the changes. What is in reach of the sweep is moved. Up to
    /// `threads` work on it; what comes out is the same.
    pub(super) fn update<'a>(
        &self,
        snapshot: &'a Snapshot,
        changes: &'a Changes,
        sweep: Option<&'a Sweep>,
        threads: usize,
    ) -> Result<(Update<'a>, ChangesDigest), ReadError> {
        let entries = changes.entries();
        if threads > 1 && entries.len() >= TOGETHER_AT_LEAST && is_page(&self.root) {
            return self.update_together(snapshot, entries, sweep, threads);
        }
        let (mut update, hashes) = update_part(snapshot, sweep, self.root, 0, entries, sweep.is_some())?;
        update.hash(0);
        Ok((update, digest_of(entries, &hashes)))
    }

    /// The same: what is below each slot of the first page by itself, and then that page.
    fn update_together<'a>(
        &self,
        snapshot: &'a Snapshot,
        entries: &'a [changes::Entry],
        sweep: Option<&'a Sweep>,
        threads: usize,
    ) -> Result<(Update<'a>, ChangesDigest), ReadError> {
        let page = Page::read(snapshot, &self.root)?;
        let part = |slot: usize| {
            let start = entries.partition_point(|(path, _)| slot_of(path, 0) < slot);
            let end = entries.partition_point(|(path, _)| slot_of(path, 0) <= slot);
            let child = page.slot(slot);
            let is_swept = !child.is_empty() && sweep.is_some_and(|sweep| sweep.reaches(0, slot));
            let (mut update, hashes) =
                update_part(snapshot, sweep, child, 1, &entries[start..end], is_swept)?;
            update.hash(1);
            Ok((update, hashes))
        };
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let slot = next.fetch_add(1, Ordering::Relaxed);
                if slot >= WIDTH {
                    return done;
                }
                done.push((slot, part(slot)));
            }
        };
        let mut parts = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads.min(WIDTH)).map(|_| scope.spawn(work)).collect();
            let mut parts = work();
            for other in others {
                match other.join() {
                    Ok(done) => parts.extend(done),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            parts
        });
        parts.sort_unstable_by_key(|(slot, _)| *slot);
        let mut shape = Shape::new(snapshot, sweep, Vec::new());
        let (mut changed, mut hashes) = (0_u64, Vec::with_capacity(entries.len()));
        for (slot, part) in parts {
            let (update, part_hashes) = part?;
            hashes.extend(part_hashes);
            let new = shape.update.append(update);
            if new != Slot::Old(page.slot(slot)) {
                changed |= 1 << slot;
                shape.changed.push(new);
            }
        }
        let is_moved = sweep.is_some() && shape.is_old(self.root.position);
        shape.update.root = if changed == 0 && !is_moved {
            Slot::Old(self.root)
        } else {
            shape.page(0, Some(page), changed, 0)
        };
        let mut update = shape.update;
        update.hash_level(0);
        Ok((update, digest_of(entries, &hashes)))
    }
}

/// What changes make of a subtree at a level, not hashed yet, and the hashes of the values that are written.
fn update_part<'a>(
    snapshot: &'a Snapshot,
    sweep: Option<&'a Sweep>,
    old: Link,
    level: usize,
    changes: &'a [changes::Entry],
    is_swept: bool,
) -> Result<(Update<'a>, Vec<ValueHash>), ReadError> {
    let (leaves, entries, hashes) = prepare(changes);
    let mut shape = Shape::new(snapshot, sweep, leaves);
    shape.update.root = shape.descend(old, level, &entries, is_swept)?;
    Ok((shape.update, hashes))
}

/// A change: where, and the new leaf.
type Entry<'a> = (&'a Path, Option<u32>);

/// Hashes what is written.
fn prepare(changes: &[changes::Entry]) -> (Vec<NewLeaf<'_>>, Vec<Entry<'_>>, Vec<ValueHash>) {
    let hashes = hash::values(written(changes).map(|(_, value)| value));
    let nodes = hash::leaves(
        written(changes)
            .zip(&hashes)
            .map(|((path, _), value_hash)| (path, *value_hash)),
    );
    let leaves = written(changes).zip(nodes);
    let leaves = leaves
        .map(|((path, value), node)| NewLeaf { path, value, node })
        .collect();
    let mut next = 0..;
    let entries = changes.iter();
    let entries = entries
        .map(|(path, value)| (path, value.as_ref().and_then(|_| next.next())))
        .collect();
    (leaves, entries, hashes)
}

/// The digest of `changes`.
pub(crate) fn digest(changes: &Changes) -> ChangesDigest {
    let entries = changes.entries();
    digest_of(entries, &hash::values(written(entries).map(|(_, value)| value)))
}

/// The same, with the hashes of the values that are written.
fn digest_of(changes: &[changes::Entry], hashes: &[ValueHash]) -> ChangesDigest {
    let mut hashes = hashes.iter();
    let mut digest = blake3::Hasher::new();
    for (path, value) in changes {
        let hash = value.as_ref().and_then(|_| hashes.next());
        digest.update(path);
        digest.update(&[u8::from(value.is_some())]);
        digest.update(hash.unwrap_or(&[0; 32]));
    }
    *digest.finalize().as_bytes()
}

/// What changes write.
fn written(changes: &[changes::Entry]) -> impl Iterator<Item = (&Path, &[u8])> {
    let entries = changes.iter();
    entries.filter_map(|(path, value)| value.as_ref().map(|value| (path, &value[..])))
}

/// The pass from the root down.
struct Shape<'a> {
    snapshot: &'a Snapshot,
    sweep: Option<&'a Sweep>,
    update: Update<'a>,
    /// Slots that changed in the pages that are being gone through.
    changed: Vec<Slot>,
}

impl<'a> Shape<'a> {
    fn new(snapshot: &'a Snapshot, sweep: Option<&'a Sweep>, leaves: Vec<NewLeaf<'a>>) -> Self {
        Self {
            snapshot,
            sweep,
            update: Update {
                root: EMPTY_SLOT,
                levels: Vec::new(),
                leaves,
            },
            changed: Vec::new(),
        }
    }

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
                }
            }
            Err(_) => {
                let slot = if moves {
                    self.update.leaves.push(NewLeaf {
                        path: leaf.path,
                        value: leaf.value,
                        node: old.node,
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
        let (first, mut changed) = (self.changed.len(), 0_u64);
        let mut here = |shape: &mut Self, slot: usize, entries: &[Entry<'a>], is_swept| {
            let child = page.slot(slot);
            let new = shape.descend(child, level + 1, entries, is_swept)?;
            if new != Slot::Old(child) {
                changed |= 1 << slot;
                shape.changed.push(new);
            }
            Ok(())
        };
        match self.sweep.filter(|_| is_swept) {
            None => {
                for group in entries.chunk_by(|(a, _), (b, _)| slot_of(a, level) == slot_of(b, level)) {
                    here(self, slot_of(group[0].0, level), group, false)?;
                }
            }
            Some(sweep) => {
                let mut rest = entries;
                for slot in 0..WIDTH {
                    let count = rest.partition_point(|(path, _)| slot_of(path, level) <= slot);
                    let (group, behind) = rest.split_at(count);
                    rest = behind;
                    here(self, slot, group, sweep.reaches(level, slot))?;
                }
            }
        }
        if changed == 0 && !(is_swept && self.is_old(old.position)) {
            return Ok(Slot::Old(old));
        }
        Ok(self.page(level, Some(page), changed, first))
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
                let (first, mut changed) = (self.changed.len(), 0_u64);
                for group in leaves.chunk_by(|(a, _), (b, _)| slot_of(a, level) == slot_of(b, level)) {
                    let slot = self.build(level + 1, group);
                    self.changed.push(slot);
                    changed |= 1 << slot_of(group[0].0, level);
                }
                self.page(level, None, changed, first)
            }
        }
    }

    /// A page that was `old` and whose slots `changed` are now those of [`Self::changed`] from `first` on, which are taken
    /// from there; nothing or a leaf where there is no more.
    fn page(&mut self, level: usize, old: Option<Page<'a>>, changed: u64, first: usize) -> Slot {
        let new = || self.changed[first..].iter();
        let kept = old.map_or(0, |old| old.occupied() & !changed);
        let occupied = kept.count_ones() + new().filter(|slot| **slot != EMPTY_SLOT).count() as u32;
        if occupied < 2 {
            let lone = new().find(|slot| **slot != EMPTY_SLOT).copied();
            let lone = lone.or(old.filter(|_| kept != 0).map(|old| {
                let slot = kept.trailing_zeros() as usize;
                Slot::Old(old.slot(slot))
            }));
            let is_above_leaf = match lone {
                None => true,
                Some(Slot::Leaf(_)) => true,
                Some(Slot::Old(link)) => is_leaf(&link.node),
                Some(Slot::Page(_)) => false,
            };
            if is_above_leaf {
                self.changed.truncate(first);
                return lone.unwrap_or(EMPTY_SLOT);
            }
        }
        debug_assert!(level < DEEPEST, "distinct paths part before they end");
        let levels = &mut self.update.levels;
        if levels.len() <= level {
            levels.resize_with(level + 1, Level::default);
        }
        let level = &mut levels[level];
        level.pages.push(NewPage {
            old,
            changed,
            first: level.slots.len() as u32,
            occupied,
            node: EMPTY,
        });
        level.slots.extend(self.changed.drain(first..));
        Slot::Page(level.pages.len() as u32 - 1)
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

impl<'a> Update<'a> {
    /// Hashes the new pages from the deepest level up to `top`.
    fn hash(&mut self, top: usize) {
        for level in (top..self.levels.len()).rev() {
            self.hash_level(level);
        }
    }

    /// Hashes the new pages of a level, those below being hashed.
    fn hash_level(&mut self, level: usize) {
        let count = self.levels.get(level).map_or(0, |level| level.pages.len());
        let mut nodes = vec![[EMPTY; WIDTH]; TOGETHER.min(count)];
        for start in (0..count).step_by(TOGETHER) {
            let range = start..(start + TOGETHER).min(count);
            self.hash_pages(level, range, &mut nodes);
        }
    }

    /// Takes in another one. Gives what its root is called here.
    fn append(&mut self, other: Self) -> Slot {
        let leaves = self.leaves.len() as u32;
        if self.levels.len() < other.levels.len() {
            self.levels.resize_with(other.levels.len(), Level::default);
        }
        let pages: Vec<u32> = self.levels.iter().map(|level| level.pages.len() as u32).collect();
        let renamed = |slot: Slot, level: usize| match slot {
            Slot::Old(_) => slot,
            Slot::Leaf(leaf) => Slot::Leaf(leaf + leaves),
            Slot::Page(page) => Slot::Page(page + pages[level]),
        };
        self.leaves.extend(other.leaves);
        for (number, (here, level)) in self.levels.iter_mut().zip(other.levels).enumerate() {
            let first = here.slots.len() as u32;
            here.pages.extend(level.pages.into_iter().map(|page| NewPage {
                first: page.first + first,
                ..page
            }));
            let slots = level.slots.into_iter();
            here.slots.extend(slots.map(|slot| renamed(slot, number + 1)));
        }
        // It is the root of what lies at level 1.
        renamed(other.root, 1)
    }

    fn hash_pages(&mut self, level: usize, range: Range<usize>, nodes: &mut [[Node; WIDTH]]) {
        let nodes = &mut nodes[..range.len()];
        let here = &self.levels[level];
        for (page, nodes) in here.pages[range.clone()].iter().zip(nodes.iter_mut()) {
            match page.old {
                Some(old) => old.nodes(nodes),
                None => nodes.fill(EMPTY),
            }
            for (number, slot) in page.numbered(here) {
                nodes[number] = self.node(slot, level + 1);
            }
        }
        hash::fold(nodes);
        for (page, nodes) in self.levels[level].pages[range].iter_mut().zip(nodes) {
            page.node = nodes[0];
        }
    }

    /// The node of a slot whose pages are at `level`.
    pub(super) fn node(&self, slot: &Slot, level: usize) -> Node {
        match *slot {
            Slot::Old(link) => link.node,
            Slot::Leaf(leaf) => self.leaves[leaf as usize].node,
            Slot::Page(page) => self.levels[level].pages[page as usize].node,
        }
    }
}
