//! Questions, each put to one node after the other until an answer proves itself.

use millrace_light_client::{
    AccountAnswer, CodeAnswer, LightClient, ReceiptAnswer, RootError, SettleError, StorageAnswer, Verified,
    verify,
};
use millrace_rpc::shapes::TransactionStatusView;
use millrace_rpc::{BlockReference, Bytes, MillraceClient as _};
use millrace_types::state::Account;
use millrace_types::{Address, Hash, Height, TransactionReceipt};

use crate::fault::{Fault, FollowError};
use crate::follower::Follower;
use crate::headers::{Trouble, catch_up};
use crate::node::{Node, lied};

/// Why a node gave no value.
pub(crate) enum No {
    /// Its fault, or the end of everything.
    Trouble(Trouble),
    /// It may be right that there is none; somebody else may have it all the same.
    Perhaps(FollowError),
}

impl<T: Into<Trouble>> From<T> for No {
    fn from(trouble: T) -> Self {
        Self::Trouble(trouble.into())
    }
}

trait Question {
    type Value;
    /// For messages.
    const WHAT: &'static str;
    async fn ask(&self, node: &Node, light: &mut LightClient) -> Result<Verified<Self::Value>, No>;
}

impl Follower {
    /// An account at the newest height whose execution a finalized header commits to, or that there is none.
    ///
    /// # Errors
    /// When no node's answer proves itself, or two certified branches contradict each other; so for all questions.
    pub async fn account(&mut self, address: Address) -> Result<Verified<Option<Account>>, FollowError> {
        self.ask(&AccountOf(address)).await
    }

    /// A contract's storage slot, or that there is nothing under the key.
    ///
    /// # Errors
    /// As [`Self::account`].
    pub async fn storage(
        &mut self,
        contract: Address,
        key: Vec<u8>,
    ) -> Result<Verified<Option<Vec<u8>>>, FollowError> {
        self.ask(&Slot { contract, key }).await
    }

    /// A contract's code, or that there is none.
    ///
    /// # Errors
    /// As [`Self::account`].
    pub async fn code(&mut self, contract: Address) -> Result<Verified<Option<Vec<u8>>>, FollowError> {
        self.ask(&CodeOf(contract)).await
    }

    /// How a transaction ended.
    ///
    /// # Errors
    /// As [`Self::account`]; also while no node proves that it is settled, or when it is older than the headers kept.
    pub async fn transaction(&mut self, hash: Hash) -> Result<Verified<TransactionReceipt>, FollowError> {
        self.ask(&Ended(hash)).await
    }

    async fn ask<Q: Question>(&mut self, question: &Q) -> Result<Verified<Q::Value>, FollowError> {
        self.sync().await?;
        let (mut perhaps, mut asked) = (None, Vec::new());
        loop {
            let mut next = self.order().into_iter().find(|index| !asked.contains(index));
            if next.is_none() {
                // Whoever rests is better than nobody.
                let resting = self.recall(&asked);
                self.round(&resting).await?;
                next = resting
                    .into_iter()
                    .find(|index| self.nodes[*index].left.is_none());
            }
            let Some(index) = next else { break };
            asked.push(index);
            match question.ask(&self.nodes[index], &mut self.light).await {
                Ok(verified) => return Ok(verified),
                Err(No::Perhaps(error)) => perhaps = Some(error),
                Err(No::Trouble(Trouble::Fault(fault))) => self.leave(index, fault),
                Err(No::Trouble(Trouble::Fork(fork))) => {
                    return Err(self.contradiction(index, *fork).await);
                }
                Err(No::Trouble(Trouble::End(error))) => return Err(error),
            }
        }
        Err(perhaps.unwrap_or_else(|| self.no_answer(Q::WHAT)))
    }
}

/// Brings and checks the receipts that settle a height which a finalized header commits to.
pub(crate) async fn settle(node: &Node, light: &mut LightClient, height: Height) -> Result<(), No> {
    if light.receipt(height).is_ok() {
        return Ok(());
    }
    let (settled_by, receipts) = node.settlement(light.spec(), height).await?;
    if light.settled_by(height) != Some(settled_by) {
        let reason = format!("height {height} is not settled by the header at height {settled_by}");
        return Err(lied("the settlement", &reason).into());
    }
    light.settle(settled_by, &receipts).map_err(|error| match error {
        SettleError::NotKept { oldest, .. } => No::Perhaps(FollowError::TooOld { height, oldest }),
        error => lied("receipts", &error).into(),
    })
}

/// The newest height whose state can be proven, with its root at hand.
async fn provable(node: &Node, light: &mut LightClient) -> Result<Height, No> {
    let height = light.executed_height();
    settle(node, light, height).await?;
    Ok(height)
}

fn proof<T: borsh::BorshDeserialize>(bytes: Option<Bytes>) -> Result<T, Fault> {
    let bytes = bytes.ok_or(Fault::Withheld { what: "proof" })?;
    bytes.decode().map_err(|error| lied("the proof", &error))
}

