//! What a block gets: the best price first, each sender's transactions in the order of nonces.
//!
//! Which transaction a sender has to offer depends on the branch, so its account must be looked up; but most senders'
//! need not be. Senders are visited in the order of a bound, the best price that they have at all, and looked up only
//! when no offer known so far is better than that bound. The order that results is exact.

use std::collections::{BTreeMap, BTreeSet};

use millrace_types::{Address, Gas, SignedTransaction};

use crate::contents::Contents;
use crate::queue::{Entry, Queue, Wanted};
use crate::view::{AccountView, Funds};

/// A block counts as full when so many transactions in a row did not fit into the room that was left.
pub const MAX_MISFITS: usize = 256;

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

impl BlockRoom {
    /// What is left beside `entry`; `None` if it does not fit.
    fn beside(self, entry: &Entry) -> Option<Self> {
        Some(Self {
            gas: self.gas.checked_sub(entry.gas())?,
            bytes: self.bytes.checked_sub(entry.bytes as u64)?,
            transactions: self.transactions.checked_sub(1)?,
        })
    }
}

/// A sender on the branch, after what was chosen of it.
struct Account<'a> {
    queue: &'a Queue,
    next_nonce: u64,
    funds: Funds,
}

impl<'a> Account<'a> {
    fn of(sender: &Address, queue: &'a Queue, view: &dyn AccountView) -> Self {
        Self {
            queue,
            next_nonce: view.next_nonce(sender),
            funds: view.funds(sender),
        }
    }

    /// Its next transaction, if it is here and settled funds cover it.
    fn offer(&self) -> Option<&'a Entry> {
        let entry = self.queue.get(self.next_nonce)?;
        let sum = self.funds.reserved.checked_add(entry.cost)?;
        (sum <= self.funds.settled).then_some(entry)
    }
}

/// Fills `room`. A transaction that does not fit takes its sender's later ones with it; others may still fit.
pub(crate) fn best(
    contents: &Contents,
    view: &dyn AccountView,
    mut room: BlockRoom,
) -> Vec<SignedTransaction> {
    let mut chosen = Vec::new();
    let mut misfits = 0;
    let mut unseen = contents.offers().peekable();
    let mut accounts = BTreeMap::new();
    let mut offers: BTreeSet<(Wanted, Address)> = BTreeSet::new();
    while room.transactions > 0 && misfits < MAX_MISFITS {
        let best_known = offers.first().map(|(wanted, _)| *wanted);
        let is_better = |bound: Wanted| best_known.is_none_or(|known| bound <= known);
        if let Some((_, sender, queue)) = unseen.next_if(|(bound, ..)| is_better(*bound)) {
            let account = Account::of(sender, queue, view);
            offers.extend(account.offer().map(|entry| (entry.wanted(), *sender)));
            accounts.insert(*sender, account);
            continue;
        }
        let Some((_, sender)) = offers.pop_first() else {
            break;
        };
        let account = accounts
            .get_mut(&sender)
            .expect("offers come from accounts that were looked up");
        let entry = account.offer().expect("an offer stays until it is chosen");
        let Some(left) = room.beside(entry) else {
            misfits += 1;
            continue;
        };
        (room, misfits) = (left, 0);
        chosen.push(entry.transaction.clone());
        account.funds.reserved += entry.cost;
        if let Some(next) = account.next_nonce.checked_add(1) {
            account.next_nonce = next;
            offers.extend(account.offer().map(|entry| (entry.wanted(), sender)));
        }
    }
    chosen
}

/// Whether there is anything to choose.
pub(crate) fn has_ready(contents: &Contents, view: &dyn AccountView) -> bool {
    contents
        .offers()
        .any(|(_, sender, queue)| Account::of(sender, queue, view).offer().is_some())
}
