//! Nothing panics, no unit appears or disappears, and receipts are well formed: at every gas limit, for random
//! scripts, in random blocks.

use std::collections::BTreeMap;

use millrace_executor::host::number;
use millrace_executor::{BlockOutput, intrinsic_gas, schedule};
use millrace_types::state::{Account, Path};
use millrace_types::{Address, Amount, Gas, Outcome, Payload, SignedTransaction};
use proptest::prelude::*;
use std::sync::Arc;

use crate::common::world::{SENDERS, contract};
use crate::common::{SCRATCH, Script, World, elf, key};

const RECEIVER: Address = Address([0x21; 32]);

/// Sum of all balances: every value of a record's length that decodes as one. Scripts here store shorter values.
fn supply(state: &BTreeMap<Path, Arc<[u8]>>) -> Amount {
    let records = state
        .values()
        .filter_map(|value| borsh::from_slice::<Account>(value).ok());
    records.map(|account| account.balance).sum()
}

/// What holds of every block, whatever is in it.
fn check_block(before: &World, after: &World, transactions: &[SignedTransaction], output: &BlockOutput) {
    assert_eq!(
        supply(&after.state) + output.burned,
        supply(&before.state),
        "supply falls by what is burned"
    );
    assert_eq!(output.receipts.len(), transactions.len());
    let (used, charged) = output.receipts.iter().fold((0, 0), |(used, charged), receipt| {
        (used + receipt.gas_used, charged + receipt.gas_charged)
    });
    assert_eq!((output.gas_used, output.gas_charged), (used, charged));
    let table = schedule(1).unwrap();
    for ((index, transaction), receipt) in (0..).zip(transactions).zip(&output.receipts) {
        let limit = transaction.transaction.gas_limit;
        assert_eq!(
            (receipt.index, receipt.transaction_hash),
            (index, transaction.hash())
        );
        assert!(receipt.gas_used >= intrinsic_gas(transaction, table) && receipt.gas_used <= limit);
        assert!(receipt.gas_charged >= receipt.gas_used && receipt.gas_charged <= limit);
        assert!(receipt.gas_charged >= limit.div_ceil(2));
        let good = receipt.outcome == Outcome::Success;
        assert!(good || receipt.logs.is_empty() && receipt.created.is_none());
        assert!(
            receipt.outcome != Outcome::Trapped || receipt.output.is_empty() && receipt.gas_used == limit
        );
    }
    let written = output
        .changes
        .iter()
        .map(|(path, value)| path.len() + value.as_ref().map_or(0, |v| v.len()));
    assert!(written.sum::<usize>() as u64 <= table.most_written_bytes(output.gas_used));
    for value in output.changes.values().flatten() {
        let empty = borsh::from_slice::<Account>(value).is_ok_and(|account| account == Account::default());
        assert!(!empty, "empty accounts are not stored");
    }
}

/// Executes a block and checks it.
fn execute(world: &mut World, transactions: &[SignedTransaction]) -> BlockOutput {
    let mut before = World::new();
    before.state.clone_from(&world.state);
    let output = world.execute(transactions);
    check_block(&before, world, transactions, &output);
    output
}

/// A script with calls, creations, transfers and reverts nested three deep.
fn nested_scenario() -> Vec<u8> {
    let leaf = Script::new()
        .storage_set(b"leaf", b"1")
        .transfer(&RECEIVER, 5)
        .log(&[], b"leaf");
    let middle = Script::new()
        .storage_set(b"middle", b"1")
        .call(&contract(2), 10, 300_000, &leaf.clone().finish())
        .call(&contract(3), 10, 300_000, &leaf.clone().reverting(0))
        .create(20, 500_000, &elf(), &leaf.clone().finish(), 0)
        .transfer(&RECEIVER, 7);
    Script::new()
        .storage_set(b"outer", b"1")
        .call(&contract(1), 100, 2_000_000, &middle.clone().finish())
        .call(&contract(1), 100, 2_000_000, &middle.reverting(0))
        .create(30, 500_000, &elf(), &leaf.trapping(), 0)
        .host(number::HEAP_GROW, &[3])
        .host(number::BLAKE3, &[SCRATCH, 100, SCRATCH])
        .log(&[[1; 32]], b"outer")
        .returning(32)
}

#[test]
fn a_nested_scenario_is_sound_at_every_gas_limit() {
    let payload = Payload::Call {
        to: contract(0),
        value: 50,
        input: nested_scenario(),
    };
    let mut world = World::new();
    world.gas_price = 3;
    let enough = {
        let transaction = world.sign(0, payload.clone());
        let output = execute(&mut world, &[transaction]);
        assert_eq!(output.receipts[0].outcome, Outcome::Success);
        assert_eq!(output.receipts[0].logs.len(), 3);
        output.receipts[0].gas_used
    };
    let (mut outcomes, mut limit) = (BTreeMap::new(), 0);
    // Steps of a prime length meet every kind of place; the long run takes them all closer.
    let step = if long_run() { 61 } else { 4_999 };
    while limit < enough + 2 * step {
        let mut world = World::new();
        (world.gas_price, world.gas_limit) = (3, limit);
        let transaction = world.sign(0, payload.clone());
        if limit >= intrinsic_gas(&transaction, schedule(1).unwrap()) {
            let output = execute(&mut world, &[transaction]);
            *outcomes
                .entry(format!("{:?}", output.receipts[0].outcome))
                .or_insert(0) += 1;
        }
        limit += step;
    }
    assert!(
        outcomes["Trapped"] > 100 && outcomes["Success"] > 0,
        "{outcomes:?}"
    );
}

#[expect(clippy::disallowed_methods, reason = "a test's length is set from outside")]
pub fn long_run() -> bool {
    std::env::var("MILLRACE_LONG").is_ok()
}

