//! A list whose elements are read and written one by one.

use core::marker::PhantomData;

use super::{KeyBytes, get, get_or_zero};
use crate::encoding::Fixed;
use crate::host;

/// Values by index, from 0 on: the length lies under the name, elements under the name, `/` and the index.
pub struct Vector<T> {
    name: &'static [u8],
    element: PhantomData<fn() -> T>,
}

impl<T: Fixed> Vector<T> {
    /// The vector whose length is stored under `name`.
    #[must_use]
    pub const fn new(name: &'static [u8]) -> Self {
        Self {
            name,
            element: PhantomData,
        }
    }

    /// The storage key of an element.
    #[must_use]
    pub fn key(&self, index: u32) -> KeyBytes {
        let mut key = KeyBytes::new();
        key.append(self.name);
        key.append(b"/");
        key.append(&index.to_le_bytes());
        key
    }

    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        get_or_zero(self.name)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn set_len(&self, length: u32) {
        host::storage_set(self.name, &length.to_le_bytes());
    }

    /// The element at `index`; `None` from the length on. Does not read the length.
    #[must_use]
    pub fn get(&self, index: u32) -> Option<T> {
        get(self.key(index).as_slice())
    }

    /// Replaces the element at `index`.
    ///
    /// # Panics
    /// From the length on.
    pub fn set(&self, index: u32, value: T) {
        assert!(index < self.len(), "a vector has no such index");
        self.put(index, value);
    }

    fn put(&self, index: u32, value: T) {
        host::storage_set(self.key(index).as_slice(), value.to_bytes().as_ref());
    }

    /// Appends `value` and returns its index.
    ///
    /// # Panics
    /// If there are 2^32 - 1 elements.
    pub fn push(&self, value: T) -> u32 {
        let length = self.len();
        self.set_len(
            length
                .checked_add(1)
                .expect("a vector has less than 2^32 elements"),
        );
        self.put(length, value);
        length
    }

    /// Removes the last element.
    pub fn pop(&self) -> Option<T> {
        let last = self.len().checked_sub(1)?;
        Some(self.take_last(last))
    }

    fn take_last(&self, last: u32) -> T {
        let key = self.key(last);
        let value = get(key.as_slice()).expect("a vector has what it counts");
        host::storage_remove(key.as_slice());
        self.set_len(last);
        value
    }

    /// Removes the element at `index` and puts the last one in its place.
    ///
    /// # Panics
    /// From the length on.
    pub fn swap_remove(&self, index: u32) -> T {
        let length = self.len();
        assert!(index < length, "a vector has no such index");
        let last = self.take_last(length - 1);
        if index == length - 1 {
            return last;
        }
        let value = self.get(index).expect("a vector has what it counts");
        self.put(index, last);
        value
    }

    /// The elements in order, each read when it is asked for.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        (0..self.len()).map(|index| self.get(index).expect("a vector has what it counts"))
    }
}
