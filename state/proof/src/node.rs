//! How nodes are hashed.
//!
//! A node is 32 bytes: zero for an empty subtree, else a BLAKE3 hash of 64 bytes whose most significant bit tells
//! a leaf (1) from an internal node (0). The rules equal those of `nomt-core` 1.0 with its BLAKE3 hasher, which the
//! tests hold against them.

use crate::Path;

/// A node of the trie: [`EMPTY`], or the labelled hash of a leaf or of an internal node.
pub type Node = [u8; 32];

/// The node at depth 0, which commits to the whole state.
pub type Root = Node;

/// The plain BLAKE3 hash of a value's bytes.
pub type ValueHash = [u8; 32];

/// The node of a subtree that holds nothing, and the root of an empty trie.
pub const EMPTY: Node = [0; 32];

/// What a node's bytes say about its subtree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeKind {
    /// The subtree holds nothing.
    Empty,
    /// The subtree holds one value.
    Leaf,
    /// The subtree holds at least two values.
    Internal,
}

/// The kind that `node` is labelled with.
#[must_use]
pub fn kind(node: &Node) -> NodeKind {
    if node[0] & 0x80 != 0 {
        NodeKind::Leaf
    } else if *node == EMPTY {
        NodeKind::Empty
    } else {
        NodeKind::Internal
    }
}

/// The hash of a value, which its leaf commits to. An empty value has a hash like any other; it is not absent.
#[must_use]
pub fn hash_value(value: &[u8]) -> ValueHash {
    *blake3::hash(value).as_bytes()
}

/// The node of a subtree that holds one value: BLAKE3(path ‖ value hash), top bit set.
#[must_use]
pub fn hash_leaf(path: &Path, value_hash: &ValueHash) -> Node {
    let mut node = hash_pair(path, value_hash);
    node[0] |= 0x80;
    node
}

/// The node over two children: BLAKE3(left ‖ right), top bit cleared.
#[must_use]
pub fn hash_internal(left: &Node, right: &Node) -> Node {
    let mut node = hash_pair(left, right);
    node[0] &= 0x7f;
    node
}

/// Whether an internal node may have these children: a lone leaf, or nothing, would have risen instead.
pub(crate) fn may_join(left: &Node, right: &Node) -> bool {
    match (kind(left), kind(right)) {
        (NodeKind::Empty, other) | (other, NodeKind::Empty) => other == NodeKind::Internal,
        _ => true,
    }
}

fn hash_pair(first: &[u8; 32], second: &[u8; 32]) -> [u8; 32] {
    let mut preimage = [0; 64];
    preimage[..32].copy_from_slice(first);
    preimage[32..].copy_from_slice(second);
    *blake3::hash(&preimage).as_bytes()
}
