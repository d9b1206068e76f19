//! The description of a contract's interface, format 1: a JSON file that `millrace contract build` writes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::values::types::{Definition, Types};
use super::values::{Kind, ValueError};
use crate::failure::printable;

/// The format that this build reads and writes.
pub const FORMAT: u64 = 1;
/// Longest description, in bytes.
pub const MOST_BYTES: u64 = 1 << 20;

/// A contract's interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// [`FORMAT`].
    pub format: u64,
    /// The contract's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The SDK that it was made with.
    #[serde(default)]
    pub sdk: String,
    /// The initialiser.
    pub init: Init,
    /// Everything that calls reach.
    #[serde(default)]
    pub functions: Vec<Function>,
    /// The contract's own types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<Definition>,
    /// What it logs.
    #[serde(default)]
    pub events: Vec<Event>,
    /// What it reverts with.
    #[serde(default)]
    pub errors: Vec<ErrorName>,
    /// What it keeps where. For readers; nothing here uses it.
    #[serde(default)]
    pub storage: Vec<Value>,
}

/// The initialiser.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Init {
    /// Whether it takes value.
    #[serde(default)]
    pub payable: bool,
    /// In order.
    #[serde(default)]
    pub arguments: Vec<Argument>,
}

/// A function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The first byte of a call's input.
    pub selector: u8,
    /// Whether it takes value.
    #[serde(default)]
    pub payable: bool,
    /// In order.
    #[serde(default)]
    pub arguments: Vec<Argument>,
    /// What a success answers, if anything.
    #[serde(default)]
    pub returns: Option<Kind>,
    /// What its author says of it.
    #[serde(default)]
    pub docs: Option<String>,
}

/// A named value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Kind,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its name, which is its first topic.
    pub name: String,
    /// The other topics.
    #[serde(default)]
    pub topics: Vec<Argument>,
    /// The data.
    #[serde(default)]
    pub data: Vec<Argument>,
}

/// An error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorName {
    /// Its name.
    pub name: String,
    /// What a revert says.
    #[serde(default)]
    pub message: String,
}

/// Why there is no interface to be had, or nothing can be encoded by it.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// The file cannot be read.
    #[error("interface {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The bytes are no interface.
    #[error("not the JSON of a contract's interface: {0}; `millrace contract build` writes one")]
    Shape(String),
    /// A format of another version.
    #[error("interface format {0}: this build reads format {FORMAT}; build the contract or the program anew")]
    Format(u64),
    /// No such function.
    #[error("{contract} has no function {name}; it has {known}")]
    NoFunction {
        /// The contract.
        contract: String,
        /// The name that was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// Too few or too many arguments.
    #[error("{signature} takes {wanted} arguments, {given} are given")]
    Count {
        /// The function.
        signature: String,
        /// How many it takes.
        wanted: usize,
        /// How many there are.
        given: usize,
    },
    /// An argument's text is no value of its type.
    #[error("{signature}: {argument}: {source}")]
    Value {
        /// The function.
        signature: String,
        /// The argument.
        argument: String,
        /// Why.
        source: Box<ValueError>,
    },
}

impl Interface {
    /// Reads one from a file.
    ///
    /// # Errors
    /// When the file cannot be read or holds none.
    pub fn read(path: &Path) -> Result<Self, InterfaceError> {
        Self::text(path).map(|(_, interface)| interface)
    }

    /// Reads one from a file, with the text as it is there.
    ///
    /// # Errors
    /// When the file cannot be read or holds none.
    pub fn text(path: &Path) -> Result<(Vec<u8>, Self), InterfaceError> {
        let file = |reason: String| InterfaceError::File {
            path: path.to_owned(),
            reason,
        };
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|opened| opened.take(MOST_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|error| file(format!("cannot read the file: {error}")))?;
        let interface = Self::parse(&bytes).map_err(|error| file(error.to_string()))?;
        Ok((bytes, interface))
    }

