//! The token example: what real contracts cost here.

use std::path::Path;

use millrace_types::state::storage_path;
use millrace_types::{Address, Gas, Outcome, Payload, TransactionReceipt};

use crate::common::{World, key};

const SUPPLY: u128 = 1_000_000;

fn token() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/artifacts/token.elf");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A world with the token deployed by sender 0.
fn world() -> (World, Address) {
    let mut world = World::new();
    let name = b"token";
    let input = [&SUPPLY.to_le_bytes()[..], &5u32.to_le_bytes(), name].concat();
    let receipt = world.run(Payload::Deploy {
        code: token(),
        value: 0,
        input,
    });
    assert_eq!(receipt.outcome, Outcome::Success);
    (world, receipt.created.unwrap())
}

fn transfer(token: Address, to: Address, amount: u128) -> Payload {
    let input = [&[1][..], &to.0, &amount.to_le_bytes()].concat();
    Payload::Call {
        to: token,
        value: 0,
        input,
    }
}

fn tokens(world: &World, token: &Address, owner: &Address) -> u128 {
    let slot = storage_path(token, &[b"balance/", &owner.0[..]].concat());
    world
        .state
        .get(&slot)
        .map_or(0, |value| u128::from_le_bytes(value[..].try_into().unwrap()))
}

#[test]
fn tokens_move_and_say_so() {
    let (mut world, token) = world();
    let receiver = key(1).address();
    let receipt = world.run(transfer(token, receiver, 70));
    assert_eq!((&receipt.outcome, receipt.logs.len()), (&Outcome::Success, 1));
    assert_eq!(receipt.logs[0].address, token);
    assert_eq!(
        [key(0).address(), receiver].map(|owner| tokens(&world, &token, &owner)),
        [SUPPLY - 70, 70]
    );
    let transaction = world.sign(2, transfer(token, receiver, 1));
    let poor = world.execute(&[transaction]).receipts.remove(0);
    assert_eq!(
        (poor.outcome, &poor.output[..]),
        (Outcome::Reverted, &b"InsufficientBalance"[..])
    );
}

#[test]
fn a_token_transfer_s_gas_does_not_depend_on_the_receiver_s_balance() {
    let (mut world, token) = world();
    let run = |world: &mut World, to| -> TransactionReceipt { world.run(transfer(token, to, 70)) };
    let gas: Vec<Gas> = [key(1).address(), key(1).address(), key(2).address()]
        .map(|to| run(&mut world, to).gas_used)
        .into();
    assert_eq!(gas, [gas[0]; 3]);
    assert!(
        gas[0] < 330_000,
        "a block of the development limits holds 3,000 token transfers: {}",
        gas[0]
    );
}
