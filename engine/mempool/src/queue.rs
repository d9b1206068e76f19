//! One sender's transactions.

use std::cmp::Reverse;
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

/// The order in which blocks are filled, the smallest first: dear before cheap, old before new.
pub(crate) type Wanted = (Reverse<GasPrice>, u64);

/// The order in which transactions are evicted, the smallest first: held before ready, cheap before dear, new before
/// old.
pub(crate) type Worth = (bool, GasPrice, Reverse<u64>);

impl Entry {
    pub(crate) fn nonce(&self) -> u64 {
        self.transaction.transaction.nonce
    }

    pub(crate) fn price(&self) -> GasPrice {
        self.transaction.transaction.gas_price
    }

    pub(crate) fn gas(&self) -> Gas {
        self.transaction.transaction.gas_limit
    }

    pub(crate) fn wanted(&self) -> Wanted {
        (Reverse(self.price()), self.arrival)
    }

    pub(crate) fn worth(&self, is_ready: bool) -> Worth {
        (is_ready, self.price(), Reverse(self.arrival))
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
pub(crate) struct Queue {
    entries: BTreeMap<u64, Entry>,
    /// The highest price here.
    dearest: GasPrice,
    /// The first arrival here.
    oldest: u64,
    /// Whether the last one was ready when this sender was last looked at. Only eviction goes by it, and looks again.
    pub(crate) is_tail_ready: bool,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, nonce: u64) -> Option<&Entry> {
        self.entries.get(&nonce)
    }

    /// Puts a transaction in its place, which is free.
    pub(crate) fn put(&mut self, entry: Entry) {
        let is_first = self.entries.is_empty();
        self.dearest = if is_first {
            entry.price()
        } else {
            self.dearest.max(entry.price())
        };
        self.oldest = if is_first {
            entry.arrival
        } else {
            self.oldest.min(entry.arrival)
        };
        self.entries.insert(entry.nonce(), entry);
    }

    pub(crate) fn take(&mut self, nonce: u64) -> Option<Entry> {
        let taken = self.entries.remove(&nonce)?;
        if taken.price() == self.dearest || taken.arrival == self.oldest {
            self.find_bounds();
        }
        Some(taken)
    }

    /// Takes out everything up to the nonce `last`.
    pub(crate) fn take_up_to(&mut self, last: u64) -> BTreeMap<u64, Entry> {
        let later = last
            .checked_add(1)
            .map(|next| self.entries.split_off(&next))
            .unwrap_or_default();
        let taken = std::mem::replace(&mut self.entries, later);
        self.find_bounds();
        taken
    }

    fn find_bounds(&mut self) {
        self.dearest = self.entries.values().map(Entry::price).max().unwrap_or_default();
        self.oldest = self
            .entries
            .values()
            .map(|entry| entry.arrival)
            .min()
            .unwrap_or_default();
    }

    /// The last one: the only one that can be evicted without leaving a gap.
    pub(crate) fn tail(&self) -> Option<&Entry> {
        self.entries.last_key_value().map(|(_, entry)| entry)
    }

    pub(crate) fn tail_worth(&self) -> Option<Worth> {
        self.tail().map(|entry| entry.worth(self.is_tail_ready))
    }

    /// Nothing here is wanted more than this says.
    pub(crate) fn offer_bound(&self) -> Option<Wanted> {
        (!self.entries.is_empty()).then_some((Reverse(self.dearest), self.oldest))
    }

    /// The first nonce from `next` on that is not here.
    pub(crate) fn first_gap(&self, next: u64) -> u64 {
        let run = self.entries.range(next..).zip(next..=u64::MAX);
        next.saturating_add(
            run.take_while(|((nonce, _), expected)| **nonce == *expected)
                .count() as u64,
        )
    }

    /// Why the transaction with `nonce`, whose worst case is `needed`, is not ready (or would not be, if it is not here);
    /// `None` when it is.
    pub(crate) fn held(&self, nonce: u64, needed: Amount, next: u64, funds: Funds) -> Option<Held> {
        if nonce < next {
            // On its way into a block of this branch.
            return None;
        }
        let (mut expected, mut reserved) = (next, funds.reserved);
        for (earlier, entry) in self.entries.range(next..nonce) {
            if *earlier != expected {
                break;
            }
            expected += 1;
            reserved = reserved.saturating_add(entry.cost);
        }
        if expected < nonce {
            return Some(Held::NonceGap {
                expected,
                found: nonce,
            });
        }
        let is_covered = reserved
            .checked_add(needed)
            .is_some_and(|sum| sum <= funds.settled);
        let settled = funds.settled;
        (!is_covered).then_some(Held::InsufficientSettledFunds {
            settled,
            reserved,
            needed,
        })
    }
}
