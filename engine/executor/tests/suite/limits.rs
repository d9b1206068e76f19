//! Limits of the chain spec: exceeding one is a trap of the frame that does.

use millrace_executor::host::{number, status};
use millrace_executor::stack::{BASE_STACK_BYTES, FRAME_STACK_BYTES};
use millrace_executor::{MAX_CALL_DEPTH, on_large_stack, required_stack_bytes};
use millrace_jit::NATIVE_STACK_BYTES;
use millrace_types::chain_spec::Limits;
use millrace_types::{Address, ChainSpec, Outcome};

use crate::common::world::{GAS, contract, spec};
use crate::common::{SCRATCH, Script, World, elf, elf_with_constants};

fn world(change: impl FnOnce(&mut Limits)) -> World {
    let mut spec = spec();
    change(&mut spec.limits);
    World::with_spec(spec)
}

/// Pages that a frame of the scripted contract holds: 48 writable ones and one of text, 64 of stack, one of input.
const FRAME_PAGES: u32 = 48 + 1 + 64 + 1;

/// A script of which `levels` frames nest; the innermost calls an address without code. Its status is what all of
/// them hand up.
fn nested(levels: u32) -> Vec<u8> {
    let innermost = Script::new().call(&Address([0x31; 32]), 0, GAS, &[]).returning(0);
    (1..levels).fold(innermost, |inner, level| {
        let to = contract(u8::from(level % 2 == 0));
        let offset = if level == 1 { 0 } else { 4096 };
        let script = Script::new().call(&to, 1, u64::MAX, &inner);
        script
            .host(number::RETURN_DATA, &[SCRATCH, offset, 8])
            .returning(8)
    })
}

/// Runs frames nested `levels` deep and gives the status that the innermost got.
fn innermost_status(spec: &ChainSpec, levels: u32) -> u64 {
    let mut world = World::with_spec(spec.clone());
    world.gas_limit = spec.limits.transaction_gas;
    let answers = world.answers(nested(levels));
    assert_eq!(answers.a0(0), status::SUCCESS);
    u64::from_le_bytes(answers.scratch(0, 8).try_into().unwrap())
}

#[test]
fn frames_nest_up_to_call_depth() {
    let mut spec = spec();
    spec.limits.call_depth = 5;
    assert_eq!(innermost_status(&spec, 4), status::NO_CODE);
    assert_eq!(innermost_status(&spec, 5), status::CALL_DEPTH);
}

#[test]
fn the_deepest_nesting_needs_less_than_half_of_the_required_stack() {
    let mut spec = spec();
    spec.limits.call_depth = MAX_CALL_DEPTH;
    let stack = BASE_STACK_BYTES / 2 + FRAME_STACK_BYTES / 2 * usize::try_from(MAX_CALL_DEPTH).unwrap();
    let native = NATIVE_STACK_BYTES * usize::try_from(MAX_CALL_DEPTH).unwrap();
    assert_eq!(stack * 2 + native, required_stack_bytes(&spec));
    let tight = std::thread::Builder::new().stack_size(stack);
    let same = spec.clone();
    let status = tight
        .spawn(move || innermost_status(&same, MAX_CALL_DEPTH))
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(status, status::CALL_DEPTH);
    assert_eq!(
        on_large_stack(&spec, || innermost_status(&spec, MAX_CALL_DEPTH)).unwrap(),
        status
    );
}

#[test]
fn a_frame_at_call_depth_cannot_call_or_create() {
    let mut world = world(|limits| limits.call_depth = 2);
    let inner = Script::new()
        .call(&contract(1), 0, GAS, &[])
        .create(0, GAS, &elf(), &[], 0)
        .returning(0);
    let script = Script::new()
        .call(&contract(1), 0, u64::MAX, &inner)
        .host(number::RETURN_DATA, &[SCRATCH, 0, 32])
        .returning(32);
    let answers = world.answers(script);
    let results: Vec<_> = answers
        .scratch(0, 32)
        .chunks(8)
        .map(|w| u64::from_le_bytes(w.try_into().unwrap()))
        .collect();
    assert_eq!(results, [status::CALL_DEPTH, 0, status::CALL_DEPTH, 0]);
    assert_eq!(world.account(&contract(1)).nonce, 0);
    let mut flat = self::world(|limits| limits.call_depth = 1);
    let answers = flat.answers(Script::new().call(&contract(1), 0, GAS, &[]).returning(0));
    assert_eq!(answers.result(0), (status::CALL_DEPTH, 0));
}

#[test]
fn live_pages_are_bounded_over_the_whole_stack() {
    let two = 2 * FRAME_PAGES;
    let inner = Script::new().host(number::HEAP_GROW, &[1]).finish();
    let script = Script::new()
        .call(&contract(1), 0, 1_000_000, &Script::new().finish())
        .call(&contract(1), 0, 1_000_000, &inner)
        .call(
            &contract(1),
            0,
            1_000_000,
            &Script::new().call(&contract(2), 0, GAS, &[]).returning(0),
        )
        .host(number::HEAP_GROW, &[u64::from(FRAME_PAGES)])
        .call(&contract(1), 0, 1_000_000, &Script::new().finish());
    let answers = world(|limits| limits.transaction_pages = two).answers(script.clone().returning(0));
    let statuses: Vec<_> = [0, 1, 2, 4].map(|call| answers.a0(call)).into();
    assert_eq!(
        statuses,
        [status::SUCCESS, status::TRAPPED, status::SUCCESS, status::TRAPPED]
    );
    assert_eq!(
        answers.a0(3),
        0x13_0000,
        "pages of frames that ended were given back"
    );
    let answers = world(|limits| limits.transaction_pages = two + 1).answers(script.returning(0));
    assert_eq!(
        [0, 1, 2, 4].map(|call| answers.a0(call)),
        [0, 0, 0, status::TRAPPED]
    );
    let trap = world(|limits| limits.transaction_pages = FRAME_PAGES - 1).trap(Script::new().finish());
    assert_eq!(
        trap,
        "host call refused: transaction_pages: the transaction's limit of live pages"
    );
}

