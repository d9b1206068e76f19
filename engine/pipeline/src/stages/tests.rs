//! Workers beside a disk that stands still: the journal's queue, and nobody who writes what is in it.

use std::num::NonZeroUsize;
use std::time::Instant;

use millrace_ledger::{Batch, Ledger};
use millrace_scheduler::{Publisher, ring};
use millrace_types::block::HEADER_VERSION;
use millrace_types::receipt::settlement_hash;
use millrace_types::{Address, Block, Body, ChainSpec, Hash, Header, SignedTransaction};

use super::*;
use crate::inbox::{Inbox, Receiver};
use crate::keeper::Keeper;
use crate::mailbox::Mailbox;
use crate::task::Work;
use crate::task::version;
use crate::{journal, recovery, testing};

/// How long a test waits for anything before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

#[expect(clippy::disallowed_methods, reason = "a test's patience")]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A pool of one worker, and what it needs.
struct Pool {
    workshop: Workshop,
    workers: Vec<JoinHandle<()>>,
    publisher: Publisher<BlockTask>,
    ledger: Ledger,
    entries: Option<Inbox<Entry>>,
    inputs: Receiver<Input>,
    parent: Header,
    spec: ChainSpec,
}

impl Pool {
    fn new() -> Self {
        let mut pool = Self::at_rest();
        pool.workers = start(&pool.workshop, 1).expect("a thread");
        pool
    }

    /// The same before any worker is there.
    fn at_rest() -> Self {
        let spec = testing::spec();
        let (genesis, _) = recovery::genesis(&spec).expect("a genesis state");
        let hash = genesis.hash();
        let parent = genesis.header.clone();
        let ledger = Ledger::in_memory(&spec).expect("a ledger in memory");
        let first = ledger.commit(Batch::new().block(genesis).finalized(0, hash));
        first.expect("the genesis block is written");
        let store = recovery::genesis_store(&spec, &hash, 16, None).expect("a store in memory");
        let (publisher, ring) = ring(NonZeroUsize::MIN.saturating_add(7));
        let (_, inputs, inbox) = Mailbox::new(1);
        let (journal, entries) = Journal::queue();
        let executor = Executor::new(Arc::new(spec.clone())).expect("an executor");
        let workshop = Workshop {
            team: Arc::new(Team::new(1, ring.crew().clone())),
            executor: Arc::new(executor),
            store,
            journal,
            preparations: Arc::new(Preparations::new(ring.crew().clone())),
            warmings: Arc::new(Warmings::new()),
            verified: Arc::new(Recent::new(1)),
            inputs,
            executions: Arc::default(),
            slow_execution: Duration::ZERO,
            ring,
        };
        Self {
            workers: Vec::new(),
            workshop,
            publisher,
            ledger,
            entries: Some(entries),
            inputs: inbox.open(),
            parent,
            spec,
        }
    }

    /// Publishes the next block, an empty one.
    fn publish(&mut self, purpose: Purpose) -> (Hash, Arc<Work>) {
        let block = Arc::new(self.next(Vec::new()));
        let written = self.ledger.commit(Batch::new().block(Arc::clone(&block)));
        written.expect("bodies come first");
        self.publish_block(block, purpose)
    }

    fn publish_block(&mut self, block: Arc<Block>, purpose: Purpose) -> (Hash, Arc<Work>) {
        let (hash, work) = (block.hash(), Arc::new(Work::default()));
        let task = BlockTask {
            hash,
            block,
            purpose,
            work: Arc::clone(&work),
        };
        self.publisher.publish(task).expect("the ring has room");
        (hash, work)
    }

