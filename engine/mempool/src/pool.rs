//! The pool: a handle that any thread may use.
//!
//! A call holds the lock for as long as it runs, and may ask its [`AccountView`] meanwhile; a view must not use the pool.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_types::{Address, Hash, SignedTransaction};

use crate::config::PoolConfig;
use crate::contents::Contents;
use crate::error::{Held, InsertError};
use crate::insert;
use crate::select::{self, BlockRoom};
use crate::view::AccountView;

/// What became of an inserted transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inserted {
    /// Its hash.
    pub hash: Hash,
    /// Why it waits, if it does.
    pub held: Option<Held>,
    /// The transaction that it took the place of: same sender and nonce, lower price.
    pub replaced: Option<Hash>,
    /// The transactions that were evicted to make room.
    pub evicted: Vec<Hash>,
}

/// What became of the transactions of a block that lost.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TakenBack {
    /// Those that were not taken, with the reason.
    pub refused: Vec<(Hash, InsertError)>,
    /// Those that were replaced or evicted by ones that were.
    pub displaced: Vec<Hash>,
}

/// How full the pool is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PoolStats {
    /// Transactions.
    pub transactions: usize,
    /// Their canonical bytes.
    pub bytes: usize,
}

/// Shared handle of a pool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    config: PoolConfig,
    contents: Contents,
    /// Place of the newest arrival in the order of all.
    newest: u64,
    /// Place before the first arrival, which moves down for those that come back.
    oldest: u64,
}

/// Where the order of arrivals begins: half of it is left for what comes back.
const FIRST_ARRIVAL: u64 = 1 << 63;

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(config: PoolConfig) -> Self {
        let inner = Inner {
            config,
            contents: Contents::default(),
            newest: FIRST_ARRIVAL,
            oldest: FIRST_ARRIVAL,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// Takes a transaction that passed every check which needs no state. One that is here already is taken again.
    ///
    /// # Errors
    /// [`InsertError`], naming value and limit. The pool is as it was.
    pub fn insert(
        &self,
        transaction: SignedTransaction,
        view: &dyn AccountView,
    ) -> Result<Inserted, InsertError> {
        let mut inner = self.lock();
        inner.newest += 1;
        let arrival = inner.newest;
        inner.insert(transaction, arrival, view)
    }

    /// The transactions for a block on the branch that `view` describes: best price first, each sender's in the order
    /// of their nonces, all payable from settled funds. They stay in the pool until they are finalized.
    #[must_use]
    pub fn best(&self, view: &dyn AccountView, room: BlockRoom) -> Vec<SignedTransaction> {
        select::best(&self.lock().contents, view, room)
    }

    /// Whether [`Self::best`] would offer anything at all, given enough room.
    #[must_use]
    pub fn has_ready(&self, view: &dyn AccountView) -> bool {
        select::has_ready(&self.lock().contents, view)
    }

    /// Forgets transactions that are finalized, and whatever else used their nonces. Returns what was dropped without
    /// having been finalized itself.
    pub fn remove_finalized(&self, transactions: &[SignedTransaction]) -> Vec<Hash> {
        let mut finalized = BTreeSet::new();
        let mut last_nonces = BTreeMap::new();
        for signed in transactions {
            finalized.insert(signed.hash());
            let last = last_nonces.entry(signed.sender()).or_default();
            *last = signed.transaction.nonce.max(*last);
        }
        let mut inner = self.lock();
        let dropped = last_nonces
            .iter()
            .flat_map(|(sender, last)| inner.contents.drop_up_to(sender, *last));
        dropped.filter(|hash| !finalized.contains(hash)).collect()
    }

    /// Forgets every transaction whose nonce is used on the branch of `view`. Returns their hashes.
    pub fn remove_stale(&self, view: &dyn AccountView) -> Vec<Hash> {
        let mut inner = self.lock();
        let senders: Vec<Address> = inner.contents.senders().copied().collect();
        let mut stale = Vec::new();
        for sender in senders {
            if let Some(last_used) = view.next_nonce(&sender).checked_sub(1) {
                stale.extend(inner.contents.drop_up_to(&sender, last_used));
            }
            insert::look_at_tail(&mut inner.contents, &sender, view);
        }
        stale
    }

    /// Takes back the transactions of a block that lost against another branch, by the rules of [`Self::insert`], and
    /// looks at all others again. `view` is the branch that won. They were here before all that came while they were in the
    /// block, and count as older: in a full pool the newest of those that pay the same go for them.
    pub fn take_back(&self, transactions: Vec<SignedTransaction>, view: &dyn AccountView) -> TakenBack {
        let mut inner = self.lock();
        let senders: Vec<Address> = inner.contents.senders().copied().collect();
        for sender in &senders {
            insert::look_at_tail(&mut inner.contents, sender, view);
        }
        let mut taken = TakenBack::default();
        let first = inner.oldest.saturating_sub(transactions.len() as u64);
        inner.oldest = first;
        for (transaction, arrival) in transactions.into_iter().zip(first..) {
            let hash = transaction.hash();
            match inner.insert(transaction, arrival, view) {
                Ok(inserted) => taken
                    .displaced
                    .extend(inserted.replaced.into_iter().chain(inserted.evicted)),
                Err(error) => taken.refused.push((hash, error)),
            }
        }
        taken
    }

    /// Whether a transaction is here, and why it waits if it does.
    #[must_use]
    pub fn status(&self, hash: &Hash, view: &dyn AccountView) -> Option<Option<Held>> {
        self.lock().status(hash, view)
    }

    /// A pooled transaction.
    #[must_use]
    pub fn get(&self, hash: &Hash) -> Option<SignedTransaction> {
        self.lock()
            .contents
            .find(hash)
            .map(|(.., entry)| entry.transaction.clone())
    }

    /// The nonce that a sender's next transaction should have, pooled ones counted.
    #[must_use]
    pub fn pending_nonce(&self, sender: &Address, view: &dyn AccountView) -> u64 {
        let next = view.next_nonce(sender);
        self.lock()
            .contents
            .queue(sender)
            .map_or(next, |queue| queue.first_gap(next))
    }

    /// How full it is.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let inner = self.lock();
        PoolStats {
            transactions: inner.contents.len(),
            bytes: inner.contents.bytes(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Only a view can panic, and no view is asked while contents and orders are out of step.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn insert(
        &mut self,
        transaction: SignedTransaction,
        arrival: u64,
        view: &dyn AccountView,
    ) -> Result<Inserted, InsertError> {
        let hash = transaction.hash();
        if let Some(held) = self.status(&hash, view) {
            return Ok(Inserted {
                hash,
                held,
                replaced: None,
                evicted: Vec::new(),
            });
        }
        let got = insert::insert(&mut self.contents, &self.config, transaction, arrival, view)?;
        Ok(Inserted {
            hash,
            held: got.held,
            replaced: got.replaced,
            evicted: got.evicted,
        })
    }

    fn status(&self, hash: &Hash, view: &dyn AccountView) -> Option<Option<Held>> {
        let (sender, queue, entry) = self.contents.find(hash)?;
        Some(queue.held(
            entry.nonce(),
            entry.cost,
            view.next_nonce(sender),
            view.funds(sender),
        ))
    }
}
