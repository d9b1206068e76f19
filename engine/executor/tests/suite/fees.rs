//! What transactions pay, whatever comes of them, and what is not admissible.

use millrace_executor::gas::schedule;
use millrace_executor::{ExecutionError, NotAdmissible, charged_gas, intrinsic_gas, most_cost};
use millrace_types::receipt::Failure;
use millrace_types::state::account_path;
use millrace_types::{Address, Amount, Gas, GasPrice, Outcome, Payload, Transaction};
use proptest::prelude::*;

use crate::common::world::{BALANCE, SENDERS, contract, spec};
use crate::common::{Script, World, elf, key};

const RECEIVER: Address = Address([0x44; 32]);

fn transfer(value: Amount) -> Payload {
    Payload::Transfer { to: RECEIVER, value }
}

fn world_with_minimum(min_gas_price: GasPrice) -> World {
    let mut spec = spec();
    spec.limits.min_gas_price = min_gas_price;
    World::with_spec(spec)
}

#[test]
fn a_transfer_pays_and_moves_its_value() {
    let mut world = world_with_minimum(3);
    world.gas_price = 10;
    world.gas_limit = 60_000;
    let transaction = world.sign(0, transfer(500));
    let used = intrinsic_gas(&transaction, schedule(1).unwrap());
    let output = world.execute(&[transaction]);
    let receipt = &output.receipts[0];
    assert_eq!(
        (&receipt.outcome, receipt.gas_used, receipt.gas_charged),
        (&Outcome::Success, used, used)
    );
    let paid = Amount::from(used);
    assert_eq!((output.burned, output.tips), (paid * 3, paid * 7));
    assert_eq!((output.gas_used, output.gas_charged), (used, used));
    assert_eq!(world.balance(&key(0).address()), BALANCE - 500 - paid * 10);
    assert_eq!(world.balance(&world.block.proposer), paid * 7);
    assert_eq!(world.balance(&RECEIVER), 500);
    assert_eq!(output.changes.len(), 3);
}

#[test]
fn half_of_the_limit_is_paid_at_least() {
    let mut world = World::new();
    world.gas_limit = 1_000_001;
    let receipt = world.run(transfer(1));
    assert_eq!(receipt.gas_charged, 500_001);
    assert_eq!(world.balance(&key(0).address()), BALANCE - 1 - 500_001);
}

#[test]
fn every_outcome_uses_the_nonce_pays_and_keeps_value_unless_it_succeeds() {
    let call = |to, input| Payload::Call { to, value: 70, input };
    let deploy = |code, input| Payload::Deploy {
        code,
        value: 70,
        input,
    };
    let good = Script::new().finish();
    for (payload, outcome) in [
        (transfer(70), Outcome::Success),
        (call(contract(1), good.clone()), Outcome::Success),
        (deploy(elf(), good), Outcome::Success),
        (call(contract(1), Script::new().reverting(0)), Outcome::Reverted),
        (deploy(elf(), Script::new().reverting(0)), Outcome::Reverted),
        (call(contract(1), Script::new().trapping()), Outcome::Trapped),
        (deploy(elf(), vec![]), Outcome::Trapped),
        (call(RECEIVER, vec![]), Outcome::Failed(Failure::NoCode)),
        (
            deploy(vec![0; 100], vec![]),
            Outcome::Failed(Failure::InvalidProgram),
        ),
    ] {
        let mut world = World::new();
        let receipt = world.run(payload);
        let account = world.account(&key(0).address());
        let kept = if receipt.outcome == Outcome::Success {
            70
        } else {
            0
        };
        assert_eq!(receipt.outcome, outcome);
        assert_eq!(account.nonce, 1);
        assert_eq!(
            account.balance,
            BALANCE - kept - Amount::from(receipt.gas_charged),
            "{outcome:?}"
        );
    }
}

#[test]
fn the_proposer_is_paid_once_at_the_end() {
    let mut world = World::new();
    world.block.proposer = contract(0);
    world.gas_price = 4;
    let look = Script::new().balance(&contract(0), 0).returning(16);
    let call = || Payload::Call {
        to: contract(0),
        value: 0,
        input: look.clone(),
    };
    let transactions = [world.sign(0, call()), world.sign(1, call())];
    let output = world.execute(&transactions);
    for receipt in &output.receipts {
        assert_eq!(receipt.output[4096..], 1_000_u128.to_le_bytes());
    }
    let tips: Amount = output
        .receipts
        .iter()
        .map(|receipt| Amount::from(receipt.gas_charged) * 3)
        .sum();
    assert_eq!((output.tips, world.balance(&contract(0))), (tips, 1_000 + tips));
}

#[test]
fn nothing_is_written_for_a_proposer_without_tips() {
    let mut world = World::new();
    let output = world.execute(&[]);
    assert!(output.changes.is_empty() && output.receipts.is_empty());
    let transaction = world.sign(0, transfer(1));
    assert_eq!(
        world.execute(&[transaction]).changes.len(),
        2,
        "the price is the minimum, all burned"
    );
}

