//! What the pool promises: bounds, order, replacement, holding, eviction; and a random walk against a naive model.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use millrace_mempool::{BlockRoom, Held, InsertError, Pool, PoolConfig};
use millrace_types::{Address, Amount, SignedTransaction, codec};
use proptest::prelude::*;

use crate::common::{Accounts, transaction};

const ROOM: BlockRoom = BlockRoom {
    gas: 1_000_000,
    bytes: 1_000_000,
    transactions: 1_000,
};

fn order(offered: &[SignedTransaction]) -> Vec<(u8, u64)> {
    offered
        .iter()
        .map(|t| (t.transaction.public_key[0], t.transaction.nonce))
        .collect()
}

#[test]
fn the_best_price_goes_first_and_each_sender_in_order_of_nonces() {
    let view = Accounts::with(&[(1, 0, 1_000), (2, 5, 1_000), (3, 0, 1_000)]);
    let pool = Pool::new(PoolConfig::default());
    for t in [
        transaction(1, 1, 9, 0),
        transaction(1, 0, 2, 0),
        transaction(2, 5, 3, 0),
        transaction(3, 0, 3, 0),
    ] {
        pool.insert(t, &view).unwrap();
    }
    // Equal prices: who came first. Sender 1's dear second waits for its cheap first.
    assert_eq!(order(&pool.best(&view, ROOM)), [(2, 5), (3, 0), (1, 0), (1, 1)]);
    let two = BlockRoom {
        transactions: 2,
        ..ROOM
    };
    assert_eq!(order(&pool.best(&view, two)), [(2, 5), (3, 0)]);
    let gas = BlockRoom { gas: 25, ..ROOM };
    assert_eq!(order(&pool.best(&view, gas)), [(2, 5), (3, 0)]);
}

#[test]
fn funds_that_are_not_settled_yet_hold_a_transaction_until_they_are() {
    let mut view = Accounts::with(&[(1, 0, 50)]);
    let pool = Pool::new(PoolConfig::default());
    assert_eq!(pool.insert(transaction(1, 0, 2, 20), &view).unwrap().held, None);
    let second = pool.insert(transaction(1, 1, 1, 5), &view).unwrap();
    let held = Held::InsufficientSettledFunds {
        settled: 50,
        reserved: 40,
        needed: 15,
    };
    assert_eq!(second.held, Some(held));
    assert_eq!(order(&pool.best(&view, ROOM)), [(1, 0)]);
    view.0.get_mut(&Address::of_key(&[1; 32])).unwrap().1.settled = 55;
    assert_eq!(pool.status(&second.hash, &view), Some(None));
    assert_eq!(order(&pool.best(&view, ROOM)), [(1, 0), (1, 1)]);
}

#[test]
fn a_nonce_gap_holds_and_closing_it_releases() {
    let view = Accounts::with(&[(1, 3, 1_000)]);
    let pool = Pool::new(PoolConfig::default());
    let late = pool.insert(transaction(1, 5, 1, 0), &view).unwrap();
    assert_eq!(
        late.held,
        Some(Held::NonceGap {
            expected: 3,
            found: 5
        })
    );
    assert!(!pool.has_ready(&view));
    pool.insert(transaction(1, 3, 1, 0), &view).unwrap();
    assert_eq!(pool.pending_nonce(&Address::of_key(&[1; 32]), &view), 4);
    pool.insert(transaction(1, 4, 1, 0), &view).unwrap();
    assert_eq!(pool.pending_nonce(&Address::of_key(&[1; 32]), &view), 6);
    assert_eq!(order(&pool.best(&view, ROOM)), [(1, 3), (1, 4), (1, 5)]);
}

#[test]
fn a_replacement_pays_a_tenth_more() {
    let view = Accounts::with(&[(1, 0, 10_000)]);
    let pool = Pool::new(PoolConfig::default());
    let first = pool.insert(transaction(1, 0, 100, 0), &view).unwrap();
    let error = pool.insert(transaction(1, 0, 109, 0), &view).unwrap_err();
    assert_eq!(
        error,
        InsertError::ReplacementUnderpriced {
            nonce: 0,
            price: 100,
            needed: 110
        }
    );
    let second = pool.insert(transaction(1, 0, 110, 0), &view).unwrap();
    assert_eq!(second.replaced, Some(first.hash));
    assert_eq!(pool.stats().transactions, 1);
    assert_eq!(pool.get(&first.hash), None);
    assert_eq!(
        pool.insert(transaction(1, 0, 110, 0), &view).unwrap().hash,
        second.hash,
        "again is harmless"
    );
}

#[test]
fn nonces_outside_the_window_are_refused_by_name() {
    let view = Accounts::with(&[(1, 7, 1_000)]);
    let pool = Pool::new(PoolConfig {
        max_per_sender: 4,
        ..PoolConfig::default()
    });
    assert_eq!(
        pool.insert(transaction(1, 6, 1, 0), &view),
        Err(InsertError::NonceTooLow { given: 6, next: 7 })
    );
    assert_eq!(
        pool.insert(transaction(1, 11, 1, 0), &view),
        Err(InsertError::NonceTooHigh { given: 11, max: 10 })
    );
    let mut dear = transaction(1, 7, u64::MAX, Amount::MAX);
    dear.transaction.gas_limit = u64::MAX;
    assert_eq!(pool.insert(dear, &view), Err(InsertError::CostOverflow));
}

