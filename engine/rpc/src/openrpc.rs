//! The surface described for machines: an OpenRPC document, made from the types that decode the parameters and encode the
//! results.
//!
//! What each method takes is in `parameters`, where requests are judged by it. What it answers is
//! here, by type; the server's trait cannot tell. A test validates real answers against the document, which is committed as
//! `docs/spec/openrpc.json` and served as [`DISCOVER`].

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::error::ErrorName;
use crate::parameters::{METHODS, Parameter};
use crate::shapes::{
    AccountView, BlockView, CallResult, ChainSpecView, CodeView, ExecutionReceiptView, GasEstimateView,
    LocatedTransactionView, LogsView, Notification, SealedHeader, Settlement, StateView, Status, StorageView,
    TransactionReceiptView, TransactionStatusView,
};

/// The method that answers the document; its name is OpenRPC's.
pub const DISCOVER: &str = "rpc.discover";

/// The version of OpenRPC; schemas are of JSON Schema's draft 7, as it asks.
const OPENRPC: &str = "1.3.2";

/// What a method is for and what it answers.
struct Description {
    method: &'static str,
    summary: &'static str,
    /// The result's name and its schema.
    result: (&'static str, fn(&mut SchemaGenerator) -> Schema),
    /// What it may fail with besides [`ANY`].
    errors: &'static [ErrorName],
}

impl Description {
    const fn of<T: JsonSchema>(
        method: &'static str,
        summary: &'static str,
        result: &'static str,
        errors: &'static [ErrorName],
    ) -> Self {
        Self {
            method,
            summary,
            result: (result, SchemaGenerator::subschema_for::<T>),
            errors,
        }
    }
}

/// What every method may fail with.
const ANY: [ErrorName; 3] = [
    ErrorName::InvalidParams,
    ErrorName::LimitExceeded,
    ErrorName::Internal,
];
/// What is answered instead of a call's result, whatever the method.
const NO_METHOD: [ErrorName; 3] = [
    ErrorName::ParseError,
    ErrorName::InvalidRequest,
    ErrorName::MethodNotFound,
];
const OF_STATE: &[ErrorName] = &[ErrorName::NotExecuted, ErrorName::Pruned, ErrorName::UnknownBlock];
const OF_ESTIMATING: &[ErrorName] = &[
    ErrorName::NotExecuted,
    ErrorName::Pruned,
    ErrorName::UnknownBlock,
    ErrorName::GasLimitTooLow,
    ErrorName::GasLimitTooHigh,
];
const OF_LOGS: &[ErrorName] = &[
    ErrorName::NotExecuted,
    ErrorName::UnknownBlock,
    ErrorName::NotCanonical,
];
const OF_SENDING: &[ErrorName] = &[
    ErrorName::Malformed,
    ErrorName::WrongChainId,
    ErrorName::InvalidSignature,
    ErrorName::TooLarge,
    ErrorName::GasLimitTooLow,
    ErrorName::GasLimitTooHigh,
    ErrorName::GasPriceTooLow,
    ErrorName::NonceTooLow,
    ErrorName::CostOverflow,
    ErrorName::NonceTooFar,
    ErrorName::ReplacementUnderpriced,
    ErrorName::SenderLimit,
    ErrorName::PoolFull,
    ErrorName::Stopped,
];
/// Over plain HTTP.
const OF_SUBSCRIBING: &[ErrorName] = &[ErrorName::InvalidRequest];

/// Every method, in the order of `docs/spec/rpc.md`.
const DESCRIPTIONS: &[Description] = &[
    Description::of::<Status>(
        "millrace_status",
        "Heights, lag, pressure, pool, plugin.",
        "status",
        &[],
    ),
    Description::of::<ChainSpecView>("millrace_chainSpec", "The chain spec.", "chain_spec", &[]),
    Description::of::<Option<BlockView>>("millrace_getBlock", "A block, or null.", "block", &[]),
    Description::of::<Vec<SealedHeader>>(
        "millrace_getHeaders",
        "Finalized headers with certificates, from a height upward.",
        "headers",
        &[ErrorName::UnknownBlock],
    ),
    Description::of::<Option<ExecutionReceiptView>>(
        "millrace_getExecutionReceipt",
        "A block's execution receipt, or null.",
        "receipt",
        &[],
    ),
    Description::of::<Option<Settlement>>(
        "millrace_getSettlement",
        "What settles a height, or null while nothing does.",
        "settlement",
        &[],
    ),
    Description::of::<Option<LocatedTransactionView>>(
        "millrace_getTransaction",
        "A transaction and its place, or null.",
        "transaction",
        &[],
    ),
    Description::of::<Option<TransactionReceiptView>>(
        "millrace_getTransactionReceipt",
        "A transaction's receipt, or null.",
        "receipt",
        &[],
    ),
    Description::of::<TransactionStatusView>(
        "millrace_getTransactionStatus",
        "Where a transaction is.",
        "status",
        &[],
    ),
    Description::of::<AccountView>("millrace_getAccount", "An account.", "account", OF_STATE),
    Description::of::<StorageView>(
        "millrace_getStorage",
        "A contract's storage slot.",
        "storage",
        OF_STATE,
    ),
    Description::of::<CodeView>("millrace_getCode", "A contract's code.", "code", OF_STATE),
    Description::of::<StateView>(
        "millrace_getState",
        "Raw values by their paths in the state.",
        "values",
        OF_STATE,
    ),
    Description::of::<CallResult>(
        "millrace_call",
        "Runs a contract and keeps nothing.",
        "outcome",
        OF_STATE,
    ),
    Description::of::<GasEstimateView>(
        "millrace_estimateGas",
        "The smallest gas limit with which a transaction succeeds.",
        "estimate",
        OF_ESTIMATING,
    ),
    Description::of::<LogsView>(
        "millrace_getLogs",
        "Logs of the canonical chain, a page at a time.",
        "logs",
        OF_LOGS,
    ),
    Description::of::<millrace_types::Hash>(
        "millrace_sendTransaction",
        "Takes a signed transaction; answers admission problems at once and by name.",
        "hash",
        OF_SENDING,
    ),
    Description::of::<SubscriptionId>(
        "millrace_subscribe",
        "Numbered notifications, over a WebSocket.",
        "subscription",
        OF_SUBSCRIBING,
    ),
    Description::of::<bool>(
        "millrace_unsubscribe",
        "Ends a subscription, over a WebSocket.",
        "ended",
        OF_SUBSCRIBING,
    ),
    Description::of::<Document>(DISCOVER, "This document.", "document", &[]),
];

/// What subscribing answers.
struct SubscriptionId;

impl JsonSchema for SubscriptionId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SubscriptionId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The id of a subscription of this connection.",
            "type": ["integer", "string"],
        })
    }
}

