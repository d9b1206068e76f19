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

use crate::callers::{Caller, NoPlace, Place};
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
        let service = self.clone();
        // Apart, because the library keeps a place for the larger of these in the task of each message, until it is answered.
        Box::pin(async move { service.answer(request, true).await })
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.clone();
        Box::pin(async move { service.answer_batch(batch).await })
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = MethodResponse> + Send + 'a {
        let inner = self.inner.clone();
        async move {
            // Nobody hears that it is refused.
            let answer = match admit(notification.extensions(), 0) {
                Ok(_place) => inner.notification(notification).await,
                Err(_) => MethodResponse::notification(),
            };
            answered(answer)
        }
    }
}

impl<S> Service<S>
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
    /// Answers a call that is sent `alone`, or else in a batch.
    async fn answer(&self, request: Request<'_>, alone: bool) -> MethodResponse {
        let (id, method, params) = (request.id.clone(), request.method.clone(), request.params.clone());
        let timer = Timer::start(&method);
        let waiting = waiting(request.extensions()).cloned();
        let admitted = admit(request.extensions(), size(&request));
        // The place is kept until the call is answered.
        let response = match admitted.and_then(|place| check(&request, alone).map(|()| place)) {
            Err(refusal) => made(waiting.as_ref(), alone, MethodResponse::error(id, refusal)),
            Ok(_place) => {
                let _long = match &waiting {
                    Some(caller) if !has_short_answer(&method) && !comes_in_turn(&method) => {
                        Some(caller.begin_long().await)
                    }
                    _ => None,
                };
                if let Some(caller) = &waiting {
                    caller.pace().room().await;
                }
                // Apart, so that those who wait above do not keep a place for it.
                let response = Box::pin(self.inner.call(request)).await;
                let params = params.as_ref().map(|params| params.get());
                let code = response.as_error_code();
                let refusal = code.and_then(|code| in_own_words(code, self.limits, &method, params));
                let response = match refusal {
                    Some(refusal) => MethodResponse::error(id, refusal),
                    None => response,
                };
                made(waiting.as_ref(), alone, response)
            }
        };
        timer.stop(&response);
        answered(response)
    }

    async fn answer_batch(&self, mut batch: Batch<'_>) -> MethodResponse {
        let (most_calls, most) = (self.limits.batch, self.limits.response_bytes);
        let caller = batch.extensions().get::<Caller>().cloned();
        let waiting = waiting(batch.extensions()).cloned();
        let refuse = |refusal| {
            let response = MethodResponse::error(Id::Null, refusal);
            answered(made(waiting.as_ref(), true, response))
        };
        if batch.len() > most_calls as usize {
            return refuse(batch_too_large(batch.len(), most_calls));
        }
        let calls = || batch.iter().flatten().filter_map(call_of);
        let (bytes, is_long) = (
            calls().map(size).sum(),
            calls().any(|call| !has_short_answer(&call.method)),
        );
        let begun = waiting
            .as_ref()
            .map(|caller| caller.begin_batch(batch.len(), bytes))
            .transpose();
        let _place = match begun {
            Ok(place) => place,
            Err(full) => return refuse(no_place(full)),
        };
        let _long = match &waiting {
            Some(caller) if is_long => Some(caller.begin_long_batch().await),
            _ => None,
        };
        let mut responses = BatchResponseBuilder::new_with_limit(most as usize);
        let mut has_notifications = false;
        for entry in batch {
            let response = match entry {
                Ok(BatchEntry::Call(request)) => Box::pin(self.answer(request, false)).await,
                Ok(BatchEntry::Notification(notification)) => {
                    has_notifications = true;
                    self.notification(notification).await;
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
                return refuse(response_too_long(most));
            }
        }
        let response = match (responses.is_empty(), has_notifications) {
            (true, true) => MethodResponse::notification(),
            (true, false) => return refuse(invalid_request("the batch is empty")),
            (false, _) => MethodResponse::from_batch(responses.finish()),
        };
        answered(made(waiting.as_ref(), true, response))
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

/// The caller of a WebSocket, where answers wait until the peer takes them. Over plain HTTP there is one at a time.
pub(crate) fn waiting(extensions: &Extensions) -> Option<&Caller> {
    match extensions.get::<PlainHttp>() {
        Some(_) => None,
        None => extensions.get::<Caller>(),
    }
}

/// Counts an answer that the library sends next, as it is.
fn made(waiting: Option<&Caller>, alone: bool, response: MethodResponse) -> MethodResponse {
    // What subscribing answers is sent by then.
    let is_sent = alone && (response.is_method_call() || response.is_batch());
    if let Some(caller) = waiting.filter(|_| is_sent) {
        caller.pace().made(response.as_ref().len());
    }
    response
}

/// Whether answers of a method are never long.
fn has_short_answer(method: &str) -> bool {
    matches!(
        method,
        "millrace_status"
            | "millrace_sendTransaction"
            | "millrace_getTransactionStatus"
            | "millrace_subscribe"
            | "millrace_unsubscribe"
    )
}

/// Whether a method waits for a turn, and then for room too.
fn comes_in_turn(method: &str) -> bool {
    matches!(
        method,
        "millrace_call" | "millrace_estimateGas" | "millrace_getLogs"
    )
}

fn call_of<'a, 'b>(entry: &'b BatchEntry<'a>) -> Option<&'b Request<'a>> {
    match entry {
        BatchEntry::Call(request) => Some(request),
        BatchEntry::Notification(_) => None,
    }
}

/// Bytes of a call, about.
fn size(request: &Request<'_>) -> usize {
    let params = request.params.as_ref().map_or(0, |params| params.get().len());
    let id = match &request.id {
        Id::Str(id) => id.len(),
        Id::Number(_) | Id::Null => 0,
    };
    params + id + request.method.len()
}

/// Lets a call of so many bytes begin, or says why it has to wait: its address calls too often, or too much of the
/// connection's is under way.
fn admit(extensions: &Extensions, bytes: usize) -> Result<Option<Place>, ErrorObjectOwned> {
    let Some(caller) = extensions.get::<Caller>() else {
        return Ok(None);
    };
    take(caller)?;
    caller.begin(bytes).map(Some).map_err(no_place)
}

fn no_place(full: NoPlace) -> ErrorObjectOwned {
    refused("concurrency");
    match full {
        NoPlace::Calls(limit) => {
            let message = format!(
                "this connection has {limit} calls under way, which is the limit; wait for an answer before the next call"
            );
            passed("calls of one connection at once", &message, limit)
        }
        NoPlace::Bytes(limit) => {
            let message = format!(
                "this connection has calls of up to {limit} bytes under way, which is the limit; wait for an answer before the next call"
            );
            passed("bytes of one connection's calls at once", &message, limit)
        }
    }
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

/// Counts a refusal because of who asked.
pub(crate) fn refused(limit: &'static str) {
    metrics::counter!("millrace_rpc_refused_total", "limit" => limit).increment(1);
}

/// What can be said before the method runs.
fn check(request: &Request<'_>, alone: bool) -> Result<(), ErrorObjectOwned> {
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
    if method == "millrace_subscribe" && !alone {
        // The library would answer it at once, and again in the batch.
        return Err(invalid_request(
            "millrace_subscribe stands alone: send it outside the batch",
        ));
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
pub(crate) fn passed(what: &str, message: &str, limit: impl Into<u64>) -> ErrorObjectOwned {
    let limit: u64 = limit.into();
    let details = json!({ "what": what, "limit": limit });
    error(ErrorName::LimitExceeded, message, details)
}

/// A batch of which nobody counted the calls.
pub(crate) fn batch_far_too_large(limit: u32) -> ErrorObjectOwned {
    let message =
        format!("the batch has far more calls than this node's limit, {limit}; send fewer at a time");
    passed("calls in one batch", &message, limit)
}

fn batch_too_large(calls: usize, limit: u32) -> ErrorObjectOwned {
    let message = format!("the batch has {calls} calls, this node's limit is {limit}; send fewer at a time");
    passed("calls in one batch", &message, limit)
}

fn response_too_long(limit: u32) -> ErrorObjectOwned {
    let message = format!("the answer passes this node's limit of {limit} bytes; ask for less at a time");
    passed("bytes of one answer", &message, limit)
}
