//! One node: requests with a deadline, answers in their form. Nothing here says whether they are true.

use std::future::Future;
use std::time::Duration;

use jsonrpsee::core::ClientError;
use jsonrpsee_http_client::{HttpClient, HttpClientBuilder};
use millrace_light_client::genesis::state_root;
use millrace_light_client::{Certificate, CertifiedHeader, LightClient};
use millrace_rpc::MillraceClient as _;
use millrace_rpc::shapes::SealedHeader;
use millrace_types::{ChainSpec, ExecutionReceipt, Hash, Header, Height};

use crate::fault::{Fault, FollowError, words};
use crate::follower::Options;

/// The most headers that a server answers with.
const MOST_HEADERS: u64 = 256;

/// A node, and what it showed of itself.
pub(crate) struct Node {
    pub url: String,
    pub http: HttpClient,
    deadline: Duration,
    most_bytes: u32,
    /// Why it is not asked at the moment.
    pub left: Option<Fault>,
    /// Faults since it last passed a round without one.
    pub faults: u32,
    /// Rounds in which it is not asked, after a fault that passes: so that who stalls costs others little.
    pub rest: u32,
    /// The newest finalized block that it showed, in the round that runs.
    pub tip: Option<Height>,
}

impl Node {
    pub fn new(url: &str, options: &Options) -> Result<Self, FollowError> {
        let http = HttpClientBuilder::default()
            .max_response_size(options.max_answer_bytes)
            .request_timeout(options.deadline)
            .build(url)
            .map_err(|error| FollowError::Url {
                url: url.to_owned(),
                reason: error.to_string(),
            })?;
        Ok(Self {
            url: url.to_owned(),
            http,
            deadline: options.deadline,
            most_bytes: options.max_answer_bytes,
            left: None,
            faults: 0,
            rest: 0,
            tip: None,
        })
    }

    /// It is not asked for now; for longer with every fault.
    pub fn leave(&mut self, fault: Fault) {
        const LONGEST: u32 = 5;
        self.rest = (1 << self.faults.min(LONGEST)) - 1;
        self.faults = self.faults.saturating_add(1);
        self.left = Some(fault);
    }

    /// Whether it is left and may be asked again.
    pub fn may_return(&self) -> bool {
        self.left.as_ref().is_some_and(|fault| !fault.is_lasting())
    }

    /// One answer, or what is wrong with it.
    pub async fn call<T>(
        &self,
        method: &'static str,
        answer: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, Fault> {
        let timed_out = Fault::TimedOut {
            method,
            limit_ms: self.deadline.as_millis(),
        };
        // The library's own limit begins when the request is sent; this one includes waiting for a connection.
        let answer = tokio::time::timeout(self.deadline, answer).await;
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Err(_) | Ok(Err(ClientError::RequestTimeout)) => Err(timed_out),
            Ok(Err(ClientError::Call(error))) => Err(Fault::Refused {
                method,
                message: words(error.message()),
            }),
            Ok(Err(ClientError::Transport(error))) => Err(Fault::Unreachable {
                method,
                reason: words(&error.to_string()),
            }),
            Ok(Err(error)) => Err(Fault::Garbled {
                method,
                reason: words(&error.to_string()),
            }),
        }
    }

    /// The chain spec that hashes to the genesis header which is trusted.
    pub async fn chain_spec(&self, genesis: Hash) -> Result<ChainSpec, Fault> {
        let view = self.call("chainSpec", self.http.chain_spec()).await?;
        let spec = ChainSpec::decode(&view.encoded.0).map_err(|error| lied("the chain spec", &error))?;
        let found = Header::genesis(&spec, state_root(&spec)).hash();
        if found == genesis {
            Ok(spec)
        } else {
            let expected = genesis;
            Err(Fault::OtherChain { found, expected })
        }
    }

    /// How many headers are asked for at a time: of the chain's longest, with their certificates in hex, as many as half
    /// an answer holds.
    pub fn batch(&self, light: &LightClient) -> u64 {
        const JSON_BYTES: usize = 64;
        let header = light.spec().limits.header_bytes();
        let sealed = header.saturating_add(light.verifier().max_certificate_bytes());
        let each = sealed.saturating_mul(2).saturating_add(JSON_BYTES) as u64;
        (u64::from(self.most_bytes) / 2 / each).clamp(1, MOST_HEADERS)
    }

    /// Headers from a height upward, as many as an answer holds: the first is at this height, unless there is none.
    pub async fn headers(
        &self,
        light: &LightClient,
        first: Height,
        most: u64,
    ) -> Result<Vec<CertifiedHeader>, Fault> {
        let count = most.min(self.batch(light));
        let sealed = self.call("getHeaders", self.http.headers(first, count)).await?;
        if sealed.len() as u64 > count {
            let reason = format!("{} where {count} were asked", sealed.len());
            return Err(lied("headers", &reason));
        }
        let headers: Vec<_> = sealed
            .into_iter()
            .map(|sealed| certified(sealed, light.spec()))
            .collect::<Result<_, _>>()?;
        match headers.first() {
            Some(entry) if entry.header.height != first => {
                let reason = format!("they begin at height {}, asked was {first}", entry.header.height);
                Err(lied("headers", &reason))
            }
            _ => Ok(headers),
        }
    }

    /// Who settles a height, and the list of receipts, as this node says.
    pub async fn settlement(
        &self,
        spec: &ChainSpec,
        height: Height,
    ) -> Result<(Height, Vec<ExecutionReceipt>), Fault> {
        let answer = self.call("getSettlement", self.http.settlement(height)).await?;
        let answer = answer.ok_or(Fault::Withheld { what: "settlement" })?;
        let receipts = ExecutionReceipt::decode_list(&answer.receipts.0, spec)
            .map_err(|error| lied("receipts", &error))?;
        Ok((answer.settled_by, receipts))
    }
}

fn certified(sealed: SealedHeader, spec: &ChainSpec) -> Result<CertifiedHeader, Fault> {
    let header = Header::decode(&sealed.header.0, spec).map_err(|error| lied("a header", &error))?;
    Ok(CertifiedHeader {
        header,
        certificate: sealed.certificate.map(|bytes| Certificate(bytes.0)),
    })
}

pub(crate) fn lied(what: &'static str, reason: &dyn std::fmt::Display) -> Fault {
    Fault::Lied {
        what,
        reason: words(&reason.to_string()),
    }
}
