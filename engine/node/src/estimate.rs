//! How much gas a call will take, by trying it at the node.
//!
//! Half of the limit is charged at least, so a generous limit is a dear one.

use millrace_executor::{intrinsic_gas, schedule};
use millrace_rpc::shapes::CallRequest;
use millrace_rpc::{Bytes, MillraceClient as _, Units};
use millrace_types::keys::SecretKey;
use millrace_types::{ChainSpec, Gas, Payload};

use crate::client::{Client, ClientFailure, Terms, sign};

/// A gas limit for `payload`: half more than a trial run and inclusion take, at most the chain's limit. `None` when there
/// is nothing to try or the trial does not succeed.
///
/// # Errors
/// When the node cannot be reached.
pub async fn gas_limit(
    client: &Client,
    key: &SecretKey,
    payload: &Payload,
) -> Result<Option<Gas>, ClientFailure> {
    let Payload::Call { to, value, input } = payload else {
        return Ok(None);
    };
    let request = CallRequest {
        to: *to,
        from: Some(key.address()),
        input: Bytes(input.clone()),
        value: Some(Units(*value)),
        gas_limit: None,
    };
    let trial = client
        .http()
        .call(request, None)
        .await
        .map_err(|error| client.failed(error))?;
    if trial.outcome != "success" {
        return Ok(None);
    }
    let view = client
        .http()
        .chain_spec()
        .await
        .map_err(|error| client.failed(error))?;
    let Ok(spec) = ChainSpec::decode(&view.encoded.0) else {
        return Ok(None);
    };
    let Some(prices) = schedule(spec.versions_at(trial.origin.height).gas) else {
        return Ok(None);
    };
    let terms = Terms {
        chain_id: spec.chain_id,
        gas_limit: Gas::MAX,
        gas_price: 1,
    };
    let inclusion = intrinsic_gas(&sign(key, u64::MAX, terms, payload.clone()), prices);
    let needed = trial.gas_used.saturating_add(inclusion);
    Ok(Some(
        needed.saturating_add(needed / 2).min(spec.limits.transaction_gas),
    ))
}
