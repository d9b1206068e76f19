//! Optimistic parallel execution of an ordered batch: the result is that of executing one after the other.
//!
//! ```text
//!   next ─▶ Ticket ── read, guess, expect ──▶ multi-version memory ◀── write
//!             │ finish                              │ who read what changed
//!             ▼                                     ▼
//!         Executed ── commit gate, in order ──▶ Committed      doubted: looks at its reads again
//!                          │ a read sees something else now
//!                          ▼
//!                        Ready again, its writes estimates
//! ```
//!
//! Reading order: `word` (the state of one transaction), `memory` (what everyone wrote), [`batch`] (who does what),
//! [`ticket`] (what a worker can do), `hand` (what it keeps), `width` (how far to run ahead), `part` (gathering what it
//! came to).
//!
//! The scheme is that of Block-STM (R. Gelashvili et al., *Block-STM: Scaling Blockchain Execution by Turning Ordering
//! Curse to a Performance Blessing*, 2022): multi-version memory, estimates, incarnations, a rolling commit. Different
//! here: reads are looked at once, by the commit gate, and before that only by who is told that something changed below
//! it; values may be changed by *deltas*, and a read may depend on a *predicate* instead of a value; how far to run ahead
//! follows from how much had to be done again.
//!
//! Keys, values and what a transaction is are the caller's. Nothing here locks, and nothing waits but
//! [`crate::Worker::park_unless`].
//!
//! # What allocates
//!
//! No transaction allocates once there was a batch like this one (`tests/allocations.rs` counts).
//!
//! | what | when | why |
//! |---|---|---|
//! | places of locations, versions and data | when a batch needs more than any before it ([`Batch::renew`] keeps them) | their number follows from the writes |
//! | the same, to be freed at once | each time that their number in a batch has doubled | the vector makes room early, also where there is some |
//! | a slot's lists of reads and writes | when a transaction needs more than any in that place before | the same |
//! | buckets, slots | [`Batch::new`], or a larger batch | sized by the batch |
//!
//! [`Batch::new`]: batch::Batch::new
//! [`Batch::renew`]: batch::Batch::renew

mod arena;
pub mod batch;
mod hand;
mod memory;
mod part;
mod slot;
pub mod ticket;
mod width;
mod word;

pub use batch::{Batch, MAX_SPECULATIVE_ATTEMPTS, Next, Summary};
pub use memory::Write;
pub use part::Part;
pub use ticket::{Stop, Ticket};

/// What values lie under.
pub trait Key: Copy + Eq + Send + Sync {
    /// 64 bits of the key that differ between most keys. They decide where it is looked for and nothing else.
    fn spread(&self) -> u64;
}

/// What transactions read and write.
pub trait Value: Clone + PartialEq + Send + Sync {
    /// A change to a value, whatever it is.
    type Delta: Clone + PartialEq + Send + Sync;
    /// What a transaction may depend on instead of the whole value.
    type Predicate: Send + Sync;

    /// The value after a change. A function of both; never fails: what must not be exceeded is a predicate.
    #[must_use]
    fn with(&self, delta: &Self::Delta) -> Self;

    /// Whether a predicate holds.
    fn holds(&self, predicate: &Self::Predicate) -> bool;
}
