//! Accounts and transactions for the pool's tests.

use std::collections::BTreeMap;

use millrace_mempool::{AccountView, Funds};
use millrace_types::{Address, Amount, Payload, SignedTransaction, Transaction};

/// Accounts by key byte: next nonce and means.
#[derive(Clone, Default)]
pub struct Accounts(pub BTreeMap<Address, (u64, Funds)>);

impl Accounts {
    pub fn with(entries: &[(u8, u64, Amount)]) -> Self {
        let entry = |(key, nonce, settled): &(u8, u64, Amount)| {
            (
                Address::of_key(&[*key; 32]),
                (
                    *nonce,
                    Funds {
                        settled: *settled,
                        reserved: 0,
                    },
                ),
            )
        };
        Self(entries.iter().map(entry).collect())
    }
}

impl AccountView for Accounts {
    fn next_nonce(&self, account: &Address) -> u64 {
        self.0.get(account).map_or(0, |entry| entry.0)
    }

    fn funds(&self, account: &Address) -> Funds {
        self.0.get(account).map_or(Funds::default(), |entry| entry.1)
    }
}

pub fn transaction(key: u8, nonce: u64, gas_price: u64, value: Amount) -> SignedTransaction {
    let payload = Payload::Transfer {
        to: Address([9; 32]),
        value,
    };
    SignedTransaction {
        transaction: Transaction {
            chain_id: 1,
            public_key: [key; 32],
            nonce,
            gas_limit: 10,
            gas_price,
            payload,
        },
        signature: [0; 64],
    }
}
