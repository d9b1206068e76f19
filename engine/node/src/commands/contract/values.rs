//! Values of a contract's interface: from text to bytes, and from bytes to JSON.
//!
//! The encoding is that of `docs/spec/contracts.md`. Single values are written as they are, options, lists and structures as
//! JSON ([`mod@json`]); names of the contract's own types are told by [`types`].

mod json;
pub mod types;

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;

use millrace_types::Address;
use millrace_types::hex::{HexError, parse_bytes};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::types::{Enumeration, MOST_DEEP, Structure};
use crate::failure::printable;

/// Longest `bytes` or `str`, and largest N of `bytesN`.
const MOST_BYTES: usize = 1 << 20;

/// A type of value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Kind {
    /// `u8` to `u128`: how many bytes.
    Unsigned(usize),
    /// `i8` to `i128`: how many bytes.
    Signed(usize),
    /// `bool`.
    Bool,
    /// `address`.
    Address,
    /// `bytes`.
    Bytes,
    /// `str`.
    Text,
    /// `bytesN`.
    Array(usize),
    /// `option<T>`.
    Option(Box<Self>),
    /// `vec<T>`.
    List(Box<Self>),
    /// A structure of the contract's own.
    Struct(Arc<Structure>),
    /// An enumeration of the contract's own.
    Enum(Arc<Enumeration>),
    /// A name: of the contract's own types, until it is known which, or of none that this program knows.
    Other(String),
}

/// Why text is no value, or bytes are none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// No such type.
    #[error(
        "the interface does not say what values of type {0} are; build the contract anew, or give the whole input by \
         --input"
    )]
    NoValues(String),
    /// Text is no number of the type.
    #[error("{text:?} is no {kind}: {least} to {most}, in decimal digits or 0x and hex")]
    Number {
        /// The text.
        text: String,
        /// The type.
        kind: Kind,
        /// The least value.
        least: i128,
        /// The largest.
        most: u128,
    },
    /// Text is neither truth value.
    #[error("{0:?} is no bool: true or false")]
    Bool(String),
    /// Text is no hex.
    #[error("{kind}: {source}")]
    Hex {
        /// The type.
        kind: Kind,
        /// Why.
        source: HexError,
    },
    /// A byte array of another length.
    #[error("{kind} has {given} bytes")]
    Length {
        /// The type.
        kind: Kind,
        /// How many there are.
        given: usize,
    },
    /// Text is no JSON.
    #[error("a {kind} is written as JSON, {}: {reason}", kind.example())]
    Json {
        /// The type.
        kind: Kind,
        /// Why.
        reason: String,
    },
    /// JSON of another form.
    #[error("a {kind} is {wanted}, {}; this is {found}", kind.example())]
    Form {
        /// The type.
        kind: Kind,
        /// What it is.
        wanted: &'static str,
        /// What there is.
        found: &'static str,
    },
    /// No such variant.
    #[error("{text:?} is no {kind}: it is one of {known}")]
    NoVariant {
        /// The type.
        kind: Kind,
        /// The text.
        text: String,
        /// Its variants.
        known: String,
    },
    /// No such field.
    #[error("{kind} has no field {field:?}; it has {known}")]
    NoField {
        /// The type.
        kind: Kind,
        /// The name.
        field: String,
        /// Its fields.
        known: String,
    },
    /// A field is not there.
    #[error("the field {field:?} of {kind} is missing")]
    Missing {
        /// The type.
        kind: Kind,
        /// The name.
        field: String,
    },
    /// Something is wrong inside of a value.
    #[error("{at}: {source}")]
    At {
        /// The field, or the place in a list.
        at: String,
        /// What.
        source: Box<Self>,
    },
    /// Text is too long.
    #[error("a {0} has at most {MOST_BYTES} bytes")]
    TooLong(Kind),
    /// Bytes end inside a value.
    #[error("the bytes end inside a {0}")]
    Short(Kind),
    /// Bytes that no value of the type has.
    #[error("the bytes are no {0}")]
    Unknown(Kind),
    /// Bytes behind the last value.
    #[error("{0} bytes are left over")]
    Left(usize),
}

