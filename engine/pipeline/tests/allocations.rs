//! What the table of the crate's documentation says about memory: a block of a thousand transactions costs the stages no
//! more allocations than one of a hundred, but for what the executor, the state, the ledger, the pool and the
//! signatures' library make, each of which is measured by itself on the same blocks.
//!
//! The allocator below counts by thread; it is alone in its process, with one test.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use common::*;
use millrace_executor::{BlockContext, Executor, ReadError, StateReader, genesis_changes};
use millrace_ledger::{Batch, Ledger};
use millrace_mempool::{AccountView, Funds, Pool};
use millrace_pipeline::{EngineConfig, Reply};
use millrace_state::{Config, Genesis, Store, VersionId, View};
use millrace_types::chain_spec::GenesisAccount;
use millrace_types::receipt::Outcome;
use millrace_types::state::Path;
use millrace_types::{Address, Block, Body, ChainSpec, Payload, SignedTransaction, keys, merkle};

/// Whose allocations are counted together.
#[derive(Clone, Copy)]
enum Thread {
    /// The engine's workers and its journal.
    Others,
    /// The engine's ordering thread.
    Ordering,
    /// The test, which stands for a thread of the RPC.
    Caller,
}

thread_local! {
    static THREAD: Cell<Thread> = const { Cell::new(Thread::Others) };
}

static ALLOCATIONS: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];

struct Counting;

// SAFETY: every call is passed on to the system's allocator with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let thread = THREAD.try_with(Cell::get).unwrap_or(Thread::Others);
        ALLOCATIONS[thread as usize].fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn counted() -> [usize; 3] {
    std::array::from_fn(|thread| ALLOCATIONS[thread].load(Ordering::Relaxed))
}

/// Allocations of the calling thread in `work`, which is the test's.
fn during<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = counted()[Thread::Caller as usize];
    let done = work();
    (done, counted()[Thread::Caller as usize] - before)
}

/// Transactions of the three blocks: one to warm up, a small one, and a large one.
const BLOCKS: [usize; 3] = [1_000, 100, 1_000];
const COUNTER: &[u8] = include_bytes!("../../../contracts/artifacts/counter.elf");
/// The gas limit of a call.
const CALL_GAS: u64 = 200_000;
const SENDERS: [u8; 2] = [4, 100];
/// How many allocations of a stage's own a transaction may cost: the vectors that grow and the nodes of trees, of which one
/// serves many. One allocation for each is more.
const MOST: f64 = 0.75;
/// The most that the ordering thread allocates for each sender: its account's bytes, twice at most, and nodes of trees.
const MOST_FOR_A_SENDER: f64 = 2.5;

fn roomy(senders: u8) -> ChainSpec {
    let mut spec = spec();
    spec.limits.block_transactions = 2_000;
    spec.limits.block_gas = 1_100 * CALL_GAS;
    spec.limits.block_bytes = 4 << 20;
    spec.accounts = (0..senders)
        .map(|n| GenesisAccount {
            address: address(n),
            balance: BALANCE,
        })
        .collect();
    spec.accounts.sort_by_key(|account| account.address);
    spec
}

/// Advances the counter, or deploys it: what a receipt then holds is on the heap, as is a call's input.
fn counting(sender: u8, nonce: u64, turn: usize) -> SignedTransaction {
    let (gas_limit, payload) = if turn == 0 {
        let deploy = Payload::Deploy {
            code: COUNTER.to_vec(),
            value: 0,
            input: Vec::new(),
        };
        (spec().limits.transaction_gas, deploy)
    } else {
        let call = Payload::Call {
            to: Address::of_deploy(&address(0), 0),
            value: 0,
            input: vec![0x01],
        };
        (CALL_GAS, call)
    };
    sign(sender, nonce, gas_limit, 1, payload)
}

/// Blocks of calls, one on the other, that settle nothing.
fn blocks(spec: &ChainSpec, genesis: &Block, senders: u8) -> Vec<Block> {
    let mut nonces = vec![0; usize::from(senders)];
    let mut parent = genesis.header.clone();
    let mut turn = 0..;
    BLOCKS
        .iter()
        .map(|count| {
            let transactions = (&mut turn).take(*count).map(|n: usize| {
                let sender = n % usize::from(senders);
                nonces[sender] += 1;
                counting(u8::try_from(sender).unwrap(), nonces[sender] - 1, n)
            });
            let transactions: Vec<SignedTransaction> = transactions.collect();
            let mut block = empty_block(spec, &parent);
            block.header.transactions_root = merkle::transactions_root(&transactions);
            block.body = Body {
                transactions,
                receipts: Vec::new(),
            };
            parent = block.header.clone();
            block
        })
        .collect()
}

