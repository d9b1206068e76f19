//! Tasks that give way, and what becomes of their results.

use millrace_types::block::HEADER_VERSION;
use millrace_types::receipt::settlement_hash;
use millrace_types::{Block, Body, ExecutionReceipt, Header, Height, merkle};

use super::*;
use crate::admission::Summary;
use crate::api::{BlockRef, HeadCause};
use crate::core::relief::receipt;
use crate::core::{Executed, Start};
use crate::task::Outcome;
use crate::{EngineConfig, recovery, testing};

fn core(max_speculative_blocks: usize) -> (Core, Block) {
    let spec = Arc::new(testing::spec());
    let (genesis, _) = recovery::genesis(&spec).expect("a genesis state");
    let receipt = ExecutionReceipt::of_genesis(&genesis.header).expect("genesis has one");
    let root = Node::of_finalized(
        genesis.hash(),
        Arc::new(genesis.clone()),
        Summary::default(),
        Some(receipt),
        0,
    );
    let config = EngineConfig {
        max_speculative_blocks,
        ..EngineConfig::default()
    };
    (Core::new(spec, config, 8, Start { chain: vec![root] }), genesis)
}

/// A valid block of the tree; `n` tells siblings apart.
fn child(core: &mut Core, parent: &Header, n: u8) -> Arc<Block> {
    let header = Header {
        version: HEADER_VERSION,
        chain_id: parent.chain_id,
        height: parent.height + 1,
        parent_hash: parent.hash(),
        timestamp_ms: parent.timestamp_ms + 1,
        proposer: testing::address(n),
        transactions_root: merkle::transactions_root(&[]),
        gas_limit: parent.gas_limit,
        settled_height: 0,
        settlement_hash: settlement_hash(&[]),
        delayed_state_root: None,
        consensus_data: Vec::new(),
        seal: Vec::new(),
    };
    let block = Arc::new(Block {
        header,
        body: Body::default(),
    });
    come_in(core, &block);
    block
}

fn come_in(core: &mut Core, block: &Arc<Block>) {
    let standing = Standing::Valid(Arc::new(Summary::default()));
    core.tree.insert(block.hash(), Arc::clone(block), standing);
}

/// Publishes a task, and answers the work that it shares.
fn publish(core: &mut Core, block: &Block, purpose: Purpose) -> Arc<Work> {
    core.publish(&block.hash(), purpose, 0, &mut Vec::new());
    Arc::clone(&core.in_flight.back().expect("it was just put in").work)
}

fn execute(work: &Work) {
    let outcome = Outcome {
        receipts: Vec::new().into(),
        gas_used: 0,
        gas_charged: 0,
    };
    work.outcome.set(outcome).expect("executed once");
}

/// The oldest task leaves the ring, with a receipt or without. Answers which states are dropped.
fn leave(core: &mut Core, with_receipt: bool) -> Vec<Hash> {
    let mut effects = Vec::new();
    let BlockRef { height, hash } = core.in_flight.front().expect("a task is in the ring").block;
    let executed = with_receipt.then(|| Executed {
        receipt: receipt(height, hash),
        transactions: 0,
    });
    let left = Left { hash, executed };
    let task = core.take_left(&left);
    match left.executed {
        Some(executed) => core.note_execution(&task, executed, 0, &mut effects),
        None => core.keep_or_discard(&task, &mut effects),
    }
    dropped(&effects)
}

fn dropped(effects: &[Effect]) -> Vec<Hash> {
    let discards = effects.iter().filter_map(|effect| match effect {
        Effect::Discard(hash) => Some(*hash),
        _ => None,
    });
    discards.collect()
}

/// A block with a receipt has a state: also when the receipt comes from a task that was abandoned too late, behind the
/// block's own speculation, while other speculation wants the room.
#[test]
fn what_an_abandoned_task_may_still_make_durable_is_not_forgotten() {
    let (mut core, genesis) = core(1);
    let block = child(&mut core, &genesis.header, 1);
    let other = child(&mut core, &genesis.header, 2);
    let work = publish(&mut core, &block, Purpose::Speculation);
    execute(&work);
    publish(&mut core, &block, Purpose::Head);
    core.abandon(|_| true, &mut Vec::new());
    assert_eq!(leave(&mut core, false), [], "the speculation's task");
    let mut effects = Vec::new();
    core.propose(other.hash());
    core.speculate(0, &mut effects);
    assert_eq!(dropped(&effects), []);
    assert_eq!(leave(&mut core, true), [], "the task that counted");
    let node = core.tree.get(&block.hash()).expect("in the tree");
    assert!(node.receipt.is_some());
}

