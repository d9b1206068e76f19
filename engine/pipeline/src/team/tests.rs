//! Blocks on a team whose workers panic, and on one that helps.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use millrace_executor::{ReadError, genesis_changes, on_large_stack};
use millrace_types::state::Path;
use millrace_types::{Body, Header};

use super::*;
use crate::testing::{address, spec, transfer};

/// A state in memory; some reads panic.
struct State {
    values: BTreeMap<Path, Arc<[u8]>>,
    reads: AtomicUsize,
    panics_at: usize,
}

impl State {
    fn new(panics_at: usize) -> Self {
        let values = genesis_changes(&spec()).into_iter();
        Self {
            values: values.filter_map(|(path, value)| Some((path, value?))).collect(),
            reads: AtomicUsize::new(0),
            panics_at,
        }
    }
}

impl StateReader for State {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        let read = self.reads.fetch_add(1, Ordering::Relaxed);
        assert_ne!(read, self.panics_at, "as a bug does");
        Ok(self.values.get(path).cloned())
    }
}

/// Forty transfers, ten of each of four accounts.
fn block() -> Arc<Block> {
    let transactions = (0..40u8).map(|n| transfer(n % 4, u64::from(n / 4), address(n), 1));
    Arc::new(Block {
        header: Header {
            height: 1,
            ..Header::genesis(&spec(), millrace_types::Hash::ZERO)
        },
        body: Body {
            transactions: transactions.collect(),
            receipts: Vec::new(),
        },
    })
}

/// Executes the block with so many helpers; what the leader got.
fn execute(
    executor: &Arc<Executor>,
    team: &Team<State>,
    state: State,
    helpers: usize,
) -> Option<Result<BlockOutput, ExecutionError>> {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(|| {
                on_large_stack(executor.spec(), || {
                    let worker = team.crew.register().expect("few workers");
                    while !is_done.load(Ordering::SeqCst) {
                        if !team.help() {
                            worker.park_unless(|| is_done.load(Ordering::SeqCst) || team.has_news());
                        }
                    }
                })
                .expect("threads");
            });
        }
        let led = on_large_stack(executor.spec(), || {
            let worker = team.crew.register().expect("few workers");
            let work_until = |is_over: &dyn Fn() -> bool| {
                while !is_over() {
                    if !team.help() {
                        worker.park_unless(|| is_over() || team.has_news());
                    }
                }
            };
            team.execute(executor, &block(), state, &worker, work_until)
        });
        is_done.store(true, Ordering::SeqCst);
        team.crew.wake_all();
        led.expect("threads")
    })
}

#[test]
fn a_block_whose_workers_panic_has_no_result_and_the_next_one_has() {
    let executor = Arc::new(Executor::new(Arc::new(spec())).expect("the spec is good"));
    let in_order = executor
        .execute_block(
            &BlockContext::of(&block().header),
            &block().body.transactions,
            &State::new(usize::MAX),
        )
        .expect("the block is admissible");
    for panics_at in [0, 1, 7, 19] {
        for helpers in 0..3 {
            let team = Team::new(helpers + 1, Crew::new());
            assert_eq!(execute(&executor, &team, State::new(panics_at), helpers), None);
            let again = execute(&executor, &team, State::new(usize::MAX), helpers);
            assert_eq!(again, Some(Ok(in_order.clone())), "{helpers} helpers");
        }
    }
}

#[test]
fn a_few_transactions_are_worth_a_second_worker_where_they_took_long() {
    let few = |len: usize| {
        let mut few = Arc::unwrap_or_clone(block());
        few.body.transactions.truncate(len);
        few
    };
    let team: Team<State> = Team::new(2, Crew::new());
    assert!(team.pays(&few(32)));
    assert!(!team.pays(&few(31)), "nobody knows how long they take");
    team.timed(&few(2), || thread::sleep(Duration::from_millis(20)));
    assert!(team.pays(&few(2)));
    assert!(!team.pays(&few(1)), "nothing to share");
    for _ in 0..64 {
        team.timed(&few(20), || ());
    }
    assert!(!team.pays(&few(31)), "they take little now");
    assert!(!Team::<State>::new(1, Crew::new()).pays(&few(40)));
}
