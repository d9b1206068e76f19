//! What a proposal holds: the proposer's policy, as pure functions. None of it is a rule of validity.

use millrace_types::receipt::EXECUTION_RECEIPT_BYTES;
use millrace_types::{ChainSpec, Height};

use crate::api::NotNow;

/// Most bytes of a block beside its transactions: the header with the longest consensus data and seal, the counts of
/// the body's lists, and as many receipts as a block may carry.
#[must_use]
pub fn overhead_bytes(spec: &ChainSpec) -> u64 {
    const LIST_COUNTS: u64 = 8;
    spec.limits.header_bytes() as u64
        + LIST_COUNTS
        + spec
            .max_receipt_lag
            .saturating_mul(EXECUTION_RECEIPT_BYTES as u64)
}

/// What a block settles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settling {
    /// s(parent) + 1.
    pub from: Height,
    /// s(B); one less than `from` when nothing is settled.
    pub to: Height,
    /// The highest height up to which the branch is executed here.
    pub executed: Height,
}

impl Settling {
    /// Whether it settles anything.
    #[must_use]
    pub fn is_something(&self) -> bool {
        self.to >= self.from
    }
}

/// How much a block at `height` settles, on a parent that settles up to `parent_settled`, when the branch is executed
/// up to `executed`: as much as is executed and of age `receipt_age`.
///
/// # Errors
/// [`NotNow::LagLimit`] when the K rule asks for more than is executed.
pub fn settle(
    height: Height,
    parent_settled: Height,
    executed: Height,
    spec: &ChainSpec,
) -> Result<Settling, NotNow> {
    let of_age = height.saturating_sub(spec.receipt_age.max(1));
    let to = executed.min(of_age).max(parent_settled);
    let needed = height.saturating_sub(spec.max_receipt_lag);
    if to < needed || executed < parent_settled {
        return Err(NotNow::LagLimit {
            needed: needed.max(parent_settled),
            executed,
        });
    }
    Ok(Settling {
        from: parent_settled + 1,
        to,
        executed,
    })
}

/// Whether a block without transactions is worth proposing. `last_non_empty` is the height of the newest block with
/// transactions on the branch.
///
/// An idle chain goes on until that block is settled, then it may pause. While it waits for a height to come of age,
/// blocks that settle nothing are needed too; under pressure there are none of those.
///
/// # Errors
/// Why it is not.
pub fn check_empty(
    settling: &Settling,
    last_non_empty: Height,
    under_pressure: bool,
    wanted_anyway: bool,
) -> Result<(), NotNow> {
    let next = settling.from;
    if settling.is_something() && (last_non_empty >= next || wanted_anyway || under_pressure) {
        return Ok(());
    }
    if under_pressure {
        return Err(NotNow::NothingToSettle { next });
    }
    if wanted_anyway {
        return Ok(());
    }
    if last_non_empty < next {
        return Err(NotNow::Idle);
    }
    if settling.executed < next {
        return Err(NotNow::AwaitingExecution { height: next });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
