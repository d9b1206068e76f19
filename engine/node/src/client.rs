//! What every command that talks to a node shares: connecting, signing, sending, waiting.

use std::path::Path;
use std::time::Duration;

use jsonrpsee::core::ClientError;
use jsonrpsee_http_client::{HttpClient, HttpClientBuilder};
use millrace_rpc::shapes::{Status, TransactionStatusView};
use millrace_rpc::{BlockReference, Bytes, MillraceClient as _};
use millrace_types::keys::SecretKey;
use millrace_types::{Address, Gas, GasPrice, Hash, Payload, SignedTransaction, Transaction};

/// Why a command that talks to a node failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientFailure {
    /// The URL does not parse.
    #[error("{url} is no URL of a node ({source}); it looks like http://127.0.0.1:4860")]
    Url {
        /// As given.
        url: String,
        /// Why.
        source: ClientError,
    },
    /// The node refused, or could not be reached.
    #[error("{url}: {message}")]
    Call {
        /// The node.
        url: String,
        /// What it said.
        message: String,
    },
    /// A key file cannot be used.
    #[error("key {what}: {reason}; give a file made by `millrace keys new`, or 32 bytes in hex")]
    Key {
        /// File or text, without the secret.
        what: String,
        /// Why.
        reason: String,
    },
    /// It took longer than the caller wanted to wait.
    #[error(
        "transaction {hash} is {status} after {waited_s} s; `millrace tx status {hash}` tells how it goes on"
    )]
    Waited {
        /// The transaction.
        hash: Hash,
        /// Where it is.
        status: String,
        /// How long.
        waited_s: u64,
    },
}

/// How far a sent transaction must come before the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WaitFor {
    /// Not at all: its hash is enough.
    Pool,
    /// Executed, receipt durable at the node.
    Executed,
    /// Its receipt settled by a finalized block.
    Settled,
}

/// A connection to a node.
#[derive(Clone, Debug)]
pub struct Client {
    http: HttpClient,
    url: String,
}

impl Client {
    /// Prepares the connection; the first call connects.
    ///
    /// # Errors
    /// When `url` is none.
    pub fn new(url: &str) -> Result<Self, ClientFailure> {
        let http = HttpClientBuilder::default()
            .max_request_size(64 << 20)
            .max_response_size(64 << 20)
            .request_timeout(Duration::from_secs(30))
            .build(url)
            .map_err(|source| ClientFailure::Url {
                url: url.to_owned(),
                source,
            })?;
        Ok(Self {
            http,
            url: url.to_owned(),
        })
    }

    /// The generated client, for calls that need nothing else.
    #[must_use]
    pub fn http(&self) -> &HttpClient {
        &self.http
    }

    /// Gives a failed call its place and, where the node sent one, its own words.
    pub fn failed(&self, error: ClientError) -> ClientFailure {
        let message = match error {
            ClientError::Call(error) => match error.data().and_then(|data| name_in(data.get())) {
                Some(name) => format!("{name}: {}", error.message()),
                None => error.message().to_owned(),
            },
            ClientError::Transport(error) => format!("no answer ({error}); is the node running there?"),
            other => other.to_string(),
        };
        ClientFailure::Call {
            url: self.url.clone(),
            message,
        }
    }

    /// The node answered something that no node answers.
    pub fn odd(&self, what: &str) -> ClientFailure {
        ClientFailure::Call {
            url: self.url.clone(),
            message: format!("{what}; is it a Millrace node of this version?"),
        }
    }

    /// The node's status.
    ///
    /// # Errors
    /// When the node cannot be reached; so for all calls.
    pub async fn status(&self) -> Result<Status, ClientFailure> {
        self.http.status().await.map_err(|error| self.failed(error))
    }

    /// The next nonce of an account, in-flight and pooled transactions counted.
    ///
    /// # Errors
    /// As [`Self::status`].
    pub async fn pending_nonce(&self, address: Address) -> Result<u64, ClientFailure> {
        let pending = "pending".parse::<BlockReference>().expect("a tag");
        let account = self
            .http
            .account(address, Some(pending), None)
            .await
            .map_err(|error| self.failed(error))?;
        Ok(account.nonce)
    }

    /// Sends a signed transaction.
    ///
    /// # Errors
    /// As [`Self::status`], or the node's reason to refuse it.
    pub async fn send(&self, transaction: &SignedTransaction) -> Result<Hash, ClientFailure> {
        self.http
            .send_transaction(Bytes::of(transaction))
            .await
            .map_err(|error| self.failed(error))
    }

    /// Waits until a transaction has come as far as `goal`.
    ///
    /// # Errors
    /// [`ClientFailure::Waited`] when it has not after `patience`.
    pub async fn wait(
        &self,
        hash: Hash,
        goal: WaitFor,
        patience: Duration,
    ) -> Result<TransactionStatusView, ClientFailure> {
        const POLL: Duration = Duration::from_millis(50);
        let mut waited = Duration::ZERO;
        loop {
            let status = self
                .http
                .transaction_status(hash)
                .await
                .map_err(|error| self.failed(error))?;
            let reached = match (&status, goal) {
                (_, WaitFor::Pool) | (TransactionStatusView::Settled { .. }, _) => true,
                (TransactionStatusView::Executed { .. }, goal) => goal == WaitFor::Executed,
                _ => false,
            };
            if reached {
                return Ok(status);
            }
            if waited >= patience {
                let status = serde_json::to_value(&status)
                    .ok()
                    .and_then(|s| Some(s.get("status")?.as_str()?.to_owned()));
                let status = status.unwrap_or_else(|| "unknown".to_owned());
                return Err(ClientFailure::Waited {
                    hash,
                    status,
                    waited_s: patience.as_secs(),
                });
            }
            tokio::time::sleep(POLL).await;
            waited += POLL;
        }
    }
}

fn name_in(data: &str) -> Option<String> {
    Some(
        serde_json::from_str::<serde_json::Value>(data)
            .ok()?
            .get("name")?
            .as_str()?
            .to_owned(),
    )
}

/// What a transaction costs at most, and for which chain it is.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The chain.
    pub chain_id: u64,
    /// Gas it may use.
    pub gas_limit: Gas,
    /// Units per gas.
    pub gas_price: GasPrice,
}

/// Signs a transaction.
#[must_use]
pub fn sign(key: &SecretKey, nonce: u64, terms: Terms, payload: Payload) -> SignedTransaction {
    let Terms {
        chain_id,
        gas_limit,
        gas_price,
    } = terms;
    let public_key = key.public_key().0;
    Transaction {
        chain_id,
        public_key,
        nonce,
        gas_limit,
        gas_price,
        payload,
    }
    .sign(key)
}

/// Reads a key: 32 bytes in hex, or the path of a file that holds them.
///
/// # Errors
/// [`ClientFailure::Key`].
pub fn read_key(text: &str) -> Result<SecretKey, ClientFailure> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let failed = |reason: String| ClientFailure::Key {
        what: text.to_owned(),
        reason,
    };
    let content = std::fs::read_to_string(Path::new(text)).map_err(|error| failed(error.to_string()))?;
    content
        .trim()
        .parse()
        .map_err(|error: millrace_types::hex::HexError| failed(error.to_string()))
}
