//! One sender's transactions.

use std::collections::BTreeMap;

use millrace_types::{Amount, Gas, GasPrice, Hash, SignedTransaction};

use crate::error::Held;
use crate::view::Funds;

/// A pooled transaction with what is needed to choose it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) transaction: SignedTransaction,
    pub(crate) hash: Hash,
    pub(crate) bytes: usize,
    /// gas limit × price + value.
    pub(crate) cost: Amount,
    /// Order of arrival in this pool.
    pub(crate) arrival: u64,
}

impl Entry {
    pub(crate) fn price(&self) -> GasPrice {
        self.transaction.transaction.gas_price
    }

    pub(crate) fn gas(&self) -> Gas {
        self.transaction.transaction.gas_limit
    }
}

/// gas limit × price + value; `None` beyond 2^128.
pub(crate) fn worst_cost(transaction: &SignedTransaction) -> Option<Amount> {
    let inner = &transaction.transaction;
    let gas = Amount::from(inner.gas_limit).checked_mul(Amount::from(inner.gas_price))?;
    gas.checked_add(inner.payload.value())
}

/// By nonce.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue(pub(crate) BTreeMap<u64, Entry>);

impl Queue {
    /// The last one: the only one that can be evicted without leaving a gap.
    pub(crate) fn tail(&self) -> Option<&Entry> {
        self.0.last_key_value().map(|(_, entry)| entry)
    }

    /// The first nonce from `next` on that is not here.
    pub(crate) fn first_gap(&self, next: u64) -> u64 {
        let run = self
            .0
            .range(next..)
            .zip(next..)
            .take_while(|((nonce, _), expected)| **nonce == *expected);
        next + run.count() as u64
    }

    /// Why the transaction with `nonce` is not ready; `None` when it is.
    pub(crate) fn held(&self, nonce: u64, next: u64, funds: Funds) -> Option<Held> {
        if nonce < next {
            // On its way into a block of this branch.
            return None;
        }
        let gap = self.first_gap(next);
        if gap < nonce {
            return Some(Held::NonceGap {
                expected: gap,
                found: nonce,
            });
        }
        let mut reserved = funds.reserved;
        for (at, entry) in self.0.range(next..=nonce) {
            let after = reserved.checked_add(entry.cost);
            if after.is_none_or(|after| after > funds.settled) && *at == nonce {
                return Some(Held::InsufficientSettledFunds {
                    settled: funds.settled,
                    reserved,
                    needed: entry.cost,
                });
            }
            reserved = after.unwrap_or(Amount::MAX);
        }
        None
    }
}
