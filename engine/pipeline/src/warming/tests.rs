//! Whose programs are loaded, whose are passed by, and what is left of them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use millrace_executor::{ReadError, genesis_changes};
use millrace_scheduler::{Publisher, ring};
use millrace_types::state::{Account, Path, account_path, code_hash, code_path};
use millrace_types::{Address, Payload, SignedTransaction};

use super::*;
use crate::testing::{sign, spec};

static COUNTER: &[u8] = include_bytes!("../../../../contracts/artifacts/counter.elf");
static TOKEN: &[u8] = include_bytes!("../../../../contracts/artifacts/token.elf");

/// A state in memory; reads of one path panic.
#[derive(Clone)]
struct State {
    values: Arc<BTreeMap<Path, Arc<[u8]>>>,
    panics_at: Option<Path>,
}

impl StateReader for State {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        assert_ne!(Some(*path), self.panics_at, "as a bug does");
        self.values.get(path)
    }
}

/// The `n`-th contract: in ascending order.
fn contract(n: u8) -> Address {
    Address([n; 32])
}

fn call(to: Address) -> SignedTransaction {
    let payload = Payload::Call {
        to,
        value: 0,
        input: Vec::new(),
    };
    sign(0, 0, 1_000_000, 1, payload)
}

/// Tasks in a ring, an executor that knows no program, and a state with two contracts.
struct Bench {
    publisher: Publisher<u64>,
    ring: Ring<u64>,
    warmings: Warmings<State>,
    executor: Executor,
    state: State,
}

impl Bench {
    fn new() -> Self {
        let (publisher, ring) = ring(NonZeroUsize::MIN.saturating_add(63));
        let values = genesis_changes(&spec()).into_iter();
        let mut values: BTreeMap<_, _> = values.filter_map(|(path, value)| Some((path, value?))).collect();
        for (n, code) in [(1, COUNTER), (2, TOKEN)] {
            let hash = code_hash(code);
            let account = Account {
                code_hash: Some(hash),
                ..Account::default()
            };
            let record = borsh::to_vec(&account).expect("a record encodes");
            values.insert(account_path(&contract(n)), record.into());
            values.insert(code_path(&hash), code.into());
        }
        let mut bench = Self {
            publisher,
            ring,
            warmings: Warmings::new(),
            executor: Executor::new(Arc::new(spec())).expect("the spec is good"),
            state: State {
                values: Arc::new(values),
                panics_at: None,
            },
        };
        // The block that is being executed.
        bench.publish();
        bench
    }

    fn publish(&mut self) -> Sequence {
        let published = self.publisher.publish(0);
        published.expect("the ring has room")
    }

    /// A block that calls these contracts enters the ring behind the others, and its programs are wanted.
    fn add(&mut self, contracts: &[Address]) -> Sequence {
        let sequence = self.publish();
        let transactions: Vec<_> = contracts.iter().copied().map(call).collect();
        let programs = Warming::new(sequence, &transactions);
        self.warmings.forget_stale(&self.ring);
        self.warmings
            .add(Hash::ZERO, sequence, programs, self.state.clone());
        sequence
    }

    fn step(&self) -> bool {
        self.warmings.step(&self.executor, &self.ring)
    }

    /// Execution gets through one block more.
    fn execute(&self) {
        for stage in [Stage::Prepare, Stage::Execute] {
            self.ring.claim(stage).expect("its turn").complete();
        }
    }

    /// Whether the executor holds the program, which it does afterwards.
    fn holds(&self, n: u8) -> bool {
        let warming = Warming::new(1, &[call(contract(n))]);
        self.executor.warm(&warming, 0, &self.state) == Ok(Warmed::Held)
    }
}

#[test]
fn each_program_of_a_block_that_waits_is_one_step() {
    let mut bench = Bench::new();
    bench.add(&[contract(2), contract(1), contract(2), contract(7)]);
    assert!(bench.warmings.has_work());
    assert_eq!([(); 4].map(|()| bench.step()), [true, true, true, false]);
    assert!(bench.holds(1) && bench.holds(2));
    assert!(!bench.warmings.has_work());
}

#[test]
fn a_block_whose_turn_has_come_is_passed_by() {
    let mut bench = Bench::new();
    bench.add(&[contract(1)]);
    bench.add(&[contract(2)]);
    bench.execute();
    assert!(bench.step(), "the second one still waits");
    assert!(!bench.step());
    assert!(!bench.holds(1));
    assert!(bench.holds(2));
}

#[test]
fn an_abandoned_block_is_passed_by() {
    let mut bench = Bench::new();
    let sequence = bench.add(&[contract(1)]);
    assert!(bench.ring.abandon(sequence));
    assert!(!bench.step());
    assert!(!bench.holds(1));
}

#[test]
fn a_panic_and_damage_are_left_to_execution() {
    let mut bench = Bench::new();
    bench.state.panics_at = Some(account_path(&contract(1)));
    bench.add(&[contract(1)]);
    bench.state.panics_at = None;
    let values = Arc::make_mut(&mut bench.state.values);
    values.insert(account_path(&contract(3)), Arc::from([1, 2, 3]));
    bench.add(&[contract(3), contract(2)]);
    assert_eq!([(); 4].map(|()| bench.step()), [true, true, true, false]);
    assert!(!bench.holds(1));
    assert!(bench.holds(2));
}

/// Blocks come and nobody has time for their programs.
#[test]
fn what_waits_is_bounded_and_what_waits_in_vain_gives_way() {
    let mut bench = Bench::new();
    let many: Vec<_> = (10..200).map(contract).collect();
    for _ in 0..20 {
        bench.add(&many);
        assert!(bench.warmings.contracts.len() <= MOST_WAITING);
    }
    assert!(bench.warmings.contracts.is_full());
    assert_eq!(Arc::strong_count(&bench.state.values), 1 + 4, "blocks that wait");
    for _ in 0..21 {
        bench.execute();
    }
    bench.publish();
    bench.add(&[contract(1)]);
    assert_eq!(bench.warmings.contracts.len(), 1);
    assert_eq!(
        Arc::strong_count(&bench.state.values),
        1 + 1,
        "states are held no longer"
    );
    assert!(bench.step());
    assert!(bench.holds(1));
}