impl ValueError {
    /// Inside of a value, in the field or place `at`.
    fn at(self, at: String) -> Self {
        Self::At {
            at,
            source: Box::new(self),
        }
    }
}

impl From<String> for Kind {
    fn from(text: String) -> Self {
        Self::parse(&text, 0).unwrap_or(Self::Other(text))
    }
}

impl Kind {
    fn parse(text: &str, depth: usize) -> Option<Self> {
        if depth >= MOST_DEEP && text.contains('<') {
            return None;
        }
        let inside = |outer: &str| {
            let inner = text.strip_prefix(outer)?.strip_suffix('>')?;
            let other = || Self::Other(inner.to_owned());
            Some(Box::new(match inner.contains('<') {
                true => Self::parse(inner, depth + 1)?,
                false => Self::parse(inner, depth + 1).unwrap_or_else(other),
            }))
        };
        if let Some(inner) = inside("option<") {
            return Some(Self::Option(inner));
        }
        if let Some(inner) = inside("vec<") {
            return Some(Self::List(inner));
        }
        let bytes = |bits: &str| match bits {
            "8" => Some(1),
            "16" => Some(2),
            "32" => Some(4),
            "64" => Some(8),
            "128" => Some(16),
            _ => None,
        };
        let count = |digits: &str| {
            let count: usize = digits.parse().ok()?;
            (1..=MOST_BYTES).contains(&count).then_some(count)
        };
        match text {
            "bool" => Some(Self::Bool),
            "address" => Some(Self::Address),
            "bytes" => Some(Self::Bytes),
            "str" => Some(Self::Text),
            _ => match (text.strip_prefix("bytes"), text.split_at_checked(1)) {
                (Some(digits), _) => count(digits).map(Self::Array),
                (None, Some(("u", bits))) => bytes(bits).map(Self::Unsigned),
                (None, Some(("i", bits))) => bytes(bits).map(Self::Signed),
                _ => None,
            },
        }
    }

    /// The name in it that is none of this program's types.
    pub fn unknown_name(&self) -> Option<&str> {
        match self {
            Self::Option(inner) | Self::List(inner) => inner.unknown_name(),
            Self::Other(name) => Some(name),
            _ => None,
        }
    }

    /// What a value looks like on the command line, in shell quotes.
    fn example(&self) -> String {
        fn inner(kind: &Kind) -> String {
            match kind {
                Kind::Unsigned(_) | Kind::Signed(_) => "5".into(),
                Kind::Bool => "true".into(),
                Kind::Address | Kind::Bytes | Kind::Array(_) => "\"0x..\"".into(),
                Kind::Text | Kind::Other(_) => "\"..\"".into(),
                Kind::Option(_) => "null".into(),
                Kind::List(of) => format!("[{}, ..]", inner(of)),
                Kind::Struct(structure) => {
                    let (name, kind) = &structure.fields[0];
                    let more = if structure.fields.len() > 1 { ", .." } else { "" };
                    match kind {
                        Kind::Struct(_) => format!("{{\"{name}\": {{..}}{more}}}"),
                        kind => format!("{{\"{name}\": {}{more}}}", inner(kind)),
                    }
                }
                Kind::Enum(enumeration) => format!("\"{}\"", enumeration.variants[0]),
            }
        }
        match self {
            Self::Option(of) => format!("'{}' or 'null'", inner(of)),
            kind => format!("'{}'", inner(kind)),
        }
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.to_string()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(bytes) => write!(f, "u{}", 8 * bytes),
            Self::Signed(bytes) => write!(f, "i{}", 8 * bytes),
            Self::Bool => f.write_str("bool"),
            Self::Address => f.write_str("address"),
            Self::Bytes => f.write_str("bytes"),
            Self::Text => f.write_str("str"),
            Self::Array(count) => write!(f, "bytes{count}"),
            Self::Option(inner) => write!(f, "option<{inner}>"),
            Self::List(inner) => write!(f, "vec<{inner}>"),
            Self::Struct(structure) => f.write_str(&structure.name),
            Self::Enum(enumeration) => f.write_str(&enumeration.name),
            Self::Other(name) => f.write_str(name),
        }
    }
}