#[test]
fn a_transfer_of_nothing_makes_no_account() {
    let mut world = World::new();
    let receipt = world.run(transfer(0));
    assert_eq!(receipt.outcome, Outcome::Success);
    assert!(!world.state.contains_key(&account_path(&RECEIVER)));
}

fn refused(world: &mut World, change: impl FnOnce(&mut Transaction)) -> NotAdmissible {
    let mut transaction = world.sign(0, transfer(5)).transaction;
    change(&mut transaction);
    let signed = transaction.sign(&key(0));
    let hash = signed.hash();
    let first = world.sign(1, transfer(1));
    let before = world.state.clone();
    match world.try_execute(&[first, signed]).unwrap_err() {
        ExecutionError::NotAdmissible {
            index: 1,
            transaction,
            reason,
        } if transaction == hash => {
            assert_eq!(world.state, before);
            reason
        }
        error => panic!("{error}"),
    }
}

#[test]
fn what_admission_refuses_is_an_error_and_no_outcome() {
    let mut world = world_with_minimum(2);
    world.gas_price = 2;
    let least = intrinsic_gas(&world.sign(0, transfer(5)), schedule(1).unwrap());
    let mut refused = |change: &dyn Fn(&mut Transaction)| refused(&mut world, change);
    assert_eq!(
        refused(&|t| t.chain_id = 8),
        NotAdmissible::Chain {
            expected: 7,
            found: 8
        }
    );
    assert_eq!(
        refused(&|t| t.nonce = 1),
        NotAdmissible::Nonce {
            expected: 0,
            found: 1
        }
    );
    assert_eq!(
        refused(&|t| t.gas_price = 1),
        NotAdmissible::GasPrice { price: 1, minimum: 2 }
    );
    assert_eq!(
        refused(&|t| t.gas_limit = least - 1),
        NotAdmissible::GasLimit {
            limit: least - 1,
            intrinsic: least,
            maximum: 200_000_000
        }
    );
    assert!(matches!(
        refused(&|t| t.gas_limit = 200_000_001),
        NotAdmissible::GasLimit { .. }
    ));
    let needed = BALANCE + 1;
    assert_eq!(
        refused(&|t| t.payload = transfer(BALANCE + 1 - 20_000_000)),
        NotAdmissible::Unpayable {
            balance: BALANCE,
            needed
        }
    );
    assert_eq!(
        refused(&|t| t.payload = transfer(Amount::MAX)),
        NotAdmissible::Unpayable {
            balance: BALANCE,
            needed: Amount::MAX
        }
    );
}

#[test]
fn a_balance_that_covers_the_worst_case_exactly_is_enough() {
    let mut world = World::new();
    let transaction = world.sign(0, transfer(BALANCE - Amount::from(crate::common::world::GAS)));
    assert_eq!(most_cost(&transaction.transaction), Some(BALANCE));
    let receipt = &world.execute(&[transaction]).receipts[0];
    assert_eq!(receipt.outcome, Outcome::Success);
    assert_eq!(
        world.balance(&key(0).address()),
        Amount::from(receipt.gas_charged)
    );
}

proptest! {
    #[test]
    fn the_charge_lies_between_half_the_limit_and_the_limit(limit in 0..1u64 << 62, used in 0..1u64 << 62) {
        let used = used.min(limit);
        let charged = charged_gas(used, limit);
        prop_assert!(charged >= used && charged <= limit);
        prop_assert!(Amount::from(charged) * 2 >= Amount::from(limit));
        prop_assert!(charged == used || charged == limit / 2 + limit % 2);
    }

    #[test]
    fn fees_add_up_for_any_price_limit_and_value(
        minimum in 1u64..1 << 20,
        above in 0u64..1 << 20,
        limit in 50_000 as Gas..200_000_000,
        value in 0 as Amount..1 << 70,
        sender in 0..SENDERS,
        missing: bool,
    ) {
        let mut world = world_with_minimum(minimum);
        world.gas_price = minimum + above;
        world.gas_limit = limit;
        let payload = if missing {
            Payload::Call { to: RECEIVER, value, input: vec![] }
        } else {
            transfer(value)
        };
        let transaction = world.sign(sender, payload);
        let output = world.execute(&[transaction]);
        let receipt = &output.receipts[0];
        let charged = Amount::from(receipt.gas_charged);
        prop_assert_eq!(output.burned, charged * Amount::from(minimum));
        prop_assert_eq!(output.tips, charged * Amount::from(above));
        let moved = if missing { 0 } else { value };
        let paid = output.burned + output.tips + moved;
        prop_assert_eq!(world.balance(&key(sender).address()), BALANCE - paid);
        prop_assert_eq!(world.balance(&RECEIVER), moved);
        prop_assert_eq!(world.balance(&world.block.proposer), output.tips);
    }
}
