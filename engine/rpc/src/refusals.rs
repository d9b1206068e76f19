//! Around every HTTP request: what is refused before it becomes a call says what is wrong, where the limit is, and what
//! to do.
//!
//! The library answers such requests by itself: another host, method or content type, a body that is too long or no
//! JSON. Responses to calls bear a mark ([`Answered`]) and pass untouched, and so does the
//! change to WebSocket. In an open WebSocket the library's own words stand.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{StatusCode, header};
use jsonrpsee::core::http_helpers::read_body;
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse, ws};
use jsonrpsee::types::error::{INVALID_REQUEST_CODE, TOO_BIG_BATCH_REQUEST_CODE};
use jsonrpsee::types::{ErrorObjectOwned, Id};
use serde::Deserialize;
use serde_json::json;

use crate::answer::{PLAIN_TEXT, answer};
use crate::error::{ErrorName, error};
use crate::server::RpcConfig;
use crate::service::{Answered, PlainHttp, batch_far_too_large, no_call, passed};

/// The library's own answers are far shorter.
const MAX_OWN_ANSWER_BYTES: u32 = 1 << 16;

/// Adds [`RefusalsService`] to a server.
#[derive(Clone, Copy)]
pub(crate) struct RefusalsLayer {
    limits: Limits,
}

#[derive(Clone, Copy)]
struct Limits {
    request_bytes: u32,
    batch: u32,
}

impl RefusalsLayer {
    pub(crate) fn new(config: &RpcConfig) -> Self {
        let limits = Limits {
            request_bytes: config.max_request_bytes,
            batch: config.max_batch,
        };
        Self { limits }
    }
}

impl<S> tower::Layer<S> for RefusalsLayer {
    type Service = RefusalsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RefusalsService {
            inner,
            limits: self.limits,
        }
    }
}

/// See the module.
#[derive(Clone)]
pub(crate) struct RefusalsService<S> {
    inner: S,
    limits: Limits,
}

impl<S, B> tower::Service<HttpRequest<B>> for RefusalsService<S>
where
    S: tower::Service<HttpRequest<B>, Response = HttpResponse>,
    S::Future: Send + 'static,
{
    type Response = HttpResponse;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: HttpRequest<B>) -> Self::Future {
        let is_call = request.method() == http::Method::POST;
        let has_host = request.headers().contains_key(header::HOST) || request.uri().authority().is_some();
        let is_upgrade = ws::is_upgrade_request(&request);
        if !is_upgrade {
            request.extensions_mut().insert(PlainHttp);
        }
        let (limits, inner) = (self.limits, self.inner.call(request));
        Box::pin(async move {
            let response = inner.await?;
            if response.extensions().get::<Answered>().is_some() {
                return Ok(response);
            }
            Ok(match response.status() {
                StatusCode::BAD_REQUEST if !has_host => no_host(),
                StatusCode::OK if is_upgrade => no_websocket(),
                StatusCode::OK | StatusCode::BAD_REQUEST if is_call => reworded(response, limits).await,
                status => match plain(status, limits) {
                    Some(text) => text,
                    None => response,
                },
            })
        })
    }
}

/// Refusals that the status alone tells.
fn plain(status: StatusCode, limits: Limits) -> Option<HttpResponse> {
    let text = match status {
        StatusCode::FORBIDDEN => {
            "Host: this node listens on this machine alone and answers requests to localhost, 127.0.0.1 or [::1]\n"
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            "JSON-RPC takes POST, or GET to become a WebSocket; other pages are GET /health, GET /metrics and GET /dashboard\n"
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "Content-Type: JSON-RPC takes application/json\n",
        StatusCode::PAYLOAD_TOO_LARGE => {
            return Some(json_error(status, &Id::Null, &request_too_long(limits)));
        }
        _ => return None,
    };
    Some(answer(status, PLAIN_TEXT, text))
}

fn no_host() -> HttpResponse {
    let text = "Host: the request does not say which host it is for, as HTTP/1.1 asks\n";
    answer(StatusCode::BAD_REQUEST, PLAIN_TEXT, text)
}

/// The library answers 200 to who does not become a WebSocket.
fn no_websocket() -> HttpResponse {
    let text = "Upgrade: a WebSocket begins with GET, `sec-websocket-version: 13` and a `sec-websocket-key` of 24 characters\n";
    answer(StatusCode::BAD_REQUEST, PLAIN_TEXT, text)
}

/// What the library answered to a request that is no call or no batch, told in this surface's words.
async fn reworded(response: HttpResponse, limits: Limits) -> HttpResponse {
    #[derive(Deserialize)]
    struct Own<'a> {
        #[serde(borrow)]
        id: Id<'a>,
        error: ErrorObjectOwned,
    }
    let status = response.status();
    let (parts, body) = response.into_parts();
    let Ok((bytes, _)) = read_body(&parts.headers, body, MAX_OWN_ANSWER_BYTES).await else {
        return json_error(status, &Id::Null, &no_json());
    };
    let Ok(Own { id, error }) = serde_json::from_slice::<Own<'_>>(&bytes) else {
        return HttpResponse::from_parts(parts, HttpBody::from(bytes));
    };
    let refusal = match error.code() {
        INVALID_REQUEST_CODE => no_call(),
        TOO_BIG_BATCH_REQUEST_CODE => batch_far_too_large(limits.batch),
        _ => no_json(),
    };
    json_error(status, &id, &refusal)
}

fn no_json() -> ErrorObjectOwned {
    let message = "the body is not JSON; send one JSON-RPC 2.0 call, or a list of them";
    error(ErrorName::ParseError, message, json!({}))
}

fn request_too_long(limits: Limits) -> ErrorObjectOwned {
    let limit = limits.request_bytes;
    let message = format!("the request has more than {limit} bytes, this node's limit; send less at a time");
    passed("bytes of one request", &message, limit)
}

fn json_error(status: StatusCode, id: &Id<'_>, refusal: &ErrorObjectOwned) -> HttpResponse {
    let body = json!({ "jsonrpc": "2.0", "id": id, "error": refusal }).to_string();
    answer(status, "application/json; charset=utf-8", body)
}
