//! One account during a transaction: what was seen of it, and how it changes.
//!
//! A change is kept as a difference, so that whoever only receives is not read: transactions that pay the same account
//! do not depend on each other. Where something is decided by the account (has it so much? which code?), what the decision
//! depends on is kept, not the whole record: it may change in other ways without changing the decision.

use millrace_types::state::{Account, Path, account_path};
use millrace_types::{Address, Amount, Hash};

/// A change of an account that does not depend on what the account is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct AccountChange {
    /// Added to the nonce.
    nonce: u64,
    balance: Net,
    /// The code that it got.
    code_hash: Option<Hash>,
}

/// Units gained or lost in all; losing none is gaining none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Net {
    Gain(Amount),
    Loss(Amount),
}

impl Default for Net {
    fn default() -> Self {
        Self::Gain(0)
    }
}

/// What must be true of an account before the transaction for the transaction to come to what it came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AccountNeed {
    nonce: Option<u64>,
    code_hash: Option<Option<Hash>>,
    at_least: Amount,
    at_most: Amount,
}

/// It leads to a balance below zero or beyond any supply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OutOfRange;

impl AccountChange {
    /// Units gained.
    pub(crate) fn credit(amount: Amount) -> Self {
        Self {
            balance: Net::Gain(amount),
            ..Self::default()
        }
    }

    /// The account after the change.
    pub(crate) fn apply(&self, to: &Account) -> Result<Account, OutOfRange> {
        Ok(Account {
            nonce: to.nonce.wrapping_add(self.nonce),
            balance: self.balance.apply(to.balance).ok_or(OutOfRange)?,
            code_hash: self.code_hash.or(to.code_hash),
        })
    }

    /// Whether it changes nothing.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Net {
    fn apply(self, to: Amount) -> Option<Amount> {
        match self {
            Self::Gain(gain) => to.checked_add(gain),
            Self::Loss(loss) => to.checked_sub(loss),
        }
    }

    fn gain(self, amount: Amount) -> Option<Self> {
        Some(match self {
            Self::Gain(gain) => Self::Gain(gain.checked_add(amount)?),
            Self::Loss(loss) if loss > amount => Self::Loss(loss - amount),
            Self::Loss(loss) => Self::Gain(amount - loss),
        })
    }

    fn lose(self, amount: Amount) -> Option<Self> {
        Some(match self {
            Self::Gain(gain) if gain >= amount => Self::Gain(gain - amount),
            Self::Gain(gain) => Self::Loss(amount - gain),
            Self::Loss(loss) => Self::Loss(loss.checked_add(amount)?),
        })
    }

    /// What the balance before must be for the balance after to be at least `amount`; `None` when nothing suffices.
    fn before(self, amount: Amount) -> Option<Amount> {
        match self {
            Self::Gain(gain) => Some(amount.saturating_sub(gain)),
            Self::Loss(loss) => amount.checked_add(loss),
        }
    }
}

impl Default for AccountNeed {
    fn default() -> Self {
        Self {
            nonce: None,
            code_hash: None,
            at_least: 0,
            at_most: Amount::MAX,
        }
    }
}

impl AccountNeed {
    /// Whether an account has it.
    pub(crate) fn holds(&self, account: &Account) -> bool {
        self.nonce.is_none_or(|nonce| nonce == account.nonce)
            && self.code_hash.is_none_or(|code| code == account.code_hash)
            && (self.at_least..=self.at_most).contains(&account.balance)
    }

    /// Whether every account has it.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// An account that a transaction has to do with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) path: Path,
    /// The record before the transaction, once something depends on it.
    pub(super) before: Option<Account>,
    need: AccountNeed,
    pub(super) change: AccountChange,
}

impl Entry {
    pub(super) fn new(address: &Address) -> Self {
        Self {
            path: account_path(address),
            before: None,
            need: AccountNeed::default(),
            change: AccountChange::default(),
        }
    }

    pub(super) fn need(&self) -> AccountNeed {
        self.need
    }

    /// The balance now, of an account that was `before`; the transaction depends on it.
    pub(super) fn balance(&mut self, before: &Account) -> Result<Amount, OutOfRange> {
        self.need.at_least = self.need.at_least.max(before.balance);
        self.need.at_most = self.need.at_most.min(before.balance);
        self.change.balance.apply(before.balance).ok_or(OutOfRange)
    }

    /// Whether the balance covers `amount`; the transaction depends on the answer alone.
    pub(super) fn covers(&mut self, before: &Account, amount: Amount) -> bool {
        let Some(least) = self.change.balance.before(amount) else {
            return false;
        };
        let covers = before.balance >= least;
        if covers {
            self.need.at_least = self.need.at_least.max(least);
        } else {
            // It is less than some amount, so that amount is not zero.
            self.need.at_most = self.need.at_most.min(least - 1);
        }
        covers
    }

    /// The nonce now.
    pub(super) fn nonce(&mut self, before: &Account) -> u64 {
        self.need.nonce = Some(before.nonce);
        before.nonce.wrapping_add(self.change.nonce)
    }

    /// The code now.
    pub(super) fn code_hash(&mut self, before: &Account) -> Option<Hash> {
        if self.change.code_hash.is_some() {
            return self.change.code_hash;
        }
        self.need.code_hash = Some(before.code_hash);
        before.code_hash
    }

    /// Takes for granted, unseen, that the nonce is `nonce` and the balance covers `amount`.
    pub(super) fn assume(&mut self, nonce: u64, amount: Amount) {
        self.need.nonce = Some(nonce);
        self.need.at_least = self.need.at_least.max(amount);
    }

    /// The change with `amount` more.
    pub(super) fn gaining(&self, amount: Amount) -> Result<AccountChange, OutOfRange> {
        let balance = self.change.balance.gain(amount).ok_or(OutOfRange)?;
        Ok(AccountChange {
            balance,
            ..self.change
        })
    }

    /// The change with `amount` less. What covers it was asked before.
    pub(super) fn losing(&self, amount: Amount) -> Result<AccountChange, OutOfRange> {
        let balance = self.change.balance.lose(amount).ok_or(OutOfRange)?;
        Ok(AccountChange {
            balance,
            ..self.change
        })
    }

    /// The change with a nonce more.
    pub(super) fn counting(&self) -> AccountChange {
        AccountChange {
            nonce: self.change.nonce.wrapping_add(1),
            ..self.change
        }
    }

    /// The change with code.
    pub(super) fn with_code(&self, code_hash: Hash) -> AccountChange {
        AccountChange {
            code_hash: Some(code_hash),
            ..self.change
        }
    }
}
