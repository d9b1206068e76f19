//! Which versions are held, and what finality, retention, discarding and rolling back leave of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{DiscardError, FinalizeError, InsertError};
use crate::log::Position;
use crate::version::{Commit, Version, VersionId};

/// The tree of versions.
pub(super) struct Tree {
    pub(super) versions: BTreeMap<VersionId, Arc<Version>>,
    /// The same versions in the order of their heights, so parents before children.
    pub(super) by_height: BTreeSet<(u64, VersionId)>,
    /// What each reached when that was looked at last: since then it can only have come to reach less far back.
    floors: BTreeMap<VersionId, Position>,
    /// The same, lowest first.
    by_floor: BTreeSet<(Position, VersionId)>,
    pub(super) finalized: Arc<Version>,
    /// What lies before this may have been forgotten.
    pub(super) floor: Position,
}

/// Versions taken out of the tree, to be dropped once its lock is released.
pub(super) type Removed = Vec<Arc<Version>>;

impl Tree {
    pub(super) fn new(finalized: Arc<Version>) -> Self {
        let mut tree = Self {
            versions: BTreeMap::new(),
            by_height: BTreeSet::new(),
            floors: BTreeMap::new(),
            by_floor: BTreeSet::new(),
            finalized: Arc::clone(&finalized),
            floor: Position::ZERO,
        };
        tree.add(finalized);
        tree
    }

    /// All that the versions reach lies behind this.
    pub(super) fn lowest_floor(&self) -> Position {
        debug_assert_eq!(self.by_floor.len(), self.versions.len());
        self.by_floor.first().map(|(floor, _)| *floor).unwrap_or_default()
    }

    /// Looks again at what a version reaches: it has been committed.
    pub(super) fn look_again(&mut self, id: VersionId) {
        if let Some(floor) = self.versions.get(&id).map(|version| version.floor()) {
            self.set_floor(id, Some(floor));
        }
    }

    fn set_floor(&mut self, id: VersionId, floor: Option<Position>) {
        let before = match floor {
            Some(floor) => self.floors.insert(id, floor),
            None => self.floors.remove(&id),
        };
        if let Some(before) = before {
            self.by_floor.remove(&(before, id));
        }
        if let Some(floor) = floor {
            self.by_floor.insert((floor, id));
        }
    }

    /// The highest committed version.
    pub(super) fn newest(&self) -> Option<Commit> {
        let ids = self.by_height.iter().rev();
        ids.filter_map(|(_, id)| self.versions.get(id)?.commit_info())
            .next()
    }

    pub(super) fn add(&mut self, version: Arc<Version>) {
        self.by_height.insert((version.height, version.id));
        self.set_floor(version.id, Some(version.floor()));
        self.versions.insert(version.id, version);
    }

    fn remove(&mut self, id: VersionId) -> Option<Arc<Version>> {
        let version = self.versions.remove(&id)?;
        self.by_height.remove(&(version.height, id));
        self.set_floor(id, None);
        Some(version)
    }

    /// Versions above `height`, parents before children.
    fn versions_above(&self, height: u64) -> impl Iterator<Item = &Arc<Version>> {
        let above = self
            .by_height
            .range((height.saturating_add(1), VersionId([0; 32]))..);
        above.filter_map(|(_, id)| self.versions.get(id))
    }

    /// The parent of a version that may be added.
    pub(super) fn parent_of_new(
        &self,
        parent: VersionId,
        id: VersionId,
        height: u64,
    ) -> Result<Arc<Version>, InsertError> {
        let above = self
            .versions
            .get(&parent)
            .ok_or(InsertError::UnknownParent { id, parent })?;
        if above.height.checked_add(1) != Some(height) {
            let expected = above.height.saturating_add(1);
            return Err(InsertError::WrongHeight { id, height, expected });
        }
        if above.height < self.finalized.height {
            return Err(InsertError::AgainstFinality {
                id,
                parent,
                finalized: self.finalized.id,
            });
        }
        Ok(above.clone())
    }

    pub(super) fn finalize(&mut self, id: VersionId, retention: u64) -> Result<Removed, FinalizeError> {
        let target = self
            .versions
            .get(&id)
            .cloned()
            .ok_or(FinalizeError::UnknownVersion(id))?;
        let chain = self
            .chain_from_finalized(&target)
            .ok_or(FinalizeError::AgainstFinality {
                id,
                finalized: self.finalized.id,
            })?;
        let lost: Vec<VersionId> = {
            let mut kept = chain;
            let mut lost = Vec::new();
            for version in self.versions_above(self.finalized.height) {
                let descends = version.height > target.height
                    && version.parent.is_some_and(|parent| kept.contains(&parent));
                if kept.contains(&version.id) || descends {
                    kept.insert(version.id);
                } else {
                    lost.push(version.id);
                }
            }
            lost
        };
        let mut removed: Removed = lost.into_iter().filter_map(|lost| self.remove(lost)).collect();
        self.finalized = target;
        self.expire(retention, &mut removed);
        Ok(removed)
    }

    /// The versions from the finalized one to `target`, if one descends from the other.
    fn chain_from_finalized(&self, target: &Arc<Version>) -> Option<BTreeSet<VersionId>> {
        let mut chain = BTreeSet::from([target.id]);
        let mut version = target;
        while version.height > self.finalized.height {
            version = self.versions.get(&version.parent?)?;
            chain.insert(version.id);
        }
        (version.id == self.finalized.id).then_some(chain)
    }

    /// Removes what is below the retention window, oldest first. Below the finalized version there is one chain.
    fn expire(&mut self, retention: u64, removed: &mut Removed) {
        while let Some((height, oldest)) = self.by_height.first().copied() {
            if height.saturating_add(retention) > self.finalized.height {
                return;
            }
            let next = self
                .by_height
                .iter()
                .nth(1)
                .and_then(|(_, id)| self.versions.get(id));
            if next.is_none_or(|next| next.commit_info().is_none()) {
                return;
            }
            removed.extend(self.remove(oldest));
        }
    }

    pub(super) fn roll_back(&mut self, target: &Arc<Version>) -> Removed {
        let mut kept = BTreeSet::new();
        let mut next = Some(target);
        while let Some(version) = next {
            kept.insert(version.id);
            next = version.parent.and_then(|parent| self.versions.get(&parent));
        }
        let lost: Vec<VersionId> = self.versions.keys().copied().collect();
        self.finalized = Arc::clone(target);
        let lost = lost.into_iter().filter(|id| !kept.contains(id));
        lost.filter_map(|id| self.remove(id)).collect()
    }

    pub(super) fn discard(&mut self, id: VersionId) -> Result<Removed, DiscardError> {
        let target = self.versions.get(&id).ok_or(DiscardError::UnknownVersion(id))?;
        if target.height <= self.finalized.height {
            return Err(DiscardError::Final(id));
        }
        let mut lost = BTreeSet::from([id]);
        for version in self.versions_above(target.height) {
            if version.parent.is_some_and(|parent| lost.contains(&parent)) {
                lost.insert(version.id);
            }
        }
        Ok(lost.into_iter().filter_map(|lost| self.remove(lost)).collect())
    }
}
