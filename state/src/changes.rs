//! What one version writes, sorted by path.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_proof::Path;

/// A stored value. Sharing one costs no copy.
pub type Value = Arc<[u8]>;

/// One write: the new value, or `None` to remove.
pub(crate) type Entry = (Path, Option<Value>);

/// An immutable set of writes, sorted by path, at most one for each path.
///
/// Lookups take constant time for paths that are spread like hashes, logarithmic time for any others.
#[derive(Clone, Default)]
pub struct Changes {
    entries: Vec<Entry>,
    /// `buckets[i]` is the first entry whose path's leading bits are i or more; one bucket for each entry or two.
    buckets: Vec<u32>,
}

impl Changes {
    /// The number of writes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The write to `path`: `None` if there is none, `Some(None)` if it is removed.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<Option<&Value>> {
        let bucket = self.bucket_of(path);
        let (from, to) = (
            *self.buckets.get(bucket)? as usize,
            *self.buckets.get(bucket + 1)? as usize,
        );
        let candidates = self.entries.get(from..to)?;
        let found = candidates.binary_search_by(|(entry, _)| entry.cmp(path)).ok()?;
        Some(candidates[found].1.as_ref())
    }

    /// All writes, by ascending path.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Path, Option<&Value>)> {
        self.entries.iter().map(|(path, value)| (path, value.as_ref()))
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn from_sorted(entries: Vec<Entry>) -> Self {
        debug_assert!(
            entries.is_sorted_by(|a, b| a.0 < b.0),
            "paths are distinct and ascend"
        );
        if entries.is_empty() {
            return Self::default();
        }
        let mut changes = Self {
            buckets: vec![0; entries.len().next_power_of_two() + 1],
            entries,
        };
        for index in 0..changes.entries.len() {
            let bucket = changes.bucket_of(&changes.entries[index].0);
            changes.buckets[bucket + 1] =
                u32::try_from(index + 1).expect("fewer than 2^32 writes fit in memory");
        }
        for bucket in 1..changes.buckets.len() {
            changes.buckets[bucket] = changes.buckets[bucket].max(changes.buckets[bucket - 1]);
        }
        changes
    }

    fn bucket_of(&self, path: &Path) -> usize {
        let bits = (self.buckets.len().max(2) - 1).ilog2();
        let leading = u32::from_be_bytes([path[0], path[1], path[2], path[3]]);
        leading.checked_shr(32 - bits).unwrap_or(0) as usize
    }
}

/// Equal writes to equal paths.
impl PartialEq for Changes {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Eq for Changes {}

/// Of several writes to one path, the last counts.
impl FromIterator<(Path, Option<Value>)> for Changes {
    fn from_iter<I: IntoIterator<Item = (Path, Option<Value>)>>(writes: I) -> Self {
        let mut entries: Vec<Entry> = writes.into_iter().collect();
        entries.sort_by_key(|entry| entry.0);
        entries.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        Self::from_sorted(entries)
    }
}

impl From<BTreeMap<Path, Option<Value>>> for Changes {
    fn from(writes: BTreeMap<Path, Option<Value>>) -> Self {
        Self::from_sorted(writes.into_iter().collect())
    }
}

/// Paths and lengths only: values may be large.
impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lengths = self
            .iter()
            .map(|(path, value)| (crate::version::hex(path), value.map(|value| value.len())));
        f.debug_map().entries(lengths).finish()
    }
}