    /// Reads one from the text that a contract prints.
    ///
    /// # Errors
    /// When it is none, or longer than [`MOST_BYTES`].
    pub fn parse(bytes: &[u8]) -> Result<Self, InterfaceError> {
        if bytes.len() as u64 > MOST_BYTES {
            return Err(InterfaceError::Shape(format!(
                "it has more than {MOST_BYTES} bytes"
            )));
        }
        let shape = |error: serde_json::Error| InterfaceError::Shape(error.to_string());
        let value: Value = serde_json::from_slice(bytes).map_err(shape)?;
        match value.get("format").and_then(Value::as_u64) {
            Some(FORMAT) => {
                let read: Self = serde_json::from_value(value).map_err(shape)?;
                read.resolved().map_err(InterfaceError::Shape)
            }
            Some(other) => Err(InterfaceError::Format(other)),
            None => Err(InterfaceError::Shape("it has no number `format`".into())),
        }
    }

    /// Everything in it that messages show.
    fn names(&self) -> Vec<&str> {
        fn of_arguments<'a>(arguments: &'a [Argument], names: &mut Vec<&'a str>) {
            for argument in arguments {
                names.push(&argument.name);
                names.extend(argument.kind.unknown_name());
            }
        }
        let mut names = vec![self.name.as_str()];
        names.extend(self.errors.iter().map(|error| error.name.as_str()));
        of_arguments(&self.init.arguments, &mut names);
        for function in &self.functions {
            names.push(&function.name);
            names.extend(function.returns.as_ref().and_then(Kind::unknown_name));
            of_arguments(&function.arguments, &mut names);
        }
        for event in &self.events {
            names.push(&event.name);
            of_arguments(&event.topics, &mut names);
            of_arguments(&event.data, &mut names);
        }
        for definition in &self.types {
            names.push(&definition.name);
            of_arguments(definition.fields.as_deref().unwrap_or_default(), &mut names);
            let variants = definition.variants.iter().flatten();
            names.extend(variants.map(String::as_str));
        }
        names
    }

    /// The same with the contract's own types in the place of their names.
    fn resolved(mut self) -> Result<Self, String> {
        let is_obeyed = |name: &&str| name.contains(['\n', '\t']) || printable(name) != **name;
        if let Some(name) = self.names().into_iter().find(is_obeyed) {
            return Err(format!(
                "the name {name:?} holds characters that a terminal obeys"
            ));
        }
        let definitions = self.types.clone();
        let mut types = Types::of(&definitions)?;
        let mut names = BTreeSet::new();
        let mut selectors = BTreeSet::new();
        for function in &self.functions {
            if !names.insert(&function.name) || !selectors.insert(function.selector) {
                return Err(format!(
                    "two functions are named {:?} or have the selector {:#04x}",
                    function.name, function.selector
                ));
            }
        }
        let of_functions = self.functions.iter_mut().flat_map(|function| {
            let arguments = function.arguments.iter_mut().map(|argument| &mut argument.kind);
            arguments.chain(&mut function.returns)
        });
        let of_events = self
            .events
            .iter_mut()
            .flat_map(|event| event.topics.iter_mut().chain(&mut event.data));
        let of_init = self.init.arguments.iter_mut().chain(of_events);
        for kind in of_functions.chain(of_init.map(|argument| &mut argument.kind)) {
            *kind = types.resolve(kind)?;
        }
        Ok(self)
    }

    /// The function of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn function(&self, name: &str) -> Result<&Function, InterfaceError> {
        let found = self.functions.iter().find(|function| function.name == name);
        found.ok_or_else(|| InterfaceError::NoFunction {
            contract: self.name.clone(),
            name: name.to_owned(),
            known: match self.functions.is_empty() {
                true => "none".to_owned(),
                false => self
                    .functions
                    .iter()
                    .map(Function::signature)
                    .collect::<Vec<_>>()
                    .join(", "),
            },
        })
    }

    /// The name of the function that an input calls.
    pub fn called(&self, input: &[u8]) -> Option<&str> {
        let selector = input.first()?;
        let function = self
            .functions
            .iter()
            .find(|function| function.selector == *selector)?;
        Some(&function.name)
    }

    /// A deploy's input.
    ///
    /// # Errors
    /// When the arguments are not those of the initialiser.
    pub fn init_input(&self, texts: &[String]) -> Result<Vec<u8>, InterfaceError> {
        encode(
            &signature("init", &self.init.arguments),
            &self.init.arguments,
            texts,
        )
    }

    /// The name of the error that a revert's output stands for: all of it, or what stands before its first `: `.
    pub fn error_name(&self, output: &[u8]) -> Option<&str> {
        let text = std::str::from_utf8(output).ok()?;
        let name = text.split_once(": ").map_or(text, |(name, _)| name);
        let found = self.errors.iter().find(|error| error.name == name);
        found.map(|error| error.name.as_str())
    }

    /// A log as its event, if it is one of the interface's: name and named values.
    pub fn event(&self, topics: &[[u8; 32]], data: &[u8]) -> Option<(&str, Vec<(&str, Value)>)> {
        let (first, rest) = topics.split_first()?;
        let named = |event: &&Event| {
            let name = event.name.as_bytes();
            name.len() <= first.len()
                && first[..name.len()] == *name
                && first[name.len()..].iter().all(|byte| *byte == 0)
        };
        let event = self.events.iter().find(named)?;
        if rest.len() != event.topics.len() {
            return None;
        }
        let mut values = Vec::new();
        for (argument, topic) in event.topics.iter().zip(rest) {
            values.push((argument.name.as_str(), argument.kind.of_topic(topic)));
        }
        let mut data = data;
        for argument in &event.data {
            values.push((argument.name.as_str(), argument.kind.take(&mut data).ok()?));
        }
        data.is_empty().then_some((event.name.as_str(), values))
    }
}

