//! Blocks that all workers execute together, in a running engine, come to what one after the other comes to.

use millrace_ledger::Ledger;
use millrace_pipeline::{EngineConfig, replay_check};
use millrace_types::{Address, Payload, SignedTransaction};

use crate::common::*;

static COUNTER: &[u8] = include_bytes!("../../../../contracts/artifacts/counter.elf");
/// More than one block has room for beside the others, and enough that workers share each.
const ROUNDS: u64 = 60;

fn call(from: u8, nonce: u64, payload: Payload) -> SignedTransaction {
    sign(from, nonce, 5_000_000, 1 + u64::from(from), payload)
}

#[test]
fn a_chain_that_many_workers_executed_is_replayed_in_order() {
    let mut spec = spec();
    spec.limits.block_gas *= 20;
    spec.limits.block_write_bytes *= 20;
    let ledger = Ledger::in_memory(&spec).unwrap();
    let config = EngineConfig {
        workers: 4,
        ..EngineConfig::default()
    };
    let mut chain = Chain::open(spec.clone(), ledger.clone(), config);
    let contract = Address::of_deploy(&address(0), 0);
    let deploy = Payload::Deploy {
        code: COUNTER.to_vec(),
        value: 0,
        input: Vec::new(),
    };
    chain.engine.submit_transaction(call(0, 0, deploy)).unwrap();
    chain.run_until_idle();
    for round in 0..ROUNDS {
        for sender in 0..4u8 {
            let nonce = round + u64::from(sender == 0);
            let payload = if (round + u64::from(sender)) % 3 == 0 {
                Payload::Call {
                    to: contract,
                    value: 0,
                    input: vec![0x01],
                }
            } else {
                Payload::Transfer {
                    to: address((sender + 1) % 4),
                    value: u128::from(round),
                }
            };
            chain
                .engine
                .submit_transaction(call(sender, nonce, payload))
                .unwrap();
        }
    }
    let mut largest = 0;
    while let Some(block) = chain.next_block() {
        largest = largest.max(block.body.transactions.len());
    }
    chain.wait_until_executed(chain.head.height);
    assert!(largest >= 32, "blocks of {largest} are executed by one worker");
    assert_eq!(replay_check(&spec, &ledger).unwrap().root, chain.root());
}
