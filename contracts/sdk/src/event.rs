//! Events: logs with a name and typed parts.
//!
//! ```
//! use millrace_contract::{Address, Event};
//!
//! #[derive(Event)]
//! struct Transfer {
//!     #[topic]
//!     from: Address,
//!     #[topic]
//!     to: Address,
//!     amount: u128,
//! }
//! # fn log(from: Address, to: Address) {
//! Transfer { from, to, amount: 5 }.emit();
//! # }
//! ```
//!
//! The first topic is the event's name, `transfer`: the structure's in snake case, or that of `#[event("name")]`, zeros
//! behind it to 32 bytes. Fields with `#[topic]` follow, at most three, each the value's encoding with zeros behind it.
//! The data are the encodings of the other fields, one after the other.

use crate::encoding::Fixed;

/// What a contract logs; made by `#[derive(Event)]`.
pub trait Event {
    /// The first topic, as text.
    const NAME: &'static str;

    /// Logs it.
    fn emit(self);
}

/// The topic that holds a value: its encoding, zeros behind it.
#[doc(hidden)]
#[inline]
pub fn topic<T: Fixed>(value: T) -> [u8; 32] {
    const { assert!(T::LENGTH <= 32, "a topic has 32 bytes: hash what is longer") };
    let mut topic = [0; 32];
    topic[..T::LENGTH].copy_from_slice(value.to_bytes().as_ref());
    topic
}
