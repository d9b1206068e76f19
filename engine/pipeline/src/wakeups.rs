//! Word of work: whoever was told "not now" hears when it may be different, and not before it was told.
//!
//! ```text
//!   a build is looked at ─▶ wanted ──▶ something changed: told once ─▶ not wanted
//!                              │  the same before the answer is out: told again behind it
//!                              └──▶ built: the next thing that changes is told for nothing, once
//! ```
//!
//! Flags alone, so that whoever tells need not hold a lock, and whoever asks leaves nothing behind but its wish.

use std::sync::atomic::{AtomicBool, Ordering};

/// Who waits for what.
#[derive(Debug, Default)]
pub(crate) struct Wakeups {
    /// A build was declined, or may be.
    build: AtomicBool,
    /// One that a transaction may make succeed was declined, or may be.
    transaction: AtomicBool,
    /// A build was declined because too many requests waited.
    room: AtomicBool,
}

impl Wakeups {
    /// A build is looked at, the pool not yet: a transaction that comes later finds the wish. Answers whether an earlier
    /// build, too, waits for transactions.
    pub(crate) fn begin_build(&self) -> bool {
        self.build.store(true, Ordering::SeqCst);
        self.transaction.swap(true, Ordering::SeqCst)
    }

    /// It was decided: transactions are waited for if it waits for them (`waits`), or an earlier one does.
    pub(crate) fn decide(&self, waits: bool, earlier_waits: bool) {
        if !waits && !earlier_waits {
            self.transaction.store(false, Ordering::SeqCst);
        }
    }

    /// Something changed that may make a declined build succeed: whether somebody is to be told.
    pub(crate) fn take_build(&self) -> bool {
        self.build.swap(false, Ordering::SeqCst)
    }

    /// A transaction came: whether it may make a declined build succeed.
    pub(crate) fn take_transaction(&self) -> bool {
        self.transaction.swap(false, Ordering::SeqCst)
    }

    /// "Not now" was answered: whether word of work overtook the answer, and is to be repeated.
    pub(crate) fn was_overtaken(&self) -> bool {
        !self.build.load(Ordering::SeqCst)
    }

    /// A build is declined because too many requests wait.
    pub(crate) fn want_room(&self) {
        self.build.store(true, Ordering::SeqCst);
        self.room.store(true, Ordering::SeqCst);
    }

    /// There is room for a request: whether a build was declined for want of it.
    pub(crate) fn take_room(&self) -> bool {
        self.room.swap(false, Ordering::SeqCst)
    }
}

#[cfg(test)]
impl Wakeups {
    /// The same at another place.
    pub(crate) fn copy(&self) -> Self {
        let [build, transaction, room] = self.flags().map(AtomicBool::new);
        Self {
            build,
            transaction,
            room,
        }
    }

    /// What is waited for: work, transactions, room.
    pub(crate) fn flags(&self) -> [bool; 3] {
        [&self.build, &self.transaction, &self.room].map(|flag| flag.load(Ordering::SeqCst))
    }
}
