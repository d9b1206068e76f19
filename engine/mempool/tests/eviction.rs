//! Who goes when the pool is full, and that nobody goes for nothing.
#![allow(clippy::unwrap_used)]

mod common;

use millrace_mempool::{InsertError, Pool, PoolConfig, PoolStats};
use millrace_types::{Address, Amount, Hash, Payload, SignedTransaction};

use crate::common::{Accounts, transaction};

fn pool_of(max_transactions: usize) -> Pool {
    Pool::new(PoolConfig {
        max_transactions,
        ..PoolConfig::default()
    })
}

/// A call whose input makes it `bytes` longer than one without.
fn long(key: u8, nonce: u64, price: u64, bytes: usize) -> SignedTransaction {
    let mut signed = transaction(key, nonce, price, 0);
    signed.transaction.payload = Payload::Call {
        to: Address([9; 32]),
        value: 0,
        input: vec![0; bytes],
    };
    signed
}

#[test]
fn whoever_bids_without_funds_crowds_nobody_out() {
    let view = Accounts::with(&[(1, 0, 1_000), (2, 0, 1_000), (3, 0, 0), (4, 0, 0)]);
    let pool = pool_of(2);
    let unfunded = pool.insert(transaction(3, 0, 1_000_000, 0), &view).unwrap();
    assert!(unfunded.held.is_some());
    let gapped = pool.insert(transaction(2, 3, 50, 0), &view).unwrap();
    assert!(gapped.held.is_some());
    let first = pool.insert(transaction(1, 0, 1, 0), &view).unwrap();
    assert_eq!(
        first.evicted,
        [gapped.hash],
        "of two that are held, the cheaper goes"
    );
    let second = pool.insert(transaction(1, 1, 1, 0), &view).unwrap();
    assert_eq!(second.evicted, [unfunded.hash]);
    let refused = pool
        .insert(transaction(4, 0, u64::MAX >> 8, 0), &view)
        .unwrap_err();
    assert!(
        matches!(refused, InsertError::PoolFull { cheapest: 1, .. }),
        "{refused}"
    );
}

#[test]
fn funds_that_settled_meanwhile_protect_what_was_held() {
    let mut view = Accounts::with(&[(1, 0, 0), (2, 0, 1_000)]);
    let pool = pool_of(1);
    pool.insert(transaction(1, 0, 5, 0), &view).unwrap();
    view.0.get_mut(&Address::of_key(&[1; 32])).unwrap().1.settled = 50;
    let refused = pool.insert(transaction(2, 0, 5, 0), &view).unwrap_err();
    assert!(
        matches!(refused, InsertError::PoolFull { cheapest: 5, .. }),
        "{refused}"
    );
    assert!(pool.insert(transaction(2, 0, 6, 0), &view).is_ok());
}

