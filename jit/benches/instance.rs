//! Time to make an instance ready and to take it down again:
//! `cargo bench -p millrace-jit --bench instance`.
//!
//! The program is a small contract. Times are of this machine; each is the median over rounds of many instances. What
//! an instance starts with is checked in every round.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_jit::machine::machine;
use millrace_jit::{Instance, Program};

const ROUNDS: usize = 21;
const PAGE: u64 = 4096;

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

fn contract() -> Arc<Program> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../contracts/artifacts/token.elf");
    let elf = std::fs::read(path).unwrap();
    Arc::new(Program::load(&elf, machine(1).unwrap()).unwrap())
}

fn check(instance: &Instance, program: &Program) {
    let memory = instance.memory();
    for segment in program.segments() {
        let bytes = memory
            .read(u64::from(segment.address), u64::from(segment.memory_len))
            .unwrap();
        let (data, rest) = bytes.split_at(segment.data.len());
        assert!(data == &segment.data[..] && rest.iter().all(|&byte| byte == 0));
    }
    let layout = &program.machine().layout;
    let stack = memory
        .read(u64::from(layout.stack_bottom()), u64::from(layout.stack_bytes))
        .unwrap();
    assert!(stack.iter().all(|&byte| byte == 0));
    assert_eq!(memory.heap_pages(), 0);
}

/// Median nanoseconds of `work` per instance, in rounds that each say how long how many took.
fn report(name: &str, mut round: impl FnMut() -> (Duration, u32)) {
    round();
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let (time, count) = round();
            time.as_nanos() as f64 / f64::from(count)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{name:58} {:9.0} ns", times[ROUNDS / 2]);
}

/// New and drop, one after the other, with something done to memory in between.
fn pooled(name: &str, program: &Arc<Program>, mut touch: impl FnMut(&mut Instance)) {
    const COUNT: u32 = 2000;
    report(name, || {
        check(&Instance::new(Arc::clone(program)), program);
        let start = now();
        for _ in 0..COUNT {
            let mut instance = Instance::new(Arc::clone(program));
            touch(&mut instance);
        }
        (start.elapsed(), COUNT)
    });
}

fn dirty(instance: &mut Instance, start: u64, pages: u64) {
    for page in 0..pages {
        instance
            .memory_mut()
            .write(start + page * PAGE, &page.to_le_bytes())
            .unwrap();
    }
}

fn main() {
    let program = contract();
    let stack_top = u64::from(program.machine().layout.stack_top);
    let count = 1000;
    let mut alive = Vec::new();
    report("new, 1000 alive at once (most of them mapped afresh)", || {
        alive.clear();
        let start = now();
        alive.extend((0..count).map(|_| Instance::new(Arc::clone(&program))));
        let time = start.elapsed();
        alive.iter().for_each(|instance| check(instance, &program));
        (time, count)
    });
    report("drop of the same", || {
        alive.extend((0..count).map(|_| Instance::new(Arc::clone(&program))));
        let count = alive.len() as u32;
        let start = now();
        alive.clear();
        (start.elapsed(), count)
    });

    let programs: Vec<_> = (0..600).map(|_| contract()).collect();
    report("new and drop, 600 programs by turns (laid out anew)", || {
        programs
            .iter()
            .for_each(|program| check(&Instance::new(Arc::clone(program)), program));
        let start = now();
        for program in &programs {
            drop(Instance::new(Arc::clone(program)));
        }
        (start.elapsed(), programs.len() as u32)
    });
    drop(programs);

    // As many as the pool keeps for one program at least.
    let count = 200;
    let refill = |alive: &mut Vec<_>| {
        let start = now();
        alive.extend((0..count).map(|_| Instance::new(Arc::clone(&program))));
        (start.elapsed(), count)
    };
    report("new, pooled", || {
        alive.clear();
        refill(&mut alive)
    });
    report("drop of the same", || {
        alive.clear();
        refill(&mut alive);
        let start = now();
        alive.clear();
        (start.elapsed(), count)
    });
    pooled("new and drop, pooled, untouched", &program, |_| ());
    for pages in [1, 4, 16, 64] {
        let name = format!("new, {pages} pages of stack written, drop");
        pooled(&name, &program, |instance| {
            dirty(instance, stack_top - pages * PAGE, pages);
        });
    }
    for pages in [1, 4, 16, 64] {
        let name = format!("new, {pages} pages of heap granted and written, drop");
        pooled(&name, &program, |instance| {
            let start = instance.memory_mut().grow_heap(pages as u32).unwrap();
            dirty(instance, start, pages);
        });
    }
    report("new and drop, pooled, untouched, on two threads", || {
        const COUNT: u32 = 2000;
        let start = now();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..COUNT).for_each(|_| drop(Instance::new(Arc::clone(&program)))));
            }
        });
        (start.elapsed(), COUNT)
    });
    report("the same, 4 pages of stack and 4 of heap written", || {
        const COUNT: u32 = 2000;
        let start = now();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..COUNT {
                        let mut instance = Instance::new(Arc::clone(&program));
                        dirty(&mut instance, stack_top - 4 * PAGE, 4);
                        let start = instance.memory_mut().grow_heap(4).unwrap();
                        dirty(&mut instance, start, 4);
                    }
                });
            }
        });
        (start.elapsed(), COUNT)
    });
}
