//! Programs of a block that waits, with one worker that has the time: the test itself, while it holds the claim of the
//! block before.

use std::collections::BTreeMap;

use millrace_executor::{BlockContext, Warmed, Warming, on_large_stack};
use millrace_types::state::{Account, account_path, code_hash, code_path};
use millrace_types::{Outcome, Payload};

use super::*;
use crate::execution::Reader;

static COUNTER: &[u8] = include_bytes!("../../../../../contracts/artifacts/counter.elf");
const CONTRACT: Address = Address([0xcc; 32]);

#[path = "../../../tests/common/warmed.rs"]
mod warmed;

use warmed::Warmed as Counted;

impl Pool {
    /// A final block that is in the state and not in the ring, with a contract that this executor has never seen.
    fn install(&mut self) {
        let before = self.parent.hash();
        let block = self.next(Vec::new());
        let hash = code_hash(COUNTER);
        let account = Account {
            code_hash: Some(hash),
            ..Account::default()
        };
        let record = borsh::to_vec(&account).expect("a record encodes");
        let changes = BTreeMap::from([
            (account_path(&CONTRACT), Some(Arc::from(record))),
            (code_path(&hash), Some(Arc::from(COUNTER))),
        ]);
        let (store, id) = (&self.workshop.store, version(&block.hash()));
        let inserted = store.insert(version(&before), id, block.header.height, changes.into());
        inserted.expect("the parent is there");
        store.commit(id).expect("a root");
        store.persist(id).expect("a disk in memory");
        store.set_finalized(id).expect("on the chain");
    }

    fn call() -> SignedTransaction {
        let payload = Payload::Call {
            to: CONTRACT,
            value: 0,
            input: vec![0x01],
        };
        testing::sign(0, 0, 5_000_000, 1, payload)
    }

    /// The execution of the next task, held.
    fn hold(&self) -> Claim<BlockTask> {
        let ring = &self.workshop.ring;
        ring.claim(Stage::Prepare).expect("published").complete();
        ring.claim(Stage::Execute).expect("prepared")
    }

    /// Works until there is nothing left to do.
    fn work(&self, worker: &Worker) {
        let Workshop { ring, warmings, .. } = &self.workshop;
        let is_over = || !ring.has_work(&Stage::ALL) && !warmings.has_work();
        self.workshop.work_until(worker, &is_over);
    }

    /// Whether the executor holds the block's program, which it does afterwards.
    fn holds_program(&self, block: &Block) -> bool {
        let Workshop { executor, store, .. } = &self.workshop;
        let warming = Warming::new(block.header.height, &block.body.transactions);
        let state = store.view(store.finalized().0).expect("final");
        executor.warm(&warming, 0, &Reader(state)) == Ok(Warmed::Held)
    }
}

#[test]
fn the_next_blocks_program_is_loaded_while_a_block_is_executed_and_changes_nothing() {
    on_large_stack(&testing::spec(), load_ahead_and_execute).expect("a thread");
}

fn load_ahead_and_execute() {
    let mut pool = Pool::at_rest();
    pool.install();
    let worker = pool.workshop.ring.register().expect("few workers");
    let (first, first_work) = pool.publish(Purpose::Final);
    let held = pool.hold();
    let call = Pool::call();
    let block = Arc::new(pool.next(vec![call]));
    let (_, work) = pool.publish_block(Arc::clone(&block), Purpose::Final);
    let counted = Counted::default();
    metrics::with_local_recorder(&counted, || pool.work(&worker));
    assert_eq!(counted.get(), 1);
    assert!(!first_work.is_executed() && !work.is_executed());
    assert!(pool.holds_program(&block));

    pool.workshop.handle(&worker, held);
    pool.work(&worker);
    let outcome = work.outcome.get().expect("executed");
    assert_eq!(outcome.receipts[0].outcome, Outcome::Success);
    let cold = Executor::new(Arc::new(pool.spec.clone())).expect("the spec is good");
    let state = pool.workshop.store.view(version(&first)).expect("executed");
    let expected = cold.execute_block(
        &BlockContext::of(&block.header),
        &block.body.transactions,
        &Reader(state),
    );
    assert_eq!(*outcome.receipts, *expected.expect("admissible").receipts);
}

#[test]
fn nothing_is_loaded_ahead_of_speculation_or_where_a_block_can_be_executed_at_once() {
    let mut pool = Pool::at_rest();
    pool.install();
    let worker = pool.workshop.ring.register().expect("few workers");
    let call = Pool::call();
    let block = Arc::new(pool.next(vec![call]));
    let mut is_worth_work = |purpose| {
        pool.publish_block(Arc::clone(&block), purpose);
        let claim = pool.workshop.ring.claim(Stage::Prepare).expect("published");
        pool.workshop.handle(&worker, claim);
        pool.workshop.warmings.has_work()
    };
    assert!(!is_worth_work(Purpose::Final), "nothing is before it");
    assert!(!is_worth_work(Purpose::Speculation));
    assert!(is_worth_work(Purpose::Head));
}
