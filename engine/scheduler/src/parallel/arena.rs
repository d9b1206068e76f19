//! Places that are added and never taken away while a batch runs, so that a number names one for as long as anyone looks.
//!
//! Numbers are given out a few at a time, so that workers do not all add to one counter with each place: whoever adds
//! keeps those that it does not need yet in its [`Lane`]. The places lie in a library's lock-free buckets; under loom in a
//! plain vector, since models are about what lies in the places.

use std::num::NonZeroU32;
use std::ops::Range;

#[cfg(not(loom))]
use in_buckets::Places;
#[cfg(loom)]
use under_loom::Places;

/// A place's number, from 1: 0 means "none" in the words that hold numbers.
pub(super) type Number = NonZeroU32;

/// Numbers that are given out at once.
const LANE: u32 = if cfg!(loom) { 4 } else { 64 };

/// Numbers that somebody was given and has not used.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Lane {
    next: u32,
    end: u32,
}

pub(super) struct Arena<T>(Places<T>);

impl<T> Arena<T> {
    pub(super) fn new() -> Self {
        Self(Places::new())
    }

    pub(super) fn push(&self, lane: &mut Lane, value: T) -> Number {
        if lane.next == lane.end {
            lane.next = self.0.reserve(LANE);
            lane.end = lane.next + LANE;
        }
        let index = lane.next;
        lane.next += 1;
        self.0.set(index, value);
        Number::new(index + 1).expect("an index and one more")
    }

    pub(super) fn get(&self, number: Number) -> &T {
        self.0
            .get(number.get() - 1)
            .expect("a number names what was pushed before")
    }

    /// What lies at these places, counted from 0 to below [`Self::len`].
    pub(super) fn iter_in(&self, places: Range<usize>) -> impl Iterator<Item = &T> {
        places.filter_map(|index| self.0.get(u32::try_from(index).ok()?))
    }

    /// Numbers that were given out.
    pub(super) fn len(&self) -> usize {
        self.0.reserved()
    }

    /// Takes everything away; lanes of before must not be used any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(not(loom))]
mod in_buckets {
    use std::cell::UnsafeCell;
    use std::mem::MaybeUninit;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use boxcar::buckets::{Buckets, Index, MaybeZeroable, buckets_for_index_bits};

    /// More would not fit the words that hold numbers.
    const INDEX_BITS: u32 = 30;
    const BUCKETS: usize = buckets_for_index_bits(INDEX_BITS);

    /// Set by whoever was given its number, once; all zeros until then, so that fresh memory needs no pass over it.
    struct Place<T> {
        is_set: AtomicBool,
        value: UnsafeCell<MaybeUninit<T>>,
    }

    // SAFETY: the value is written before `is_set` is stored with release, by the one who was given the number, and read
    // only after `is_set` was loaded with acquire; from then on it is shared by reference, hence `T: Send + Sync`.
    unsafe impl<T: Send + Sync> Sync for Place<T> {}

    impl<T> Default for Place<T> {
        fn default() -> Self {
            Self {
                is_set: AtomicBool::new(false),
                value: UnsafeCell::new(MaybeUninit::uninit()),
            }
        }
    }

    // SAFETY: zeros are a false `AtomicBool` and, like anything else, a `MaybeUninit`.
    unsafe impl<T> MaybeZeroable for Place<T> {
        fn zeroable() -> bool {
            true
        }
    }

    impl<T> Place<T> {
        /// # Safety
        /// Called once, by the one who was given the place.
        unsafe fn set(&self, value: T) {
            debug_assert!(!self.is_set.load(Ordering::Relaxed), "a number is used once");
            // SAFETY: nobody reads before the store below, and by the contract above nobody else writes.
            unsafe { (*self.value.get()).write(value) };
            self.is_set.store(true, Ordering::Release);
        }

        fn get(&self) -> Option<&T> {
            // SAFETY: once `is_set`, the value was written and is not written again while it is shared.
            self.is_set
                .load(Ordering::Acquire)
                .then(|| unsafe { (*self.value.get()).assume_init_ref() })
        }

        fn take(&mut self) {
            if std::mem::take(self.is_set.get_mut()) {
                // SAFETY: it was set, and is not any more.
                unsafe { self.value.get_mut().assume_init_drop() };
            }
        }
    }

    impl<T> Drop for Place<T> {
        fn drop(&mut self) {
            self.take();
        }
    }

    pub(super) struct Places<T> {
        buckets: Buckets<Place<T>, BUCKETS>,
        reserved: AtomicU32,
    }

    impl<T> Places<T> {
        pub(super) fn new() -> Self {
            Self {
                buckets: Buckets::new(),
                reserved: AtomicU32::new(0),
            }
        }

        pub(super) fn reserve(&self, count: u32) -> u32 {
            let first = self.reserved.fetch_add(count, Ordering::Relaxed);
            assert!(
                first < (1 << INDEX_BITS) - 2 * count,
                "a batch has fewer than 2^30 of anything"
            );
            first
        }

        /// Fills a place whose index the caller was given, and has not used.
        pub(super) fn set(&self, index: u32, value: T) {
            let index = at(index);
            // Asked first: the library makes room for the next bucket early, also where there is some already.
            let place = self.buckets.get(index);
            let place = place.unwrap_or_else(|| self.buckets.get_or_alloc(index));
            // SAFETY: the caller was given the index by `reserve`, which gives each out once, and uses it once.
            unsafe { place.set(value) };
        }

        pub(super) fn get(&self, index: u32) -> Option<&T> {
            self.buckets.get(at(index))?.get()
        }

        pub(super) fn reserved(&self) -> usize {
            self.reserved.load(Ordering::Relaxed) as usize
        }

        pub(super) fn clear(&mut self) {
            let reserved = self.reserved();
            for (_, place) in self.buckets.iter_mut().take(reserved) {
                place.take();
            }
            self.reserved = AtomicU32::new(0);
        }
    }

    fn at(index: u32) -> Index<BUCKETS> {
        Index::new(index as usize).expect("reserving keeps indices in bounds")
    }
}

#[cfg(loom)]
mod under_loom {
    use std::sync::{Mutex, PoisonError};

    /// Boxes that live as long as the vector.
    pub(super) struct Places<T>(Mutex<Vec<Option<Box<T>>>>);

    impl<T> Places<T> {
        pub(super) fn new() -> Self {
            Self(Mutex::new(Vec::new()))
        }

        pub(super) fn reserve(&self, count: u32) -> u32 {
            let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let first = places.len();
            places.resize_with(first + count as usize, || None);
            u32::try_from(first).expect("models are small")
        }

        pub(super) fn set(&self, index: u32, value: T) {
            let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            places[index as usize] = Some(Box::new(value));
        }

        pub(super) fn get(&self, index: u32) -> Option<&T> {
            let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let place: *const T = &raw const **places.get(index as usize)?.as_ref()?;
            // SAFETY: the box stays where it is until `clear` or the drop of the vector, which both take it whole.
            Some(unsafe { &*place })
        }

        pub(super) fn reserved(&self) -> usize {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
        }

        pub(super) fn clear(&mut self) {
            self.0.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}
