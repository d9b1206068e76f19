//! Storage, transient storage, logs.

use millrace_executor::host::{NONE, number};
use millrace_types::{Hash, Log, Outcome};

use crate::common::world::{GAS, contract};
use crate::common::{SCRATCH, Script, World, result_of};

const UNMAPPED: u64 = 0x8000_0000;

#[test]
fn a_slot_holds_what_was_written_last() {
    let mut world = World::new();
    let script = Script::new()
        .storage_get(b"key", 0, 8)
        .storage_set(b"key", b"first")
        .storage_get(b"key", 8, 8)
        .storage_set(b"key", b"second one")
        .storage_get(b"key", 16, 4);
    let answers = world.answers(script.returning(32));
    assert_eq!(
        [0, 2, 4].map(|call| answers.a0(call)),
        [NONE, 5, 10],
        "lengths are whole, whatever fits"
    );
    assert_eq!(answers.scratch(0, 24), b"\0\0\0\0\0\0\0\0first\0\0\0seco\0\0\0\0");
    assert_eq!(world.stored(&contract(0), b"key").unwrap(), b"second one");
    let answers = world.answers(Script::new().storage_get(b"key", 0, 16).returning(16));
    assert_eq!((answers.a0(0), answers.scratch(0, 10)), (10, &b"second one"[..]));
}

#[test]
fn a_removed_slot_is_absent_and_an_empty_value_is_not() {
    let mut world = World::new();
    let script = Script::new()
        .storage_set(b"a", b"1")
        .storage_remove(b"a")
        .storage_get(b"a", 0, 8)
        .storage_set(b"", b"")
        .storage_get(b"", 0, 8)
        .storage_remove(b"never there");
    let answers = world.answers(script.returning(0));
    assert_eq!([2, 4].map(|call| answers.a0(call)), [NONE, 0]);
    assert_eq!(
        (world.stored(&contract(0), b"a"), world.stored(&contract(0), b"")),
        (None, Some(Vec::new()))
    );
    let answers = world.answers(Script::new().storage_remove(b"").returning(0));
    assert_eq!(
        (answers.a0(0) != NONE, world.stored(&contract(0), b"")),
        (true, None)
    );
}

#[test]
fn contracts_do_not_share_slots() {
    let mut world = World::new();
    let inner = Script::new()
        .storage_get(b"key", 0, 8)
        .storage_set(b"key", b"inner")
        .returning(0);
    let script = Script::new()
        .storage_set(b"key", b"outer")
        .transient_set(b"key", b"outer")
        .call(&contract(1), 0, GAS, &inner)
        .host(number::RETURN_DATA, &[SCRATCH, 0, 8])
        .storage_get(b"key", 8, 8);
    let answers = world.answers(script.returning(16));
    assert_eq!(
        answers.scratch(0, 16),
        b"\xff\xff\xff\xff\xff\xff\xff\xffouter\0\0\0"
    );
    assert_eq!(world.stored(&contract(1), b"key").unwrap(), b"inner");
}

#[test]
fn transient_slots_live_for_one_transaction_over_all_frames() {
    let mut world = World::new();
    let inner = Script::new().transient_get(b"key", 0, 8).returning(8);
    let script = Script::new()
        .transient_get(b"key", 0, 8)
        .transient_set(b"key", b"value")
        .call(&contract(0), 0, GAS, &inner)
        .host(number::RETURN_DATA, &[SCRATCH, 4096, 8]);
    let mut script = script;
    let key = script.data(b"key");
    let script = script
        .host(number::TRANSIENT_REMOVE, &[key, 3])
        .transient_get(b"key", 8, 8);
    let script = script.transient_set(b"key", b"left over");
    let answers = world.answers(script.returning(16));
    assert_eq!([0, 5].map(|call| answers.a0(call)), [NONE; 2]);
    assert_eq!(
        answers.scratch(0, 8),
        b"value\0\0\0",
        "a reentrant frame has the same slots"
    );
    let answers = world.answers(Script::new().transient_get(b"key", 0, 8).returning(0));
    assert_eq!(answers.a0(0), NONE);
}

#[test]
fn logs_come_in_order_with_their_contract() {
    let mut world = World::new();
    let inner = Script::new().log(&[[1; 32]], b"inner").finish();
    let script = Script::new()
        .log(&[], b"first")
        .call(&contract(1), 0, GAS, &inner)
        .log(&[[2; 32], [3; 32], [4; 32], [5; 32]], b"");
    let receipt = world.script(script.finish());
    let log = |index, topics: &[u8], data: &[u8]| Log {
        address: contract(index),
        topics: topics.iter().map(|byte| Hash([*byte; 32])).collect(),
        data: data.to_vec(),
    };
    assert_eq!(
        receipt.logs,
        [
            log(0, &[], b"first"),
            log(1, &[1], b"inner"),
            log(0, &[2, 3, 4, 5], b"")
        ]
    );
}

#[test]
fn a_transaction_that_does_not_succeed_has_no_logs() {
    let mut world = World::new();
    let receipt = world.script(
        Script::new()
            .log(&[], b"gone")
            .storage_set(b"k", b"v")
            .reverting(0),
    );
    assert_eq!((receipt.outcome, receipt.logs), (Outcome::Reverted, Vec::new()));
    assert_eq!(world.stored(&contract(0), b"k"), None);
}

