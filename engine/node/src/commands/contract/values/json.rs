//! Values that are written as JSON: options, lists, structures, and whatever is in them.
//!
//! `null` is no value of an option, and anything else is its value; an option of an option has it in a list of one, so that
//! `null` inside is told from `null` outside. Lists are lists, structures objects with each field once, enumerations the
//! variant's name. Numbers are numbers or text, since JSON's end at 2^53 for many writers; all other values are text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::{Kind, ValueError};

/// JSON as it is written: with every key of an object, also those that come twice, and numbers that are whole.
#[derive(Debug)]
enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Json {
    fn what(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reads)
    }
}

struct Reads;

impl<'de> Visitor<'de> for Reads {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        Err(E::custom(format!(
            "{value} is no whole number below 2^64: write larger ones as text, \"18446744073709551616\""
        )))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Json::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut all: Vec<(String, Json)> = Vec::new();
        while let Some((key, value)) = entries.next_entry::<String, _>()? {
            if all.iter().any(|(known, _)| *known == key) {
                return Err(A::Error::custom(format!("{key:?} is there twice")));
            }
            all.push((key, value));
        }
        Ok(Json::Object(all))
    }
}

/// Appends the encoding of the value of `kind` that `text`, which is JSON, writes.
pub fn encode(kind: &Kind, text: &str, to: &mut Vec<u8>) -> Result<(), ValueError> {
    let json = serde_json::from_str(text).map_err(|error| ValueError::Json {
        kind: kind.clone(),
        reason: error.to_string(),
    })?;
    append(kind, &json, to)
}

fn append(kind: &Kind, json: &Json, to: &mut Vec<u8>) -> Result<(), ValueError> {
    let other = |wanted: &'static str| ValueError::Form {
        kind: kind.clone(),
        wanted,
        found: json.what(),
    };
    match kind {
        Kind::Option(inner) => match (json, &**inner) {
            (Json::Null, _) => to.push(0),
            (Json::List(one), Kind::Option(_)) if one.len() == 1 => {
                to.push(1);
                append(inner, &one[0], to)?;
            }
            (_, Kind::Option(_)) => return Err(other("null, or a list of one")),
            (value, _) => {
                to.push(1);
                append(inner, value, to)?;
            }
        },
        Kind::List(inner) => {
            let Json::List(items) = json else {
                return Err(other("a list"));
            };
            let count = u32::try_from(items.len()).map_err(|_| ValueError::TooLong(kind.clone()))?;
            to.extend(count.to_le_bytes());
            for (index, item) in items.iter().enumerate() {
                append(inner, item, to).map_err(|error| error.at(format!("[{index}]")))?;
            }
        }
        Kind::Struct(structure) => {
            let Json::Object(entries) = json else {
                return Err(other("an object with its fields"));
            };
            let of = |name: &str| {
                entries
                    .iter()
                    .find(|(key, _)| key == name)
                    .map(|(_, value)| value)
            };
            let unknown = entries
                .iter()
                .find(|(key, _)| structure.fields.iter().all(|(name, _)| name != key));
            if let Some((key, _)) = unknown {
                return Err(ValueError::NoField {
                    kind: kind.clone(),
                    field: key.clone(),
                    known: structure.field_names(),
                });
            }
            for (name, kind_of_field) in &structure.fields {
                let value = of(name).ok_or_else(|| ValueError::Missing {
                    kind: kind.clone(),
                    field: name.clone(),
                })?;
                append(kind_of_field, value, to).map_err(|error| error.at(name.clone()))?;
            }
        }
        Kind::Unsigned(_) | Kind::Signed(_) => match json {
            Json::Number(text) | Json::Text(text) => kind.encode(text, to)?,
            _ => return Err(other("a number")),
        },
        Kind::Bool => match json {
            Json::Bool(value) => to.push(u8::from(*value)),
            _ => return Err(other("true or false")),
        },
        Kind::Address | Kind::Bytes | Kind::Text | Kind::Array(_) | Kind::Enum(_) | Kind::Other(_) => {
            match json {
                Json::Text(text) => kind.encode(text, to)?,
                _ => return Err(other("text")),
            }
        }
    }
    Ok(())
}
