//! A transaction's state in one atomic word: which attempt at it this is, and how far that has come.
//!
//! ```text
//!            claim                finish                 take               commit
//!   Ready ─────────▶ Executing ───────────▶ Executed ──────────▶ Checking ──────────▶ Committed
//!     ▲                │   │ doubt             ▲  ▲                 │  │
//!     │           wait │   ▼                   │  └──── restore ────┘  │ retry (one attempt more)
//!     │                │ Doubted ──finish──────┘                       │
//!     │                ▼   │  │ retry                                  │
//!     ├───── wake ── Waiting  └────────────────────────────────────────┤
//!     └────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Each arrow is one compare-and-swap, or a store of whoever owns the attempt: in *Executing*, *Doubted* and
//! *Checking* exactly one worker does.

use crate::sync::{AtomicU64, Ordering};

/// How far an attempt has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum State {
    /// May be claimed.
    Ready = 0,
    /// A worker is at it.
    Executing = 1,
    /// A worker is at it, and something below it has changed since: it has to look at its reads before it is done.
    Doubted = 2,
    /// It met an estimate and waits for the transaction that left it.
    Waiting = 3,
    /// Its writes are published.
    Executed = 4,
    /// A worker looks at its reads.
    Checking = 5,
    /// For good.
    Committed = 6,
}

impl State {
    const ALL: [Self; 7] = [
        Self::Ready,
        Self::Executing,
        Self::Doubted,
        Self::Waiting,
        Self::Executed,
        Self::Checking,
        Self::Committed,
    ];
}

const STATE_BITS: u32 = 8;
const STATE_MASK: u64 = (1 << STATE_BITS) - 1;

/// The word: attempts before this one in the upper 56 bits, state in the lower 8.
#[derive(Debug)]
pub(super) struct Word(AtomicU64);

impl Word {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Attempt and state at one moment.
    pub(super) fn read(&self) -> (u64, State) {
        let word = self.0.load(Ordering::Acquire);
        (
            word >> STATE_BITS,
            State::ALL[usize::from((word & STATE_MASK) as u8)],
        )
    }

    /// Moves `attempt` from one state to another, and says whether it was there.
    pub(super) fn advance(&self, attempt: u64, from: State, to: State) -> bool {
        let word = |state: State| attempt << STATE_BITS | state as u64;
        self.0
            .compare_exchange(word(from), word(to), Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Puts an attempt into a state. Only for the worker that owns it, and where no other moves the word meanwhile.
    pub(super) fn set(&self, attempt: u64, state: State) {
        self.0
            .store(attempt << STATE_BITS | state as u64, Ordering::Release);
    }
}
