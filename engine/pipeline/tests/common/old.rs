//! Chains that ran to their ends, for those who begin with what they left.

use std::path::Path;

use millrace_ledger::Ledger;
use millrace_pipeline::{BlockRef, EngineConfig};
use millrace_types::{Block, ChainSpec, Commitment, Hash};

use crate::common::*;

/// A configuration whose states are kept there.
pub fn kept_in(directory: &Path) -> EngineConfig {
    EngineConfig {
        state_directory: Some(directory.to_owned()),
        ..EngineConfig::default()
    }
}

/// A chain that ran to its end, its states in a directory.
pub struct Old {
    pub spec: ChainSpec,
    pub ledger: Ledger,
    pub states: tempfile::TempDir,
    pub last: BlockRef,
    pub root: Hash,
}

/// Runs one, with so many rounds of transactions.
pub fn old(commitment: Commitment, rounds: u64) -> Old {
    let mut spec = spec();
    spec.commitment = commitment;
    let states = tempfile::tempdir().unwrap();
    let ledger = Ledger::in_memory(&spec).unwrap();
    let mut chain = Chain::open(spec.clone(), ledger.clone(), kept_in(states.path()));
    // Each block executed before the next, so that as much is settled however busy the machine is.
    for round in 0..rounds {
        submit_rounds(&chain, round, 1);
        chain.next_block().unwrap();
        chain.wait_until_executed(chain.head.height);
    }
    chain.run_until_idle();
    chain.wait_until_executed(chain.head.height);
    let (last, root) = (chain.head, chain.root());
    chain.engine.stop();
    Old {
        spec,
        ledger,
        states,
        last,
        root,
    }
}

impl Old {
    pub fn block(&self, height: u64) -> Block {
        let hash = self.ledger.finalized_hash(height).unwrap().unwrap();
        self.ledger.block(&hash).unwrap().unwrap()
    }
}
