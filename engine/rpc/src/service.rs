//! Around every JSON-RPC call: what the library refuses by itself is answered in this surface's words.
//!
//! The library's own errors say neither which parameter is wrong nor which limit was passed, and one of its codes is
//! another error's here. [`Service`] answers unknown methods and wrong parameters itself and translates the rest;
//! what never becomes a call is translated by [`crate::refusals`]. It is also where calls are counted and timed
//! (`docs/metrics.md`).

use std::future::Future;
use std::time::Instant;

use http::Extensions;
use jsonrpsee::core::middleware::{Batch, BatchEntry, Notification, Request, RpcServiceT};
use jsonrpsee::core::server::BatchResponseBuilder;
use jsonrpsee::server::MethodResponse;
use jsonrpsee::types::error::{INVALID_PARAMS_CODE, OVERSIZED_RESPONSE_CODE, TOO_MANY_SUBSCRIPTIONS_CODE};
use jsonrpsee::types::{ErrorObjectOwned, Id};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use crate::callers::Caller;
use crate::error::{ErrorName, error};
use crate::parameters::{Given, metric_name, no_method, parameters_of};
use crate::server::RpcConfig;

/// Marks a response that [`Service`] has seen.
#[derive(Clone, Copy)]
pub(crate) struct Answered;

/// Marks a request that came by plain HTTP, where there are no subscriptions.
#[derive(Clone, Copy)]
pub(crate) struct PlainHttp;

/// Adds [`Service`] to a server.
#[derive(Clone)]
pub(crate) struct ServiceLayer {
    limits: Limits,
}

#[derive(Clone, Copy)]
struct Limits {
    batch: u32,
    response_bytes: u32,
    subscriptions: u32,
}

impl ServiceLayer {
    pub(crate) fn new(config: &RpcConfig) -> Self {
        let limits = Limits {
            batch: config.max_batch,
            response_bytes: config.max_response_bytes,
            subscriptions: config.max_subscriptions,
        };
        Self { limits }
    }
}

impl<S> tower::Layer<S> for ServiceLayer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Service {
            inner,
            limits: self.limits,
        }
    }
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Service<S> {
    inner: S,
    limits: Limits,
}

impl<S> RpcServiceT for Service<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let Self { inner, limits } = self.clone();
        async move {
            let (id, method, params) = (request.id.clone(), request.method.clone(), request.params.clone());
            let timer = Timer::start(&method);
            // The place is kept until the call is answered.
            let response = match admit(request.extensions()).and_then(|place| check(&request).map(|()| place))
            {
                Err(refusal) => MethodResponse::error(id, refusal),
                Ok(_place) => {
                    let response = inner.call(request).await;
                    let params = params.as_ref().map(|params| params.get());
                    match response
                        .as_error_code()
                        .and_then(|code| in_own_words(code, limits, &method, params))
                    {
                        Some(refusal) => MethodResponse::error(id, refusal),
                        None => response,
                    }
                }
            };
            timer.stop(&response);
            answered(response)
        }
    }

    fn batch<'a>(&self, mut batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.clone();
        async move {
            let (most_calls, most) = (service.limits.batch, service.limits.response_bytes);
            let caller = batch.extensions().get::<Caller>().cloned();
            if batch.len() > most_calls as usize {
                return answered(MethodResponse::error(
                    Id::Null,
                    batch_too_large(batch.len(), most_calls),
                ));
            }
            let mut responses = BatchResponseBuilder::new_with_limit(most as usize);
            let mut has_notifications = false;
            for entry in batch {
                let response = match entry {
                    Ok(BatchEntry::Call(request)) => service.call(request).await,
                    Ok(BatchEntry::Notification(notification)) => {
                        has_notifications = true;
                        service.notification(notification).await;
                        continue;
                    }
                    Err(refused) => {
                        // It is in the way like a call, and counts as one.
                        let refusal = match caller.as_ref().map_or(Ok(()), take) {
                            Ok(()) => invalid_request(NO_CALL),
                            Err(refusal) => refusal,
                        };
                        MethodResponse::error(refused.into_parts().1, refusal)
                    }
                };
                if responses.append(response).is_err() {
                    return answered(MethodResponse::error(Id::Null, response_too_long(most)));
                }
            }
            answered(match (responses.is_empty(), has_notifications) {
                (true, true) => MethodResponse::notification(),
                (true, false) => MethodResponse::error(Id::Null, invalid_request("the batch is empty")),
                (false, _) => MethodResponse::from_batch(responses.finish()),
            })
        }
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = MethodResponse> + Send + 'a {
        let inner = self.inner.clone();
        async move {
            // Nobody hears that it is refused.
            let answer = match admit(notification.extensions()) {
                Ok(_place) => inner.notification(notification).await,
                Err(_) => MethodResponse::notification(),
            };
            answered(answer)
        }
    }
}

/// Measures one call.
struct Timer {
    method: &'static str,
    began: Instant,
}