fn cases() -> u32 {
    if long_run() { 20_000 } else { 400 }
}

/// One host call of a random script: well formed or wild.
#[derive(Clone, Debug)]
enum Act {
    Set(u8, Vec<u8>),
    Get(u8),
    Remove(u8),
    Transient(u8, Vec<u8>),
    Log(Vec<u8>),
    Transfer(u8, u16),
    Balance(u8),
    Call {
        to: u8,
        value: u16,
        gas: Gas,
        script: Vec<Act>,
        end: End,
    },
    Create {
        value: u16,
        gas: Gas,
        script: Vec<Act>,
        end: End,
    },
    Wild(u64, [u64; 6]),
}

/// How a random script ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Finish,
    Return,
    Revert,
    Trap,
}

fn address(index: u8) -> Address {
    match index {
        0..4 => contract(index),
        4 => Address::of_create(&contract(0), 0),
        5 => key(1).address(),
        _ => RECEIVER,
    }
}

fn input(script: &[Act], end: End) -> Vec<u8> {
    let script = script.iter().fold(Script::new(), |script, act| match act {
        Act::Set(key, value) => script.storage_set(&[*key], value),
        Act::Get(key) => script.storage_get(&[*key], 0, 8),
        Act::Remove(key) => script.storage_remove(&[*key]),
        Act::Transient(key, value) => script.transient_set(&[*key], value),
        Act::Log(data) => script.log(&[], data),
        Act::Transfer(to, value) => script.transfer(&address(*to), Amount::from(*value)),
        Act::Balance(of) => script.balance(&address(*of), 0),
        Act::Call {
            to,
            value,
            gas,
            script: inner,
            end,
        } => script.call(&address(*to), Amount::from(*value), *gas, &input(inner, *end)),
        Act::Create {
            value,
            gas,
            script: inner,
            end,
        } => script.create(Amount::from(*value), *gas, &elf(), &input(inner, *end), 0),
        Act::Wild(number, arguments) => script.host(*number, arguments),
    });
    match end {
        End::Finish => script.finish(),
        End::Return => script.returning(64),
        End::Revert => script.reverting(8),
        End::Trap => script.trapping(),
    }
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![6 => Just(End::Finish), 3 => Just(End::Return), 2 => Just(End::Revert), 1 => Just(End::Trap)]
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let word = prop_oneof![
        Just(SCRATCH),
        0..300u64,
        SCRATCH..SCRATCH + 0x1_0000,
        any::<u64>(),
        Just(u64::MAX),
        any::<u32>().prop_map(u64::from),
    ];
    let wild =
        (0x100..0x165u64, prop::array::uniform6(word)).prop_map(|(number, words)| Act::Wild(number, words));
    let value = prop::collection::vec(any::<u8>(), 0..20);
    let simple = prop_oneof![
        (0..4u8, value.clone()).prop_map(|(key, value)| Act::Set(key, value)),
        (0..4u8).prop_map(Act::Get),
        (0..4u8).prop_map(Act::Remove),
        (0..4u8, value.clone()).prop_map(|(key, value)| Act::Transient(key, value)),
        value.prop_map(Act::Log),
        (0..7u8, 0..600u16).prop_map(|(to, value)| Act::Transfer(to, value)),
        (0..7u8).prop_map(Act::Balance),
        wild,
    ];
    let gas = prop_oneof![0..3_000_000 as Gas, Just(Gas::MAX)];
    let acts = prop::collection::vec(simple, 0..5);
    acts.prop_recursive(4, 24, 4, move |inner| {
        let call = (0..7u8, 0..600u16, gas.clone(), inner.clone(), ends()).prop_map(
            |(to, value, gas, script, end)| Act::Call {
                to,
                value,
                gas,
                script,
                end,
            },
        );
        let create = (0..600u16, gas.clone(), inner.clone(), ends()).prop_map(|(value, gas, script, end)| {
            Act::Create {
                value,
                gas,
                script,
                end,
            }
        });
        let nested = prop::collection::vec(prop_oneof![3 => call, 1 => create], 1..3);
        (inner.clone(), nested, inner).prop_map(|(before, nested, after)| [before, nested, after].concat())
    })
}

fn payloads() -> impl Strategy<Value = Payload> {
    let value = || 0..2_000 as Amount;
    let script = || (acts(), ends()).prop_map(|(script, end)| input(&script, end));
    prop_oneof![
        1 => (0..7u8, value()).prop_map(|(to, value)| Payload::Transfer { to: address(to), value }),
        6 => (0..7u8, value(), script())
            .prop_map(|(to, value, input)| Payload::Call { to: address(to), value, input }),
        1 => (value(), script()).prop_map(|(value, input)| Payload::Deploy { code: elf(), value, input }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn random_blocks_are_sound_and_deterministic(
        payloads in prop::collection::vec((0..SENDERS, payloads(), 1..4u64, 0..5_000_000 as Gas), 1..5),
        tipped: bool,
    ) {
        let mut world = World::new();
        if tipped {
            world.block.proposer = contract(1);
        }
        let mut nonces = [0; SENDERS as usize];
        let mut transactions = Vec::new();
        for (sender, payload, price, spare) in payloads {
            (world.gas_price, world.gas_limit) = (price, 0);
            let nonce = &mut nonces[usize::from(sender)];
            let intrinsic = intrinsic_gas(&world.sign_at(sender, *nonce, payload.clone()), schedule(1).unwrap());
            world.gas_limit = intrinsic + spare;
            transactions.push(world.sign_at(sender, *nonce, payload));
            *nonce += 1;
        }
        let again = world.executor.execute_block(&world.block, &transactions, &world.state).unwrap();
        let output = execute(&mut world, &transactions);
        prop_assert_eq!(output, again);
    }
}
