//! Multi-version memory: for each key what each transaction of the batch wrote there.
//!
//! ```text
//!   buckets ──▶ Location { key, base, newest } ──▶ Version of 9 ──▶ Version of 5 ──▶ Version of 2 ──▶ base
//!                                                   │ data           │ estimate       │ delta
//! ```
//!
//! A transaction reads the newest version below its own place. Locations and versions are added and stay until the
//! batch ends; what changes is the one word of a version that names its datum. Data are never changed and never used
//! twice, so "the same number" means "the same value", and nobody has to wait for a reader before replacing one.
//!
//! A *delta* says how a value changes, whatever it is. Reading resolves deltas down to a whole value; when a
//! transaction commits, its deltas are replaced by the whole values that they came to.
//!
//! An *estimate* is the datum of an attempt that turned out stale: likely the transaction writes there again, so a
//! reader above does better to wait for it.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use super::arena::{Arena, Lane, Number};
use super::{Key, Value};
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

/// Transactions whose reads of one location are told apart, and so the most that run ahead of the commit gate.
pub(super) const WINDOW: u32 = 128;

/// In a version's word beside its datum's number: the attempt that wrote it is stale.
const ESTIMATE: u32 = 1 << 31;

/// Numbers of places that a transaction was given and has not used.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Lanes {
    locations: Lane,
    versions: Lane,
    data: Lane,
}

/// What a transaction writes under a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write<V: Value> {
    /// A value, whatever was there.
    Whole(V),
    /// A change to whatever is there.
    Delta(V::Delta),
}

struct Location<K, V> {
    key: K,
    /// The next location of the bucket.
    next: AtomicU32,
    /// Datum of the value before the batch, once somebody needed it.
    base: AtomicU32,
    /// The version of the highest transaction.
    newest: AtomicU32,
    /// Which transactions, by their place modulo [`WINDOW`], read here after it was first written. A hint: bits are never
    /// taken back.
    readers: [AtomicU64; (WINDOW / 64) as usize],
    _value: std::marker::PhantomData<V>,
}

struct Version {
    transaction: u32,
    /// The version of the next lower transaction.
    older: AtomicU32,
    /// The datum's number, or 0 when the newest attempt wrote nothing here; with [`ESTIMATE`] or without.
    datum: AtomicU32,
}

/// Names a location.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct LocationId(Number);

/// Names a version.
#[derive(Clone, Copy, Debug)]
pub(super) struct VersionId(Number);

/// What exactly a transaction saw.
#[derive(Clone, Debug)]
pub(super) enum Seen<V: Value> {
    /// This datum.
    Datum(Number),
    /// A value that deltas came to.
    Value(V),
    /// A value of which only this matters.
    Holds(V::Predicate),
}

/// The answer to a read.
pub(super) enum Found<V: Value> {
    Value(V, Seen<V>),
    /// A stale attempt of this transaction wrote here.
    Estimate(u32),
}

/// Transactions that may have to look at their reads again, as places modulo [`WINDOW`].
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Readers([u64; (WINDOW / 64) as usize]);

impl Readers {
    pub(super) fn is_empty(self) -> bool {
        self.0 == [0; 2]
    }

    pub(super) fn contains(self, transaction: u32) -> bool {
        let place = transaction % WINDOW;
        self.0[(place / 64) as usize] >> (place % 64) & 1 != 0
    }
}

/// See the module's documentation.
pub(super) struct Memory<K, V: Value> {
    buckets: Box<[AtomicU32]>,
    /// What keys are multiplied with, so that nobody can choose keys that share a bucket. Which bucket a key lies in is
    /// never observed.
    seed: u64,
    locations: Arena<Location<K, V>>,
    versions: Arena<Version>,
    data: Arena<Write<V>>,
}

impl<K: Key, V: Value> Memory<K, V> {
    /// A memory that is quick with up to `locations` keys.
    pub(super) fn new(locations: usize) -> Self {
        let buckets = locations.next_power_of_two().max(2);
        Self {
            buckets: (0..buckets).map(|_| AtomicU32::new(0)).collect(),
            seed: seed() | 1,
            locations: Arena::new(),
            versions: Arena::new(),
            data: Arena::new(),
        }
    }

