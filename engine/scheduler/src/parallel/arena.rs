//! Places that are added and never taken away while a batch runs, so that a number names one for as long as anyone looks.
//!
//! A library's lock-free vector; under loom a plain one, since models are about what lies in the places.

use std::num::NonZeroU32;

#[cfg(not(loom))]
use boxcar::Vec as Places;
#[cfg(loom)]
use under_loom::Places;

/// A place's number, from 1: 0 means "none" in the words that hold numbers.
pub(super) type Number = NonZeroU32;

pub(super) struct Arena<T>(Places<T>);

impl<T> Arena<T> {
    pub(super) fn new() -> Self {
        Self(Places::new())
    }

    pub(super) fn push(&self, value: T) -> Number {
        let number = u32::try_from(self.0.push(value) + 1).ok();
        number
            .and_then(Number::new)
            .expect("a batch has fewer than 2^32 of anything")
    }

    pub(super) fn get(&self, number: Number) -> &T {
        self.0
            .get(number.get() as usize - 1)
            .expect("a number names what was pushed before")
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(super) fn len(&self) -> usize {
        self.0.count()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(loom)]
mod under_loom {
    use std::sync::{Mutex, PoisonError};

    /// Boxes that live as long as the vector.
    pub(super) struct Places<T>(Mutex<Vec<Box<T>>>);

    impl<T> Places<T> {
        pub(super) fn new() -> Self {
            Self(Mutex::new(Vec::new()))
        }

        pub(super) fn push(&self, value: T) -> usize {
            let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            places.push(Box::new(value));
            places.len() - 1
        }

        pub(super) fn get(&self, index: usize) -> Option<&T> {
            let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let place: *const T = &raw const **places.get(index)?;
            // SAFETY: the box stays where it is until `clear` or the drop of the vector, which both take it whole.
            Some(unsafe { &*place })
        }

        pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
            (0..self.count()).map(|index| (index, self.get(index).expect("below the count")))
        }

        pub(super) fn count(&self) -> usize {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
        }

        pub(super) fn clear(&mut self) {
            self.0.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}
