//! Instances in bulk: many at once, many programs one after the other, hosts that have nothing left.
//!
//! `MILLRACE_LONG=1` runs 100,000 programs, all of them compiled, instead of 2,000, of which a quarter are.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::{DATA, Guest, Returns};
use millrace_jit::image::{OwnedSegment, Permissions};
use millrace_jit::machine::machine;
use millrace_jit::{End, Instance, InstanceError, Program, Tier, wait_for_compiler};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The tests count what the process has, so they go one by one.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Maps, descriptors and resident KiB of this process.
#[derive(Clone, Copy, Debug)]
struct Usage {
    maps: usize,
    descriptors: usize,
    resident_kib: usize,
}

fn usage() -> Usage {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    Usage {
        maps: std::fs::read_to_string("/proc/self/maps")
            .unwrap()
            .lines()
            .count(),
        descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        resident_kib: resident.split_whitespace().nth(1).unwrap().parse().unwrap(),
    }
}

/// Adds 1 to a word of data, and gives the sum in x9.
fn counter(start: u64) -> Arc<Program> {
    Guest::new()
        .register(8, DATA)
        .data(DATA, &start.to_le_bytes())
        .op("ld", 9, 8, 0, 0)
        .op("addi", 9, 9, 0, 1)
        .op("sd", 0, 8, 9, 0)
        .ecall()
        .program()
}

/// Adds 1 in a0, which host calls see, so many times, in a loop that becomes hot.
fn spinning(turns: i32) -> Arc<Program> {
    Guest::new()
        .register(8, turns as u64)
        .op("addi", 10, 10, 0, 1)
        .op("addi", 8, 8, 0, -1)
        .op("bne", 0, 8, 0, -8)
        .ecall()
        .program()
}

/// Large enough for a file of its own.
fn large(mark: u8) -> Arc<Program> {
    let segment = |address, pages: usize, permissions| OwnedSegment {
        address,
        memory_len: pages as u32 * 4096,
        data: vec![mark; pages * 4096],
        permissions,
    };
    let mut segments = vec![
        segment(0x1_0000, 1, Permissions::ReadExecute),
        segment(0x10_0000, 20, Permissions::Read),
        segment(0x20_0000, 20, Permissions::ReadWrite),
    ];
    segments[0].data = common::encode("ecall", 0, 0, 0, 0);
    Arc::new(Program::from_segments(segments, 0x1_0000, machine(1).unwrap()).unwrap())
}

fn run(instance: &mut Instance, tier: Tier) -> u64 {
    let outcome = instance.run(tier, 1 << 40, &mut Returns);
    assert_eq!(outcome.end, End::Returned);
    instance.registers()[9]
}

#[test]
fn a_thousand_instances_live_at_once() {
    let _alone = alone();
    let programs: Vec<_> = (0..10).map(|number| counter(number * 1000)).collect();
    let mut instances: Vec<_> = (0..1000)
        .map(|number| Instance::new(Arc::clone(&programs[number % 10])))
        .collect();
    for (number, instance) in instances.iter_mut().enumerate() {
        let heap = instance.memory_mut().grow_heap(1 + number as u32 % 40).unwrap();
        instance
            .memory_mut()
            .write(heap, &(number as u64).to_le_bytes())
            .unwrap();
        let first = (number as u64 % 10) * 1000;
        let tier = [Tier::Interpreter, Tier::Jit, Tier::Auto][number % 3];
        assert_eq!(run(instance, tier), first + 1);
        assert_eq!(run(instance, Tier::Jit), first + 2);
    }
    for (number, instance) in instances.iter().enumerate() {
        let heap = instance.memory().heap_start();
        assert_eq!(
            instance.memory().read(heap, 8).unwrap(),
            (number as u64).to_le_bytes()
        );
    }
    let maps = usage().maps;
    println!("{maps} maps, of 65,530 that Linux gives a process");
    assert!(maps < 20_000, "{maps} maps");
}

#[test]
fn an_instance_of_a_program_that_ran_before_is_as_new() {
    let _alone = alone();
    let (small, large) = (counter(41), large(7));
    for _ in 0..300 {
        assert_eq!(run(&mut Instance::new(Arc::clone(&small)), Tier::Interpreter), 42);
        let mut instance = Instance::new(Arc::clone(&large));
        let memory = instance.memory_mut();
        assert_eq!(memory.read(0x20_0000, 20 << 12).unwrap(), vec![7; 20 << 12]);
        assert_eq!(memory.heap_pages(), 0);
        let heap = memory.grow_heap(30).unwrap();
        for (start, len) in [(0x20_0000, 20 << 12), (heap, 30 << 12), (0xfffb_0000, 256 << 10)] {
            memory.writable(start, len).unwrap().fill(9);
        }
    }
}

#[test]
fn memories_that_were_exchanged_do_no_harm() {
    let _alone = alone();
    let (small, large) = (counter(41), large(7));
    for _ in 0..3 {
        let mut one = Instance::new(Arc::clone(&small));
        let mut other = Instance::new(Arc::clone(&large));
        std::mem::swap(one.memory_mut(), other.memory_mut());
        other.memory_mut().write(DATA, &[1; 8]).unwrap();
        drop((one, other));
        assert_eq!(run(&mut Instance::new(Arc::clone(&small)), Tier::Interpreter), 42);
        let instance = Instance::new(Arc::clone(&large));
        assert_eq!(
            instance.memory().read(0x20_0000, 20 << 12).unwrap(),
            vec![7; 20 << 12]
        );
    }
}

