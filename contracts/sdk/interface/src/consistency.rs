//! What a document must keep to beyond its form, so that whoever goes by it reads one meaning only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Definition, Interface, Type};

/// Types nest at most this deep, and so do structures in structures.
const MAX_DEPTH: usize = super::types::MAX_DEPTH;

/// Topics of a log behind the event's name.
const MAX_TOPICS: usize = 3;

/// Bytes of a topic, which an event's name and a value in a topic must fit.
const TOPIC_BYTES: usize = 32;

/// How a document contradicts itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Inconsistent {
    /// Two of a kind have one name.
    Twice {
        /// Functions, events, errors or types.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// Two functions have one selector.
    Selector(u8),
    /// An event's name is not 1 to 32 bytes of printable ASCII.
    EventName(String),
    /// An event has more topics than a log, beside its name.
    Topics(String),
    /// A type is named and not defined.
    Undefined(String),
    /// A structure's field, or a topic, has a type whose values differ in length.
    Variable {
        /// The structure or the event.
        of: String,
        /// The field.
        field: String,
    },
    /// A structure holds itself, or structures nest too deep.
    Nesting(String),
    /// An enumeration has no variants, or more than one byte tells apart.
    Variants(String),
    /// A type without bytes: lists of it could have any count.
    Empty(String),
}

impl fmt::Display for Inconsistent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |name: &str| -> String { name.escape_debug().take(64).collect() };
        match self {
            Self::Twice { kind, name } => write!(f, "two {kind} are named `{}`", short(name)),
            Self::Selector(selector) => write!(f, "two functions have the selector {selector:#04x}"),
            Self::EventName(name) => write!(
                f,
                "event `{}`: a name has 1 to {TOPIC_BYTES} bytes of printable ASCII",
                short(name)
            ),
            Self::Topics(name) => write!(
                f,
                "event `{}` has more than {MAX_TOPICS} topics beside its name",
                short(name)
            ),
            Self::Undefined(name) => {
                write!(f, "it names a type `{}` that it does not define", short(name))
            }
            Self::Variable { of, field } => write!(
                f,
                "`{}` of `{}` has no fixed length: no bytes, str, option or vec there",
                short(field),
                short(of)
            ),
            Self::Nesting(name) => write!(
                f,
                "type `{}` holds itself, or nests more than {MAX_DEPTH} deep",
                short(name)
            ),
            Self::Variants(name) => write!(f, "`{}` has not 1 to 256 variants", short(name)),
            Self::Empty(name) => write!(f, "type `{}` has no bytes", short(name)),
        }
    }
}

impl std::error::Error for Inconsistent {}

/// The first name that comes twice.
fn unique<'a>(kind: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), Inconsistent> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            let name = name.to_owned();
            return Err(Inconsistent::Twice { kind, name });
        }
    }
    Ok(())
}

impl Interface {
    /// Whether every name means one thing and every type has an encoding.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn check(&self) -> Result<(), Inconsistent> {
        unique("functions", self.functions.iter().map(|of| of.name.as_str()))?;
        unique("events", self.events.iter().map(|of| of.name.as_str()))?;
        unique("errors", self.errors.iter().map(|of| of.name.as_str()))?;
        unique("types", self.types.iter().map(Definition::name))?;
        let mut selectors = BTreeSet::new();
        let twice = self.functions.iter().find(|of| !selectors.insert(of.selector));
        if let Some(function) = twice {
            return Err(Inconsistent::Selector(function.selector));
        }
        let mut types = Types {
            definitions: self.types.iter().map(|of| (of.name(), of)).collect(),
            heights: BTreeMap::new(),
        };
        for definition in &self.types {
            types.height(definition.name(), 0)?;
        }
        let arguments = self.functions.iter().flat_map(|of| &of.arguments);
        let fields = arguments.chain(&self.init.arguments);
        let data = self.events.iter().flat_map(|event| &event.data);
        let mut kinds: Vec<&Type> = fields.chain(data).map(|field| &field.kind).collect();
        kinds.extend(self.functions.iter().filter_map(|of| of.returns.as_ref()));
        kinds.extend(
            self.storage
                .iter()
                .flat_map(|of| of.key.iter().chain([&of.value])),
        );
        for kind in kinds {
            types.known(kind, 0)?;
        }
        for event in &self.events {
            let name = &event.name;
            if !(1..=TOPIC_BYTES).contains(&name.len())
                || !name.bytes().all(|byte| (0x20..0x7f).contains(&byte))
            {
                return Err(Inconsistent::EventName(name.clone()));
            }
            if event.topics.len() > MAX_TOPICS {
                return Err(Inconsistent::Topics(name.clone()));
            }
            for topic in &event.topics {
                types.known(&topic.kind, 0)?;
                if !topic.kind.is_fixed() {
                    let (of, field) = (name.clone(), topic.name.clone());
                    return Err(Inconsistent::Variable { of, field });
                }
            }
        }
        Ok(())
    }
}

