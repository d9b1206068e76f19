//! What the pool needs to know of accounts.

use millrace_types::{Address, Amount};

/// An account's means, as admission sees them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Funds {
    /// Balance in the settled state.
    pub settled: Amount,
    /// Worst case (gas limit × price + value) of its transactions in flight.
    pub reserved: Amount,
}

impl Funds {
    /// What is left for more.
    #[must_use]
    pub fn spendable(&self) -> Amount {
        self.settled.saturating_sub(self.reserved)
    }
}

/// Accounts on the branch that the next block is built on. Credits in flight do not count (protocol rule 11).
pub trait AccountView {
    /// The nonce that the account's next transaction must have: settled, plus in flight.
    fn next_nonce(&self, account: &Address) -> u64;

    /// Its means.
    fn funds(&self, account: &Address) -> Funds;
}