#[test]
fn a_full_pool_evicts_the_cheapest_tail_for_a_dearer_one_only() {
    let view = Accounts::with(&[(1, 0, 1_000), (2, 0, 1_000), (3, 0, 1_000)]);
    let pool = Pool::new(PoolConfig {
        max_transactions: 3,
        ..PoolConfig::default()
    });
    pool.insert(transaction(1, 0, 1, 0), &view).unwrap();
    let tail = pool.insert(transaction(1, 1, 5, 0), &view).unwrap();
    pool.insert(transaction(2, 0, 6, 0), &view).unwrap();
    // Sender 1's first is the cheapest, but evicting it would strand its second.
    let error = pool.insert(transaction(3, 0, 5, 0), &view).unwrap_err();
    assert!(
        matches!(
            error,
            InsertError::PoolFull {
                transactions: 3,
                cheapest: 5,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        pool.insert(transaction(3, 0, 7, 0), &view).unwrap().evicted,
        [tail.hash]
    );
    let own = pool.insert(transaction(1, 1, 9, 0), &view).unwrap_err();
    assert!(
        matches!(own, InsertError::PoolFull { cheapest: 1, .. }),
        "a sender does not evict its own: {own}"
    );
}

#[test]
fn what_is_finalized_leaves_and_takes_the_stale_with_it() {
    let view = Accounts::with(&[(1, 0, 1_000)]);
    let pool = Pool::new(PoolConfig::default());
    let first = pool.insert(transaction(1, 0, 1, 0), &view).unwrap();
    pool.insert(transaction(1, 1, 1, 0), &view).unwrap();
    let other = transaction(1, 0, 1, 77);
    assert_eq!(pool.remove_finalized(&[other]), [first.hash]);
    assert_eq!(pool.stats().transactions, 1);
    let after = Accounts::with(&[(1, 2, 1_000)]);
    assert_eq!(
        pool.status(&transaction(1, 1, 1, 0).hash(), &after),
        Some(None),
        "in flight, not held"
    );
    assert_eq!(pool.remove_stale(&after).len(), 1);
    assert_eq!(pool.stats(), millrace_mempool::PoolStats::default());
    assert_eq!(
        pool.take_back(vec![transaction(1, 2, 1, 0)], &after),
        millrace_mempool::TakenBack::default()
    );
    assert_eq!(order(&pool.best(&after, ROOM)), [(1, 2)]);
}

#[derive(Clone, Debug)]
enum Step {
    Insert {
        key: u8,
        nonce: u64,
        price: u64,
        value: u8,
    },
    Build {
        transactions: u32,
        gas: u64,
    },
    Finalize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let insert =
        (0u8..5, 0u64..12, 1u64..20, any::<u8>()).prop_map(|(key, nonce, price, value)| Step::Insert {
            key,
            nonce,
            price,
            value,
        });
    let build = (0u32..6, 0u64..80).prop_map(|(transactions, gas)| Step::Build { transactions, gas });
    proptest::collection::vec(
        prop_oneof![8 => insert, 1 => build, 1 => Just(Step::Finalize)],
        0..120,
    )
}

proptest! {
    /// Bounds always hold; every offer is admissible by the rule itself; what was taken and not accounted for is there.
    #[test]
    fn a_random_walk_keeps_every_promise(steps in steps()) {
        let config = PoolConfig { max_transactions: 12, max_bytes: 12 * 220, max_per_sender: 6, ..PoolConfig::default() };
        let pool = Pool::new(config);
        let mut view = Accounts::with(&[(0, 0, 900), (1, 0, 400), (2, 0, 90), (3, 1, 900), (4, 0, 0)]);
        let mut present = BTreeMap::new();
        for step in steps {
            match step {
                Step::Insert { key, nonce, price, value } => {
                    let t = transaction(key, nonce, price, Amount::from(value));
                    if let Ok(inserted) = pool.insert(t.clone(), &view) {
                        for gone in inserted.replaced.into_iter().chain(inserted.evicted) {
                            prop_assert!(present.remove(&gone).is_some(), "it was there");
                        }
                        present.insert(inserted.hash, t);
                    }
                }
                Step::Build { transactions, gas } => {
                    let room = BlockRoom { gas, bytes: 2_000, transactions };
                    let offered = pool.best(&view, room);
                    assert_admissible(&offered, &view, room)?;
                }
                Step::Finalize => {
                    let offered = pool.best(&view, BlockRoom { transactions: 3, ..ROOM });
                    assert_admissible(&offered, &view, ROOM)?;
                    for t in &offered {
                        let account = view.0.get_mut(&t.sender()).unwrap();
                        account.0 += 1;
                        account.1.settled -= cost(t);
                        present.remove(&t.hash());
                    }
                    for stale in pool.remove_finalized(&offered) {
                        present.remove(&stale);
                    }
                }
            }
            let stats = pool.stats();
            prop_assert!(stats.transactions <= config.max_transactions && stats.bytes <= config.max_bytes);
            prop_assert_eq!(stats.transactions, present.len());
            prop_assert_eq!(stats.bytes, present.values().map(codec::encoded_len).sum::<usize>());
            for hash in present.keys() {
                prop_assert!(pool.get(hash).is_some(), "nothing disappears silently");
            }
        }
    }
}

fn cost(t: &SignedTransaction) -> Amount {
    Amount::from(t.transaction.gas_limit) * Amount::from(t.transaction.gas_price)
        + t.transaction.payload.value()
}

fn assert_admissible(
    offered: &[SignedTransaction],
    view: &Accounts,
    room: BlockRoom,
) -> Result<(), TestCaseError> {
    let mut state = view.clone();
    let mut gas = 0;
    for t in offered {
        let account = state
            .0
            .get_mut(&t.sender())
            .expect("an unfunded account has nothing to offer");
        prop_assert_eq!(t.transaction.nonce, account.0);
        account.0 += 1;
        prop_assert!(account.1.settled >= cost(t));
        account.1.settled -= cost(t);
        gas += t.transaction.gas_limit;
    }
    prop_assert!(gas <= room.gas && offered.len() <= room.transactions as usize);
    Ok(())
}
