//! Inputs, outputs and stored values as bytes.
//!
//! The encoding is borsh's: integers little endian, addresses and byte arrays as they are, `bool` one byte 0 or 1,
//! byte strings and text a `u32` length and then the bytes, lists a `u32` count and then the elements, an `Option` one
//! byte 0 or 1 and then its value; arguments follow each other without gaps. What decodes does so from one byte string
//! only: bytes left over are an error.

use alloc::string::String;
use alloc::vec::Vec;

use crate::{Address, Revert, host};

/// A value whose encoding always has the same length.
///
/// Numbers, `bool`, [`Address`] and arrays of bytes are; `#[derive(Fixed)]` makes structures of them, and enumerations
/// without fields, values too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no value of a fixed length that contracts encode",
    label = "not u8 to u128, i8 to i128, bool, Address, [u8; N], or a type with #[derive(Fixed)]"
)]
pub trait Fixed: Copy {
    /// The encoding: an array of bytes.
    type Bytes: AsRef<[u8]> + AsMut<[u8]>;
    /// As many zero bytes.
    const ZERO: Self::Bytes;
    /// Bytes of the encoding.
    const LENGTH: usize = size_of::<Self::Bytes>();

    /// The value's encoding.
    fn to_bytes(self) -> Self::Bytes;

    /// The value that `bytes` encode; `None` where they encode none.
    fn from_bytes(bytes: Self::Bytes) -> Option<Self>;

    /// The encodings of `items`, one after the other, where they lie in memory like that.
    #[doc(hidden)]
    fn as_encoded(_items: &[Self]) -> Option<&[u8]> {
        None
    }

    /// The values that lie in memory as `bytes`, where they are encoded like that.
    #[doc(hidden)]
    fn from_encoded(_bytes: &[u8]) -> Option<Vec<Self>> {
        None
    }
}

impl Fixed for u8 {
    type Bytes = [Self; 1];
    const ZERO: Self::Bytes = [0];

    fn to_bytes(self) -> Self::Bytes {
        [self]
    }

    fn from_bytes([byte]: Self::Bytes) -> Option<Self> {
        Some(byte)
    }

    fn as_encoded(items: &[Self]) -> Option<&[u8]> {
        Some(items)
    }

    fn from_encoded(bytes: &[u8]) -> Option<Vec<Self>> {
        Some(bytes.to_vec())
    }
}

macro_rules! fixed_integers {
    ($($integer:ty),*) => {$(
        impl Fixed for $integer {
            type Bytes = [u8; size_of::<$integer>()];
            const ZERO: Self::Bytes = [0; size_of::<$integer>()];

            fn to_bytes(self) -> Self::Bytes {
                self.to_le_bytes()
            }

            fn from_bytes(bytes: Self::Bytes) -> Option<Self> {
                Some(Self::from_le_bytes(bytes))
            }
        }
    )*};
}

fixed_integers!(u16, u32, u64, u128, i8, i16, i32, i64, i128);

impl Fixed for bool {
    type Bytes = [u8; 1];
    const ZERO: Self::Bytes = [0];

    fn to_bytes(self) -> Self::Bytes {
        [u8::from(self)]
    }

    fn from_bytes([byte]: Self::Bytes) -> Option<Self> {
        match byte {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl<const N: usize> Fixed for [u8; N] {
    type Bytes = Self;
    const ZERO: Self::Bytes = [0; N];

    fn to_bytes(self) -> Self::Bytes {
        self
    }

    fn from_bytes(bytes: Self::Bytes) -> Option<Self> {
        Some(bytes)
    }
}

impl Fixed for Address {
    type Bytes = [u8; 32];
    const ZERO: Self::Bytes = [0; 32];

    fn to_bytes(self) -> Self::Bytes {
        self.0
    }

    fn from_bytes(bytes: Self::Bytes) -> Option<Self> {
        Some(Self(bytes))
    }
}

/// Takes arguments from an input, in order.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next argument.
    ///
    /// # Errors
    /// If the input ends inside it, or its bytes encode no such value.
    pub fn read<T: Decode<'a>>(&mut self) -> Result<T, Revert> {
        T::decode(self)
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Revert> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or("the input ends inside an argument")?;
        self.rest = rest;
        Ok(taken)
    }

    /// Says that no argument is left.
    ///
    /// # Errors
    /// If bytes are left over.
    pub fn finish(self) -> Result<(), Revert> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err("the input has bytes after its last argument".into())
        }
    }
}

/// A type of argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type of argument",
    label = "not a value of fixed length, &str, &[u8], Vec, Option or String"
)]
pub trait Decode<'a>: Sized {
    /// Takes one from `reader`.
    ///
    /// # Errors
    /// If the input ends inside it, or its bytes encode no such value.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Revert>;

    /// Takes `count` of them from `reader`.
    #[doc(hidden)]
    fn decode_many(reader: &mut Reader<'a>, count: usize) -> Result<Vec<Self>, Revert> {
        // The count is the caller's word: memory is taken for what is there.
        let mut items = Vec::with_capacity(count.min(reader.rest.len()));
        for _ in 0..count {
            items.push(reader.read()?);
        }
        Ok(items)
    }
}

