//! Every price, measured by the guest itself and compared with the table.

use millrace_executor::gas::{per_word, schedule};
use millrace_executor::host::number;
use millrace_executor::{GasSchedule, intrinsic_gas};
use millrace_jit::Program;
use millrace_jit::machine::{Weights, machine};
use millrace_types::{Address, Gas, Outcome, Payload};

use crate::common::world::{GAS, contract};
use crate::common::{SCRATCH, Script, World, elf, elf_with_constants};

fn table() -> &'static GasSchedule {
    schedule(1).unwrap()
}

fn weights() -> &'static Weights {
    &machine(1).unwrap().weights
}

/// Gas between two `gas_left` calls with nothing between them: a turn of the script's loop, and the call's price.
fn turn_and_gas_left() -> Gas {
    let script = Script::new()
        .host(number::GAS_LEFT, &[])
        .host(number::GAS_LEFT, &[]);
    let answers = World::new().answers(script.returning(0));
    answers.a0(0) - answers.a0(1)
}

/// The price of the one host call that `call` adds, after `setup`.
fn price_after(setup: Script, call: impl FnOnce(Script) -> Script) -> Gas {
    let at = setup.calls();
    let script = call(setup.host(number::GAS_LEFT, &[]));
    assert_eq!(script.calls(), at + 2, "one call is measured");
    let answers = World::new().answers(script.host(number::GAS_LEFT, &[]).returning(0));
    answers.a0(at) + table().context.base - answers.a0(at + 2) - 2 * turn_and_gas_left()
}

fn price(call: impl FnOnce(Script) -> Script) -> Gas {
    price_after(Script::new(), call)
}

fn price_of(number: u64, arguments: &[u64]) -> Gas {
    price(|script| script.host(number, arguments))
}

#[test]
fn a_turn_of_the_script_costs_the_weights_of_its_instructions() {
    let w = weights();
    let turn = w.branch + 7 * w.load + w.ecall + 2 * w.store + 3 * w.alu + w.jal;
    assert_eq!(turn_and_gas_left(), u64::from(turn) + table().context.base);
}

#[test]
fn context_calls_cost_the_context_and_what_they_copy() {
    let base = table().context.base;
    for (number, arguments, len) in [
        (number::INPUT_LEN, vec![], 0),
        (number::CALL_KIND, vec![], 0),
        (number::GAS_LEFT, vec![], 0),
        (number::INPUT_READ, vec![SCRATCH, 0, 100], 100),
        (number::INPUT_READ, vec![SCRATCH, u64::MAX, 1000], 1000),
        (number::RETURN_DATA, vec![SCRATCH, 0, 7], 7),
        (number::CALLER, vec![SCRATCH], 32),
        (number::SELF_ADDRESS, vec![SCRATCH], 32),
        (number::ORIGIN, vec![SCRATCH], 32),
        (number::VALUE, vec![SCRATCH], 16),
        (number::BLOCK_CONTEXT, vec![SCRATCH], 64),
    ] {
        let expected = base + per_word(table().context.word, len);
        assert_eq!(price_of(number, &arguments), expected, "host call {number:#x}");
    }
}

#[test]
fn hashes_cost_their_base_and_words() {
    for (number, price) in [
        (number::BLAKE3, table().blake3),
        (number::SHA256, table().sha256),
        (number::KECCAK256, table().keccak256),
    ] {
        for len in [0, 1, 8, 9, 1000] {
            assert_eq!(
                price_of(number, &[SCRATCH, len, SCRATCH]),
                price.base + price.word * len.div_ceil(8)
            );
        }
    }
    let price = price_of(number::ED25519_VERIFY, &[SCRATCH, SCRATCH, 17, SCRATCH]);
    assert_eq!(
        price,
        table().ed25519_verify.base + 3 * table().ed25519_verify.word
    );
}

#[test]
fn storage_costs_the_same_whatever_is_in_the_slot() {
    let t = table();
    let get = |cap| t.context.base + per_word(t.context.word, cap) + t.key_word;
    let set = |len| t.storage_write.base + per_word(t.storage_write.word, len) + t.key_word;
    assert_eq!(
        price(|script| script.storage_get(b"key", 0, 20)),
        get(20) + t.cold_access
    );
    assert_eq!(
        price(|script| script.storage_set(b"key", b"v")),
        set(1) + t.cold_access
    );
    assert_eq!(
        price(|script| script.storage_remove(b"key")),
        set(0) + t.cold_access
    );
    for setup in [
        Script::new().storage_get(b"key", 0, 0),
        Script::new().storage_set(b"key", b"a longer value"),
        Script::new().storage_remove(b"key"),
    ] {
        assert_eq!(
            price_after(setup.clone(), |s| s.storage_get(b"key", 0, 20)),
            get(20) + t.warm_access
        );
        assert_eq!(
            price_after(setup.clone(), |s| s.storage_set(b"key", b"v")),
            set(1) + t.warm_access
        );
        assert_eq!(
            price_after(setup, |s| s.storage_remove(b"key")),
            set(0) + t.warm_access
        );
    }
    let long_key = [7; 25];
    let cold = price(|script| script.storage_get(&long_key, 0, 0));
    assert_eq!(cold, t.context.base + 4 * t.key_word + t.cold_access);
}

