//! Looking up, proving, walking in order.

use millrace_proof::path::bit;
use millrace_proof::{BatchProof, Node, Path, Proof, Root, Step, Terminal};

use super::{Leaf, Link, Trie};
use crate::changes::Value;

impl Trie {
    pub(crate) fn root(&self) -> Root {
        self.root.node()
    }

    pub(crate) fn get(&self, path: &Path) -> Option<&Value> {
        let mut link = &self.root;
        for depth in 0.. {
            match link {
                Link::Empty => return None,
                Link::Leaf(leaf) => return (leaf.path == *path).then_some(&leaf.value),
                Link::Internal(node) => link = if bit(path, depth) { &node.right } else { &node.left },
            }
        }
        None
    }

    pub(crate) fn prove(&self, path: &Path) -> Proof {
        let mut siblings: Vec<Node> = Vec::with_capacity(64);
        let mut link = &self.root;
        while let Link::Internal(node) = link {
            let (near, far) = match bit(path, siblings.len()) {
                true => (&node.right, &node.left),
                false => (&node.left, &node.right),
            };
            siblings.push(far.node());
            link = near;
        }
        let terminal = match link {
            Link::Leaf(leaf) if leaf.path == *path => Terminal::Present(leaf.value_hash),
            Link::Leaf(leaf) => Terminal::Other {
                path: leaf.path,
                value_hash: leaf.value_hash,
            },
            _ => Terminal::Empty,
        };
        Proof::new(terminal, &siblings)
            .expect("internal nodes have two paths below them, so lie above depth 256")
    }

    /// A proof of all `paths`, which are distinct and ascend.
    pub(crate) fn prove_batch(&self, paths: &[Path]) -> BatchProof {
        let mut proof = BatchProof::default();
        walk(&self.root, paths, 0, &mut proof);
        proof
    }

    /// All values by ascending path.
    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter {
            pending: vec![&self.root],
        }
    }
}

/// Appends to `proof` the walk over what `paths`, one or more, reach of the subtree at `depth`.
fn walk(link: &Link, paths: &[Path], depth: usize, proof: &mut BatchProof) {
    match (link, paths) {
        (Link::Empty, _) => proof.push(Step::Empty),
        (Link::Leaf(leaf), [path]) if leaf.path == *path => proof.push(Step::Present(leaf.value_hash)),
        (Link::Leaf(leaf), _) => proof.push(Step::Leaf {
            path: leaf.path,
            value_hash: leaf.value_hash,
        }),
        (Link::Internal(node), _) => {
            let (left, right) = paths.split_at(paths.partition_point(|path| !bit(path, depth)));
            proof.push(match (left, right) {
                (_, []) => Step::Side(node.right.node()),
                ([], _) => Step::Side(node.left.node()),
                _ => Step::Fork,
            });
            if !left.is_empty() {
                walk(&node.left, left, depth + 1, proof);
            }
            if !right.is_empty() {
                walk(&node.right, right, depth + 1, proof);
            }
        }
    }
}

/// Walks a trie in the order of its paths.
pub(crate) struct Iter<'a> {
    /// Subtrees still to walk, the next one last; at most one for each level.
    pending: Vec<&'a Link>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a Path, &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.pending.pop()? {
                Link::Empty => {}
                Link::Leaf(leaf) => {
                    let Leaf { path, value, .. } = &**leaf;
                    return Some((path, value));
                }
                Link::Internal(node) => self.pending.extend([&node.right, &node.left]),
            }
        }
    }
}
