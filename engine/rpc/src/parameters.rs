//! What each method takes: the reason why a wrong parameter is answered by its name, and one too many not ignored.
//!
//! The generated server decodes parameters by itself and says only that one is wrong. [`Given::of`] counts them before
//! a call, and [`Given::culprit`] looks for the wrong one after it.

use std::fmt;
use std::marker::PhantomData;

use jsonrpsee::types::ErrorObjectOwned;
use millrace_types::{Address, Hash, Height};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::encoding::Bytes;
use crate::error::{ErrorName, error};
use crate::openrpc::DISCOVER;
use crate::reference::BlockReference;
use crate::shapes::{CallRequest, EstimateRequest, LogQueryView, Topic, TransactionDetail};

/// One parameter of a method.
pub(crate) struct Parameter {
    name: &'static str,
    /// For people: what it may be.
    form: &'static str,
    is_optional: bool,
    read: fn(&str) -> serde_json::Result<()>,
    schema: fn(&mut SchemaGenerator) -> Schema,
}

impl Parameter {
    const fn required<T: DeserializeOwned + JsonSchema>(name: &'static str, form: &'static str) -> Self {
        Self {
            name,
            form,
            is_optional: false,
            read: read::<T>,
            schema: SchemaGenerator::subschema_for::<T>,
        }
    }

    const fn optional<T: DeserializeOwned + JsonSchema>(name: &'static str, form: &'static str) -> Self {
        Self {
            name,
            form,
            is_optional: true,
            read: read::<Option<T>>,
            schema: SchemaGenerator::subschema_for::<Option<T>>,
        }
    }

    /// As OpenRPC describes it.
    pub(crate) fn described(&self, generator: &mut SchemaGenerator) -> Value {
        json!({
            "name": self.name,
            "description": self.form,
            "required": !self.is_optional,
            "schema": (self.schema)(generator),
        })
    }
}

fn read<T: DeserializeOwned>(json: &str) -> serde_json::Result<()> {
    serde_json::from_str::<T>(json).map(drop)
}

const A_BLOCK: &str = "a tag, a height, or a block hash";
const A_HASH: &str = "a hash (64 hex digits after 0x)";
const AN_ADDRESS: &str = "an address (64 hex digits after 0x)";
const A_HEIGHT: &str = "a height (a number)";
const A_FLAG: &str = "true or false";
const SOME_BYTES: &str = "bytes (pairs of hex digits after 0x)";

const AT_BLOCK: Parameter = Parameter::optional::<BlockReference>("block", A_BLOCK);
const HASH: Parameter = Parameter::required::<Hash>("hash", A_HASH);
const CONTRACT: Parameter = Parameter::required::<Address>("contract", AN_ADDRESS);
const PROOF: Parameter = Parameter::optional::<bool>("proof", A_FLAG);

const NO_PARAMETERS: &[Parameter] = &[];

