//! A slow executor: the queue fills, proposals hold back, nothing is lost.

use millrace_ledger::Ledger;
use millrace_pipeline::{EngineConfig, Event, NotNow, Submission, replay_check};
use millrace_types::{Block, ChainSpec};

use crate::common::*;

fn slow(ms: u64) -> EngineConfig {
    EngineConfig {
        slow_execution_ms: ms,
        ..EngineConfig::default()
    }
}

#[test]
fn the_lag_never_passes_k_and_nothing_is_lost_behind_a_slow_executor() {
    for (lag, age) in [(1, 1), (2, 1), (4, 1), (8, 2)] {
        let spec = ChainSpec {
            max_receipt_lag: lag,
            receipt_age: age,
            ..spec()
        };
        let ledger = Ledger::in_memory(&spec).unwrap();
        let mut chain = Chain::open(spec.clone(), ledger.clone(), slow(5));
        submit_rounds(&chain, 0, 20);
        let mut limited = 0;
        loop {
            match chain.turn() {
                Turn::Block(block) => assert!(block.header.height - block.header.settled_height <= lag),
                Turn::NotNow(NotNow::Idle) => break,
                Turn::NotNow(reason) => {
                    limited += 1;
                    assert!(!matches!(reason, NotNow::Busy), "{reason}");
                    chain.wait_for(|event| *event == Event::Work);
                }
            }
        }
        chain.wait_until_executed(chain.head.height);
        assert!(limited > 0, "K {lag}: the proposer was never held back");
        assert!(chain.engine.counters().max_lag <= lag, "K {lag}");
        assert_eq!(
            chain.engine.counters().transactions_executed,
            20 * u64::from(ACCOUNTS)
        );
        assert_eq!(replay_check(&spec, &ledger).unwrap().root, chain.root());
    }
}

#[test]
fn blocks_shrink_before_they_stop() {
    let spec = ChainSpec {
        max_receipt_lag: 16,
        ..spec()
    };
    let mut chain = Chain::in_memory(spec, slow(20));
    submit_rounds(&chain, 0, 40);
    let mut sizes = Vec::new();
    for _ in 0..14 {
        match chain.turn() {
            Turn::Block(block) => sizes.push(block.body.transactions.len()),
            Turn::NotNow(_) => break,
        }
    }
    assert!(sizes[0] > 2 * sizes.last().unwrap(), "{sizes:?}");
    assert!(
        sizes.iter().all(|size| *size > 0 || sizes.len() > 10),
        "{sizes:?}"
    );
}

/// Blocks that a proposer without any restraint made: a chain of K empty ones.
fn unrestrained(chain: &Chain, count: u64) -> Vec<Block> {
    let mut parent = chain.engine.header(&chain.head.hash).unwrap().unwrap();
    (0..count)
        .map(|_| {
            let block = empty_block(chain.engine.spec(), &parent);
            parent = block.header.clone();
            block
        })
        .collect()
}

#[test]
fn every_block_gives_its_credit_back() {
    let spec = ChainSpec {
        max_receipt_lag: 64,
        ..spec()
    };
    // 66 slots, for K + 2.
    let config = EngineConfig {
        queue_blocks: 1,
        ..slow(1)
    };
    let mut chain = Chain::in_memory(spec, config);
    let blocks = unrestrained(&chain, 64);
    for block in &blocks {
        assert_eq!(
            chain.engine.submit_finalized(block.clone(), certificate(block)),
            Submission::Accepted
        );
        chain.head.height = block.header.height;
    }
    let before = chain.engine.credits();
    assert!(before <= 66);
    chain.wait_until_executed(64);
    assert_eq!(chain.engine.credits(), 66);
}

#[test]
fn every_refusal_is_followed_by_a_credit() {
    let config = EngineConfig {
        queue_blocks: 1,
        ..slow(3)
    };
    let spec = ChainSpec {
        max_receipt_lag: 2,
        ..spec()
    };
    // 4 slots. The blocks come from a twin that is fast.
    let mut twin = Chain::in_memory(spec.clone(), EngineConfig::default());
    submit_rounds(&twin, 0, 16);
    twin.run_until_idle();
    twin.wait_until_executed(twin.head.height);
    let mut chain = Chain::in_memory(spec, config);
    let mut refused = 0;
    for height in 1..=twin.head.height {
        let hash = twin.engine.ledger().finalized_hash(height).unwrap().unwrap();
        let block = twin.engine.block(&hash).unwrap().unwrap();
        while chain.engine.submit_finalized(block.clone(), certificate(&block)) == Submission::Again {
            refused += 1;
            chain.wait_for(|event| matches!(event, Event::Credit { available } if *available > 0));
        }
    }
    chain.wait_until_executed(twin.head.height);
    assert!(refused > 0, "the queue was never full");
    assert_eq!(chain.root(), twin.root());
    assert!(chain.engine.counters().max_in_flight <= 4);
}

#[test]
fn with_pipelining_off_a_block_is_acknowledged_when_it_is_executed() {
    let config = EngineConfig {
        pipelining: false,
        ..slow(5)
    };
    let mut chain = Chain::in_memory(spec(), config);
    submit_rounds(&chain, 0, 8);
    chain.run_until_idle();
    let order: Vec<(char, u64)> = chain
        .seen
        .iter()
        .filter_map(|event| match event {
            Event::Finalized { block, .. } => Some(('f', block.height)),
            Event::Executed { receipt, .. } => Some(('e', receipt.height)),
            _ => None,
        })
        .collect();
    for pair in order.chunks_exact(2) {
        assert_eq!(pair[0].1, pair[1].1, "one block at a time: {order:?}");
    }
    assert_eq!(chain.engine.counters().max_in_flight, 1);
    assert_eq!(chain.engine.counters().max_lag, 1);
}
