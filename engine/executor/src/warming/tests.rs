//! What is loaded, and how much of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use millrace_types::chain_spec::ConsensusSpec;
use millrace_types::state::{Account, Path, code_hash};
use millrace_types::{ChainSpec, Hash, Transaction};

use super::*;
use crate::error::ReadError;
use crate::program_cache::tests::code;

/// The height of the block that is coming.
const HEIGHT: Height = 5;
/// Covers the first run of any program here.
const ENOUGH: Gas = 1_000_000;

fn executor() -> Executor {
    let consensus = ConsensusSpec {
        id: "test/1".to_owned(),
        parameters: Vec::new(),
    };
    let spec = ChainSpec::development(7, 1_000, Vec::new(), consensus);
    Executor::new(Arc::new(spec)).unwrap()
}

/// A state of contracts, and how often it was read.
#[derive(Default)]
struct State {
    values: BTreeMap<Path, Arc<[u8]>>,
    reads: AtomicUsize,
}

impl State {
    /// Puts a contract there. Its code is what `code` says, if anything.
    fn install(&mut self, contract: Address, hash: Hash, code: Option<&[u8]>) {
        let account = Account {
            nonce: 1,
            balance: 0,
            code_hash: Some(hash),
        };
        let record = borsh::to_vec(&account).unwrap();
        self.values.insert(account_path(&contract), record.into());
        if let Some(code) = code {
            self.values.insert(code_path(&hash), code.into());
        }
    }

    fn reads(&self) -> usize {
        self.reads.swap(0, Ordering::Relaxed)
    }
}

impl StateReader for State {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(self.values.get(path).cloned())
    }
}

/// The `n`-th address.
fn at(n: u16) -> Address {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    Address(bytes)
}

fn signed(gas_limit: Gas, payload: Payload) -> SignedTransaction {
    let transaction = Transaction {
        chain_id: 7,
        public_key: [0; 32],
        nonce: 0,
        gas_limit,
        gas_price: 1,
        payload,
    };
    SignedTransaction {
        transaction,
        signature: [0; 64],
    }
}

fn call(to: Address, gas_limit: Gas) -> SignedTransaction {
    let (value, input) = (0, Vec::new());
    signed(gas_limit, Payload::Call { to, value, input })
}

/// What becomes of a contract that is called with that gas.
fn warm(
    executor: &Executor,
    contract: Address,
    gas: Gas,
    state: &dyn StateReader,
) -> Result<Warmed, ExecutionError> {
    executor.warm(&Warming::new(HEIGHT, &[call(contract, gas)]), 0, state)
}

/// What the cache counts for one program of a hundred instructions.
fn counted() -> usize {
    let executor = executor();
    let (hash, bytes) = code(0, 100);
    let (machine, _) = executor.versions_at(HEIGHT);
    executor
        .programs()
        .load(&hash, &bytes, machine)
        .unwrap()
        .counted_bytes()
}

#[test]
fn contracts_are_listed_once_with_the_most_gas_of_their_calls() {
    let transfer = Payload::Transfer { to: at(9), value: 1 };
    let deploy = Payload::Deploy {
        code: vec![1],
        value: 0,
        input: Vec::new(),
    };
    let transactions = [
        call(at(3), 10),
        signed(99, transfer),
        call(at(1), 20),
        call(at(3), 30),
        signed(99, deploy),
        call(at(3), 5),
    ];
    let listed = Warming::new(HEIGHT, &transactions).called;
    let expected = [(at(1), 20), (at(3), 30)].map(|(contract, gas)| Called { contract, gas });
    assert_eq!(listed, expected);
}

#[test]
fn a_program_is_loaded_once_and_then_costs_one_look_at_the_account() {
    let (executor, mut state) = (executor(), State::default());
    let (hash, bytes) = code(1, 100);
    state.install(at(1), hash, Some(&bytes));
    state.install(at(2), hash, Some(&bytes));
    assert_eq!(warm(&executor, at(1), ENOUGH, &state), Ok(Warmed::Loaded));
    assert_eq!(state.reads(), 2);
    for contract in [at(1), at(2)] {
        assert_eq!(warm(&executor, contract, ENOUGH, &state), Ok(Warmed::Held));
        assert_eq!(state.reads(), 1);
    }
    let (machine, _) = executor.versions_at(HEIGHT);
    let program = executor.programs().get(&hash, machine).unwrap().program;
    assert_eq!(program.decoded_pages(), 1);
}