#[test]
fn constants_and_input_are_live_pages_too() {
    // The caller's input, with the long one in it, takes a second page.
    let mut world = world(|limits| limits.transaction_pages = FRAME_PAGES + 1 + FRAME_PAGES + 10);
    let fits = world.install(&elf_with_constants(10 << 12));
    let large = world.install(&elf_with_constants(11 << 12));
    let end = Script::new().finish();
    let script = Script::new()
        .call(&fits, 0, 1_000_000, &end)
        .call(&large, 0, 1_000_000, &end)
        .call(&fits, 0, 1_000_000, &[end.as_slice(), &[0; 4096]].concat());
    let answers = world.answers(script.returning(0));
    let statuses = [0, 1, 2].map(|call| answers.a0(call));
    assert_eq!(statuses, [status::SUCCESS, status::TRAPPED, status::TRAPPED]);
}

#[test]
fn heap_pages_are_given_back_with_their_frame() {
    let grow = Script::new().host(number::HEAP_GROW, &[10]).returning(0);
    let call = |script: Script| script.call(&contract(1), 0, 1_000_000, &grow);
    let script = call(call(call(Script::new()))).returning(0);
    let answers = world(|limits| limits.transaction_pages = 2 * FRAME_PAGES + 10).answers(script);
    assert_eq!([0, 1, 2].map(|index| answers.a0(index)), [status::SUCCESS; 3]);
}

#[test]
fn output_is_bounded() {
    let mut world = world(|limits| limits.return_bytes = 100);
    let receipt = world.script(Script::new().host(number::RETURN, &[SCRATCH, 100]).input());
    assert_eq!((receipt.outcome, receipt.output.len()), (Outcome::Success, 100));
    let message = "host call refused: return_bytes: the limit of a frame's output";
    for number in [number::RETURN, number::REVERT] {
        assert_eq!(
            world.trap(Script::new().host(number, &[SCRATCH, 101]).input()),
            message
        );
    }
}

#[test]
fn logs_are_bounded_in_bytes_and_undone_ones_do_not_count() {
    let mut world = world(|limits| limits.log_bytes = 200);
    let half = || Script::new().log(&[[1; 32]], &[0; 36]);
    let fits = Script::new().call(&contract(1), 0, 1_000_000, &half().reverting(0));
    let receipt = world.script(fits.log(&[[1; 32]], &[0; 36]).log(&[[1; 32]], &[0; 36]).finish());
    assert_eq!((receipt.outcome, receipt.logs.len()), (Outcome::Success, 2));
    let message = "host call refused: log_bytes: the transaction's limit of log bytes";
    assert_eq!(world.trap(half().log(&[[1; 32]], &[0; 37]).finish()), message);
}

/// `add` to a script that has made one journal entry makes `count` more.
fn makes_entries(count: u32, name: &str, add: impl FnOnce(Script) -> Script) {
    let input = add(Script::new().log(&[], b"")).finish();
    let receipt = world(|limits| limits.journal_entries = 1 + count).script(input.clone());
    assert_eq!(receipt.outcome, Outcome::Success, "{name}");
    let message = "host call refused: journal_entries: the transaction's limit of journal entries";
    assert_eq!(
        world(|limits| limits.journal_entries = count).trap(input),
        message,
        "{name}"
    );
}

#[test]
fn journal_entries_are_bounded_and_undone_ones_count() {
    let stranger = Address([0x31; 32]);
    let set = |script: Script| script.storage_set(b"k", b"v");
    makes_entries(2, "a write and a cold access", set);
    makes_entries(3, "a warm write", |s| set(set(s)));
    makes_entries(3, "a removal", |s| set(s).storage_remove(b"k"));
    makes_entries(1, "cold reads", |s| {
        s.storage_get(b"k", 0, 0).storage_get(b"k", 0, 0)
    });
    makes_entries(1, "transient storage", |s| {
        s.transient_set(b"k", b"v").transient_get(b"k", 0, 0)
    });
    makes_entries(1, "a log", |s| s.log(&[], b""));
    makes_entries(1, "a balance", |s| s.balance(&stranger, 0));
    makes_entries(2, "a transfer", |s| s.transfer(&stranger, 1));
    makes_entries(1, "a call", |s| s.call(&stranger, 0, GAS, &[]));
    makes_entries(2, "a call with value", |s| s.call(&stranger, 1, GAS, &[]));
    makes_entries(1, "a creation", |s| s.create(0, GAS, b"", &[], 0));
    makes_entries(2, "a creation with value", |s| s.create(1, GAS, b"", &[], 0));
    let reverting = set(Script::new()).reverting(0);
    makes_entries(4, "an undone frame's entries", |s| {
        set(s.call(&contract(0), 0, 1_000_000, &reverting))
    });
}
