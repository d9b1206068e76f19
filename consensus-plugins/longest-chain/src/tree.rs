//! The blocks above the last final one: who knows which, and which chain is longest.
//!
//! Small by construction: the plugin makes no block further above the root than its finality depth and K, so walks over
//! all of it are cheap.

use std::collections::{BTreeMap, BTreeSet};

use millrace_plugin_sdk::BlockMark;
use millrace_plugin_sdk::types::{Hash, Height};

use crate::lottery::{Miner, Slot};

/// A block that the engine took over.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Its name.
    pub mark: BlockMark,
    /// Its parent's hash.
    pub parent: Hash,
    /// The slot it was made in.
    pub slot: Slot,
    /// Who made it; `None` for a withheld branch's blocks, which no miner counts as its own.
    pub maker: Option<Miner>,
    /// The first slot in which everybody knows it; `None` while it is withheld.
    pub known_from: Option<Slot>,
}

impl Block {
    /// When `miner` came to know this block, if it does at `slot`.
    fn known_to(&self, miner: Miner, slot: Slot) -> Option<Slot> {
        let since = if self.maker == Some(miner) {
            self.slot
        } else {
            self.known_from?
        };
        (since <= slot).then_some(since)
    }
}

/// A tree of blocks whose root is final.
#[derive(Debug)]
pub struct Tree {
    root: BlockMark,
    blocks: BTreeMap<Hash, Block>,
}

impl Tree {
    /// The tree of a final block alone.
    #[must_use]
    pub fn new(root: BlockMark) -> Self {
        Self {
            root,
            blocks: BTreeMap::new(),
        }
    }

    /// The last final block.
    #[must_use]
    pub fn root(&self) -> BlockMark {
        self.root
    }

    /// Whether the block is the root or above it.
    #[must_use]
    pub fn contains(&self, hash: &Hash) -> bool {
        self.mark(hash).is_some()
    }

    /// The block's name, if it is in the tree.
    #[must_use]
    pub fn mark(&self, hash: &Hash) -> Option<BlockMark> {
        if *hash == self.root.hash {
            return Some(self.root);
        }
        self.blocks.get(hash).map(|block| block.mark)
    }

    /// Takes a block whose parent is in the tree.
    pub fn insert(&mut self, block: Block) {
        debug_assert!(self.contains(&block.parent), "the parent is in the tree");
        self.blocks.insert(block.mark.hash, block);
    }

    /// The longest chain that `miner` knows at `slot`; of equally long ones, the one that it knew first.
    #[must_use]
    pub fn longest_known_to(&self, miner: Miner, slot: Slot) -> BlockMark {
        let known = self
            .blocks
            .values()
            .filter_map(|block| Some((block, block.known_to(miner, slot)?)));
        let first = |since, block: &Block| (core::cmp::Reverse(since), core::cmp::Reverse(block.slot));
        known
            .max_by_key(|(block, since)| (block.mark.height, first(*since, block)))
            .map_or(self.root, |(block, _)| block.mark)
    }

    /// The longest chain that is not withheld; of equally long ones, the one whose tip was made first.
    #[must_use]
    pub fn longest(&self) -> BlockMark {
        let shown = self.blocks.values().filter(|block| block.known_from.is_some());
        shown
            .max_by_key(|block| (block.mark.height, core::cmp::Reverse(block.slot)))
            .map_or(self.root, |block| block.mark)
    }

    /// The ancestor of `hash`, or `hash` itself, at `height`; `None` below the root, above the block, or for a stranger.
    #[must_use]
    pub fn ancestor(&self, hash: &Hash, height: Height) -> Option<BlockMark> {
        let mut at = self.mark(hash)?;
        while at.height > height && at.height > self.root.height {
            at = self.mark(&self.blocks.get(&at.hash)?.parent)?;
        }
        (at.height == height).then_some(at)
    }

    /// Whether `block` is `descendant` or an ancestor of it.
    #[must_use]
    pub fn is_on_branch(&self, block: &BlockMark, descendant: &Hash) -> bool {
        self.ancestor(descendant, block.height) == Some(*block)
    }

    /// How many blocks of `old`'s chain are not on `new`'s.
    #[must_use]
    pub fn blocks_lost(&self, old: &BlockMark, new: &Hash) -> u64 {
        let kept = (self.root.height..=old.height).rev().find(|height| {
            let at = self.ancestor(&old.hash, *height);
            at.is_some() && at == self.ancestor(new, *height)
        });
        old.height - kept.unwrap_or(old.height)
    }

