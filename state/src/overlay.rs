//! Reading a version before its root is there.
//!
//! An overlay holds the changes of the uncommitted versions up to its own, on top of a committed trie. A read goes
//! through the layers from the newest down, then into the trie. The number of layers is logarithmic in the number
//! of uncommitted versions: four neighbours of one rank are merged into one of the next rank. A new overlay drops
//! the layers that have been committed meanwhile, so that a pipeline that is a few versions ahead of its roots
//! never merges anything.

use std::sync::Arc;

use millrace_proof::Path;

use crate::changes::{Changes, Value};
use crate::trie::Trie;
use crate::version::{CommitCell, Contents};

/// How many neighbours of one rank become one of the next.
const MERGE_WIDTH: usize = 4;

/// One uncommitted version's contents.
pub(crate) struct Overlay {
    /// What this version writes itself.
    changes: Arc<Changes>,
    /// A committed ancestor. Layers may repeat what it holds already.
    base: Trie,
    /// All changes since `base`, oldest first; the last includes this version's.
    layers: Vec<Layer>,
}

#[derive(Clone)]
struct Layer {
    changes: Arc<Changes>,
    /// The layer covers 4^rank versions.
    rank: u32,
    /// Where the trie of the newest version in this layer will appear.
    newest: Arc<CommitCell>,
}

impl Overlay {
    /// The contents of a version that writes `changes` above `parent`, and whose trie will appear in `cell`.
    pub(crate) fn above(parent: &Contents, changes: Arc<Changes>, cell: Arc<CommitCell>) -> Self {
        let (base, mut layers) = match parent {
            Contents::Trie(trie) => (trie.clone(), Vec::new()),
            Contents::Overlay(overlay) => overlay.uncommitted(),
        };
        layers.push(Layer {
            changes: changes.clone(),
            rank: 0,
            newest: cell,
        });
        while let Some(split) = merge_point(&layers) {
            let merged = Layer::merged(&layers[split..]);
            layers.truncate(split);
            layers.push(merged);
        }
        Self {
            changes,
            base,
            layers,
        }
    }

    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    pub(crate) fn get(&self, path: &Path) -> Option<&Value> {
        match self.layers.iter().rev().find_map(|layer| layer.changes.get(path)) {
            Some(written) => written,
            None => self.base.get(path),
        }
    }

    /// The committed trie underneath.
    pub(crate) fn base(&self) -> &Trie {
        &self.base
    }

    /// Everything written since [`Self::base`].
    pub(crate) fn flattened(&self) -> Arc<Changes> {
        match self.layers.as_slice() {
            [only] => only.changes.clone(),
            layers => Layer::merged(layers).changes,
        }
    }

    /// The newest committed trie and the layers above it.
    fn uncommitted(&self) -> (Trie, Vec<Layer>) {
        for (index, layer) in self.layers.iter().enumerate().rev() {
            if let Some(committed) = layer.newest.get() {
                return (committed.trie.clone(), self.layers[index + 1..].to_vec());
            }
        }
        (self.base.clone(), self.layers.clone())
    }
}

impl Layer {
    /// `layers`, oldest first and not empty, as one of the next rank.
    fn merged(layers: &[Self]) -> Self {
        let newest = layers.last().expect("at least one layer is merged");
        let changes = layers
            .iter()
            .rev()
            .skip(1)
            .fold(newest.changes.clone(), |newer, older| {
                Arc::new(Changes::merged(&older.changes, &newer))
            });
        Self {
            changes,
            rank: newest.rank + 1,
            newest: newest.newest.clone(),
        }
    }
}

/// From where the layers are to be merged into one, if they are.
fn merge_point(layers: &[Layer]) -> Option<usize> {
    let split = layers.len().checked_sub(MERGE_WIDTH)?;
    let (first, last) = (layers.get(split)?, layers.last()?);
    (first.rank == last.rank).then_some(split)
}

#[cfg(test)]
mod tests;
