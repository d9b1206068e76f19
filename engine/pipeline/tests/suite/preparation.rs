//! Signatures that this node has not seen are checked by workers, and a block waits for its verdict meanwhile.

use std::sync::mpsc;

use millrace_pipeline::admission::{Invalid, InvalidTransaction};
use millrace_pipeline::{EngineConfig, Reply, StopReason, ValidateAnswer};
use millrace_types::{Block, merkle};

use crate::common::*;
use crate::model::{Draft, Model};

/// A first block, and a second one of 64 transactions, by another node. The second settles nothing, so its verdict waits for
/// no execution.
fn blocks() -> [Box<Block>; 2] {
    let mut other = Model::new(&spec());
    let draft = |each: u8| Draft {
        transfers: (0..each)
            .flat_map(|_| (0..ACCOUNTS).map(|of| (of, (of + 1) % ACCOUNTS, 1)))
            .collect(),
        lag: 2,
        name: 0,
    };
    let first = other.add(&other.genesis.clone(), &draft(1));
    let second = other.add(&first, &draft(4));
    assert_eq!(other.block(&second).body.transactions.len(), 64);
    assert_eq!(other.block(&second).header.settled_height, 0);
    [first, second].map(|hash| Box::new(other.block(&hash).clone()))
}

/// The block with another signature at `index`.
fn with_bad_signature(block: &Block, index: usize) -> Block {
    let mut block = block.clone();
    block.body.transactions[index].signature[7] ^= 1;
    block.header.transactions_root = merkle::transactions_root(&block.body.transactions);
    block
}

fn is_bad_signature(reason: &Invalid, at: u32) -> bool {
    let expected = Invalid::Transaction {
        index: at,
        reason: InvalidTransaction::Signature,
    };
    *reason == expected
}

#[test]
fn unknown_signatures_are_checked_before_the_verdict() {
    let [first, second] = blocks();
    for workers in [1, 3] {
        let config = EngineConfig {
            workers,
            ..EngineConfig::default()
        };
        let mut chain = Chain::in_memory(spec(), config);
        chain.finalize(&first);
        chain.wait_until_executed(1);
        for index in [0, 40, 63] {
            match chain.validate(&with_bad_signature(&second, index)) {
                ValidateAnswer::Invalid(reason) if is_bad_signature(&reason, index as u32) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(chain.validate(&second), ValidateAnswer::Valid);
        chain.finalize(&second);
        chain.wait_until_executed(2);
    }
}

#[test]
fn a_finalized_block_with_a_bad_signature_stops_the_node_and_is_not_executed() {
    let [first, second] = blocks();
    let mut chain = Chain::in_memory(spec(), EngineConfig::default());
    chain.finalize(&first);
    chain.wait_until_executed(1);
    let bad = with_bad_signature(&second, 40);
    chain.engine.submit_finalized(bad.clone(), certificate(&bad));
    match chain.wait_until_stopped() {
        StopReason::ConsensusViolation {
            height: 2, reason, ..
        } if is_bad_signature(&reason, 40) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(chain.engine.heights().executed.height, 1);
}

/// A chain whose only worker is busy with `block` for a while.
fn busy_after(block: &Block) -> Chain {
    let config = EngineConfig {
        workers: 1,
        slow_execution_ms: 700,
        ..EngineConfig::default()
    };
    let mut chain = Chain::in_memory(spec(), config);
    chain.finalize(block);
    chain
}

/// Asks for verdicts on named blocks, one right after the other; the answers in the order in which they came.
fn answers<const N: usize>(
    chain: &Chain,
    asked: [(&'static str, &Block); N],
) -> [(&'static str, ValidateAnswer); N] {
    let (answered, answers) = mpsc::channel();
    for (name, block) in asked {
        let answered = answered.clone();
        let reply = Reply::new(move |answer| answered.send((name, answer)).unwrap());
        chain.engine.validate(block.clone(), reply);
    }
    [(); N].map(|()| answers.recv_timeout(PATIENCE).unwrap())
}

/// The only worker is busy for a while: a block whose signatures are unknown has to wait for it, and the ordering thread
/// answers others meanwhile.
#[test]
fn the_ordering_thread_does_not_wait_for_signatures() {
    let [first, second] = blocks();
    let chain = busy_after(&first);
    let mut other = second.clone();
    other.header.transactions_root.0[0] ^= 1;
    let order = answers(
        &chain,
        [("unknown signatures", &*second), ("another root", &*other)],
    );
    assert_eq!(
        order.each_ref().map(|(name, _)| *name),
        ["another root", "unknown signatures"]
    );
    assert_eq!(order[1].1, ValidateAnswer::Valid);
}

/// Headers with bodies that are not theirs are refused at once, and take no place among the blocks whose signatures are
/// checked: one that is good waits for the only worker as it would without them.
#[test]
fn bodies_that_are_not_their_headers_take_nobodys_place() {
    // More than are checked at once, since the worker may get to some before it is busy.
    const FOREIGN: u64 = 100;
    let [first, second] = blocks();
    let chain = busy_after(&first);
    for later in 1..=FOREIGN {
        let mut foreign = second.clone();
        foreign.header.timestamp_ms += later;
        foreign.body.transactions.swap(0, 1);
        let [(_, answer)] = answers(&chain, [("a foreign body", &*foreign)]);
        assert!(
            matches!(answer, ValidateAnswer::Invalid(Invalid::TransactionsRoot { .. })),
            "{answer:?}"
        );
    }
    let order = answers(&chain, [("the block", &*second), ("a known block", &*first)]);
    assert_eq!(
        order.each_ref().map(|(name, _)| *name),
        ["a known block", "the block"]
    );
    assert_eq!(order[1].1, ValidateAnswer::Valid);
}