    /// Forgets everything, and is quick with up to `locations` keys from now on.
    pub(super) fn renew(&mut self, locations: usize) {
        if self.buckets.len() < locations {
            *self = Self::new(locations);
            return;
        }
        for bucket in &self.buckets {
            bucket.store(0, Ordering::Relaxed);
        }
        self.locations.clear();
        self.versions.clear();
        self.data.clear();
    }

    /// The location of a key; added if it is new.
    pub(super) fn locate(&self, lanes: &mut Lanes, key: &K) -> LocationId {
        let bits = self.buckets.len().trailing_zeros();
        let bucket = key.spread().wrapping_mul(self.seed) >> (64 - bits);
        let head = &self.buckets[usize::try_from(bucket).expect("fewer buckets than addresses")];
        let mut seen = head.load(Ordering::Acquire);
        if let Some(found) = self.find(key, seen, 0) {
            return found;
        }
        let location = Location {
            key: *key,
            next: AtomicU32::new(seen),
            base: AtomicU32::new(0),
            newest: AtomicU32::new(0),
            readers: std::array::from_fn(|_| AtomicU64::new(0)),
            _value: std::marker::PhantomData,
        };
        let added = self.locations.push(&mut lanes.locations, location);
        loop {
            match head.compare_exchange(seen, added.get(), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return LocationId(added),
                Err(now) => {
                    // Only what came since can be the key. If it is, the place added here stays unused: it has no version.
                    if let Some(found) = self.find(key, now, seen) {
                        return found;
                    }
                    seen = now;
                    self.locations.get(added).next.store(seen, Ordering::Relaxed);
                }
            }
        }
    }

    /// Looks for a key from the location numbered `from` on, up to `end`.
    fn find(&self, key: &K, from: u32, end: u32) -> Option<LocationId> {
        let mut at = from;
        while at != end {
            let number = Number::new(at)?;
            let location = self.locations.get(number);
            if location.key == *key {
                return Some(LocationId(number));
            }
            at = location.next.load(Ordering::Acquire);
        }
        None
    }

    /// The value before the batch, once somebody has set it.
    pub(super) fn base(&self, location: LocationId) -> Option<Number> {
        Number::new(self.locations.get(location.0).base.load(Ordering::Acquire))
    }

    /// Sets the value before the batch.
    pub(super) fn set_base(&self, lanes: &mut Lanes, location: LocationId, value: V) -> Number {
        let location = self.locations.get(location.0);
        let loaded = self.data.push(&mut lanes.data, Write::Whole(value));
        let set = location
            .base
            .compare_exchange(0, loaded.get(), Ordering::AcqRel, Ordering::Acquire);
        // Whoever came first has read the same state.
        set.err().and_then(Number::new).unwrap_or(loaded)
    }

    /// What `transaction` reads. `base` is the location's, loaded.
    pub(super) fn read(&self, location: LocationId, base: Number, transaction: u32) -> Found<V> {
        let (_, found) = self.below(location, transaction);
        let Some((version, word)) = found else {
            return Found::Value(self.whole(base).clone(), Seen::Datum(base));
        };
        if word & ESTIMATE != 0 {
            return Found::Estimate(version.transaction);
        }
        let datum = number(word);
        match self.data.get(datum) {
            Write::Whole(value) => Found::Value(value.clone(), Seen::Datum(datum)),
            Write::Delta(delta) => match self.resolve(version, base, true) {
                Ok(below) => {
                    let value = below.with(delta);
                    Found::Value(value.clone(), Seen::Value(value))
                }
                Err(estimate) => Found::Estimate(estimate),
            },
        }
    }

    /// A guess at what `transaction` would read, estimates taken for good.
    pub(super) fn guess(&self, location: LocationId, base: Number, transaction: u32) -> V {
        match self.below(location, transaction).1 {
            None => self.whole(base).clone(),
            Some((version, word)) => match self.data.get(number(word)) {
                Write::Whole(value) => value.clone(),
                Write::Delta(delta) => self
                    .resolve(version, base, false)
                    .unwrap_or_else(|_| self.whole(base).clone())
                    .with(delta),
            },
        }
    }

