//! Pages in a browser and a node on loopback.
//!
//! A browser lets any page open a WebSocket to any address, this machine's own included, and tells whose page it is in
//! `Origin`. A node that listens on loopback answers pages of this machine alone; programs send no `Origin`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, StatusCode, Uri, header};
use jsonrpsee::server::{HttpRequest, HttpResponse};

use crate::answer::{PLAIN_TEXT, answer};
use crate::service::Answered;

const REFUSAL: &str = "Origin: this node listens on this machine alone and answers pages of localhost, 127.0.0.1 or [::1]; a page from elsewhere needs a proxy that lets it in\n";

/// Refuses requests of pages from elsewhere, if told to.
#[derive(Clone, Copy)]
pub(crate) struct OriginLayer {
    /// Only pages of this machine.
    pub(crate) only_local: bool,
}

impl<S> tower::Layer<S> for OriginLayer {
    type Service = OriginService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OriginService {
            only_local: self.only_local,
            inner,
        }
    }
}

/// See the module.
#[derive(Clone)]
pub(crate) struct OriginService<S> {
    only_local: bool,
    inner: S,
}

impl<S, B> tower::Service<HttpRequest<B>> for OriginService<S>
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

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        if self.only_local && !is_local(request.headers()) {
            return Box::pin(async { Ok(refusal()) });
        }
        Box::pin(self.inner.call(request))
    }
}

/// Whether no page sent it, or one of this machine.
fn is_local(headers: &HeaderMap) -> bool {
    headers.get_all(header::ORIGIN).iter().all(|origin| {
        let origin = origin.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
        origin
            .as_ref()
            .and_then(Uri::host)
            .is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"))
    })
}

fn refusal() -> HttpResponse {
    let mut response = answer(StatusCode::FORBIDDEN, PLAIN_TEXT, REFUSAL);
    response.extensions_mut().insert(Answered);
    response
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn from(origin: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        is_local(&headers)
    }

    #[test]
    fn pages_of_this_machine_are_let_in_and_no_others() {
        assert!(is_local(&HeaderMap::new()), "a program");
        for local in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:80"] {
            assert!(from(local), "{local}");
        }
        for other in [
            "https://example.com",
            "http://localhost.example.com",
            "http://example.com:4860",
            "http://127.0.0.1.example.com",
            "null",
            "chrome-extension://abcdef",
            "",
        ] {
            assert!(!from(other), "{other}");
        }
    }
}