/// The document itself.
struct Document;

impl JsonSchema for Document {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Document".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An OpenRPC document.",
            "type": "object",
            "required": ["openrpc", "info", "methods", "components"],
            "properties": {
                "openrpc": { "const": OPENRPC },
                "info": { "type": "object" },
                "methods": { "type": "array", "items": { "type": "object" } },
                "components": { "type": "object" },
            },
            "additionalProperties": true,
        })
    }
}

/// The document, made once.
static DOCUMENT: LazyLock<Box<RawValue>> =
    LazyLock::new(|| serde_json::value::to_raw_value(&document()).expect("a JSON value has a text"));

/// The document as it is served.
pub(crate) fn served() -> &'static RawValue {
    &DOCUMENT
}

/// Makes schemas that refer to `#/components/schemas`.
fn generator(settings: SchemaSettings) -> SchemaGenerator {
    let settings = settings.with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    settings.into_generator()
}

fn document() -> Value {
    // A field that has a default may be left out of what is sent here, and is never left out of what is answered.
    let mut taken = generator(SchemaSettings::draft07().for_deserialize());
    let mut given = generator(SchemaSettings::draft07().for_serialize());
    let described = METHODS.iter().filter_map(|(method, parameters)| {
        let description = DESCRIPTIONS.iter().find(|known| known.method == *method)?;
        Some(method_object(description, parameters, &mut taken, &mut given))
    });
    let methods: Vec<Value> = described.collect();
    let mut schemas = taken.take_definitions(true);
    schemas.extend(given.take_definitions(true));
    json!({
        "openrpc": OPENRPC,
        "info": {
            "title": "Millrace",
            "description": "What a node answers. The contract, with the meaning of everything, is docs/spec/rpc.md.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "name": "a node on this machine", "url": "http://127.0.0.1:4860" }],
        "methods": methods,
        "components": {
            "schemas": schemas,
            "errors": errors(),
        },
        "x-errors": references(&NO_METHOD),
    })
}

fn method_object(
    description: &Description,
    parameters: &[Parameter],
    taken: &mut SchemaGenerator,
    given: &mut SchemaGenerator,
) -> Value {
    let params: Vec<Value> = parameters
        .iter()
        .map(|parameter| parameter.described(taken))
        .collect();
    let (name, schema) = description.result;
    let mut errors = ANY.to_vec();
    errors.extend(description.errors);
    let mut method = json!({
        "name": description.method,
        "summary": description.summary,
        "paramStructure": "either",
        "params": params,
        "result": { "name": name, "schema": schema(given) },
        "errors": references(&errors),
    });
    if description.method == "millrace_subscribe" {
        // OpenRPC knows no notifications.
        method["x-notification"] = json!({
            "name": "millrace_notification",
            "schema": given.subschema_for::<Notification>(),
        });
    }
    method
}

fn references(errors: &[ErrorName]) -> Vec<Value> {
    let reference = |name: &ErrorName| json!({ "$ref": format!("#/components/errors/{}", name.as_str()) });
    errors.iter().map(reference).collect()
}

/// Every error by its name, which stands in an answer's `data.name`.
fn errors() -> Map<String, Value> {
    let error = |name: &ErrorName| {
        let data = json!({ "name": name.as_str() });
        let error = json!({ "code": name.code(), "message": name.meaning(), "data": data });
        (name.as_str().to_owned(), error)
    };
    ErrorName::ALL.iter().map(error).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_described_and_nothing_else() {
        let taken: Vec<&str> = METHODS.iter().map(|(name, _)| *name).collect();
        let described: Vec<&str> = DESCRIPTIONS.iter().map(|known| known.method).collect();
        assert_eq!(taken, described);
    }

    /// A shape that is both taken and given has one name and must have one schema.
    #[test]
    fn what_is_taken_and_given_is_described_alike() {
        let mut taken = generator(SchemaSettings::draft07().for_deserialize());
        let mut given = generator(SchemaSettings::draft07().for_serialize());
        for (method, parameters) in METHODS {
            let description = DESCRIPTIONS.iter().find(|known| known.method == *method);
            method_object(
                description.expect("described"),
                parameters,
                &mut taken,
                &mut given,
            );
        }
        let given = given.take_definitions(true);
        for (name, schema) in taken.take_definitions(true) {
            assert!(given.get(&name).is_none_or(|other| *other == schema), "{name}");
        }
    }
}
