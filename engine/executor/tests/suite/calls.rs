//! Balances, transfers, calls between contracts, and what is undone with a frame.

use millrace_executor::host::{number, status};
use millrace_types::{Address, Amount, Outcome, Payload};

use crate::common::world::{GAS, contract};
use crate::common::{Answers, SCRATCH, Script, World, key, result_of};

const UNMAPPED: u64 = 0x8000_0000;
const STRANGER: Address = Address([0x55; 32]);

#[test]
fn transfers_move_value_if_the_balance_covers_it() {
    let mut world = World::new();
    let script = Script::new()
        .transfer(&STRANGER, 1_001)
        .transfer(&STRANGER, 400)
        .transfer(&contract(0), 600)
        .transfer(&contract(0), 601)
        .transfer(&contract(1), 0)
        .transfer(&STRANGER, Amount::MAX)
        .balance(&STRANGER, 0)
        .balance(&contract(0), 16)
        .balance(&Address([0x77; 32]), 32);
    let answers = world.answers(script.returning(48));
    let statuses: Vec<_> = (0..6).map(|call| answers.a0(call)).collect();
    assert_eq!(statuses, [3, 0, 0, 3, 0, 3]);
    assert_eq!([0, 16, 32].map(|at| answers.amount(at)), [400, 600, 0]);
    assert_eq!(
        (world.balance(&STRANGER), world.balance(&contract(0))),
        (400, 600)
    );
    assert_eq!(world.balance(&contract(1)), 1_000);
}

#[test]
fn a_transfer_to_a_contract_runs_no_code() {
    let mut world = World::new();
    let answers = world.answers(Script::new().transfer(&contract(1), 10).returning(0));
    assert_eq!(
        answers.result(0).0,
        status::SUCCESS,
        "an empty script would have trapped"
    );
    let receipt = world.run(Payload::Transfer {
        to: contract(1),
        value: 5,
    });
    assert_eq!(
        (receipt.outcome, world.balance(&contract(1))),
        (Outcome::Success, 1_015)
    );
}

#[test]
fn the_sender_s_balance_is_what_is_left_after_the_worst_case() {
    let mut world = World::new();
    let sender = key(0).address();
    let before = world.balance(&sender);
    let input = Script::new().balance(&sender, 0).returning(16);
    let receipt = world.run(Payload::Call {
        to: contract(0),
        value: 9,
        input,
    });
    assert_eq!(Answers(receipt.output).amount(0), before - 9 - Amount::from(GAS));
}

#[test]
fn a_call_answers_how_the_callee_ended() {
    let mut world = World::new();
    let returning = Script::new().storage_set(b"k", b"returned").returning(0);
    let reverting = Script::new().storage_set(b"k", b"reverted").reverting(8);
    let trapping = Script::new().storage_set(b"k", b"trapped").trapping();
    let script = Script::new()
        .call(&contract(1), 10, 1_000_000, &returning)
        .call(&contract(2), 20, 1_000_000, &reverting)
        .host(number::RETURN_DATA, &[SCRATCH, 4090, 8192])
        .call(&contract(3), 30, 1_000_000, &trapping)
        .host(number::RETURN_DATA, &[SCRATCH, 0, 8])
        .balance(&contract(0), 0);
    let answers = world.answers(script.returning(16));
    assert_eq!(answers.result(0), (status::SUCCESS, 4096));
    assert_eq!(answers.result(1), (status::REVERTED, 4096 + 8));
    assert_eq!(answers.a0(2), 14, "return data from the offset to its end");
    assert_eq!(answers.result(3), (status::TRAPPED, 0));
    assert_eq!(answers.a0(4), 0);
    assert_eq!(
        answers.amount(0),
        990,
        "value comes back unless the callee returns"
    );
    assert_eq!(world.stored(&contract(1), b"k").unwrap(), b"returned");
    assert_eq!(
        [2, 3].map(|index| world.stored(&contract(index), b"k")),
        [None, None]
    );
    assert_eq!(
        [1, 2, 3].map(|index| world.balance(&contract(index))),
        [1_010, 1_000, 1_000]
    );
}