impl<'a, T: Fixed> Decode<'a> for T {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Revert> {
        let mut bytes = T::ZERO;
        let length = bytes.as_ref().len();
        bytes.as_mut().copy_from_slice(reader.take(length)?);
        T::from_bytes(bytes).ok_or_else(|| "an argument has an unknown value".into())
    }

    fn decode_many(reader: &mut Reader<'a>, count: usize) -> Result<Vec<Self>, Revert> {
        let bytes = reader.take(
            count
                .checked_mul(T::LENGTH)
                .ok_or("the input ends inside an argument")?,
        )?;
        if let Some(items) = T::from_encoded(bytes) {
            return Ok(items);
        }
        let mut inside = Reader::new(bytes);
        let mut items = Vec::with_capacity(count.min(bytes.len()));
        for _ in 0..count {
            items.push(inside.read()?);
        }
        Ok(items)
    }
}

impl<'a> Decode<'a> for &'a [u8] {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Revert> {
        let length: u32 = reader.read()?;
        reader.take(length as usize)
    }
}

impl<'a> Decode<'a> for &'a str {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Revert> {
        core::str::from_utf8(reader.read()?).map_err(|_| "a text argument is not UTF-8".into())
    }
}

impl<'a> Decode<'a> for String {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Revert> {
        reader.read::<&str>().map(Self::from)
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Vec<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Revert> {
        let count: u32 = reader.read()?;
        T::decode_many(reader, count as usize)
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Option<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Revert> {
        if reader.read()? {
            reader.read().map(Some)
        } else {
            Ok(None)
        }
    }
}

/// A value as bytes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be encoded",
    label = "not a value of fixed length, text, a Vec or slice, or an Option"
)]
pub trait Encode {
    /// Appends the value's encoding.
    fn encode(&self, bytes: &mut Vec<u8>);

    /// Appends the encodings of `items`, one after the other.
    #[doc(hidden)]
    fn encode_many(items: &[Self], bytes: &mut Vec<u8>)
    where
        Self: Sized,
    {
        for item in items {
            item.encode(bytes);
        }
    }

    /// Ends the frame with the value's encoding as its output.
    #[doc(hidden)]
    fn finish(&self) -> ! {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        host::finish(&bytes)
    }
}

impl<T: Fixed> Encode for T {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.to_bytes().as_ref());
    }

    fn encode_many(items: &[Self], bytes: &mut Vec<u8>) {
        match T::as_encoded(items) {
            Some(encoded) => bytes.extend_from_slice(encoded),
            None => items.iter().for_each(|item| item.encode(bytes)),
        }
    }

    fn finish(&self) -> ! {
        host::finish(self.to_bytes().as_ref())
    }
}

impl<T: Encode> Encode for &[T] {
    fn encode(&self, bytes: &mut Vec<u8>) {
        let Ok(count) = u32::try_from(self.len()) else {
            host::revert(b"a list has 2^32 elements or more");
        };
        bytes.reserve(size_of::<u32>() + size_of_val(*self));
        bytes.extend_from_slice(&count.to_le_bytes());
        T::encode_many(self, bytes);
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.as_slice().encode(bytes);
    }
}

impl Encode for &str {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.as_bytes().encode(bytes);
    }
}

impl Encode for String {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.as_bytes().encode(bytes);
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.is_some().encode(bytes);
        if let Some(value) = self {
            value.encode(bytes);
        }
    }
}

/// What a contract function returns: it becomes the frame's output.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no result of a contract function",
    label = "not (), something that can be encoded, or a Result of them whose error becomes a Revert"
)]
pub trait Reply {
    /// What a caller decodes from the output of a success.
    type Output;

    /// Ends the frame with this as its outcome.
    fn reply(self) -> !;
}

impl Reply for () {
    type Output = ();

    fn reply(self) -> ! {
        host::finish(&[])
    }
}

impl<T: Encode> Reply for T {
    type Output = T;

    fn reply(self) -> ! {
        self.finish()
    }
}

impl<T: Reply, E: Into<Revert>> Reply for Result<T, E> {
    type Output = T::Output;

    fn reply(self) -> ! {
        match self {
            Ok(value) => value.reply(),
            Err(error) => error.into().end_frame(),
        }
    }
}

/// Values one after the other in an array: what macros encode by.
#[doc(hidden)]
pub mod parts {
    use super::Fixed;

    /// Writes `value` to `bytes` from `at` on and moves `at` behind it.
    #[inline(always)]
    pub fn put<T: Fixed>(bytes: &mut [u8], at: &mut usize, value: T) {
        let end = *at + T::LENGTH;
        bytes[*at..end].copy_from_slice(value.to_bytes().as_ref());
        *at = end;
    }

    /// Takes a value from `bytes` from `at` on and moves `at` behind it.
    #[inline(always)]
    pub fn take<T: Fixed>(bytes: &[u8], at: &mut usize) -> Option<T> {
        let end = *at + T::LENGTH;
        let mut part = T::ZERO;
        part.as_mut().copy_from_slice(&bytes[*at..end]);
        *at = end;
        T::from_bytes(part)
    }
}