/// Every method with what it takes, in the order of `docs/spec/rpc.md`.
pub(crate) const METHODS: &[(&str, &[Parameter])] = &[
    ("millrace_status", NO_PARAMETERS),
    ("millrace_chainSpec", NO_PARAMETERS),
    (
        "millrace_getBlock",
        &[
            AT_BLOCK,
            Parameter::optional::<TransactionDetail>("transactions", "\"hashes\" or \"full\""),
        ],
    ),
    (
        "millrace_getHeaders",
        &[
            Parameter::required::<Height>("first", A_HEIGHT),
            Parameter::required::<u64>("count", "a number"),
        ],
    ),
    ("millrace_getExecutionReceipt", &[AT_BLOCK]),
    (
        "millrace_getSettlement",
        &[Parameter::required::<Height>("height", A_HEIGHT)],
    ),
    ("millrace_getTransaction", &[HASH]),
    ("millrace_getTransactionReceipt", &[HASH, PROOF]),
    ("millrace_getTransactionStatus", &[HASH]),
    (
        "millrace_getAccount",
        &[
            Parameter::required::<Address>("address", AN_ADDRESS),
            AT_BLOCK,
            PROOF,
        ],
    ),
    (
        "millrace_getStorage",
        &[
            CONTRACT,
            Parameter::required::<Bytes>("key", SOME_BYTES),
            AT_BLOCK,
            PROOF,
        ],
    ),
    ("millrace_getCode", &[CONTRACT, AT_BLOCK, PROOF]),
    (
        "millrace_getState",
        &[
            Parameter::required::<Vec<Hash>>("paths", "a list of paths (each 64 hex digits after 0x)"),
            AT_BLOCK,
            PROOF,
        ],
    ),
    (
        "millrace_call",
        &[
            Parameter::required::<CallRequest>(
                "request",
                "an object of `to`, and as you like `from`, `input`, `value` (a decimal string), `gas_limit`",
            ),
            AT_BLOCK,
        ],
    ),
    (
        "millrace_estimateGas",
        &[
            Parameter::required::<EstimateRequest>(
                "request",
                "an object of `kind` (\"transfer\", \"deploy\" or \"call\"), `to` or `code`, and as you like `from`, `input`, `value` (a decimal string), `gas_limit`",
            ),
            AT_BLOCK,
        ],
    ),
    (
        "millrace_getLogs",
        &[Parameter::required::<LogQueryView>(
            "filter",
            "an object of, as you like, `from` and `to` or `block` (a tag, a height, or a block hash), `contract` (an address, or a list), `topics` (a list by position: null, a topic, or a list), `limit`, `cursor`",
        )],
    ),
    (
        "millrace_sendTransaction",
        &[Parameter::required::<Bytes>("transaction", SOME_BYTES)],
    ),
    (
        "millrace_subscribe",
        &[Parameter::required::<Topic>(
            "topic",
            "\"finalized\", \"executed\", \"settled\", \"head\", \"transactions\", or { \"logs\": filter } with `contract` and `topics` as you like",
        )],
    ),
    (
        "millrace_unsubscribe",
        &[Parameter::required::<serde_json::Value>(
            "subscription",
            "what subscribing answered",
        )],
    ),
    (DISCOVER, NO_PARAMETERS),
];

/// What `method` takes, in order; `None` for no method of this node.
pub(crate) fn parameters_of(method: &str) -> Option<&'static [Parameter]> {
    let (_, parameters) = METHODS.iter().find(|(name, _)| *name == method)?;
    Some(parameters)
}

/// Every method by name.
pub fn method_names() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|(name, _)| *name)
}

/// Judges the parameters of a call of `method`, a JSON text, as the server does.
///
/// # Errors
/// What the server answers if they are not what the method takes, or if there is no such method.
pub fn judge_parameters(method: &str, params: &str) -> Result<(), ErrorObjectOwned> {
    let parameters = parameters_of(method).ok_or_else(|| no_method(method))?;
    let given = Given::of(method, parameters, Some(params))?;
    given.culprit().map_or(Ok(()), Err)
}

/// There is no such method.
pub(crate) fn no_method(method: &str) -> ErrorObjectOwned {
    let name: String = method.chars().take(80).collect();
    let message = format!("there is no method {name:?}; docs/spec/rpc.md lists them all");
    error(ErrorName::MethodNotFound, &message, json!({ "method": name }))
}

/// The method's name as a label of metrics. All names that are none share one, so that no caller can make labels
/// without end.
pub(crate) fn metric_name(method: &str) -> &'static str {
    METHODS
        .iter()
        .find(|(name, _)| *name == method)
        .map_or("unknown", |(name, _)| *name)
}

/// The parameters of one request, each beside its description.
pub(crate) struct Given<'a> {
    method: &'a str,
    values: Vec<(&'static Parameter, Option<&'a str>)>,
}