impl Kind {
    /// Appends the encoding of the value that `text` writes.
    ///
    /// # Errors
    /// When it writes none.
    pub fn encode(&self, text: &str, to: &mut Vec<u8>) -> Result<(), ValueError> {
        let hex = |limit| {
            parse_bytes(text, limit).map_err(|source| ValueError::Hex {
                kind: self.clone(),
                source,
            })
        };
        match *self {
            Self::Unsigned(bytes) => {
                let number = unsigned(text).filter(|number| *number <= most_unsigned(bytes));
                let number = number.ok_or_else(|| self.no_number(text, 0, most_unsigned(bytes)))?;
                to.extend(&number.to_le_bytes()[..bytes]);
            }
            Self::Signed(bytes) => {
                let most = most_unsigned(bytes) >> 1;
                let least = -1 - i128::try_from(most).expect("half of 2^128 fits");
                let number = signed(text)
                    .filter(|number| *number >= least && (*number < 0 || number.unsigned_abs() <= most));
                let number = number.ok_or_else(|| self.no_number(text, least, most))?;
                to.extend(&number.to_le_bytes()[..bytes]);
            }
            Self::Bool => to.push(match text {
                "true" => 1,
                "false" => 0,
                _ => return Err(ValueError::Bool(text.to_owned())),
            }),
            Self::Address => {
                let address = Address::from_str(text);
                to.extend(
                    address
                        .map_err(|source| ValueError::Hex {
                            kind: self.clone(),
                            source,
                        })?
                        .0,
                );
            }
            Self::Bytes => append(&hex(MOST_BYTES)?, to),
            Self::Text if text.len() > MOST_BYTES => return Err(ValueError::TooLong(self.clone())),
            Self::Text => append(text.as_bytes(), to),
            Self::Array(count) => {
                let bytes = hex(MOST_BYTES)?;
                if bytes.len() != count {
                    return Err(ValueError::Length {
                        kind: self.clone(),
                        given: bytes.len(),
                    });
                }
                to.extend(bytes);
            }
            Self::Enum(ref enumeration) => {
                let place = enumeration.variants.iter().position(|variant| variant == text);
                let place = place.and_then(|place| u8::try_from(place).ok());
                to.push(place.ok_or_else(|| ValueError::NoVariant {
                    kind: self.clone(),
                    text: text.to_owned(),
                    known: enumeration.variants.join(", "),
                })?);
            }
            Self::Option(_) | Self::List(_) | Self::Struct(_) => json::encode(self, text, to)?,
            Self::Other(ref name) => return Err(ValueError::NoValues(name.clone())),
        }
        Ok(())
    }

    /// Takes the next value from `bytes`. Numbers above 2^53 are decimal strings.
    ///
    /// # Errors
    /// When the bytes hold none.
    pub fn take(&self, bytes: &mut &[u8]) -> Result<Value, ValueError> {
        let mut next = |count: usize| {
            let all = *bytes;
            let (taken, rest) = all
                .split_at_checked(count)
                .ok_or_else(|| ValueError::Short(self.clone()))?;
            *bytes = rest;
            Ok::<_, ValueError>(taken)
        };
        Ok(match *self {
            Self::Unsigned(count) => number(i128_or(widened(next(count)?, 0))),
            Self::Signed(count) => {
                let bytes = next(count)?;
                let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) {
                    0xff
                } else {
                    0
                };
                number(Ok(i128::from_le_bytes(widened(bytes, fill).to_le_bytes())))
            }
            Self::Bool => match next(1)? {
                [0] => json!(false),
                [1] => json!(true),
                _ => return Err(ValueError::Unknown(self.clone())),
            },
            Self::Address => json!(format!("0x{}", hex::encode(next(32)?))),
            Self::Array(count) => json!(format!("0x{}", hex::encode(next(count)?))),
            Self::Bytes | Self::Text => {
                let count = usize::try_from(widened(next(4)?, 0)).unwrap_or(usize::MAX);
                let bytes = next(count)?;
                match self {
                    Self::Text => {
                        json!(std::str::from_utf8(bytes).map_err(|_| ValueError::Unknown(self.clone()))?)
                    }
                    _ => json!(format!("0x{}", hex::encode(bytes))),
                }
            }
            Self::Option(ref inner) => match (next(1)?, &**inner) {
                ([0], _) => Value::Null,
                // So that no value inside is told from none outside.
                ([1], Self::Option(_)) => json!([inner.take(bytes)?]),
                ([1], _) => inner.take(bytes)?,
                _ => return Err(ValueError::Unknown(self.clone())),
            },
            Self::List(ref inner) => {
                let count = widened(next(4)?, 0);
                // Every value has a byte at least: the count is what the bytes say, memory goes with the bytes.
                if count > bytes.len() as u128 {
                    return Err(ValueError::Short(self.clone()));
                }
                let items = (0..count).map(|index| {
                    let item = inner.take(bytes);
                    item.map_err(|error| error.at(format!("[{index}]")))
                });
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Self::Struct(ref structure) => {
                let mut fields = Map::new();
                for (name, kind) in &structure.fields {
                    let value = kind.take(bytes).map_err(|error| error.at(name.clone()))?;
                    fields.insert(name.clone(), value);
                }
                Value::Object(fields)
            }
            Self::Enum(ref enumeration) => match next(1)? {
                [place] => match enumeration.variants.get(usize::from(*place)) {
                    Some(variant) => json!(variant),
                    None => return Err(ValueError::Unknown(self.clone())),
                },
                _ => return Err(ValueError::Short(self.clone())),
            },
            Self::Other(ref name) => return Err(ValueError::NoValues(name.clone())),
        })
    }