#[test]
fn gas_does_not_depend_on_what_the_state_holds() {
    let input = Script::new()
        .storage_get(b"a", 0, 64)
        .storage_set(b"b", b"value")
        .storage_remove(b"c")
        .balance(&contract(3), 0)
        .transfer(&Address([0x66; 32]), 1);
    let mut world = World::new();
    let first = world.script(input.clone().finish()).gas_used;
    let fill = Script::new()
        .storage_set(b"a", &[1; 60])
        .storage_set(b"b", b"")
        .storage_set(b"c", b"c");
    world.script(fill.finish());
    assert_eq!(world.script(input.finish()).gas_used, first);
}

#[test]
fn transient_storage_and_logs_cost_their_words() {
    let t = table();
    let base = t.transient.base + t.key_word;
    assert_eq!(
        price(|s| s.transient_get(b"key", 0, 20)),
        base + 3 * t.context.word
    );
    assert_eq!(
        price(|s| s.transient_set(b"key", &[0; 20])),
        base + 3 * t.transient.word
    );
    assert_eq!(price_of(number::TRANSIENT_REMOVE, &[SCRATCH, 8]), base);
    assert_eq!(price(|s| s.log(&[], b"")), t.log.base);
    assert_eq!(
        price(|s| s.log(&[[0; 32]; 4], &[0; 9])),
        t.log.base + (16 + 2) * t.log.word
    );
}

#[test]
fn balances_and_transfers_cost_their_access() {
    let t = table();
    let (cold, own) = (contract(2), contract(0));
    assert_eq!(price(|s| s.balance(&cold, 0)), t.context.base + t.cold_access);
    assert_eq!(price(|s| s.balance(&own, 0)), t.context.base + t.warm_access);
    assert_eq!(price(|s| s.transfer(&cold, 1)), t.transfer + t.cold_access);
    assert_eq!(
        price(|s| s.transfer(&own, 5_000)),
        t.transfer + t.warm_access,
        "whatever comes of it"
    );
    let warmed = Script::new().balance(&cold, 0);
    assert_eq!(
        price_after(warmed, |s| s.transfer(&cold, 1)),
        t.transfer + t.warm_access
    );
}

#[test]
fn heap_costs_its_pages_if_it_grows() {
    let base = table().context.base;
    assert_eq!(
        price_of(number::HEAP_GROW, &[3]),
        base + 3 * u64::from(weights().heap_page)
    );
    assert_eq!(price_of(number::HEAP_GROW, &[0]), base);
    assert_eq!(price_of(number::HEAP_GROW, &[u64::MAX]), base);
}

/// Entry of the scripted contract: in a first run, and in a later one.
fn entry() -> (Gas, Gas) {
    let file = elf();
    let program = Program::load(&file, machine(1).unwrap()).unwrap();
    let pages = u64::from(program.entry_pages()) * u64::from(weights().entry_page);
    let later = pages + table().entry_read_only_page;
    let text = u64::from(program.text_len() * weights().first_call_text_byte);
    (later + text + table().first_run.of(file.len() as u64), later)
}

#[test]
fn pages_of_constants_are_paid_whether_the_file_fills_them_or_not() {
    let used = |pages: u64| {
        let mut world = World::new();
        let to = world.install(&elf_with_constants(pages << 12));
        let input = Script::new().finish();
        world.run(Payload::Call { to, value: 0, input }).gas_used
    };
    assert_eq!(used(101) - used(1), 100 * table().entry_read_only_page);
}

#[test]
fn output_that_stands_in_a_receipt_costs_what_a_log_does_and_other_output_a_copy() {
    for number in [number::RETURN, number::REVERT] {
        let ending = |len: u64| Script::new().host(number, &[SCRATCH, len]).input();
        let top = |len| World::new().script(ending(len)).gas_used;
        assert_eq!(top(801) - top(0), 101 * table().log.word);
        let nested = |len| price(|script| script.call(&contract(1), 0, GAS, &ending(len)));
        assert_eq!(nested(801) - nested(0), 101 * table().context.word);
    }
}

/// What the run of a script by the scripted contract costs without entry.
fn run_gas(input: &[u8]) -> Gas {
    let mut world = World::new();
    let transaction = world.sign(
        0,
        Payload::Call {
            to: contract(0),
            value: 0,
            input: input.to_vec(),
        },
    );
    let receipt = world
        .execute(std::slice::from_ref(&transaction))
        .receipts
        .remove(0);
    assert_eq!(receipt.outcome, Outcome::Success);
    receipt.gas_used - intrinsic_gas(&transaction, table()) - entry().0
}

