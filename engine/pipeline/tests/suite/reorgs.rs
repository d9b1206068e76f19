//! Fork choice: heads that move between executed branches, what comes back, what is told, what is refused.

use millrace_mempool::PoolConfig;
use millrace_pipeline::{
    BlockId, BlockRef, BuildAnswer, BuildRequest, EngineConfig, EngineStatus, Event, HeadCause, HeadRefused,
    PluginFault, Reply, SetHeadAnswer, StopReason, Submission, Tag, TransactionStatus, ValidateAnswer,
};
use millrace_types::{Hash, Height};

use crate::common::*;
use crate::model::{Draft, Model};

/// A model, and a chain that knows nothing yet.
fn both(config: EngineConfig) -> (Model, Chain) {
    let model = Model::new(&spec());
    let chain = Chain::in_memory(spec(), config);
    assert_eq!(chain.engine.genesis().hash, model.genesis);
    (model, chain)
}

fn import(chain: &Chain, model: &Model, branch: &[Hash]) {
    for hash in branch {
        chain.import(model.block(hash));
    }
}

/// The chain shows what the model computed of these blocks.
fn assert_executed(chain: &Chain, model: &Model, branch: &[Hash]) {
    for hash in branch {
        let known = model.get(hash);
        assert_eq!(chain.engine.receipt(hash).unwrap().as_ref(), Some(&known.receipt));
        let receipts = chain.engine.transaction_receipts(hash).unwrap();
        assert_eq!(receipts.as_ref(), Some(&known.receipts));
        let state = chain.engine.state_at(BlockId::Hash(*hash)).unwrap();
        assert_eq!(state.root, known.receipt.post_state_root);
    }
}

fn heights_of(blocks: &[BlockRef]) -> Vec<Height> {
    blocks.iter().map(|block| block.height).collect()
}

#[test]
fn a_reorg_of_executed_blocks_comes_to_the_other_branch_whatever_its_depth() {
    for depth in 1..=20 {
        let (mut model, mut chain) = both(EngineConfig::default());
        let genesis = model.genesis;
        let trunk = model.branch(&genesis, 3, 0);
        let fork = *trunk.last().unwrap();
        let (a, b) = (model.branch(&fork, depth, 1), model.branch(&fork, depth, 2));
        let (tip_a, tip_b) = (*a.last().unwrap(), *b.last().unwrap());
        for branch in [&trunk, &a, &b] {
            import(&chain, &model, branch);
        }
        // Most of a branch settles what is not executed: its verdict is found by executing it.
        chain.move_to(tip_a);
        assert_eq!(chain.engine.heights().head, model.reference(&tip_a));
        chain.wait_until_executed_to(tip_a);
        assert_executed(&chain, &model, &a);
        chain.move_to(tip_b);
        let heights = chain.engine.heights();
        assert_eq!(heights.head, model.reference(&tip_b));
        assert!(heights.executed.height >= 3, "{heights:?}");
        chain.wait_until_executed_to(tip_b);
        assert_executed(&chain, &model, &b);
        assert_executed(&chain, &model, &a);
        assert_eq!(chain.engine.counters().executions, 3 + 2 * depth);
        let canonical = |hash: &Hash| chain.engine.is_canonical(&model.reference(hash)).unwrap();
        assert!(!a.iter().any(canonical) && b.iter().all(canonical) && trunk.iter().all(canonical));
        for height in 4..=3 + depth {
            let at = chain.engine.resolve(BlockId::Height(height)).unwrap().unwrap();
            assert_eq!(at.hash, model.ancestor(&tip_b, height));
        }
        // And back: everything is there.
        chain.settle_requests();
        chain.moves();
        let told = chain.seen.len();
        chain.move_to(tip_a);
        assert_eq!(chain.engine.heights().executed, model.reference(&tip_a));
        let moved = chain.moves().pop().unwrap();
        assert_eq!(
            (moved.head, moved.cause),
            (model.reference(&tip_a), HeadCause::ForkChoice)
        );
        let removed: Vec<BlockRef> = b.iter().rev().map(|hash| model.reference(hash)).collect();
        let added: Vec<BlockRef> = a.iter().map(|hash| model.reference(hash)).collect();
        assert_eq!((&moved.removed, &moved.added), (&removed, &added));
        let again = chain.seen[told..].iter().filter_map(|event| match event {
            Event::Executed { receipt, .. } => Some(receipt.block_hash),
            _ => None,
        });
        let again: Vec<Hash> = again.filter(|hash| a.contains(hash)).collect();
        assert_eq!(again, a, "those that are executed again are told again");
        assert_eq!(
            chain.engine.counters().executions,
            3 + 2 * depth,
            "and not executed again"
        );
        assert_eq!(chain.engine.counters().reorgs, 2);
        assert_eq!(chain.engine.heights().safe, 0);
    }
}