/// Nor is the state that such a block is executed on.
#[test]
fn parents_of_what_may_still_become_durable_are_not_forgotten() {
    let (mut core, genesis) = core(1);
    let parent = child(&mut core, &genesis.header, 1);
    let block = child(&mut core, &parent.header, 1);
    let other = child(&mut core, &genesis.header, 2);
    execute(&publish(&mut core, &parent, Purpose::Speculation));
    assert_eq!(leave(&mut core, false), []);
    publish(&mut core, &block, Purpose::Head);
    core.abandon(|_| true, &mut Vec::new());
    let mut effects = Vec::new();
    assert!(!core.forget_oldest(&other.hash(), &mut effects));
    assert_eq!(dropped(&effects), []);
    assert_eq!(leave(&mut core, false), [block.hash()]);
    assert!(core.forget_oldest(&other.hash(), &mut effects));
    assert_eq!(dropped(&effects), [parent.hash()]);
}

/// The last task of a block decides whether its result is kept: an earlier one would drop it under the others.
#[test]
fn a_result_is_kept_or_dropped_by_the_last_task_of_its_block() {
    let (mut core, genesis) = core(4);
    let block = child(&mut core, &genesis.header, 1);
    execute(&publish(&mut core, &block, Purpose::Speculation));
    core.forget(&block.hash(), &mut Vec::new());
    let again = publish(&mut core, &block, Purpose::Speculation);
    core.abandon(|_| true, &mut Vec::new());
    execute(&again);
    assert_eq!(
        leave(&mut core, false),
        [],
        "it was forgotten, but the next one made it again"
    );
    assert_eq!(leave(&mut core, false), []);
    assert_eq!(core.kept, [block.hash()]);
}

/// What was executed of a block is dropped when it leaves the tree: where it comes back before a late task's receipt, the
/// receipt does not stand for a state.
#[test]
fn a_receipt_that_comes_after_its_block_came_back_does_not_stand_for_a_state() {
    let (mut core, genesis) = core(4);
    let block = child(&mut core, &genesis.header, 1);
    execute(&publish(&mut core, &block, Purpose::Head));
    let removed = core.tree.evict(&[]).expect("the block");
    let mut effects = Vec::new();
    core.forget_removed(&[removed], &mut effects);
    assert_eq!(dropped(&effects), [block.hash()]);
    come_in(&mut core, &block);
    assert_eq!(leave(&mut core, true), [block.hash()], "nothing is left behind");
    let node = core.tree.get(&block.hash()).expect("in the tree");
    assert!(!node.has_state());
    // Executed again, it has one.
    execute(&publish(&mut core, &block, Purpose::Head));
    assert_eq!(leave(&mut core, true), []);
    let node = core.tree.get(&block.hash()).expect("in the tree");
    assert!(node.receipt.is_some());
}

/// A block that has become final may still have its task for the head in the ring, before the task that makes it final:
/// blocks between the two are executed on its state.
#[test]
fn tasks_on_the_way_to_the_new_head_are_not_abandoned_where_they_are_final_by_now() {
    let (mut core, genesis) = core(4);
    let (a, other) = (
        child(&mut core, &genesis.header, 1),
        child(&mut core, &genesis.header, 2),
    );
    let b = child(&mut core, &a.header, 1);
    let (c, d) = (child(&mut core, &b.header, 1), child(&mut core, &b.header, 2));
    for block in [&other, &a, &b, &c] {
        publish(&mut core, block, Purpose::Head);
    }
    core.head = c.hash();
    core.tree.finalize(&a.hash());
    publish(&mut core, &a, Purpose::Final);
    let mut effects = Vec::new();
    core.move_head(d.hash(), HeadCause::ForkChoice, &mut effects);
    let abandoned = core.in_flight.iter().filter(|task| task.is_abandoned);
    let abandoned: Vec<Hash> = abandoned.map(|task| task.block.hash).collect();
    assert_eq!(abandoned, [other.hash(), c.hash()]);
}

/// The ring marks tasks one at a time, and workers go on meanwhile: a parent that is passed by before its child is
/// marked would leave a child with a receipt on a parent without one, whose state is dropped in the end.
#[test]
fn children_are_abandoned_before_their_parents() {
    let (mut core, _) = core(4);
    core.left = 10;
    for height in 1..=4 {
        core.in_flight.push_back(InFlight {
            block: BlockRef {
                height,
                hash: Hash([u8::try_from(height).expect("small"); 32]),
            },
            purpose: Purpose::Head,
            since_ms: 0,
            work: Arc::default(),
            is_abandoned: false,
        });
    }
    let abandoned = |core: &mut Core, lowest: Height| {
        let mut effects = Vec::new();
        core.abandon(|task| task.block.height >= lowest, &mut effects);
        let sequences = effects.iter().map(|effect| match effect {
            Effect::Abandon(sequence) => *sequence,
            other => panic!("{other:?}"),
        });
        sequences.collect::<Vec<_>>()
    };
    assert_eq!(abandoned(&mut core, 2), [13, 12, 11]);
    assert_eq!(abandoned(&mut core, 1), [10], "each once");
}
