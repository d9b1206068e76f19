//! Applying sorted changes in one pass, hashing each new node once.

use std::sync::Arc;

use millrace_proof::Path;
use millrace_proof::path::bit;

use super::{Leaf, Link, Trie};
use crate::changes::Changes;

/// A change whose leaf is hashed already.
struct Change {
    path: Path,
    leaf: Option<Arc<Leaf>>,
}

impl Trie {
    /// The trie with `changes` applied.
    pub(crate) fn updated(&self, changes: &Changes) -> Self {
        let changes = changes.iter().map(|(path, value)| Change {
            path: *path,
            leaf: value.map(|value| Arc::new(Leaf::new(*path, value.clone()))),
        });
        Self {
            root: update(&self.root, &changes.collect::<Vec<_>>(), 0),
        }
    }
}

/// The subtree `old` at `depth` with `changes` applied, all of which lie in it.
fn update(old: &Link, changes: &[Change], depth: usize) -> Link {
    match (old, changes) {
        (_, []) => old.clone(),
        (Link::Empty, [change]) => change.leaf.clone().map_or(Link::Empty, Link::Leaf),
        (Link::Leaf(leaf), [change]) if leaf.path == change.path => replace(leaf, change),
        _ => {
            let (empty, internal);
            let (old_left, old_right) = match old {
                Link::Internal(node) => {
                    internal = node;
                    (&internal.left, &internal.right)
                }
                Link::Leaf(leaf) if bit(&leaf.path, depth) => {
                    empty = Link::Empty;
                    (&empty, old)
                }
                _ => {
                    empty = Link::Empty;
                    (old, &empty)
                }
            };
            let (to_left, to_right) = changes.split_at(changes.partition_point(|c| !bit(&c.path, depth)));
            let left = update(old_left, to_left, depth + 1);
            let right = update(old_right, to_right, depth + 1);
            let unchanged = matches!(old, Link::Internal(_)) && left.is(old_left) && right.is(old_right);
            if unchanged {
                old.clone()
            } else {
                Link::join(left, right)
            }
        }
    }
}

fn replace(old: &Arc<Leaf>, change: &Change) -> Link {
    match &change.leaf {
        None => Link::Empty,
        Some(new) if new.value_hash == old.value_hash => Link::Leaf(old.clone()),
        Some(new) => Link::Leaf(new.clone()),
    }
}
