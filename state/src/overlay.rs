//! Reading a version before its root is there.
//!
//! An overlay holds the changes of the uncommitted versions up to its own, on top of a committed trie. A read goes
//! through the layers from the newest down, then into the trie. The number of layers is logarithmic in the number
//! of uncommitted versions: four neighbours of one rank are merged into one of the next rank, a step with each version
//! that is inserted above, or above a fork that was made since the merge began, so that inserting one always takes about as long. A new overlay drops the layers that have been
//! committed meanwhile, so that a pipeline that is a few versions ahead of its roots never merges anything.

mod index;

use std::sync::Arc;

use millrace_proof::Path;

use crate::changes::{Changes, Value};
use crate::log::Position;
use crate::version::{Base, CommitCell, Contents};
use index::{Index, Merge};

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
    writes: Arc<Index>,
    /// The layer covers 4^rank versions.
    rank: u32,
    /// Where the trie of the newest version in this layer will appear.
    newest: Arc<CommitCell>,
    /// The layer and its neighbours before it, [`MERGE_WIDTH`] in all, are being merged.
    merge: Option<Arc<Merge>>,
    /// It is one of these.
    is_merging: bool,
}

impl Overlay {
    /// The contents of a version that writes `changes` above `parent`, and whose trie will appear in `cell`.
    pub(crate) fn above(parent: &Contents, changes: Arc<Changes>, cell: Arc<CommitCell>) -> Self {
        let (base, mut layers) = match parent {
            Contents::Trie(base) => (*base, Vec::new()),
            Contents::Overlay(overlay) => overlay.uncommitted(),
        };
        layers.push(Layer {
            writes: Index::new(changes.clone()),
            rank: 0,
            newest: cell,
            merge: None,
            is_merging: false,
        });
        go_on_merging(&mut layers);
        begin_merging(&mut layers);
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
        layers.rev().find_map(|layer| layer.writes.get(path))
    }

    /// Everything written by the layers from `first` on.
    pub(crate) fn flattened(&self, first: usize) -> Arc<Changes> {
        match &self.layers[first..] {
            [] => Arc::default(),
            [only] => only.writes.flattened(),
            layers => {
                let writes: Vec<_> = layers.iter().map(|layer| Arc::clone(&layer.writes)).collect();
                Index::merged(&writes).flattened()
            }
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

/// Goes a step further with each merge, and replaces layers that have become one.
fn go_on_merging(layers: &mut Vec<Layer>) {
    let mut end = layers.len();
    while let Some(last) = end.checked_sub(1) {
        end = last;
        let Some(writes) = layers[last].merge.as_ref().and_then(|merge| merge.advance()) else {
            continue;
        };
        // The first of them may have been committed and dropped since. That the merged writes have its own does no harm: the
        // base has them too, or newer ones over them, which are among the merged ones then.
        let first = (last + 1).saturating_sub(MERGE_WIDTH);
        let merged = Layer {
            writes,
            rank: layers[last].rank + 1,
            newest: layers[last].newest.clone(),
            merge: None,
            is_merging: false,
        };
        layers.splice(first..=last, [merged]);
        end = first;
    }
}

/// Begins to merge neighbours of one rank where there are enough.
fn begin_merging(layers: &mut [Layer]) {
    for last in MERGE_WIDTH - 1..layers.len() {
        let group = &mut layers[last + 1 - MERGE_WIDTH..=last];
        let rank = group[0].rank;
        if group.iter().any(|layer| layer.rank != rank || layer.is_merging) {
            continue;
        }
        group.iter_mut().for_each(|layer| layer.is_merging = true);
        let writes: Vec<_> = group.iter().map(|layer| Arc::clone(&layer.writes)).collect();
        // Done when half as many versions have been inserted as the layers cover: long before the next ones are due.
        let steps = MERGE_WIDTH.saturating_pow(rank + 1) / 2;
        layers[last].merge = Some(Arc::new(Merge::new(&writes, steps)));
    }
}

#[cfg(test)]
mod tests;
