//! How much gas a transaction will take, by asking the node.
//!
//! Half of the limit is charged at least, so a generous limit is a dear one; up to twice what is used costs nothing.

use millrace_rpc::MillraceClient as _;
use millrace_rpc::shapes::EstimateRequest;
use millrace_types::keys::SecretKey;
use millrace_types::{ChainSpec, Gas, Payload};

use crate::client::{Client, ClientFailure};

/// A gas limit for `payload`: half more than the smallest with which it succeeds now, since the state may be another one when it
/// is executed; at most the chain's limit. `None` when it does not succeed now: what it waits for may come first.
///
/// # Errors
/// When the node cannot be reached.
pub async fn gas_limit(
    client: &Client,
    key: &SecretKey,
    payload: &Payload,
) -> Result<Option<Gas>, ClientFailure> {
    let request = EstimateRequest::of(key.address(), payload.clone());
    let estimate = client.http().estimate_gas(request, None).await;
    let Some(least) = estimate.map_err(|error| client.failed(error))?.gas_limit else {
        return Ok(None);
    };
    let view = client.http().chain_spec().await;
    let view = view.map_err(|error| client.failed(error))?;
    let most = ChainSpec::decode(&view.encoded.0).map_or(least, |spec| spec.limits.transaction_gas);
    Ok(Some(least.saturating_add(least / 2).min(most)))
}
