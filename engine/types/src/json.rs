//! JSON forms: hashes, addresses and bytes as `0x` hex, amounts as decimal strings.
//!
//! [`mod@array`], [`bytes`] and [`amount`] are for `#[serde(with = "…")]`. Amounts are strings because most readers of
//! JSON turn numbers into floats, which hold 53 bits; heights, gas and times are numbers and stay below that in
//! practice.

use core::fmt::{self, Display};
use core::marker::PhantomData;
use core::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::hex;
use crate::keys::PublicKey;
use crate::{Address, Hash};

macro_rules! as_text {
    ($type:ty, $expecting:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                from_text($expecting, deserializer)
            }
        }
    };
}

as_text!(Hash, "a hash: a string of 64 hex digits");
as_text!(Address, "an address: a string of 64 hex digits");
as_text!(PublicKey, "a public key: a string of 64 hex digits");

/// Byte arrays of fixed length.
pub mod array {
    use super::{Deserializer, Hex, Serializer, parse_text};
    use crate::hex;

    /// Writes `0x` hex.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Hex(bytes))
    }

    /// Reads exactly `N` bytes of hex.
    ///
    /// # Errors
    /// If the value is no string of `2 * N` hex digits.
    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        parse_text("a string of hex digits", hex::parse_array, deserializer)
    }
}

/// Byte strings.
pub mod bytes {
    use alloc::vec::Vec;

    use super::{Deserializer, Hex, Serializer, parse_text};
    use crate::hex;

    /// Writes `0x` hex.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Hex(bytes))
    }

    /// Reads hex.
    ///
    /// # Errors
    /// If the value is no string of pairs of hex digits.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        parse_text(
            "a string of hex digits",
            |text| hex::parse_bytes(text, usize::MAX),
            deserializer,
        )
    }
}

/// Amounts.
pub mod amount {
    use super::{Deserializer, Serializer, parse_text};
    use crate::Amount;

    const FORM: &str = "an amount: a string of decimal digits, less than 2^128";

    /// Writes a decimal string.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(amount: &Amount, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(amount)
    }

    /// Reads a decimal string.
    ///
    /// # Errors
    /// If the value is no string of decimal digits below 2^128.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| "no amount: it takes decimal digits, less than 2^128")
        };
        parse_text(FORM, parse, deserializer)
    }
}

struct Hex<'a>(&'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(f, self.0)
    }
}

fn from_text<'de, T, D>(expecting: &'static str, deserializer: D) -> Result<T, D::Error>
where
    T: FromStr,
    T::Err: Display,
    D: Deserializer<'de>,
{
    parse_text(expecting, T::from_str, deserializer)
}

fn parse_text<'de, T, E, D>(
    expecting: &'static str,
    parse: impl FnOnce(&str) -> Result<T, E>,
    deserializer: D,
) -> Result<T, D::Error>
where
    E: Display,
    D: Deserializer<'de>,
{
    struct Text<F, T>(&'static str, F, PhantomData<T>);
    impl<T, E: Display, F: FnOnce(&str) -> Result<T, E>> Visitor<'_> for Text<F, T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<X: de::Error>(self, text: &str) -> Result<T, X> {
            (self.1)(text).map_err(X::custom)
        }
    }
    deserializer.deserialize_str(Text(expecting, parse, PhantomData))
}
