//! Inputs, outputs and stored values as bytes.
//!
//! The encoding is borsh's: integers little endian, addresses and byte arrays as they are, `bool` one byte 0 or 1,
//! byte strings and text a `u32` length and then the bytes; arguments follow each other without gaps. What decodes
//! does so from one byte string only: bytes left over are an error.

use alloc::string::String;
use alloc::vec::Vec;

use crate::{Address, Revert, host};

/// A value whose encoding always has the same length.
pub trait Fixed: Copy {
    /// The encoding: an array of bytes.
    type Bytes: AsRef<[u8]> + AsMut<[u8]>;
    /// As many zero bytes.
    const ZERO: Self::Bytes;

    /// The value's encoding.
    fn to_bytes(self) -> Self::Bytes;

    /// The value that `bytes` encode; `None` where they encode none.
    fn from_bytes(bytes: Self::Bytes) -> Option<Self>;
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

fixed_integers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128);

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
pub trait Decode<'a>: Sized {
    /// Takes one from `reader`.
    ///
    /// # Errors
    /// If the input ends inside it, or its bytes encode no such value.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Revert>;
}

impl<'a, T: Fixed> Decode<'a> for T {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Revert> {
        let mut bytes = T::ZERO;
        let length = bytes.as_ref().len();
        bytes.as_mut().copy_from_slice(reader.take(length)?);
        T::from_bytes(bytes).ok_or_else(|| "an argument has an unknown value".into())
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

/// What a contract function returns: it becomes the frame's output.
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

impl<T: Fixed> Reply for T {
    type Output = T;

    fn reply(self) -> ! {
        host::finish(self.to_bytes().as_ref())
    }
}

impl Reply for Vec<u8> {
    type Output = Self;

    fn reply(self) -> ! {
        let Ok(length) = u32::try_from(self.len()) else {
            host::revert(b"an output is longer than 4 GiB");
        };
        let mut bytes = alloc::vec![0; 4 + self.len()];
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes[4..].copy_from_slice(&self);
        host::finish(&bytes)
    }
}

impl Reply for String {
    type Output = Self;

    fn reply(self) -> ! {
        self.into_bytes().reply()
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