#[test]
fn of_large_text_a_part_is_decoded_and_for_a_compiler_none() {
    let pages = u32::try_from(MOST_DECODED_BYTES / 4096).unwrap();
    let (hash, bytes) = code(1, (pages + 3) * 1024);
    let mut state = State::default();
    state.install(at(1), hash, Some(&bytes));
    for (tier, expected) in [
        (Tier::Interpreter, pages as usize),
        (Tier::Auto, pages as usize),
        (Tier::Jit, 0),
    ] {
        let executor = executor().with_tier(tier);
        assert_eq!(warm(&executor, at(1), ENOUGH, &state), Ok(Warmed::Loaded));
        let (machine, _) = executor.versions_at(HEIGHT);
        let program = executor.programs().get(&hash, machine).unwrap().program;
        assert_eq!(program.decoded_pages(), expected, "{tier:?}");
    }
}

#[test]
fn what_is_no_program_or_not_there_leaves_nothing_behind() {
    let (executor, mut state) = (executor(), State::default());
    let garbage = vec![7; 300];
    state.install(at(1), code_hash(&garbage), Some(&garbage));
    state.install(at(2), Hash([2; 32]), None);
    let record = borsh::to_vec(&Account {
        balance: 5,
        ..Account::default()
    });
    state.values.insert(account_path(&at(3)), record.unwrap().into());
    state.values.insert(account_path(&at(4)), Arc::from([1, 2, 3]));
    assert_eq!(warm(&executor, at(1), ENOUGH, &state), Ok(Warmed::Nothing));
    assert_eq!(warm(&executor, at(3), ENOUGH, &state), Ok(Warmed::Nothing));
    assert_eq!(warm(&executor, at(5), ENOUGH, &state), Ok(Warmed::Nothing));
    for damaged in [at(2), at(4)] {
        let found = warm(&executor, damaged, ENOUGH, &state);
        assert!(
            matches!(found, Err(ExecutionError::CorruptState { .. })),
            "{found:?}"
        );
    }
    assert_eq!(executor.programs().held(), (0, 0));
}

#[test]
fn a_file_whose_first_run_nobody_pays_is_not_looked_at() {
    let (executor, mut state) = (executor(), State::default());
    let (hash, bytes) = code(1, 100);
    state.install(at(1), hash, Some(&bytes));
    let (_, schedule) = executor.versions_at(HEIGHT);
    let price = schedule.first_run.of(bytes.len() as u64);
    assert_eq!(warm(&executor, at(1), price - 1, &state), Ok(Warmed::Nothing));
    assert_eq!(executor.programs().held(), (0, 0));
    assert_eq!(warm(&executor, at(1), price, &state), Ok(Warmed::Loaded));
}

/// Ten thousand contracts, each with a program of its own; what is in use stays in a cache that is full.
#[test]
fn a_block_that_calls_thousands_of_contracts_gets_its_share_of_the_cache_and_no_more() {
    const ROOM: usize = 64;
    let executor = executor().with_program_bytes(ROOM * counted());
    let (machine, _) = executor.versions_at(HEIGHT);
    let in_use: Vec<_> = (0..64).map(|index| code(index, 100)).collect();
    for (hash, bytes) in &in_use {
        executor.programs().load(hash, bytes, machine).unwrap();
    }
    let mut state = State::default();
    for n in 0..10_000 {
        // Programs count by their hashes, which are taken as the state says.
        let (_, bytes) = code(u8::try_from(n % 251).unwrap(), 100);
        state.install(at(n), Hash(at(n).0.map(|byte| byte ^ 0xff)), Some(&bytes));
    }
    let block: Vec<_> = (0..10_000).map(|n| call(at(n), ENOUGH)).collect();
    let warming = Warming::new(HEIGHT, &block);
    assert_eq!(warming.len(), MOST_CONTRACTS);
    let loaded: Vec<_> = (0..warming.len())
        .map(|index| executor.warm(&warming, index, &state).unwrap())
        .collect();
    let share = ROOM / SHARE;
    assert_eq!(loaded[..share], vec![Warmed::Loaded; share]);
    assert_eq!(loaded[share..], vec![Warmed::Enough; MOST_CONTRACTS - share]);
    assert_eq!(
        state.reads(),
        2 * share,
        "what there is no room for is not looked up"
    );
    // The first newcomer drives out an eighth, which the others fill.
    let kept = in_use
        .iter()
        .filter(|(hash, _)| executor.programs().get(hash, machine).is_some());
    assert_eq!(kept.count(), ROOM - ROOM / 8 - 1);
    assert_eq!(executor.programs().held(), (ROOM - 1, (ROOM - 1) * counted()));
}
