//! JSON schemas of what [`json`](crate::json) writes.

use alloc::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{Address, Hash};

macro_rules! as_hex {
    ($type:ty, $name:literal, $meaning:literal) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "description": $meaning,
                    "pattern": "^0x[0-9a-f]{64}$",
                })
            }
        }
    };
}

as_hex!(Hash, "Hash", "32 bytes, as hex.");
as_hex!(Address, "Address", "The 32 bytes of an account, as hex.");
