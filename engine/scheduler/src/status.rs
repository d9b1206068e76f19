//! The life of a block in its slot, and the one word that holds it.
//!
//! ```text
//!             publish                 prepare              execute                            root           persist
//!  Free ───────────────▶ Ordered ──────────────▶ Prepared ────────▶ Executing ──▶ Executed ────────▶ Rooted ────────▶ Persisted
//!   ▲ │                     ▲                       │   ▲                │                                               │
//!   │ └▶ Proposed ─▶ Validated                      │   └── dropped claim┘                                             │
//!   │        └───────────┴──────────┬───────────────┴─ abandon (from any of them) ─▶ Abandoned ──────────┐               │
//!   └───────────────────────────────┴──────────────────────── reclaim ◀─────────────────────────────────┴───────────────┘
//! ```
//!
//! `settled` is a fact of the ledger, not of the slot, and an invalid block never gets past its proposal: its slot is
//! abandoned. `Proposed` and `Validated` are for blocks that have a slot before consensus ordered them; a finalized
//! block is published as `Ordered`.
//!
//! The word, from the low end: 4 bits status, 1 bit *claimed* (one thread has the task to itself), 1 bit *doomed*
//! (abandoned while claimed: the claim's end makes it `Abandoned`), 2 bits zero, 56 bits *incarnation* (how often the
//! slot was freed). A handle from an earlier incarnation never matches a later one.

/// Where a block is in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Status {
    /// No block.
    Free = 0,
    /// Announced; nothing is checked.
    Proposed = 1,
    /// Structure, settlement and admission hold.
    Validated = 2,
    /// Consensus decided.
    Ordered = 3,
    /// Decoded, signatures checked, programs at hand.
    Prepared = 4,
    /// Its transactions are running.
    Executing = 5,
    /// Its changes are known and can be built on.
    Executed = 6,
    /// Its state root, hence its receipt, is known.
    Rooted = 7,
    /// Receipt and state are durable.
    Persisted = 8,
    /// Given up, at whatever point.
    Abandoned = 9,
}

impl Status {
    const ALL: [Self; 10] = [
        Self::Free,
        Self::Proposed,
        Self::Validated,
        Self::Ordered,
        Self::Prepared,
        Self::Executing,
        Self::Executed,
        Self::Rooted,
        Self::Persisted,
        Self::Abandoned,
    ];

    /// Nothing more happens to the block here: its slot can be freed.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Persisted | Self::Abandoned)
    }
}

/// One stage of the pipeline: what it takes and what it leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Ordered → prepared. Blocks are independent of each other here.
    Prepare,
    /// Prepared → executed. A block needs its parent's changes: in order.
    Execute,
    /// Executed → rooted. In order.
    Root,
    /// Rooted → persisted. In order.
    Persist,
}

impl Stage {
    /// Every stage, in the order in which a block passes them.
    pub const ALL: [Self; 4] = [Self::Prepare, Self::Execute, Self::Root, Self::Persist];

    /// What a block must be to be claimed.
    #[must_use]
    pub fn takes(self) -> Status {
        match self {
            Self::Prepare => Status::Ordered,
            Self::Execute => Status::Prepared,
            Self::Root => Status::Executed,
            Self::Persist => Status::Rooted,
        }
    }

    /// What a block is while claimed.
    #[must_use]
    pub fn during(self) -> Status {
        match self {
            Self::Execute => Status::Executing,
            other => other.takes(),
        }
    }

    /// What a block is afterwards.
    #[must_use]
    pub fn leaves(self) -> Status {
        match self {
            Self::Prepare => Status::Prepared,
            Self::Execute => Status::Executed,
            Self::Root => Status::Rooted,
            Self::Persist => Status::Persisted,
        }
    }

    /// Whether a block waits for the one before it.
    #[must_use]
    pub fn is_in_order(self) -> bool {
        self != Self::Prepare
    }
}

const STATUS: u64 = 0xf;
const CLAIMED: u64 = 1 << 4;
const DOOMED: u64 = 1 << 5;
const INCARNATION_SHIFT: u32 = 8;

/// The word of a slot, unpacked on demand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    pub(crate) fn new(incarnation: u64, status: Status) -> Self {
        Self((incarnation << INCARNATION_SHIFT) | status as u64)
    }

    pub(crate) fn status(self) -> Status {
        Status::ALL[usize::try_from(self.0 & STATUS).expect("four bits fit")]
    }

    pub(crate) fn incarnation(self) -> u64 {
        self.0 >> INCARNATION_SHIFT
    }

    pub(crate) fn is_claimed(self) -> bool {
        self.0 & CLAIMED != 0
    }

    /// The same incarnation, claimed for a stage.
    pub(crate) fn claimed(self, during: Status) -> Self {
        Self(Self::new(self.incarnation(), during).0 | CLAIMED)
    }

    /// The same incarnation after a claim: `status`, unless it was doomed meanwhile.
    pub(crate) fn released(self, status: Status) -> Self {
        let status = if self.0 & DOOMED == 0 {
            status
        } else {
            Status::Abandoned
        };
        Self::new(self.incarnation(), status)
    }

    /// The same incarnation, given up: at once, or when its claim ends. `None` if nothing is left to give up.
    pub(crate) fn abandoned(self) -> Option<Self> {
        match self.status() {
            Status::Free | Status::Persisted | Status::Abandoned => None,
            _ if self.is_claimed() => Some(Self(self.0 | DOOMED)),
            _ => Some(Self::new(self.incarnation(), Status::Abandoned)),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn statuses_survive_packing() {
        for status in Status::ALL {
            let word = Word::new(77, status);
            assert_eq!(
                (word.status(), word.incarnation(), word.is_claimed()),
                (status, 77, false)
            );
            let claimed = word.claimed(status);
            assert_eq!(
                (claimed.status(), claimed.incarnation(), claimed.is_claimed()),
                (status, 77, true)
            );
        }
    }

    #[test]
    fn stages_follow_each_other_without_gaps() {
        for pair in Stage::ALL.windows(2) {
            assert_eq!(pair[0].leaves(), pair[1].takes());
        }
        assert!(Stage::Persist.leaves().is_final());
    }

    #[test]
    fn abandoning_a_claimed_block_waits_for_the_claims_end() {
        let claimed = Word::new(1, Status::Prepared).claimed(Status::Executing);
        let doomed = claimed.abandoned().unwrap();
        assert_eq!(doomed.status(), Status::Executing);
        assert_eq!(doomed.released(Status::Executed).status(), Status::Abandoned);
        assert_eq!(claimed.released(Status::Executed).status(), Status::Executed);
    }

    #[test]
    fn what_is_over_cannot_be_abandoned() {
        for status in [Status::Free, Status::Persisted, Status::Abandoned] {
            assert_eq!(Word::new(0, status).abandoned(), None);
        }
    }
}
