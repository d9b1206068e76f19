//! Around every JSON-RPC call: what the library refuses by itself is answered in this surface's words.
//!
//! The library's own errors say neither which parameter is wrong nor which limit was passed, and one of its codes is
//! another error's here. [`Service`] answers unknown methods and wrong parameters itself and translates the rest;
//! what never becomes a call is translated by [`crate::refusals`].

use std::future::Future;

use jsonrpsee::core::middleware::{Batch, BatchEntry, Notification, Request, RpcServiceT};
use jsonrpsee::core::server::BatchResponseBuilder;
use jsonrpsee::server::MethodResponse;
use jsonrpsee::types::error::{OVERSIZED_RESPONSE_CODE, TOO_MANY_SUBSCRIPTIONS_CODE};
use jsonrpsee::types::{ErrorObjectOwned, Id};
use serde_json::json;

use crate::error::{codes, error};
use crate::parameters::{Given, parameters_of};
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
    response_bytes: u32,
    subscriptions: u32,
}

impl ServiceLayer {
    pub(crate) fn new(config: &RpcConfig) -> Self {
        let limits = Limits {
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
            let response = match check(&request) {
                Err(refusal) => MethodResponse::error(id, refusal),
                Ok(()) => {
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
            answered(response)
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.clone();
        async move {
            let most = service.limits.response_bytes;
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
                    Err(refused) => MethodResponse::error(refused.into_parts().1, invalid_request(NO_CALL)),
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
        let answer = self.inner.notification(notification);
        async move { answered(answer.await) }
    }
}

fn answered(mut response: MethodResponse) -> MethodResponse {
    response.extensions_mut().insert(Answered);
    response
}

/// What can be said before the method runs.
fn check(request: &Request<'_>) -> Result<(), ErrorObjectOwned> {
    let method = request.method_name();
    let Some(parameters) = parameters_of(method) else {
        let name: String = method.chars().take(80).collect();
        let message = format!("there is no method {name:?}; docs/spec/rpc.md lists them all");
        return Err(error(
            codes::METHOD_NOT_FOUND,
            "MethodNotFound",
            &message,
            json!({ "method": name }),
        ));
    };
    let params = request.params.as_ref().map(|params| params.get());
    Given::of(method, parameters, params)?;
    let is_subscription = matches!(method, "millrace_subscribe" | "millrace_unsubscribe");
    if is_subscription && request.extensions().get::<PlainHttp>().is_some() {
        let reason = format!("{method} needs a WebSocket: connect to ws:// on the same address");
        return Err(invalid_request(&reason));
    }
    Ok(())
}

/// The library's error in this surface's words; `None` for an error of this surface.
fn in_own_words(code: i32, limits: Limits, method: &str, params: Option<&str>) -> Option<ErrorObjectOwned> {
    match code {
        codes::INVALID_PARAMS => Given::of(method, parameters_of(method)?, params).ok()?.culprit(),
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
    error(codes::INVALID_REQUEST, "InvalidRequest", reason, json!({}))
}

/// JSON, but no call.
pub(crate) fn no_call() -> ErrorObjectOwned {
    invalid_request(NO_CALL)
}

/// A limit of the server that was passed by nobody knows how much.
pub(crate) fn passed(what: &str, message: &str, limit: u32) -> ErrorObjectOwned {
    let details = json!({ "what": what, "limit": limit });
    error(codes::LIMIT_EXCEEDED, "LimitExceeded", message, details)
}

fn response_too_long(limit: u32) -> ErrorObjectOwned {
    let message = format!("the answer passes this node's limit of {limit} bytes; ask for less at a time");
    passed("bytes of one answer", &message, limit)
}
