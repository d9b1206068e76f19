//! Laying an update out in the log.
//!
//! ```text
//!   record: a part      kind ‖ leaves, pages                  as many as it takes, where one record would be too large
//!   record: a version   kind ‖ header ‖ leaves, pages, root
//!   record: back to     kind ‖ id ‖ BLAKE3(id)                what is no ancestor of it does not count any more
//! ```
//!
//! What refers comes behind what it refers to: pages from the deepest level up, each behind its leaves.

use std::ops::Range;

use super::page::{leaf_len, page_len, write_changed, write_leaf, write_page};
use super::update::{Slot, Sweep, Update};
use super::{ChangesDigest, Link, Trie, WIDTH};
use crate::changes::Changes;
use crate::error::ReadError;
use crate::log::{Log, Position, Snapshot, WriteError};

/// First byte of a record that has leaves and pages only.
const PART: u8 = 1;
/// First byte of a record that has a header too.
const VERSION: u8 = 2;
/// First byte of a record that says which version the store went back to.
const ROLL_BACK: u8 = 3;

/// What a version's record says of itself; the trie reads nothing into it.
pub(crate) type Header = [u8; 280];

/// Why an update was not written.
#[derive(Debug)]
pub(crate) enum WriteTrieError {
    Read(ReadError),
    Write(WriteError),
}

impl From<ReadError> for WriteTrieError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<WriteError> for WriteTrieError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

/// How an update is written; what the trie is does not depend on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How<'a> {
    /// What is moved.
    pub(crate) sweep: Option<&'a Sweep>,
    /// Of the records.
    pub(crate) label: u64,
    /// Records are about as long at most.
    pub(crate) record_bytes: usize,
    /// How many threads may work on it.
    pub(crate) threads: usize,
}

/// A trie that was written.
pub(crate) struct Written {
    pub(crate) trie: Trie,
    pub(crate) digest: ChangesDigest,
    /// Number of the record: with it everything is durable.
    pub(crate) sequence: u64,
    /// Where the header lies.
    pub(crate) position: Position,
}

impl Trie {
    /// Appends what `changes` make of the trie, which is read from `snapshot`, to the log, with the header that `header` makes of the new root and the
    /// digest of the changes.
    pub(crate) fn write(
        &self,
        log: &Log,
        snapshot: &Snapshot,
        changes: &Changes,
        how: How<'_>,
        header: impl FnOnce(&Trie, &ChangesDigest) -> Header,
    ) -> Result<Written, WriteTrieError> {
        let (update, digest) = self.update(snapshot, changes, how.sweep, how.threads)?;
        let mut layout = Layout::new(&update);
        while layout.bytes_left > how.record_bytes {
            let items = layout.next(how.record_bytes);
            log.append_with(how.label, 1 + items.bytes, |position, bytes| {
                bytes.push(PART);
                layout.write(&items, position.plus(1), bytes);
            })?;
        }
        let items = layout.next(usize::MAX);
        let len = 1 + size_of::<Header>() + items.bytes;
        let mut trie = Trie::default();
        let (sequence, position) = log.append_with(how.label, len, |position, bytes| {
            bytes.push(VERSION);
            let header_at = bytes.len();
            bytes.resize(header_at + size_of::<Header>(), 0);
            layout.write(&items, position.plus(1 + size_of::<Header>() as u32), bytes);
            trie.root = layout.link(&update.root, 0);
            bytes[header_at..][..size_of::<Header>()].copy_from_slice(&header(&trie, &digest));
        })?;
        Ok(Written {
            trie,
            digest,
            sequence,
            position: position.plus(1),
        })
    }

    /// Appends what `changes` make of the trie to the log, without a header: a part of what a version will be made of.
    pub(crate) fn write_part(&self, log: &Log, changes: &Changes) -> Result<Self, WriteTrieError> {
        let snapshot = log.snapshot();
        let (update, _) = self.update(&snapshot, changes, None, 1)?;
        let mut layout = Layout::new(&update);
        let items = layout.next(usize::MAX);
        log.append_with(0, 1 + items.bytes, |position, bytes| {
            bytes.push(PART);
            layout.write(&items, position.plus(1), bytes);
        })?;
        Ok(Self {
            root: layout.link(&update.root, 0),
        })
    }
}

/// What a record says, as far as it is for the store.
pub(crate) enum Said<'a> {
    /// A version was written.
    Version(&'a Header),
    /// The store went back to the version with that id.
    RollBack([u8; 32]),
    /// There are leaves and pages.
    Part,
}

