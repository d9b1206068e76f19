//! What is said of code before it is sent is what a deploy and a call of it come to; and transactions without a key.

use millrace_executor::{CodeFault, ExecutionError, NotAdmissible, UnsignedOutput};
use millrace_types::{Address, Gas, Outcome, Payload};

use crate::common::world::{contract, spec};
use crate::common::{Script, World, elf, key};

const ANYONE: Address = Address([0x77; 32]);

fn deploy(value: u128, input: Vec<u8>) -> Payload {
    Payload::Deploy {
        code: elf(),
        value,
        input,
    }
}

fn unsigned(world: &World, payload: &Payload, gas: Gas) -> UnsignedOutput {
    world
        .executor
        .execute_unsigned(&world.block, &ANYONE, payload, gas, &world.state)
        .unwrap()
}

/// Whether the frame got as far as its first instruction with so much gas.
fn starts(world: &World, payload: &Payload, gas: Gas) -> bool {
    let output = unsigned(world, payload, gas);
    assert_eq!(output.outcome, Outcome::Trapped);
    output.diagnostics.traps[0].trap.pc != 0
}

#[test]
fn the_gas_before_the_first_instruction_is_exact() {
    let mut world = World::new();
    let report = world.executor.examine_code(world.block.height, &elf());
    assert_eq!(report.faults, []);
    let (of_deploy, of_call) = (report.deploy.unwrap(), report.call.unwrap());
    let call = Payload::Call {
        to: contract(0),
        value: 0,
        input: Vec::new(),
    };
    for (payload, entry) in [(deploy(0, Vec::new()), of_deploy), (call, of_call)] {
        assert!(!starts(&world, &payload, entry.frame - 1), "{payload:?}");
        assert!(starts(&world, &payload, entry.frame), "{payload:?}");
        // Admission names the intrinsic gas when the limit is below it.
        world.gas_limit = 1;
        let transaction = world.sign(0, payload);
        match world.try_execute(&[transaction]) {
            Err(ExecutionError::NotAdmissible {
                reason: NotAdmissible::GasLimit { intrinsic, .. },
                ..
            }) => assert_eq!(intrinsic, entry.intrinsic),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn limits_of_the_chain_refuse_code_by_their_names() {
    let sound = World::new()
        .executor
        .examine_code(0, &elf())
        .deploy
        .unwrap()
        .total();
    for (name, change) in [
        (
            "transaction_bytes",
            (|spec| spec.limits.transaction_bytes = 100) as fn(&mut millrace_types::ChainSpec),
        ),
        ("transaction_gas", |spec| spec.limits.transaction_gas = 100_000),
        ("transaction_pages", |spec| spec.limits.transaction_pages = 66),
    ] {
        let mut spec = spec();
        change(&mut spec);
        let faults = World::with_spec(spec).executor.examine_code(0, &elf()).faults;
        assert_eq!(faults.len(), 1, "{name}: {faults:?}, {sound} gas");
        assert!(
            faults[0].to_string().contains(&format!("limits.{name}")),
            "{}",
            faults[0]
        );
    }
    let report = World::new().executor.examine_code(0, b"#!/bin/sh");
    assert!(matches!(report.faults[..], [CodeFault::Image(_)]) && report.deploy.is_none());
}

#[test]
fn an_unsigned_transaction_does_what_a_signed_one_does_and_costs_no_fee() {
    let mut world = World::new();
    let script = || {
        let script = Script::new().storage_set(b"key", b"value");
        script.finish()
    };
    let call = Payload::Call {
        to: contract(0),
        value: 0,
        input: script(),
    };
    let output = unsigned(&world, &call, 10_000_000);
    let receipt = world.run(call);
    assert_eq!((output.outcome, output.output), (receipt.outcome, receipt.output));
    assert!(
        output.gas_used < receipt.gas_used,
        "the transaction itself is not counted"
    );
    let slot = millrace_types::state::storage_path(&contract(0), b"key");
    assert_eq!(output.changes[&slot].as_deref(), Some(&b"value"[..]));
    assert!(!output.accounts.contains(&slot));
    let account = millrace_types::state::account_path(&ANYONE);
    assert!(output.accounts.contains(&account), "the nonce is used");
    let sender: millrace_types::state::Account =
        borsh::from_slice(output.changes[&account].as_deref().unwrap()).unwrap();
    assert_eq!((sender.nonce, sender.balance), (1, 0));
}

#[test]
fn an_unsigned_transaction_moves_value_that_is_there_and_gives_it_back_on_failure() {
    let world = World::new();
    let sender = key(0).address();
    let run = |payload: &Payload| {
        let output = world
            .executor
            .execute_unsigned(&world.block, &sender, payload, 10_000_000, &world.state)
            .unwrap();
        let path = millrace_types::state::account_path(&sender);
        let account: millrace_types::state::Account =
            borsh::from_slice(output.changes[&path].as_deref().unwrap()).unwrap();
        (output.outcome, world.balance(&sender) - account.balance)
    };
    let finishes = deploy(5, Script::new().finish());
    assert_eq!(run(&finishes), (Outcome::Success, 5));
    // Behind its script, of which there is none, the contract hits a breakpoint.
    assert_eq!(run(&deploy(5, Vec::new())), (Outcome::Trapped, 0));
    let poor = world
        .executor
        .execute_unsigned(&world.block, &ANYONE, &finishes, 10_000_000, &world.state);
    assert!(matches!(
        poor,
        Err(ExecutionError::NotAdmissible {
            reason: NotAdmissible::Unpayable { .. },
            ..
        })
    ));
}