#[test]
fn a_head_may_go_back_to_an_ancestor() {
    let (mut model, mut chain) = both(EngineConfig::default());
    let genesis = model.genesis;
    let branch = model.branch(&genesis, 6, 0);
    import(&chain, &model, &branch);
    chain.move_to(branch[5]);
    chain.wait_until_executed_to(branch[5]);
    chain.move_to(branch[2]);
    let heights = chain.engine.heights();
    assert_eq!((heights.head.hash, heights.executed.hash), (branch[2], branch[2]));
    let moved = chain.moves().pop().unwrap();
    assert_eq!(
        (heights_of(&moved.removed), moved.added),
        (vec![6, 5, 4], Vec::new())
    );
    chain.move_to(branch[5]);
    assert_eq!(chain.engine.heights().executed.hash, branch[5]);
    assert_eq!(chain.engine.counters().executions, 6);
}

#[test]
fn transactions_of_a_lost_block_come_back_unless_the_new_branch_has_them() {
    let (mut model, mut chain) = both(EngineConfig::default());
    let genesis = model.genesis;
    let sent: Vec<_> = (0..6).map(|from| transfer(from, 0, address(9), 5)).collect();
    for transaction in &sent {
        chain.engine.submit_transaction(transaction.clone()).unwrap();
    }
    let draft = |name| Draft {
        name,
        ..Draft::default()
    };
    let a = model.add_with(&genesis, sent.clone(), &draft(1));
    // The other branch has two of them, and another one in place of a third.
    let mut others = sent[..2].to_vec();
    let rival = transfer(2, 0, address(11), 6);
    others.push(rival.clone());
    let b = model.add_with(&genesis, others, &draft(2));
    import(&chain, &model, &[a, b]);
    let engine = chain.engine.clone();
    let status = |n: usize| engine.transaction_status(&sent[n].hash()).unwrap();
    chain.move_to(a);
    // That it was executed is word of work too: it must not come behind the build.
    chain.wait_for(|event| matches!(event, Event::Executed { receipt, .. } if receipt.block_hash == a));
    assert_eq!(chain.engine.pool().transactions, 0);
    assert_eq!(chain.engine.pending_nonce(&address(5)), 1);
    let on_b = BuildRequest {
        parent: b,
        ..chain.request()
    };
    assert!(matches!(chain.build(on_b), BuildAnswer::NotNow(_)));
    chain.move_to(b);
    // A build that found nothing to include is told.
    chain.wait_for(|event| matches!(event, Event::HeadMoved(moved) if moved.head.hash == b));
    chain.wait_for(|event| *event == Event::Work);
    assert_eq!(chain.engine.pool().transactions, 3, "of the senders 3, 4 and 5");
    for (n, _) in sent.iter().enumerate().skip(3) {
        assert_eq!(status(n), TransactionStatus::Pooled);
    }
    assert_eq!(chain.engine.pending_nonce(&address(2)), 1);
    let request = BuildRequest {
        parent: b,
        ..chain.request()
    };
    let BuildAnswer::Built(block) = chain.build(request) else {
        panic!()
    };
    assert_eq!(block.body.transactions, sent[3..].to_vec());
    // What lost its nonce is nowhere but in the lost block.
    let is_lost = |status| {
        matches!(
            status,
            TransactionStatus::Executed { canonical: false, .. }
                | TransactionStatus::Included { canonical: false, .. }
                | TransactionStatus::Unknown
        )
    };
    assert!(is_lost(status(2)), "{:?}", status(2));
    chain.move_to(a);
    assert_eq!(chain.engine.pool().transactions, 0);
}