#[test]
fn calls_that_cannot_start_say_why_and_leave_no_return_data() {
    let mut world = World::new();
    let echo = Script::new().returning(0);
    let script = Script::new()
        .call(&contract(1), 0, GAS, &echo)
        .call(&contract(1), 1_001, GAS, &echo)
        .host(number::RETURN_DATA, &[SCRATCH, 0, 8])
        .call(&STRANGER, 5, GAS, &echo)
        .call(&STRANGER, 1_001, GAS, &echo)
        .call(&key(1).address(), 0, GAS, &echo)
        .balance(&STRANGER, 0);
    let answers = world.answers(script.returning(16));
    let results: Vec<_> = (0..6).map(|call| answers.result(call)).collect();
    let none = |status| (status, 0);
    assert_eq!(results[0], (status::SUCCESS, 4096));
    assert_eq!(results[1], none(status::INSUFFICIENT_BALANCE));
    assert_eq!(results[2].0, 0, "no return data is left");
    assert_eq!(results[3], none(status::NO_CODE));
    assert_eq!(
        results[4],
        none(status::INSUFFICIENT_BALANCE),
        "the lowest status that applies"
    );
    assert_eq!(results[5], none(status::NO_CODE));
    assert_eq!(answers.amount(0), 0);
}

#[test]
fn a_contract_may_call_itself_and_each_frame_has_its_own_memory() {
    let mut world = World::new();
    let inner = Script::new()
        .storage_get(b"n", 0, 8)
        .storage_set(b"n", b"inner")
        .host(number::SELF_ADDRESS, &[SCRATCH + 8])
        .returning(40);
    let script = Script::new()
        .storage_set(b"n", b"outer")
        .host(number::VALUE, &[SCRATCH + 64])
        .call(&contract(0), 1_000, GAS, &inner)
        .storage_get(b"n", 0, 8)
        .host(number::RETURN_DATA, &[SCRATCH + 128, 4096, 64]);
    let answers = world.answers(script.returning(192));
    assert_eq!(answers.result(2), (status::SUCCESS, 4096 + 40));
    assert_eq!(answers.scratch(0, 8), b"inner\0\0\0");
    assert_eq!(answers.scratch(128, 8), b"outer\0\0\0");
    assert_eq!(answers.scratch(136, 32), contract(0).0);
    assert_eq!(world.balance(&contract(0)), 1_000, "value sent to itself");
}

/// A script that changes everything that a frame can change, in `contract(1)`.
fn everything() -> Script {
    let child = Script::new()
        .storage_set(b"child", b"1")
        .log(&[], b"child")
        .finish();
    Script::new()
        .storage_set(b"old", b"changed")
        .storage_set(b"new", b"1")
        .storage_remove(b"gone")
        .transient_set(b"t", b"changed")
        .log(&[[1; 32]], b"log")
        .transfer(&STRANGER, 100)
        .create(7, GAS, &crate::common::elf(), &child, 0)
        .call(&contract(2), 50, GAS, &child)
}

#[test]
fn a_frame_that_ends_badly_leaves_nothing() {
    for (ending, outcome) in [(false, status::REVERTED), (true, status::TRAPPED)] {
        let mut world = World::new();
        let setup = Script::new()
            .storage_set(b"old", b"original")
            .storage_set(b"gone", b"still here");
        world.answers(
            Script::new()
                .call(&contract(1), 0, GAS, &setup.finish())
                .transient_set(b"t", b"x")
                .returning(0),
        );
        let before = world.state.clone();
        let bad = if ending {
            everything().trapping()
        } else {
            everything().reverting(0)
        };
        // The bad frame runs two deep: the frame between them ends well.
        let between = Script::new().call(&contract(1), 3, 4_000_000, &bad).returning(0);
        let script = Script::new()
            .call(&contract(1), 2, 8_000_000, &between)
            .host(number::RETURN_DATA, &[SCRATCH, 0, 8])
            .log(&[], b"after");
        let receipt = world.script(script.returning(8));
        assert_eq!(receipt.outcome, Outcome::Success);
        assert_eq!(receipt.logs.len(), 1);
        assert_eq!(Answers(receipt.output).scratch(0, 8), outcome.to_le_bytes());
        let mut expected = before;
        for (address, gained) in [(contract(0), -2_i128), (contract(1), 2)] {
            let mut account = world.account(&address);
            account.nonce = 0;
            account.balance = Amount::try_from(1_000 + gained).unwrap();
            let record = borsh::to_vec(&account).unwrap().into();
            expected.insert(millrace_types::state::account_path(&address), record);
        }
        for path in [key(0).address(), world.block.proposer].map(|a| millrace_types::state::account_path(&a))
        {
            expected.insert(
                path,
                world
                    .state
                    .get(&path)
                    .cloned()
                    .unwrap_or_else(|| Vec::new().into()),
            );
        }
        expected.retain(|_, value| !value.is_empty());
        assert_eq!(world.state, expected, "ending {outcome}");
    }
}

