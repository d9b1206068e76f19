//! A slot's life in one atomic word: which use of the slot it is, and how far that has come.
//!
//! ```text
//!   Free ─publish▶ Ordered ─claim▶ Preparing ─complete▶ Prepared ─claim▶ Executing ─complete▶ Executed
//!    ▲                │                │                    │                │                   │ claim
//!    │                └──────┬─────────┴──────────┬─────────┴────────┬───────┘                   ▼
//!    │                       ▼ abandon            ▼                  ▼                        Rooting
//!    │                   Abandoned ◀──────────────┴──────────────────┴───────────────────┐       │ complete
//!    │                       │                                                           │       ▼
//!    └──────free─────────────┴───────────────── Persisted ◀complete─ Persisting ◀claim─ Rooted ──┘
//! ```
//!
//! Each arrow is one compare-and-swap in [`Life`]. *Proposed*, *validated* and *settled* of the protocol's block
//! life are facts of the fork tree and the ledger: a task enters the ring when its order is decided.

use crate::sync::{AtomicU64, Ordering};

/// How far the task in a slot has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Status {
    /// No task.
    Free = 0,
    /// Published.
    Ordered = 1,
    /// Being prepared.
    Preparing = 2,
    /// Prepared.
    Prepared = 3,
    /// Being executed.
    Executing = 4,
    /// Executed.
    Executed = 5,
    /// Its root is being computed.
    Rooting = 6,
    /// Its root is known.
    Rooted = 7,
    /// Being made durable.
    Persisting = 8,
    /// Durable; the slot is about to be free.
    Persisted = 9,
    /// No longer wanted: later stages pass it by.
    Abandoned = 10,
}

impl Status {
    const ALL: [Self; 11] = [
        Self::Free,
        Self::Ordered,
        Self::Preparing,
        Self::Prepared,
        Self::Executing,
        Self::Executed,
        Self::Rooting,
        Self::Rooted,
        Self::Persisting,
        Self::Persisted,
        Self::Abandoned,
    ];

    fn of(word: u64) -> Self {
        Self::ALL[usize::from((word & STATUS_MASK) as u8)]
    }
}

const STATUS_BITS: u32 = 8;
const STATUS_MASK: u64 = (1 << STATUS_BITS) - 1;

/// The word: incarnation (how often the slot was used before) in the upper 56 bits, status in the lower 8.
#[derive(Debug)]
pub struct Life(AtomicU64);

impl Life {
    /// A slot that was never used.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Incarnation and status at one moment.
    #[must_use]
    pub fn read(&self) -> (u64, Status) {
        let word = self.0.load(Ordering::Acquire);
        (word >> STATUS_BITS, Status::of(word))
    }

    /// Moves incarnation `incarnation` from `from` to `to`; the status found instead when that is not where it is,
    /// `None` inside the error when the slot is in another use.
    ///
    /// # Errors
    /// As said.
    pub fn advance(&self, incarnation: u64, from: Status, to: Status) -> Result<(), Option<Status>> {
        let expected = incarnation << STATUS_BITS | from as u64;
        let wanted = incarnation << STATUS_BITS | to as u64;
        match self
            .0
            .compare_exchange(expected, wanted, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => Ok(()),
            Err(word) => Err((word >> STATUS_BITS == incarnation).then(|| Status::of(word))),
        }
    }

    /// Marks the task of `incarnation` as no longer wanted, unless it is durable, gone or abandoned already.
    pub fn abandon(&self, incarnation: u64) -> bool {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let status = Status::of(word);
            let is_over = matches!(status, Status::Free | Status::Persisted | Status::Abandoned);
            if word >> STATUS_BITS != incarnation || is_over {
                return false;
            }
            let wanted = incarnation << STATUS_BITS | Status::Abandoned as u64;
            match self
                .0
                .compare_exchange(word, wanted, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Ends this use: the next incarnation is free. Only the stage that frees the slot calls this.
    pub(crate) fn free(&self, incarnation: u64) {
        self.0.store(
            (incarnation + 1) << STATUS_BITS | Status::Free as u64,
            Ordering::Release,
        );
    }
}

impl Default for Life {
    fn default() -> Self {
        Self::new()
    }
}
