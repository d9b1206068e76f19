//! What bytes mean: calls, results, logs and storage by the names of a contract's interface.

use millrace_types::Hash;
use serde::Deserialize;
use serde_json::Value;

use super::recorder::Excerpt;
use crate::commands::contract::interface::{Argument, Interface};
use crate::commands::contract::values::types::Types;
use crate::commands::contract::values::{Kind, shown};

/// Most characters of a value on a line.
const MOST_SHOWN: usize = 160;

/// A place of storage, as an interface lists them.
#[derive(Deserialize)]
struct Place {
    name: String,
    kind: String,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    key: Vec<Kind>,
    #[serde(default)]
    value: Option<Kind>,
}

/// The names of one contract, if there are any.
#[derive(Clone, Copy)]
pub struct Meanings<'i>(pub Option<&'i Interface>);

impl Meanings<'_> {
    /// The function that an input calls, with its arguments.
    pub fn call(self, is_initialiser: bool, input: &Excerpt) -> Option<String> {
        let interface = self.0?;
        let bytes = input.whole()?;
        if is_initialiser {
            let arguments = values(&interface.init.arguments, bytes)?;
            return Some(format!("init({arguments})"));
        }
        let (name, rest) = (interface.called(bytes)?, bytes.get(1..)?);
        let function = interface.function(name).ok()?;
        Some(format!("{name}({})", values(&function.arguments, rest)?))
    }

    /// What a function answered, or the error that it reverted with.
    pub fn output(self, is_success: bool, input: &Excerpt, output: &Excerpt) -> Option<String> {
        let interface = self.0?;
        let bytes = output.whole()?;
        if !is_success {
            return interface.error_name(bytes).map(str::to_owned);
        }
        let function = interface.function(interface.called(&input.bytes)?).ok()?;
        function.output(bytes).ok()?.map(|value| shown(&value))
    }

    /// A log as an event.
    pub fn event(self, topics: &[Hash], data: &Excerpt) -> Option<String> {
        let topics: Vec<_> = topics.iter().map(|topic| topic.0).collect();
        let (name, values) = self.0?.event(&topics, data.whole()?)?;
        let values: Vec<_> = values
            .iter()
            .map(|(name, value)| format!("{name}: {}", shown(value)))
            .collect();
        Some(format!("{name}({})", values.join(", ")))
    }

    /// A storage key as a place, and the type of what lies there.
    pub fn slot(self, key: &Excerpt) -> (String, Option<Kind>) {
        self.named_slot(key).unwrap_or_else(|| (bytes(key), None))
    }

    fn named_slot(self, key: &Excerpt) -> Option<(String, Option<Kind>)> {
        let (interface, key) = (self.0?, key.whole()?);
        let mut types = Types::of(&interface.types).ok()?;
        let places = interface.storage.iter();
        places
            .filter_map(|place| Place::deserialize(place).ok())
            .find_map(|place| place.resolved(&mut types).names(key))
    }
}

impl Place {
    /// The same with the contract's own types in the place of their names, as far as the interface says what they are.
    fn resolved(mut self, types: &mut Types<'_>) -> Self {
        for kind in self.key.iter_mut().chain(&mut self.value) {
            if let Ok(known) = types.resolve(kind) {
                *kind = known;
            }
        }
        self
    }

    /// What this place calls the key, if it is one of its own.
    fn names(self, key: &[u8]) -> Option<(String, Option<Kind>)> {
        let length = || Kind::from("u32".to_owned());
        if self.kind == "vector" && Some(key) == self.prefix.strip_suffix('/').map(str::as_bytes) {
            return Some((format!("{}.len", self.name), Some(length())));
        }
        let rest = key.strip_prefix(self.prefix.as_bytes())?;
        if self.key.is_empty() {
            let is_counter = self.kind == "counter";
            let kind = self
                .value
                .or_else(|| is_counter.then(|| Kind::from("u128".to_owned())));
            return rest.is_empty().then_some((self.name, kind));
        }
        let parts = taken(self.key.iter(), rest)?;
        Some((format!("{}[{}]", self.name, parts.join(", ")), self.value))
    }
}

/// Named values, as far as the bytes are those.
fn values(arguments: &[Argument], bytes: &[u8]) -> Option<String> {
    let parts = taken(arguments.iter().map(|argument| &argument.kind), bytes)?;
    let named = arguments.iter().zip(parts);
    let named: Vec<_> = named
        .map(|(argument, value)| format!("{}: {value}", argument.name))
        .collect();
    Some(named.join(", "))
}