#[test]
fn the_same_frame_that_ends_well_leaves_everything() {
    let mut world = World::new();
    let script = Script::new().call(&contract(1), 0, GAS, &everything().returning(0));
    let receipt = world.script(script.returning(0));
    assert_eq!(Answers(receipt.output).a0(0), status::SUCCESS);
    assert_eq!(
        receipt.logs.iter().map(|log| &log.data[..]).collect::<Vec<_>>(),
        [&b"log"[..], b"child", b"child"]
    );
    let created = Address::of_create(&contract(1), 0);
    assert_eq!(world.stored(&contract(1), b"new").unwrap(), b"1");
    assert_eq!(world.stored(&created, b"child").unwrap(), b"1");
    assert_eq!(
        [STRANGER, created, contract(1), contract(2)].map(|a| world.balance(&a)),
        [100, 7, 843, 1_050]
    );
    assert_eq!(world.account(&contract(1)).nonce, 1);
    assert!(world.account(&created).code_hash.is_some());
}

#[test]
fn an_outer_frame_undoes_what_an_inner_one_did_well() {
    let mut world = World::new();
    let before = world.state.clone();
    let inner = everything().finish();
    let middle = Script::new().call(&contract(1), 0, GAS, &inner).reverting(0);
    let script = Script::new()
        .call(&contract(2), 0, GAS, &middle)
        .transient_get(b"t", 0, 8);
    let answers = world.answers(script.returning(0));
    assert_eq!(answers.a0(0), status::REVERTED);
    let changed = world
        .state
        .iter()
        .filter(|(path, value)| before.get(*path) != Some(*value))
        .count();
    assert_eq!(changed, 1, "the sender's record");
}

#[test]
fn what_a_callee_does_not_use_comes_back_and_a_trap_takes_it_all() {
    let given = 1_000_000;
    let used = |end: fn(Script) -> Vec<u8>| {
        let inner = end(Script::new().storage_set(b"k", b"v"));
        let script = Script::new()
            .host(number::GAS_LEFT, &[])
            .call(&contract(1), 0, given, &inner)
            .host(number::GAS_LEFT, &[]);
        let answers = World::new().answers(script.returning(0));
        answers.a0(0) - answers.a0(2)
    };
    let (returned, reverted) = (used(Script::finish), used(|script| script.reverting(0)));
    let trapped = used(Script::trapping);
    assert!(returned < 200_000 && reverted < 200_000, "{returned} {reverted}");
    assert!(trapped > given && trapped < given + 20_000, "{trapped}");
}

#[test]
fn a_caller_keeps_a_64th_of_its_gas() {
    let mut world = World::new();
    let inner = Script::new().host(number::GAS_LEFT, &[]).returning(0);
    let script = Script::new()
        .host(number::GAS_LEFT, &[])
        .call(&contract(1), 0, u64::MAX, &inner)
        .host(number::RETURN_DATA, &[SCRATCH, 0, 8])
        .call(&contract(1), 0, u64::MAX, &Script::new().trapping())
        .host(number::GAS_LEFT, &[]);
    let answers = world.answers(script.returning(8));
    assert_eq!(answers.a0(3), status::TRAPPED);
    let inner_left = u64::from_le_bytes(answers.scratch(0, 8).try_into().unwrap());
    let (before, after) = (answers.a0(0), answers.a0(4));
    assert!(inner_left < before - before / 64 && inner_left > before - before / 16);
    assert!(after < before / 64 && after > before / 80, "{after} of {before}");
}

