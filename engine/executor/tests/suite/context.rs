//! Input, output, surroundings, heap.

use millrace_executor::host::{NONE, number};
use millrace_types::{Outcome, Payload};

use crate::common::world::{GAS, contract};
use crate::common::{Answers, SCRATCH, Script, World, key, result_of};

/// An address that no program maps.
const UNMAPPED: u64 = 0x8000_0000;

#[test]
fn input_is_read_from_any_offset_and_not_beyond_its_end() {
    let mut world = World::new();
    let reads = [(0, 8), (4, 8), (u64::MAX, 8), (0, 0)];
    let mut script = Script::new().host(number::INPUT_LEN, &[]);
    for (place, (offset, len)) in (0u64..).zip(reads) {
        script = script.host(number::INPUT_READ, &[SCRATCH + 8 * place, offset, len]);
    }
    let len = script.clone().returning(32).len() as u64;
    script = script.host(number::INPUT_READ, &[SCRATCH + 24, len + 56 - 2, 8]);
    let input = script.returning(32);
    let answers = world.answers(input.clone());
    assert_eq!(answers.a0(0), input.len() as u64);
    assert_eq!([1, 2, 3, 4, 5].map(|call| answers.a0(call)), [8, 8, 0, 0, 2]);
    assert_eq!(answers.scratch(0, 8), &input[..8]);
    assert_eq!(answers.scratch(8, 8), &input[4..12]);
    assert_eq!(answers.scratch(24, 2), &input[input.len() - 2..]);
    assert_eq!(answers.scratch(26, 6), [0; 6], "what is not copied is left alone");
}

#[test]
fn surroundings_are_those_of_transaction_and_block() {
    let mut world = World::new();
    let numbers = [
        number::CALLER,
        number::SELF_ADDRESS,
        number::ORIGIN,
        number::VALUE,
        number::BLOCK_CONTEXT,
    ];
    let mut script = Script::new();
    for (place, number) in (0..).zip(numbers) {
        script = script.host(number, &[SCRATCH + 32 * place]);
    }
    let input = script.host(number::CALL_KIND, &[]).returning(192);
    let receipt = world.run(Payload::Call {
        to: contract(0),
        value: 77,
        input,
    });
    let answers = Answers(receipt.output);
    assert_eq!(answers.scratch(0, 32), key(0).address().0);
    assert_eq!(answers.scratch(32, 32), contract(0).0);
    assert_eq!(answers.scratch(64, 32), key(0).address().0);
    assert_eq!(answers.amount(96), 77);
    let words = [3, 123_456, 7, world.block.gas_limit]
        .map(u64::to_le_bytes)
        .concat();
    assert_eq!(answers.scratch(128, 32), words);
    assert_eq!(answers.scratch(160, 32), world.block.proposer.0);
    assert_eq!(answers.a0(5), 0, "an ordinary call");
    assert_eq!(world.balance(&contract(0)), 1_077);
}

#[test]
fn a_called_contract_sees_its_caller_and_the_same_origin() {
    let mut world = World::new();
    let inner = Script::new()
        .host(number::CALLER, &[SCRATCH])
        .host(number::ORIGIN, &[SCRATCH + 32])
        .host(number::VALUE, &[SCRATCH + 64])
        .returning(96);
    let script = Script::new()
        .call(&contract(1), 5, GAS, &inner)
        .host(number::RETURN_DATA, &[SCRATCH, 4096, 96])
        .returning(96);
    let answers = world.answers(script);
    assert_eq!(answers.a0(1), 96);
    assert_eq!(answers.scratch(0, 32), contract(0).0);
    assert_eq!(answers.scratch(32, 32), key(0).address().0);
    assert_eq!(answers.amount(64), 5);
}

#[test]
fn registers_that_a_call_does_not_answer_in_stay() {
    let answers = World::new().answers(Script::new().host(number::CALLER, &[SCRATCH, 41]).returning(0));
    assert_eq!(answers.result(0), (SCRATCH, 41));
}

#[test]
fn pointers_are_taken_modulo_2_to_the_32() {
    let answers = World::new().answers(
        Script::new()
            .host(number::VALUE, &[(5 << 32) | SCRATCH])
            .returning(16),
    );
    assert_eq!(answers.amount(0), 0);
}

