//! A light client fed over RPC: everything that the node says is checked, nothing of it is believed.
//!
//! The trust is in one hash, that of the genesis header, which commits to the chain spec. The node may lie, leave out,
//! or be slow; what comes out of [`Follower`] is proven, or an error.

use millrace_light_client::{
    AccountAnswer, Certificate, CertifiedHeader, LightClient, ReceiptAnswer, StorageAnswer, Verified,
    Verifiers,
};
use millrace_rpc::shapes::{SealedHeader, TransactionStatusView};
use millrace_rpc::{BlockReference, Bytes, MillraceClient as _};
use millrace_types::state::Account;
use millrace_types::{Address, ChainSpec, ExecutionReceipt, Hash, Header, Height, TransactionReceipt};

use crate::client::Client;
use crate::failure::Failure;

/// Headers asked for at a time; the server's limit.
const HEADERS_AT_A_TIME: u64 = 256;

/// A light client and the node that it asks.
pub struct Follower {
    client: Client,
    light: LightClient,
}

impl Follower {
    /// Starts from the genesis header with this hash. The chain spec comes from the node and must hash to it.
    ///
    /// # Errors
    /// When the node's chain is another one, or its consensus has no verifier here.
    pub async fn start(client: Client, genesis: Hash) -> Result<Self, Failure> {
        let view = client
            .http()
            .chain_spec()
            .await
            .map_err(|error| client.failed(error))?;
        let spec = ChainSpec::decode(&view.encoded.0).map_err(|error| failed("the chain spec", &error))?;
        let light = LightClient::new(spec, &Verifiers::built_in())
            .map_err(|error| failed("the chain spec", &error))?;
        if light.genesis_hash() != genesis {
            return Err(Failure::new(format!(
                "light: the node's chain has genesis {}, you trust {genesis}; ask a node of that chain",
                light.genesis_hash()
            )));
        }
        Ok(Self { client, light })
    }

    /// What is verified so far.
    #[must_use]
    pub fn light(&self) -> &LightClient {
        &self.light
    }

    /// Fetches and checks headers up to the newest that the node has.
    ///
    /// # Errors
    /// When the node sends what does not check out.
    pub async fn sync(&mut self) -> Result<(), Failure> {
        loop {
            let first = self.light.finalized_height() + 1;
            let batch = self.client.http().headers(first, HEADERS_AT_A_TIME).await;
            let batch = batch.map_err(|error| self.client.failed(error))?;
            if batch.is_empty() {
                return Ok(());
            }
            let headers = batch
                .into_iter()
                .map(|sealed| self.certified(sealed))
                .collect::<Result<Vec<_>, _>>()?;
            self.light
                .advance(&headers)
                .map_err(|error| failed("headers", &error))?;
            if self.light.finalized_height() < first {
                return Err(Failure::new(format!(
                    "light: the node repeats headers below height {first} instead of sending new ones; nothing of it was accepted"
                )));
            }
        }
    }

    fn certified(&self, sealed: SealedHeader) -> Result<CertifiedHeader, Failure> {
        let header = Header::decode(&sealed.header.0, self.light.spec())
            .map_err(|error| failed("a header", &error))?;
        Ok(CertifiedHeader {
            header,
            certificate: sealed.certificate.map(|bytes| Certificate(bytes.0)),
        })
    }

    /// Brings and checks the receipts that settle `height`.
    async fn settle(&mut self, height: Height) -> Result<(), Failure> {
        if height == 0 || self.light.receipt(height).is_ok() {
            return Ok(());
        }
        let answer = self
            .client
            .http()
            .settlement(height)
            .await
            .map_err(|error| self.client.failed(error))?;
        let answer = answer
            .ok_or_else(|| Failure::new(format!("light: the node has no settlement of height {height}")))?;
        let receipts = ExecutionReceipt::decode_list(&answer.receipts.0, self.light.spec())
            .map_err(|error| failed("receipts", &error))?;
        self.light
            .settle(answer.settled_by, &receipts)
            .map_err(|error| failed("receipts", &error))
    }