#[test]
fn a_call_costs_its_price_and_what_the_callee_uses() {
    let t = table();
    let input = Script::new().host(number::CALL_KIND, &[]).finish();
    let callee = entry().1 + run_gas(&input);
    let expected = t.call.of(input.len() as u64) + t.cold_access + callee;
    assert_eq!(price(|s| s.call(&contract(1), 0, GAS, &input)), expected);
    assert_eq!(
        price(|s| s.call(&contract(1), 1, GAS, &input)),
        expected + t.transfer
    );
    let warm = expected - t.cold_access + t.warm_access;
    assert_eq!(price(|s| s.call(&contract(0), 0, GAS, &input)), warm);
    let to_nobody = t.call.of(input.len() as u64) + t.cold_access;
    assert_eq!(price(|s| s.call(&Address([1; 32]), 0, GAS, &input)), to_nobody);
    let given = entry().1 + run_gas(&input);
    assert_eq!(
        price(|s| s.call(&contract(1), 0, given, &input)),
        expected,
        "exactly enough"
    );
    let short = price(|s| s.call(&contract(1), 0, given - 1, &input));
    assert_eq!(
        short,
        expected - 1,
        "one less: the callee traps and takes what it was given"
    );
}

#[test]
fn a_create_costs_its_code_and_what_the_initialiser_uses() {
    let t = table();
    let input = Script::new().host(number::CALL_KIND, &[]).finish();
    let code = elf();
    let program = Program::load(&code, machine(1).unwrap()).unwrap();
    let text = u64::from(program.text_len() * weights().deploy_text_byte);
    let before = t.deploy.of(code.len() as u64) + per_word(t.call.word, input.len() as u64);
    let initialiser = entry().1 + text + run_gas(&input);
    assert_eq!(
        price(|s| s.create(0, GAS, &code, &input, 0)),
        before + initialiser
    );
    assert_eq!(
        price(|s| s.create(9, GAS, &code, &input, 0)),
        before + t.transfer + initialiser
    );
    assert_eq!(
        price(|s| s.create(5_000, GAS, &code, &input, 0)),
        before + t.transfer
    );
}

#[test]
fn the_first_run_of_a_program_is_paid_once_and_again_after_an_undone_one() {
    let (first, later) = entry();
    let mut world = World::new();
    let other = world.install(&[elf(), vec![0; 8]].concat());
    let more = table().first_run.word;
    let input = Script::new().finish();
    let call = |s: Script| s.call(&other, 0, GAS, &input);
    let price = |world: &mut World, setup: Script| {
        let at = setup.calls();
        let script = call(setup.host(number::GAS_LEFT, &[])).host(number::GAS_LEFT, &[]);
        let answers = world.answers(script.returning(0));
        answers.a0(at) - answers.a0(at + 2)
    };
    let cold = price(&mut world, Script::new().balance(&other, 0));
    let warm = price(&mut world, call(Script::new().balance(&other, 0)));
    assert_eq!(cold - warm, first + more - later);
    let undone = Script::new()
        .call(&other, 0, GAS, &Script::new().reverting(0))
        .balance(&other, 0);
    assert_eq!(price(&mut world, undone), cold);
}

#[test]
fn intrinsic_gas_is_bytes_signature_and_deploy() {
    let world = World::new();
    let t = table();
    for (payload, extra) in [
        (
            Payload::Transfer {
                to: contract(0),
                value: 1,
            },
            0,
        ),
        (
            Payload::Call {
                to: contract(0),
                value: 1,
                input: vec![0; 999],
            },
            0,
        ),
        (
            Payload::Deploy {
                code: vec![0; 1001],
                value: 1,
                input: vec![1; 3],
            },
            t.deploy.base + 126 * t.deploy.word,
        ),
    ] {
        let transaction = world.sign(0, payload);
        let bytes = borsh::to_vec(&transaction).unwrap().len() as u64;
        let expected = t.transaction.base + bytes.div_ceil(8) * t.transaction.word + t.signature + extra;
        assert_eq!(intrinsic_gas(&transaction, t), expected);
    }
}

#[test]
fn a_reverted_frame_s_accesses_are_cold_again() {
    let t = table();
    let touch = |end: fn(Script) -> Vec<u8>| {
        let inner = end(Script::new().storage_get(b"k", 0, 0));
        Script::new().call(&contract(0), 0, 500_000, &inner)
    };
    let get = |setup| price_after(setup, |s| s.storage_get(b"k", 0, 0)) - t.context.base - t.key_word;
    assert_eq!(get(touch(Script::finish)), t.warm_access);
    assert_eq!(get(touch(|script| script.reverting(0))), t.cold_access);
    assert_eq!(get(touch(Script::trapping)), t.cold_access);
}

#[test]
fn a_block_s_gas_bounds_its_writes() {
    // The cheapest way to write each kind of byte.
    let t = table();
    assert!(t.transaction.base >= 2 * (32 + 57) * t.written_byte);
    assert!(t.transfer >= 2 * (32 + 57) * t.written_byte);
    assert!(t.storage_write.base >= 32 * t.written_byte && t.storage_write.word >= 8 * t.written_byte);
    assert!(t.deploy.base >= (3 * (32 + 57) + 32) * t.written_byte && t.deploy.word >= 8 * t.written_byte);
    assert_eq!(t.most_written_bytes(1_600), 100 + 89);
}