impl<'a> Given<'a> {
    /// Sorts out what was given, by place or by name.
    ///
    /// # Errors
    /// `InvalidParams` when there are too many, a required one is missing, or a name is unknown.
    pub(crate) fn of(
        method: &'a str,
        parameters: &'static [Parameter],
        params: Option<&'a str>,
    ) -> Result<Self, ErrorObjectOwned> {
        let params = params.unwrap_or("[]").trim_ascii_start();
        let values = match params.as_bytes().first() {
            Some(b'[') => by_place(method, parameters, params)?,
            Some(b'{') => by_name(method, parameters, params)?,
            _ => {
                let message = format!(
                    "{method}: params is {}, neither a list nor an object; {}",
                    shortened(params),
                    usage(parameters)
                );
                return Err(invalid(&message, method, None));
            }
        };
        let missing =
            |(parameter, value): &&(&Parameter, Option<&str>)| !parameter.is_optional && value.is_none();
        if let Some((parameter, _)) = values.iter().find(missing) {
            let message = format!(
                "{method}: parameter `{}` is missing; it is {}",
                parameter.name, parameter.form
            );
            return Err(invalid(&message, method, Some(parameter)));
        }
        Ok(Self { method, values })
    }

    /// The first parameter that does not decode, if there is one.
    pub(crate) fn culprit(&self) -> Option<ErrorObjectOwned> {
        self.values.iter().find_map(|(parameter, value)| {
            let value = (*value)?;
            let fault = (parameter.read)(value).err()?;
            let message = format!(
                "{}: parameter `{}` is {} and takes {}: {}",
                self.method,
                parameter.name,
                shortened(value),
                parameter.form,
                reason(&fault)
            );
            Some(invalid(&message, self.method, Some(parameter)))
        })
    }
}

type Values<'a> = Vec<(&'static Parameter, Option<&'a str>)>;

fn by_place<'a>(
    method: &str,
    parameters: &'static [Parameter],
    params: &'a str,
) -> Result<Values<'a>, ErrorObjectOwned> {
    let given: Vec<&RawValue> = serde_json::from_str(params)
        .map_err(|fault| invalid(&format!("{method}: params: {}", reason(&fault)), method, None))?;
    if given.len() > parameters.len() {
        let message = format!(
            "{method}: parameters given: {}; {}",
            given.len(),
            usage(parameters)
        );
        return Err(invalid(&message, method, None));
    }
    let values = given
        .iter()
        .map(|value| Some(value.get()))
        .chain(std::iter::repeat(None));
    Ok(parameters.iter().zip(values).collect())
}

fn by_name<'a>(
    method: &str,
    parameters: &'static [Parameter],
    params: &'a str,
) -> Result<Values<'a>, ErrorObjectOwned> {
    let Named(given) = serde_json::from_str(params)
        .map_err(|fault| invalid(&format!("{method}: params: {}", reason(&fault)), method, None))?;
    let is_unknown = |(name, _): &&(String, _)| parameters.iter().all(|parameter| parameter.name != name);
    if let Some((name, _)) = given.iter().find(is_unknown) {
        let message = format!(
            "{method}: there is no parameter `{}`; {}",
            shortened(name),
            usage(parameters)
        );
        return Err(invalid(&message, method, None));
    }
    let value = |parameter: &'static Parameter| {
        let mut values = given.iter().filter(|(name, _)| name == parameter.name);
        let value = values.next().map(|(_, value)| value.get());
        match values.next() {
            None => Ok((parameter, value)),
            Some(_) => {
                let message = format!("{method}: parameter `{}` is given twice", parameter.name);
                Err(invalid(&message, method, Some(parameter)))
            }
        }
    };
    parameters.iter().map(value).collect()
}

