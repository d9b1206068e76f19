//! Errors of the surface: stable names and codes, messages that say what to do. The table is in `docs/spec/rpc.md`.

use jsonrpsee::types::ErrorObjectOwned;
use millrace_ledger::LedgerError;
use millrace_mempool::InsertError;
use millrace_pipeline::{StateError, SubmitError};
use serde_json::{Value, json};

use crate::reference::BlockReference;

/// Codes of the surface's own errors.
pub mod codes {
    /// State asked beyond execution.
    pub const NOT_EXECUTED: i32 = -32001;
    /// State older than the retention window.
    pub const PRUNED: i32 = -32002;
    /// State of a block that is not stored.
    pub const UNKNOWN_BLOCK: i32 = -32003;
    /// A transaction that will never be taken.
    pub const REFUSED: i32 = -32010;
    /// A transaction that is not taken now.
    pub const REFUSED_FOR_NOW: i32 = -32011;
    /// The engine has stopped.
    pub const STOPPED: i32 = -32020;
    /// A request passes a limit of the server.
    pub const LIMIT_EXCEEDED: i32 = -32021;
    /// A fault of this node.
    pub const INTERNAL: i32 = -32603;
    /// A parameter does not parse.
    pub const INVALID_PARAMS: i32 = -32602;
    /// No such method.
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// JSON, but no request.
    pub const INVALID_REQUEST: i32 = -32600;
    /// No JSON.
    pub const PARSE_ERROR: i32 = -32700;
}

/// An error with a name and its numbers.
#[must_use]
pub fn error(code: i32, name: &str, message: &str, mut details: Value) -> ErrorObjectOwned {
    if let Value::Object(fields) = &mut details {
        fields.insert("name".to_owned(), Value::String(name.to_owned()));
    }
    ErrorObjectOwned::owned(code, message.to_owned(), Some(details))
}

/// A request that asks for more than the server gives.
pub(crate) fn limit_exceeded(what: &str, asked: u64, limit: u64) -> ErrorObjectOwned {
    let message = format!("{what}: {asked} asked, this node's limit is {limit}; ask for less at a time");
    error(
        codes::LIMIT_EXCEEDED,
        "LimitExceeded",
        &message,
        json!({ "what": what, "asked": asked, "limit": limit }),
    )
}

/// A fault of this node: logged here with its cause, named to the caller.
pub(crate) fn internal(fault: &dyn std::fmt::Display) -> ErrorObjectOwned {
    tracing::error!(%fault, "a request failed because of this node");
    error(
        codes::INTERNAL,
        "Internal",
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
            codes::NOT_EXECUTED,
            "NotExecuted",
            &message,
            json!({ "asked": asked, "executed": executed }),
        ),
        StateError::Pruned { asked, oldest } => error(
            codes::PRUNED,
            "Pruned",
            &message,
            json!({ "asked": asked, "oldest": oldest }),
        ),
        StateError::Unknown => {
            let asked = json!(asked);
            let message = format!(
                "UnknownBlock: this node stores no block {asked}; ask by tag or height, or another node"
            );
            error(
                codes::UNKNOWN_BLOCK,
                "UnknownBlock",
                &message,
                json!({ "asked": asked }),
            )
        }
        StateError::Ledger(fault) => ledger_error(fault),
    }
}

/// A transaction was not taken.
pub(crate) fn submit_error(fault: &SubmitError) -> ErrorObjectOwned {
    use codes::REFUSED;
    let (code, name, details) = match fault {
        SubmitError::WrongChainId { found, expected } => (
            REFUSED,
            "WrongChainId",
            json!({ "found": found, "expected": expected }),
        ),
        SubmitError::InvalidSignature(_) => (REFUSED, "InvalidSignature", json!({})),
        SubmitError::TooLarge { size, limit } => {
            (REFUSED, "TooLarge", json!({ "size": size, "limit": limit }))
        }
        SubmitError::GasLimitTooLow { limit, intrinsic } => (
            REFUSED,
            "GasLimitTooLow",
            json!({ "limit": limit, "intrinsic": intrinsic }),
        ),
        SubmitError::GasLimitTooHigh { limit, max } => {
            (REFUSED, "GasLimitTooHigh", json!({ "limit": limit, "max": max }))
        }
        SubmitError::GasPriceTooLow { price, min } => {
            (REFUSED, "GasPriceTooLow", json!({ "price": price, "min": min }))
        }
        SubmitError::Pool(refusal) => pool_error(refusal),
        SubmitError::Stopped(reason) => (codes::STOPPED, "Stopped", json!({ "reason": reason.to_string() })),
    };
    error(code, name, &fault.to_string(), details)
}

/// The pool's own refusals: some are for good, some pass.
fn pool_error(refusal: &InsertError) -> (i32, &'static str, Value) {
    use codes::{REFUSED, REFUSED_FOR_NOW};
    match refusal {
        InsertError::NonceTooLow { given, next } => {
            (REFUSED, "NonceTooLow", json!({ "given": given, "next": next }))
        }
        InsertError::CostOverflow => (REFUSED, "CostOverflow", json!({})),
        InsertError::NonceTooHigh { given, max } => (
            REFUSED_FOR_NOW,
            "NonceTooFar",
            json!({ "given": given, "max": max }),
        ),
        InsertError::ReplacementUnderpriced { nonce, price, needed } => (
            REFUSED_FOR_NOW,
            "ReplacementUnderpriced",
            json!({ "nonce": nonce, "price": price, "needed": needed }),
        ),
        InsertError::SenderLimit { limit } => (REFUSED_FOR_NOW, "SenderLimit", json!({ "limit": limit })),
        InsertError::PoolFull {
            transactions,
            bytes,
            cheapest,
        } => (
            REFUSED_FOR_NOW,
            "PoolFull",
            json!({ "transactions": transactions, "bytes": bytes, "cheapest": cheapest }),
        ),
    }
}