/// Allocations for each of the [`BLOCKS`], and what a transaction of the large one costs more than one of the small one.
fn per_transaction(counts: &[usize]) -> f64 {
    (counts[2] as f64 - counts[1] as f64) / (BLOCKS[2] - BLOCKS[1]) as f64
}

/// What the parts cost that the stages call.
#[derive(Default)]
struct Parts {
    executor: Vec<usize>,
    state: Vec<usize>,
    ledger: Vec<usize>,
    signatures: Vec<usize>,
    pool: Vec<usize>,
    submissions: Vec<usize>,
}

struct Reader(View);

impl StateReader for Reader {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        self.0
            .get(path)
            .map_err(|error| ReadError::Failed(error.to_string()))
    }
}

/// Everybody is rich and has sent nothing.
struct Rich;

impl AccountView for Rich {
    fn next_nonce(&self, _: &Address) -> u64 {
        0
    }

    fn funds(&self, _: &Address) -> Funds {
        Funds {
            settled: BALANCE,
            reserved: 0,
        }
    }
}

/// Each part by itself, on the same blocks in the same order.
fn parts(spec: &ChainSpec, genesis: &Block, blocks: &[Block]) -> Parts {
    let mut parts = Parts::default();
    let executor = Executor::new(Arc::new(spec.clone())).unwrap();
    let state = Genesis {
        id: VersionId(genesis.hash().0),
        height: 0,
        changes: genesis_changes(spec).into(),
    };
    let store = Store::open(Config::default(), state).unwrap();
    let ledger = Ledger::in_memory(spec).unwrap();
    ledger
        .commit(Batch::new().block(genesis.clone()).finalized(0, genesis.hash()))
        .unwrap();
    let pool = Pool::new(EngineConfig::default().pool);
    for block in blocks {
        let (hash, parent) = (block.hash(), block.header.parent_hash);
        let transactions = &block.body.transactions;
        let (view, context) = (store.view(VersionId(parent.0)).unwrap(), &block.header);
        let (output, executing) = during(|| {
            let context = BlockContext::of(context);
            executor.execute_block(&context, transactions, &Reader(view))
        });
        let output = output.unwrap();
        let receipts = &output.receipts;
        assert!(receipts.iter().all(|receipt| receipt.outcome == Outcome::Success));
        parts.executor.push(executing);
        let (commit, storing) = during(|| {
            let (parent, id) = (VersionId(parent.0), VersionId(hash.0));
            let changes = output.changes.into();
            store.insert(parent, id, block.header.height, changes).unwrap();
            let commit = store.commit(id).unwrap();
            store.persist(id).unwrap();
            store.set_finalized(id).unwrap();
            commit
        });
        parts.state.push(storing);
        let receipt = millrace_types::ExecutionReceipt {
            height: block.header.height,
            block_hash: hash,
            status: millrace_types::ExecutionStatus::Executed,
            post_state_root: millrace_types::Hash(commit.root),
            transaction_receipts_root: merkle::receipts_root(&output.receipts),
            gas_used: output.gas_used,
            gas_charged: output.gas_charged,
        };
        let body = Arc::new(block.clone());
        let receipts: Arc<[_]> = output.receipts.into();
        let ((), writing) = during(|| {
            let mut batch = Batch::new();
            batch.block(body).finalized(block.header.height, hash);
            batch.certificate(hash, certificate(block));
            ledger.commit(&batch).unwrap();
            ledger.commit(Batch::new().execution(receipt, receipts)).unwrap();
        });
        parts.ledger.push(writing);
        // The engine's chunks.
        let ((), checking) = during(|| {
            for chunk in transactions.chunks(64) {
                keys::verify_batch(chunk).unwrap();
            }
        });
        parts.signatures.push(checking);
        let copies = transactions.clone();
        let ((), submitting) = during(|| {
            for signed in copies {
                signed.verify().unwrap();
                pool.insert(signed, &Rich).unwrap();
            }
        });
        parts.submissions.push(submitting);
        let (_, removing) = during(|| pool.remove_finalized(transactions));
        parts.pool.push(removing);
    }
    parts
}

