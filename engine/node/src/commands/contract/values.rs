//! Values of a contract's interface: from text to bytes, and from bytes to JSON.
//!
//! The encoding is that of `contracts/README.md`: integers little endian, addresses and byte arrays as they are, `str`
//! and `bytes` a `u32` length and then the bytes.

use std::fmt;
use std::str::FromStr as _;

use millrace_types::Address;
use millrace_types::hex::{HexError, parse_bytes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
    /// Another, which this program cannot encode: input for it is given as it is.
    Other(String),
}

/// Why text is no value, or bytes are none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// No such type.
    #[error(
        "the command line has no values of type {0}: it has u8 to u128, i8 to i128, bool, address, bytes, str and \
         bytesN; give the whole input by --input"
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

impl From<String> for Kind {
    fn from(text: String) -> Self {
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
        let kind = match text.as_str() {
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
        };
        kind.unwrap_or(Self::Other(text))
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
            Self::Other(ref name) => return Err(ValueError::NoValues(name.clone())),
        })
    }

    /// The value that a topic holds: its encoding with zeros behind it, else the topic as it is.
    pub fn of_topic(&self, topic: &[u8; 32]) -> Value {
        let mut rest = &topic[..];
        match self {
            // These do not lie in a topic as they are.
            Self::Bytes | Self::Text => None,
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

/// For people: text in quotes, everything else as it is.
pub fn shown(value: &Value) -> String {
    match value {
        // A text that a contract says may begin like bytes, and go on with what writes lines of its own.
        Value::String(text)
            if is_hex(text) || text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) =>
        {
            text.clone()
        }
        other => printable(&other.to_string()),
    }
}

fn is_hex(text: &str) -> bool {
    let digits = text.strip_prefix("0x");
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
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
