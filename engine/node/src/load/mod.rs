//! Load for development chains: real signed transactions, sent over the RPC like anyone's.
//!
//! A load is a function of its kind, seed and accounts: transaction i is the same on every run, whatever the pace or
//! the blocks that it lands in. Every state slot that it writes exists after [`Load::prepare`], gas limits are twice
//! what is used and more (so what is charged never depends on order), and amounts never run out; so the state after
//! all of it is one state, and its root one root.

pub mod kind;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millrace_rpc::MillraceClient as _;
use millrace_rpc::shapes::TransactionStatusView;
use millrace_types::keys::SecretKey;
use millrace_types::{Address, Gas, Payload, SignedTransaction};

pub use kind::LoadKind;

use crate::client::{Client, ClientFailure, Terms, WaitFor, sign};
use crate::failure::Failure;

/// How long preparation may take before the chain is considered stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause before a transaction that was refused for now is sent again.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// What to send, how fast, how much.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// Of what kind.
    pub kind: LoadKind,
    /// Transactions a second over all senders; `None` for as fast as the node takes them.
    pub rate: Option<u64>,
    /// How many; `None` for no end.
    pub count: Option<u64>,
    /// What the amounts and receivers are drawn from.
    pub seed: u64,
}

/// A prepared load.
pub struct Load {
    plan: LoadPlan,
    client: Client,
    chain_id: u64,
    accounts: Arc<Vec<SecretKey>>,
    first_nonces: Vec<u64>,
    contract: Option<Address>,
    prepared: u64,
    sent: Arc<AtomicU64>,
}

impl Load {
    /// Sends what must be there before (contracts, first balances) and waits until it is executed.
    ///
    /// # Errors
    /// When the node refuses or gets stuck.
    pub async fn prepare(plan: LoadPlan, client: Client, accounts: Vec<SecretKey>) -> Result<Self, Failure> {
        let status = client.status().await?;
        let mut load = Self {
            plan,
            client,
            chain_id: status.chain_id,
            accounts: Arc::new(accounts),
            first_nonces: Vec::new(),
            contract: None,
            prepared: 0,
            sent: Arc::new(AtomicU64::new(0)),
        };
        if let Some(deploy) = load.plan.kind.deploy() {
            let created = load.send_and_wait(0, kind::DEPLOY_GAS, deploy).await?;
            let receipt = load.client.http().transaction_receipt(created, None).await;
            let receipt = receipt.map_err(|error| load.client.failed(error))?;
            let contract = receipt.and_then(|receipt| receipt.created);
            let contract =
                contract.ok_or_else(|| Failure::new("load: the contract's deployment did not succeed"))?;
            load.contract = Some(contract);
            load.prepared = 1;
            let addresses: Vec<Address> = load.accounts.iter().map(SecretKey::address).collect();
            let mut last = None;
            for payload in load.plan.kind.first_calls(contract, &addresses) {
                last = Some(load.send(0, kind::CALL_GAS, payload).await?);
                load.prepared += 1;
            }
            if let Some(last) = last {
                load.wait_for_success(last).await?;
            }
        }
        for account in load.accounts.iter() {
            let nonce = load.client.pending_nonce(account.address()).await?;
            load.first_nonces.push(nonce);
        }
        Ok(load)
    }

    /// How many transactions the node has taken.
    #[must_use]
    pub fn sent(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.sent)
    }

    /// How many transactions [`Self::prepare`] sent.
    #[must_use]
    pub fn prepared(&self) -> u64 {
        self.prepared
    }

    /// The contract that the load calls.
    #[must_use]
    pub fn contract(&self) -> Option<Address> {
        self.contract
    }

    /// Sends everything. One task for each sender, so that each sender's nonces go out in order.
    ///
    /// # Errors
    /// When the node refuses a transaction for good or cannot be reached.
    pub async fn run(self) -> Result<(), Failure> {
        let load = Arc::new(self);
        let mut senders = tokio::task::JoinSet::new();
        for sender in 0..load.accounts.len() {
            let load = Arc::clone(&load);
            senders.spawn(async move { load.run_sender(sender).await });
        }
        while let Some(ended) = senders.join_next().await {
            ended.map_err(|error| Failure::new(format!("load: a sender ended: {error}")))??;
        }
        Ok(())
    }

    async fn run_sender(&self, sender: usize) -> Result<(), Failure> {
        let senders = self.accounts.len() as u64;
        let mut ticks = self.plan.rate.map(|rate| {
            let period = Duration::from_secs_f64(senders as f64 / rate as f64);
            let mut ticks = tokio::time::interval(period);
            // Timers tick once a millisecond at most: what a faster rate misses is made up for.
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
            ticks
        });
        let mut index = sender as u64;
        let mut nonce = self.first_nonces[sender];
        while self.plan.count.is_none_or(|count| index < count) {
            if let Some(ticks) = &mut ticks {
                ticks.tick().await;
            }
            let payload = self
                .plan
                .kind
                .payload(self.plan.seed, index, self.contract, &self.accounts);
            let transaction = self.signed(sender, nonce, kind::CALL_GAS, payload);
            self.send_until_taken(&transaction).await?;
            self.sent.fetch_add(1, Ordering::Relaxed);
            (index, nonce) = (index + senders, nonce + 1);
        }
        Ok(())
    }

    async fn send_until_taken(&self, transaction: &SignedTransaction) -> Result<(), Failure> {
        loop {
            match self.client.send(transaction).await {
                Ok(_) => return Ok(()),
                Err(failure) if is_for_now(&failure) => tokio::time::sleep(RETRY_AFTER).await,
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    fn signed(&self, sender: usize, nonce: u64, gas_limit: Gas, payload: Payload) -> SignedTransaction {
        sign(
            &self.accounts[sender],
            nonce,
            Terms {
                chain_id: self.chain_id,
                gas_limit,
                gas_price: kind::GAS_PRICE,
            },
            payload,
        )
    }

    async fn send(&self, sender: usize, gas: Gas, payload: Payload) -> Result<millrace_types::Hash, Failure> {
        let nonce = self.client.pending_nonce(self.accounts[sender].address()).await?;
        let transaction = self.signed(sender, nonce, gas, payload);
        self.send_until_taken(&transaction).await?;
        Ok(transaction.hash())
    }

    async fn send_and_wait(
        &self,
        sender: usize,
        gas: Gas,
        payload: Payload,
    ) -> Result<millrace_types::Hash, Failure> {
        let hash = self.send(sender, gas, payload).await?;
        self.wait_for_success(hash).await?;
        Ok(hash)
    }

    async fn wait_for_success(&self, hash: millrace_types::Hash) -> Result<(), Failure> {
        match self.client.wait(hash, WaitFor::Executed, PATIENCE).await? {
            TransactionStatusView::Executed { outcome, .. }
            | TransactionStatusView::Settled { outcome, .. }
                if outcome == "success" =>
            {
                Ok(())
            }
            other => Err(Failure::new(format!(
                "load: preparing transaction {hash} did not succeed: {other:?}"
            ))),
        }
    }
}

/// Refusals that pass: the pool is full, or funds in flight are not settled yet.
fn is_for_now(failure: &ClientFailure) -> bool {
    const NAMES: [&str; 6] = [
        "PoolFull",
        "SenderLimit",
        "NonceTooFar",
        "InsufficientSettledFunds",
        "NotReady",
        "Pool:",
    ];
    matches!(failure, ClientFailure::Call { message, .. } if NAMES.iter().any(|name| message.starts_with(name)))
}
