//! Whatever consensus or this node does wrong: the engine stops by name, and reads go on.

use millrace_ledger::Ledger;
use millrace_pipeline::{
    BlockId, BuildAnswer, BuildRefused, EngineConfig, EngineStatus, OpenError, PluginFault, StateError,
    StopReason, Submission, SubmitError, Tag, ValidateAnswer,
};
use millrace_types::receipt::settlement_hash;
use millrace_types::{Block, ChainSpec, Commitment, Hash};

use crate::common::*;

/// A chain with a few executed blocks.
fn chain_of(spec: ChainSpec) -> Chain {
    let mut chain = Chain::in_memory(spec, EngineConfig::default());
    submit_rounds(&chain, 0, 8);
    chain.run_until_idle();
    chain.wait_until_executed(chain.head.height);
    chain
}

fn header(chain: &Chain) -> millrace_types::Header {
    chain.engine.header(&chain.head.hash).unwrap().unwrap()
}

/// Submits, and checks what every stop has in common.
fn stopped_by(mut chain: Chain, block: &Block) -> StopReason {
    let before = chain.engine.heights();
    assert_eq!(
        chain.engine.submit_finalized(block.clone(), certificate(block)),
        Submission::Accepted
    );
    let reason = chain.wait_until_stopped();
    assert_eq!(
        chain.engine.status(),
        EngineStatus::Stopped {
            reason: reason.clone()
        }
    );
    assert_eq!(
        chain.engine.submit_finalized(block.clone(), certificate(block)),
        Submission::Stopped
    );
    let refused = BuildAnswer::Refused(BuildRefused::Stopped(reason.clone()));
    assert_eq!(chain.build(chain.request()), refused);
    assert_eq!(chain.validate(block), ValidateAnswer::Stopped(reason.clone()));
    let submitted = chain.engine.submit_transaction(transfer(0, 1_000, address(1), 1));
    assert!(matches!(submitted, Err(SubmitError::Stopped(_))));
    assert_eq!(chain.engine.heights(), before, "nothing moves any more");
    assert!(
        chain.engine.state_at(BlockId::Tag(Tag::Executed)).is_ok(),
        "reads go on"
    );
    assert!(chain.engine.block(&before.executed.hash).unwrap().is_some());
    reason
}

#[test]
fn an_invalid_finalized_block_is_a_consensus_violation() {
    let chain = chain_of(spec());
    let mut block = empty_block(chain.engine.spec(), &header(&chain));
    block.header.gas_limit += 1;
    let (hash, height) = (block.hash(), block.header.height);
    let reason = stopped_by(chain, &block);
    assert_eq!(reason.name(), "ConsensusViolation");
    assert!(
        matches!(reason, StopReason::ConsensusViolation { block, height: h, .. } if block == hash && h == height)
    );
}

#[test]
fn an_unpayable_finalized_transaction_is_a_consensus_violation() {
    let chain = chain_of(spec());
    let mut block = empty_block(chain.engine.spec(), &header(&chain));
    block.body.transactions = vec![transfer(0, 8, address(1), BALANCE)];
    block.header.transactions_root = millrace_types::merkle::transactions_root(&block.body.transactions);
    let reason = stopped_by(chain, &block);
    assert_eq!(reason.name(), "ConsensusViolation");
    assert!(reason.to_string().contains("unpayable"), "{reason}");
}

/// A block that settles the head with another root than execution gave.
fn lying(chain: &Chain, commitment: Commitment) -> Block {
    let parent = header(chain);
    let mut block = empty_block(chain.engine.spec(), &parent);
    let mut receipts: Vec<_> = (parent.settled_height + 1..=parent.height)
        .map(|height| {
            let hash = chain.engine.ledger().finalized_hash(height).unwrap().unwrap();
            chain.engine.receipt(&hash).unwrap().unwrap()
        })
        .collect();
    receipts.last_mut().unwrap().post_state_root = Hash([9; 32]);
    block.header.settled_height = parent.height;
    block.header.settlement_hash = settlement_hash(&receipts);
    match commitment {
        Commitment::ExecutionReceipts => block.body.receipts = receipts,
        Commitment::DelayedRoot => block.header.delayed_state_root = Some(Hash([9; 32])),
    }
    block
}