/// What was in a block came before what filled the pool meanwhile: load must not cost transactions that were included.
#[test]
fn transactions_of_a_lost_block_come_back_to_a_full_pool_too() {
    let pool = PoolConfig {
        max_transactions: 4,
        ..PoolConfig::default()
    };
    let (mut model, chain) = both(EngineConfig {
        pool,
        ..EngineConfig::default()
    });
    let genesis = model.genesis;
    let sent: Vec<_> = (0..4).map(|from| transfer(from, 0, address(9), 5)).collect();
    let later: Vec<_> = (4..8).map(|from| transfer(from, 0, address(9), 5)).collect();
    let draft = |name| Draft {
        name,
        ..Draft::default()
    };
    let a = model.add_with(&genesis, sent.clone(), &draft(1));
    let b = model.add_with(&genesis, Vec::new(), &draft(2));
    import(&chain, &model, &[a, b]);
    for transaction in &sent {
        chain.engine.submit_transaction(transaction.clone()).unwrap();
    }
    chain.move_to(a);
    for transaction in &later {
        chain.engine.submit_transaction(transaction.clone()).unwrap();
    }
    chain.move_to(b);
    chain.settle_requests();
    for transaction in &sent {
        let status = chain.engine.transaction_status(&transaction.hash()).unwrap();
        assert_eq!(status, TransactionStatus::Pooled);
    }
    assert_eq!(chain.engine.pool().transactions, 4, "its bounds hold");
}

#[test]
fn receipts_of_a_lost_branch_stay_and_are_not_canonical() {
    let (mut model, mut chain) = both(EngineConfig::default());
    let genesis = model.genesis;
    let (a, b) = (model.branch(&genesis, 4, 1), model.branch(&genesis, 5, 2));
    import(&chain, &model, &a);
    import(&chain, &model, &b);
    chain.move_to(a[3]);
    chain.wait_until_executed_to(a[3]);
    let lost = model.block(&a[0]).body.transactions[0].hash();
    let of = |chain: &Chain| match chain.engine.transaction_status(&lost).unwrap() {
        TransactionStatus::Executed {
            canonical,
            settled_by,
            ..
        } => (canonical, settled_by),
        other => panic!("{other:?}"),
    };
    assert_eq!(of(&chain), (true, None));
    chain.finalize_known(model.reference(&b[4]));
    chain.wait_until_executed_to(b[4]);
    chain.wait_until_finalized(5);
    assert_eq!(of(&chain), (false, None));
    for hash in &a {
        assert_eq!(
            chain.engine.receipt(hash).unwrap().as_ref(),
            Some(&model.get(hash).receipt)
        );
    }
    assert_executed(&chain, &model, &b);
}

#[test]
fn finality_takes_the_head_with_it_and_frees_what_lost() {
    let (mut model, mut chain) = both(EngineConfig::default());
    let genesis = model.genesis;
    let (a, b) = (model.branch(&genesis, 8, 1), model.branch(&genesis, 3, 2));
    import(&chain, &model, &a);
    import(&chain, &model, &b);
    chain.move_to(a[7]);
    chain.wait_until_executed_to(a[7]);
    assert_eq!(chain.engine.states().versions, 9);
    let credits = chain.engine.credits();
    chain.finalize_known(model.reference(&b[2]));
    chain.wait_until_finalized(3);
    chain.wait_until_executed_to(b[2]);
    let heights = chain.engine.heights();
    assert_eq!(
        (heights.head.hash, heights.finalized.hash, heights.safe),
        (b[2], b[2], 3)
    );
    let moves = chain.moves();
    let moved = moves.iter().find(|moved| !moved.removed.is_empty()).unwrap();
    assert_eq!(moved.cause, HeadCause::Finality);
    assert_eq!(heights_of(&moved.removed), (1..=8).rev().collect::<Vec<_>>());
    let finalized: Vec<Hash> = chain
        .seen
        .iter()
        .filter_map(|event| match event {
            Event::Finalized { block, .. } => Some(block.hash),
            _ => None,
        })
        .collect();
    assert_eq!(finalized, b, "each is acknowledged by itself");
    // The certificate is the last one's; it vouches for its ancestors.
    let certificate = |hash: &Hash| chain.engine.certificate(hash).unwrap();
    assert_eq!(certificate(&b[2]), Some(b[2].0.to_vec()));
    assert_eq!(certificate(&b[1]), None);
    chain.settle_requests();
    assert_eq!(chain.engine.credits(), credits, "every credit came back");
    assert_eq!(
        chain.engine.states().versions,
        4,
        "overlays of the lost branch are dropped"
    );
    chain.finalize_known(model.reference(&b[2]));
    chain.finalize_known(model.reference(&b[0]));
    chain.settle_requests();
    assert_eq!(
        chain.engine.credits(),
        credits,
        "finalizing again changes nothing"
    );
    assert_eq!(chain.engine.status(), EngineStatus::Running);
}