#[test]
fn heap_grows_by_fresh_zeroed_pages_up_to_the_maximum() {
    let mut world = World::new();
    let heap = 0x13_0000;
    let script = Script::new()
        .host(number::HEAP_GROW, &[0])
        .host(number::HEAP_GROW, &[2])
        .host(number::VALUE, &[heap + 8192 - 16])
        .host(number::HEAP_GROW, &[0])
        .host(number::HEAP_GROW, &[16_384 - 1])
        .host(number::HEAP_GROW, &[u64::MAX])
        .host(number::HEAP_GROW, &[1 << 32]);
    let answers = world.answers(script.returning(0));
    assert_eq!([0, 1, 3].map(|call| answers.a0(call)), [heap, heap, heap + 8192]);
    assert_eq!(
        [4, 5, 6].map(|call| answers.a0(call)),
        [NONE; 3],
        "the machine's maximum is 16,384 pages"
    );
    assert_eq!(
        world.trap(Script::new().host(number::VALUE, &[heap]).finish()),
        write_fault(16, heap)
    );
}

#[test]
fn output_of_return_and_revert_is_kept() {
    let mut world = World::new();
    let mut script = Script::new();
    let text = script.data(b"because");
    let receipt = world.script(script.clone().host(number::RETURN, &[text, 7]).input());
    assert_eq!(
        (receipt.outcome, &receipt.output[..]),
        (Outcome::Success, &b"because"[..])
    );
    let receipt = world.script(script.host(number::REVERT, &[text, 7]).input());
    assert_eq!(
        (receipt.outcome, &receipt.output[..]),
        (Outcome::Reverted, &b"because"[..])
    );
}

#[test]
fn code_behind_the_end_of_a_frame_does_not_run() {
    let mut world = World::new();
    let mut script = Script::new();
    script.push(number::RETURN, &[0, 0]);
    let receipt = world.script(script.storage_set(b"k", b"v").finish());
    assert_eq!(receipt.outcome, Outcome::Success);
    assert_eq!(world.stored(&contract(0), b"k"), None);
}

fn write_fault(len: u64, address: u64) -> String {
    format!("access fault: write of {len} bytes at {address:#x}")
}

fn read_fault(len: u64, address: u64) -> String {
    format!("access fault: read of {len} bytes at {address:#x}")
}

#[test]
fn ranges_that_are_not_mapped_trap() {
    let text = 0x2_0000;
    for (number, arguments, message) in [
        (number::INPUT_READ, vec![UNMAPPED, 0, 1], write_fault(1, UNMAPPED)),
        (number::INPUT_READ, vec![text, 0, 1], write_fault(1, text)),
        (
            number::INPUT_READ,
            vec![SCRATCH, 0, u64::MAX],
            write_fault(u64::MAX, SCRATCH),
        ),
        (
            number::RETURN_DATA,
            vec![UNMAPPED, 0, 3],
            write_fault(3, UNMAPPED),
        ),
        (number::RETURN, vec![UNMAPPED, 1], read_fault(1, UNMAPPED)),
        (
            number::REVERT,
            vec![SCRATCH, 1 << 40],
            read_fault(1 << 40, SCRATCH),
        ),
        (number::CALLER, vec![UNMAPPED], write_fault(32, UNMAPPED)),
        (number::SELF_ADDRESS, vec![UNMAPPED], write_fault(32, UNMAPPED)),
        (number::ORIGIN, vec![UNMAPPED], write_fault(32, UNMAPPED)),
        (number::VALUE, vec![UNMAPPED], write_fault(16, UNMAPPED)),
        (number::BLOCK_CONTEXT, vec![UNMAPPED], write_fault(64, UNMAPPED)),
    ] {
        assert_eq!(result_of(number, &arguments), message, "host call {number:#x}");
    }
}

#[test]
fn unknown_numbers_trap() {
    for number in [
        0,
        64,
        93,
        0xff,
        0x105,
        0x117,
        0x164,
        u64::MAX,
        (1 << 32) | number::INPUT_LEN,
    ] {
        assert_eq!(result_of(number, &[]), "host call refused: unknown host call");
    }
}
