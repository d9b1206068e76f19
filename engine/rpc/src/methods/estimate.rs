//! Gas estimates: a search by trial runs, bounded in all as well as each.

use jsonrpsee::Extensions;
use jsonrpsee::core::RpcResult;
use millrace_pipeline::{Engine, SubmitError};
use millrace_types::Gas;

use super::calls::{Calls, call_error, trap_view};
use super::state::{origin, state_at};
use crate::encoding::Bytes;
use crate::error::{limit_exceeded, submit_error};
use crate::reference::BlockReference;
use crate::shapes::{EstimateRequest, GasEstimateView, outcome_word};

/// All runs of an estimate together use the gas of so many read-only calls, at most.
const CALLS_OF_AN_ESTIMATE: u64 = 4;

const METHOD: &str = "millrace_estimateGas";

impl Calls {
    /// Finds a gas limit when it is this request's turn.
    pub(super) async fn estimate(
        &self,
        from: &Extensions,
        request: EstimateRequest,
        reference: BlockReference,
    ) -> RpcResult<GasEstimateView> {
        let run_gas = self.gas_limit();
        self.in_turn(from, move |engine| estimate(engine, request, reference, run_gas))
            .await
    }
}

fn estimate(
    engine: &Engine,
    request: EstimateRequest,
    reference: BlockReference,
    run_gas: Gas,
) -> RpcResult<GasEstimateView> {
    let (from, payload, asked) = request.parts();
    let state = state_at(engine, reference)?;
    let intrinsic = engine.intrinsic_gas(&state, &payload);
    let most = most(engine, asked, intrinsic, run_gas)?;
    let request = millrace_pipeline::EstimateRequest {
        from,
        payload,
        most,
        total: run_gas.saturating_mul(CALLS_OF_AN_ESTIMATE),
    };
    let found = engine
        .estimate_gas(&state, &request)
        .map_err(|fault| call_error(&fault, METHOD))?;
    Ok(GasEstimateView {
        origin: origin(&state),
        outcome: outcome_word(&found.run.outcome).to_owned(),
        gas_limit: found.gas_limit,
        exact: found.is_exact,
        gas_used: found.intrinsic.saturating_add(found.run.gas_used),
        intrinsic_gas: found.intrinsic,
        trap: trap_view(&found.run),
        output: Bytes(found.run.output),
        image_error: found.run.image_error.map(|fault| fault.to_string()),
    })
}

/// The highest limit to try: what is asked for, or else what the chain and this server allow.
fn most(engine: &Engine, asked: Option<Gas>, intrinsic: Gas, run_gas: Gas) -> RpcResult<Gas> {
    let of_chain = engine.spec().limits.transaction_gas;
    let of_server = intrinsic.saturating_add(run_gas);
    let most = asked.unwrap_or(of_chain.min(of_server));
    if most > of_chain {
        let (limit, max) = (most, of_chain);
        return Err(submit_error(&SubmitError::GasLimitTooHigh { limit, max }));
    }
    if most > of_server {
        return Err(limit_exceeded(
            "gas of a read-only call",
            most - intrinsic,
            run_gas,
        ));
    }
    if most < intrinsic {
        let limit = most;
        return Err(submit_error(&SubmitError::GasLimitTooLow { limit, intrinsic }));
    }
    Ok(most)
}