#[test]
fn a_head_is_refused_by_name_and_the_old_one_stays() {
    let (mut model, mut chain) = both(EngineConfig::default());
    let genesis = model.genesis;
    let (a, b) = (model.branch(&genesis, 5, 1), model.branch(&genesis, 2, 2));
    import(&chain, &model, &a);
    import(&chain, &model, &b);
    chain.move_to(a[4]);
    chain.wait_until_executed_to(a[4]);
    chain.finalize_known(model.reference(&a[2]));
    chain.wait_until_finalized(3);
    let finalized = model.reference(&a[2]);
    let refused = |block| match chain.set_head(block) {
        SetHeadAnswer::Refused(reason) => reason,
        other => panic!("{other:?}"),
    };
    let (block, height) = (a[1], 2);
    let below = HeadRefused::BelowFinality {
        block,
        height,
        finalized,
    };
    assert_eq!(refused(a[1]), below);
    assert!(
        below.to_string().contains("never goes back behind finality"),
        "{below}"
    );
    let block = Hash([9; 32]);
    assert_eq!(refused(block), HeadRefused::Unknown { block });
    // A block of a branch that lost: unknown here unless its body was stored, and refused when it comes again.
    chain.import(model.block(&b[0]));
    let block = b[0];
    assert_eq!(refused(block), HeadRefused::Conflicting { block, finalized });
    // Invalid: a receipt that execution does not give, and whatever follows it.
    let mut bad = model.block(&a[4]).clone();
    bad.header.settled_height = 9;
    let child = empty_block(&spec(), &bad.header);
    for block in [&bad, &child] {
        chain.import(block);
        let answer = chain.set_head(block.hash());
        let at_fault = bad.hash();
        assert!(
            matches!(answer, SetHeadAnswer::Invalid { block, .. } if block == at_fault),
            "{answer:?}"
        );
    }
    let mut early = empty_block(&spec(), &model.block(&a[4]).header);
    early.header.timestamp_ms = u64::MAX / 2;
    chain.import(&early);
    assert!(matches!(refused(early.hash()), HeadRefused::Early { .. }));
    assert_eq!(chain.engine.heights().head.hash, a[4]);
    assert_eq!(
        chain.engine.status(),
        EngineStatus::Running,
        "a head that is refused stops nobody"
    );
    chain.move_to(a[2]);
}

