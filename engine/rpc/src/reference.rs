//! Block references: a tag, a height or a hash.

use std::borrow::Cow;

use millrace_pipeline::{BlockId, Tag};
use millrace_types::{Hash, Height};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which block a request means; `executed` by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockReference(pub BlockId);

impl Default for BlockReference {
    fn default() -> Self {
        Self(BlockId::Tag(Tag::Executed))
    }
}

impl From<Height> for BlockReference {
    fn from(height: Height) -> Self {
        Self(BlockId::Height(height))
    }
}

/// Every tag by name, in the order in which they are documented. `latest` is what Ethereum calls `executed`.
const TAGS: [(&str, Tag); 6] = [
    ("finalized", Tag::Finalized),
    ("executed", Tag::Executed),
    ("latest", Tag::Executed),
    ("settled", Tag::Settled),
    ("safe", Tag::Safe),
    ("pending", Tag::Pending),
];

/// Why a text is no block reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "block reference \"{found}\" is none of finalized, executed, latest, settled, safe, pending, a height, or a hash of 32 bytes in hex"
)]
pub struct ReferenceError {
    /// What was given, cut at 80 characters.
    pub found: String,
}

impl std::str::FromStr for BlockReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if let Some((_, tag)) = TAGS.iter().find(|(name, _)| *name == text) {
            return Ok(Self(BlockId::Tag(*tag)));
        }
        if let Ok(height) = text.parse::<Height>() {
            return Ok(Self(BlockId::Height(height)));
        }
        let hash = text.strip_prefix("0x").and_then(|digits| {
            let mut bytes = [0; 32];
            hex::decode_to_slice(digits, &mut bytes)
                .ok()
                .map(|()| Hash(bytes))
        });
        match hash {
            Some(hash) => Ok(Self(BlockId::Hash(hash))),
            None => Err(ReferenceError {
                found: text.chars().take(80).collect(),
            }),
        }
    }
}

impl Serialize for BlockReference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            BlockId::Height(height) => serializer.serialize_u64(height),
            BlockId::Hash(hash) => serializer.collect_str(&hash),
            BlockId::Tag(tag) => {
                let (name, _) = TAGS
                    .iter()
                    .find(|(_, known)| *known == tag)
                    .expect("every tag has a name");
                serializer.serialize_str(name)
            }
        }
    }
}

impl<'de> Deserialize<'de> for BlockReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a block reference: a tag, a height, or a block hash")]
        enum Raw {
            Height(Height),
            Text(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Height(height) => Ok(Self(BlockId::Height(height))),
            Raw::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl JsonSchema for BlockReference {
    fn schema_name() -> Cow<'static, str> {
        "BlockReference".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let tags = TAGS.map(|(name, _)| name);
        json_schema!({
            "description": "A block: a tag, a height, or a block's hash.",
            "oneOf": [
                { "enum": tags },
                { "type": "integer", "minimum": 0, "format": "uint64" },
                { "type": "string", "pattern": "^([0-9]+|0x[0-9a-f]{64})$" },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_back_as_written_and_others_are_named() {
        let hash = format!("\"0x{}\"", "ab".repeat(32));
        for text in [
            "\"finalized\"",
            "\"executed\"",
            "\"settled\"",
            "\"safe\"",
            "\"pending\"",
            "17",
            hash.as_str(),
        ] {
            let reference: BlockReference = serde_json::from_str(text).expect(text);
            assert_eq!(serde_json::to_string(&reference).expect("serializes"), text);
        }
        let latest: BlockReference = serde_json::from_str("\"latest\"").expect("a tag");
        assert_eq!(latest, BlockReference::default());
        assert_eq!(
            serde_json::from_str::<BlockReference>("\"17\"").expect("a height"),
            BlockReference(BlockId::Height(17))
        );
        for bad in ["\"newest\"", "-1", "1.5", "\"0xabcd\"", "null", "[]", "\"\""] {
            let error = serde_json::from_str::<BlockReference>(bad)
                .expect_err(bad)
                .to_string();
            assert!(error.contains("block reference"), "{bad}: {error}");
        }
    }
}