impl Function {
    /// Its name and what it takes.
    pub fn signature(&self) -> String {
        signature(&self.name, &self.arguments)
    }

    /// A call's input.
    ///
    /// # Errors
    /// When the arguments are not its own.
    pub fn input(&self, texts: &[String]) -> Result<Vec<u8>, InterfaceError> {
        let mut input = vec![self.selector];
        input.extend(encode(&self.signature(), &self.arguments, texts)?);
        Ok(input)
    }

    /// What a success answered; none where it answers nothing.
    ///
    /// # Errors
    /// When the output is not what the interface says.
    pub fn output(&self, output: &[u8]) -> Result<Option<Value>, ValueError> {
        let mut rest = output;
        let value = self
            .returns
            .as_ref()
            .map(|kind| kind.take(&mut rest))
            .transpose()?;
        if rest.is_empty() {
            Ok(value)
        } else {
            Err(ValueError::Left(rest.len()))
        }
    }
}

fn signature(name: &str, arguments: &[Argument]) -> String {
    let arguments: Vec<_> = arguments
        .iter()
        .map(|argument| format!("{}: {}", argument.name, argument.kind))
        .collect();
    format!("{name}({})", arguments.join(", "))
}

fn encode(signature: &str, arguments: &[Argument], texts: &[String]) -> Result<Vec<u8>, InterfaceError> {
    if arguments.len() != texts.len() {
        return Err(InterfaceError::Count {
            signature: signature.to_owned(),
            wanted: arguments.len(),
            given: texts.len(),
        });
    }
    let mut input = Vec::new();
    for (argument, text) in arguments.iter().zip(texts) {
        argument
            .kind
            .encode(text, &mut input)
            .map_err(|source| InterfaceError::Value {
                signature: signature.to_owned(),
                argument: argument.name.clone(),
                source: Box::new(source),
            })?;
    }
    Ok(input)
}

#[cfg(test)]
mod tests;
