//! Programs that blocks call, loaded by workers while earlier blocks are executed.
//!
//! The stage *Prepare* of a block whose turn has not come lists the contracts that it calls and goes on at once; their
//! programs are loaded one at a time by whoever has nothing more urgent to do, until the block's execution can begin. So
//! nobody waits for it: what is not loaded by then is loaded by execution, as without this.
//!
//! Accounts are looked up in the newest final state, since the parent's does not exist yet. What was deployed after that
//! state was loaded by those who executed its deployment.
//!
//! Nothing here decides anything, see [`millrace_executor::warming`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use millrace_executor::warming::MOST_CONTRACTS;
use millrace_executor::{Executor, StateReader, Warmed, Warming};
use millrace_scheduler::{Claim, Ring, Sequence, Stage};
use millrace_state::Store;
use millrace_types::Hash;

use crate::execution::Reader;
use crate::task::{BlockTask, Purpose};

/// Contracts that wait at once, of all blocks. Where workers are busy all the time, those of blocks whose turn has come stay
/// until another block needs the place.
const MOST_WAITING: usize = 4 * MOST_CONTRACTS;

/// A block whose programs are loaded.
struct Block<S> {
    hash: Hash,
    sequence: Sequence,
    programs: Warming,
    state: S,
}

/// One of its contracts.
struct Contract<S> {
    of: Arc<Block<S>>,
    index: usize,
}

/// The work, the oldest block's first.
pub(crate) struct Warmings<S = Reader> {
    contracts: ArrayQueue<Contract<S>>,
}

impl Warmings {
    /// Lets workers load the programs of a block that counts and waits for the ones before it.
    pub(crate) fn begin(&self, claim: &Claim<BlockTask>, ring: &Ring<BlockTask>, store: &Store) {
        let is_wanted = claim.purpose > Purpose::Speculation && !claim.work.is_executed();
        if !is_wanted || !ring.waits_for(Stage::Execute, claim.sequence()) {
            return;
        }
        let programs = Warming::new(claim.height(), &claim.block.body.transactions);
        // It may have been dropped since; there are newer ones then, and nothing depends on it.
        if !programs.is_empty()
            && let Some(state) = store.view(store.finalized().0)
        {
            self.forget_stale(ring);
            self.add(claim.hash, claim.sequence(), programs, Reader(state));
        }
    }
}

impl<S: StateReader> Warmings<S> {
    pub(crate) fn new() -> Self {
        Self {
            contracts: ArrayQueue::new(MOST_WAITING),
        }
    }

    /// Drops what waits in vain, up to the first that does not. So no state is held for long that nobody will look into.
    fn forget_stale<T: Send + Sync>(&self, ring: &Ring<T>) {
        while let Some(contract) = self.contracts.pop() {
            if ring.waits_for(Stage::Execute, contract.of.sequence) {
                // Only this stage adds, so its place is still free. That it is the last one now matters little.
                let _ = self.contracts.push(contract);
                return;
            }
        }
    }

    /// Adds a block's contracts, as many as there is room for.
    fn add(&self, hash: Hash, sequence: Sequence, programs: Warming, state: S) {
        let contracts = programs.len();
        let of = Arc::new(Block {
            hash,
            sequence,
            programs,
            state,
        });
        for index in 0..contracts {
            let of = Arc::clone(&of);
            if self.contracts.push(Contract { of, index }).is_err() {
                return;
            }
        }
    }

    /// Whether [`Self::step`] may find something.
    pub(crate) fn has_work(&self) -> bool {
        !self.contracts.is_empty()
    }

    /// Loads one program, if there is one to load. Those of blocks whose turn has come, or that nobody wants any more,
    /// are passed by.
    pub(crate) fn step<T: Send + Sync>(&self, executor: &Executor, ring: &Ring<T>) -> bool {
        while let Some(Contract { of, index }) = self.contracts.pop() {
            if !ring.waits_for(Stage::Execute, of.sequence) {
                continue;
            }
            let warm = || executor.warm(&of.programs, index, &of.state);
            match catch_unwind(AssertUnwindSafe(warm)) {
                Ok(Ok(Warmed::Enough)) => continue,
                Ok(Ok(Warmed::Loaded)) => {
                    metrics::counter!("millrace_programs_warmed_total").increment(1);
                }
                Ok(Ok(Warmed::Held | Warmed::Nothing)) => {}
                Ok(Err(error)) => tracing::debug!(block = %of.hash, %error, "a program was not loaded ahead"),
                Err(_) => {
                    tracing::error!(block = %of.hash, "loading a program ahead panicked; execution loads it itself");
                }
            }
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests;
