//! A node that has just started knows no program: those that its blocks call are loaded while it executes the blocks before,
//! and nothing comes out otherwise for that.
//!
//! Metrics are counted for the whole process, so this is its only test.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/warmed.rs"]
mod warmed;

use common::*;
use millrace_ledger::Ledger;
use millrace_pipeline::{EngineConfig, replay_check};
use millrace_types::{Address, Payload, SignedTransaction};
use warmed::Warmed;

static COUNTER: &[u8] = include_bytes!("../../../contracts/artifacts/counter.elf");
/// One for each block, more than wait at once.
const CONTRACTS: u8 = 8;

fn signed(nonce: u64, payload: Payload) -> SignedTransaction {
    sign(0, nonce, 5_000_000, 1, payload)
}

#[test]
fn programs_are_loaded_ahead_after_a_start_and_the_chain_is_the_one_that_is_replayed() {
    let warmed = Warmed::default();
    metrics::set_global_recorder(warmed.clone()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::in_memory(&spec()).unwrap();
    let config = EngineConfig {
        state_directory: Some(directory.path().join("state")),
        workers: 2,
        ..EngineConfig::default()
    };
    let mut chain = Chain::open(spec(), ledger.clone(), config.clone());
    for n in 0..CONTRACTS {
        // Bytes behind the file are part of the code and not of the program.
        let deploy = Payload::Deploy {
            code: [COUNTER, &vec![0; usize::from(n)]].concat(),
            value: 0,
            input: Vec::new(),
        };
        let signed = signed(u64::from(n), deploy);
        chain.engine.submit_transaction(signed).unwrap();
    }
    chain.run_until_idle();
    chain.wait_until_executed(chain.head.height);
    chain.engine.stop();
    drop(chain);

    let before = warmed.get();
    let slow = EngineConfig {
        slow_execution_ms: 100,
        ..config
    };
    let mut chain = Chain::open(spec(), ledger.clone(), slow);
    for n in 0..CONTRACTS {
        let call = Payload::Call {
            to: Address::of_deploy(&address(0), n.into()),
            value: 0,
            input: vec![0x01],
        };
        let signed = signed(u64::from(CONTRACTS + n), call);
        chain.engine.submit_transaction(signed).unwrap();
        chain.next_block().unwrap();
    }
    chain.wait_until_executed(chain.head.height);
    let loaded = warmed.get() - before;
    println!("{loaded} of {CONTRACTS} programs were loaded ahead");
    assert!(loaded > 0);
    assert_eq!(replay_check(&spec(), &ledger).unwrap().root, chain.root());
}