    /// Whether a read would see the same now.
    pub(super) fn check(&self, location: LocationId, transaction: u32, seen: &Seen<V>) -> bool {
        match seen {
            Seen::Datum(datum) => match self.below(location, transaction).1 {
                None => self.locations.get(location.0).base.load(Ordering::Acquire) == datum.get(),
                Some((_, word)) => word == datum.get(),
            },
            Seen::Value(value) => self
                .current(location, transaction)
                .is_some_and(|now| now == *value),
            Seen::Holds(predicate) => self
                .current(location, transaction)
                .is_some_and(|now| now.holds(predicate)),
        }
    }

    /// What a transaction sees now; `None` where an estimate lies or nobody has loaded the base.
    fn current(&self, location: LocationId, transaction: u32) -> Option<V> {
        let base = Number::new(self.locations.get(location.0).base.load(Ordering::Acquire));
        match self.below(location, transaction).1 {
            None => Some(self.whole(base?).clone()),
            Some((_, word)) if word & ESTIMATE != 0 => None,
            Some((version, word)) => match self.data.get(number(word)) {
                Write::Whole(value) => Some(value.clone()),
                Write::Delta(delta) => Some(self.resolve(version, base?, true).ok()?.with(delta)),
            },
        }
    }

    /// Notes that `transaction` reads here, so that who writes below it tells it. Before the read. Where nothing was
    /// written yet nothing is noted: much is read by everyone and written by nobody, and the commit gate looks at every read
    /// in any case.
    pub(super) fn note_reader(&self, location: LocationId, transaction: u32) {
        let location = self.locations.get(location.0);
        if location.newest.load(Ordering::Acquire) == 0 {
            return;
        }
        let place = transaction % WINDOW;
        let bit = 1 << (place % 64);
        let word = &location.readers[(place / 64) as usize];
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::SeqCst);
        }
    }

    /// Who may have read where something has changed. After the writes.
    pub(super) fn readers(&self, changed: impl Iterator<Item = LocationId>) -> Readers {
        // With the exchange in `note_reader`: either the reader saw the write or this sees the reader.
        fence(Ordering::SeqCst);
        let mut readers = Readers::default();
        for location in changed {
            let location = self.locations.get(location.0);
            for (all, word) in readers.0.iter_mut().zip(&location.readers) {
                *all |= word.load(Ordering::SeqCst);
            }
        }
        readers
    }

    /// Publishes a write. `known` is the transaction's version here, if an earlier attempt left one. Says whether readers
    /// may see something else than before.
    pub(super) fn publish(
        &self,
        lanes: &mut Lanes,
        location: LocationId,
        transaction: u32,
        known: Option<VersionId>,
        write: Write<V>,
    ) -> (VersionId, bool) {
        let Some(VersionId(known)) = known else {
            let datum = self.data.push(&mut lanes.data, write);
            return (self.insert(lanes, location, transaction, datum), true);
        };
        let version = self.versions.get(known);
        let before = version.datum.load(Ordering::Acquire);
        if let Some(before) = Number::new(before & !ESTIMATE)
            && *self.data.get(before) == write
        {
            // The same again: whoever read it, or was about to wait for it, can go on.
            version.datum.store(before.get(), Ordering::Release);
            return (VersionId(known), false);
        }
        let datum = self.data.push(&mut lanes.data, write);
        version.datum.store(datum.get(), Ordering::Release);
        (VersionId(known), true)
    }

    fn insert(&self, lanes: &mut Lanes, location: LocationId, transaction: u32, datum: Number) -> VersionId {
        let newest = &self.locations.get(location.0).newest;
        let version = Version {
            transaction,
            older: AtomicU32::new(0),
            datum: AtomicU32::new(datum.get()),
        };
        let added = self.versions.push(&mut lanes.versions, version);
        loop {
            let mut link = newest;
            let mut at = link.load(Ordering::Acquire);
            while let Some(number) = Number::new(at) {
                let version = self.versions.get(number);
                debug_assert_ne!(version.transaction, transaction, "one version a transaction");
                if version.transaction < transaction {
                    break;
                }
                link = &version.older;
                at = link.load(Ordering::Acquire);
            }
            self.versions.get(added).older.store(at, Ordering::Relaxed);
            if link
                .compare_exchange(at, added.get(), Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
            {
                return VersionId(added);
            }
        }
    }

    /// Takes back what an earlier attempt wrote and this one does not.
    pub(super) fn withdraw(&self, VersionId(version): VersionId) {
        self.versions.get(version).datum.store(0, Ordering::SeqCst);
    }

    /// Marks what a stale attempt wrote.
    pub(super) fn mark_estimate(&self, VersionId(version): VersionId) {
        let version = self.versions.get(version);
        let word = version.datum.load(Ordering::Acquire);
        if word != 0 {
            version.datum.store(word | ESTIMATE, Ordering::Release);
        }
    }

    /// Replaces a delta by the value that it comes to, now that everything below is committed.
    pub(super) fn settle(&self, lanes: &mut Lanes, location: LocationId, VersionId(version): VersionId) {
        let version = self.versions.get(version);
        let Some(datum) = Number::new(version.datum.load(Ordering::Acquire)) else {
            return;
        };
        if let Write::Delta(delta) = self.data.get(datum) {
            let base = Number::new(self.locations.get(location.0).base.load(Ordering::Acquire))
                .expect("the base is loaded before a delta is published");
            let below = self
                .resolve(version, base, false)
                .unwrap_or_else(|_| self.whole(base).clone());
            let whole = self.data.push(&mut lanes.data, Write::Whole(below.with(delta)));
            version.datum.store(whole.get(), Ordering::Release);
        }
    }

    /// Every key that was written, with the value that the last transaction left, of the locations with these numbers from 0
    /// to below [`Self::locations`]. Once all are committed.
    pub(super) fn written_in(&self, numbers: Range<usize>) -> impl Iterator<Item = (&K, &V)> {
        self.locations.iter_in(numbers).filter_map(|location| {
            let (_, word) = self.first(&location.newest, u32::MAX)?;
            match self.data.get(number(word)) {
                Write::Whole(value) => Some((&location.key, value)),
                Write::Delta(_) => unreachable!("a committed delta is a whole value"),
            }
        })
    }

    /// Keys that were met, or a little more.
    pub(super) fn locations(&self) -> usize {
        self.locations.len()
    }

    /// The location and the newest version below `transaction` that has a datum.
    fn below(&self, location: LocationId, transaction: u32) -> (&Location<K, V>, Option<(&Version, u32)>) {
        let location = self.locations.get(location.0);
        (location, self.first(&location.newest, transaction))
    }

    fn first(&self, link: &AtomicU32, transaction: u32) -> Option<(&Version, u32)> {
        let mut at = link.load(Ordering::SeqCst);
        loop {
            let version = self.versions.get(Number::new(at)?);
            if version.transaction < transaction {
                let word = version.datum.load(Ordering::Acquire);
                if word != 0 {
                    return Some((version, word));
                }
            }
            at = version.older.load(Ordering::Acquire);
        }
    }

    /// The value below a version; the transaction of the first estimate on the way, if `strict`.
    fn resolve(&self, version: &Version, base: Number, strict: bool) -> Result<V, u32> {
        let Some((below, word)) = self.first(&version.older, version.transaction) else {
            return Ok(self.whole(base).clone());
        };
        if strict && word & ESTIMATE != 0 {
            return Err(below.transaction);
        }
        match self.data.get(number(word)) {
            Write::Whole(value) => Ok(value.clone()),
            // As deep as deltas are uncommitted: at most the window.
            Write::Delta(delta) => Ok(self.resolve(below, base, strict)?.with(delta)),
        }
    }

    fn whole(&self, base: Number) -> &V {
        match self.data.get(base) {
            Write::Whole(value) => value,
            Write::Delta(_) => unreachable!("a base is a whole value"),
        }
    }
}

/// Chance, but for models and exploration, which have to run the same way each time.
fn seed() -> u64 {
    if cfg!(any(loom, shuttle)) {
        0
    } else {
        RandomState::new().hash_one(0)
    }
}

/// The datum of a word that has one.
fn number(word: u32) -> Number {
    Number::new(word & !ESTIMATE).expect("a version without datum is passed over")
}
