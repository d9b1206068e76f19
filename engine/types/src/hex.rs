//! Hexadecimal as people write it: an optional `0x`, either case, exact lengths, errors that say where.

use alloc::vec::Vec;

/// Why a text is not the hexadecimal that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HexError {
    /// The wrong number of digits for a value of fixed length.
    #[error("{digits} hex digits where {expected} are needed (beside an optional 0x)")]
    Length {
        /// Digits found.
        digits: usize,
        /// Digits needed.
        expected: usize,
    },
    /// A half byte.
    #[error("an odd number of hex digits ({digits}): every byte takes two")]
    Odd {
        /// Digits found.
        digits: usize,
    },
    /// Something else than 0-9, a-f, A-F.
    #[error("{found:?} at position {at} is no hex digit")]
    Digit {
        /// The character.
        found: char,
        /// Its byte position in the text, the `0x` included.
        at: usize,
    },
    /// More bytes than the caller takes.
    #[error("{bytes} bytes of hex, more than the limit of {limit}")]
    TooLong {
        /// Bytes that the text stands for.
        bytes: usize,
        /// The most that is taken.
        limit: usize,
    },
}

/// Parses exactly `N` bytes.
///
/// # Errors
/// If the text is not `2 * N` hex digits after an optional `0x`.
pub fn parse_array<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let digits = strip(text);
    if digits.len() != 2 * N {
        return Err(first_bad_digit(text).unwrap_or(HexError::Length {
            digits: digits.len(),
            expected: 2 * N,
        }));
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).map_err(|error| locate(text, error))?;
    Ok(bytes)
}

/// Parses up to `limit` bytes; an empty text is no bytes.
///
/// # Errors
/// If the text is not hex digits, in pairs, after an optional `0x`, or stands for more bytes than `limit`.
pub fn parse_bytes(text: &str, limit: usize) -> Result<Vec<u8>, HexError> {
    let digits = strip(text);
    if digits.len() / 2 > limit {
        return Err(HexError::TooLong {
            bytes: digits.len() / 2,
            limit,
        });
    }
    hex::decode(digits).map_err(|error| locate(text, error))
}

/// Writes `0x` and lowercase digits.
///
/// # Errors
/// Those of the formatter.
pub fn write(f: &mut core::fmt::Formatter<'_>, bytes: &[u8]) -> core::fmt::Result {
    f.write_str("0x")?;
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn strip(text: &str) -> &str {
    text.strip_prefix("0x").unwrap_or(text)
}

fn first_bad_digit(text: &str) -> Option<HexError> {
    let prefix = text.len() - strip(text).len();
    let (at, found) = strip(text).char_indices().find(|(_, c)| !c.is_ascii_hexdigit())?;
    Some(HexError::Digit {
        found,
        at: prefix + at,
    })
}

fn locate(text: &str, error: hex::FromHexError) -> HexError {
    let digits = strip(text).len();
    // The library reports a byte of the text; the first bad character is what a person looks for.
    first_bad_digit(text).unwrap_or(match error {
        hex::FromHexError::OddLength => HexError::Odd { digits },
        _ => HexError::Length {
            digits,
            expected: digits + digits % 2,
        },
    })
}
