//! The writes of several versions as one set, without copying them.
//!
//! Merging layers happens while somebody inserts a version, so it has to be quick: what is merged are places, 16 bytes each
//! that lie in order, and not the writes, whose values are counted one by one wherever they lie. And no version's insertion
//! does all of it ([`Merge`]).

use std::cmp::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

use millrace_proof::Path;

use crate::changes::{Changes, Entry, Value};

/// Where a write is.
#[derive(Clone, Copy)]
struct Place {
    /// The path's first bits: enough to tell most paths apart.
    leading: u64,
    /// Which of the parts, and which of its writes.
    part: u32,
    at: u32,
}

/// Writes of one version, or of several; of those to one path the newest.
pub(super) struct Index {
    /// Oldest first.
    parts: Vec<Arc<Changes>>,
    /// By ascending path.
    places: Vec<Place>,
    /// `buckets[i]` is the first place whose path's leading bits are i or more; one bucket for each place or two.
    buckets: Vec<u32>,
}

fn leading(path: &Path) -> u64 {
    u64::from_be_bytes(std::array::from_fn(|i| path[i]))
}

/// An index that is being made of some sets of writes, a step at a time.
struct Builder {
    /// Oldest first, each with the number of its first part.
    sets: Vec<(Arc<Index>, u32)>,
    /// What of each set comes next.
    next: Vec<usize>,
    /// How many places there can be.
    most: usize,
    index: Index,
    /// Buckets up to this one begin where they say.
    bucket: usize,
}

impl Builder {
    fn new(sets: &[Arc<Index>]) -> Self {
        let mut parts = Vec::with_capacity(sets.iter().map(|set| set.parts.len()).sum());
        let mut numbered = Vec::with_capacity(sets.len());
        for set in sets {
            numbered.push((Arc::clone(set), parts.len() as u32));
            parts.extend(set.parts.iter().cloned());
        }
        let most = sets.iter().map(|set| set.places.len()).sum::<usize>();
        Self {
            next: vec![0; numbered.len()],
            sets: numbered,
            most,
            index: Index {
                parts,
                places: Vec::with_capacity(most),
                buckets: vec![0; most.next_power_of_two() + 1],
            },
            bucket: 0,
        }
    }

    /// Takes in up to so many writes. Whether these were the last.
    fn advance(&mut self, count: usize) -> bool {
        let mut heads: Vec<Option<Place>> = (0..self.sets.len()).map(|set| self.head(set)).collect();
        for _ in 0..count {
            // The least, of equal ones the newest.
            let mut least: Option<(usize, Place)> = None;
            for (set, head) in heads.iter().enumerate() {
                let Some(head) = head else { continue };
                let is_less = least.is_none_or(|(_, least)| self.index.compare(head, &least).is_le());
                if is_less {
                    least = Some((set, *head));
                }
            }
            let Some((set, place)) = least else {
                self.index.finish(self.bucket);
                return true;
            };
            self.next[set] += 1;
            heads[set] = self.head(set);
            let last = self.index.places.last();
            if last.is_none_or(|last| self.index.compare(last, &place).is_ne()) {
                self.index.push(place, &mut self.bucket);
            }
        }
        false
    }

    fn head(&self, set: usize) -> Option<Place> {
        let (index, first) = &self.sets[set];
        index.places.get(self.next[set]).map(|place| Place {
            part: place.part + first,
            ..*place
        })
    }
}

/// A merge of sets of writes that goes on while versions are inserted, so that none of them waits for all of it.
pub(super) struct Merge {
    /// Writes that each step takes in.
    step: usize,
    /// `None` once it is done.
    builder: Mutex<Option<Builder>>,
    merged: OnceLock<Arc<Index>>,
}

impl Merge {
    /// Of `sets`, the oldest first, in about so many steps.
    pub(super) fn new(sets: &[Arc<Index>], steps: usize) -> Self {
        let builder = Builder::new(sets);
        Self {
            step: builder.most / steps.max(1) + 1,
            builder: Mutex::new(Some(builder)),
            merged: OnceLock::new(),
        }
    }

    /// Goes a step further, unless somebody else does, or it is done. Gives the merged writes once they are there.
    pub(super) fn advance(&self) -> Option<Arc<Index>> {
        if self.merged.get().is_none()
            && let Ok(mut builder) = self.builder.try_lock()
            && builder.as_mut().is_some_and(|builder| builder.advance(self.step))
            && let Some(Builder { index, .. }) = builder.take()
        {
            self.merged.get_or_init(|| Arc::new(index));
        }
        self.merged.get().cloned()
    }
}

