//! What a contract offers, as JSON: the interface that its build leaves beside the ELF file.
//!
//! `docs/spec/contracts.md` describes the format for other readers. A contract's program on this machine writes it
//! (`cargo run -- --interface`), `import!` makes clients from it, and wallets and explorers can show calls by it.
//!
//! [`Interface`] is the document, [`Type`] the types that it names.

mod consistency;
mod types;

use serde::{Deserialize, Serialize};

pub use consistency::Inconsistent;
pub use types::{MalformedType, Type};

/// The number of the format that this crate reads and writes.
pub const FORMAT: u32 = 1;

/// Documents longer than this are refused unread, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// A contract's interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Interface {
    /// [`FORMAT`].
    pub format: u32,
    /// The contract's package.
    pub name: String,
    /// The package's version.
    pub version: String,
    /// Version of the SDK that the contract was built with.
    pub sdk: String,
    /// The initialiser.
    pub init: Init,
    /// What calls reach, by selector.
    pub functions: Vec<Function>,
    /// Structures and enumerations that [`Type::Named`] refers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<Definition>,
    /// What the contract logs.
    pub events: Vec<Event>,
    /// The errors that reach callers by name.
    pub errors: Vec<Error>,
    /// Where the contract keeps what.
    pub storage: Vec<Place>,
}

/// The initialiser, whose input is the deploy's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Init {
    /// Whether it takes value.
    pub payable: bool,
    /// What the deploy's input encodes.
    pub arguments: Vec<Field>,
}

/// A function that calls reach.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The first byte of its inputs.
    pub selector: u8,
    /// Whether it takes value.
    pub payable: bool,
    /// What follows the selector in inputs.
    pub arguments: Vec<Field>,
    /// What the output of a success encodes; `null` for an empty output.
    pub returns: Option<Type>,
    /// What it does, as its author says.
    #[serde(default)]
    pub docs: String,
}

/// A named value: an argument, a part of an event or of a structure.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Type,
}

/// A type of the contract's own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Definition {
    /// Fields, encoded one after the other.
    Struct {
        /// Its name.
        name: String,
        /// In the order of their encodings.
        fields: Vec<Field>,
    },
    /// One of several names, encoded as one byte: its place in the list.
    Enum {
        /// Its name.
        name: String,
        /// From 0 on.
        variants: Vec<String>,
    },
}

impl Definition {
    /// The name that is defined.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Struct { name, .. } | Self::Enum { name, .. } => name,
        }
    }
}

/// A log that the contract emits: its first topic is the ASCII name, zeros behind it to 32 bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// The first topic.
    pub name: String,
    /// The topics behind the first: each is a value's encoding, zeros behind it to 32 bytes.
    pub topics: Vec<Field>,
    /// What the data encodes.
    pub data: Vec<Field>,
}

/// An error: the output of a revert is its name alone, or its name, `: ` and more text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Error {
    /// Its name.
    pub name: String,
    /// What it means.
    pub message: String,
}

/// A place in storage, or many that share a prefix.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Place {
    /// What the contract calls it.
    pub name: String,
    /// How keys and values are laid out.
    pub kind: PlaceKind,
    /// The key of a value, counter or blob; what the keys of entries of a map and elements of a vector begin with.
    pub prefix: String,
    /// What follows the prefix in keys.
    pub key: Vec<Type>,
    /// What is stored.
    pub value: Type,
}

/// How a place in storage is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlaceKind {
    /// One value under its key.
    Value,
    /// A value under the prefix and each key.
    Map,
    /// The length (u32) under the prefix without its last `/`, elements under the prefix and each index (u32).
    Vector,
    /// A u128 that is added to by `counter_add`.
    Counter,
    /// Bytes or text, without a length before them.
    Blob,
}

/// Why a document is no interface.
#[derive(Debug)]
pub enum Unreadable {
    /// It is longer than [`MAX_DOCUMENT_BYTES`].
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It is not of this form; says where.
    Malformed(serde_json::Error),
    /// It is of a format that this version does not know.
    Format(u32),
    /// It contradicts itself.
    Inconsistent(Inconsistent),
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong { bytes } => write!(
                f,
                "an interface has at most {MAX_DOCUMENT_BYTES} bytes, and this has {bytes}"
            ),
            Self::Malformed(error) => write!(f, "this is no contract interface: {error}"),
            Self::Format(format) => write!(
                f,
                "this interface is of format {format}, and format {FORMAT} is known: use a newer SDK"
            ),
            Self::Inconsistent(error) => write!(f, "this interface contradicts itself: {error}"),
        }
    }
}

impl std::error::Error for Unreadable {}

impl Interface {
    /// Reads a document.
    ///
    /// # Errors
    /// If it is too long, not of this form, of another format, or contradicts itself.
    pub fn from_json(text: &str) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }

        if text.len() > MAX_DOCUMENT_BYTES {
            return Err(Unreadable::TooLong { bytes: text.len() });
        }
        let head: Head = serde_json::from_str(text).map_err(Unreadable::Malformed)?;
        if head.format != FORMAT {
            return Err(Unreadable::Format(head.format));
        }
        let read: Self = serde_json::from_str(text).map_err(Unreadable::Malformed)?;
        read.check().map_err(Unreadable::Inconsistent)?;
        Ok(read)
    }

    /// The document: indented by two spaces, one line feed at the end.
    ///
    /// # Panics
    /// Never: everything in it is text or numbers.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("text and numbers are always JSON");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests;
