//! Asks a node for samples.

use std::time::Duration;

use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use millrace_rpc::MillraceClient as _;
use millrace_types::Hash;

use super::exposition::Exposition;
use super::model::Sample;
use crate::client::{Client, ClientFailure};

/// How long an answer may take: a view that waits for longer shows the past.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of `/metrics`; a node's page has some 20 KiB.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// A connection to the node that is watched.
pub struct Sampler {
    client: Client,
    pages: HttpClient<HttpConnector, Empty<&'static [u8]>>,
    metrics: Uri,
    /// The chain whose K is known, and that.
    spec: Option<(Hash, Option<u64>)>,
}

impl Sampler {
    /// Prepares the connection; the first sample connects.
    ///
    /// # Errors
    /// When `url` is none.
    pub fn new(url: &str) -> Result<Self, ClientFailure> {
        let client = Client::new(url)?;
        let metrics = format!("{}/metrics", url.trim_end_matches('/'));
        let metrics = metrics.parse().map_err(|error| ClientFailure::Call {
            url: url.to_owned(),
            message: format!("no URL of a page: {error}"),
        })?;
        Ok(Self {
            client,
            pages: HttpClient::builder(TokioExecutor::new()).build_http(),
            metrics,
            spec: None,
        })
    }

    /// What the node says now. `at_ms` is the caller's time of it.
    ///
    /// # Errors
    /// When the node does not answer calls. A page of metrics that does not come is an empty one.
    pub async fn sample(&mut self, at_ms: u64) -> Result<Sample, ClientFailure> {
        let late = |_| ClientFailure::Call {
            url: self.metrics.to_string(),
            message: format!("no answer in {} s", PATIENCE.as_secs()),
        };
        let status = tokio::time::timeout(PATIENCE, self.client.status())
            .await
            .map_err(late)??;
        let max_receipt_lag = self.max_receipt_lag(status.chain_spec_hash).await;
        let page = tokio::time::timeout(PATIENCE, self.page()).await.ok().flatten();
        Ok(Sample {
            at_ms,
            status,
            metrics: page.map(|text| Exposition::parse(&text)).unwrap_or_default(),
            max_receipt_lag,
        })
    }

    /// K, asked for once: a chain never changes it.
    async fn max_receipt_lag(&mut self, chain: Hash) -> Option<u64> {
        if let Some((known, lag)) = self.spec
            && known == chain
        {
            return lag;
        }
        let spec = tokio::time::timeout(PATIENCE, self.client.http().chain_spec()).await;
        let lag = spec.ok()?.ok()?.spec.get("max_receipt_lag")?.as_u64();
        self.spec = Some((chain, lag));
        lag
    }

    async fn page(&self) -> Option<String> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(self.metrics.clone())
            .body(Empty::new())
            .ok()?;
        let answer = self.pages.request(request).await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        let body = Limited::new(answer.into_body(), MAX_PAGE_BYTES)
            .collect()
            .await
            .ok()?;
        String::from_utf8(body.to_bytes().to_vec()).ok()
    }
}
