//! Transactions whose signature this node has verified, so that it is done once per transaction.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use millrace_types::Hash;

/// Ids per generation; the set holds two.
const GENERATION: usize = 1 << 16;

/// A bounded set of ids. When a generation is full, the one before it is forgotten.
#[derive(Default)]
pub(crate) struct Verified(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: BTreeSet<Hash>,
    old: BTreeSet<Hash>,
}

impl Verified {
    /// Remembers a transaction.
    pub(crate) fn insert(&self, transaction: Hash) {
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sets.young.len() >= GENERATION {
            sets.old = std::mem::take(&mut sets.young);
        }
        sets.young.insert(transaction);
    }

    /// Whether it was remembered, and not long ago.
    pub(crate) fn contains(&self, transaction: &Hash) -> bool {
        let sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sets.young.contains(transaction) || sets.old.contains(transaction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_remembers_at_least_one_generation_and_at_most_two() {
        let verified = Verified::default();
        let id = |n: u64| Hash(std::array::from_fn(|i| n.to_le_bytes()[i % 8]));
        for n in 0..3 * GENERATION as u64 {
            verified.insert(id(n));
        }
        assert!(!verified.contains(&id(0)));
        assert!((2 * GENERATION as u64..3 * GENERATION as u64).all(|n| verified.contains(&id(n))));
    }
}
