//! Blocks that are not final: verdicts, waiting, siblings, proposals on them.

use std::sync::mpsc;

use millrace_pipeline::admission::{Invalid, Pending};
use millrace_pipeline::{
    BuildAnswer, BuildRefused, BuildRequest, EngineConfig, NotNow, Reply, ValidateAnswer,
};
use millrace_types::settlement::HeaderError;
use millrace_types::{Block, ChainSpec, Hash, Header};

use crate::common::*;

fn genesis(chain: &Chain) -> Header {
    chain
        .engine
        .header(&chain.engine.genesis().hash)
        .unwrap()
        .unwrap()
}

fn child(chain: &Chain, parent: &Block) -> Block {
    empty_block(chain.engine.spec(), &parent.header)
}

/// A sibling: the same but for its consensus data.
fn sibling(block: &Block, name: u8) -> Block {
    let mut other = block.clone();
    other.header.consensus_data = vec![name];
    other
}

fn ask(chain: &Chain, block: &Block) -> mpsc::Receiver<ValidateAnswer> {
    let (reply, answer) = Reply::channel();
    chain.engine.validate(block.clone(), reply);
    answer
}

#[test]
fn siblings_are_judged_each_for_itself_and_those_that_lose_conflict() {
    let mut chain = Chain::in_memory(spec(), EngineConfig::default());
    let a = empty_block(chain.engine.spec(), &genesis(&chain));
    let b = sibling(&a, 1);
    let on_b = child(&chain, &b);
    for block in [&a, &b, &on_b] {
        assert_eq!(chain.validate(block), ValidateAnswer::Valid);
    }
    chain.finalize(&a);
    chain.wait_until_executed(1);
    assert_eq!(chain.validate(&a), ValidateAnswer::Valid);
    assert_eq!(chain.validate(&child(&chain, &a)), ValidateAnswer::Valid);
    assert_eq!(chain.validate(&sibling(&a, 2)), ValidateAnswer::Conflicting);
    // Their parent is gone with the branch; whoever brings it again learns that it lost.
    assert_eq!(chain.validate(&b), ValidateAnswer::Conflicting);
    let unknown = Pending::UnknownParent { parent: b.hash() };
    assert_eq!(chain.validate(&on_b), ValidateAnswer::Pending(unknown));
}

#[test]
fn an_unknown_parent_is_not_yet_and_never_no() {
    let chain = Chain::in_memory(spec(), EngineConfig::default());
    let a = empty_block(chain.engine.spec(), &genesis(&chain));
    let b = child(&chain, &a);
    let unknown = Pending::UnknownParent { parent: a.hash() };
    assert_eq!(chain.validate(&b), ValidateAnswer::Pending(unknown));
    chain.engine.announce(a);
    assert_eq!(chain.validate(&b), ValidateAnswer::Valid);
}

#[test]
fn descendants_of_an_invalid_block_are_invalid() {
    let chain = Chain::in_memory(spec(), EngineConfig::default());
    let mut a = empty_block(chain.engine.spec(), &genesis(&chain));
    a.header.gas_limit += 1;
    let (b, ancestor) = (child(&chain, &a), a.hash());
    let c = child(&chain, &b);
    let gas_limit = |answer| {
        matches!(
            answer,
            ValidateAnswer::Invalid(Invalid::Header(HeaderError::GasLimit { .. }))
        )
    };
    assert!(gas_limit(chain.validate(&a)));
    assert!(gas_limit(chain.validate(&a)), "the verdict is kept");
    for block in [&b, &c] {
        assert_eq!(
            chain.validate(block),
            ValidateAnswer::Invalid(Invalid::Ancestor { ancestor })
        );
    }
    let request = BuildRequest {
        parent: ancestor,
        ..chain.request()
    };
    assert_eq!(
        chain.build(request),
        BuildAnswer::Refused(BuildRefused::ParentNotValid { parent: ancestor })
    );
}