/// What the engine's threads allocate for each block.
#[derive(Default)]
struct Engines {
    submissions: Vec<usize>,
    ordering: Vec<usize>,
    others: Vec<usize>,
}

/// Counts that nobody changes any more.
fn quiet() -> [usize; 3] {
    loop {
        let before = counted();
        std::thread::sleep(Duration::from_millis(50));
        if counted() == before {
            return before;
        }
    }
}

/// The blocks through an engine, which knows their signatures before if they were submitted to it.
fn engine(spec: &ChainSpec, blocks: &[Block], is_submitted: bool) -> Engines {
    let config = EngineConfig {
        // Execution in order: that of many workers allocates as their chances fall.
        workers: 1,
        ..EngineConfig::default()
    };
    let mut chain = Chain::in_memory(spec.clone(), config);
    let (done, answered) = mpsc::channel();
    let reply = Reply::new(move |_| {
        THREAD.set(Thread::Ordering);
        done.send(()).unwrap();
    });
    chain.engine.build(chain.request(), reply);
    answered.recv_timeout(PATIENCE).unwrap();
    let mut engines = Engines::default();
    for block in blocks {
        if is_submitted {
            let copies = block.body.transactions.clone();
            let ((), submitting) = during(|| {
                for signed in copies {
                    chain.engine.submit_transaction(signed).unwrap();
                }
            });
            engines.submissions.push(submitting);
        }
        let copy = block.clone();
        let before = quiet();
        chain.finalize(&copy);
        chain.wait_until_executed(block.header.height);
        let after = quiet();
        engines
            .ordering
            .push(after[Thread::Ordering as usize] - before[Thread::Ordering as usize]);
        engines
            .others
            .push(after[Thread::Others as usize] - before[Thread::Others as usize]);
    }
    engines
}

#[test]
fn the_stages_allocate_nothing_for_each_transaction_but_what_the_table_names() {
    THREAD.set(Thread::Caller);
    // Of the small block: a few senders, and then one for each transaction.
    let mut ordering = Vec::new();
    for senders in SENDERS {
        let spec = roomy(senders);
        let probe = Chain::in_memory(spec.clone(), EngineConfig::default());
        let genesis = probe.engine.genesis().hash;
        let genesis = probe.engine.block(&genesis).unwrap().unwrap();
        drop(probe);
        let blocks = blocks(&spec, &genesis, senders);
        let parts = parts(&spec, &genesis, &blocks);
        let known = engine(&spec, &blocks, true);
        let unknown = engine(&spec, &blocks, false);
        let called =
            per_transaction(&parts.executor) + per_transaction(&parts.state) + per_transaction(&parts.ledger);
        let signatures = per_transaction(&parts.signatures);
        println!(
            "{senders} senders, allocations for each transaction: executor {:.2}, state {:.2}, ledger {:.2}, \
             signatures {signatures:.2}, taken into the pool {:.2}, taken out of the pool {:.2}",
            per_transaction(&parts.executor),
            per_transaction(&parts.state),
            per_transaction(&parts.ledger),
            per_transaction(&parts.submissions),
            per_transaction(&parts.pool),
        );
        let own = [
            (
                "submission, beside the sender's account",
                per_transaction(&known.submissions) - per_transaction(&parts.submissions) - 1.0,
            ),
            (
                "ordering thread, signatures known",
                per_transaction(&known.ordering) - per_transaction(&parts.pool),
            ),
            (
                "ordering thread, signatures unknown",
                per_transaction(&unknown.ordering) - per_transaction(&parts.pool),
            ),
            (
                "workers and journal, signatures known",
                per_transaction(&known.others) - called,
            ),
            (
                "workers and journal, signatures unknown",
                per_transaction(&unknown.others) - called - signatures,
            ),
        ];
        for (what, allocations) in own {
            println!("  {what}: {allocations:.3} of its own");
            assert!(allocations <= MOST, "{what}: {allocations:.3} of its own");
        }
        ordering.push(known.ordering[1] as f64 - parts.pool[1] as f64);
    }
    let for_a_sender = (ordering[1] - ordering[0]) / f64::from(SENDERS[1] - SENDERS[0]);
    println!("ordering thread, for each sender: {for_a_sender:.3}");
    assert!(
        for_a_sender <= MOST_FOR_A_SENDER,
        "{for_a_sender:.3} for each sender"
    );
}
