//! Errors of the surface: stable names and codes, messages that say what to do. The table is in `docs/spec/rpc.md`.

use jsonrpsee::types::ErrorObjectOwned;
use millrace_ledger::LedgerError;
use millrace_mempool::InsertError;
use millrace_pipeline::{StateError, SubmitError};
use serde_json::{Value, json};

use crate::reference::BlockReference;

macro_rules! error_names {
    ($(#[doc = $meaning:literal] $name:ident = $code:literal,)*) => {
        /// Every name that an error of the surface can have in `data.name`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ErrorName {
            $(#[doc = $meaning] $name,)*
        }

        impl ErrorName {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name as it is in `data.name`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning.trim_ascii(),)*
                }
            }

            /// The JSON-RPC code that it comes with.
            #[must_use]
            pub fn code(self) -> i32 {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

error_names! {
    /// No JSON.
    ParseError = -32700,
    /// JSON, but no call.
    InvalidRequest = -32600,
    /// There is no such method.
    MethodNotFound = -32601,
    /// A parameter is missing or does not parse.
    InvalidParams = -32602,
    /// A fault of this node.
    Internal = -32603,
    /// State asked beyond execution.
    NotExecuted = -32001,
    /// State older than the retention window.
    Pruned = -32002,
    /// State of a block that is not stored.
    UnknownBlock = -32003,
    /// A block that a search for logs names or goes on from is not on the canonical chain.
    NotCanonical = -32004,
    /// No encoding of a signed transaction.
    Malformed = -32010,
    /// For another chain.
    WrongChainId = -32010,
    /// The signature does not verify.
    InvalidSignature = -32010,
    /// More bytes than the chain allows.
    TooLarge = -32010,
    /// Less gas than inclusion alone costs.
    GasLimitTooLow = -32010,
    /// More gas than the chain allows.
    GasLimitTooHigh = -32010,
    /// Below the chain's least price.
    GasPriceTooLow = -32010,
    /// The nonce is used.
    NonceTooLow = -32010,
    /// No account could pay it.
    CostOverflow = -32010,
    /// The nonce is too far ahead to be kept.
    NonceTooFar = -32011,
    /// A pooled transaction with the same nonce pays as much.
    ReplacementUnderpriced = -32011,
    /// The sender has as many in the pool as it may.
    SenderLimit = -32011,
    /// The pool is full of dearer ones.
    PoolFull = -32011,
    /// The engine takes no transactions any more.
    Stopped = -32020,
    /// A request passes a limit of the server.
    LimitExceeded = -32021,
}

/// An error with a name and its numbers. A message that begins with the name goes without: it stands beside it.
#[must_use]
pub fn error(name: ErrorName, message: &str, mut details: Value) -> ErrorObjectOwned {
    let message = message
        .strip_prefix(name.as_str())
        .and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(message);
    if let Value::Object(fields) = &mut details {
        fields.insert("name".to_owned(), Value::String(name.as_str().to_owned()));
    }
    ErrorObjectOwned::owned(name.code(), message.to_owned(), Some(details))
}

/// A request that asks for more than the server gives.
pub(crate) fn limit_exceeded(what: &str, asked: u64, limit: u64) -> ErrorObjectOwned {
    let message = format!("{what}: {asked} asked, this node's limit is {limit}; ask for less at a time");
    error(
        ErrorName::LimitExceeded,
        &message,
        json!({ "what": what, "asked": asked, "limit": limit }),
    )
}

/// A fault of this node: logged here with its cause, named to the caller.
pub(crate) fn internal(fault: &dyn std::fmt::Display) -> ErrorObjectOwned {
    tracing::error!(%fault, "a request failed because of this node");
    error(
        ErrorName::Internal,
        &format!("this node failed: {fault}"),
        json!({}),
    )
}

/// The ledger could not be read.
pub(crate) fn ledger_error(fault: &LedgerError) -> ErrorObjectOwned {
    internal(fault)
}

/// There is no state of the block that `asked` names.
pub(crate) fn state_error(fault: &StateError, asked: BlockReference) -> ErrorObjectOwned {
    let message = fault.to_string();
    match fault {
        StateError::NotExecuted { asked, executed } => error(
            ErrorName::NotExecuted,
            &message,
            json!({ "asked": asked, "executed": executed }),
        ),
        StateError::Pruned { asked, oldest } => error(
            ErrorName::Pruned,
            &message,
            json!({ "asked": asked, "oldest": oldest }),
        ),
        StateError::Unknown => {
            let asked = json!(asked);
            let message = format!("this node stores no block {asked}; ask by tag or height, or another node");
            error(ErrorName::UnknownBlock, &message, json!({ "asked": asked }))
        }
        StateError::Ledger(fault) => ledger_error(fault),
    }
}

/// A transaction was not taken.
pub(crate) fn submit_error(fault: &SubmitError) -> ErrorObjectOwned {
    let (name, details) = match fault {
        SubmitError::WrongChainId { found, expected } => (
            ErrorName::WrongChainId,
            json!({ "found": found, "expected": expected }),
        ),
        SubmitError::InvalidSignature(_) => (ErrorName::InvalidSignature, json!({})),
        SubmitError::TooLarge { size, limit } => {
            (ErrorName::TooLarge, json!({ "size": size, "limit": limit }))
        }
        SubmitError::GasLimitTooLow { limit, intrinsic } => (
            ErrorName::GasLimitTooLow,
            json!({ "limit": limit, "intrinsic": intrinsic }),
        ),
        SubmitError::GasLimitTooHigh { limit, max } => {
            (ErrorName::GasLimitTooHigh, json!({ "limit": limit, "max": max }))
        }
        SubmitError::GasPriceTooLow { price, min } => {
            (ErrorName::GasPriceTooLow, json!({ "price": price, "min": min }))
        }
        SubmitError::Pool(refusal) => pool_error(refusal),
        SubmitError::Stopped(reason) => (ErrorName::Stopped, json!({ "reason": reason.to_string() })),
    };
    error(name, &fault.to_string(), details)
}

/// The pool's own refusals: some are for good, some pass.
fn pool_error(refusal: &InsertError) -> (ErrorName, Value) {
    match refusal {
        InsertError::NonceTooLow { given, next } => {
            (ErrorName::NonceTooLow, json!({ "given": given, "next": next }))
        }
        InsertError::CostOverflow => (ErrorName::CostOverflow, json!({})),
        InsertError::NonceTooHigh { given, max } => {
            (ErrorName::NonceTooFar, json!({ "given": given, "max": max }))
        }
        InsertError::ReplacementUnderpriced { nonce, price, needed } => (
            ErrorName::ReplacementUnderpriced,
            json!({ "nonce": nonce, "price": price, "needed": needed }),
        ),
        InsertError::SenderLimit { limit } => (ErrorName::SenderLimit, json!({ "limit": limit })),
        InsertError::PoolFull {
            transactions,
            bytes,
            cheapest,
        } => (
            ErrorName::PoolFull,
            json!({ "transactions": transactions, "bytes": bytes, "cheapest": cheapest }),
        ),
    }
}