struct Types<'a> {
    definitions: BTreeMap<&'a str, &'a Definition>,
    /// How deep a type nests, where that is known: each is looked at once.
    heights: BTreeMap<&'a str, usize>,
}

impl<'a> Types<'a> {
    /// How many definitions are in each other in `kind`.
    fn known(&mut self, kind: &'a Type, depth: usize) -> Result<usize, Inconsistent> {
        match kind {
            Type::Named(name) => self.height(name, depth),
            Type::Option(inner) | Type::Vec(inner) => self.known(inner, depth),
            Type::Array(0) => Err(Inconsistent::Empty(kind.to_string())),
            _ => Ok(0),
        }
    }

    fn height(&mut self, name: &'a str, depth: usize) -> Result<usize, Inconsistent> {
        let definition = *self
            .definitions
            .get(name)
            .ok_or_else(|| Inconsistent::Undefined(name.to_owned()))?;
        let height = match (self.heights.get(name), definition) {
            _ if depth >= MAX_DEPTH => return Err(Inconsistent::Nesting(name.to_owned())),
            (Some(height), _) => *height,
            (None, Definition::Struct { fields, .. }) => {
                if fields.is_empty() {
                    return Err(Inconsistent::Empty(name.to_owned()));
                }
                unique(
                    "fields of one structure",
                    fields.iter().map(|of| of.name.as_str()),
                )?;
                let mut most = 0;
                for field in fields {
                    if !field.kind.is_fixed() {
                        let (of, field) = (name.to_owned(), field.name.clone());
                        return Err(Inconsistent::Variable { of, field });
                    }
                    most = most.max(self.known(&field.kind, depth + 1)?);
                }
                most + 1
            }
            (None, Definition::Enum { variants, .. }) => {
                if !(1..=256).contains(&variants.len()) {
                    return Err(Inconsistent::Variants(name.to_owned()));
                }
                unique("variants", variants.iter().map(String::as_str))?;
                1
            }
        };
        if depth + height > MAX_DEPTH {
            return Err(Inconsistent::Nesting(name.to_owned()));
        }
        self.heights.insert(name, height);
        Ok(height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Field, Function, Init};

    fn field(name: &str, kind: &str) -> Field {
        Field {
            name: name.into(),
            kind: kind.parse().expect("a type"),
        }
    }

    fn structure(name: &str, fields: &[(&str, &str)]) -> Definition {
        Definition::Struct {
            name: name.into(),
            fields: fields.iter().map(|(name, kind)| field(name, kind)).collect(),
        }
    }

    fn function(name: &str, selector: u8, kind: &str) -> Function {
        Function {
            name: name.into(),
            selector,
            payable: false,
            arguments: vec![field("x", kind)],
            returns: None,
            docs: String::new(),
        }
    }

    fn event(name: &str, topics: &[&str]) -> Event {
        Event {
            name: name.into(),
            topics: topics.iter().map(|kind| field("x", kind)).collect(),
            data: Vec::new(),
        }
    }

    fn sound() -> Interface {
        Interface {
            format: crate::FORMAT,
            name: "c".into(),
            version: "1".into(),
            sdk: "1".into(),
            init: Init {
                payable: false,
                arguments: vec![field("bid", "option<Bid>")],
            },
            functions: vec![function("a", 1, "vec<Bid>"), function("b", 2, "u8")],
            types: vec![
                structure("Bid", &[("by", "address"), ("side", "Side")]),
                Definition::Enum {
                    name: "Side".into(),
                    variants: vec!["Buy".into(), "Sell".into()],
                },
            ],
            events: vec![event("moved", &["address", "Side", "u8"])],
            errors: Vec::new(),
            storage: Vec::new(),
        }
    }

    fn refused(change: impl FnOnce(&mut Interface)) -> String {
        let mut interface = sound();
        change(&mut interface);
        let said = interface.check().expect_err("it contradicts itself").to_string();
        let read = Interface::from_json(&interface.to_json()).expect_err("readers refuse it too");
        assert!(read.to_string().ends_with(&said), "{read}");
        said
    }

    #[test]
    fn every_name_means_one_thing() {
        sound().check().expect("sound");
        assert_eq!(
            refused(|of| of.functions.push(function("a", 3, "u8"))),
            "two functions are named `a`"
        );
        assert_eq!(
            refused(|of| of.functions.push(function("c", 2, "u8"))),
            "two functions have the selector 0x02"
        );
        assert_eq!(
            refused(|of| of.events.push(event("moved", &[]))),
            "two events are named `moved`"
        );
        let error = || crate::Error {
            name: "Poor".into(),
            message: String::new(),
        };
        assert_eq!(
            refused(|of| of.errors = vec![error(), error()]),
            "two errors are named `Poor`"
        );
        assert_eq!(
            refused(|of| of.types.push(structure("Side", &[("x", "u8")]))),
            "two types are named `Side`"
        );
        assert_eq!(
            refused(|of| of.types.push(structure("S", &[("x", "u8"), ("x", "u16")]))),
            "two fields of one structure are named `x`"
        );
    }

    #[test]
    fn every_type_has_an_encoding() {
        assert!(
            refused(|of| of.functions[0].returns = Some("Gone".parse().expect("a name"))).contains("`Gone`")
        );
        assert!(refused(|of| of.init.arguments.push(field("x", "vec<Gone>"))).contains("not define"));
        assert!(refused(|of| of.events[0].data.push(field("x", "Gone"))).contains("not define"));
        assert!(refused(|of| of.types.push(structure("S", &[("x", "str")]))).contains("no fixed length"));
        assert!(refused(|of| of.types.push(structure("S", &[]))).contains("no bytes"));
        assert!(refused(|of| of.functions.push(function("c", 3, "vec<bytes0>"))).contains("no bytes"));
        assert!(refused(|of| of.types.push(structure("S", &[("x", "S")]))).contains("holds itself"));
        let none = Definition::Enum {
            name: "None".into(),
            variants: Vec::new(),
        };
        assert!(refused(|of| of.types.push(none)).contains("variants"));
        for name in ["", "é", "a\0", "a\n", &"n".repeat(33)] {
            assert!(refused(|of| of.events.push(event(name, &[]))).contains("printable ASCII"));
        }
        assert!(refused(|of| of.events.push(event("e", &["u8"; 4]))).contains("3 topics"));
        assert!(refused(|of| of.events.push(event("e", &["str"]))).contains("no fixed length"));
    }

    /// Structures in structures: `count` of them, each with two of the next.
    fn tower(of: &mut Interface, count: usize) {
        for at in 0..count {
            let inner = if at + 1 == count {
                "u8".to_owned()
            } else {
                format!("T{}", at + 1)
            };
            of.types
                .push(structure(&format!("T{at}"), &[("a", &inner), ("b", &inner)]));
        }
    }

    #[test]
    fn towers_of_structures_end_soon_and_take_no_time() {
        let mut high = sound();
        tower(&mut high, MAX_DEPTH);
        high.check().expect("as deep as allowed");
        assert!(refused(|of| tower(of, MAX_DEPTH + 1)).contains("16 deep"));
        // From the end on each is low by itself: the sum counts, whatever is looked at first.
        assert!(
            refused(|of| {
                tower(of, MAX_DEPTH + 1);
                of.types.reverse();
            })
            .contains("16 deep")
        );
        assert!(refused(|of| tower(of, 5_000)).contains("16 deep"));
    }
}
