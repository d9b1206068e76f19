//! Proposals that are executed ahead of their turn: taken over, never shown, never in the way, never left behind.

use std::time::{Duration, Instant};

use millrace_pipeline::{
    BlockId, BuildAnswer, EngineConfig, Event, NotNow, StateError, StopReason, TransactionStatus,
    ValidateAnswer,
};
use millrace_types::{ChainSpec, Hash};

use crate::common::*;
use crate::model::{Draft, Model};

fn both(config: EngineConfig) -> (Model, Chain) {
    (Model::new(&spec()), Chain::in_memory(spec(), config))
}

fn slow(ms: u64) -> EngineConfig {
    EngineConfig {
        slow_execution_ms: ms,
        ..EngineConfig::default()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test that waits gives up at last")]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Until so many blocks are executed, and whatever is in the ring has left it.
fn wait_for_executions(chain: &Chain, count: u64) {
    wait_until("so many executions", || {
        chain.engine.counters().executions >= count
    });
    wait_until("roots", || chain.engine.states().uncommitted == 0);
    // What has its root leaves the ring at once, but for the journal's thread. No claim rests on its being that fast.
    std::thread::sleep(Duration::from_millis(5));
    chain.settle_requests();
}

#[test]
fn a_proposal_is_executed_ahead_and_taken_over_when_it_is_final() {
    let (mut model, mut chain) = both(EngineConfig::default());
    let genesis = model.genesis;
    let a = model.branch(&genesis, 1, 1)[0];
    assert_eq!(chain.validate(model.block(&a)), ValidateAnswer::Valid);
    wait_for_executions(&chain, 1);
    // Nobody sees it.
    let heights = chain.engine.heights();
    assert_eq!((heights.executed.height, heights.head.height), (0, 0));
    assert_eq!(chain.engine.receipt(&a).unwrap(), None);
    assert_eq!(
        chain.engine.block(&a).unwrap(),
        None,
        "nothing of it is in the ledger"
    );
    assert!(matches!(
        chain.engine.state_at(BlockId::Hash(a)),
        Err(StateError::Unknown)
    ));
    let transaction = model.block(&a).body.transactions[0].hash();
    assert_eq!(
        chain.engine.transaction_status(&transaction).unwrap(),
        TransactionStatus::Unknown
    );
    chain.finalize(model.block(&a));
    chain.wait_until_executed(1);
    assert_eq!(
        chain.engine.receipt(&a).unwrap().as_ref(),
        Some(&model.get(&a).receipt)
    );
    let counters = chain.engine.counters();
    assert_eq!(
        (
            counters.executions,
            counters.speculations,
            counters.speculations_dropped
        ),
        (1, 1, 0)
    );
}

#[test]
fn a_chain_of_proposals_is_executed_ahead_each_on_its_parent() {
    let (mut model, mut chain) = both(EngineConfig::default());
    let genesis = model.genesis;
    let mut tip = genesis;
    let blocks: Vec<Hash> = (0..4)
        .map(|n| {
            let draft = Draft {
                transfers: vec![(n, 9, 5), (n, 10, 6)],
                // As late as the rules allow, so that none waits for a receipt.
                lag: 4,
                name: 1,
            };
            tip = model.add(&tip, &draft);
            tip
        })
        .collect();
    for hash in &blocks {
        chain.engine.announce(model.block(hash).clone());
    }
    wait_for_executions(&chain, 4);
    for hash in &blocks {
        chain.finalize(model.block(hash));
    }
    chain.wait_until_executed(4);
    assert_eq!(chain.root(), model.get(&tip).receipt.post_state_root);
    assert_eq!(chain.engine.counters().executions, 4);
}

#[test]
fn a_proposal_that_becomes_head_is_not_executed_again() {
    let (mut model, mut chain) = both(EngineConfig::default());
    let genesis = model.genesis;
    let a = model.branch(&genesis, 1, 1)[0];
    chain.engine.announce(model.block(&a).clone());
    wait_for_executions(&chain, 1);
    chain.move_to(a);
    chain.wait_until_executed_to(a);
    chain.finalize_known(model.reference(&a));
    chain.wait_until_finalized(1);
    chain.engine.stop();
    assert_eq!(chain.engine.counters().executions, 1);
    assert_eq!(
        chain.engine.receipt(&a).unwrap().as_ref(),
        Some(&model.get(&a).receipt)
    );
}

#[test]
fn what_loses_is_dropped_with_what_follows_it() {
    let (mut model, mut chain) = both(EngineConfig::default());
    let genesis = model.genesis;
    let (a, b) = (model.branch(&genesis, 3, 1), model.branch(&genesis, 1, 2)[0]);
    chain.engine.announce(model.block(&b).clone());
    for hash in &a[..2] {
        chain.engine.announce(model.block(hash).clone());
    }
    let executed = 1 + u64::from(model.block(&a[1]).header.settled_height == 0) + 1;
    wait_for_executions(&chain, executed);
    assert_eq!(chain.engine.states().versions as u64, 1 + executed);
    chain.finalize(model.block(&b));
    chain.wait_until_executed(1);
    wait_until("the states of the lost branch are dropped", || {
        chain.engine.states().versions == 2
    });
    assert_eq!(chain.engine.counters().executions, executed);
}

#[test]
fn a_speculation_in_progress_that_loses_leaves_nothing() {
    let (mut model, mut chain) = both(slow(60));
    let genesis = model.genesis;
    let (a, b) = (model.branch(&genesis, 1, 1)[0], model.branch(&genesis, 1, 2)[0]);
    chain.engine.announce(model.block(&a).clone());
    wait_until("it has begun", || chain.engine.counters().speculations == 1);
    std::thread::sleep(Duration::from_millis(10));
    chain.finalize(model.block(&b));
    chain.wait_until_executed(1);
    chain.engine.stop();
    assert_eq!(chain.engine.states().versions, 2);
    assert_eq!(chain.engine.counters().executions, 2);
}

/// Its parent's state is dropped while it executes: that is no fault of anything.
#[test]
fn the_ground_may_go_from_under_a_speculation_in_progress() {
    let (mut model, mut chain) = both(slow(60));
    let genesis = model.genesis;
    let b = model.branch(&genesis, 1, 2)[0];
    let draft = Draft {
        lag: 4,
        name: 1,
        ..Draft::default()
    };
    let parent = model.add(&genesis, &draft);
    let child = model.add(&parent, &draft);
    chain.engine.announce(model.block(&parent).clone());
    chain.engine.announce(model.block(&child).clone());
    wait_until("the parent is executed", || {
        chain.engine.counters().executions == 1
    });
    std::thread::sleep(Duration::from_millis(10));
    chain.finalize(model.block(&b));
    chain.wait_until_executed(1);
    chain.engine.stop();
    assert_eq!(chain.wait_until_stopped(), StopReason::Shutdown);
    assert_eq!(chain.engine.states().versions, 2);
}

#[test]
fn what_is_kept_is_bounded_and_the_newest_proposals_stay() {
    let config = EngineConfig {
        max_speculative_blocks: 3,
        ..EngineConfig::default()
    };
    let (mut model, mut chain) = both(config);
    let genesis = model.genesis;
    let rivals: Vec<Hash> = (0..20).map(|name| model.branch(&genesis, 1, name)[0]).collect();
    for (count, hash) in (1..).zip(&rivals) {
        chain.engine.announce(model.block(hash).clone());
        wait_for_executions(&chain, count);
        assert!(chain.engine.states().versions <= 1 + 3);
    }
    let last = rivals.last().unwrap();
    chain.finalize(model.block(last));
    chain.wait_until_executed(1);
    assert_eq!(chain.engine.counters().executions, 20);
    wait_until("the others are dropped", || chain.engine.states().versions == 2);
    // One whose result was dropped is executed again, and well.
    let (mut model, mut chain) = both(EngineConfig {
        max_speculative_blocks: 1,
        ..EngineConfig::default()
    });
    let rivals: Vec<Hash> = (0..3).map(|name| model.branch(&genesis, 1, name)[0]).collect();
    for (count, hash) in (1..).zip(&rivals) {
        chain.engine.announce(model.block(hash).clone());
        wait_for_executions(&chain, count);
    }
    chain.finalize(model.block(&rivals[0]));
    chain.wait_until_executed(1);
    assert_eq!(chain.engine.counters().executions, 4);
    assert_eq!(chain.root(), model.get(&rivals[0]).receipt.post_state_root);
    model.add(&rivals[0], &Draft::default());
}

/// Its descendants, which do not conflict with it, give way to it too.
#[test]
fn a_finalized_block_waits_for_the_speculation_that_is_at_it_and_for_no_other() {
    let (mut model, mut chain) = both(slow(100));
    let genesis = model.genesis;
    let draft = |name| Draft {
        lag: 4,
        name,
        ..Draft::default()
    };
    let counts = model.add(&genesis, &draft(9));
    chain.engine.announce(model.block(&counts).clone());
    wait_for_executions(&chain, 1);
    for name in 0..3 {
        let rival = model.add(&counts, &draft(name));
        chain.engine.announce(model.block(&rival).clone());
    }
    wait_until("speculation has begun", || {
        chain.engine.counters().speculations == 4
    });
    let before = chain.engine.counters().executions;
    chain.finalize(model.block(&counts));
    chain.wait_until_executed(1);
    // At most one ends while the finalized block is handed over, and one is at it then.
    let after = chain.engine.counters().executions;
    assert!(after <= before + 2, "{before}, {after}");
}

/// Its child is proposed while it executes: what gave way to finality is not lost.
#[test]
fn evicted_speculation_comes_again_and_is_not_executed_again() {
    let spec = ChainSpec {
        max_receipt_lag: 8,
        ..spec()
    };
    let mut model = Model::new(&spec);
    let mut chain = Chain::in_memory(spec, slow(20));
    let genesis = model.genesis;
    let mut tip = genesis;
    for n in 0..7 {
        let draft = Draft {
            transfers: vec![(n, 9, 5)],
            lag: 8,
            name: 0,
        };
        let before = tip;
        tip = model.add(&tip, &draft);
        chain.engine.announce(model.block(&tip).clone());
        if before != genesis {
            chain.finalize(model.block(&before));
        }
    }
    chain.finalize(model.block(&tip));
    chain.wait_until_executed(7);
    assert_eq!(chain.root(), model.get(&tip).receipt.post_state_root);
    let counters = chain.engine.counters();
    assert_eq!(counters.executions, 7, "{counters:?}");
    assert!(counters.speculations > 0);
}

#[test]
fn nothing_is_speculated_where_it_is_off() {
    let off = EngineConfig {
        speculation: false,
        ..EngineConfig::default()
    };
    let in_turn = EngineConfig {
        pipelining: false,
        ..EngineConfig::default()
    };
    for config in [off, in_turn] {
        let (mut model, mut chain) = both(config);
        let genesis = model.genesis;
        let a = model.branch(&genesis, 1, 1)[0];
        assert_eq!(chain.validate(model.block(&a)), ValidateAnswer::Valid);
        chain.finalize(model.block(&a));
        chain.wait_until_executed(1);
        let counters = chain.engine.counters();
        assert_eq!((counters.speculations, counters.executions), (0, 1));
    }
}

/// K = 1: the execution of a block overlaps the voting on it, or nothing at all.
#[test]
fn with_a_lag_of_one_a_block_is_executed_while_it_is_voted_on() {
    let spec = ChainSpec {
        max_receipt_lag: 1,
        ..spec()
    };
    let mut chain = Chain::in_memory(spec, EngineConfig::default());
    submit_rounds(&chain, 0, 12);
    let mut ahead = 0;
    loop {
        let block = match chain.build(chain.request()) {
            BuildAnswer::Built(block) => block,
            BuildAnswer::NotNow(NotNow::Idle) => break,
            BuildAnswer::NotNow(_) => {
                chain.wait_for(|event| *event == Event::Work);
                continue;
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(chain.validate(&block), ValidateAnswer::Valid);
        wait_for_executions(&chain, block.header.height);
        ahead += u64::from(chain.engine.heights().executed.height < block.header.height);
        chain.finalize(&block);
    }
    chain.wait_until_executed(chain.head.height);
    let counters = chain.engine.counters();
    assert_eq!(counters.executions, chain.head.height);
    assert_eq!(ahead, chain.head.height);
}
