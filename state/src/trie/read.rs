//! Looking up, proving, walking in order.

use std::collections::BTreeSet;

use millrace_proof::path::bit;
use millrace_proof::{BatchProof, EMPTY, Node, Path, Proof, Step, Terminal, hash_value};

use super::page::{Below, Leaf, Page, Stored as _, is_internal, is_page};
use super::{DEEPEST, LEVELS, Link, Trie, WIDTH, is_leaf, slot_of};
use crate::error::ReadError;
use crate::export::Chunk;
use crate::log::{Position, Snapshot};

impl Trie {
    /// The value under a path.
    pub(crate) fn get<'a>(&self, snapshot: &'a Snapshot, path: &Path) -> Result<Option<&'a [u8]>, ReadError> {
        let value_of = |leaf: Leaf<'a>| (leaf.path == path).then_some(leaf.value);
        if is_leaf(&self.root.node) {
            return Ok(value_of(Leaf::read(snapshot, &self.root)?));
        }
        if self.root.is_empty() {
            return Ok(None);
        }
        let mut page = Page::read(snapshot, &self.root)?;
        for level in 0..DEEPEST {
            match page.below(snapshot, slot_of(path, level))? {
                Below::Page(below) => page = below,
                Below::Leaf(leaf) => return Ok(value_of(leaf)),
                Below::Nothing => break,
            }
        }
        Ok(None)
    }

    /// A proof of what a path holds.
    pub(crate) fn prove(&self, snapshot: &Snapshot, path: &Path) -> Result<Proof, ReadError> {
        let mut siblings: Vec<Node> = Vec::with_capacity(64);
        let mut link = self.root;
        for level in 0..DEEPEST {
            if !is_page(&link) {
                break;
            }
            let page = Page::read(snapshot, &link)?;
            let tree = page.tree();
            let mut at = 1;
            while at < WIDTH && is_internal(&tree[at]) {
                at = 2 * at + usize::from(bit(path, level * LEVELS + at.ilog2() as usize));
                siblings.push(tree[at ^ 1]);
            }
            link = below(&page, at);
        }
        let terminal = if is_leaf(&link.node) {
            let leaf = Leaf::read(snapshot, &link)?;
            let value_hash = hash_value(leaf.value);
            if leaf.path == path {
                Terminal::Present(value_hash)
            } else {
                Terminal::Other {
                    path: *leaf.path,
                    value_hash,
                }
            }
        } else {
            Terminal::Empty
        };
        Ok(Proof::new(terminal, &siblings)
            .expect("internal nodes have two paths below them, so lie above depth 256"))
    }

    /// A proof of all `paths`, which are distinct and ascend.
    pub(crate) fn prove_batch(&self, snapshot: &Snapshot, paths: &[Path]) -> Result<BatchProof, ReadError> {
        let mut proof = BatchProof::default();
        Walk {
            snapshot,
            proof: &mut proof,
        }
        .link(&self.root, paths, 0)?;
        Ok(proof)
    }

    /// Gives the trie in parts of about `most` bytes, each a whole subtree, in the order of their paths.
    pub(crate) fn chunks<E: From<ReadError>>(
        &self,
        snapshot: &Snapshot,
        most: usize,
        give: &mut dyn FnMut(Chunk<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut chunks = Chunks {
            snapshot,
            most,
            give,
            siblings: Vec::new(),
        };
        chunks.link(&self.root, &mut [0; 32])
    }

    /// Reads all of the trie but the pages in `seen`, and adds to these what is whole. Gives where it is damaged.
    pub(crate) fn check(&self, snapshot: &Snapshot, seen: &mut BTreeSet<Position>) -> Result<(), ReadError> {
        check(&self.root, snapshot, seen)
    }

    /// All values by ascending path.
    pub(crate) fn iter<'a>(&self, snapshot: &'a Snapshot) -> Iter<'a> {
        Iter {
            snapshot,
            root: Some(self.root),
            pages: Vec::new(),
        }
    }
}

/// Goes through a trie in parts of about so many bytes.
struct Chunks<'a, 'f, E> {
    snapshot: &'a Snapshot,
    most: usize,
    give: &'f mut dyn FnMut(Chunk<'_>) -> Result<(), E>,
    siblings: Vec<Node>,
}

impl<E: From<ReadError>> Chunks<'_, '_, E> {
    /// The subtree of a link, all paths of which begin like `prefix` and whose siblings are known.
    fn link(&mut self, link: &Link, prefix: &mut Path) -> Result<(), E> {
        let mut leaves = Vec::new();
        let is_whole = collect(self.snapshot, self.most, link, &mut leaves, &mut 0)?;
        if is_whole || !is_page(link) {
            let (prefix, siblings) = (&*prefix, &self.siblings[..]);
            return (self.give)(Chunk {
                prefix,
                siblings,
                leaves: &leaves,
            });
        }
        drop(leaves);
        let page = Page::read(self.snapshot, link)?;
        self.inside(&page, &page.tree(), 1, prefix)
    }

    /// The subtree of node `at` of a page, all paths of which begin like `prefix`. What is empty shows in the siblings of the
    /// others; a leaf that has risen is a chunk where it stands, not where it lies.
    fn inside(
        &mut self,
        page: &Page<'_>,
        tree: &[Node; 2 * WIDTH],
        at: usize,
        prefix: &mut Path,
    ) -> Result<(), E> {
        if at >= WIDTH || !is_internal(&tree[at]) {
            return self.link(&below(page, at), prefix);
        }
        let depth = self.siblings.len();
        for side in 0..2 {
            let child = 2 * at + side;
            if tree[child] == EMPTY {
                continue;
            }
            set_bit(prefix, depth, side == 1);
            self.siblings.push(tree[child ^ 1]);
            self.inside(page, tree, child, prefix)?;
            self.siblings.truncate(depth);
        }
        set_bit(prefix, depth, false);
        Ok(())
    }
}

