//! The pool: a handle that any thread may use.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_types::{Address, Amount, Gas, GasPrice, Hash, SignedTransaction, codec};

use crate::config::PoolConfig;
use crate::error::{Held, InsertError};
use crate::queue::{Entry, Queue, worst_cost};
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
    /// The transaction that was evicted to make room.
    pub evicted: Option<Hash>,
}

/// What a block has room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockRoom {
    /// Sum of gas limits.
    pub gas: Gas,
    /// Canonical bytes.
    pub bytes: u64,
    /// Transactions.
    pub transactions: u32,
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

/// Where an entry stands among those that could be evicted: cheapest first, then newest.
type Tail = (GasPrice, Reverse<u64>, Address);

#[derive(Debug)]
struct Inner {
    config: PoolConfig,
    queues: BTreeMap<Address, Queue>,
    by_hash: BTreeMap<Hash, (Address, u64)>,
    tails: BTreeSet<Tail>,
    bytes: usize,
    arrivals: u64,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(config: PoolConfig) -> Self {
        let inner = Inner {
            config,
            queues: BTreeMap::new(),
            by_hash: BTreeMap::new(),
            tails: BTreeSet::new(),
            bytes: 0,
            arrivals: 0,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// Takes a transaction that passed every check which needs no state. One that is here already is taken again.
    ///
    /// # Errors
    /// [`InsertError`], naming value and limit.
    pub fn insert(
        &self,
        transaction: SignedTransaction,
        view: &dyn AccountView,
    ) -> Result<Inserted, InsertError> {
        self.lock().insert(transaction, view)
    }

    /// The transactions for a block on the branch that `view` describes: best price first, each sender's in the order
    /// of their nonces, all payable from settled funds. They stay in the pool until they are finalized.
    #[must_use]
    pub fn best(&self, view: &dyn AccountView, room: BlockRoom) -> Vec<SignedTransaction> {
        self.lock().best(view, room)
    }

    /// Whether [`Self::best`] would offer anything at all.
    #[must_use]
    pub fn has_ready(&self, view: &dyn AccountView) -> bool {
        let inner = self.lock();
        inner
            .queues
            .iter()
            .any(|(sender, queue)| inner.head(queue, sender, view).is_some())
    }

    /// Forgets transactions that are finalized, and whatever else used their nonces. Returns what was dropped without
    /// having been finalized itself.
    pub fn remove_finalized(&self, transactions: &[SignedTransaction]) -> Vec<Hash> {
        let mut inner = self.lock();
        let mut stale = Vec::new();
        for transaction in transactions {
            let (sender, hash) = (transaction.sender(), transaction.hash());
            stale.extend(
                inner
                    .drop_up_to(&sender, transaction.transaction.nonce)
                    .into_iter()
                    .filter(|h| *h != hash),
            );
        }
        stale
    }

    /// Forgets every transaction whose nonce is used on the branch of `view`. Returns their hashes.
    pub fn remove_stale(&self, view: &dyn AccountView) -> Vec<Hash> {
        let mut inner = self.lock();
        let senders: Vec<Address> = inner.queues.keys().copied().collect();
        let mut stale = Vec::new();
        for sender in senders {
            if let Some(last_used) = view.next_nonce(&sender).checked_sub(1) {
                stale.extend(inner.drop_up_to(&sender, last_used));
            }
        }
        stale
    }

    /// Takes back the transactions of a block that lost against another branch. Returns those that no longer fit, with
    /// the reason.
    pub fn take_back(
        &self,
        transactions: Vec<SignedTransaction>,
        view: &dyn AccountView,
    ) -> Vec<(Hash, InsertError)> {
        let mut inner = self.lock();
        let mut refused = Vec::new();
        for transaction in transactions {
            let hash = transaction.hash();
            if let Err(error) = inner.insert(transaction, view) {
                refused.push((hash, error));
            }
        }
        refused
    }

    /// Whether a transaction is here, and why it waits if it does.
    #[must_use]
    pub fn status(&self, hash: &Hash, view: &dyn AccountView) -> Option<Option<Held>> {
        let inner = self.lock();
        let (sender, nonce) = inner.by_hash.get(hash)?;
        let queue = inner.queues.get(sender)?;
        Some(queue.held(*nonce, view.next_nonce(sender), view.funds(sender)))
    }

    /// A pooled transaction.
    #[must_use]
    pub fn get(&self, hash: &Hash) -> Option<SignedTransaction> {
        let inner = self.lock();
        let (sender, nonce) = inner.by_hash.get(hash)?;
        Some(inner.queues.get(sender)?.0.get(nonce)?.transaction.clone())
    }

    /// The nonce that a sender's next transaction should have, pooled ones counted.
    #[must_use]
    pub fn pending_nonce(&self, sender: &Address, view: &dyn AccountView) -> u64 {
        let next = view.next_nonce(sender);
        self.lock()
            .queues
            .get(sender)
            .map_or(next, |queue| queue.first_gap(next))
    }

    /// How full it is.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let inner = self.lock();
        PoolStats {
            transactions: inner.by_hash.len(),
            bytes: inner.bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No operation panics half-way through a change: what could fail is checked before the first write.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sender's next transaction, ordered by who goes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    price: GasPrice,
    arrival: Reverse<u64>,
    sender: Address,
    nonce: u64,
    /// Worst case of the sender's transactions before it.
    reserved: Amount,
}

impl Inner {
    fn insert(
        &mut self,
        transaction: SignedTransaction,
        view: &dyn AccountView,
    ) -> Result<Inserted, InsertError> {
        let (sender, hash) = (transaction.sender(), transaction.hash());
        let nonce = transaction.transaction.nonce;
        let next = view.next_nonce(&sender);
        let mut inserted = Inserted {
            hash,
            held: None,
            replaced: None,
            evicted: None,
        };
        if !self.by_hash.contains_key(&hash) {
            let cost = worst_cost(&transaction).ok_or(InsertError::CostOverflow)?;
            let bytes = codec::encoded_len(&transaction);
            self.check_nonce(nonce, next)?;
            inserted.replaced = self.check_place(&sender, nonce, transaction.transaction.gas_price)?;
            inserted.evicted = self.make_room(&sender, nonce, bytes, transaction.transaction.gas_price)?;
            let arrival = self.arrivals;
            self.arrivals += 1;
            self.put(
                sender,
                nonce,
                Entry {
                    transaction,
                    hash,
                    bytes,
                    cost,
                    arrival,
                },
            );
        }
        inserted.held = self
            .queues
            .get(&sender)
            .and_then(|queue| queue.held(nonce, next, view.funds(&sender)));
        Ok(inserted)
    }

    fn check_nonce(&self, given: u64, next: u64) -> Result<(), InsertError> {
        if given < next {
            return Err(InsertError::NonceTooLow { given, next });
        }
        let max = next.saturating_add(self.config.max_per_sender as u64 - 1);
        if given > max {
            Err(InsertError::NonceTooHigh { given, max })
        } else {
            Ok(())
        }
    }

    /// The transaction that this one replaces, or the refusal; also the sender's own limit.
    fn check_place(
        &self,
        sender: &Address,
        nonce: u64,
        price: GasPrice,
    ) -> Result<Option<Hash>, InsertError> {
        let Some(queue) = self.queues.get(sender) else {
            return Ok(None);
        };
        let Some(pooled) = queue.0.get(&nonce) else {
            let limit = self.config.max_per_sender;
            return if queue.0.len() >= limit {
                Err(InsertError::SenderLimit { limit })
            } else {
                Ok(None)
            };
        };
        // A tenth more, and at least one: otherwise replacing would cost the network work and the sender nothing.
        let needed = pooled.price().saturating_add(pooled.price().div_ceil(10).max(1));
        if price < needed {
            return Err(InsertError::ReplacementUnderpriced {
                nonce,
                price: pooled.price(),
                needed,
            });
        }
        Ok(Some(pooled.hash))
    }

    /// Evicts the cheapest tail of another sender if the bounds ask for it.
    fn make_room(
        &mut self,
        sender: &Address,
        nonce: u64,
        bytes: usize,
        price: GasPrice,
    ) -> Result<Option<Hash>, InsertError> {
        let replaced = self.queues.get(sender).and_then(|queue| queue.0.get(&nonce));
        let (count, total) = match replaced {
            Some(entry) => (self.by_hash.len(), self.bytes - entry.bytes + bytes),
            None => (self.by_hash.len() + 1, self.bytes + bytes),
        };
        if count <= self.config.max_transactions && total <= self.config.max_bytes {
            return Ok(None);
        }
        let cheapest = self.tails.first().copied();
        let full = |cheapest| InsertError::PoolFull {
            transactions: self.by_hash.len(),
            bytes: self.bytes,
            cheapest,
        };
        let Some((tail_price, _, victim)) = cheapest else {
            return Err(full(0));
        };
        let tail = self
            .queues
            .get(&victim)
            .and_then(Queue::tail)
            .expect("a tail's sender has one");
        let fits = total - tail.bytes.min(total) <= self.config.max_bytes;
        if price <= tail_price || victim == *sender || !fits {
            return Err(full(tail_price));
        }
        let hash = tail.hash;
        let nonce = tail.transaction.transaction.nonce;
        self.take(&victim, nonce);
        Ok(Some(hash))
    }

    fn best(&self, view: &dyn AccountView, mut room: BlockRoom) -> Vec<SignedTransaction> {
        let mut heap: BinaryHeap<Candidate> = BinaryHeap::new();
        for (sender, queue) in &self.queues {
            heap.extend(self.head(queue, sender, view));
        }
        let mut chosen = Vec::new();
        while let Some(candidate) = heap.pop() {
            let queue = &self.queues[&candidate.sender];
            let entry = &queue.0[&candidate.nonce];
            let bytes = entry.bytes as u64;
            // One that does not fit takes its sender's later ones with it; others may still fit.
            if room.transactions == 0 || entry.gas() > room.gas || bytes > room.bytes {
                continue;
            }
            room = BlockRoom {
                gas: room.gas - entry.gas(),
                bytes: room.bytes - bytes,
                transactions: room.transactions - 1,
            };
            chosen.push(entry.transaction.clone());
            let funds = view.funds(&candidate.sender);
            let reserved = candidate.reserved.saturating_add(entry.cost);
            if let Some(next) = candidate.nonce.checked_add(1) {
                heap.extend(payable(queue, candidate.sender, next, reserved, funds.settled));
            }
        }
        chosen
    }

    /// The sender's first transaction, if it is ready.
    fn head(&self, queue: &Queue, sender: &Address, view: &dyn AccountView) -> Option<Candidate> {
        let funds = view.funds(sender);
        payable(
            queue,
            *sender,
            view.next_nonce(sender),
            funds.reserved,
            funds.settled,
        )
    }

    fn put(&mut self, sender: Address, nonce: u64, entry: Entry) {
        self.take(&sender, nonce);
        self.unlist_tail(&sender);
        self.bytes += entry.bytes;
        self.by_hash.insert(entry.hash, (sender, nonce));
        self.queues.entry(sender).or_default().0.insert(nonce, entry);
        self.list_tail(&sender);
    }

    fn take(&mut self, sender: &Address, nonce: u64) -> Option<Hash> {
        self.unlist_tail(sender);
        let taken = self
            .queues
            .get_mut(sender)
            .and_then(|queue| queue.0.remove(&nonce));
        if let Some(entry) = &taken {
            self.bytes -= entry.bytes;
            self.by_hash.remove(&entry.hash);
        }
        if self.queues.get(sender).is_some_and(|queue| queue.0.is_empty()) {
            self.queues.remove(sender);
        }
        self.list_tail(sender);
        taken.map(|entry| entry.hash)
    }

    fn drop_up_to(&mut self, sender: &Address, last: u64) -> Vec<Hash> {
        let Some(queue) = self.queues.get(sender) else {
            return Vec::new();
        };
        let nonces: Vec<u64> = queue.0.range(..=last).map(|(nonce, _)| *nonce).collect();
        nonces
            .into_iter()
            .filter_map(|nonce| self.take(sender, nonce))
            .collect()
    }

    fn tail_of(&self, sender: &Address) -> Option<Tail> {
        let tail = self.queues.get(sender)?.tail()?;
        Some((tail.price(), Reverse(tail.arrival), *sender))
    }

    fn unlist_tail(&mut self, sender: &Address) {
        if let Some(tail) = self.tail_of(sender) {
            self.tails.remove(&tail);
        }
    }

    fn list_tail(&mut self, sender: &Address) {
        if let Some(tail) = self.tail_of(sender) {
            self.tails.insert(tail);
        }
    }
}

/// The transaction with `nonce`, if `settled` covers it after `reserved`.
fn payable(
    queue: &Queue,
    sender: Address,
    nonce: u64,
    reserved: Amount,
    settled: Amount,
) -> Option<Candidate> {
    let entry = queue.0.get(&nonce)?;
    let is_covered = reserved
        .checked_add(entry.cost)
        .is_some_and(|total| total <= settled);
    let arrival = Reverse(entry.arrival);
    is_covered.then_some(Candidate {
        price: entry.price(),
        arrival,
        sender,
        nonce,
        reserved,
    })
}