impl Timer {
    #[expect(clippy::disallowed_methods, reason = "how long requests take is measured")]
    fn start(method: &str) -> Self {
        Self {
            method: metric_name(method),
            began: Instant::now(),
        }
    }

    fn stop(self, response: &MethodResponse) {
        let (method, took) = (self.method, self.began.elapsed());
        let outcome = if response.is_error() { "error" } else { "ok" };
        metrics::counter!("millrace_rpc_requests_total", "method" => method, "outcome" => outcome)
            .increment(1);
        metrics::histogram!("millrace_rpc_request_seconds", "method" => method).record(took.as_secs_f64());
    }
}

fn answered(mut response: MethodResponse) -> MethodResponse {
    response.extensions_mut().insert(Answered);
    response
}

/// Lets a call of this connection begin, or says why it has to wait: its address calls too often, or too many of the
/// connection's calls are under way.
fn admit(extensions: &Extensions) -> Result<Option<OwnedSemaphorePermit>, ErrorObjectOwned> {
    let Some(caller) = extensions.get::<Caller>() else {
        return Ok(None);
    };
    take(caller)?;
    let Some(place) = caller.begin() else {
        refused("concurrency");
        let limit = caller.limit();
        let message = format!(
            "this connection has {limit} calls under way, which is the limit; wait for an answer before the next call"
        );
        return Err(passed("calls of one connection at once", &message, limit));
    };
    Ok(Some(place))
}

/// Takes one request off what an address may send.
fn take(caller: &Caller) -> Result<(), ErrorObjectOwned> {
    let Err((rate, wait)) = caller.take() else {
        return Ok(());
    };
    refused("rate");
    // Rounded up: who waits so long finds room.
    let wait_ms = u64::try_from(wait.as_millis())
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let limit = rate.map_or(0, |rate| rate.per_second.get());
    let message = format!(
        "this address sends more than {limit} requests a second, this node's limit; wait {wait_ms} ms before the next"
    );
    let what = "requests a second of one address";
    let details = json!({ "what": what, "limit": limit, "retry_after_ms": wait_ms });
    Err(error(ErrorName::LimitExceeded, &message, details))
}

fn refused(limit: &'static str) {
    metrics::counter!("millrace_rpc_refused_total", "limit" => limit).increment(1);
}

/// What can be said before the method runs.
fn check(request: &Request<'_>) -> Result<(), ErrorObjectOwned> {
    let method = request.method_name();
    let parameters = parameters_of(method).ok_or_else(|| no_method(method))?;
    let params = request.params.as_ref().map(|params| params.get());
    let given = Given::of(method, parameters, params)?;
    if !matches!(method, "millrace_subscribe" | "millrace_unsubscribe") {
        return Ok(());
    }
    if request.extensions().get::<PlainHttp>().is_some() {
        let reason = format!("{method} needs a WebSocket: connect to ws:// on the same address");
        return Err(invalid_request(&reason));
    }
    // The library tells the peer of a wrong parameter here before it answers; nobody could reword that.
    given.culprit().map_or(Ok(()), Err)
}

/// The library's error in this surface's words; `None` for an error of this surface.
fn in_own_words(code: i32, limits: Limits, method: &str, params: Option<&str>) -> Option<ErrorObjectOwned> {
    match code {
        INVALID_PARAMS_CODE => Given::of(method, parameters_of(method)?, params).ok()?.culprit(),
        OVERSIZED_RESPONSE_CODE => Some(response_too_long(limits.response_bytes)),
        TOO_MANY_SUBSCRIPTIONS_CODE => {
            let limit = limits.subscriptions;
            let message =
                format!("this connection has {limit} subscriptions, which is the limit; end one first");
            Some(passed("subscriptions of one connection", &message, limit))
        }
        _ => None,
    }
}

const NO_CALL: &str = "a call is an object of \"jsonrpc\": \"2.0\", \"id\", \"method\" and \"params\"";

/// JSON, but no request.
pub(crate) fn invalid_request(reason: &str) -> ErrorObjectOwned {
    error(ErrorName::InvalidRequest, reason, json!({}))
}

/// JSON, but no call.
pub(crate) fn no_call() -> ErrorObjectOwned {
    invalid_request(NO_CALL)
}

/// A limit of the server that was passed by nobody knows how much.
pub(crate) fn passed(what: &str, message: &str, limit: u32) -> ErrorObjectOwned {
    let details = json!({ "what": what, "limit": limit });
    error(ErrorName::LimitExceeded, message, details)
}

fn batch_too_large(calls: usize, limit: u32) -> ErrorObjectOwned {
    let message = format!("the batch has {calls} calls, this node's limit is {limit}; send fewer at a time");
    passed("calls in one batch", &message, limit)
}

fn response_too_long(limit: u32) -> ErrorObjectOwned {
    let message = format!("the answer passes this node's limit of {limit} bytes; ask for less at a time");
    passed("bytes of one answer", &message, limit)
}
