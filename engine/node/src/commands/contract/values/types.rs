//! The contract's own types: what names in an interface mean.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::commands::contract::interface::Argument;

/// Types nest at most this deep, so that a document of brackets exhausts nobody's stack.
pub const MOST_DEEP: usize = 16;

/// What an interface says of a type of the contract's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// The fields, where it is a structure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<Argument>>,
    /// The variants, where it is an enumeration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variants: Option<Vec<String>>,
}

/// Fields, encoded one after the other.
#[derive(Debug, PartialEq, Eq)]
pub struct Structure {
    /// Its name.
    pub name: String,
    /// Names and types; at least one.
    pub fields: Vec<(String, Kind)>,
}

impl Structure {
    /// For messages.
    pub fn field_names(&self) -> String {
        let names: Vec<_> = self.fields.iter().map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    }
}

/// One of several names, encoded as one byte.
#[derive(Debug, PartialEq, Eq)]
pub struct Enumeration {
    /// Its name.
    pub name: String,
    /// From 0 on; at least one.
    pub variants: Vec<String>,
}

/// Finds out what names mean; each is looked at once.
pub struct Types<'a> {
    definitions: BTreeMap<&'a str, &'a Definition>,
    known: BTreeMap<&'a str, Kind>,
}

impl<'a> Types<'a> {
    /// Of these definitions.
    ///
    /// # Errors
    /// When one contradicts itself or another, as text.
    pub fn of(definitions: &'a [Definition]) -> Result<Self, String> {
        let mut all = BTreeMap::new();
        for definition in definitions {
            let name = definition.name.as_str();
            if all.insert(name, definition).is_some() {
                return Err(format!("two types are named {name:?}"));
            }
        }
        let mut types = Self {
            definitions: all,
            known: BTreeMap::new(),
        };
        for definition in definitions {
            types.named(&definition.name, 0)?;
        }
        Ok(types)
    }

    /// `kind` with the contract's own types in the place of their names; a name that is not defined stays one.
    ///
    /// # Errors
    /// When a type holds itself or nests too deep, as text.
    pub fn resolve(&mut self, kind: &Kind) -> Result<Kind, String> {
        self.at(kind, 0)
    }

    fn at(&mut self, kind: &Kind, depth: usize) -> Result<Kind, String> {
        Ok(match kind {
            Kind::Option(inner) => Kind::Option(Box::new(self.at(inner, depth)?)),
            Kind::List(inner) => Kind::List(Box::new(self.at(inner, depth)?)),
            Kind::Other(name) => self.named(name, depth)?.unwrap_or_else(|| kind.clone()),
            _ => kind.clone(),
        })
    }

    fn named(&mut self, name: &str, depth: usize) -> Result<Option<Kind>, String> {
        if depth >= MOST_DEEP {
            return Err(format!(
                "type {name:?} holds itself, or nests more than {MOST_DEEP} deep"
            ));
        }
        if let Some(known) = self.known.get(name) {
            return Ok(Some(known.clone()));
        }
        let Some((name, definition)) = self.definitions.get_key_value(name) else {
            return Ok(None);
        };
        let (name, definition) = (*name, *definition);
        let kind = match (&definition.fields, &definition.variants) {
            (Some(fields), None) if !fields.is_empty() => {
                let mut all: Vec<(String, Kind)> = Vec::new();
                for field in fields {
                    if all.iter().any(|(known, _)| *known == field.name) {
                        return Err(format!("type {name:?} has two fields {:?}", field.name));
                    }
                    all.push((field.name.clone(), self.at(&field.kind, depth + 1)?));
                }
                Kind::Struct(Arc::new(Structure {
                    name: name.to_owned(),
                    fields: all,
                }))
            }
            (None, Some(variants)) if (1..=256).contains(&variants.len()) => {
                Kind::Enum(Arc::new(Enumeration {
                    name: name.to_owned(),
                    variants: variants.clone(),
                }))
            }
            // A form that a later version may have.
            (None, None) => return Ok(None),
            _ => {
                return Err(format!(
                    "type {name:?} has neither fields nor 1 to 256 variants alone"
                ));
            }
        };
        self.known.insert(name, kind.clone());
        Ok(Some(kind))
    }
}