/// All leaves of a subtree, unless they are several and take more than `most` bytes.
fn collect<'a>(
    snapshot: &'a Snapshot,
    most: usize,
    link: &Link,
    leaves: &mut Vec<(&'a Path, &'a [u8])>,
    bytes: &mut usize,
) -> Result<bool, ReadError> {
    if link.is_empty() {
        return Ok(true);
    }
    if is_page(link) {
        let page = Page::read(snapshot, link)?;
        for slot in 0..WIDTH {
            if !collect(snapshot, most, &page.slot(slot), leaves, bytes)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    let leaf = Leaf::read(snapshot, link)?;
    *bytes += leaf.value.len() + 36;
    leaves.push((leaf.path, leaf.value));
    Ok(*bytes <= most || leaves.len() == 1)
}

fn set_bit(path: &mut Path, at: usize, is_set: bool) {
    let bit = 0x80 >> (at % 8);
    if is_set {
        path[at / 8] |= bit;
    } else {
        path[at / 8] &= !bit;
    }
}

fn check(link: &Link, snapshot: &Snapshot, seen: &mut BTreeSet<Position>) -> Result<(), ReadError> {
    if !is_page(link) {
        return match link.is_empty() {
            true => Ok(()),
            false => Leaf::read(snapshot, link).map(|_| ()),
        };
    }
    if seen.contains(&link.position) {
        return Ok(());
    }
    let page = Page::read(snapshot, link)?;
    for slot in 0..WIDTH {
        check(&page.slot(slot), snapshot, seen)?;
    }
    seen.insert(link.position);
    Ok(())
}

/// What lies at node `at` of a page, which is no internal node unless it is a slot's.
fn below(page: &Page<'_>, at: usize) -> Link {
    // A leaf has risen out of the only slot below.
    let depth = at.ilog2() as usize;
    let first = (at << (LEVELS - depth)) - WIDTH;
    match page.first_from(first) {
        Some(slot) if slot < first + (WIDTH >> depth) => page.slot(slot),
        _ => Link::default(),
    }
}

/// Follows many paths at once, in the order of the proof's steps.
struct Walk<'a> {
    snapshot: &'a Snapshot,
    proof: &'a mut BatchProof,
}

impl Walk<'_> {
    /// The subtree of a link, which is at the top of a page at `depth`, or no page.
    fn link(&mut self, link: &Link, paths: &[Path], depth: usize) -> Result<(), ReadError> {
        if is_page(link) {
            let page = Page::read(self.snapshot, link)?;
            return self.inside(&page, &page.tree(), 1, paths, depth);
        }
        if link.is_empty() {
            self.proof.push(Step::Empty);
            return Ok(());
        }
        let leaf = Leaf::read(self.snapshot, link)?;
        let value_hash = hash_value(leaf.value);
        self.proof.push(match paths {
            [path] if path == leaf.path => Step::Present(value_hash),
            _ => Step::Leaf {
                path: *leaf.path,
                value_hash,
            },
        });
        Ok(())
    }

    /// The subtree of node `at` of a page.
    fn inside(
        &mut self,
        page: &Page<'_>,
        tree: &[Node; 2 * WIDTH],
        at: usize,
        paths: &[Path],
        depth: usize,
    ) -> Result<(), ReadError> {
        if at >= WIDTH || !is_internal(&tree[at]) {
            return self.link(&below(page, at), paths, depth);
        }
        let (left, right) = paths.split_at(paths.partition_point(|path| !bit(path, depth)));
        self.proof.push(match (left, right) {
            (_, []) => Step::Side(tree[2 * at + 1]),
            ([], _) => Step::Side(tree[2 * at]),
            _ => Step::Fork,
        });
        if !left.is_empty() {
            self.inside(page, tree, 2 * at, left, depth + 1)?;
        }
        if !right.is_empty() {
            self.inside(page, tree, 2 * at + 1, right, depth + 1)?;
        }
        Ok(())
    }
}

/// Walks a trie in the order of its paths.
pub(crate) struct Iter<'a> {
    snapshot: &'a Snapshot,
    /// Until the walk begins.
    root: Option<Link>,
    /// Pages from the root down, and the slot that comes next in each.
    pages: Vec<(Page<'a>, usize)>,
}

impl<'a> Iter<'a> {
    fn step(&mut self) -> Result<Option<(&'a Path, &'a [u8])>, ReadError> {
        loop {
            let link = match self.root.take() {
                Some(root) => root,
                None => {
                    let Some((page, next)) = self.pages.last_mut() else {
                        return Ok(None);
                    };
                    let Some(slot) = page.first_from(*next) else {
                        self.pages.pop();
                        continue;
                    };
                    *next = slot + 1;
                    page.slot(slot)
                }
            };
            if is_page(&link) {
                self.pages.push((Page::read(self.snapshot, &link)?, 0));
            } else if !link.is_empty() {
                let leaf = Leaf::read(self.snapshot, &link)?;
                return Ok(Some((leaf.path, leaf.value)));
            }
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Result<(&'a Path, &'a [u8]), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.pages.clear();
        }
        step.transpose()
    }
}