async fn account(node: &Node, address: Address, height: Height) -> Result<AccountAnswer, Fault> {
    let reference = Some(BlockReference::from(height));
    let view = node.http.account(address, reference, Some(true));
    let view = node.call("getAccount", view).await?;
    let account = view.exists.unwrap_or_default().then(|| Account {
        nonce: view.nonce,
        balance: view.balance.unwrap_or_default().0,
        code_hash: view.code_hash,
    });
    Ok(AccountAnswer {
        account,
        proof: proof(view.proof)?,
    })
}

struct AccountOf(Address);

impl Question for AccountOf {
    type Value = Option<Account>;
    const WHAT: &'static str = "the account";

    async fn ask(&self, node: &Node, light: &mut LightClient) -> Result<Verified<Self::Value>, No> {
        let height = provable(node, light).await?;
        let answer = account(node, self.0, height).await?;
        let verified = light.verify_account(height, &self.0, answer);
        Ok(verified.map_err(|error| lied("the account", &error))?)
    }
}

struct CodeOf(Address);

impl Question for CodeOf {
    type Value = Option<Vec<u8>>;
    const WHAT: &'static str = "the code";

    async fn ask(&self, node: &Node, light: &mut LightClient) -> Result<Verified<Self::Value>, No> {
        let height = provable(node, light).await?;
        let account = account(node, self.0, height).await?;
        let mut code = None;
        if account.account.is_some_and(|account| account.code_hash.is_some()) {
            // It needs no proof of its own: the account's record names its hash.
            let reference = Some(BlockReference::from(height));
            let view = node.http.code(self.0, reference, None);
            let view = node.call("getCode", view).await?;
            code = Some(view.code.ok_or(Fault::Withheld { what: "code" })?);
        }
        let code = code.map(|bytes| verify::Bytes(bytes.0));
        let verified = light.verify_code(height, &self.0, CodeAnswer { code, account });
        Ok(verified.map_err(|error| lied("the code", &error))?)
    }
}

struct Slot {
    contract: Address,
    key: Vec<u8>,
}

impl Question for Slot {
    type Value = Option<Vec<u8>>;
    const WHAT: &'static str = "the slot";

    async fn ask(&self, node: &Node, light: &mut LightClient) -> Result<Verified<Self::Value>, No> {
        let height = provable(node, light).await?;
        let (key, reference) = (Bytes(self.key.clone()), Some(BlockReference::from(height)));
        let view = node.http.storage(self.contract, key, reference, Some(true));
        let view = node.call("getStorage", view).await?;
        let answer = StorageAnswer {
            value: view.value.map(|bytes| verify::Bytes(bytes.0)),
            proof: proof(view.proof)?,
        };
        let verified = light.verify_storage(height, &self.contract, &self.key, answer);
        Ok(verified.map_err(|error| lied("the slot", &error))?)
    }
}

struct Ended(Hash);

impl Question for Ended {
    type Value = TransactionReceipt;
    const WHAT: &'static str = "the receipt";

    async fn ask(&self, node: &Node, light: &mut LightClient) -> Result<Verified<Self::Value>, No> {
        let status = node
            .call("getTransactionStatus", node.http.transaction_status(self.0))
            .await?;
        let TransactionStatusView::Settled { height, .. } = status else {
            let said = serde_json::to_value(&status).ok();
            let said = said.and_then(|status| Some(status.get("status")?.as_str()?.to_owned()));
            return Err(No::Perhaps(FollowError::NotSettled {
                hash: self.0,
                said: said.unwrap_or_default(),
            }));
        };
        if height > light.executed_height() {
            // Settled by a block that became final since the headers were fetched, if it is true.
            catch_up(node, light, 0, None).await?;
        }
        match light.receipt(height) {
            Ok(_) | Err(RootError::Unopened { .. }) => {}
            Err(RootError::Forgotten { oldest, .. }) => {
                return Err(No::Perhaps(FollowError::TooOld { height, oldest }));
            }
            Err(error) => return Err(lied("the transaction's status", &error).into()),
        }
        settle(node, light, height).await?;
        let view = node.http.transaction_receipt(self.0, Some(true));
        let view = node.call("getTransactionReceipt", view).await?;
        let proof = view.and_then(|view| view.proof).ok_or(Fault::Withheld {
            what: "proof of the receipt",
        })?;
        let answer = ReceiptAnswer {
            receipt: proof
                .receipt
                .decode()
                .map_err(|error| lied("the receipt", &error))?,
            proof: proof
                .inclusion
                .decode()
                .map_err(|error| lied("the receipt's proof", &error))?,
        };
        let verified = light.verify_transaction_receipt(height, &self.0, answer);
        Ok(verified.map_err(|error| lied("the receipt", &error))?)
    }
}
