//! The accounts that the pool judges transactions by: settled state, less what is in flight above it.

use std::cell::Cell;
use std::sync::Arc;

use millrace_mempool::{AccountView, Funds};
use millrace_state::View;
use millrace_types::state::Account;
use millrace_types::{Address, Height};

use crate::admission::{Branch, Spending, StateFault, Summary};
use crate::execution::account_in;

/// What the head leaves to new transactions: settled by the head, in flight up to the head.
pub(crate) struct HeadAccounts {
    state: View,
    in_flight: Vec<Arc<Summary>>,
}

impl HeadAccounts {
    pub(crate) fn new(state: View, in_flight: Vec<Arc<Summary>>) -> Self {
        Self { state, in_flight }
    }

    fn settled(&self, address: &Address) -> Account {
        readable(account_in(&self.state, address))
    }

    fn spent(&self, address: &Address) -> Spending {
        self.in_flight
            .iter()
            .filter_map(|summary| summary.senders.get(address))
            .fold(Spending::default(), |sum, spending| sum.plus(*spending))
    }
}

/// The same for one call of the pool, which asks several times for one account: the last answer is kept.
pub(crate) struct Asked<'a> {
    accounts: &'a HeadAccounts,
    last: Cell<Option<(Address, u64, Funds)>>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(accounts: &'a HeadAccounts) -> Self {
        Self {
            accounts,
            last: Cell::new(None),
        }
    }

    fn ask(&self, address: &Address) -> (u64, Funds) {
        if let Some((_, nonce, funds)) = self.last.get().filter(|(last, ..)| last == address) {
            return (nonce, funds);
        }
        let (settled, spent) = (self.accounts.settled(address), self.accounts.spent(address));
        let nonce = settled.nonce.saturating_add(spent.count);
        let funds = Funds {
            settled: settled.balance,
            reserved: spent.cost,
        };
        self.last.set(Some((*address, nonce, funds)));
        (nonce, funds)
    }
}

impl AccountView for Asked<'_> {
    fn next_nonce(&self, account: &Address) -> u64 {
        self.ask(account).0
    }

    fn funds(&self, account: &Address) -> Funds {
        self.ask(account).1
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