#[test]
fn a_head_chain_grows_at_the_expense_of_side_branches_and_longer_than_the_cap_is_a_plugin_fault() {
    let config = EngineConfig {
        max_unfinalized_blocks: 6,
        ..EngineConfig::default()
    };
    let (mut model, mut chain) = both(config);
    let genesis = model.genesis;
    let (head, side) = (model.branch(&genesis, 7, 1), model.branch(&genesis, 3, 2));
    import(&chain, &model, &head[..3]);
    chain.move_to(head[2]);
    chain.wait_until_executed_to(head[2]);
    import(&chain, &model, &side);
    chain.move_to(side[2]);
    chain.wait_until_executed_to(side[2]);
    chain.move_to(head[2]);
    let versions = chain.engine.states().versions;
    // The tree is full: the head chain grows at the side branch's expense.
    import(&chain, &model, &head[3..6]);
    chain.move_to(head[5]);
    chain.wait_until_executed_to(head[5]);
    assert_eq!(
        chain.engine.states().versions,
        versions,
        "evicted blocks leave no state behind"
    );
    let block = side[2];
    assert_eq!(
        chain.set_head(block),
        SetHeadAnswer::Refused(HeadRefused::Unknown { block })
    );
    // Importing one more is no fault: a peer may have made it. Finality makes room.
    chain.import(model.block(&head[6]));
    chain.settle_requests();
    assert_eq!(chain.engine.status(), EngineStatus::Running);
    chain.finalize_known(model.reference(&head[1]));
    chain.wait_until_finalized(2);
    chain.import(model.block(&head[6]));
    chain.move_to(head[6]);
    // With nothing more finalized, the next but one is too many: to import, and to ask for it as head.
    let more = model.branch(&head[6], 2, 1);
    import(&chain, &model, &more);
    chain.move_to(more[0]);
    let fault = StopReason::PluginFault(PluginFault::HeadTooLong {
        block: more[1],
        height: 9,
        finalized: 2,
        limit: 6,
    });
    assert_eq!(chain.set_head(more[1]), SetHeadAnswer::Stopped(fault.clone()));
    assert_eq!(chain.wait_until_stopped(), fault);
    assert_eq!(
        chain.engine.heights().head,
        model.reference(&more[0]),
        "the head stays"
    );
    assert!(
        chain.engine.state_at(BlockId::Hash(head[2])).is_ok(),
        "reads go on"
    );
}

/// What there is no room for beside the head chain is refused, and comes to nothing else.
#[test]
fn a_side_branch_without_room_is_refused_and_the_engine_goes_on() {
    let config = EngineConfig {
        max_unfinalized_blocks: 6,
        ..EngineConfig::default()
    };
    let (mut model, mut chain) = both(config);
    let genesis = model.genesis;
    let (head, side) = (model.branch(&genesis, 4, 1), model.branch(&genesis, 3, 2));
    import(&chain, &model, &head);
    chain.move_to(head[3]);
    chain.wait_until_executed_to(head[3]);
    import(&chain, &model, &side);
    let reason = HeadRefused::TooLong {
        block: side[2],
        height: 3,
        finalized: 0,
        limit: 6,
    };
    assert_eq!(chain.set_head(side[2]), SetHeadAnswer::Refused(reason));
    assert_eq!(chain.engine.status(), EngineStatus::Running);
    assert_eq!(chain.engine.heights().head, model.reference(&head[3]));
}

#[test]
fn a_head_whose_verdict_waits_is_superseded_by_the_next() {
    let config = EngineConfig {
        slow_execution_ms: 50,
        ..EngineConfig::default()
    };
    let (mut model, chain) = both(config);
    let genesis = model.genesis;
    let (a, b) = (model.branch(&genesis, 9, 1), model.branch(&genesis, 1, 2));
    import(&chain, &model, &a);
    import(&chain, &model, &b);
    let (reply, answer) = Reply::channel();
    chain.engine.set_head(a[8], reply);
    chain.move_to(b[0]);
    assert_eq!(answer.recv_timeout(PATIENCE), Ok(SetHeadAnswer::Superseded));
    let (reply, answer) = Reply::channel();
    chain.engine.set_head(a[8], reply);
    chain.settle_requests();
    chain.engine.stop();
    assert_eq!(
        answer.recv_timeout(PATIENCE),
        Ok(SetHeadAnswer::Stopped(StopReason::Shutdown))
    );
}