    /// Shows a withheld branch to everybody, from `slot` on.
    pub fn show(&mut self, tip: &Hash, slot: Slot) {
        let mut at = *tip;
        while let Some(block) = self.blocks.get_mut(&at) {
            block.known_from.get_or_insert(slot);
            at = block.parent;
        }
    }

    /// Forgets a block and its descendants.
    pub fn remove(&mut self, hash: &Hash) {
        let lost = self.descendants(hash);
        self.blocks.retain(|hash, _| !lost.contains(hash));
    }

    /// Makes a block of the tree the root, and forgets what does not descend from it.
    pub fn finalize(&mut self, root: BlockMark) {
        let kept = self.descendants(&root.hash);
        self.blocks
            .retain(|hash, _| kept.contains(hash) && *hash != root.hash);
        self.root = root;
    }

    /// The block and all that descend from it.
    fn descendants(&self, of: &Hash) -> BTreeSet<Hash> {
        let mut by_height: Vec<&Block> = self.blocks.values().collect();
        by_height.sort_by_key(|block| block.mark.height);
        let mut found = BTreeSet::from([*of]);
        for block in by_height {
            if found.contains(&block.parent) {
                found.insert(block.mark.hash);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(name: u8, height: Height) -> BlockMark {
        BlockMark {
            hash: Hash([name; 32]),
            height,
        }
    }

    /// Root 0 at height 10; 1 and 2 on it; 3 on 1; 4 withheld on 2, 5 withheld on 4.
    fn tree() -> Tree {
        let mut tree = Tree::new(mark(0, 10));
        let mut add = |name, height, parent, slot, maker, known_from| {
            tree.insert(Block {
                mark: mark(name, height),
                parent: Hash([parent; 32]),
                slot,
                maker,
                known_from,
            });
        };
        add(1, 11, 0, 100, Some(7), Some(103));
        add(2, 11, 0, 101, Some(8), Some(104));
        add(3, 12, 1, 102, Some(7), Some(105));
        add(4, 12, 2, 103, None, None);
        add(5, 13, 4, 104, None, None);
        tree
    }

    #[test]
    fn a_miner_extends_the_longest_chain_it_knows_and_of_equals_the_first() {
        let tree = tree();
        let best = |miner, slot| tree.longest_known_to(miner, slot).hash.0[0];
        assert_eq!(best(7, 99), 0);
        assert_eq!(best(7, 100), 1, "its own at once");
        assert_eq!(best(8, 102), 2, "others' after the delay");
        assert_eq!(best(8, 104), 2, "its own came first");
        assert_eq!(best(9, 104), 1, "1 came first");
        assert_eq!(best(9, 105), 3);
    }

    #[test]
    fn what_is_withheld_is_nobodys_until_it_is_shown() {
        let mut tree = tree();
        assert_eq!(tree.longest(), mark(3, 12));
        tree.show(&Hash([5; 32]), 110);
        assert_eq!(tree.longest(), mark(5, 13));
        assert_eq!(tree.longest_known_to(7, 109), mark(3, 12));
        assert_eq!(tree.longest_known_to(7, 110), mark(5, 13));
        assert_eq!(tree.blocks_lost(&mark(3, 12), &Hash([5; 32])), 2);
        assert_eq!(tree.blocks_lost(&mark(2, 11), &Hash([5; 32])), 0);
    }

    #[test]
    fn ancestors_end_at_the_root() {
        let tree = tree();
        let of = |height| tree.ancestor(&Hash([5; 32]), height);
        assert_eq!((of(13), of(11)), (Some(mark(5, 13)), Some(mark(2, 11))));
        assert_eq!((of(10), of(9), of(14)), (Some(mark(0, 10)), None, None));
        assert_eq!(tree.ancestor(&Hash([9; 32]), 10), None);
        assert!(tree.is_on_branch(&mark(2, 11), &Hash([5; 32])));
        assert!(!tree.is_on_branch(&mark(1, 11), &Hash([5; 32])));
    }

    #[test]
    fn finality_and_removal_take_whole_branches() {
        let mut finalized = tree();
        finalized.finalize(mark(1, 11));
        assert_eq!(finalized.root(), mark(1, 11));
        let left: Vec<u8> = finalized.blocks.keys().map(|hash| hash.0[0]).collect();
        assert_eq!(left, [3]);
        let mut removed = tree();
        removed.remove(&Hash([2; 32]));
        let left: Vec<u8> = removed.blocks.keys().map(|hash| hash.0[0]).collect();
        assert_eq!(left, [1, 3]);
    }
}
