//! The types that an interface names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Types nest at most this deep, so that a document of brackets exhausts nobody's stack.
pub const MAX_DEPTH: usize = 16;

/// A type of an argument, an output, or what is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Type {
    /// `u8`, `u16`, `u32`, `u64`, `u128`: that many bits, little endian.
    Unsigned(u32),
    /// `i8`, `i16`, `i32`, `i64`, `i128`: that many bits, two's complement, little endian.
    Signed(u32),
    /// `bool`: one byte, 0 or 1.
    Bool,
    /// `address`: 32 bytes.
    Address,
    /// `bytes`: a u32 length, then the bytes.
    Bytes,
    /// `str`: as `bytes`, in UTF-8.
    Str,
    /// `bytesN`: N bytes as they are.
    Array(usize),
    /// `option<T>`: a byte 0, or a byte 1 and then a T.
    Option(Box<Self>),
    /// `vec<T>`: a u32 count, then so many T. `vec<u8>` is written `bytes`.
    Vec(Box<Self>),
    /// A type of the contract's own, by name; it starts with a capital letter.
    Named(String),
}

impl Type {
    /// Whether all encodings have the same length, as far as the name tells: types of the contract's own have.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        !matches!(self, Self::Bytes | Self::Str | Self::Option(_) | Self::Vec(_))
    }

    fn parse(text: &str, depth: usize) -> Option<Self> {
        if depth > MAX_DEPTH {
            return None;
        }
        let inside = |outer: &str| {
            let inner = text.strip_prefix(outer)?.strip_suffix('>')?;
            Self::parse(inner, depth + 1).map(Box::new)
        };
        let bits = |digits: &str| match digits {
            "8" | "16" | "32" | "64" | "128" => digits.parse().ok(),
            _ => None,
        };
        match text {
            "bool" => return Some(Self::Bool),
            "address" => return Some(Self::Address),
            "bytes" => return Some(Self::Bytes),
            "str" => return Some(Self::Str),
            _ => {}
        }
        if let Some(digits) = text.strip_prefix("bytes") {
            let count: usize = digits.parse().ok()?;
            return (count.to_string() == digits).then_some(Self::Array(count));
        }
        if text.starts_with("option<") {
            return inside("option<").map(Self::Option);
        }
        if text.starts_with("vec<") {
            return inside("vec<").map(Self::Vec);
        }
        if let Some(bits) = text.strip_prefix('u').and_then(bits) {
            return Some(Self::Unsigned(bits));
        }
        if let Some(bits) = text.strip_prefix('i').and_then(bits) {
            return Some(Self::Signed(bits));
        }
        let is_name = text.starts_with(|first: char| first.is_ascii_uppercase())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_name.then(|| Self::Named(text.to_owned()))
    }
}

/// A text that names no type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MalformedType(String);

impl fmt::Display for MalformedType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no type of an interface: docs/spec/contracts.md lists them",
            self.0.escape_debug().take(64).collect::<String>()
        )
    }
}

impl std::error::Error for MalformedType {}

impl FromStr for Type {
    type Err = MalformedType;

    fn from_str(text: &str) -> Result<Self, MalformedType> {
        Self::parse(text, 0).ok_or_else(|| MalformedType(text.to_owned()))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(bits) => write!(f, "u{bits}"),
            Self::Signed(bits) => write!(f, "i{bits}"),
            Self::Bool => f.write_str("bool"),
            Self::Address => f.write_str("address"),
            Self::Bytes => f.write_str("bytes"),
            Self::Str => f.write_str("str"),
            Self::Array(count) => write!(f, "bytes{count}"),
            Self::Option(inner) => write!(f, "option<{inner}>"),
            Self::Vec(inner) => write!(f, "vec<{inner}>"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

impl Serialize for Type {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Type {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}
