//! Laying an update out in the log.
//!
//! ```text
//!   record: a part      kind ‖ leaves, pages                  as many as it takes, where one record would be too large
//!   record: a version   kind ‖ header ‖ leaves, pages, root
//!   record: back to     kind ‖ id ‖ BLAKE3(id)                what is no ancestor of it does not count any more
//! ```
//!
//! What refers comes behind what it refers to: leaves first, then pages from the deepest level up.

use super::page::{leaf_len, page_len, write_leaf, write_page};
use super::update::{Slot, Sweep, Update};
use super::{ChangesDigest, Link, Trie};
use crate::changes::Changes;
use crate::error::ReadError;
use crate::log::{Log, Position, WriteError};

/// First byte of a record that has leaves and pages only.
const PART: u8 = 1;
/// First byte of a record that has a header too.
const VERSION: u8 = 2;
/// First byte of a record that says which version the store went back to.
const ROLL_BACK: u8 = 3;

/// What a version's record says of itself; the trie reads nothing into it.
pub(crate) type Header = [u8; 248];

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
    /// Appends what `changes` make of the trie to the log, with the header that `header` makes of the new root and the
    /// digest of the changes. Records are about `part_bytes` long at most.
    pub(crate) fn write(
        &self,
        log: &Log,
        changes: &Changes,
        sweep: Option<&Sweep>,
        label: u64,
        part_bytes: usize,
        header: impl FnOnce(&Trie, &ChangesDigest) -> Header,
    ) -> Result<Written, WriteTrieError> {
        let snapshot = log.snapshot();
        let (update, digest) = self.update(&snapshot, changes, sweep)?;
        let mut layout = Layout::new(&update);
        while layout.bytes_left > part_bytes {
            let items = layout.next(part_bytes);
            log.append_with(label, 1 + items.bytes, |position, bytes| {
                bytes.push(PART);
                layout.write(&items, position.plus(1), bytes);
            })?;
        }
        let items = layout.next(usize::MAX);
        let len = 1 + size_of::<Header>() + items.bytes;
        let mut trie = Trie::default();
        let (sequence, position) = log.append_with(label, len, |position, bytes| {
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
    /// What comes next: a leaf, or a page of a level.
    next: Item,
    bytes_left: usize,
    leaves: Vec<Position>,
    pages: Vec<Vec<Position>>,
}

/// What is written next: all leaves, then pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Item {
    Leaf(usize),
    /// Level, and the index in it.
    Page(usize, usize),
    /// Nothing more.
    End,
}

/// Items that go into one record.
struct Items {
    from: Item,
    to: Item,
    bytes: usize,
}

impl<'u, 'a> Layout<'u, 'a> {
    fn new(update: &'u Update<'a>) -> Self {
        let mut layout = Self {
            update,
            next: Item::Leaf(0),
            bytes_left: 0,
            leaves: Vec::with_capacity(update.leaves.len()),
            pages: update
                .pages
                .iter()
                .map(|pages| Vec::with_capacity(pages.len()))
                .collect(),
        };
        layout.next = layout.normal(Item::Leaf(0));
        let mut item = layout.next;
        while item != Item::End {
            layout.bytes_left += layout.len(item);
            item = layout.after(item);
        }
        layout
    }

    /// The item itself, or the one that comes instead of one that is not there.
    fn normal(&self, item: Item) -> Item {
        let (mut level, index) = match item {
            Item::Leaf(index) if index < self.update.leaves.len() => return item,
            Item::Leaf(_) => (self.update.pages.len(), 0),
            Item::Page(level, index) if index < self.update.pages[level].len() => return item,
            Item::Page(level, _) => (level, 0),
            Item::End => return item,
        };
        while let Some(above) = level.checked_sub(1) {
            if !self.update.pages[above].is_empty() {
                return Item::Page(above, index);
            }
            level = above;
        }
        Item::End
    }

    fn after(&self, item: Item) -> Item {
        self.normal(match item {
            Item::Leaf(index) => Item::Leaf(index + 1),
            Item::Page(level, index) => Item::Page(level, index + 1),
            Item::End => Item::End,
        })
    }

    fn len(&self, item: Item) -> usize {
        match item {
            Item::Leaf(index) => {
                let leaf = &self.update.leaves[index];
                usize::from(leaf.is_needed) * leaf_len(leaf.value.len())
            }
            Item::Page(level, index) => {
                let slots = self.update.pages[level][index].slots.iter();
                page_len(slots.filter(|slot| !is_empty(slot)).count())
            }
            Item::End => 0,
        }
    }

    /// The next items, up to so many bytes but one at least.
    fn next(&mut self, most: usize) -> Items {
        let (from, mut bytes) = (self.next, 0);
        while self.next != Item::End {
            let len = self.len(self.next);
            if bytes > 0 && bytes + len > most {
                break;
            }
            bytes += len;
            self.next = self.after(self.next);
        }
        self.bytes_left -= bytes;
        Items {
            from,
            to: self.next,
            bytes,
        }
    }

    /// Appends items, of which the first will lie at a position.
    fn write(&mut self, items: &Items, start: Position, bytes: &mut Vec<u8>) {
        let begin = bytes.len();
        let mut item = items.from;
        while item != items.to {
            let position = start.plus((bytes.len() - begin) as u32);
            match item {
                Item::Leaf(index) => {
                    let leaf = &self.update.leaves[index];
                    if leaf.is_needed {
                        write_leaf(leaf.path, leaf.value, bytes);
                    }
                    self.leaves.push(position);
                }
                Item::Page(level, index) => {
                    let slots = &self.update.pages[level][index].slots;
                    let mut occupied = 0;
                    for (slot, child) in slots.iter().enumerate() {
                        occupied |= u64::from(!is_empty(child)) << slot;
                    }
                    let children = slots.iter().filter(|slot| !is_empty(slot));
                    write_page(occupied, children.map(|child| self.link(child, level + 1)), bytes);
                    self.pages[level].push(position);
                }
                Item::End => {}
            }
            item = self.after(item);
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
                node: self.update.pages[level][index as usize].node,
                position: self.pages[level][index as usize],
            },
        }
    }
}

fn is_empty(slot: &Slot) -> bool {
    matches!(slot, Slot::Old(link) if link.is_empty())
}