#[test]
fn programs_come_and_go_and_leave_nothing() {
    let _alone = alone();
    #[expect(clippy::disallowed_methods, reason = "a test's own length")]
    let is_long = std::env::var("MILLRACE_LONG").is_ok();
    let count = if is_long { 100_000 } else { 2_000 };
    let (mut settled, mut last) = (None, usage());
    for number in 0..count {
        let program = counter(number);
        let tier = if is_long || number % 4 == 0 {
            Tier::Jit
        } else {
            Tier::Interpreter
        };
        let mut instance = Instance::new(Arc::clone(&program));
        // One is alive while others of the program come and go.
        let mut second = Instance::new(program);
        second.memory_mut().grow_heap(number as u32 % 64).unwrap();
        assert_eq!(run(&mut second, tier), number + 1);
        drop(second);
        assert_eq!(run(&mut instance, tier), number + 1);
        if number % 8 == 0 {
            let instance = Instance::new(large(number as u8));
            assert_eq!(instance.memory().read(0x20_4000, 1).unwrap(), [number as u8]);
        }
        drop(instance);
        if number % 16 == 0 {
            // Dropped while the background thread is about to compile it, or does.
            let turns = 1_000 + number as i32 % 1_000;
            let mut instance = Instance::new(spinning(turns));
            run(&mut instance, Tier::Auto);
            assert_eq!(instance.registers()[10], turns as u64);
        }
        if number % (count / 20) == count / 20 - 1 {
            wait_for_compiler();
            last = usage();
            settled.get_or_insert(last);
        }
    }
    let settled = settled.unwrap();
    println!(
        "after {} programs {settled:?}, after {count} {last:?}",
        count / 20
    );
    assert!(last.maps <= settled.maps + 20, "{settled:?} {last:?}");
    assert_eq!(last.descriptors, settled.descriptors);
    assert!(
        last.resident_kib <= settled.resident_kib + 16 * 1024,
        "{settled:?} {last:?}"
    );
}

#[test]
fn threads_share_the_pool() {
    let _alone = alone();
    let programs: Vec<_> = (0..40).map(|number| counter(number * 100)).collect();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let programs = &programs;
            scope.spawn(move || {
                for turn in 0..500 {
                    let number = (turn * 7 + thread * 11) % 40;
                    let mut instance = Instance::new(Arc::clone(&programs[number]));
                    let expected = number as u64 * 100 + 1;
                    assert_eq!(run(&mut instance, Tier::Interpreter), expected);
                    let moved = std::thread::spawn(move || drop(instance));
                    if turn % 50 == 0 {
                        moved.join().unwrap();
                    }
                }
            });
        }
    });
}

/// Names the test that a process was made for.
const CHILD: &str = "MILLRACE_TEST_CHILD";

/// Whether this process was made for a test; what the test does to its process is nothing for the others.
fn is_child(test: &str) -> bool {
    std::env::var_os(CHILD).is_some_and(|child| child == test)
}

/// Runs a test that spoils its process in a process of its own.
fn in_a_process(test: &str) {
    let _alone = alone();
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, test)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn a_host_without_address_space_is_told_what_to_do() {
    in_a_process("child_without_address_space");
}

#[test]
fn child_without_address_space() {
    if !is_child("child_without_address_space") {
        return;
    }
    let limit = 64 << 30;
    let maximum = getrlimit(Resource::As).maximum;
    let rlimit = Rlimit {
        current: Some(limit),
        maximum,
    };
    setrlimit(Resource::As, rlimit).unwrap();
    let program = counter(0);
    let mut instances = Vec::new();
    let error = loop {
        match Instance::try_new(Arc::clone(&program)) {
            Ok(instance) => instances.push(instance),
            Err(error) => break error,
        }
    };
    assert!((8..16).contains(&instances.len()), "{}", instances.len());
    assert!(
        matches!(error, InstanceError::AddressSpace { limit: told } if told == limit),
        "{error:?}"
    );
    assert!(error.to_string().contains("ulimit -v"), "{error}");
    // What others gave back serves another program.
    instances.clear();
    assert_eq!(run(&mut Instance::new(counter(5)), Tier::Interpreter), 6);
}

#[test]
fn a_host_without_maps_is_told_what_to_do() {
    in_a_process("child_without_maps");
}

#[test]
fn child_without_maps() {
    if !is_child("child_without_maps") {
        return;
    }
    let program = counter(0);
    // Every other page of a mapping, until the host refuses.
    let pages = 100_000;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping, at an address that the kernel picks.
    let start = unsafe { mmap_anonymous(std::ptr::null_mut(), pages * 4096, ProtFlags::empty(), flags) };
    let start = start.unwrap().cast::<u8>();
    let refused = (0..pages).step_by(2).any(|page| {
        // SAFETY: a page of the mapping, which nobody uses.
        unsafe { mprotect(start.add(page * 4096).cast(), 4096, MprotectFlags::READ) }.is_err()
    });
    assert!(refused, "the host's bound on maps is above what the test takes");
    let error = Instance::try_new(Arc::clone(&program)).unwrap_err();
    assert!(matches!(error, InstanceError::Maps { .. }), "{error:?}");
    assert!(error.to_string().contains("vm.max_map_count"), "{error}");
    // SAFETY: the mapping is ours, and nobody uses it.
    unsafe { mprotect(start.cast(), pages * 4096, MprotectFlags::READ) }.unwrap();
    assert_eq!(run(&mut Instance::new(program), Tier::Interpreter), 1);
}
