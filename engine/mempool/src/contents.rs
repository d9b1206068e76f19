//! Everything in the pool, and the orders over it. Every method leaves queues, orders and counts in step.

use std::collections::{BTreeMap, BTreeSet};

use millrace_types::{Address, Hash};

use crate::queue::{Entry, Queue, Wanted, Worth};

/// What the pool holds.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    queues: BTreeMap<Address, Queue>,
    by_hash: BTreeMap<Hash, (Address, u64)>,
    /// Every sender by its last transaction, the least worthy first.
    tails: BTreeSet<(Worth, Address)>,
    /// Every sender by the bound on what it has to offer, the most wanted first.
    offers: BTreeSet<(Wanted, Address)>,
    bytes: usize,
    /// Senders whose last transaction was held when it was looked at last.
    held_senders: usize,
}

impl Contents {
    pub(crate) fn len(&self) -> usize {
        self.by_hash.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many senders' last transactions were held when they were looked at last.
    pub(crate) fn held_senders(&self) -> usize {
        self.held_senders
    }

    pub(crate) fn queue(&self, sender: &Address) -> Option<&Queue> {
        self.queues.get(sender)
    }

    pub(crate) fn senders(&self) -> impl Iterator<Item = &Address> {
        self.queues.keys()
    }

    pub(crate) fn find(&self, hash: &Hash) -> Option<(&Address, &Queue, &Entry)> {
        let (sender, nonce) = self.by_hash.get(hash)?;
        let queue = self.queues.get(sender).expect("every hash belongs to a queue");
        let entry = queue.get(*nonce).expect("every hash belongs to an entry");
        Some((sender, queue, entry))
    }

    /// Senders with the bound on what each has to offer, the most wanted first.
    pub(crate) fn offers(&self) -> impl Iterator<Item = (Wanted, &Address, &Queue)> {
        self.offers.iter().map(|(bound, sender)| {
            let queue = self.queues.get(sender).expect("every offer belongs to a queue");
            (*bound, sender, queue)
        })
    }

    /// The sender whose last transaction is the least worthy, and how little that is.
    pub(crate) fn least_worthy(&self) -> Option<(Address, Worth)> {
        self.tails.first().map(|(worth, sender)| (*sender, *worth))
    }

    /// Puts a transaction in its place, which is free.
    pub(crate) fn put(&mut self, sender: &Address, entry: Entry) {
        let nonce = entry.nonce();
        self.by_hash.insert(entry.hash, (*sender, nonce));
        self.bytes += entry.bytes;
        self.change(sender, |queue| queue.put(entry));
    }

    /// Takes out a sender's transaction with this nonce.
    pub(crate) fn take(&mut self, sender: &Address, nonce: u64) -> Option<Entry> {
        let taken = self.change(sender, |queue| queue.take(nonce))?;
        self.forget(&taken);
        Some(taken)
    }

    /// Takes out every transaction of a sender up to the nonce `last`, and answers their ids.
    pub(crate) fn drop_up_to(&mut self, sender: &Address, last: u64) -> Vec<Hash> {
        let dropped = self.change(sender, |queue| queue.take_up_to(last));
        dropped.values().for_each(|entry| self.forget(entry));
        dropped.into_values().map(|entry| entry.hash).collect()
    }

    /// Notes whether a sender's last transaction is ready.
    pub(crate) fn set_tail_ready(&mut self, sender: &Address, is_ready: bool) {
        self.change(sender, |queue| queue.is_tail_ready = is_ready);
    }

    fn forget(&mut self, entry: &Entry) {
        self.by_hash.remove(&entry.hash);
        self.bytes -= entry.bytes;
    }

    /// Changes a sender's queue, which is made if there is none and goes when it is empty.
    fn change<R>(&mut self, sender: &Address, act: impl FnOnce(&mut Queue) -> R) -> R {
        let queue = self.queues.entry(*sender).or_default();
        if let (Some(worth), Some(bound)) = (queue.tail_worth(), queue.offer_bound()) {
            self.tails.remove(&(worth, *sender));
            self.offers.remove(&(bound, *sender));
            self.held_senders -= usize::from(!queue.is_tail_ready);
        }
        let result = act(queue);
        if let (Some(worth), Some(bound)) = (queue.tail_worth(), queue.offer_bound()) {
            self.tails.insert((worth, *sender));
            self.offers.insert((bound, *sender));
            self.held_senders += usize::from(!queue.is_tail_ready);
        } else {
            self.queues.remove(sender);
        }
        result
    }
}
