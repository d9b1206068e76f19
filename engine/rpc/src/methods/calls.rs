//! Read-only calls, and whatever else computes or reads much. Few run at once, the rest wait their turn, so that a flood of
//! them takes neither the machine from execution nor the threads from other requests.

use std::sync::Arc;

use jsonrpsee::Extensions;
use jsonrpsee::core::RpcResult;
use jsonrpsee::types::ErrorObjectOwned;
use millrace_executor::{ExecutionError, ReadOnlyCall, ReadOnlyOutcome};
use millrace_pipeline::{CallError, Engine};
use millrace_types::{Gas, Outcome};
use serde_json::json;

use super::state::{origin, state_at};
use crate::callers::Caller;
use crate::encoding::Bytes;
use crate::error::{ErrorName, error, internal, limit_exceeded};
use crate::reference::BlockReference;
use crate::server::RpcConfig;
use crate::service::waiting;
use crate::shapes::{CallRequest, CallResult, LogView, TrapView, outcome_word};
use crate::turns::{Turn, Turns};

/// Runs calls.
pub(super) struct Calls {
    engine: Engine,
    gas_limit: Gas,
    turns: Arc<Turns>,
}

impl Calls {
    pub(super) fn new(engine: &Engine, config: &RpcConfig) -> Self {
        Self {
            engine: engine.clone(),
            gas_limit: config.call_gas_limit,
            turns: Turns::new(config.max_concurrent_calls.max(1) as usize),
        }
    }

    /// Gas that one run may use.
    pub(super) fn gas_limit(&self) -> Gas {
        self.gas_limit
    }

    /// Runs a call when it is its turn. A caller that goes away meanwhile gives up its place.
    pub(super) async fn run(
        &self,
        from: &Extensions,
        request: CallRequest,
        reference: BlockReference,
    ) -> RpcResult<CallResult> {
        let gas_limit = request.gas_limit.unwrap_or(self.gas_limit);
        if gas_limit > self.gas_limit {
            return Err(limit_exceeded(
                "gas of a read-only call",
                gas_limit,
                self.gas_limit,
            ));
        }
        let call = ReadOnlyCall {
            from: request.from.unwrap_or_default(),
            to: request.to,
            value: request.value.unwrap_or_default().0,
            input: request.input.0,
            gas_limit,
        };
        self.in_turn(from, move |engine| run(engine, call, reference))
            .await
    }

    /// The caller's turn, as soon as it also takes what it was answered before.
    async fn turn(&self, from: &Extensions) -> Turn {
        let party = from.get::<Caller>().map(Caller::party);
        loop {
            let turn = self.turns.take(party).await;
            match waiting(from) {
                Some(caller) if !caller.pace().has_room() => {
                    drop(turn);
                    caller.pace().room().await;
                }
                _ => return turn,
            }
        }
    }

    /// Does other work that computes or reads much, when it is its turn.
    pub(super) async fn in_turn<T: Send + 'static>(
        &self,
        from: &Extensions,
        work: impl FnOnce(&Engine) -> RpcResult<T> + Send + 'static,
    ) -> RpcResult<T> {
        let turn = self.turn(from).await;
        let engine = self.engine.clone();
        let running = tokio::task::spawn_blocking(move || {
            let answer = work(&engine);
            // Held until the work ends, also when nobody waits for it any more.
            drop(turn);
            answer
        });
        running.await.map_err(|fault| internal(&fault))?
    }
}

fn run(engine: &Engine, call: ReadOnlyCall, reference: BlockReference) -> RpcResult<CallResult> {
    let state = state_at(engine, reference)?;
    let result = engine
        .call(&state, call)
        .map_err(|fault| call_error(&fault, "millrace_call"))?;
    let trap = trap_view(&result);
    Ok(CallResult {
        origin: origin(&state),
        outcome: outcome_word(&result.outcome).to_owned(),
        output: Bytes(result.output),
        gas_used: result.gas_used,
        logs: result.logs.iter().map(LogView::from).collect(),
        trap,
        image_error: result.image_error.map(|fault| fault.to_string()),
    })
}

/// Why a method did not run its `request`.
pub(super) fn call_error(fault: &CallError, method: &str) -> ErrorObjectOwned {
    match fault {
        CallError::Execution(ExecutionError::TooMuchValue { .. }) => {
            let details = json!({ "method": method, "parameter": "request" });
            error(ErrorName::InvalidParams, &fault.to_string(), details)
        }
        fault => internal(fault),
    }
}

/// The newest trap, if it is what a run came to: frames below may have trapped in a call that went on.
pub(super) fn trap_view(run: &ReadOnlyOutcome) -> Option<TrapView> {
    let trapped = run.outcome == Outcome::Trapped;
    run.traps.last().filter(|_| trapped).map(TrapView::from)
}
