//! The fork tree: every block that may still matter, by hash.
//!
//! It holds the finalized chain from s(F) upward, because later blocks settle those heights and count what is in
//! flight there, and above F every branch that has been seen. What conflicts with finality is removed when finality
//! moves; what is below s(F) is the ledger's.
//!
//! Invariants: a node's parent is in the tree, but for the lowest; verdicts never change once found; heights grow by
//! one along a branch; a node with a receipt has its state in the store, and so have its ancestors.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_state::View;
use millrace_types::state::Account;
use millrace_types::{Address, Block, ExecutionReceipt, Hash, Height};

use crate::admission::{Branch, Invalid, Spending, StateFault, Summary};
use crate::api::BlockRef;
use crate::execution::account_in;
use crate::task::Work;

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
    /// What is done of it ahead of its receipt.
    pub(crate) work: Option<Arc<Work>>,
    /// Its body is in the ledger, or on the way there.
    pub(crate) is_written: bool,
}

impl Node {
    /// A block that is finalized and executed, and durable.
    pub(crate) fn of_finalized(
        hash: Hash,
        block: Arc<Block>,
        summary: Summary,
        receipt: Option<ExecutionReceipt>,
        last_non_empty: Height,
    ) -> Self {
        Self {
            hash,
            block,
            standing: Standing::Valid(Arc::new(summary)),
            receipt,
            last_non_empty,
            work: None,
            is_written: true,
        }
    }

    /// Its changes are in the store.
    pub(crate) fn has_state(&self) -> bool {
        self.receipt.is_some() || self.work.as_ref().is_some_and(|work| work.is_executed())
    }

    pub(crate) fn is_valid(&self) -> bool {
        matches!(self.standing, Standing::Valid(_))
    }

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
#[derive(Clone, Debug)]
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
            work: None,
            is_written: false,
        };
        self.nodes.entry(hash).or_insert(node);
    }

    /// Makes a child of the finalized block final. Answers what was removed because it conflicts, parents first.
    pub(crate) fn finalize(&mut self, hash: &Hash) -> Vec<Node> {
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
            state: OnceCell::new(),
        })
    }

    /// Removes the oldest unfinalized block without children that is neither one of `spared` nor an ancestor of one.
    pub(crate) fn evict(&mut self, spared: &[Hash]) -> Option<Node> {
        let spared: Vec<Hash> = spared.iter().flat_map(|tip| self.unfinalized_to(tip)).collect();
        let parents: BTreeSet<Hash> = self.nodes.values().map(Node::parent).collect();
        let victim = self
            .nodes
            .values()
            .filter(|node| node.height() > self.finalized.height)
            .filter(|node| !spared.contains(&node.hash) && !parents.contains(&node.hash))
            .min_by_key(|node| (node.height(), node.hash))?
            .hash;
        self.nodes.remove(&victim)
    }

    /// The blocks above finality that lead to `tip`, which is the last of them; none if it is final or not here.
    pub(crate) fn unfinalized_to(&self, tip: &Hash) -> Vec<Hash> {
        self.path(tip, |node| node.height() > self.finalized.height)
    }

    /// All blocks that lead to `tip`, which is the last of them.
    pub(crate) fn path_to(&self, tip: &Hash) -> Vec<Hash> {
        self.path(tip, |_| true)
    }

    /// The blocks above `height` that lead to `tip`, which is the last of them.
    pub(crate) fn above(&self, height: Height, tip: &Hash) -> Vec<Hash> {
        self.path(tip, |node| node.height() > height)
    }

    fn path(&self, tip: &Hash, wanted: impl Fn(&Node) -> bool) -> Vec<Hash> {
        let mut found = Vec::new();
        let mut at = self.nodes.get(tip);
        while let Some(node) = at.filter(|node| wanted(node)) {
            found.push(node.hash);
            at = self.nodes.get(&node.parent());
        }
        found.reverse();
        found
    }

    /// Whether `block` is `tip` or an ancestor of it.
    pub(crate) fn leads_to(&self, block: &Hash, tip: &Hash) -> bool {
        let Some(height) = self.nodes.get(block).map(Node::height) else {
            return false;
        };
        let mut at = self.nodes.get(tip);
        while let Some(node) = at.filter(|node| node.height() > height) {
            at = self.nodes.get(&node.parent());
        }
        at.is_some_and(|node| node.hash == *block)
    }

    /// What lies between two blocks of the tree: from `from` down to where the branches meet, highest first, and from
    /// there up to `to`, lowest first.
    pub(crate) fn between(&self, from: &Hash, to: &Hash) -> (Vec<&Node>, Vec<&Node>) {
        let (mut down, mut up) = (Vec::new(), Vec::new());
        let (mut a, mut b) = (self.nodes.get(from), self.nodes.get(to));
        while let (Some(left), Some(right)) = (a, b) {
            if left.hash == right.hash {
                break;
            }
            if left.height() >= right.height() {
                down.push(left);
                a = self.nodes.get(&left.parent());
            }
            if right.height() >= left.height() {
                up.push(right);
                b = self.nodes.get(&right.parent());
            }
        }
        up.reverse();
        (down, up)
    }

    /// `root` and everything that descends from it, parents first.
    pub(crate) fn descendants(&self, root: &Hash) -> Vec<Hash> {
        let mut by_height: Vec<&Node> = self.nodes.values().collect();
        by_height.sort_unstable_by_key(|node| (node.height(), node.hash));
        let mut found = BTreeSet::from([*root]);
        let mut ordered = vec![*root];
        for node in by_height {
            if found.contains(&node.parent()) && found.insert(node.hash) {
                ordered.push(node.hash);
            }
        }
        ordered
    }

    /// The lowest height that is kept.
    pub(crate) fn lowest(&self) -> Height {
        let heights = self.nodes.values().map(Node::height);
        heights.min().unwrap_or(self.finalized.height)
    }

    /// Removes blocks that neither lead to the finalized block nor descend from it.
    fn remove_conflicting(&mut self) -> Vec<Node> {
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
                removed.extend(self.nodes.remove(&hash));
            }
        }
        removed
    }
}

/// States of executed blocks.
pub(crate) trait States {
    /// The state after `block`.
    ///
    /// # Errors
    /// What failed: a fault of this node.
    fn state(&self, block: &Hash) -> Result<Box<dyn State>, StateFault>;
}

/// One state, as admission looks at it.
pub(crate) trait State {
    /// An account; the default one where there is none.
    ///
    /// # Errors
    /// What failed: a fault of this node.
    fn account(&self, address: &Address) -> Result<Account, StateFault>;
}

impl State for View {
    fn account(&self, address: &Address) -> Result<Account, StateFault> {
        account_in(self, address)
    }
}

/// A branch of the tree, from its tip down to what the tip settles.
pub(crate) struct TreeBranch<'a> {
    lowest: Height,
    ancestors: Vec<&'a Node>,
    states: &'a dyn States,
    /// The state that was asked first, after which block: a verdict asks one, for every sender.
    state: OnceCell<(Height, Box<dyn State>)>,
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
        if let Some((_, state)) = self.state.get().filter(|(of, _)| *of == height) {
            return state.account(address);
        }
        let state = self.states.state(&node.hash)?;
        let account = state.account(address);
        let _ = self.state.set((height, state));
        account
    }
}
