//! Typed places in a contract's storage.
//!
//! Keys are bytes. An [`Item`] or [`Blob`] lies under its name, an entry of a [`Map`] under the map's prefix
//! followed by the encoded key (parts of a tuple one after the other); values are encoded by
//! [`encoding`](crate::encoding). Light clients prove a value by the same key, so the layout is part of a
//! contract's interface. Places stay apart if prefixes end with `/`, names contain none, and no two are equal.

use alloc::vec::Vec;
use core::marker::PhantomData;

use crate::encoding::Fixed;
use crate::host;

/// The longest key of a [`Map`] entry, prefix included, in bytes.
pub const MAX_MAP_KEY_BYTES: usize = 128;

fn get<T: Fixed>(key: &[u8]) -> Option<T> {
    let mut bytes = T::ZERO;
    let length = host::storage_get(key, bytes.as_mut())?;
    assert!(
        length == bytes.as_ref().len(),
        "a stored value has another length than its type"
    );
    Some(T::from_bytes(bytes).expect("a stored value is one of its type"))
}

/// Reads an absent value as zeros, at the same cost as a present one.
fn get_or_zero<T: Fixed>(key: &[u8]) -> T {
    let mut bytes = T::ZERO;
    host::storage_get(key, bytes.as_mut());
    T::from_bytes(bytes).expect("a stored value is one of its type")
}

/// One value.
pub struct Item<T> {
    name: &'static [u8],
    value: PhantomData<fn() -> T>,
}

impl<T: Fixed> Item<T> {
    /// The value stored under the key `name`.
    #[must_use]
    pub const fn new(name: &'static [u8]) -> Self {
        Self {
            name,
            value: PhantomData,
        }
    }

    /// The value, if it was ever set.
    #[must_use]
    pub fn get(&self) -> Option<T> {
        get(self.name)
    }

    /// The value, or the one that zero bytes encode.
    #[must_use]
    pub fn get_or_zero(&self) -> T {
        get_or_zero(self.name)
    }

    /// Sets the value.
    pub fn set(&self, value: T) {
        host::storage_set(self.name, value.to_bytes().as_ref());
    }

    /// Removes the value.
    pub fn remove(&self) {
        host::storage_remove(self.name);
    }
}

/// A number that is added to more often than it is read: transactions that only add run beside each other.
///
/// It lies under its name as an [`Item<u128>`](Item) does. Needs gas version 2.
pub struct Counter {
    name: &'static [u8],
}

impl Counter {
    /// The counter stored under the key `name`.
    #[must_use]
    pub const fn new(name: &'static [u8]) -> Self {
        Self { name }
    }

    /// Adds to it. Traps when the sum is 2^128 or more.
    pub fn add(&self, amount: u128) {
        host::counter_add(self.name, amount);
    }

    /// What was added so far. Whoever reads it waits for those that add to it.
    #[must_use]
    pub fn get(&self) -> u128 {
        get_or_zero(self.name)
    }
}

/// One byte string of any length.
pub struct Blob {
    name: &'static [u8],
}

impl Blob {
    /// The bytes stored under the key `name`, as they are.
    #[must_use]
    pub const fn new(name: &'static [u8]) -> Self {
        Self { name }
    }

    /// The bytes, if they were ever set.
    #[must_use]
    pub fn get(&self) -> Option<Vec<u8>> {
        let length = host::storage_get(self.name, &mut [])?;
        let mut bytes = alloc::vec![0; length];
        host::storage_get(self.name, &mut bytes);
        Some(bytes)
    }

    /// Sets the bytes.
    pub fn set(&self, bytes: &[u8]) {
        host::storage_set(self.name, bytes);
    }

    /// Removes the bytes.
    pub fn remove(&self) {
        host::storage_remove(self.name);
    }
}

/// A key of a [`Map`]: a fixed-size value, or two of them.
pub trait MapKey {
    /// Appends the key's encoding.
    fn append_to(&self, key: &mut KeyBytes);
}

impl<K: Fixed> MapKey for K {
    fn append_to(&self, key: &mut KeyBytes) {
        key.append(self.to_bytes().as_ref());
    }
}

impl<A: Fixed, B: Fixed> MapKey for (A, B) {
    fn append_to(&self, key: &mut KeyBytes) {
        key.append(self.0.to_bytes().as_ref());
        key.append(self.1.to_bytes().as_ref());
    }
}

/// A key under construction.
pub struct KeyBytes {
    bytes: [u8; MAX_MAP_KEY_BYTES],
    length: usize,
}

impl KeyBytes {
    /// Appends `part`.
    ///
    /// # Panics
    /// If the key gets longer than [`MAX_MAP_KEY_BYTES`].
    pub fn append(&mut self, part: &[u8]) {
        let end = self.length + part.len();
        self.bytes[self.length..end].copy_from_slice(part);
        self.length = end;
    }

    /// The key so far.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A value for each key.
pub struct Map<K, V> {
    prefix: &'static [u8],
    entry: PhantomData<fn(K) -> V>,
}

impl<K: MapKey, V: Fixed> Map<K, V> {
    /// The entries whose keys start with `prefix`.
    #[must_use]
    pub const fn new(prefix: &'static [u8]) -> Self {
        Self {
            prefix,
            entry: PhantomData,
        }
    }

    /// The storage key of an entry.
    #[must_use]
    pub fn key(&self, key: &K) -> KeyBytes {
        let mut bytes = KeyBytes {
            bytes: [0; MAX_MAP_KEY_BYTES],
            length: 0,
        };
        bytes.append(self.prefix);
        key.append_to(&mut bytes);
        bytes
    }

    /// The entry's value, if it was ever set.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<V> {
        get(self.key(key).as_slice())
    }

    /// The entry's value, or the one that zero bytes encode.
    #[must_use]
    pub fn get_or_zero(&self, key: &K) -> V {
        get_or_zero(self.key(key).as_slice())
    }

    /// Sets the entry.
    pub fn set(&self, key: &K, value: V) {
        host::storage_set(self.key(key).as_slice(), value.to_bytes().as_ref());
    }

    /// Removes the entry.
    pub fn remove(&self, key: &K) {
        host::storage_remove(self.key(key).as_slice());
    }
}