#[test]
fn a_time_ahead_of_the_clock_is_no_verdict() {
    let mut chain = Chain::in_memory(spec(), EngineConfig::default());
    let mut a = empty_block(chain.engine.spec(), &genesis(&chain));
    a.header.timestamp_ms = u64::MAX / 2;
    assert!(matches!(chain.validate(&a), ValidateAnswer::Early { .. }));
    // Finalized blocks are never measured by this node's clock.
    chain.finalize(&a);
    chain.wait_until_executed(1);
}

/// A fast chain, and a slow one that gets the same finalized blocks, but the last.
fn slow_twin(spec: &ChainSpec, rounds: u64, ms: u64) -> (Chain, Vec<Block>) {
    let mut fast = Chain::in_memory(spec.clone(), EngineConfig::default());
    submit_rounds(&fast, 0, rounds);
    fast.run_until_idle();
    let last = fast.engine.heights().head.height;
    let blocks: Vec<Block> = (1..=last.max(fast.head.height))
        .map(|height| {
            fast.wait_until_executed(height);
            let hash = fast.engine.ledger().finalized_hash(height).unwrap().unwrap();
            fast.engine.block(&hash).unwrap().unwrap()
        })
        .collect();
    let config = EngineConfig {
        slow_execution_ms: ms,
        ..EngineConfig::default()
    };
    (Chain::in_memory(spec.clone(), config), blocks)
}

#[test]
fn a_block_that_settles_what_is_not_executed_here_is_answered_when_it_is() {
    let (mut slow, blocks) = slow_twin(&spec(), 4, 150);
    slow.finalize(&blocks[0]);
    let settling = blocks
        .iter()
        .position(|block| block.header.settled_height == 1)
        .unwrap();
    for block in &blocks[1..settling] {
        slow.finalize(block);
    }
    let answer = ask(&slow, &blocks[settling]);
    let early = answer.try_recv();
    let executed = slow.engine.heights().executed.height;
    assert!(
        early.is_err() || executed >= 1,
        "answered before the settled block was executed"
    );
    assert_eq!(answer.recv_timeout(PATIENCE), Ok(ValidateAnswer::Valid));
    assert!(slow.engine.heights().executed.height >= 1);
}

#[test]
fn a_slow_node_takes_finalized_blocks_before_it_can_judge_them() {
    let (mut slow, blocks) = slow_twin(&spec(), 8, 20);
    for block in &blocks {
        slow.finalize(block);
    }
    slow.wait_until_executed(blocks.len() as u64);
    assert_eq!(
        slow.engine.counters().transactions_executed,
        8 * u64::from(ACCOUNTS)
    );
}

#[test]
fn proposals_on_an_unfinalized_parent_count_what_is_in_flight_there() {
    let mut chain = Chain::in_memory(spec(), EngineConfig::default());
    let limit = ChainSpec::clone(chain.engine.spec()).limits.block_transactions;
    submit_rounds(&chain, 0, 8);
    let BuildAnswer::Built(first) = chain.build(chain.request()) else {
        panic!()
    };
    assert_eq!(first.body.transactions.len(), limit as usize);
    assert_eq!(chain.validate(&first), ValidateAnswer::Valid);
    let request = BuildRequest {
        parent: first.hash(),
        ..chain.request()
    };
    let BuildAnswer::Built(second) = chain.build(request.clone()) else {
        panic!()
    };
    let mut all: Vec<Hash> = first
        .body
        .transactions
        .iter()
        .chain(&second.body.transactions)
        .map(|t| t.hash())
        .collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 8 * usize::from(ACCOUNTS), "none twice, none missing");
    assert_eq!(chain.validate(&second), ValidateAnswer::Valid);
    chain.finalize(&first);
    chain.finalize(&second);
    chain.wait_until_executed(2);
}

