//! The queue, what a program gets of the compiler, and that who runs waits for neither.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::queue::{Added, QUEUE, Queue};
use super::{CompilerStatistics, Request, Work, lock, wait_for_compiler};
use crate::image::{OwnedSegment, Permissions, Program};
use crate::isa::{self, Operands};
use crate::machine::machine;
use crate::runtime::{Ecall, End, Flow, Host, Instance, Tier};

/// Whoever holds it holds up the thread in front of its next request.
static GATE: Mutex<()> = Mutex::new(());

pub(super) fn pass() {
    drop(close());
}

fn close() -> MutexGuard<'static, ()> {
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tests that hold things up go one by one.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Returns;

impl Host for Returns {
    fn ecall(&mut self, _: &mut Ecall<'_>) -> Flow {
        Flow::Return
    }
}

/// Loops one after the other, each of 4,096 turns for each of `turns`.
fn loops(count: usize, turns: i32) -> Arc<Program> {
    let mut text = Vec::new();
    let mut op = |name: &str, rd, rs1, rs2, imm| {
        let form = isa::forms().iter().find(|form| form.name == name).unwrap();
        let operands = Operands {
            rd,
            rs1,
            rs2,
            imm,
            ..Operands::default()
        };
        text.extend_from_slice(&form.encode(&operands).unwrap().to_le_bytes());
    };
    for _ in 0..count {
        op("lui", 5, 0, 0, turns << 12);
        op("addi", 10, 10, 0, 1);
        op("addi", 5, 5, 0, -1);
        op("bne", 0, 5, 0, -8);
    }
    op("ecall", 0, 0, 0, 0);
    let segment = OwnedSegment {
        address: 0x1_0000,
        memory_len: text.len() as u32,
        data: text,
        permissions: Permissions::ReadExecute,
    };
    let machine = machine(1).unwrap();
    Arc::new(Program::from_segments(vec![segment], 0x1_0000, machine).unwrap())
}

/// Runs it. Gives the turns that it counted, and its gas in tier 0.
fn run(program: &Arc<Program>) -> (u64, u64) {
    let mut instance = Instance::new(Arc::clone(program));
    let outcome = instance.run(Tier::Auto, 1 << 40, &mut Returns);
    assert_eq!(outcome.end, End::Returned);
    (instance.registers()[10], instance.interpreted_gas())
}

fn functions(program: &Program) -> usize {
    program.native_size().functions
}

#[test]
fn who_runs_compiles_nothing_and_changes_over_once_the_thread_has() {
    let _alone = alone();
    let program = loops(1, 16);
    let gate = close();
    for _ in 0..4 {
        // Far beyond what compiling costs.
        assert_eq!(run(&program).0, 16 << 12);
        assert_eq!(functions(&program), 0);
    }
    drop(gate);
    wait_for_compiler();
    assert_eq!(functions(&program), 1);
    let (turns, interpreted) = run(&program);
    assert_eq!(turns, 16 << 12);
    assert!(interpreted < 100, "{interpreted} gas in tier 0");
}

#[test]
fn who_runs_does_not_wait_for_the_lock_of_the_queue() {
    let _alone = alone();
    let program = loops(4, 16);
    let before = CompilerStatistics::now();
    let desk = lock();
    // Whoever waited would wait for ever.
    assert_eq!(run(&program).0, 4 * (16 << 12));
    drop(desk);
    let after = CompilerStatistics::now();
    assert!(after.passed_by >= before.passed_by + 4, "{before:?} {after:?}");
    assert_eq!(functions(&program), 0);
    // It is asked again.
    run(&program);
    wait_for_compiler();
    assert!(functions(&program) > 0);
}

