//! The fork tree: every block that may still matter, by hash.
//!
//! It holds the finalized chain from s(F) upward, because later blocks settle those heights and count what is in
//! flight there, and above F every branch that has been seen. What conflicts with finality is removed when finality
//! moves; what is below s(F) is the ledger's.
//!
//! Invariants: a node's parent is in the tree, but for the lowest; verdicts never change once found; heights grow by
//! one along a branch.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_types::state::Account;
use millrace_types::{Address, Block, ExecutionReceipt, Hash, Height};

use crate::admission::{Branch, Invalid, Spending, StateFault, Summary};
use crate::api::BlockRef;

/// What is known of a block's validity.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    /// Its verdict waits for execution here, or for its parent's verdict.
    Waiting,
    /// Admitted.
    Valid(Arc<Summary>),
    /// Never.
    Invalid(Invalid),
}

/// A block in the tree.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) hash: Hash,
    pub(crate) block: Arc<Block>,
    pub(crate) standing: Standing,
    /// This node's own receipt, once it is durable.
    pub(crate) receipt: Option<ExecutionReceipt>,
    /// Height of the newest block with transactions among this one and its ancestors.
    pub(crate) last_non_empty: Height,
}

impl Node {
    pub(crate) fn height(&self) -> Height {
        self.block.header.height
    }

    pub(crate) fn parent(&self) -> Hash {
        self.block.header.parent_hash
    }

    pub(crate) fn settled_height(&self) -> Height {
        self.block.header.settled_height
    }

    pub(crate) fn reference(&self) -> BlockRef {
        BlockRef {
            height: self.height(),
            hash: self.hash,
        }
    }
}

/// The tree. Its root is the lowest block of the finalized chain that is kept.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: BTreeMap<Hash, Node>,
    finalized: BlockRef,
}

impl Tree {
    /// A tree whose only block is finalized.
    pub(crate) fn new(root: Node) -> Self {
        let (finalized, hash) = (root.reference(), root.hash);
        Self {
            nodes: BTreeMap::from([(hash, root)]),
            finalized,
        }
    }

    pub(crate) fn get(&self, hash: &Hash) -> Option<&Node> {
        self.nodes.get(hash)
    }

    pub(crate) fn get_mut(&mut self, hash: &Hash) -> Option<&mut Node> {
        self.nodes.get_mut(hash)
    }

    /// The newest finalized block.
    pub(crate) fn finalized(&self) -> BlockRef {
        self.finalized
    }

    /// Blocks above finality, over all branches.
    pub(crate) fn unfinalized(&self) -> usize {
        self.nodes
            .values()
            .filter(|node| node.height() > self.finalized.height)
            .count()
    }

    /// Adds a node as it is.
    pub(crate) fn adopt(&mut self, node: Node) {
        self.nodes.insert(node.hash, node);
    }

    /// Adds a block whose parent is in the tree; one that is there already stays as it is.
    pub(crate) fn insert(&mut self, hash: Hash, block: Arc<Block>, standing: Standing) {
        let inherited = self
            .nodes
            .get(&block.header.parent_hash)
            .map_or(0, |parent| parent.last_non_empty);
        let last_non_empty = if block.body.transactions.is_empty() {
            inherited
        } else {
            block.header.height
        };
        let node = Node {
            hash,
            block,
            standing,
            receipt: None,
            last_non_empty,
        };
        self.nodes.entry(hash).or_insert(node);
    }

    /// Makes a child of the finalized block final. Answers what was removed because it conflicts.
    pub(crate) fn finalize(&mut self, hash: &Hash) -> Vec<Hash> {
        let node = &self.nodes[hash];
        assert_eq!(
            node.parent(),
            self.finalized.hash,
            "finality moves from a block to its child"
        );
        self.finalized = node.reference();
        self.remove_conflicting()
    }

    /// Forgets what is below `height`: no verdict to come looks there.
    pub(crate) fn prune_below(&mut self, height: Height) {
        self.nodes.retain(|_, node| node.height() >= height);
    }

    /// The finalized block at `height`, if it is kept.
    pub(crate) fn finalized_at(&self, height: Height) -> Option<Hash> {
        let mut at = self.nodes.get(&self.finalized.hash)?;
        while at.height() > height {
            at = self.nodes.get(&at.parent())?;
        }
        (at.height() == height).then_some(at.hash)
    }

