//! What the core looks things up in: a pool that holds the next transaction of one sender, or nothing; states in which that
//! sender can pay everything; and what execution gives.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use millrace_mempool::BlockRoom;
use millrace_types::state::Account;
use millrace_types::{Address, ExecutionReceipt, ExecutionStatus, Hash, Height, SignedTransaction, merkle};

use crate::admission::{Branch, KnownSignatures, Spending, StateFault};
use crate::core::World;
use crate::testing::{address, transfer};
use crate::tree::{State, States};

/// The pool, and how many transactions the sender has sent after each block.
#[derive(Clone, Debug)]
pub(super) struct Outside {
    pub(super) is_filled: bool,
    pub(super) sent: BTreeMap<Hash, u64>,
}

/// What execution gives, here and everywhere.
pub(in crate::core) fn receipt(height: Height, block_hash: Hash) -> ExecutionReceipt {
    ExecutionReceipt {
        height,
        block_hash,
        status: ExecutionStatus::Executed,
        post_state_root: block_hash,
        transaction_receipts_root: merkle::receipts_root(&[]),
        gas_used: 0,
        gas_charged: 0,
    }
}

/// The sender's next transaction. Signing takes longer than anything else here, and signatures are no part of this.
pub(super) fn transaction(nonce: u64) -> SignedTransaction {
    let mut signed = unsigned();
    signed.transaction.nonce = nonce;
    signed
}

fn unsigned() -> SignedTransaction {
    static ONCE: OnceLock<SignedTransaction> = OnceLock::new();
    ONCE.get_or_init(|| transfer(0, 0, address(1), 1)).clone()
}

impl States for Outside {
    fn state(&self, block: &Hash) -> Result<Box<dyn State>, StateFault> {
        Ok(Box::new(Rich {
            nonce: self.sent[block],
        }))
    }
}

/// A state in which everyone can pay everything.
struct Rich {
    nonce: u64,
}

impl State for Rich {
    fn account(&self, _: &Address) -> Result<Account, StateFault> {
        Ok(Account {
            nonce: self.nonce,
            balance: u128::from(u64::MAX),
            code_hash: None,
        })
    }
}

impl KnownSignatures for Outside {
    fn contains(&self, _: &Hash) -> bool {
        true
    }
}

impl World for Outside {
    fn finalized_hash(&self, _: Height) -> Result<Option<Hash>, StateFault> {
        Ok(None)
    }

    fn stored_height(&self, _: &Hash) -> Result<Option<Height>, StateFault> {
        Ok(None)
    }

    fn candidates(
        &self,
        settled_height: Height,
        height: Height,
        branch: &dyn Branch,
        _: BlockRoom,
    ) -> Vec<SignedTransaction> {
        if !self.is_filled {
            return Vec::new();
        }
        let sender = unsigned().sender();
        let settled = branch
            .account_at(settled_height, &sender)
            .expect("states are there");
        let in_flight = (settled_height + 1..height)
            .map(|height| branch.spending_at(height, &sender))
            .fold(Spending::default(), Spending::plus);
        vec![transaction(settled.nonce + in_flight.count)]
    }
}