#[test]
fn more_hot_addresses_than_the_queue_holds_wait_for_their_turn() {
    let _alone = alone();
    let program = loops(QUEUE + 50, 1);
    let gate = close();
    let before = CompilerStatistics::now();
    run(&program);
    let after = CompilerStatistics::now();
    assert!(after.passed_by + after.displaced >= before.passed_by + before.displaced + 50);
    drop(gate);
    for _ in 0..20 {
        run(&program);
        wait_for_compiler();
    }
    // What the budget of size allows: each loop counts for more than its instructions.
    assert!(functions(&program) > 0);
    let (turns, _) = run(&program);
    assert_eq!(turns, (QUEUE as u64 + 50) << 12);
}

#[test]
fn a_program_that_took_too_long_to_compile_stays_in_tier_0() {
    let _alone = alone();
    let program = loops(1, 16);
    program
        .native()
        .heat()
        .spent_us
        .store(u64::MAX >> 1, Ordering::Relaxed);
    let before = CompilerStatistics::now();
    run(&program);
    wait_for_compiler();
    let after = CompilerStatistics::now();
    assert!(after.over_time > before.over_time);
    assert_eq!(functions(&program), 0);
    assert_eq!(run(&program).0, 16 << 12);
}

#[test]
fn a_program_that_had_too_much_compiled_stays_in_tier_0() {
    let _alone = alone();
    let program = loops(1, 16);
    program
        .native()
        .heat()
        .compiled
        .store(usize::MAX >> 1, Ordering::Relaxed);
    let before = CompilerStatistics::now();
    run(&program);
    wait_for_compiler();
    assert!(CompilerStatistics::now().over_size > before.over_size);
    assert_eq!(functions(&program), 0);
}

#[test]
fn compiling_is_charged_to_its_program() {
    let _alone = alone();
    let program = loops(1, 16);
    run(&program);
    wait_for_compiler();
    assert!(program.native().heat().spent_us.load(Ordering::Relaxed) > 0);
}

fn request(pc: u32, jumps: u16) -> Request {
    Request {
        program: Weak::new(),
        work: Work::Compile { is_exact: false, pc },
        jumps,
    }
}

fn order(mut queue: Queue) -> Vec<u32> {
    std::iter::from_fn(|| queue.take())
        .map(|request| match request.work {
            Work::Compile { pc, .. } => pc,
            Work::Recall => 0,
        })
        .collect()
}

#[test]
fn the_hottest_goes_first_and_of_those_that_are_as_hot_the_one_that_came_first() {
    let mut queue = Queue::new();
    for (pc, jumps) in [(2, 512), (4, 1024), (6, 512), (8, 4096), (10, 1024)] {
        assert_eq!(queue.add(request(pc, jumps)), Added::Waits);
    }
    let recall = Request {
        work: Work::Recall,
        ..request(0, u16::MAX)
    };
    assert_eq!(queue.add(recall), Added::Waits);
    assert_eq!(order(queue), [0, 8, 4, 10, 2, 6]);
}

#[test]
fn an_address_waits_once_and_is_as_hot_as_it_was_said_to_be() {
    let mut queue = Queue::new();
    queue.add(request(2, 512));
    queue.add(request(4, 1024));
    assert_eq!(queue.add(request(2, 2048)), Added::Known);
    assert_eq!(queue.add(request(2, 512)), Added::Known);
    assert_eq!(order(queue), [2, 4]);
}

#[test]
fn in_a_full_queue_the_coldest_makes_room_for_a_hotter_one() {
    let mut queue = Queue::new();
    for pc in 0..QUEUE as u32 {
        assert_eq!(queue.add(request(2 * pc, 1024)), Added::Waits);
    }
    assert_eq!(queue.add(request(9998, 1024)), Added::Full);
    assert_eq!(queue.add(request(9998, 2048)), Added::Displaced);
    let order = order(queue);
    assert_eq!(order.len(), QUEUE);
    assert_eq!(order[0], 9998);
    // Of those that were as cold, the last to come went.
    assert_eq!(order[QUEUE - 1], 2 * (QUEUE as u32 - 2));
}
