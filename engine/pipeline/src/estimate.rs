//! How much gas a transaction needs: the smallest limit with which it succeeds, found by trying.
//!
//! What a run uses is not enough of a limit: a frame passes on no more than 63/64 of what it has left, so a call deep down may
//! starve with a limit that would have paid for all of it. The search begins at what was used with plenty, goes up in steps that
//! double, and halves what is left between a limit that failed and one that did.
//!
//! ```text
//!   intrinsic ───── used ──×──×────×────────✓──────────────── most
//!                          └ steps double ┘ └ then halves: ×✓×✓ → the limit below which it fails
//! ```

use millrace_executor::{
    BlockContext, ExecutionError, ReadOnlyOutcome, intrinsic_gas, on_large_stack, schedule,
};
use millrace_types::{Address, Gas, Outcome, Payload, SignedTransaction, Transaction};

use crate::api::StateAt;
use crate::engine::Engine;
use crate::execution::Reader;
use crate::reads::CallError;

/// A transaction whose gas is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EstimateRequest {
    /// Who seems to send it; needs no key, balance or nonce for it.
    pub from: Address,
    /// What it does.
    pub payload: Payload,
    /// The highest limit to try, intrinsic gas included.
    pub most: Gas,
    /// Gas that all runs together may use.
    pub total: Gas,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GasEstimate {
    /// The limit, intrinsic gas included; `None` when it does not succeed with the highest.
    pub gas_limit: Option<Gas>,
    /// One gas less fails: the search came to its end before it had used [`EstimateRequest::total`].
    pub is_exact: bool,
    /// Gas of the transaction before anything runs.
    pub intrinsic: Gas,
    /// What it comes to with that limit, or with the highest; its gas is beyond the intrinsic gas.
    pub run: ReadOnlyOutcome,
}

impl Engine {
    /// Gas that a transaction uses before anything runs, by the prices at a state.
    #[must_use]
    pub fn intrinsic_gas(&self, state: &StateAt, payload: &Payload) -> Gas {
        let versions = self.spec().versions_at(state.block.height);
        let prices = schedule(versions.gas).expect("the spec's versions were checked at the start");
        // All but the payload has one length, whatever its value.
        let transaction = Transaction {
            chain_id: self.spec().chain_id,
            public_key: [0; 32],
            nonce: 0,
            gas_limit: 0,
            gas_price: 0,
            payload: payload.clone(),
        };
        let signature = [0; 64];
        intrinsic_gas(
            &SignedTransaction {
                transaction,
                signature,
            },
            prices,
        )
    }

    /// The smallest gas limit with which a transaction succeeds on a state, as if it came in the block of that state. A limit
    /// below the intrinsic gas is tried as if it were that.
    ///
    /// # Errors
    /// Faults of this node; what the transaction came to is in the outcome.
    pub fn estimate_gas(&self, state: &StateAt, request: &EstimateRequest) -> Result<GasEstimate, CallError> {
        let shared = self.shared();
        let header = shared
            .ledger
            .header(&state.block.hash)?
            .ok_or(CallError::UnknownBlock(state.block.hash))?;
        let (context, reader) = (BlockContext::of(&header), Reader(state.view.clone()));
        let intrinsic = self.intrinsic_gas(state, &request.payload);
        let run = |gas| {
            shared
                .executor
                .try_payload(&context, &request.from, &request.payload, gas, &reader)
        };
        let search = || search(run, request.most.saturating_sub(intrinsic), request.total);
        let (found, run) = on_large_stack(&shared.spec, search)??;
        Ok(GasEstimate {
            gas_limit: found.map(|(gas, _)| gas + intrinsic),
            is_exact: found.is_some_and(|(_, is_exact)| is_exact),
            intrinsic,
            run,
        })
    }
}

/// The smallest gas with which `run` succeeds, and whether that is certain; none if `most` does not do. With what that run came
/// to.
fn search(
    mut run: impl FnMut(Gas) -> Result<ReadOnlyOutcome, ExecutionError>,
    most: Gas,
    total: Gas,
) -> Result<(Option<(Gas, bool)>, ReadOnlyOutcome), ExecutionError> {
    let mut best = run(most)?;
    if best.outcome != Outcome::Success {
        return Ok((None, best));
    }
    // Who uses so much with plenty does not succeed with less, unless it looks at the gas that it has left.
    let (mut low, mut works) = (best.gas_used, most);
    let (mut spent, mut step, mut is_rising) = (best.gas_used, 0, true);
    let least_step = best.gas_used / 256 + 1;
    while low < works {
        let next = if is_rising {
            low.saturating_add(step).min(works - 1)
        } else {
            low + (works - low) / 2
        };
        if spent.saturating_add(next) > total {
            return Ok((Some((works, false)), best));
        }
        let outcome = run(next)?;
        spent = spent.saturating_add(outcome.gas_used.max(1));
        if outcome.outcome == Outcome::Success {
            (works, best, is_rising) = (next, outcome, false);
        } else {
            (low, step) = (next + 1, step.saturating_mul(2).max(least_step));
        }
    }
    Ok((Some((works, true)), best))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A run that succeeds from `least` on, and uses `used` then, and everything otherwise.
    fn outcome(gas: Gas, used: Gas, least: Gas) -> ReadOnlyOutcome {
        let succeeds = gas >= least;
        ReadOnlyOutcome {
            outcome: if succeeds {
                Outcome::Success
            } else {
                Outcome::Trapped
            },
            output: Vec::new(),
            gas_used: if succeeds { used } else { gas },
            logs: Vec::new(),
            traps: Vec::new(),
            image_error: None,
        }
    }

    /// What a search comes to, with the gas of all its runs and their number.
    fn searched(used: Gas, least: Gas, most: Gas, total: Gas) -> (Option<(Gas, bool)>, Gas, u32) {
        let (mut spent, mut runs) = (0, 0);
        let run = |gas| {
            let outcome = outcome(gas, used, least);
            (spent, runs) = (spent + outcome.gas_used, runs + 1);
            Ok(outcome)
        };
        let (found, best) = search(run, most, total).unwrap();
        assert_eq!(best.outcome == Outcome::Success, found.is_some());
        (found, spent, runs)
    }

    proptest! {
        #[test]
        fn the_least_gas_that_does_is_found(used in 0u64..1 << 40, extra in 0u64..1 << 36, room in 0u64..1 << 40) {
            let least = used + extra;
            let (found, _, runs) = searched(used, least, least + room, Gas::MAX);
            prop_assert_eq!(found, Some((least, true)));
            prop_assert!(runs < 100, "{} runs", runs);
        }

        #[test]
        fn all_runs_together_use_no_more_than_they_may(
            used in 0u64..1 << 40,
            extra in 0u64..1 << 40,
            room in 0u64..1 << 40,
            total in 0u64..1 << 44,
        ) {
            let (least, most) = (used + extra, used + extra + room);
            let (found, spent, _) = searched(used, least, most, total);
            prop_assert!(spent <= total.max(used), "{} of {}", spent, total);
            let (gas, is_exact) = found.unwrap();
            prop_assert!((least..=most).contains(&gas) && (!is_exact || gas == least));
        }
    }

    #[test]
    fn what_fails_with_the_most_is_tried_once() {
        assert_eq!(searched(10, 1_001, 1_000, Gas::MAX), (None, 1_000, 1));
    }

    #[test]
    fn what_needs_no_more_than_it_uses_is_tried_twice() {
        assert_eq!(
            searched(500, 500, 1_000_000, Gas::MAX),
            (Some((500, true)), 1_000, 2)
        );
    }
}
