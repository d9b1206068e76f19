//! The state that a chain spec starts from.

use std::sync::Arc;

use millrace_types::ChainSpec;
use millrace_types::state::{Account, account_path};

use crate::reader::Changes;

/// The genesis state as changes to the empty one. Accounts without balance are not stored.
#[must_use]
pub fn genesis_changes(spec: &ChainSpec) -> Changes {
    spec.accounts
        .iter()
        .filter(|account| account.balance > 0)
        .map(|account| {
            let record = Account {
                nonce: 0,
                balance: account.balance,
                code_hash: None,
            };
            (account_path(&account.address), Some(encode_account(&record)))
        })
        .collect()
}

/// An account record's value in the state.
pub(crate) fn encode_account(account: &Account) -> Arc<[u8]> {
    borsh::to_vec(account)
        .expect("an account encodes to memory")
        .into()
}
