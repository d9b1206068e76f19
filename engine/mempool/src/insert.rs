//! What gets in, and what has to go for it.
//!
//! - A transaction takes the place of one with the same sender and nonce if it pays at least a tenth more per gas.
//! - A full pool evicts last transactions, the least worthy first: held before ready, cheap before dear, new before old;
//!   and only what is worth less than the newcomer. Last ones, because whatever stands behind a missing nonce is
//!   useless; held ones first, or whoever bids without funds could crowd out all others for nothing.
//! - Senders that have nothing to offer are bounded by themselves: filling a block looks at each that bids enough.
//! - A sender never loses a transaction to one of its own with a higher nonce. At its own limit it loses its last one
//!   to one with a lower nonce.

use millrace_types::{Address, GasPrice, Hash, SignedTransaction, codec};

use crate::config::PoolConfig;
use crate::contents::Contents;
use crate::error::{Held, InsertError};
use crate::queue::{Entry, Queue, Worth, worst_cost};
use crate::view::AccountView;

/// What became of a transaction that got in, and what went for it.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) held: Option<Held>,
    pub(crate) replaced: Option<Hash>,
    pub(crate) evicted: Vec<Hash>,
}

/// The least price that replaces `price`: a tenth more, and at least one; otherwise replacing would cost the network
/// work and the sender nothing.
fn replacement_price(price: GasPrice) -> GasPrice {
    price.saturating_add(price.div_ceil(10).max(1))
}

/// Puts in a transaction that is not here, or leaves everything as it is.
pub(crate) fn insert(
    contents: &mut Contents,
    config: &PoolConfig,
    transaction: SignedTransaction,
    arrival: u64,
    view: &dyn AccountView,
) -> Result<Got, InsertError> {
    let sender = transaction.sender();
    let cost = worst_cost(&transaction).ok_or(InsertError::CostOverflow)?;
    let (hash, bytes) = (transaction.hash(), codec::encoded_len(&transaction));
    let newcomer = Entry {
        transaction,
        hash,
        bytes,
        cost,
        arrival,
    };
    check_nonce(config, newcomer.nonce(), view.next_nonce(&sender))?;
    let place = place(config, contents.queue(&sender), &newcomer)?;
    let full = pool_full(contents);
    let replaced = place.takes.and_then(|nonce| contents.take(&sender, nonce));
    let mut evicted = Vec::new();
    if !make_room(contents, config, &sender, &newcomer, &mut evicted, view) {
        for entry in evicted.into_iter().chain(replaced) {
            put(contents, entry, view);
        }
        return Err(full);
    }
    let held = held(contents.queue(&sender), &sender, &newcomer, view);
    put(contents, newcomer, view);
    let (replaced, own_tail) = if place.replaces {
        (replaced, None)
    } else {
        (None, replaced)
    };
    let evicted = own_tail
        .into_iter()
        .chain(evicted)
        .map(|entry| entry.hash)
        .collect();
    Ok(Got {
        held,
        replaced: replaced.map(|entry| entry.hash),
        evicted,
    })
}

fn check_nonce(config: &PoolConfig, given: u64, next: u64) -> Result<(), InsertError> {
    let max = next.saturating_add(config.max_per_sender.saturating_sub(1) as u64);
    if given < next {
        Err(InsertError::NonceTooLow { given, next })
    } else if given > max {
        Err(InsertError::NonceTooHigh { given, max })
    } else {
        Ok(())
    }
}

/// What a newcomer means for its own sender's queue.
struct Place {
    /// The nonce of the transaction that leaves the queue for it.
    takes: Option<u64>,
    /// That is its own nonce.
    replaces: bool,
}

