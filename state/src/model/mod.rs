//! The model that the trie in the log is held against: a trie in memory, of immutable nodes that versions share, one level
//! each.
//!
//! An update copies the nodes from the changed leaves up to the root and shares all others, so that every version
//! has its own root and old ones stay as they were. A trie is at most 256 levels deep, whatever its paths; the
//! recursions of this module are bounded by that.

mod read;
mod update;

use std::sync::Arc;

use millrace_proof::{EMPTY, Node, Path, ValueHash, hash_internal, hash_leaf, hash_value};

use crate::changes::Value;

/// A version's whole trie.
#[derive(Clone, Default)]
pub(crate) struct Trie {
    root: Link,
}

/// A subtree.
#[derive(Clone, Default)]
enum Link {
    #[default]
    Empty,
    Leaf(Arc<Leaf>),
    Internal(Arc<Internal>),
}

struct Leaf {
    node: Node,
    path: Path,
    value_hash: ValueHash,
    value: Value,
}

/// Two children, of which none is empty unless the other is internal.
struct Internal {
    node: Node,
    left: Link,
    right: Link,
}

impl Link {
    fn node(&self) -> Node {
        match self {
            Self::Empty => EMPTY,
            Self::Leaf(leaf) => leaf.node,
            Self::Internal(internal) => internal.node,
        }
    }

    /// Whether both are the same subtree in memory, which equal subtrees need not be.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Empty, Self::Empty) => true,
            (Self::Leaf(a), Self::Leaf(b)) => Arc::ptr_eq(a, b),
            (Self::Internal(a), Self::Internal(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// The subtree over two others. A leaf without a neighbour rises.
    fn join(left: Self, right: Self) -> Self {
        match (&left, &right) {
            (Self::Empty, Self::Empty | Self::Leaf(_)) => right,
            (Self::Leaf(_), Self::Empty) => left,
            _ => Self::Internal(Arc::new(Internal {
                node: hash_internal(&left.node(), &right.node()),
                left,
                right,
            })),
        }
    }
}

impl Leaf {
    fn new(path: Path, value: Value) -> Self {
        let value_hash = hash_value(&value);
        Self {
            node: hash_leaf(&path, &value_hash),
            path,
            value_hash,
            value,
        }
    }
}