    /// The newest height whose state can be proven, with its root at hand.
    async fn provable(&mut self) -> Result<Height, Failure> {
        self.sync().await?;
        let height = self.light.executed_height();
        self.settle(height).await?;
        Ok(height)
    }

    /// An account, or that there is none.
    ///
    /// # Errors
    /// When the node's answer does not prove itself; so for all questions.
    pub async fn account(&mut self, address: Address) -> Result<Verified<Option<Account>>, Failure> {
        let height = self.provable().await?;
        let view = self
            .client
            .http()
            .account(address, Some(at(height)), Some(true))
            .await;
        let view = view.map_err(|error| self.client.failed(error))?;
        let account = view.exists.unwrap_or_default().then(|| Account {
            nonce: view.nonce,
            balance: view.balance.unwrap_or_default().0,
            code_hash: view.code_hash,
        });
        let answer = AccountAnswer {
            account,
            proof: proof(view.proof)?,
        };
        self.light
            .verify_account(height, &address, answer)
            .map_err(|error| failed("the account", &error))
    }

    /// A contract's storage slot, or that there is nothing under the key.
    ///
    /// # Errors
    /// As [`Self::account`].
    pub async fn storage(
        &mut self,
        contract: Address,
        key: Vec<u8>,
    ) -> Result<Verified<Option<Vec<u8>>>, Failure> {
        let height = self.provable().await?;
        let view = self
            .client
            .http()
            .storage(contract, Bytes(key.clone()), Some(at(height)), Some(true))
            .await;
        let view = view.map_err(|error| self.client.failed(error))?;
        let value = view
            .value
            .map(|bytes| millrace_light_client::verify::Bytes(bytes.0));
        let answer = StorageAnswer {
            value,
            proof: proof(view.proof)?,
        };
        self.light
            .verify_storage(height, &contract, &key, answer)
            .map_err(|error| failed("the slot", &error))
    }

    /// How a transaction ended.
    ///
    /// # Errors
    /// As [`Self::account`]; also while it is not settled.
    pub async fn transaction(&mut self, hash: Hash) -> Result<Verified<TransactionReceipt>, Failure> {
        self.sync().await?;
        let status = self
            .client
            .http()
            .transaction_status(hash)
            .await
            .map_err(|error| self.client.failed(error))?;
        let TransactionStatusView::Settled { height, .. } = status else {
            return Err(Failure::new(format!(
                "light: transaction {hash} is not settled by a finalized block yet"
            )));
        };
        self.settle(height).await?;
        let view = self.client.http().transaction_receipt(hash, Some(true)).await;
        let view = view.map_err(|error| self.client.failed(error))?;
        let proof = view.and_then(|view| view.proof);
        let proof = proof.ok_or_else(|| Failure::new("light: the node sent no proof of the receipt"))?;
        let answer = ReceiptAnswer {
            receipt: proof
                .receipt
                .decode()
                .map_err(|error| failed("the receipt", &error))?,
            proof: proof
                .inclusion
                .decode()
                .map_err(|error| failed("the receipt's proof", &error))?,
        };
        let verified = self.light.verify_transaction_receipt(height, &hash, answer);
        verified.map_err(|error| failed("the receipt", &error))
    }
}

fn at(height: Height) -> BlockReference {
    BlockReference(millrace_pipeline::BlockId::Height(height))
}

fn proof<T: borsh::BorshDeserialize>(bytes: Option<Bytes>) -> Result<T, Failure> {
    let bytes = bytes.ok_or_else(|| Failure::new("light: the node sent no proof"))?;
    bytes.decode().map_err(|error| failed("the proof", &error))
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!(
        "light: {what} from the node does not check out: {error}; nothing of it was accepted"
    ))
}
