//! Blocks: order, determinism, readers that fail, read-only calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millrace_executor::host::number;
use millrace_executor::{BlockContext, ExecutionError, ReadError, ReadOnlyCall, StateReader};
use millrace_types::receipt::Failure;
use millrace_types::state::{Account, Path, account_path};
use millrace_types::{Address, Amount, Outcome, Payload, SignedTransaction};

use crate::common::world::{GAS, contract};
use crate::common::{Answers, SCRATCH, Script, World, elf, key};

/// Transactions of all senders that depend on each other's effects.
fn busy(world: &World) -> Vec<SignedTransaction> {
    let call = |input| Payload::Call {
        to: contract(0),
        value: 3,
        input,
    };
    let count = |n: u8| {
        Script::new()
            .storage_get(b"n", 0, 8)
            .storage_set(b"n", &[n; 3])
            .log(&[], &[n])
            .returning(8)
    };
    let created = Address::of_deploy(&key(1).address(), 0);
    vec![
        world.sign_at(0, 0, call(count(1))),
        world.sign_at(
            1,
            0,
            Payload::Deploy {
                code: elf(),
                value: 9,
                input: count(2),
            },
        ),
        world.sign_at(0, 1, call(count(3))),
        world.sign_at(
            2,
            0,
            Payload::Call {
                to: created,
                value: 0,
                input: count(4),
            },
        ),
        world.sign_at(3, 0, call(Script::new().storage_set(b"n", b"undone").trapping())),
        world.sign_at(
            1,
            1,
            Payload::Transfer {
                to: contract(0),
                value: 1,
            },
        ),
        world.sign_at(0, 2, call(count(5))),
    ]
}

#[test]
fn transactions_see_what_the_ones_before_them_left() {
    let mut world = World::new();
    let output = world.execute(&busy(&world));
    let outcomes: Vec<_> = output
        .receipts
        .iter()
        .map(|receipt| receipt.outcome.clone())
        .collect();
    let good = Outcome::Success;
    let expected = [&good, &good, &good, &good, &Outcome::Trapped, &good, &good];
    assert_eq!(outcomes.iter().collect::<Vec<_>>(), expected);
    let seen = |index: usize| {
        Answers(output.receipts[index].output.clone())
            .scratch(0, 3)
            .to_vec()
    };
    assert_eq!(
        [0, 2, 3, 6].map(seen),
        [vec![0; 3], vec![1; 3], vec![2; 3], vec![3; 3]]
    );
    assert_eq!(world.balance(&contract(0)), 1_000 + 3 * 3 + 1);
    assert!(
        output
            .receipts
            .iter()
            .enumerate()
            .all(|(index, receipt)| receipt.index as usize == index)
    );
}

#[test]
fn executing_again_gives_the_same_bytes() {
    let mut world = World::new();
    world.gas_price = 3;
    let transactions = busy(&world);
    let output = world
        .executor
        .execute_block(&world.block, &transactions, &world.state)
        .unwrap();
    let again = World::new()
        .executor
        .execute_block(&world.block, &transactions, &world.state)
        .unwrap();
    let third = world
        .executor
        .execute_block(&world.block, &transactions, &world.state)
        .unwrap();
    assert_eq!(
        (&output, &output),
        (&again, &third),
        "with cold and with warm caches"
    );
    assert_eq!(
        borsh::to_vec(&output.receipts).unwrap(),
        borsh::to_vec(&again.receipts).unwrap()
    );
}

#[test]
fn state_does_not_depend_on_how_transactions_are_split_into_blocks() {
    let all = World::new();
    let transactions = busy(&all);
    let mut expected = None;
    for size in [7, 1, 2, 3] {
        let mut world = World::new();
        let receipts: Vec<_> = transactions
            .chunks(size)
            .flat_map(|block| world.execute(block).receipts)
            .collect();
        let gas: Vec<_> = receipts.iter().map(|receipt| receipt.gas_used).collect();
        let result = (world.state, gas);
        assert_eq!(
            expected.get_or_insert_with(|| result.clone()),
            &result,
            "blocks of {size}"
        );
    }
}

