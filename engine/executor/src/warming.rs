//! Programs that a block is going to call, loaded before it is executed.
//!
//! A hint and nothing else: the program cache never shows in results, so whatever is loaded here, from whichever state of
//! the chain and by however many threads, executing the block comes to the same. What goes wrong here is found again by
//! whoever executes.
//!
//! What a block asks for is bounded three times: in contracts, in what their programs take of the cache, and in that
//! somebody must have offered the gas without which execution would not look at the file either.

use std::sync::atomic::{AtomicUsize, Ordering};

use millrace_jit::Tier;
use millrace_types::state::{account_path, code_path};
use millrace_types::{Address, Gas, Height, Payload, SignedTransaction};

use crate::error::ExecutionError;
use crate::executor::Executor;
use crate::journal::missing_code;
use crate::reader::StateReader;

/// Contracts of one block that are looked at. Those of its first transactions: the others have the time until it gets to
/// them, and a block that calls thousands gets no more.
pub const MOST_CONTRACTS: usize = 64;

/// Bytes of text that are decoded: what nearly all contracts have. It is most of what a first run waits for, and what
/// takes longest here.
const MOST_DECODED_BYTES: usize = 64 << 10;

/// One block's programs may drive out one part in so many of the cache: what its eviction frees at once.
const SHARE: usize = 8;

/// A contract, and the most gas that a call of the block brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Called {
    contract: Address,
    gas: Gas,
}

/// The contracts that a block calls, each of which [`Executor::warm`] handles by itself. Shared by threads.
#[derive(Debug)]
pub struct Warming {
    height: Height,
    /// Ascending by address, each once.
    called: Vec<Called>,
    /// What was loaded takes of the cache.
    bytes: AtomicUsize,
}

/// What became of one contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Warmed {
    /// The cache did not hold its program, and does now if the program is not larger than all of it.
    Loaded,
    /// The cache held its program, and keeps it a little longer.
    Held,
    /// There is nothing to load: no code in this state, none that is a program, or none whose first run a call pays for.
    Nothing,
    /// The block has had its share of the cache.
    Enough,
}

impl Warming {
    /// Of the block at `height` that has these transactions. What contracts call, and what is deployed, is not looked for.
    #[must_use]
    pub fn new(height: Height, transactions: &[SignedTransaction]) -> Self {
        let mut called: Vec<Called> = Vec::new();
        for signed in transactions {
            let Payload::Call { to, .. } = &signed.transaction.payload else {
                continue;
            };
            let gas = signed.transaction.gas_limit;
            match called.binary_search_by_key(to, |called| called.contract) {
                Ok(place) => called[place].gas = called[place].gas.max(gas),
                Err(_) if called.len() == MOST_CONTRACTS => {}
                Err(place) => called.insert(place, Called { contract: *to, gas }),
            }
        }
        Self {
            height,
            called,
            bytes: AtomicUsize::new(0),
        }
    }

    /// How many contracts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.called.len()
    }

    /// Whether the block calls none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.called.is_empty()
    }
}

impl Executor {
    /// Loads the program of the `index`-th contract, as it is in `state`, into the cache that executions look into. Which
    /// state of the chain that is does not matter, but for what it does not hold yet. Takes as long as validating one file and
    /// decoding 64 KiB of text; native code is neither compiled nor waited for, but what is kept of it on the disk is asked
    /// for.
    ///
    /// # Errors
    /// The state gave no answer, or is damaged. Nothing follows from that here.
    ///
    /// # Panics
    /// If there are no more than `index` contracts.
    pub fn warm(
        &self,
        warming: &Warming,
        index: usize,
        state: &dyn StateReader,
    ) -> Result<Warmed, ExecutionError> {
        let Called { contract, gas } = warming.called[index];
        let programs = self.programs();
        if warming.bytes.load(Ordering::Relaxed) >= programs.capacity_bytes() / SHARE {
            return Ok(Warmed::Enough);
        }
        let Some(hash) = state.account(&account_path(&contract))?.code_hash else {
            return Ok(Warmed::Nothing);
        };
        let (machine, schedule) = self.versions_at(warming.height);
        if programs.get(&hash, machine).is_some() {
            return Ok(Warmed::Held);
        }
        let path = code_path(&hash);
        let bytes = state.get(&path)?.ok_or_else(|| missing_code(path))?;
        // Of the transaction's gas less comes to the call: who offers too little here offers too little there.
        if gas < schedule.first_run.of(bytes.len() as u64) {
            return Ok(Warmed::Nothing);
        }
        let Ok(code) = programs.load(&hash, &bytes, machine) else {
            return Ok(Warmed::Nothing);
        };
        warming.bytes.fetch_add(code.counted_bytes(), Ordering::Relaxed);
        match self.tier() {
            Tier::Interpreter => code.program.decode(MOST_DECODED_BYTES),
            Tier::Auto => {
                code.program.ask_for_kept_code();
                code.program.decode(MOST_DECODED_BYTES);
            }
            // Its first run waits for the compiler, and a worker that has other things to do should not.
            Tier::Jit => {}
        }
        Ok(Warmed::Loaded)
    }
}

#[cfg(test)]
mod tests;