fn place(config: &PoolConfig, queue: Option<&Queue>, newcomer: &Entry) -> Result<Place, InsertError> {
    let (nonce, limit) = (newcomer.nonce(), config.max_per_sender);
    let Some(queue) = queue else {
        return Ok(Place {
            takes: None,
            replaces: false,
        });
    };
    if let Some(pooled) = queue.get(nonce) {
        let price = pooled.price();
        let needed = replacement_price(price);
        if newcomer.price() < needed {
            return Err(InsertError::ReplacementUnderpriced { nonce, price, needed });
        }
        return Ok(Place {
            takes: Some(nonce),
            replaces: true,
        });
    }
    if queue.len() < limit {
        return Ok(Place {
            takes: None,
            replaces: false,
        });
    }
    let tail = queue.tail().map(Entry::nonce).filter(|tail| *tail > nonce);
    if tail.is_none() {
        return Err(InsertError::SenderLimit { limit });
    }
    Ok(Place {
        takes: tail,
        replaces: false,
    })
}

fn pool_full(contents: &Contents) -> InsertError {
    InsertError::PoolFull {
        transactions: contents.len(),
        bytes: contents.bytes(),
        cheapest: contents.least_worthy().map_or(0, |(_, (_, price, _))| price),
    }
}

fn is_full(contents: &Contents, config: &PoolConfig, newcomer: &Entry) -> bool {
    contents.len() >= config.max_transactions || contents.bytes() + newcomer.bytes > config.max_bytes
}

/// Whether the newcomer would make one more sender that has nothing to offer than the pool keeps.
fn is_crowded(
    contents: &Contents,
    config: &PoolConfig,
    sender: &Address,
    newcomer: &Entry,
    view: &dyn AccountView,
) -> bool {
    contents.held_senders() >= config.max_held_senders
        && contents.queue(sender).is_none()
        && held(None, sender, newcomer, view).is_some()
}

/// Evicts until the newcomer fits, and answers whether it does. What goes is added to `evicted`.
fn make_room(
    contents: &mut Contents,
    config: &PoolConfig,
    sender: &Address,
    newcomer: &Entry,
    evicted: &mut Vec<Entry>,
    view: &dyn AccountView,
) -> bool {
    let mut worth = None;
    while is_full(contents, config, newcomer) || is_crowded(contents, config, sender, newcomer, view) {
        let worth = *worth.get_or_insert_with(|| {
            let held = held(contents.queue(sender), sender, newcomer, view);
            newcomer.worth(held.is_none())
        });
        let Some((victim, least)) = least_worthy(contents, view) else {
            return false;
        };
        if !is_full(contents, config, newcomer) && !is_crowded(contents, config, sender, newcomer, view) {
            // Some that were held have turned out to be ready.
            return true;
        }
        let tail = contents
            .queue(&victim)
            .and_then(Queue::tail)
            .expect("a victim has a last transaction");
        let nonce = tail.nonce();
        if least >= worth || victim == *sender && nonce < newcomer.nonce() {
            return false;
        }
        evicted.extend(contents.take(&victim, nonce));
        look_at_tail(contents, &victim, view);
    }
    true
}

/// The least worthy last transaction. What was held when it was looked at last is looked at again: heights settle.
fn least_worthy(contents: &mut Contents, view: &dyn AccountView) -> Option<(Address, Worth)> {
    loop {
        let (sender, worth) = contents.least_worthy()?;
        let (was_ready, ..) = worth;
        if was_ready || !look_at_tail(contents, &sender, view) {
            return Some((sender, worth));
        }
    }
}

fn put(contents: &mut Contents, entry: Entry, view: &dyn AccountView) {
    let sender = entry.transaction.sender();
    contents.put(&sender, entry);
    look_at_tail(contents, &sender, view);
}

/// Finds out whether a sender's last transaction is ready, and notes it.
pub(crate) fn look_at_tail(contents: &mut Contents, sender: &Address, view: &dyn AccountView) -> bool {
    let queue = contents.queue(sender);
    let Some(tail) = queue.and_then(Queue::tail) else {
        return false;
    };
    let is_ready = held(queue, sender, tail, view).is_none();
    contents.set_tail_ready(sender, is_ready);
    is_ready
}

/// Why a transaction is not ready in its place, or would not be.
fn held(queue: Option<&Queue>, sender: &Address, entry: &Entry, view: &dyn AccountView) -> Option<Held> {
    let none = Queue::default();
    let (next, funds) = (view.next_nonce(sender), view.funds(sender));
    queue
        .unwrap_or(&none)
        .held(entry.nonce(), entry.cost, next, funds)
}
