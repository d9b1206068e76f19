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
    /// How many heights are settled.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.to + 1 - self.from
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
/// blocks that settle nothing are needed too.
///
/// Under pressure a block must bring relief: an empty one takes its turn in execution too, so it has to settle two
/// heights at least, or all there are. Then every block lowers the lag, and transactions come to their turn again
/// however long a block takes; and since execution gets to the end of what there is, the wait ends.
///
/// # Errors
/// Why it is not.
pub fn check_empty(
    height: Height,
    settling: &Settling,
    last_non_empty: Height,
    under_pressure: bool,
    wanted_anyway: bool,
) -> Result<(), NotNow> {
    let next = settling.from;
    if under_pressure {
        let all = settling.executed + 1 >= height;
        let enough = settling.count() >= 2 || (all && settling.count() >= 1);
        return if enough {
            Ok(())
        } else {
            Err(NotNow::NothingToSettle { next })
        };
    }
    if settling.count() >= 1 && last_non_empty >= next {
        return Ok(());
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