#[test]
fn unfinalized_blocks_are_bounded_and_the_branch_that_is_built_on_stays() {
    let config = EngineConfig {
        max_unfinalized_blocks: 4,
        ..EngineConfig::default()
    };
    let chain = Chain::in_memory(spec(), config);
    let a = empty_block(chain.engine.spec(), &genesis(&chain));
    let b = child(&chain, &a);
    let c = child(&chain, &b);
    for block in [&a, &b, &c] {
        assert_eq!(chain.validate(block), ValidateAnswer::Valid);
    }
    for name in 1..20 {
        assert_eq!(chain.validate(&sibling(&a, name)), ValidateAnswer::Valid);
    }
    let d = child(&chain, &c);
    assert_eq!(
        chain.validate(&d),
        ValidateAnswer::Valid,
        "its branch was not evicted"
    );
    let mut e = child(&chain, &d);
    e.header.settled_height = 0;
    assert_eq!(
        chain.validate(&e),
        ValidateAnswer::Busy,
        "a branch as long as the cap grows no further"
    );
}

#[test]
fn proposals_are_refused_by_name() {
    let mut chain = Chain::in_memory(spec(), EngineConfig::default());
    let unknown = BuildRequest {
        parent: Hash([5; 32]),
        ..chain.request()
    };
    let parent = unknown.parent;
    assert_eq!(
        chain.build(unknown),
        BuildAnswer::Refused(BuildRefused::UnknownParent { parent })
    );
    let long = BuildRequest {
        consensus_data: vec![0; 65],
        ..chain.request()
    };
    let refused = BuildRefused::FieldTooLong {
        field: "consensus_data",
        size: 65,
        limit: 64,
    };
    assert_eq!(chain.build(long), BuildAnswer::Refused(refused));
    let genesis = chain.request();
    submit_rounds(&chain, 0, 8);
    chain.run_until_idle();
    let parent = genesis.parent;
    assert_eq!(
        chain.build(genesis),
        BuildAnswer::Refused(BuildRefused::Conflicting { parent })
    );
}

#[test]
fn without_transactions_an_empty_block_is_built_only_when_wanted() {
    let chain = Chain::in_memory(spec(), EngineConfig::default());
    assert_eq!(chain.build(chain.request()), BuildAnswer::NotNow(NotNow::Idle));
    let wanted = BuildRequest {
        allow_empty: true,
        ..chain.request()
    };
    let BuildAnswer::Built(block) = chain.build(wanted) else {
        panic!()
    };
    assert!(block.body.transactions.is_empty());
    assert_eq!(chain.validate(&block), ValidateAnswer::Valid);
}

#[test]
fn a_proposal_keeps_to_the_limits_that_are_asked_for() {
    let chain = Chain::in_memory(spec(), EngineConfig::default());
    submit_rounds(&chain, 0, 2);
    let request = BuildRequest {
        max_gas: Some(3 * TRANSFER_GAS + 1),
        ..chain.request()
    };
    let BuildAnswer::Built(block) = chain.build(request) else {
        panic!()
    };
    assert_eq!(block.body.transactions.len(), 3);
    let request = BuildRequest {
        max_bytes: Some(2_000),
        ..chain.request()
    };
    let BuildAnswer::Built(block) = chain.build(request) else {
        panic!()
    };
    assert!(millrace_types::codec::encoded_len(&block) <= 2_000);
    assert!(!block.body.transactions.is_empty());
}

#[test]
fn a_body_that_is_not_the_headers_says_nothing_about_the_block() {
    let mut chain = Chain::in_memory(spec(), EngineConfig::default());
    let block = empty_block(chain.engine.spec(), &genesis(&chain));
    let mut other = block.clone();
    other.body.transactions.push(transfer(0, 0, address(1), 1));
    assert_eq!(other.hash(), block.hash());
    let refused = |answer| matches!(answer, ValidateAnswer::Invalid(Invalid::TransactionsRoot { .. }));
    assert!(refused(chain.validate(&other)));
    assert_eq!(
        chain.validate(&block),
        ValidateAnswer::Valid,
        "the bad body did not stick to the hash"
    );
    assert!(
        refused(chain.validate(&other)),
        "nor does the verdict on the good one cover it"
    );
    chain.finalize(&block);
    chain.wait_until_executed(1);
}
