//! How transactions are cut into blocks, and what an executor did before, shows in nothing that they come to.

use millrace_types::{Address, Amount, Payload, SignedTransaction, TransactionReceipt};
use proptest::prelude::*;

use crate::common::world::{SENDERS, contract};
use crate::common::{Script, World, elf, key};

/// Senders are told apart by their place, contracts too.
pub type Draw = (u8, u8, u8, Vec<(u8, u8, u64)>);

fn draws() -> impl Strategy<Value = Vec<Draw>> {
    let steps = prop::collection::vec((0..12u8, 0..4u8, 0..400_000u64), 0..6);
    prop::collection::vec((0..SENDERS, 0..8u8, 0..4u8, steps), 1..12)
}

fn script(steps: &[(u8, u8, u64)]) -> Script {
    steps.iter().fold(Script::new(), |script, (kind, place, number)| {
        let (name, to, value) = ([place % 3], contract(*place), Amount::from(number % 300));
        let inner = Script::new().storage_set(&name, b"inner").log(&[], b"inner");
        match kind {
            0 => script.storage_set(&name, &number.to_le_bytes()),
            1 => script.storage_get(&name, 0, 16),
            2 => script.storage_remove(&name),
            3 => script.transient_set(&name, b"once"),
            4 => script.transfer(&key(*place).address(), value),
            5 => script.call(&to, value, *number, &inner.finish()),
            6 => script.call(&to, value, *number, &inner.reverting(0)),
            7 => script.create(value, *number, &elf(), &inner.finish(), 0),
            8 => script.counter_add(&[b'c', place % 2], Amount::from(*number)),
            9 => script.storage_get(&[b'c', place % 2], 0, 16),
            10 => script.storage_set(
                &[b'c', place % 2],
                &number.to_le_bytes().repeat((place % 2 + 1).into()),
            ),
            _ => script.balance(&to, 0),
        }
    })
}

pub fn payload((_, kind, end, steps): &Draw) -> Payload {
    let script = script(steps);
    let input = match end {
        0 => script.reverting(0),
        1 => script.trapping(),
        _ => script.returning(32),
    };
    let value = Amount::from(end * 7);
    match kind {
        0 => Payload::Transfer {
            to: key(*end).address(),
            value,
        },
        1 => Payload::Deploy {
            code: elf(),
            value,
            input,
        },
        _ => Payload::Call {
            to: contract(kind % 4),
            value,
            input,
        },
    }
}

fn world() -> World {
    let mut world = World::new();
    world.gas_limit = 3_000_000;
    world.block.proposer = Address([0xee; 32]);
    world
}

/// What does not say where in a block it stood.
fn unplaced(receipts: Vec<TransactionReceipt>) -> Vec<TransactionReceipt> {
    let unplaced = |receipt| TransactionReceipt { index: 0, ..receipt };
    receipts.into_iter().map(unplaced).collect()
}

proptest! {
    #[test]
    fn one_block_or_one_for_each_transaction_and_a_used_executor_or_a_new_one_come_to_the_same(draws in draws()) {
        let mut together = world();
        let mut nonces = [0; SENDERS as usize];
        let transactions: Vec<SignedTransaction> = draws
            .iter()
            .map(|draw| {
                let nonce = &mut nonces[usize::from(draw.0)];
                *nonce += 1;
                together.sign_at(draw.0, *nonce - 1, payload(draw))
            })
            .collect();
        let before = together.state.clone();
        let first = together.execute(&transactions);
        let after = std::mem::replace(&mut together.state, before);
        let warm = together.execute(&transactions);
        prop_assert_eq!(&first, &warm);
        let mut apart = world();
        let receipts = transactions
            .iter()
            .map(|transaction| apart.execute(std::slice::from_ref(transaction)).receipts.remove(0))
            .collect();
        prop_assert_eq!(unplaced(first.receipts), unplaced(receipts));
        prop_assert_eq!(after, apart.state);
    }
}
