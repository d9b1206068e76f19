//! Deploys and contracts that create contracts.

use millrace_executor::host::{number, status};
use millrace_types::receipt::Failure;
use millrace_types::state::{Account, account_path, code_hash, code_path};
use millrace_types::{Address, Outcome, Payload, TransactionReceipt};

use crate::common::world::{GAS, contract};
use crate::common::{Answers, SCRATCH, Script, World, elf, key};

fn deploy(world: &mut World, value: u128, input: Vec<u8>) -> TransactionReceipt {
    world.run(Payload::Deploy {
        code: elf(),
        value,
        input,
    })
}

/// Makes `address` hold code, as no transaction can.
fn occupy(world: &mut World, address: &Address) {
    let account = Account {
        nonce: 0,
        balance: 3,
        code_hash: Some(code_hash(&elf())),
    };
    world
        .state
        .insert(account_path(address), borsh::to_vec(&account).unwrap().into());
}

#[test]
fn a_deploy_runs_the_initialiser_once_and_leaves_a_contract() {
    let mut world = World::new();
    let address = Address::of_deploy(&key(0).address(), 0);
    let init = Script::new()
        .host(number::CALL_KIND, &[])
        .host(number::SELF_ADDRESS, &[SCRATCH])
        .host(number::CALLER, &[SCRATCH + 32])
        .storage_set(b"owner", b"me")
        .call(&address, 0, GAS, &Script::new().finish())
        .returning(64);
    let receipt = deploy(&mut world, 500, init);
    assert_eq!(
        (receipt.outcome, receipt.created),
        (Outcome::Success, Some(address))
    );
    let answers = Answers(receipt.output);
    assert_eq!(answers.a0(0), 1, "the call kind");
    assert_eq!(answers.scratch(0, 32), address.0);
    assert_eq!(answers.scratch(32, 32), key(0).address().0);
    assert_eq!(
        answers.a0(4),
        status::NO_CODE,
        "it has no code before its initialiser has returned"
    );
    let account = world.account(&address);
    assert_eq!(
        account,
        Account {
            nonce: 0,
            balance: 500,
            code_hash: Some(code_hash(&elf()))
        }
    );
    assert_eq!(&world.state[&code_path(&code_hash(&elf()))][..], elf());
    assert_eq!(world.stored(&address, b"owner").unwrap(), b"me");
    let input = Script::new()
        .host(number::CALL_KIND, &[])
        .storage_get(b"owner", 0, 8)
        .returning(8);
    let receipt = world.run(Payload::Call {
        to: address,
        value: 0,
        input,
    });
    let answers = Answers(receipt.output);
    assert_eq!(
        (answers.a0(0), answers.a0(1), answers.scratch(0, 2)),
        (0, 2, &b"me"[..])
    );
}

#[test]
fn a_deploy_that_ends_badly_leaves_no_contract_and_returns_the_value() {
    for (input, outcome, output) in [
        (
            Script::new().storage_set(b"k", b"v").reverting(0),
            Outcome::Reverted,
            4096,
        ),
        (
            Script::new().storage_set(b"k", b"v").trapping(),
            Outcome::Trapped,
            0,
        ),
    ] {
        let mut world = World::new();
        let before = world.state.len();
        let receipt = deploy(&mut world, 500, input);
        let paid = u128::from(receipt.gas_charged);
        assert_eq!(
            (receipt.outcome, receipt.created, receipt.output.len()),
            (outcome, None, output)
        );
        assert_eq!(world.state.len(), before);
        assert_eq!(
            world.balance(&key(0).address()),
            crate::common::world::BALANCE - paid
        );
        assert_eq!(world.account(&key(0).address()).nonce, 1);
    }
}

#[test]
fn a_deploy_of_no_program_fails_and_says_why_in_diagnostics_only() {
    let mut world = World::new();
    let transaction = world.sign(
        0,
        Payload::Deploy {
            code: b"no program".to_vec(),
            value: 9,
            input: vec![],
        },
    );
    let output = world.execute(&[transaction]);
    let receipt = &output.receipts[0];
    assert_eq!(receipt.outcome, Outcome::Failed(Failure::InvalidProgram));
    assert_eq!(receipt.gas_charged, GAS / 2);
    assert!(receipt.gas_used < 200_000, "only the intrinsic gas");
    assert!(output.diagnostics[0].image_error.is_some());
    assert_eq!(output.changes.len(), 1);
}

#[test]
fn a_deploy_to_an_address_with_code_fails() {
    let mut world = World::new();
    let address = Address::of_deploy(&key(0).address(), 0);
    occupy(&mut world, &address);
    let receipt = deploy(&mut world, 500, Script::new().finish());
    assert_eq!(receipt.outcome, Outcome::Failed(Failure::AddressCollision));
    assert_eq!((receipt.created, world.balance(&address)), (None, 3));
}