#[test]
fn ranges_and_requests_that_are_wrong_trap() {
    let good = SCRATCH;
    for (number, arguments, access) in [
        (number::BALANCE, vec![UNMAPPED, good], "read of 32"),
        (number::BALANCE, vec![good, UNMAPPED], "write of 16"),
        (number::TRANSFER, vec![UNMAPPED, good], "read of 32"),
        (number::TRANSFER, vec![good, UNMAPPED], "read of 16"),
        (number::CALL, vec![UNMAPPED], "read of 80"),
        (number::CREATE, vec![UNMAPPED, good], "read of 64"),
        (number::CREATE, vec![good, UNMAPPED], "write of 32"),
    ] {
        let message = format!("access fault: {access} bytes at {UNMAPPED:#x}");
        assert_eq!(result_of(number, &arguments), message, "host call {number:#x}");
    }
    for (number, fields, message) in [
        (
            number::CALL,
            vec![0, 0, 0, 0, 0, 0, 1000, UNMAPPED, 9, 0],
            "access fault: read of 9 bytes at 0x80000000",
        ),
        (
            number::CALL,
            vec![0; 9],
            "host call refused: the reserved word of a request is not zero",
        ),
        (
            number::CREATE,
            vec![0, 0, 0, UNMAPPED, 9, 0, 0, 0],
            "access fault: read of 9 bytes at 0x80000000",
        ),
        (
            number::CREATE,
            vec![0, 0, 0, 0, 0, UNMAPPED, 9, 0],
            "access fault: read of 9 bytes at 0x80000000",
        ),
        (
            number::CREATE,
            vec![0; 7],
            "host call refused: the reserved word of a request is not zero",
        ),
    ] {
        let mut script = Script::new();
        let mut fields: Vec<u64> = fields;
        if fields.len() % 2 == 1 {
            fields.push(1);
        }
        let request = script.data(
            &fields
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect::<Vec<_>>(),
        );
        let input = script.host(number, &[request, good]).finish();
        assert_eq!(World::new().trap(input), message, "host call {number:#x}");
    }
}

#[test]
fn a_callee_that_cannot_pay_its_first_run_traps_before_its_file_is_looked_at() {
    let mut world = World::new();
    let junk = world.install(&[0x5a; 8_000]);
    let price = millrace_executor::schedule(1).unwrap().first_run.of(8_000);
    let script = Script::new()
        .call(&junk, 0, price - 1, &[])
        .call(&junk, 0, price, &[])
        .returning(0);
    let statuses = |answers: &Answers| [answers.a0(0), answers.a0(1)];
    for _ in 0..2 {
        assert_eq!(
            statuses(&world.answers(script.clone())),
            [status::TRAPPED, status::INVALID_PROGRAM]
        );
    }
}

#[test]
fn a_transaction_that_cannot_pay_its_contracts_first_run_traps_before_the_file_is_looked_at() {
    let mut world = World::new();
    let junk = world.install(&[0x5a; 8_000]);
    let table = millrace_executor::schedule(1).unwrap();
    let payload = Payload::Call {
        to: junk,
        value: 5,
        input: Vec::new(),
    };
    let intrinsic = millrace_executor::intrinsic_gas(&world.sign(0, payload.clone()), table);
    world.gas_limit = intrinsic + table.first_run.of(8_000) - 1;
    let receipt = world.run(payload.clone());
    assert_eq!(
        (receipt.outcome, receipt.gas_used),
        (Outcome::Trapped, world.gas_limit)
    );
    world.gas_limit += 1;
    assert_eq!(
        world.run(payload).outcome,
        Outcome::Failed(millrace_types::receipt::Failure::InvalidProgram)
    );
    assert_eq!(world.balance(&junk), 0, "the value went back");
}