#[test]
fn a_settled_receipt_that_differs_is_a_divergence_and_both_are_kept() {
    for commitment in [Commitment::ExecutionReceipts, Commitment::DelayedRoot] {
        let spec = ChainSpec { commitment, ..spec() };
        let ledger = Ledger::in_memory(&spec).unwrap();
        let mut chain = Chain::open(spec, ledger.clone(), EngineConfig::default());
        submit_rounds(&chain, 0, 8);
        chain.run_until_idle();
        chain.wait_until_executed(chain.head.height);
        let block = lying(&chain, commitment);
        assert!(
            matches!(chain.validate(&block), ValidateAnswer::Invalid(reason) if reason.contradicts_execution())
        );
        let (hash, head) = (block.hash(), chain.head);
        assert_eq!(
            chain.engine.submit_finalized(block.clone(), certificate(&block)),
            Submission::Accepted
        );
        assert_eq!(chain.wait_until_stopped().name(), "Divergence");
        chain.engine.stop();
        assert_eq!(ledger.block(&hash).unwrap(), Some(block), "the chain's result");
        assert!(ledger.receipt(&head.hash).unwrap().is_some(), "this node's own");
    }
}

#[test]
fn finalizing_two_blocks_at_one_height_is_a_plugin_fault() {
    let chain = chain_of(spec());
    let parent = chain.engine.header(&header(&chain).parent_hash).unwrap().unwrap();
    let block = empty_block(chain.engine.spec(), &parent);
    let (hash, head) = (block.hash(), chain.head);
    let reason = stopped_by(chain, &block);
    let fault = PluginFault::Conflicting {
        block: hash,
        height: head.height,
        finalized: head.hash,
    };
    assert_eq!(reason, StopReason::PluginFault(fault));
}

#[test]
fn finalizing_deep_below_the_fork_tree_is_judged_by_the_ledger() {
    let chain = chain_of(spec());
    let genesis = chain
        .engine
        .header(&chain.engine.genesis().hash)
        .unwrap()
        .unwrap();
    let first = chain.engine.ledger().finalized_hash(1).unwrap().unwrap();
    let known = chain.engine.block(&first).unwrap().unwrap();
    assert_eq!(
        chain.engine.submit_finalized(known, Vec::new()),
        Submission::Accepted,
        "redelivery"
    );
    let block = empty_block(chain.engine.spec(), &genesis);
    let hash = block.hash();
    let reason = stopped_by(chain, &block);
    let fault = PluginFault::Conflicting {
        block: hash,
        height: 1,
        finalized: first,
    };
    assert_eq!(reason, StopReason::PluginFault(fault));
}

#[test]
fn skipping_a_block_is_a_plugin_fault() {
    let chain = chain_of(spec());
    let next = empty_block(chain.engine.spec(), &header(&chain));
    let block = empty_block(chain.engine.spec(), &next.header);
    let (hash, last) = (block.hash(), chain.head.height);
    let reason = stopped_by(chain, &block);
    let fault = PluginFault::UnknownParent {
        block: hash,
        height: last + 2,
        last,
    };
    assert_eq!(reason, StopReason::PluginFault(fault));
}

#[test]
fn a_certificate_without_end_is_a_plugin_fault() {
    let mut chain = chain_of(spec());
    let block = empty_block(chain.engine.spec(), &header(&chain));
    let certificate = vec![0; millrace_types::certificate::MAX_CERTIFICATE_BYTES + 1];
    assert_eq!(
        chain.engine.submit_finalized(block, certificate),
        Submission::Accepted
    );
    let reason = chain.wait_until_stopped();
    assert!(
        matches!(
            reason,
            StopReason::PluginFault(PluginFault::CertificateTooLong { .. })
        ),
        "{reason}"
    );
}