/// The fields of an object as they stand there, those with the same name too.
struct Named<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Named<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Fields<'a> {
            type Value = Named<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Named<'a>, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Named(fields))
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// For people: what a method takes.
fn usage(parameters: &[Parameter]) -> String {
    if parameters.is_empty() {
        return "it takes none".to_owned();
    }
    let names: Vec<String> = parameters
        .iter()
        .map(|parameter| match parameter.is_optional {
            true => format!("`{}` (optional)", parameter.name),
            false => format!("`{}`", parameter.name),
        })
        .collect();
    format!("it takes {}", names.join(", "))
}

fn invalid(message: &str, method: &str, parameter: Option<&Parameter>) -> ErrorObjectOwned {
    let details = match parameter {
        Some(Parameter { name, form, .. }) => {
            json!({ "method": method, "parameter": name, "expected": form })
        }
        None => json!({ "method": method }),
    };
    error(ErrorName::InvalidParams, message, details)
}

/// A value as it was given, cut at 80 characters.
fn shortened(value: &str) -> String {
    const MOST: usize = 80;
    if value.chars().count() <= MOST {
        return value.to_owned();
    }
    let start: String = value.chars().take(MOST).collect();
    format!("{start}…")
}

/// What the decoder said, without the place: it counts from the start of the one parameter. It quotes what it found, however
/// long that is, between what is wrong and what it expected.
fn reason(fault: &serde_json::Error) -> String {
    const START: usize = 100;
    const END: usize = 300;
    let text = fault.to_string();
    let text = text
        .rfind(" at line ")
        .map_or(text.as_str(), |place| &text[..place]);
    let many = text.chars().count();
    if many <= START + END {
        return text.to_owned();
    }
    let start = text.chars().take(START);
    let end = text.chars().skip(many - END);
    start.chain(['…']).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(method: &'static str, params: &'static str) -> Option<String> {
        let parameters = parameters_of(method).expect("a method");
        let fault = match Given::of(method, parameters, Some(params)) {
            Ok(given) => given.culprit()?,
            Err(fault) => fault,
        };
        Some(fault.message().to_owned())
    }

    #[test]
    fn what_a_method_takes_has_no_culprit_by_place_or_by_name() {
        for (method, params) in [
            ("millrace_status", "[]"),
            ("millrace_getBlock", "[7]"),
            ("millrace_getBlock", " [\"latest\", null]"),
            ("millrace_getBlock", "{\"transactions\": \"full\", \"block\": 7}"),
            ("millrace_getHeaders", "[0, 1]"),
            ("millrace_subscribe", "[\"finalized\"]"),
        ] {
            assert_eq!(answer(method, params), None, "{method} {params}");
        }
    }

    #[test]
    fn a_parameter_that_is_given_twice_is_named() {
        let params = "{\"block\": 7, \"block\": 7}";
        let message = answer("millrace_getBlock", params).expect("which of them is meant?");
        assert_eq!(message, "millrace_getBlock: parameter `block` is given twice");
    }

    #[test]
    fn a_long_value_is_cut() {
        let long = "ü".repeat(1000);
        for (method, params, most) in [
            ("millrace_getCode", format!("[\"{long}\"]"), 250),
            ("millrace_subscribe", format!("[\"{long}\"]"), 750),
            (
                "millrace_subscribe",
                format!("[{{\"logs\":{{\"{long}\":1}}}}]"),
                750,
            ),
            ("millrace_getLogs", format!("[{{\"{long}\":1}}]"), 750),
            ("millrace_call", format!("{{\"{long}\":1}}"), 250),
        ] {
            let params: &'static str = Box::leak(params.into_boxed_str());
            let message = answer(method, params).expect("there is no such thing");
            assert!(message.chars().count() < most, "{message}");
        }
        let message = answer("millrace_subscribe", "[\"newest\"]").expect("no topic");
        assert!(
            message.ends_with(
                "unknown variant `newest`, expected one of `finalized`, `executed`, `settled`, `head`, `transactions`, `logs`"
            ),
            "{message}"
        );
    }
}