#[test]
fn a_deploy_keeps_what_was_sent_to_the_address_before() {
    let mut world = World::new();
    let address = Address::of_deploy(&key(0).address(), 1);
    world.run(Payload::Transfer {
        to: address,
        value: 11,
    });
    let receipt = deploy(&mut world, 500, Script::new().finish());
    assert_eq!(
        (receipt.outcome, world.balance(&address)),
        (Outcome::Success, 511)
    );
}

#[test]
fn a_contract_creates_contracts_at_counted_addresses() {
    let mut world = World::new();
    let init = Script::new()
        .host(number::CALL_KIND, &[])
        .host(number::CALLER, &[SCRATCH])
        .returning(32);
    let script = Script::new()
        .create(10, GAS, &elf(), &init, 0)
        .host(number::RETURN_DATA, &[SCRATCH + 64, 0, 8])
        .create(20, GAS, &elf(), &init, 32)
        .call(
            &Address::of_create(&contract(0), 0),
            0,
            GAS,
            &Script::new().storage_set(b"a", b"b").finish(),
        );
    let answers = world.answers(script.returning(96));
    let addresses = [0, 1].map(|count| Address::of_create(&contract(0), count));
    assert_eq!(
        [0, 2].map(|call| answers.result(call)),
        [(status::SUCCESS, 4096 + 32); 2]
    );
    assert_eq!(
        [answers.scratch(0, 32), answers.scratch(32, 32)],
        addresses.each_ref().map(|a| &a.0[..])
    );
    assert_eq!(
        answers.scratch(64, 8),
        1u64.to_le_bytes(),
        "the call kind that the initialiser saw"
    );
    assert_eq!(answers.a0(3), status::SUCCESS, "it can be called at once");
    assert_eq!(addresses.map(|address| world.balance(&address)), [10, 20]);
    let creator = world.account(&contract(0));
    assert_eq!((creator.nonce, creator.balance), (2, 970));
}

#[test]
fn creations_that_fail_say_why_and_write_no_address() {
    let mut world = World::new();
    occupy(&mut world, &Address::of_create(&contract(0), 2));
    let (reverting, trapping) = (Script::new().reverting(0), Script::new().trapping());
    let script = Script::new()
        .create(1_001, GAS, &elf(), &[], 0)
        .create(5, GAS, b"no program", &[], 0)
        .create(5, GAS, &elf(), &reverting, 0)
        .create(5, 1_000_000, &elf(), &trapping, 0)
        .create(5, GAS, &elf(), &[], 0)
        .create(5, GAS, &elf(), &Script::new().finish(), 32);
    let answers = world.answers(script.returning(64));
    let results: Vec<_> = (0..6).map(|call| answers.result(call)).collect();
    assert_eq!(
        results,
        [
            (status::INSUFFICIENT_BALANCE, 0),
            (status::INVALID_PROGRAM, 0),
            (status::REVERTED, 4096),
            (status::TRAPPED, 0),
            (status::ADDRESS_COLLISION, 0),
            (status::SUCCESS, 0),
        ]
    );
    assert_eq!(answers.scratch(0, 32), [0; 32]);
    assert_eq!(answers.scratch(32, 32), Address::of_create(&contract(0), 3).0);
    let creator = world.account(&contract(0));
    assert_eq!(
        (creator.nonce, creator.balance),
        (4, 995),
        "statuses 0, 1, 2 and 7 count"
    );
}

#[test]
fn a_call_to_no_contract_fails_and_keeps_the_value() {
    let mut world = World::new();
    for to in [Address([9; 32]), key(1).address()] {
        let receipt = world.run(Payload::Call {
            to,
            value: 10,
            input: vec![1, 2, 3],
        });
        assert_eq!(receipt.outcome, Outcome::Failed(Failure::NoCode));
        assert_eq!(receipt.gas_charged, GAS / 2);
    }
    assert_eq!(world.balance(&Address([9; 32])), 0);
}

#[test]
fn a_contract_whose_code_is_no_program_cannot_be_called() {
    let mut world = World::new();
    let (address, code) = (Address([0x99; 32]), b"damaged".to_vec());
    let account = Account {
        nonce: 0,
        balance: 0,
        code_hash: Some(code_hash(&code)),
    };
    world
        .state
        .insert(account_path(&address), borsh::to_vec(&account).unwrap().into());
    world.state.insert(code_path(&code_hash(&code)), code.into());
    let answers = world.answers(Script::new().call(&address, 0, GAS, &[]).returning(0));
    assert_eq!(answers.result(0), (status::INVALID_PROGRAM, 0));
    let receipt = world.run(Payload::Call {
        to: address,
        value: 1,
        input: vec![],
    });
    assert_eq!(receipt.outcome, Outcome::Failed(Failure::InvalidProgram));
}
