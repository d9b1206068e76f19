//! Blocks on several workers come to what they come to one transaction after the other: receipts, logs, gas, changes,
//! and errors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millrace_executor::parallel::Step;
use millrace_executor::{
    BlockOutput, ExecutionError, NotAdmissible, ParallelBlock, ParallelError, ReadError, StateReader,
};
use millrace_scheduler::Crew;
use millrace_types::chain_spec::GenesisAccount;
use millrace_types::state::{Path, account_path};
use millrace_types::{Address, Amount, Payload, SignedTransaction};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::common::world::{BALANCE, contract, spec};
use crate::common::{Script, World, key};
use crate::conservation::long_run;
use crate::partition::{Draw, payload};

const SENDERS: u8 = 40;

fn world() -> World {
    let mut spec = spec();
    let accounts = (0..SENDERS).map(|index| GenesisAccount {
        address: key(index).address(),
        balance: BALANCE,
    });
    spec.accounts = accounts.collect();
    let mut world = World::with_spec(spec);
    world.gas_limit = 3_000_000;
    world.gas_price = 2;
    world
}

/// A state that answers late, now and then, so that workers overtake each other everywhere.
struct Late<'a> {
    state: &'a BTreeMap<Path, Arc<[u8]>>,
    reads: AtomicUsize,
    every: usize,
}

impl StateReader for Late<'_> {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        if self
            .reads
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(self.every)
        {
            std::thread::yield_now();
        }
        StateReader::get(self.state, path)
    }
}

fn draw(random: &mut ChaCha8Rng, senders: u8) -> Draw {
    let steps = (0..random.random_range(0..6))
        .map(|_| {
            (
                random.random_range(0..12),
                random.random_range(0..4),
                random.random_range(0..400_000),
            )
        })
        .collect();
    let sender = random.random_range(0..senders);
    (
        sender,
        random.random_range(0..8),
        random.random_range(0..4),
        steps,
    )
}

/// A random block, of calls, deploys and transfers.
fn block(world: &World, random: &mut ChaCha8Rng) -> Vec<SignedTransaction> {
    let senders = [1, 3, SENDERS][random.random_range(0..3)];
    let len = random.random_range(0..60);
    let mut nonces = [0; SENDERS as usize];
    (0..len)
        .map(|_| {
            let draw = draw(random, senders);
            let nonce = &mut nonces[usize::from(draw.0)];
            *nonce += 1;
            let payload = match random.random_range(0..4) {
                0 => Payload::Transfer {
                    to: key(random.random_range(0..SENDERS)).address(),
                    value: random.random_range(0..1_000),
                },
                _ => payload(&draw),
            };
            world.sign_at(draw.0, *nonce - 1, payload)
        })
        .collect()
}

fn both(
    world: &World,
    transactions: &[SignedTransaction],
    workers: usize,
    every: usize,
) -> (
    Result<BlockOutput, ExecutionError>,
    Result<BlockOutput, ExecutionError>,
) {
    let sequential = world
        .executor
        .execute_block(&world.block, transactions, &world.state);
    let late = Late {
        state: &world.state,
        reads: AtomicUsize::new(0),
        every,
    };
    let parallel = world
        .executor
        .execute_block_on(workers, &world.block, transactions, &late)
        .unwrap()
        .0;
    (sequential, parallel)
}

#[test]
fn random_blocks_come_to_the_same_on_any_number_of_workers() {
    let wanted = if long_run() { 1_000_000 } else { 12_000 };
    let world = world();
    let (mut done, mut seed) = (0, 0);
    while done < wanted {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let transactions = block(&world, &mut random);
        let (workers, every) = (random.random_range(1..=8), random.random_range(1..20));
        let (sequential, parallel) = both(&world, &transactions, workers, every);
        assert!(sequential.is_ok(), "seed {seed}: {sequential:?}");
        assert_eq!(parallel, sequential, "seed {seed}, {workers} workers");
        done += transactions.len();
        seed += 1;
        if seed % 1_000 == 0 {
            println!("seeds 0..{seed}: {done} transactions");
        }
    }
    println!("seeds 0..{seed}: {done} transactions");
}

#[test]
fn a_block_that_admission_would_refuse_ends_with_the_same_error() {
    let world = world();
    for seed in 0..60 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut transactions = block(&world, &mut random);
        let place = random.random_range(0..=transactions.len());
        let sender = random.random_range(0..SENDERS);
        // A nonce that nobody has come to, or value that nobody has; behind it others that are good by themselves.
        let value = if random.random() { 1 } else { BALANCE };
        let nonce = if value == 1 { 77 } else { 0 };
        let to = key(0).address();
        transactions.insert(
            place,
            world.sign_at(sender, nonce, Payload::Transfer { to, value }),
        );
        let (sequential, parallel) = both(&world, &transactions, 1 + place % 4, 3);
        assert!(
            matches!(
                &sequential,
                Err(ExecutionError::NotAdmissible {
                    reason: NotAdmissible::Nonce { .. } | NotAdmissible::Unpayable { .. },
                    ..
                })
            ),
            "seed {seed}: {sequential:?}"
        );
        assert_eq!(parallel, sequential, "seed {seed}");
    }
}