#[test]
fn a_single_transaction_answers_the_same_as_a_block_of_it() {
    let world = World::new();
    let transaction = &busy(&world)[0];
    let block = world
        .executor
        .execute_block(&world.block, std::slice::from_ref(transaction), &world.state)
        .unwrap();
    let single = world
        .executor
        .execute_transaction(&world.block, 0, transaction, &world.state)
        .unwrap();
    assert_eq!(
        (single.receipt, single.changes),
        (block.receipts[0].clone(), block.changes)
    );
    assert_eq!((single.burned, single.tip), (block.burned, block.tips));
}

/// A state whose `countdown`-th read fails.
struct Failing<'a> {
    state: &'a BTreeMap<Path, Arc<[u8]>>,
    countdown: AtomicUsize,
    error: ReadError,
}

impl StateReader for Failing<'_> {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        match self.countdown.fetch_sub(1, Ordering::Relaxed) {
            0 => Err(self.error.clone()),
            _ => Ok(self.state.get(path).cloned()),
        }
    }
}

#[test]
fn a_failing_read_ends_the_execution_wherever_it_happens() {
    let world = World::new();
    let inner = Script::new()
        .storage_get(b"k", 0, 0)
        .balance(&Address([1; 32]), 0)
        .transfer(&Address([2; 32]), 1);
    let script = Script::new()
        .call(&contract(1), 1, GAS, &inner.finish())
        .create(1, GAS, &elf(), &[], 0);
    let payload = Payload::Call {
        to: contract(0),
        value: 0,
        input: script.finish(),
    };
    let transactions = [world.sign(0, payload)];
    let mut failures = 0;
    for error in [ReadError::Unavailable, ReadError::Failed("unplugged".into())] {
        for reads in 0.. {
            let executor = World::new().executor;
            let state = Failing {
                state: &world.state,
                countdown: reads.into(),
                error: error.clone(),
            };
            match executor.execute_block(&world.block, &transactions, &state) {
                Err(found) => assert_eq!(found, ExecutionError::Read(error.clone())),
                Ok(output) => {
                    assert_eq!(output.receipts[0].outcome, Outcome::Success);
                    break;
                }
            }
            failures += 1;
        }
    }
    assert!(failures >= 2 * 7, "{failures} reads failed");
}

#[test]
fn damaged_state_is_an_error_of_the_node_and_not_of_the_transaction() {
    let mut world = World::new();
    world
        .state
        .insert(account_path(&contract(0)), vec![1, 2, 3].into());
    let call = world.sign(
        0,
        Payload::Call {
            to: contract(0),
            value: 0,
            input: vec![],
        },
    );
    let error = world.try_execute(&[call]).unwrap_err();
    let message = format!(
        "the state under path {} is damaged: no account record decodes from it",
        millrace_types::Hash(account_path(&contract(0)))
    );
    assert_eq!(error.to_string(), message);
    let mut world = World::new();
    world.state.remove(&millrace_types::state::code_path(
        &millrace_types::state::code_hash(&elf()),
    ));
    let call = world.sign(
        0,
        Payload::Call {
            to: contract(0),
            value: 0,
            input: vec![],
        },
    );
    assert!(matches!(
        world.try_execute(&[call]),
        Err(ExecutionError::CorruptState { .. })
    ));
}

