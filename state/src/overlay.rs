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
use crate::log::Position;
use crate::version::{Base, CommitCell, Contents};

/// How many neighbours of one rank become one of the next.
const MERGE_WIDTH: usize = 4;

/// One uncommitted version's contents.
pub(crate) struct Overlay {
    /// What this version writes itself.
    changes: Arc<Changes>,
    /// A committed ancestor. Layers may repeat what it holds already.
    base: Base,
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
            Contents::Trie(base) => (*base, Vec::new()),
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

    /// What has to be kept of the log so that this can be read.
    pub(crate) fn floor(&self) -> Position {
        self.base.floor
    }

    /// What was written to a path by the layers from `first` on, if anything was.
    pub(crate) fn get(&self, first: usize, path: &Path) -> Option<Option<&Value>> {
        let layers = self.layers[first..].iter();
        layers.rev().find_map(|layer| layer.changes.get(path))
    }

    /// Everything written by the layers from `first` on.
    pub(crate) fn flattened(&self, first: usize) -> Arc<Changes> {
        match &self.layers[first..] {
            [] => Arc::default(),
            [only] => only.changes.clone(),
            layers => Layer::merged(layers).changes,
        }
    }

    /// The newest committed trie, and the first of the layers above it.
    pub(crate) fn newest_base(&self) -> (Base, usize) {
        let layers = self.layers.iter().enumerate().rev();
        let newest = layers.filter_map(|(index, layer)| Some((layer.newest.get()?.base(), index + 1)));
        newest.into_iter().next().unwrap_or((self.base, 0))
    }

    fn uncommitted(&self) -> (Base, Vec<Layer>) {
        let (base, first) = self.newest_base();
        (base, self.layers[first..].to_vec())
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
