//! What answers plain `GET`s beside JSON-RPC: `/health`, `/metrics` and `/dashboard`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::StatusCode;
use jsonrpsee::server::{HttpRequest, HttpResponse};

use crate::answer::answer;
use crate::dashboard;

/// Bodies of the plain pages, made when they are asked for.
pub struct Pages {
    /// Health: `Ok` with a JSON body answers 200, `Err` 503.
    pub health: Box<dyn Fn() -> Result<String, String> + Send + Sync>,
    /// Metrics in Prometheus' text format.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
}

/// Adds the pages to a server.
#[derive(Clone)]
pub(crate) struct PagesLayer(pub(crate) Arc<Pages>);

impl<S> tower::Layer<S> for PagesLayer {
    type Service = PagesService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PagesService {
            pages: Arc::clone(&self.0),
            inner,
        }
    }
}

/// Answers the pages and passes on everything else.
#[derive(Clone)]
pub(crate) struct PagesService<S> {
    pages: Arc<Pages>,
    inner: S,
}

impl<S, B> tower::Service<HttpRequest<B>> for PagesService<S>
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
        let is_get = request.method() == http::Method::GET;
        let page = match request.uri().path() {
            "/health" if is_get => Some(match (self.pages.health)() {
                Ok(body) => answer(StatusCode::OK, "application/json", body),
                Err(body) => answer(StatusCode::SERVICE_UNAVAILABLE, "application/json", body),
            }),
            "/metrics" if is_get => Some(answer(
                StatusCode::OK,
                "text/plain; version=0.0.4",
                (self.pages.metrics)(),
            )),
            "/dashboard" if is_get => Some(dashboard::page()),
            _ => None,
        };
        match page {
            Some(page) => Box::pin(async move { Ok(page) }),
            None => Box::pin(self.inner.call(request)),
        }
    }
}
