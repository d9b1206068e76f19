//! The soft ladder: how much a proposer should put into the next block (protocol rule 24).
//!
//! A pure state machine. [`Ladder::observe`] takes how far settlement and execution are behind and answers with a
//! [`Rung`] and the [`Allowance`] of the next block. It is policy: no validity rule depends on it.
//!
//! ```text
//!            lag grows: one rung at a time or several at once
//!   Open ──────────▶ Shrink(1) ─▶ … ─▶ Shrink(n) ──────────▶ Delay ──────────▶ Empty
//!        ◀──────────           ◀─   ◀─           ◀──────────       ◀──────────
//!            lag has fallen by HYSTERESIS below what entered the rung, or to the usual lag
//! ```
//!
//! **Units.** Lag is in blocks. The usual lag of a healthy pipeline is `receipt_age + 1`: the parent executes while
//! its child is agreed on. What the ladder has to spread over is the span between that and K. A chain with no
//! span (K = 1, or K = 2 with age 1) has the K rule itself as its only throttle.
//!
//! **Pace.** What a block costs this node beside its transactions (a slow disk, say) does not shrink with it. So the
//! ladder measures how long blocks take ([`Ladder::note_service`]), and on [`Rung::Delay`] and above asks for a
//! quarter more than that between blocks: the lag falls whatever the time is spent on. And when K empty blocks
//! did not bring the lag down for so long that one with transactions could be proposed, emptiness is not what helps:
//! [`Rung::Empty`] gives way to [`Rung::Delay`], so that transactions still go in, until the lag is usual again.
//!
//! **Relief is never blocked**: at or below the usual lag the ladder is open, whatever came before; and the last
//! rung still lets through every block that settles something.

use millrace_types::chain_spec::Limits;
use millrace_types::{ChainSpec, Gas};

/// A rung is left when the lag is this much below what entered it.
const HYSTERESIS: u64 = 2;
/// However long blocks take, the ladder asks for no more than this between them; then the K rule is the brake.
const MAX_PACE_MS: u64 = 10_000;
/// Quarters of the span above the usual lag: shrink over two, delay, empty.
const RUNGS: u64 = 4;
/// Blocks shrink at most to 1 / 2^this of their limits.
const MAX_SHRINK: u8 = 6;

/// How hard the brake is on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Rung {
    /// Not at all.
    #[default]
    Open,
    /// Blocks have 1 / 2^steps of the chain's limits, never less than the largest single transaction.
    Shrink {
        /// Halvings, at least 1.
        steps: u8,
    },
    /// Smallest blocks, and at a distance from each other.
    Delay,
    /// Blocks without transactions, and only if each settles something.
    Empty,
}

impl Rung {
    /// The rung as the pressure record numbers it: 0 open, 1 shrink, 2 delay, 3 empty blocks. (4, no block at all, is
    /// the K rule's, not the ladder's.)
    #[must_use]
    pub fn level(self) -> u64 {
        match self {
            Self::Open => 0,
            Self::Shrink { .. } => 1,
            Self::Delay => 2,
            Self::Empty => 3,
        }
    }

    /// The rung by name, as operators see it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Shrink { .. } => "shrink",
            Self::Delay => "delay",
            Self::Empty => "empty",
        }
    }
}

impl std::fmt::Display for Rung {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Shrink { steps } => write!(f, "shrink to 1/{}", 1_u64 << steps.min(&63)),
            Self::Delay => f.write_str("delay"),
            Self::Empty => f.write_str("empty blocks"),
        }
    }
}

/// What the chain spec and the node's configuration fix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// K.
    pub max_receipt_lag: u64,
    /// A height is settled at this age at the earliest.
    pub receipt_age: u64,
    /// The chain's limits of a block.
    pub block_gas: Gas,
    /// Likewise in bytes.
    pub block_bytes: u64,
    /// Likewise in transactions.
    pub block_transactions: u32,
    /// The largest transaction there may be.
    pub transaction_gas: Gas,
    /// Likewise in bytes, with room for the header and for the receipts of a block.
    pub least_block_bytes: u64,
    /// Least distance from the parent on [`Rung::Delay`] and above while it is not known what blocks take here.
    pub delay_ms: u64,
}

impl Bounds {
    /// The bounds of a chain.
    #[must_use]
    pub fn of(spec: &ChainSpec, delay_ms: u64) -> Self {
        let Limits {
            block_gas,
            block_bytes,
            block_transactions,
            transaction_gas,
            transaction_bytes,
            ..
        } = spec.limits;
        let overhead = crate::builder::overhead_bytes(spec);
        Self {
            max_receipt_lag: spec.max_receipt_lag,
            receipt_age: spec.receipt_age,
            block_gas,
            block_bytes: u64::from(block_bytes),
            block_transactions,
            transaction_gas: transaction_gas.min(block_gas),
            least_block_bytes: (u64::from(transaction_bytes) + overhead).min(u64::from(block_bytes)),
            delay_ms,
        }
    }

    /// The lag of a healthy pipeline.
    fn usual_lag(&self) -> u64 {
        self.receipt_age.saturating_add(1).min(self.max_receipt_lag)
    }
}

