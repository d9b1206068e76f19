//! Canonical bytes: borsh, strict and bounded on the way in.
//!
//! A value has one encoding. [`decode`] refuses every other byte string: bytes after the end, tags of `Option` and
//! of enums that do not exist, lists that must ascend and do not, text that is not UTF-8. It looks at the length
//! first, and allocates no more than a small multiple of the bytes it has *read*, whatever a length prefix claims:
//! borsh's own vectors trust a prefix up to a megabyte, so every list in this crate is read by [`bytes`], [`list`]
//! or [`ascending`].

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use borsh::io::{Error, ErrorKind, Read};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::Hash;
use crate::hash::Domain;

/// Why bytes are not the canonical encoding of a value within its limits.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// Longer than the limit; nothing was read.
    #[error("{what}: {len} bytes, more than the limit of {limit}")]
    TooLong {
        /// The type that was asked for.
        what: &'static str,
        /// Bytes given.
        len: usize,
        /// The most that is taken.
        limit: usize,
    },
    /// Not an encoding of the type.
    #[error("{what}: {reason} at byte {at} of {len}")]
    Malformed {
        /// The type that was asked for.
        what: &'static str,
        /// Bytes read when it was noticed.
        at: usize,
        /// Bytes given.
        len: usize,
        /// What is wrong there.
        reason: String,
    },
    /// An encoding, and more bytes after it.
    #[error("{what}: ends at byte {at}, but {len} bytes were given")]
    Trailing {
        /// The type that was asked for.
        what: &'static str,
        /// Where the encoding ends.
        at: usize,
        /// Bytes given.
        len: usize,
    },
    /// Well-formed, but a part passes a limit of the chain spec.
    #[error("{what}: {part} is {size}, more than the limit of {limit}")]
    OverLimit {
        /// The type that was asked for.
        what: &'static str,
        /// The part, and its unit.
        part: &'static str,
        /// Its size.
        size: u64,
        /// The most that the chain allows.
        limit: u64,
    },
}

/// A value's canonical bytes.
///
/// # Panics
/// If a list in the value has 2^32 entries or more, which no decoded value has.
#[must_use]
pub fn encode<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    value
        .serialize(&mut bytes)
        .expect("memory takes every byte, and lists have less than 2^32 entries");
    bytes
}

/// How many bytes [`encode`] would give, without collecting them.
///
/// # Panics
/// As [`encode`].
#[must_use]
pub fn encoded_len<T: BorshSerialize + ?Sized>(value: &T) -> usize {
    struct Counter(usize);
    impl borsh::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> borsh::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> borsh::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    value
        .serialize(&mut counter)
        .expect("a counter takes every byte, and lists have less than 2^32 entries");
    counter.0
}

/// Decodes a value from exactly `bytes`, of which there may be at most `limit`.
///
/// # Errors
/// If there are more, or they are not the canonical encoding of a `T`.
pub fn decode<T: BorshDeserialize>(bytes: &[u8], limit: usize) -> Result<T, DecodeError> {
    let what = type_name::<T>();
    let len = bytes.len();
    if len > limit {
        return Err(DecodeError::TooLong { what, len, limit });
    }
    let mut rest = bytes;
    let value = T::deserialize_reader(&mut rest).map_err(|error| DecodeError::Malformed {
        what,
        at: len - rest.len(),
        len,
        reason: reason(&error),
    })?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(DecodeError::Trailing {
            what,
            at: len - rest.len(),
            len,
        })
    }
}

/// Hashes a value's canonical bytes without collecting them.
///
/// # Panics
/// As [`encode`].
#[must_use]
pub fn hash_of<T: BorshSerialize + ?Sized>(domain: &Domain, value: &T) -> Hash {
    let mut sink = Sink {
        hasher: blake3::Hasher::new_keyed(&domain.0),
        waiting: [0; Sink::ROOM],
        len: 0,
    };
    value
        .serialize(&mut sink)
        .expect("a hasher takes every byte, and lists have less than 2^32 entries");
    sink.pass_on();
    Hash(*sink.hasher.finalize().as_bytes())
}