#[test]
fn a_wanted_head_that_loses_against_finality_is_refused() {
    let config = EngineConfig {
        slow_execution_ms: 50,
        ..EngineConfig::default()
    };
    let (mut model, mut chain) = both(config);
    let genesis = model.genesis;
    let (a, b) = (model.branch(&genesis, 9, 1), model.branch(&genesis, 1, 2));
    import(&chain, &model, &a);
    import(&chain, &model, &b);
    let (reply, answer) = Reply::channel();
    chain.engine.set_head(a[8], reply);
    chain.finalize_known(model.reference(&b[0]));
    let (block, finalized) = (a[8], model.reference(&b[0]));
    let refused = SetHeadAnswer::Refused(HeadRefused::Conflicting { block, finalized });
    assert_eq!(answer.recv_timeout(PATIENCE), Ok(refused));
    chain.wait_until_executed_to(b[0]);
    // What was in execution of the lost branch comes out, and leaves nothing.
    chain.engine.stop();
    assert_eq!(chain.engine.states().versions, 2);
}

/// The ledger hears of finality a moment later, which is no moment to look there what is final.
#[test]
fn finalizing_a_branch_that_has_just_lost_is_a_plugin_fault() {
    let (mut model, mut chain) = both(EngineConfig::default());
    let genesis = model.genesis;
    let (a, b) = (model.branch(&genesis, 1, 1)[0], model.branch(&genesis, 1, 2)[0]);
    import(&chain, &model, &[a, b]);
    // The ledger knows it from now on, though not as final.
    chain.move_to(b);
    chain.wait_until_executed_to(b);
    for hash in [a, b] {
        assert_eq!(chain.engine.finalize(hash, hash.0.to_vec()), Submission::Accepted);
    }
    let conflicting = PluginFault::Conflicting {
        block: b,
        height: 1,
        finalized: a,
    };
    assert_eq!(chain.wait_until_stopped(), StopReason::PluginFault(conflicting));
}

#[test]
fn finalizing_what_is_not_here_is_a_plugin_fault() {
    let (_, mut chain) = both(EngineConfig::default());
    let block = Hash([9; 32]);
    chain.finalize_known(BlockRef {
        height: 1,
        hash: block,
    });
    let fault = PluginFault::UnknownBlock { block };
    assert_eq!(chain.wait_until_stopped(), StopReason::PluginFault(fault));
}

#[test]
fn a_chain_without_pipelining_may_choose_its_head_too() {
    let config = EngineConfig {
        pipelining: false,
        ..EngineConfig::default()
    };
    let (mut model, mut chain) = both(config);
    let genesis = model.genesis;
    let (a, b) = (model.branch(&genesis, 6, 1), model.branch(&genesis, 7, 2));
    import(&chain, &model, &a);
    import(&chain, &model, &b);
    chain.move_to(a[5]);
    chain.move_to(b[6]);
    chain.wait_until_executed_to(b[6]);
    assert_executed(&chain, &model, &b);
    chain.finalize_known(model.reference(&b[6]));
    chain.wait_until_finalized(7);
    assert_eq!(chain.engine.heights().safe, 7);
    assert_eq!(chain.engine.counters().speculations, 0);
}

#[test]
fn proposals_are_built_on_the_head_and_carry_receipts_that_are_not_final() {
    let mut chain = Chain::in_memory(spec(), EngineConfig::default());
    submit_rounds(&chain, 0, 12);
    for height in 1..=6 {
        let request = BuildRequest {
            max_gas: Some(32 * TRANSFER_GAS),
            ..chain.request()
        };
        let BuildAnswer::Built(block) = chain.build(request) else {
            panic!()
        };
        assert_eq!(chain.validate(&block), ValidateAnswer::Valid);
        chain.import(&block);
        chain.move_to(block.hash());
        chain.head = BlockRef::of(&block);
        chain.wait_until_executed(height);
        assert_eq!(block.header.settled_height, height - 1);
    }
    let heights = chain.engine.heights();
    assert_eq!(
        (heights.finalized.height, heights.executed.height, heights.safe),
        (0, 6, 0)
    );
    assert_eq!(
        chain.engine.resolve(BlockId::Tag(Tag::Executed)).unwrap(),
        Some(chain.head)
    );
    let head = chain.head;
    chain.finalize_known(head);
    chain.wait_until_finalized(6);
    assert_eq!(chain.engine.heights().settled, 5);
    assert_eq!(chain.engine.counters().executions, 6);
}