#[test]
fn a_long_transaction_makes_as_many_short_ones_go_as_it_needs_or_none() {
    let view = Accounts::with(&[(1, 0, 10_000), (2, 0, 10_000), (3, 0, 10_000)]);
    let size = long(1, 0, 1, 0).byte_len();
    let pool = Pool::new(PoolConfig {
        max_bytes: 6 * size,
        ..PoolConfig::default()
    });
    let hash = |t: SignedTransaction| pool.insert(t, &view).unwrap().hash;
    let short: Vec<Hash> = (0..3).map(|nonce| hash(long(1, nonce, 3, 0))).collect();
    let dear: Vec<Hash> = (0..3).map(|nonce| hash(long(2, nonce, 8, 0))).collect();
    let before = pool.stats();

    let refused = pool.insert(long(3, 0, 8, 4 * size), &view).unwrap_err();
    assert!(
        matches!(
            refused,
            InsertError::PoolFull {
                transactions: 6,
                cheapest: 3,
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(pool.stats(), before);
    assert!(
        short.iter().chain(&dear).all(|hash| pool.get(hash).is_some()),
        "put back"
    );

    let inserted = pool.insert(long(3, 0, 8, 2 * size), &view).unwrap();
    assert_eq!(
        inserted.evicted,
        [short[2], short[1], short[0]],
        "last ones first"
    );
    assert_eq!(pool.stats().bytes, 6 * size);
}

#[test]
fn a_sender_at_its_limit_gives_its_last_one_for_an_earlier_one_only() {
    let mut view = Accounts::with(&[(1, 2, 10_000)]);
    let pool = Pool::new(PoolConfig {
        max_per_sender: 2,
        ..PoolConfig::default()
    });
    pool.insert(transaction(1, 2, 5, 0), &view).unwrap();
    let last = pool.insert(transaction(1, 3, 5, 0), &view).unwrap();
    // The branch with the sender's second transaction lost.
    view.0.get_mut(&Address::of_key(&[1; 32])).unwrap().0 = 1;
    let taken = pool.take_back(vec![transaction(1, 1, 1, 0)], &view);
    assert_eq!((taken.refused, taken.displaced), (vec![], vec![last.hash]));
    assert_eq!(
        pool.insert(transaction(1, 2, 5, 9), &view).unwrap_err(),
        InsertError::ReplacementUnderpriced {
            nonce: 2,
            price: 5,
            needed: 6
        }
    );
    view.0.get_mut(&Address::of_key(&[1; 32])).unwrap().0 = 2;
    assert_eq!(
        pool.insert(transaction(1, 3, 9, 0), &view),
        Err(InsertError::SenderLimit { limit: 2 })
    );
}

#[test]
fn a_replacement_that_unfunds_its_successors_makes_them_go_first() {
    let view = Accounts::with(&[(1, 0, 300), (2, 0, 1_000)]);
    let pool = pool_of(2);
    pool.insert(transaction(1, 0, 10, 0), &view).unwrap();
    let second = pool.insert(transaction(1, 1, 10, 0), &view).unwrap();
    assert_eq!(second.held, None);
    pool.insert(transaction(1, 0, 11, 190), &view).unwrap();
    let inserted = pool.insert(transaction(2, 0, 1, 0), &view).unwrap();
    assert_eq!(inserted.evicted, [second.hash]);
}

#[test]
fn an_empty_pool_refuses_what_could_never_fit() {
    let view = Accounts::with(&[(1, 0, Amount::MAX)]);
    let pool = Pool::new(PoolConfig {
        max_bytes: 10,
        ..PoolConfig::default()
    });
    let refused = pool.insert(transaction(1, 0, 1, 0), &view).unwrap_err();
    assert!(
        matches!(refused, InsertError::PoolFull { transactions: 0, .. }),
        "{refused}"
    );
    assert_eq!(pool.stats(), PoolStats::default());
}

#[test]
fn the_highest_nonces_and_prices_do_not_overflow() {
    let view = Accounts::with(&[(1, u64::MAX - 1, Amount::MAX)]);
    let pool = Pool::new(PoolConfig::default());
    pool.insert(transaction(1, u64::MAX - 1, u64::MAX, 0), &view)
        .unwrap();
    pool.insert(transaction(1, u64::MAX, u64::MAX, 0), &view).unwrap();
    let room = millrace_mempool::BlockRoom {
        gas: u64::MAX,
        bytes: u64::MAX,
        transactions: u32::MAX,
    };
    let offered = pool.best(&view, room);
    assert_eq!(offered.len(), 2);
    assert_eq!(pool.pending_nonce(&Address::of_key(&[1; 32]), &view), u64::MAX);
    assert_eq!(pool.remove_finalized(&offered), []);
    assert_eq!(pool.stats(), PoolStats::default());
}

/// Counts how often accounts are asked for.
struct Counting<'a>(&'a Accounts, std::cell::Cell<usize>);

impl millrace_mempool::AccountView for Counting<'_> {
    fn next_nonce(&self, account: &Address) -> u64 {
        self.1.set(self.1.get() + 1);
        self.0.next_nonce(account)
    }

    fn funds(&self, account: &Address) -> millrace_mempool::Funds {
        self.0.funds(account)
    }
}

#[test]
fn whoever_bids_without_funds_makes_a_block_ask_for_few_accounts() {
    let mut view = Accounts::with(&[(200, 0, 1_000)]);
    let pool = Pool::new(PoolConfig {
        max_held_senders: 10,
        ..PoolConfig::default()
    });
    pool.insert(transaction(200, 0, 1, 0), &view).unwrap();
    let mut evicted = Vec::new();
    for key in 0..100 {
        let price = 1_000 + u64::from(key);
        evicted.extend(pool.insert(transaction(key, 0, price, 0), &view).unwrap().evicted);
    }
    assert_eq!((evicted.len(), pool.stats().transactions), (90, 11));
    let refused = pool.insert(transaction(100, 0, 5, 0), &view).unwrap_err();
    assert!(matches!(refused, InsertError::PoolFull { .. }), "{refused}");
    let room = millrace_mempool::BlockRoom {
        gas: u64::MAX,
        bytes: u64::MAX,
        transactions: 100,
    };
    let counting = Counting(&view, std::cell::Cell::default());
    assert_eq!(pool.best(&counting, room).len(), 1);
    assert_eq!(counting.1.get(), 11);
    // Funds that settle meanwhile make room for others that wait.
    view.0.insert(
        Address::of_key(&[90; 32]),
        (
            0,
            millrace_mempool::Funds {
                settled: 1 << 40,
                reserved: 0,
            },
        ),
    );
    let taken = pool.insert(transaction(100, 0, 1_091, 0), &view).unwrap();
    assert!(taken.evicted.is_empty() && taken.held.is_some());
}
