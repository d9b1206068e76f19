//! The accounts that the pool judges transactions by: settled state, less what is in flight above it.

use std::sync::Arc;

use millrace_mempool::{AccountView, Funds};
use millrace_state::View;
use millrace_types::state::{Account, account_path};
use millrace_types::{Address, Height};

use crate::admission::{Branch, Spending, StateFault, Summary};
use crate::core::decode_account;

/// What the head leaves to new transactions: settled by the head, in flight up to the head.
#[derive(Clone)]
pub(crate) struct HeadAccounts {
    state: View,
    in_flight: Vec<Arc<Summary>>,
}

impl HeadAccounts {
    pub(crate) fn new(state: View, in_flight: Vec<Arc<Summary>>) -> Self {
        Self { state, in_flight }
    }

    fn settled(&self, address: &Address) -> Account {
        let record = self
            .state
            .get(&account_path(address))
            .map_err(|error| StateFault(error.to_string()));
        readable(record.and_then(|record| decode_account(record.as_deref(), address)))
    }

    fn spent(&self, address: &Address) -> Spending {
        self.in_flight
            .iter()
            .filter_map(|summary| summary.senders.get(address))
            .fold(Spending::default(), |sum, spending| sum.plus(*spending))
    }
}

impl AccountView for HeadAccounts {
    fn next_nonce(&self, account: &Address) -> u64 {
        self.settled(account)
            .nonce
            .saturating_add(self.spent(account).count)
    }

    fn funds(&self, account: &Address) -> Funds {
        Funds {
            settled: self.settled(account).balance,
            reserved: self.spent(account).cost,
        }
    }
}

/// What the ancestors of a block at `height`, which settles `settled_height`, leave to it.
pub(crate) struct BranchAccounts<'a> {
    pub(crate) settled_height: Height,
    pub(crate) height: Height,
    pub(crate) branch: &'a dyn Branch,
}

impl BranchAccounts<'_> {
    fn settled(&self, address: &Address) -> Account {
        readable(self.branch.account_at(self.settled_height, address))
    }

    fn spent(&self, address: &Address) -> Spending {
        (self.settled_height + 1..self.height)
            .map(|height| self.branch.spending_at(height, address))
            .fold(Spending::default(), Spending::plus)
    }
}

impl AccountView for BranchAccounts<'_> {
    fn next_nonce(&self, account: &Address) -> u64 {
        self.settled(account)
            .nonce
            .saturating_add(self.spent(account).count)
    }

    fn funds(&self, account: &Address) -> Funds {
        Funds {
            settled: self.settled(account).balance,
            reserved: self.spent(account).cost,
        }
    }
}

/// The pool is policy: an account that cannot be read has nothing for now. Admission reads it again, and stops.
fn readable(account: Result<Account, StateFault>) -> Account {
    account.unwrap_or_else(|fault| {
        tracing::error!(%fault, "an account cannot be read");
        Account::default()
    })
}