impl<'a> Said<'a> {
    /// What the record says whose payload begins like this; `None` for one that nobody wrote.
    pub(crate) fn read(payload: &'a [u8]) -> Option<Self> {
        let (kind, rest) = payload.split_first()?;
        match *kind {
            PART => Some(Self::Part),
            VERSION => rest.first_chunk().map(Self::Version),
            ROLL_BACK => {
                let (id, rest) = rest.split_first_chunk::<32>()?;
                let check = rest.first_chunk::<32>()?;
                (blake3::hash(id) == *check).then_some(Self::RollBack(*id))
            }
            _ => None,
        }
    }

    /// Appends a record that says that the store went back. Gives its number.
    pub(crate) fn write_roll_back(log: &Log, label: u64, id: &[u8; 32]) -> Result<u64, WriteError> {
        let mut payload = vec![ROLL_BACK];
        payload.extend_from_slice(id);
        payload.extend_from_slice(blake3::hash(id).as_bytes());
        log.append(label, &payload)
    }
}

/// Where everything goes.
struct Layout<'u, 'a> {
    update: &'u Update<'a>,
    /// In the order in which it is written.
    items: Vec<Item>,
    /// How many were laid out.
    next: usize,
    bytes_left: usize,
    leaves: Vec<Position>,
    pages: Vec<Vec<Position>>,
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Leaf(u32),
    /// Level, and the index in it.
    Page(u8, u32),
}

/// Items that go into one record.
struct Items {
    range: Range<usize>,
    bytes: usize,
}

impl<'u, 'a> Layout<'u, 'a> {
    fn new(update: &'u Update<'a>) -> Self {
        let levels = || update.levels.iter();
        let pages = levels().map(|level| level.pages.len());
        let mut items = Vec::with_capacity(update.leaves.len() + pages.sum::<usize>());
        // A leaf in front of its page: whoever reads one reads the other next.
        for (number, level) in levels().enumerate().rev() {
            for (index, page) in level.pages.iter().enumerate() {
                items.extend(page.changed(level).iter().filter_map(|slot| match slot {
                    Slot::Leaf(leaf) => Some(Item::Leaf(*leaf)),
                    _ => None,
                }));
                items.push(Item::Page(number as u8, index as u32));
            }
        }
        if let Slot::Leaf(only) = update.root {
            items.push(Item::Leaf(only));
        }
        let mut layout = Self {
            update,
            items,
            next: 0,
            bytes_left: 0,
            leaves: vec![Position::default(); update.leaves.len()],
            pages: levels()
                .map(|level| Vec::with_capacity(level.pages.len()))
                .collect(),
        };
        layout.bytes_left = layout.items.iter().map(|item| layout.len(item)).sum();
        layout
    }

    fn len(&self, item: &Item) -> usize {
        match *item {
            Item::Leaf(index) => leaf_len(self.update.leaves[index as usize].value.len()),
            Item::Page(level, index) => {
                let page = &self.update.levels[usize::from(level)].pages[index as usize];
                page_len(page.occupied as usize)
            }
        }
    }

    /// The next items, up to so many bytes but one at least.
    fn next(&mut self, most: usize) -> Items {
        let (start, mut bytes) = (self.next, 0);
        while let Some(item) = self.items.get(self.next) {
            let len = self.len(item);
            if bytes > 0 && bytes + len > most {
                break;
            }
            bytes += len;
            self.next += 1;
        }
        self.bytes_left -= bytes;
        Items {
            range: start..self.next,
            bytes,
        }
    }

    /// Appends items, of which the first will lie at a position.
    fn write(&mut self, items: &Items, start: Position, bytes: &mut Vec<u8>) {
        let begin = bytes.len();
        for index in items.range.clone() {
            let position = start.plus((bytes.len() - begin) as u32);
            match self.items[index] {
                Item::Leaf(index) => {
                    let leaf = &self.update.leaves[index as usize];
                    write_leaf(leaf.path, leaf.value, bytes);
                    self.leaves[index as usize] = position;
                }
                Item::Page(level, index) => {
                    let level = usize::from(level);
                    let here = &self.update.levels[level];
                    let page = &here.pages[index as usize];
                    let changed = page.numbered(here);
                    let changed = changed.map(|(number, slot)| (number, self.link(slot, level + 1)));
                    match &page.old {
                        Some(old) => write_changed(old, changed, bytes),
                        None => {
                            let mut links = [Link::default(); WIDTH];
                            changed.for_each(|(number, link)| links[number] = link);
                            write_page(&links, bytes);
                        }
                    }
                    self.pages[level].push(position);
                }
            }
        }
    }

    /// The link of a slot whose pages are at `level`, all of which were written.
    fn link(&self, slot: &Slot, level: usize) -> Link {
        match *slot {
            Slot::Old(link) => link,
            Slot::Leaf(index) => Link {
                node: self.update.leaves[index as usize].node,
                position: self.leaves[index as usize],
            },
            Slot::Page(index) => Link {
                node: self.update.levels[level].pages[index as usize].node,
                position: self.pages[level][index as usize],
            },
        }
    }
}