#[test]
fn transfers_from_one_sender_and_to_one_receiver_do_not_disturb_each_other() {
    let world = world();
    let to = Address([0x77; 32]);
    let transactions: Vec<SignedTransaction> = (0..200)
        .map(|nonce| world.sign_at(0, nonce, Payload::Transfer { to, value: 1 }))
        .collect();
    let crew = Crew::new();
    let parallel = ParallelBlock::new(
        &world.executor,
        world.block.clone(),
        &transactions[..],
        &world.state,
        (4, crew.clone()),
        None,
    );
    // One worker takes them in turns with another, so that attempts overlap.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let worker = crew.register().unwrap();
                loop {
                    match parallel.step() {
                        Step::Done => std::thread::yield_now(),
                        Step::Idle => worker.park_unless(|| parallel.has_news()),
                        Step::Over => return,
                    }
                }
            });
        }
    });
    let (output, summary, _) = parallel.finish();
    assert_eq!(
        output.unwrap(),
        world
            .executor
            .execute_block(&world.block, &transactions, &world.state)
            .unwrap()
    );
    assert_eq!((summary.attempts, summary.waits), (200, 0), "each once");
}

#[test]
fn who_asks_for_a_balance_that_others_change_is_executed_with_the_right_one() {
    let world = world();
    let asks = Script::new().balance(&key(39).address(), 0).returning(16);
    let transactions: Vec<SignedTransaction> = (0..30u8)
        .map(|sender| {
            let payload = if sender % 2 == 0 {
                Payload::Transfer {
                    to: key(39).address(),
                    value: 1,
                }
            } else {
                Payload::Call {
                    to: contract(sender % 4),
                    value: 0,
                    input: asks.clone(),
                }
            };
            world.sign_at(sender, 0, payload)
        })
        .collect();
    for workers in 1..=8 {
        let (sequential, parallel) = both(&world, &transactions, workers, 1);
        assert_eq!(parallel, sequential, "{workers} workers");
    }
}

/// A state that fails at one path.
struct Failing<'a>(&'a BTreeMap<Path, Arc<[u8]>>, Path);

impl StateReader for Failing<'_> {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        if *path == self.1 {
            return Err(ReadError::Failed("the disk is gone".into()));
        }
        StateReader::get(self.0, path)
    }
}

#[test]
fn a_state_that_fails_ends_the_block_with_its_error() {
    let world = world();
    let to = Address([0x55; 32]);
    let transactions: Vec<SignedTransaction> = (0..20)
        .map(|sender| {
            let to = if sender == 11 { to } else { key(sender).address() };
            world.sign_at(sender, 0, Payload::Transfer { to, value: 1 })
        })
        .collect();
    let failing = Failing(&world.state, account_path(&to));
    let expected = ExecutionError::Read(ReadError::Failed("the disk is gone".into()));
    let sequential = world
        .executor
        .execute_block(&world.block, &transactions, &failing);
    assert_eq!(sequential, Err(expected.clone()));
    for workers in 1..=4 {
        let parallel = world
            .executor
            .execute_block_on(workers, &world.block, &transactions, &failing);
        assert_eq!(parallel.unwrap().0, Err(expected.clone()));
    }
}

/// A state that panics at one path.
struct Panicking<'a>(&'a BTreeMap<Path, Arc<[u8]>>, Path);

impl StateReader for Panicking<'_> {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        assert!(*path != self.1, "as a bug does");
        StateReader::get(self.0, path)
    }
}

#[test]
fn a_worker_that_panics_leaves_a_block_that_says_so() {
    let world = world();
    let to = Address([0x55; 32]);
    let transactions: Vec<SignedTransaction> = (0..9)
        .map(|sender| {
            world.sign_at(
                sender,
                0,
                Payload::Transfer {
                    to,
                    value: 1 + Amount::from(sender),
                },
            )
        })
        .collect();
    let panicking = Panicking(&world.state, account_path(&to));
    let parallel = ParallelBlock::new(
        &world.executor,
        world.block.clone(),
        &transactions[..],
        &panicking,
        (1, Crew::new()),
        None,
    );
    let step = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| parallel.step()));
    assert!(step.is_err());
    assert_eq!(parallel.step(), Step::Over);
    assert_eq!(parallel.finish().0, Err(ParallelError::Broken));
}