    /// The value that a topic holds: its encoding with zeros behind it, else the topic as it is.
    pub fn of_topic(&self, topic: &[u8; 32]) -> Value {
        let mut rest = &topic[..];
        match self {
            // These do not lie in a topic as they are.
            Self::Bytes | Self::Text | Self::Option(_) | Self::List(_) => None,
            kind => kind.take(&mut rest).ok(),
        }
        .filter(|_| rest.iter().all(|byte| *byte == 0))
        .unwrap_or_else(|| json!(format!("0x{}", hex::encode(topic))))
    }

    fn no_number(&self, text: &str, least: i128, most: u128) -> ValueError {
        ValueError::Number {
            text: text.to_owned(),
            kind: self.clone(),
            least,
            most,
        }
    }
}

/// For people: numbers and hex as they are, everything else as JSON. Nothing that a contract answers moves the cursor,
/// turns the line around or is taken for another line.
pub fn shown(value: &Value) -> String {
    let is_plain = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        }
    };
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        other => printable(&other.to_string()),
    }
}

fn append(bytes: &[u8], to: &mut Vec<u8>) {
    let len = u32::try_from(bytes.len()).expect("bounded by MOST_BYTES");
    to.extend(len.to_le_bytes());
    to.extend(bytes);
}

fn most_unsigned(bytes: usize) -> u128 {
    u128::MAX >> (128 - 8 * bytes)
}

/// A number in decimal, with `_` between digits where it helps, or in hex.
fn unsigned(text: &str) -> Option<u128> {
    let digits = text.replace('_', "");
    let (digits, radix) = match digits.strip_prefix("0x") {
        Some(hex) => (hex, 16),
        None => (digits.as_str(), 10),
    };
    if digits.starts_with('+') {
        return None;
    }
    u128::from_str_radix(digits, radix).ok()
}

fn signed(text: &str) -> Option<i128> {
    match text.strip_prefix('-') {
        Some(digits) => 0_i128.checked_sub_unsigned(unsigned(digits)?),
        None => i128::try_from(unsigned(text)?).ok(),
    }
}

fn widened(bytes: &[u8], fill: u8) -> u128 {
    let mut wide = [fill; 16];
    wide[..bytes.len()].copy_from_slice(bytes);
    u128::from_le_bytes(wide)
}

fn i128_or(number: u128) -> Result<i128, u128> {
    i128::try_from(number).map_err(|_| number)
}

fn number(number: Result<i128, u128>) -> Value {
    const EXACT: u128 = 1 << 53;
    match number {
        Ok(number) if number.unsigned_abs() <= EXACT => {
            json!(i64::try_from(number).expect("2^53 fits"))
        }
        Ok(number) => json!(number.to_string()),
        Err(number) => json!(number.to_string()),
    }
}

#[cfg(test)]
mod tests;