    /// The branch that ends in `tip`.
    pub(crate) fn branch<'a>(&'a self, tip: &Hash, states: &'a dyn States) -> Option<TreeBranch<'a>> {
        let tip = self.nodes.get(tip)?;
        let lowest = tip.settled_height();
        let mut ancestors = vec![tip];
        let mut at = tip;
        while at.height() > lowest {
            at = self.nodes.get(&at.parent())?;
            ancestors.push(at);
        }
        ancestors.reverse();
        Some(TreeBranch {
            lowest,
            ancestors,
            states,
        })
    }

    /// Removes the oldest unfinalized block without children that is neither `spare` nor an ancestor of it.
    pub(crate) fn evict(&mut self, spare: &Hash) -> Option<Hash> {
        let spared = self.unfinalized_ancestors(spare);
        let parents: Vec<Hash> = self.nodes.values().map(Node::parent).collect();
        let victim = self
            .nodes
            .values()
            .filter(|node| node.height() > self.finalized.height)
            .filter(|node| !spared.contains(&node.hash) && !parents.contains(&node.hash))
            .min_by_key(|node| (node.height(), node.hash))?
            .hash;
        self.nodes.remove(&victim);
        Some(victim)
    }

    fn unfinalized_ancestors(&self, tip: &Hash) -> Vec<Hash> {
        let mut found = Vec::new();
        let mut at = self.nodes.get(tip);
        while let Some(node) = at.filter(|node| node.height() > self.finalized.height) {
            found.push(node.hash);
            at = self.nodes.get(&node.parent());
        }
        found
    }

    /// Removes blocks that neither lead to the finalized block nor descend from it.
    fn remove_conflicting(&mut self) -> Vec<Hash> {
        let mut by_height: Vec<(Height, Hash)> = self
            .nodes
            .values()
            .map(|node| (node.height(), node.hash))
            .collect();
        by_height.sort_unstable();
        let mut removed = Vec::new();
        for (height, hash) in by_height {
            let conflicts = match height.cmp(&self.finalized.height) {
                std::cmp::Ordering::Less => false,
                std::cmp::Ordering::Equal => hash != self.finalized.hash,
                std::cmp::Ordering::Greater => !self.nodes.contains_key(&self.nodes[&hash].parent()),
            };
            if conflicts {
                self.nodes.remove(&hash);
                removed.push(hash);
            }
        }
        removed
    }
}

/// States of executed blocks.
pub(crate) trait States {
    /// An account after `block`.
    ///
    /// # Errors
    /// What failed: a fault of this node.
    fn account(&self, block: &Hash, address: &Address) -> Result<Account, StateFault>;
}

/// A branch of the tree, from its tip down to what the tip settles.
pub(crate) struct TreeBranch<'a> {
    lowest: Height,
    ancestors: Vec<&'a Node>,
    states: &'a dyn States,
}

impl TreeBranch<'_> {
    fn at(&self, height: Height) -> Option<&Node> {
        let index = usize::try_from(height.checked_sub(self.lowest)?).ok()?;
        self.ancestors.get(index).copied()
    }

    /// The highest height up to which every ancestor is executed here.
    pub(crate) fn executed_height(&self) -> Height {
        let executed = self
            .ancestors
            .iter()
            .take_while(|node| node.receipt.is_some())
            .count() as u64;
        (self.lowest + executed).saturating_sub(1)
    }
}

impl Branch for TreeBranch<'_> {
    fn hash_at(&self, height: Height) -> Option<Hash> {
        self.at(height).map(|node| node.hash)
    }

    fn receipt_at(&self, height: Height) -> Option<ExecutionReceipt> {
        self.at(height)?.receipt.clone()
    }

    fn spending_at(&self, height: Height, sender: &Address) -> Spending {
        match self.at(height).map(|node| &node.standing) {
            Some(Standing::Valid(summary)) => summary.senders.get(sender).copied().unwrap_or_default(),
            _ => Spending::default(),
        }
    }

    fn account_at(&self, height: Height, address: &Address) -> Result<Account, StateFault> {
        let node = self
            .at(height)
            .ok_or_else(|| StateFault(format!("height {height} is not in the fork tree")))?;
        self.states.account(&node.hash, address)
    }
}
