//! Typed places in a contract's storage.
//!
//! A structure with `#[storage]` declares them, and makes a constant of the same name in capitals:
//!
//! ```
//! use millrace_contract::storage::{Blob, Item, Map, Vector};
//! use millrace_contract::{Address, storage};
//!
//! #[storage]
//! struct Storage {
//!     /// Lies under `total_supply`.
//!     total_supply: Item<u128>,
//!     /// Entries lie under `balance/` and the owner's 32 bytes; without `#[key]`, under `balances/`.
//!     #[key("balance/")]
//!     balances: Map<Address, u128>,
//!     /// Its length lies under `holders`, elements under `holders/` and the index.
//!     holders: Vector<Address>,
//!     name: Blob,
//! }
//! # fn transfer(to: Address) -> u128 {
//! STORAGE.balances.get_or_zero(&to)
//! # }
//! ```
//!
//! | place | key | value |
//! |---|---|---|
//! | [`Item<T>`] | name | T's encoding |
//! | [`Counter`] | name | u128, 16 bytes little endian |
//! | [`Blob`], [`Text`] | name | the bytes, without a length |
//! | [`Map<K, V>`] | prefix ‖ K's encoding (parts of a tuple one after the other) | V's encoding |
//! | [`Vector<T>`] | name | length: u32, 4 bytes little endian; absent while it was never pushed to |
//! | | name ‖ `/` ‖ index, u32, 4 bytes little endian | T's encoding |
//!
//! Keys have at most 128 bytes, prefix included; a map with longer ones does not compile:
//!
//! ```compile_fail,E0080
//! # use millrace_contract::{Address, storage, storage::Map};
//! #[storage]
//! struct Storage {
//!     grants: Map<(Address, Address, Address, Address), u8>,
//! }
//! ```
//!
//! Light clients prove a value by the same key, so the layout is part of a contract's interface. `#[storage]` refuses
//! names in which places could meet.

mod key;
mod vector;

use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;

use crate::encoding::Fixed;
use crate::host;

pub use key::{KeyBytes, MAX_MAP_KEY_BYTES, MapKey};
pub use vector::Vector;

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

/// One text of any length.
pub struct Text {
    bytes: Blob,
}

impl Text {
    /// The text stored under the key `name`, in UTF-8 as it is.
    #[must_use]
    pub const fn new(name: &'static [u8]) -> Self {
        Self {
            bytes: Blob::new(name),
        }
    }

    /// The text, if it was ever set.
    ///
    /// # Panics
    /// If something else than a text was stored under the name.
    #[must_use]
    pub fn get(&self) -> Option<String> {
        let text = String::from_utf8(self.bytes.get()?).ok();
        Some(text.expect("a stored text is UTF-8"))
    }

    /// Sets the text.
    pub fn set(&self, text: &str) {
        self.bytes.set(text.as_bytes());
    }

    /// Removes the text.
    pub fn remove(&self) {
        self.bytes.remove();
    }
}

/// A value for each key.
pub struct Map<K, V> {
    prefix: &'static [u8],
    entry: PhantomData<fn(K) -> V>,
}

impl<K: MapKey, V: Fixed> Map<K, V> {
    /// Bytes of an entry's key behind the prefix; with it they are [`MAX_MAP_KEY_BYTES`] at most, to which
    /// [`storage`](macro@crate::storage) holds them.
    pub const KEY_BYTES: usize = K::LENGTH;

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
        let mut bytes = KeyBytes::new();
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