#[test]
fn a_plugin_that_gives_up_stops_the_engine_in_its_own_words() {
    let mut chain = chain_of(spec());
    chain
        .engine
        .report_plugin_fault("solo panicked in deliver(credit)");
    let reason = chain.wait_until_stopped();
    assert_eq!(
        reason.to_string(),
        "PluginFault: solo panicked in deliver(credit)"
    );
    assert_eq!(chain.engine.heights().executed.height, chain.head.height);
}

#[test]
fn redelivery_changes_nothing_and_costs_no_credit() {
    let chain = chain_of(spec());
    let credits = chain.engine.credits();
    for height in 1..=chain.head.height {
        let hash = chain.engine.ledger().finalized_hash(height).unwrap().unwrap();
        let block = chain.engine.block(&hash).unwrap().unwrap();
        assert_eq!(
            chain.engine.submit_finalized(block.clone(), certificate(&block)),
            Submission::Accepted
        );
    }
    // Answered in turn, so everything before it has been taken in.
    assert_eq!(
        chain.build(chain.request()),
        BuildAnswer::NotNow(millrace_pipeline::NotNow::Idle)
    );
    assert_eq!(chain.engine.credits(), credits);
    assert_eq!(chain.engine.status(), EngineStatus::Running);
}

#[test]
fn a_ledger_whose_receipt_does_not_come_out_again_does_not_open() {
    let spec = spec();
    let ledger = Ledger::in_memory(&spec).unwrap();
    let mut chain = Chain::open(spec.clone(), ledger.clone(), EngineConfig::default());
    submit_rounds(&chain, 0, 1);
    let Turn::Block(block) = chain.turn() else {
        panic!()
    };
    chain.wait_until_executed(1);
    let receipt = chain.engine.receipt(&block.hash()).unwrap().unwrap();
    drop(chain);
    // The same chain, but this ledger was written by a machine that computes differently.
    let other = Ledger::in_memory(&spec).unwrap();
    let genesis = ledger.block(&block.header.parent_hash).unwrap().unwrap();
    let wrong = millrace_types::ExecutionReceipt {
        gas_used: receipt.gas_used + 1,
        ..receipt
    };
    let mut batch = millrace_ledger::Batch::new();
    batch.finalized(0, genesis.hash()).block(genesis);
    batch
        .finalized(1, block.hash())
        .execution(wrong, Vec::new())
        .block(*block);
    other.commit(&batch).unwrap();
    let error = millrace_pipeline::Engine::open(spec, other, EngineConfig::default()).unwrap_err();
    assert!(
        matches!(error, OpenError::Divergence { height: 1, .. }),
        "{error}"
    );
}

#[test]
fn state_beyond_execution_is_a_typed_answer() {
    let chain = chain_of(spec());
    let executed = chain.head.height;
    let asked = |id| chain.engine.state_at(id).err().map(|error| error.to_string());
    for id in [BlockId::Height(executed + 1), BlockId::Tag(Tag::Pending)] {
        let expected = StateError::NotExecuted {
            asked: executed + 1,
            executed,
        };
        assert_eq!(asked(id), Some(expected.to_string()));
    }
    assert_eq!(
        asked(BlockId::Hash(Hash([1; 32]))),
        Some(StateError::Unknown.to_string())
    );
    assert_eq!(asked(BlockId::Tag(Tag::Safe)), None);
    assert_eq!(asked(BlockId::Height(0)), None);
}

#[test]
fn after_stopping_requests_are_answered_and_reads_go_on() {
    let mut chain = chain_of(spec());
    chain.engine.stop();
    assert_eq!(chain.wait_until_stopped(), StopReason::Shutdown);
    assert_eq!(chain.build(chain.request()), BuildAnswer::Aborted);
    let block = empty_block(chain.engine.spec(), &header(&chain));
    assert_eq!(chain.validate(&block), ValidateAnswer::Aborted);
    assert_eq!(
        chain.engine.submit_finalized(block.clone(), certificate(&block)),
        Submission::Stopped
    );
    assert!(chain.engine.state_at(BlockId::Tag(Tag::Executed)).is_ok());
    chain.engine.stop();
}