#[test]
fn a_read_only_call_answers_and_changes_nothing() {
    let mut world = World::new();
    world.script(Script::new().storage_set(b"k", b"stored").finish());
    let input = Script::new()
        .storage_get(b"k", 0, 8)
        .storage_set(b"k", b"changed")
        .host(number::CALLER, &[SCRATCH + 8])
        .host(number::VALUE, &[SCRATCH + 40])
        .log(&[], b"seen")
        .returning(56);
    let (from, before) = (Address([0x0f; 32]), world.state.clone());
    let call = ReadOnlyCall {
        from,
        to: contract(0),
        value: 12,
        input,
        gas_limit: GAS,
    };
    let outcome = world
        .executor
        .call_read_only(&world.block, &call, &world.state)
        .unwrap();
    assert_eq!((&outcome.outcome, outcome.logs.len()), (&Outcome::Success, 1));
    let answers = Answers(outcome.output);
    assert_eq!(answers.scratch(0, 8), b"stored\0\0");
    assert_eq!((answers.scratch(8, 32), answers.amount(40)), (&from.0[..], 12));
    assert_eq!(world.state, before);
    let exact = ReadOnlyCall {
        gas_limit: outcome.gas_used,
        ..call.clone()
    };
    let again = world
        .executor
        .call_read_only(&world.block, &exact, &world.state)
        .unwrap();
    assert_eq!(again.outcome, Outcome::Success, "the gas that it used is enough");
    let short = ReadOnlyCall {
        gas_limit: outcome.gas_used - 1,
        ..call.clone()
    };
    let trapped = world
        .executor
        .call_read_only(&world.block, &short, &world.state)
        .unwrap();
    assert_eq!(
        (&trapped.outcome, trapped.gas_used),
        (&Outcome::Trapped, outcome.gas_used - 1)
    );
    assert_eq!(trapped.traps[0].trap.kind.to_string(), "out of gas");
    let nobody = ReadOnlyCall {
        to: from,
        ..call.clone()
    };
    let failed = world
        .executor
        .call_read_only(&world.block, &nobody, &world.state)
        .unwrap();
    assert_eq!(failed.outcome, Outcome::Failed(Failure::NoCode));
    let endless = ReadOnlyCall {
        gas_limit: u64::MAX,
        ..call
    };
    let outcome = world
        .executor
        .call_read_only(&world.block, &endless, &world.state)
        .unwrap();
    assert_eq!(
        outcome.outcome,
        Outcome::Success,
        "limits beyond the machine's are capped"
    );
}

#[test]
fn traps_of_inner_frames_are_kept_for_diagnostics() {
    let world = World::new();
    let inner = Script::new().host(0xbad, &[]).finish();
    let mut script = Script::new();
    for _ in 0..20 {
        script = script.call(&contract(1), 0, 200_000, &inner);
    }
    let input = script.trapping();
    let transaction = world.sign(
        0,
        Payload::Call {
            to: contract(0),
            value: 0,
            input,
        },
    );
    let output = world
        .executor
        .execute_transaction(&world.block, 0, &transaction, &world.state)
        .unwrap();
    let traps = &output.diagnostics.traps;
    assert_eq!(traps.len(), millrace_executor::MAX_KEPT_TRAPS);
    let places: Vec<_> = traps.iter().map(|trap| (trap.contract, trap.depth)).collect();
    assert_eq!((places[0], places[15]), ((contract(1), 2), (contract(0), 1)));
    assert_eq!(
        traps[0].trap.to_string(),
        "host call refused: unknown host call (pc 0x20100)"
    );
    assert_eq!(traps[15].trap.kind.to_string(), "breakpoint");
}

#[test]
fn a_context_is_that_of_its_header() {
    let header = millrace_types::Header {
        version: 1,
        chain_id: 7,
        height: 9,
        parent_hash: millrace_types::Hash::ZERO,
        timestamp_ms: 77,
        proposer: contract(2),
        transactions_root: millrace_types::Hash::ZERO,
        gas_limit: 1_234,
        settled_height: 0,
        settlement_hash: millrace_types::Hash::ZERO,
        delayed_state_root: None,
        consensus_data: Vec::new(),
        seal: Vec::new(),
    };
    let expected = BlockContext {
        height: 9,
        timestamp_ms: 77,
        proposer: contract(2),
        gas_limit: 1_234,
    };
    assert_eq!(BlockContext::of(&header), expected);
}

#[test]
fn a_read_only_call_that_brings_more_than_can_be_is_the_callers_mistake() {
    let mut world = World::new();
    let rich = Account {
        balance: (1 << 127) - 1,
        ..world.account(&key(0).address())
    };
    let record = borsh::to_vec(&rich).unwrap().into();
    world.state.insert(account_path(&key(0).address()), record);
    let call = |value: Amount| {
        let input = Script::new().transfer(&key(0).address(), value).returning(0);
        let call = ReadOnlyCall {
            from: key(1).address(),
            to: contract(0),
            value,
            input,
            gas_limit: GAS,
        };
        world.executor.call_read_only(&world.block, &call, &world.state)
    };
    assert_eq!(call(1 << 127).unwrap().outcome, Outcome::Success);
    for value in [(1 << 127) + 1, Amount::MAX] {
        assert_eq!(call(value), Err(ExecutionError::TooMuchValue { value }));
    }
}
