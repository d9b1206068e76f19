//! The file of a chain spec: JSON with a number of its own format beside the spec's fields.
//!
//! The number is no part of the spec, whose hash is that of its canonical bytes. Files without one are of the first format:
//! there were such files before there was a number.

use std::fmt;
use std::path::Path;

use millrace_executor::check_spec;
use millrace_types::ChainSpec;
use serde::de::value::{MapAccessDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::SettingsError;

/// The file's format, to be raised when a field changes its meaning.
const CHAIN_SPEC_FORMAT: u64 = 1;
/// The number's key.
const FORMAT: &str = "format";

/// Reads a chain spec, and checks it by the chain's rules and by what this build can execute.
///
/// # Errors
/// [`SettingsError::ChainSpec`].
pub fn read_chain_spec(path: &Path) -> Result<ChainSpec, SettingsError> {
    let failed = |reason: String| SettingsError::ChainSpec {
        path: path.to_owned(),
        reason,
    };
    let text = std::fs::read(path).map_err(|error| {
        failed(format!(
            "cannot read the file: {error}; check the path and its permissions"
        ))
    })?;
    let spec = parse(&text).map_err(failed)?;
    spec.validate().map_err(|error| failed(error.to_string()))?;
    check_spec(&spec).map_err(|error| failed(error.to_string()))?;
    Ok(spec)
}

/// The file of a spec.
///
/// # Errors
/// Those of the JSON library; a spec that can be read can be written.
pub fn chain_spec_text(spec: &ChainSpec) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct File<'a> {
        format: u64,
        #[serde(flatten)]
        spec: &'a ChainSpec,
    }
    let format = CHAIN_SPEC_FORMAT;
    let text = serde_json::to_string_pretty(&File { format, spec })?;
    Ok(text + "\n")
}

fn parse(text: &[u8]) -> Result<ChainSpec, String> {
    let no_spec = |error: serde_json::Error| {
        format!("not the JSON of a chain spec: {error}; docs/spec/blocks.md describes its fields")
    };
    // Before anything else in it: fields of a newer one would be called unknown.
    let Format { format } = serde_json::from_slice(text).map_err(no_spec)?;
    if format > CHAIN_SPEC_FORMAT {
        return Err(format!(
            "format {format} is newer than {CHAIN_SPEC_FORMAT}, which this build reads; use the build that the file was \
             written for, or a newer one"
        ));
    }
    if format == 0 {
        return Err(format!("format = 0: allowed is {CHAIN_SPEC_FORMAT}"));
    }
    let File(spec) = serde_json::from_slice(text).map_err(no_spec)?;
    Ok(spec)
}

#[derive(Deserialize)]
#[serde(expecting = "an object, the fields of a chain spec")]
struct Format {
    #[serde(default = "first_format")]
    format: u64,
}

fn first_format() -> u64 {
    1
}

/// The other fields, each of which the spec must know.
struct File(ChainSpec);

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = File;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object, the fields of a chain spec")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<File, A::Error> {
                ChainSpec::deserialize(MapAccessDeserializer::new(Others(fields))).map(File)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A map without the number.
struct Others<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Others<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.0.next_key::<String>()? {
            if key != FORMAT {
                let key: StringDeserializer<A::Error> = serde::de::IntoDeserializer::into_deserializer(key);
                return seed.deserialize(key).map(Some);
            }
            let format: u64 = self.0.next_value()?;
            if format != CHAIN_SPEC_FORMAT {
                return Err(A::Error::custom(format!("{FORMAT} {format} cannot be read")));
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use millrace_types::chain_spec::ConsensusSpec;
    use serde_json::{Value, json};

    use super::*;

    fn spec() -> ChainSpec {
        let consensus = ConsensusSpec {
            id: "test/1".to_owned(),
            parameters: Vec::new(),
        };
        ChainSpec::development(7, 1, Vec::new(), consensus)
    }

    /// The fields with this text before them.
    fn with(head: &str) -> String {
        let fields = serde_json::to_string(&spec()).unwrap();
        format!("{{{head}{}", &fields[1..])
    }

    #[test]
    fn what_is_written_has_its_format_and_is_read_again() {
        let text = chain_spec_text(&spec()).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(file["format"], json!(1));
        assert!(text.starts_with("{\n  \"format\": 1,\n"), "{text}");
        assert_eq!(parse(text.as_bytes()).unwrap(), spec());
    }

    #[test]
    fn a_file_without_a_format_is_of_the_first() {
        assert_eq!(parse(with("").as_bytes()).unwrap(), spec());
        assert_eq!(parse(with("\"format\": 1,").as_bytes()).unwrap(), spec());
    }

    #[test]
    fn a_newer_format_is_refused_before_its_fields_are_looked_at() {
        for text in [
            with("\"format\": 2, \"weather\": \"fine\","),
            "{\"weather\": \"fine\", \"format\": 2}".to_owned(),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(
                error.starts_with("format 2 is newer than 1, which this build reads; "),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_format_and_what_is_unknown_is_refused() {
        for (head, words) in [
            ("\"format\": 0,", "format = 0: allowed is 1"),
            ("\"format\": null,", "invalid type: null"),
            ("\"format\": \"1\",", "invalid type: string"),
            ("\"format\": -1,", "invalid value: integer `-1`"),
            ("\"format\": 1, \"format\": 1,", "duplicate field `format`"),
            ("\"name\": \"twice\",", "duplicate field `name`"),
            ("\"weather\": 1,", "unknown field `weather`"),
        ] {
            let error = parse(with(head).as_bytes()).unwrap_err();
            assert!(error.contains(words), "{head} {error}");
        }
        for text in ["[]", "7", "", "{", "[1]"] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(
                error.starts_with("not the JSON of a chain spec: "),
                "{text} {error}"
            );
        }
    }
}