/// What the next block may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowance {
    /// Largest sum of gas limits.
    pub max_gas: Gas,
    /// Most bytes.
    pub max_bytes: u64,
    /// Most transactions; 0 when it may hold none.
    pub max_transactions: u32,
    /// Least distance from the parent.
    pub min_interval_ms: u64,
}

/// The ladder's memory: the rung and the lag that entered it.
#[derive(Clone, Debug)]
pub struct Ladder {
    bounds: Bounds,
    rung: Rung,
    entered_at_lag: u64,
    /// Moving average of what a block takes here; 0 before the first.
    service_ms: u64,
    /// Blocks proposed on [`Rung::Empty`] since the lag was last usual behind one with transactions.
    empties: u64,
    /// Whether the newest block proposed had transactions.
    was_full: bool,
}

impl Ladder {
    /// An open ladder.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            rung: Rung::Open,
            entered_at_lag: 0,
            service_ms: 0,
            empties: 0,
            was_full: true,
        }
    }

    /// The rung of the newest observation.
    #[must_use]
    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// Takes in how far things are behind, in blocks: this node's execution behind the parent to build on, and
    /// settlement behind it (h - 1 - s(parent)). The worse of the two counts.
    pub fn observe(&mut self, execution_lag: u64, settlement_lag: u64) -> Rung {
        let lag = execution_lag.max(settlement_lag);
        // A lag that is usual for a moment between empty blocks (others raise it again) is no success.
        if lag <= self.bounds.usual_lag() && self.was_full {
            self.empties = 0;
        }
        let fruitless = self.empties >= self.bounds.max_receipt_lag;
        let wanted = match self.rung_at(lag) {
            Rung::Empty if fruitless => Rung::Delay,
            wanted => wanted,
        };
        let released = lag <= self.bounds.usual_lag()
            || lag.saturating_add(HYSTERESIS) <= self.entered_at_lag
            || (fruitless && self.rung == Rung::Empty);
        if wanted > self.rung || (wanted < self.rung && released) {
            self.rung = wanted;
            self.entered_at_lag = lag;
        }
        self.rung
    }

    /// Takes in how long a block took from when its turn came until it was durable.
    pub fn note_service(&mut self, took_ms: u64) {
        // A quarter of the weight to the newest: a handful of blocks to follow a change, one outlier smoothed.
        self.service_ms = match self.service_ms {
            0 => took_ms,
            average => average.saturating_mul(3).saturating_add(took_ms) / 4,
        };
    }

    /// Takes in that a block was proposed, with transactions or without.
    pub fn note_proposed(&mut self, is_empty: bool) {
        self.was_full = !is_empty;
        if is_empty && self.rung == Rung::Empty {
            self.empties = self.empties.saturating_add(1);
        }
    }

    /// Distance between blocks that lets execution catch up.
    fn pace_ms(&self) -> u64 {
        match self.service_ms {
            // Nothing measured yet.
            0 => self.bounds.delay_ms,
            took => took.saturating_add(took.div_ceil(4)).min(MAX_PACE_MS),
        }
    }

    /// Limits of the next block on the present rung.
    #[must_use]
    pub fn allowance(&self) -> Allowance {
        let b = &self.bounds;
        let shrunk = |steps: u8| Allowance {
            max_gas: (b.block_gas >> steps).max(b.transaction_gas),
            max_bytes: (b.block_bytes >> steps).max(b.least_block_bytes),
            max_transactions: (b.block_transactions >> steps).max(1),
            min_interval_ms: 0,
        };
        match self.rung {
            Rung::Open => shrunk(0),
            Rung::Shrink { steps } => shrunk(steps),
            Rung::Delay => Allowance {
                min_interval_ms: self.pace_ms(),
                ..shrunk(MAX_SHRINK)
            },
            Rung::Empty => Allowance {
                min_interval_ms: self.pace_ms(),
                max_transactions: 0,
                ..shrunk(MAX_SHRINK)
            },
        }
    }

    /// The rung that a lag asks for, without memory: the span above the usual lag is cut in four; blocks shrink
    /// over its first half, are delayed in its third quarter, and empty in its last.
    fn rung_at(&self, lag: u64) -> Rung {
        let usual = self.bounds.usual_lag();
        let span = self.bounds.max_receipt_lag.saturating_sub(usual);
        let excess = lag.saturating_sub(usual).min(span.saturating_add(1));
        if excess == 0 || span == 0 {
            return Rung::Open;
        }
        if span < RUNGS && excess <= span {
            // Where a rung would be less than a block of lag, blocks shrink up to K: the K rule is near, and brakes in the
            // rhythm of execution, while emptiness would let it run dry.
            return shrink(excess);
        }
        // excess / span in quarters, rounded up: 1..=4, and more once the lag is beyond K (execution only).
        match (excess.saturating_mul(RUNGS)).div_ceil(span) {
            0..=2 => shrink(excess),
            3 => Rung::Delay,
            _ => Rung::Empty,
        }
    }
}

fn shrink(excess: u64) -> Rung {
    Rung::Shrink {
        steps: u8::try_from(excess).map_or(MAX_SHRINK, |steps| steps.min(MAX_SHRINK)),
    }
}

#[cfg(test)]
mod tests;
