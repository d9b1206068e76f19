//! The trie as it lies in the log: nodes of several levels each, read in place.
//!
//! ```text
//!            bits 0 to 3          bits 4 to 7
//!   root ──▶ page ── 16 slots ──▶ page ── 16 slots ──▶ …
//!                    │                    ├ a leaf: path and value
//!                    ├ nothing            └ a page, over two leaves or more
//!                    └ a leaf
//! ```
//!
//! A *page* holds what [`LEVELS`] levels of the binary trie come to: for each of its slots the node below and where it
//! lies. What is between, the nodes inside of a page, is hashed when it is needed: that the hashes lead to the page's
//! own node is how a page is checked. A lone leaf lies in the slot of its path, however high its node rises.
//!
//! Pages and leaves are immutable. An update writes the pages from the changed leaves up to the root anew, and refers to
//! all others where they lie, so that versions share them.
//!
//! Reading order: `page` (bytes), `read` (looking up, proving, walking), `hash` (many nodes at once), `update` (what
//! changes make of a trie), `write` (laying that out in the log).

mod hash;
mod page;
mod read;
#[cfg(test)]
mod tests;
mod update;
mod write;

use millrace_proof::{EMPTY, Node, Path, Root};

use crate::log::Position;

pub(crate) use hash::{join, risen};
pub(crate) use read::Iter;
pub(crate) use update::{Sweep, digest};
pub(crate) use write::{Header, How, Said, WriteTrieError};

/// Levels of the binary trie in a page.
///
/// Fewer make pages smaller, so that less is written for an update, and paths longer, so that more is read for a look-up.
pub(crate) const LEVELS: usize = 4;

/// Slots of a page.
const WIDTH: usize = 1 << LEVELS;

/// Pages from the root to the deepest leaf.
const DEEPEST: usize = 256usize.div_ceil(LEVELS);

/// A version's whole trie.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trie {
    pub(crate) root: Link,
}

/// A subtree: its node and where it lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Link {
    pub(crate) node: Node,
    pub(crate) position: Position,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            node: EMPTY,
            position: Position::default(),
        }
    }
}

impl Link {
    fn is_empty(&self) -> bool {
        self.node == EMPTY
    }
}

impl Trie {
    pub(crate) fn root(&self) -> Root {
        self.root.node
    }
}

fn is_leaf(node: &Node) -> bool {
    node[0] & 0x80 != 0
}

/// The slot of `path` in a page at `level`, which holds bits `level * LEVELS` and following; those behind the path's end
/// are 0.
fn slot_of(path: &Path, level: usize) -> usize {
    let first = level * LEVELS;
    let byte = |index: usize| usize::from(path.get(index).copied().unwrap_or(0));
    let two = byte(first / 8) << 8 | byte(first / 8 + 1);
    (two >> (16 - LEVELS - first % 8)) & (WIDTH - 1)
}

/// Names a set of changes, so that a repeated insertion can be told from a conflicting one.
pub(crate) type ChangesDigest = [u8; 32];