/// A hasher that is given more than a field at a time: most are shorter than a block of the hash, and each call has its price.
struct Sink {
    hasher: blake3::Hasher,
    waiting: [u8; Self::ROOM],
    len: usize,
}

impl Sink {
    /// A transfer, and a header without its variable parts.
    const ROOM: usize = 256;

    fn pass_on(&mut self) {
        self.hasher.update(&self.waiting[..self.len]);
        self.len = 0;
    }
}

impl borsh::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> borsh::io::Result<usize> {
        if bytes.len() > Self::ROOM - self.len {
            self.pass_on();
        }
        match self.waiting.get_mut(self.len..self.len + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => {
                self.hasher.update(bytes);
            }
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> borsh::io::Result<()> {
        Ok(())
    }
}

/// Reads a byte string: `#[borsh(deserialize_with = "codec::bytes")]`.
///
/// # Errors
/// If the input ends before the length it names.
pub fn bytes<R: Read>(reader: &mut R) -> borsh::io::Result<Vec<u8>> {
    const FIRST_STEP: usize = 64;
    let len = u32::deserialize_reader(reader)? as usize;
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let have = bytes.len();
        bytes.resize(len.min((2 * have).max(FIRST_STEP)), 0);
        reader
            .read_exact(&mut bytes[have..])
            .map_err(|_| invalid("a byte string passes the end of the input"))?;
    }
    Ok(bytes)
}

/// Reads UTF-8 text.
///
/// # Errors
/// If the input ends before the length it names or is not UTF-8.
pub fn text<R: Read>(reader: &mut R) -> borsh::io::Result<String> {
    String::from_utf8(bytes(reader)?).map_err(|error| invalid(&error.to_string()))
}

/// Reads a list whose entries take at least one byte each.
///
/// # Errors
/// If an entry does not decode.
pub fn list<T: BorshDeserialize, R: Read>(reader: &mut R) -> borsh::io::Result<Vec<T>> {
    let len = u32::deserialize_reader(reader)?;
    let mut entries = Vec::new();
    for _ in 0..len {
        entries.push(T::deserialize_reader(reader)?);
    }
    Ok(entries)
}

/// Reads a list of at most `MAX` entries.
///
/// # Errors
/// If it has more, found before any is read, or an entry does not decode.
pub fn short_list<const MAX: u32, T: BorshDeserialize, R: Read>(reader: &mut R) -> borsh::io::Result<Vec<T>> {
    let len = u32::deserialize_reader(reader)?;
    if len > MAX {
        return Err(invalid(&alloc::format!(
            "a list of {len} entries where at most {MAX} are allowed"
        )));
    }
    (0..len).map(|_| T::deserialize_reader(reader)).collect()
}

/// An entry of a list that is kept in strictly ascending order.
pub trait Keyed {
    /// What the list is ordered by.
    type Key: Ord;
    /// This entry's key.
    fn key(&self) -> Self::Key;
}

/// Reads a list whose keys strictly ascend.
///
/// # Errors
/// If an entry does not decode, or its key is not greater than the one before.
pub fn ascending<T: BorshDeserialize + Keyed, R: Read>(reader: &mut R) -> borsh::io::Result<Vec<T>> {
    let len = u32::deserialize_reader(reader)?;
    let mut entries: Vec<T> = Vec::new();
    for position in 0..len {
        let entry = T::deserialize_reader(reader)?;
        if entries.last().is_some_and(|last| last.key() >= entry.key()) {
            return Err(invalid(&alloc::format!(
                "entry {position} of a list does not ascend"
            )));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// The library's words, but where they do not say that something is missing.
fn reason(error: &Error) -> String {
    match error.to_string().as_str() {
        "Unexpected length of input" => "the input ends before the value does".into(),
        other => other.into(),
    }
}

fn invalid(reason: &str) -> Error {
    Error::new(ErrorKind::InvalidData, reason)
}

/// The type's name without its path, for messages.
fn type_name<T>() -> &'static str {
    let full = core::any::type_name::<T>();
    if full.contains('<') {
        full
    } else {
        full.rsplit("::").next().unwrap_or(full)
    }
}