#[test]
fn keys_values_and_topics_have_limits() {
    let long = |len| (SCRATCH, len);
    let (at, len) = long(257);
    let key = "host call refused: key_bytes: the limit of a storage key";
    let value = "host call refused: value_bytes: the limit of a storage value";
    for (number, arguments, message) in [
        (number::STORAGE_GET, vec![at, len, at, 0], key),
        (number::STORAGE_SET, vec![at, len, at, 0], key),
        (number::STORAGE_REMOVE, vec![at, u64::MAX], key),
        (number::TRANSIENT_GET, vec![at, len, at, 0], key),
        (number::TRANSIENT_SET, vec![at, len, at, 0], key),
        (number::TRANSIENT_REMOVE, vec![at, len], key),
        (number::STORAGE_SET, vec![at, 1, at, 16_385], value),
        (number::TRANSIENT_SET, vec![at, 1, at, 16_385], value),
        (
            number::LOG,
            vec![at, 5, at, 0],
            "host call refused: log_topics: the limit of a log's topics",
        ),
    ] {
        assert_eq!(result_of(number, &arguments), message, "host call {number:#x}");
    }
    let mut world = World::new();
    let receipt = world.script(
        Script::new()
            .host(number::STORAGE_SET, &[at, 256, at, 16_384])
            .finish(),
    );
    assert_eq!(
        receipt.outcome,
        Outcome::Success,
        "the limits themselves are allowed"
    );
}

#[test]
fn ranges_that_are_not_mapped_trap() {
    let good = SCRATCH;
    for (number, arguments, write) in [
        (number::STORAGE_GET, vec![UNMAPPED, 1, good, 0], false),
        (number::STORAGE_GET, vec![good, 1, UNMAPPED, 1], true),
        (number::STORAGE_SET, vec![UNMAPPED, 1, good, 0], false),
        (number::STORAGE_SET, vec![good, 1, UNMAPPED, 1], false),
        (number::STORAGE_REMOVE, vec![UNMAPPED, 1], false),
        (number::TRANSIENT_GET, vec![UNMAPPED, 1, good, 0], false),
        (number::TRANSIENT_GET, vec![good, 1, UNMAPPED, 1], true),
        (number::TRANSIENT_SET, vec![UNMAPPED, 1, good, 0], false),
        (number::TRANSIENT_SET, vec![good, 1, UNMAPPED, 1], false),
        (number::TRANSIENT_REMOVE, vec![UNMAPPED, 1], false),
        (number::LOG, vec![good, 0, UNMAPPED, 1], false),
    ] {
        let access = if write { "write" } else { "read" };
        let message = format!("access fault: {access} of 1 bytes at {UNMAPPED:#x}");
        assert_eq!(result_of(number, &arguments), message, "host call {number:#x}");
    }
    let message = format!("access fault: read of 64 bytes at {UNMAPPED:#x}");
    assert_eq!(result_of(number::LOG, &[UNMAPPED, 2, good, 0]), message);
    let huge = format!("access fault: read of {} bytes at {good:#x}", u64::MAX);
    assert_eq!(result_of(number::LOG, &[good, 0, good, u64::MAX]), huge);
}

#[test]
fn a_counter_counts_what_was_added_from_nothing_or_from_sixteen_bytes() {
    let mut world = World::new();
    let script = Script::new()
        .counter_add(b"new", 7)
        .counter_add(b"new", 0)
        .storage_set(b"old", &5_u128.to_le_bytes())
        .counter_add(b"old", 1 << 100)
        .storage_get(b"old", 0, 16)
        .counter_add(b"old", 1);
    let answers = world.answers(script.returning(16));
    assert_eq!(answers.scratch(0, 16), ((1 << 100) + 5_u128).to_le_bytes());
    let stored = |world: &World, key: &[u8]| world.stored(&contract(0), key).unwrap();
    assert_eq!(stored(&world, b"new"), 7_u128.to_le_bytes());
    assert_eq!(stored(&world, b"old"), ((1 << 100) + 6_u128).to_le_bytes());
    world.answers(Script::new().counter_add(b"new", u128::MAX - 7).returning(0));
    assert_eq!(stored(&world, b"new"), u128::MAX.to_le_bytes());
    let full = Script::new().counter_add(b"new", 1).finish();
    assert_eq!(
        world.trap(full),
        "host call refused: counter_add: the sum is 2^128 or more"
    );
    for value in [&b""[..], b"8 bytes.", &[0; 17]] {
        let script = Script::new().storage_set(b"text", value).counter_add(b"text", 0);
        assert_eq!(
            world.trap(script.finish()),
            "host call refused: counter_add: the slot holds other than 16 bytes"
        );
    }
    assert_eq!(stored(&world, b"new"), u128::MAX.to_le_bytes());
}

#[test]
fn adding_costs_what_writing_sixteen_bytes_costs() {
    let gas = |script: Script| {
        let mut world = World::new();
        let script = script.storage_set(b"other", b"1");
        world.script(script.finish()).gas_used
    };
    let more = gas(Script::new().counter_add(b"key", 1)) - gas(Script::new());
    let set = gas(Script::new().storage_set(b"key", &[0; 16])) - gas(Script::new());
    // The scripts differ in length by an argument, which the guest loads in any case.
    assert!(more.abs_diff(set) < 1_000, "{more} and {set}");
}

#[test]
fn gas_version_1_knows_no_counters() {
    let mut spec = crate::common::world::spec();
    spec.versions[0].gas = 1;
    let mut world = World::with_spec(spec);
    assert_eq!(
        world.trap(Script::new().counter_add(b"key", 1).finish()),
        "host call refused: unknown host call"
    );
    assert_eq!(world.stored(&contract(0), b"key"), None);
}