    /// The next block.
    fn next(&mut self, transactions: Vec<SignedTransaction>) -> Block {
        let header = Header {
            version: HEADER_VERSION,
            chain_id: self.spec.chain_id,
            height: self.parent.height + 1,
            parent_hash: self.parent.hash(),
            timestamp_ms: self.parent.timestamp_ms + 1,
            proposer: Address([0xbb; 32]),
            transactions_root: millrace_types::merkle::transactions_root(&transactions),
            gas_limit: self.spec.limits.block_gas,
            settled_height: 0,
            settlement_hash: settlement_hash(&[]),
            delayed_state_root: None,
            consensus_data: Vec::new(),
            seal: Vec::new(),
        };
        self.parent = header.clone();
        let body = Body {
            transactions,
            receipts: Vec::new(),
        };
        Block { header, body }
    }

    /// The disk answers, until the journal is told to end.
    fn write(&mut self) -> [JoinHandle<()>; 2] {
        let entries = self.entries.take().expect("once");
        let (ledger, inputs) = (self.ledger.clone(), self.workshop.inputs.clone());
        let started = Keeper::start(self.workshop.store.clone(), inputs.clone());
        let (keeper, keeping) = started.expect("a thread");
        let writing = thread::spawn(move || journal::run(&ledger, &keeper, &entries.open(), &inputs));
        [writing, keeping]
    }

    fn end(self, threads: [JoinHandle<()>; 2]) {
        self.workshop.ring.close();
        self.workshop.journal.push(Entry::Close);
        for thread in self.workers.into_iter().chain(threads) {
            thread.join().expect("no panic");
        }
    }
}

#[test]
fn a_worker_does_not_wait_for_a_disk_that_stands_still() {
    let mut pool = Pool::new();
    let blocks: Vec<_> = (0..3).map(|_| pool.publish(Purpose::Final)).collect();
    // The only worker leaves the first block to the journal and goes on with the others.
    wait_until("the last block is executed and has its root", || {
        blocks.iter().all(|(_, work)| work.is_rooted())
    });
    assert!(!blocks[0].1.is_durable());
    assert_eq!(
        pool.workshop.ring.in_flight(),
        3,
        "no slot is free before the disk answers"
    );
    assert!(pool.inputs.try_recv().is_none(), "nor is anything told");
    let threads = pool.write();
    let ring = pool.workshop.ring.clone();
    wait_until("every slot is free", || ring.in_flight() == 0);
    for (hash, work) in &blocks {
        assert!(work.is_durable());
        match pool.inputs.try_recv() {
            Some(Input::Left(left)) if left.hash == *hash && left.executed.is_some() => {}
            other => panic!("{other:?}"),
        }
        let stored = pool.ledger.receipt(hash).expect("a ledger that reads");
        assert_eq!(stored.as_ref(), work.receipt.get());
    }
    let last = version(&blocks[2].0);
    assert_eq!(
        pool.workshop.store.finalized().0,
        last,
        "finality moved in the store"
    );
    pool.end(threads);
}

#[test]
fn a_disk_that_fails_frees_no_slot_and_nothing_passes() {
    let mut pool = Pool::new();
    let (first, _) = pool.publish(Purpose::Final);
    let (second, _) = pool.publish(Purpose::Final);
    let other = millrace_types::ExecutionReceipt {
        height: 1,
        block_hash: first,
        status: millrace_types::ExecutionStatus::Executed,
        post_state_root: Hash([9; 32]),
        transaction_receipts_root: Hash::ZERO,
        gas_used: 0,
        gas_charged: 0,
    };
    let before = pool.ledger.commit(Batch::new().execution(other, Vec::new()));
    before.expect("the first receipt of a block is taken");
    let threads = pool.write();
    let fault = pool.inputs.recv();
    assert!(
        matches!(
            &fault,
            Some(Input::Fault(StopReason::Divergence { height: 1, .. }))
        ),
        "{fault:?}"
    );
    let ring = pool.workshop.ring.clone();
    wait_until("the claim is dropped", || ring.failure().is_some());
    assert_eq!(ring.in_flight(), 2);
    assert_eq!(pool.ledger.receipt(&second).expect("a ledger that reads"), None);
    pool.end(threads);
}

mod times;
mod warming;
