//! Byte strings of any length in JSON. Hashes, addresses and amounts have their form from `millrace_types::json`.

use std::borrow::Cow;

use borsh::{BorshDeserialize, BorshSerialize};
use millrace_types::codec;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Bytes as `0x`-prefixed lower-case hex.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(#[serde(with = "millrace_types::json::bytes")] pub Vec<u8>);

impl Bytes {
    /// A value's canonical bytes.
    #[must_use]
    pub fn of<T: BorshSerialize + ?Sized>(value: &T) -> Self {
        Self(codec::encode(value))
    }

    /// The value whose canonical bytes these are.
    ///
    /// # Errors
    /// When they are none.
    pub fn decode<T: BorshDeserialize>(&self) -> Result<T, codec::DecodeError> {
        codec::decode(&self.0, self.0.len())
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Bytes, as hex.",
            "type": "string",
            "pattern": "^0x([0-9a-f]{2})*$",
        })
    }
}

/// An amount: a decimal string, because most readers of JSON turn numbers into floats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Units(#[serde(with = "millrace_types::json::amount")] pub millrace_types::Amount);

impl JsonSchema for Units {
    fn schema_name() -> Cow<'static, str> {
        "Units".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An amount below 2^128, as decimal digits.",
            "type": "string",
            "pattern": "^[0-9]{1,39}$",
        })
    }
}