/// Values one after the other, if the bytes are those and no more.
fn taken<'k>(kinds: impl Iterator<Item = &'k Kind>, bytes: &[u8]) -> Option<Vec<String>> {
    let mut rest = bytes;
    let parts: Option<Vec<_>> = kinds
        .map(|kind| kind.take(&mut rest).ok().map(|value| shown(&value)))
        .collect();
    parts.filter(|_| rest.is_empty())
}

/// A value of a slot by its type, or as bytes.
pub fn value(kind: Option<&Kind>, value: Option<&Excerpt>) -> String {
    let Some(found) = value else {
        return "nothing".to_owned();
    };
    let typed = || -> Option<Value> {
        let mut rest = found.whole()?;
        let value = kind?.take(&mut rest).ok()?;
        rest.is_empty().then_some(value)
    };
    match typed() {
        Some(value) => cut(shown(&value)),
        None => bytes(found),
    }
}

/// Bytes as text where they are some, as hex where not.
pub fn bytes(found: &Excerpt) -> String {
    let Some(whole) = found.whole() else {
        return format!("0x{}… ({} bytes)", hex::encode(&found.bytes[..32]), found.len);
    };
    match std::str::from_utf8(whole) {
        Ok(text) if !text.is_empty() && text.chars().all(|c| !c.is_control()) => cut(format!("{text:?}")),
        _ => cut(format!("0x{}", hex::encode(whole))),
    }
}

/// A text that has room on a line.
fn cut(text: String) -> String {
    if text.chars().count() <= MOST_SHOWN {
        return text;
    }
    let mut text: String = text.chars().take(MOST_SHOWN).collect();
    text.push('…');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn excerpt(bytes: &[u8]) -> Excerpt {
        Excerpt {
            bytes: bytes.to_vec(),
            len: bytes.len(),
        }
    }

    #[test]
    fn keys_are_places_by_the_documented_layout() {
        let interface = json!({
            "format": 1, "name": "x", "version": "1", "init": {},
            "types": [{ "name": "Bid", "fields": [{ "name": "amount", "type": "u8" }, { "name": "open", "type": "bool" }] }],
            "storage": [
                { "name": "total", "kind": "value", "prefix": "total", "value": "u64" },
                { "name": "hits", "kind": "counter", "prefix": "hits" },
                { "name": "list", "kind": "vector", "prefix": "list/", "key": ["u32"], "value": "bool" },
                { "name": "of", "kind": "map", "prefix": "of/", "key": ["u8", "u16"], "value": "str" },
                { "name": "best", "kind": "value", "prefix": "best", "value": "Bid" },
                { "name": "odd", "kind": 7 },
            ],
        });
        let interface = Interface::parse(interface.to_string().as_bytes()).unwrap();
        let meanings = Meanings(Some(&interface));
        let name = |key: &[u8]| {
            let (name, kind) = meanings.slot(&excerpt(key));
            (name, kind.map(|kind| kind.to_string()))
        };
        let typed = |name: &str, kind: &str| (name.to_owned(), Some(kind.to_owned()));
        assert_eq!(name(b"total"), typed("total", "u64"));
        assert_eq!(name(b"hits"), typed("hits", "u128"));
        let (best, kind) = meanings.slot(&excerpt(b"best"));
        let bid = value(kind.as_ref(), Some(&excerpt(&[7, 1])));
        assert_eq!((&*best, &*bid), ("best", r#"{"amount":7,"open":true}"#));
        assert_eq!(name(b"list"), typed("list.len", "u32"));
        assert_eq!(name(b"list/\x02\0\0\0"), typed("list[2]", "bool"));
        assert_eq!(name(b"of/\x07\x01\x01"), typed("of[7, 257]", "str"));
        for other in [
            &b"totals"[..],
            b"of/\x07",
            b"of/\x07\x01\x01\x01",
            b"list/\0",
            b"\xff",
        ] {
            assert_eq!(name(other), (bytes(&excerpt(other)), None));
        }
        assert_eq!(bytes(&excerpt(b"\xff\0")), "0xff00");
        assert_eq!(
            value(Some(&Kind::from("u8".to_owned())), Some(&excerpt(&[7]))),
            "7"
        );
        assert_eq!(
            value(Some(&Kind::from("u8".to_owned())), Some(&excerpt(&[7, 7]))),
            "0x0707"
        );
        assert_eq!(value(None, None), "nothing");
    }
}