impl Index {
    /// Those of one version.
    pub(super) fn new(changes: Arc<Changes>) -> Arc<Self> {
        let mut index = Self {
            places: Vec::with_capacity(changes.len()),
            buckets: vec![0; changes.len().next_power_of_two() + 1],
            parts: vec![Arc::clone(&changes)],
        };
        let mut bucket = 0;
        for (at, (path, _)) in (0..).zip(changes.entries()) {
            let leading = leading(path);
            let place = Place { leading, part: 0, at };
            index.push(place, &mut bucket);
        }
        index.finish(bucket);
        Arc::new(index)
    }

    /// The writes of `sets`, the oldest first, as one.
    pub(super) fn merged(sets: &[Arc<Self>]) -> Self {
        let mut builder = Builder::new(sets);
        builder.advance(usize::MAX);
        builder.index
    }

    /// Adds a place behind all others. `bucket` is the last that was begun.
    fn push(&mut self, place: Place, bucket: &mut usize) {
        let own = self.bucket_of(place.leading);
        // Those in between have nothing.
        while *bucket < own {
            *bucket += 1;
            self.buckets[*bucket] = self.places.len() as u32;
        }
        self.places.push(place);
    }

    /// Ends the buckets behind the last that was begun.
    fn finish(&mut self, bucket: usize) {
        self.buckets[bucket + 1..].fill(self.places.len() as u32);
    }

    /// By path. Nearly all that agree in their first bits are of one path.
    fn compare(&self, a: &Place, b: &Place) -> Ordering {
        let order = a.leading.cmp(&b.leading);
        order.then_with(|| entry(&self.parts, a).0.cmp(&entry(&self.parts, b).0))
    }

    fn bucket_of(&self, leading: u64) -> usize {
        let bits = (self.buckets.len().max(2) - 1).ilog2();
        leading.checked_shr(64 - bits).unwrap_or(0) as usize
    }

    /// What was written to a path, if anything was.
    pub(super) fn get(&self, path: &Path) -> Option<Option<&Value>> {
        let wanted = leading(path);
        let bucket = self.bucket_of(wanted);
        let (from, to) = (
            *self.buckets.get(bucket)? as usize,
            *self.buckets.get(bucket + 1)? as usize,
        );
        let candidates = self.places.get(from..to)?;
        let found = candidates.binary_search_by(|place| {
            let order = place.leading.cmp(&wanted);
            order.then_with(|| entry(&self.parts, place).0.cmp(path))
        });
        Some(entry(&self.parts, &candidates[found.ok()?]).1.as_ref())
    }

    /// A copy of the writes.
    pub(super) fn flattened(&self) -> Arc<Changes> {
        let entries = self.places.iter().map(|place| entry(&self.parts, place));
        Arc::new(entries.cloned().collect())
    }
}

fn entry<'p>(parts: &'p [Arc<Changes>], place: &Place) -> &'p Entry {
    &parts[place.part as usize].entries()[place.at as usize]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Paths of which many agree in their first bits, up to all of them but one.
    fn path() -> impl Strategy<Value = Path> {
        (any::<u8>(), 0_usize..32, 0_u8..3).prop_map(|(first, at, byte)| {
            let mut path = [0; 32];
            path[0] = first & 0xc1;
            path[at] ^= byte;
            path
        })
    }

    fn set() -> impl Strategy<Value = BTreeMap<Path, Option<u8>>> {
        proptest::collection::btree_map(path(), any::<Option<u8>>(), 0..40)
    }

    fn changes(set: &BTreeMap<Path, Option<u8>>) -> Changes {
        set.iter()
            .map(|(path, value)| (*path, value.map(|value| [value].as_slice().into())))
            .collect()
    }

    proptest! {
        #[test]
        fn merged_writes_are_those_of_the_sets_one_after_the_other(
            sets in proptest::collection::vec(set(), 2..9),
            split in 0_usize..9,
            steps in 1_usize..40,
            absent in proptest::collection::vec(path(), 20),
        ) {
            let expected: BTreeMap<Path, Option<u8>> = sets.iter().flatten().map(|(path, value)| (*path, *value)).collect();
            let ones: Vec<Arc<Index>> = sets.iter().map(|set| Index::new(Arc::new(changes(set)))).collect();
            // Merged at once, and part by part.
            let split = split.clamp(1, ones.len());
            let (first, rest) = ones.split_at(split);
            let parts = [&[Arc::new(Index::merged(first))], rest].concat();
            let merge = Merge::new(&parts, steps);
            let slowly = (0..=steps).find_map(|_| merge.advance());
            prop_assert!(slowly.is_some());
            for merged in [Index::merged(&ones), Index::merged(&parts)].into_iter().map(Arc::new).chain(slowly) {
                prop_assert_eq!(&*merged.flattened(), &changes(&expected));
                for path in sets.iter().flat_map(BTreeMap::keys).chain(&absent) {
                    let value = merged.get(path).map(|value| value.map(|value| value[0]));
                    prop_assert_eq!(value, expected.get(path).copied());
                }
            }
        }
    }
}
