//! How long whoever runs a program is held up while the background thread compiles it:
//! `cargo bench -p millrace-benches --bench stalls -- --help`.
//!
//! Each thread runs a program of its own in tier auto, of many functions that become hot one after the other, so that the
//! compiler is busy all the time and publishes one batch after the other. Between two functions the guest calls the host,
//! which grows heaps, makes instances and gives them back, and takes the time. Of the wall time between two calls,
//!
//! - *waited* is what is neither CPU time nor time that the thread was ready and had no core, if the thread gave its core
//!   away meanwhile: waits for locks, the address space's included, and for the system;
//! - *stolen* is the same where it did not: a virtual machine's host took the core;
//! - *computed* is CPU time: if it compiled anything itself it would show here.
//!
//! The interpreter, beside which nothing is compiled, says what the machine's own noise is.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use millrace_benches::host::{self, cpu_time};
use millrace_benches::report::save_json;
use millrace_jit::machine::{MAX_GAS_LIMIT, machine};
use millrace_jit::{CompilerStatistics, Ecall, End, Flow, Host, Instance, Program, Tier, wait_for_compiler};
use millrace_tests::asm::Text;
use millrace_tests::elf::{self, RW, RX, Segment};
use serde_json::{Value, json};

const TEXT: u64 = 0x0010_0000;
const DATA: u64 = 0x0080_0000;
/// Instructions of a loop that are not its end.
const BODY: u32 = 60;
/// Turns of a loop, for each call.
const TURNS: u64 = 600;
/// What is neither CPU time nor time without a core, and too little to ask whose it is.
const NOISE: Duration = Duration::from_micros(50);
/// Host calls between two that grow the heap.
const GROW_EVERY: usize = 64;

/// Measures what holds up whoever runs while others compile.
#[derive(Parser)]
struct Arguments {
    /// Threads that run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Functions of each program
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u16).range(1..))]
    functions: u16,
    /// How often each is called in a run
    #[arg(long, value_name = "N", default_value_t = 60)]
    calls: u64,
    /// Programs, one after the other
    #[arg(long, value_name = "N", default_value_t = 5)]
    programs: u64,
    /// Also write everything to benches/results/NAME.json
    #[arg(long, value_name = "NAME")]
    save: Option<String>,
    /// What cargo passes to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// A program that calls so many functions, one after the other with a host call between, so many times.
fn program(functions: u16, calls: u64, salt: u64) -> Arc<Program> {
    let mut text = Text::new(TEXT);
    text.set(8, calls);
    text.set(18, DATA + 8 * (salt % 400));
    let outer = text.here();
    // Two instructions a function, three that end the loop, two that end the run.
    let first = outer + u64::from(functions) * 8 + 5 * 4;
    let bytes = u64::from(BODY + 4) * 4;
    for function in 0..u64::from(functions) {
        let distance = first + function * bytes - text.here();
        text.op("jal", 1, 0, 0, distance as i32);
        text.op("ecall", 0, 0, 0, 0);
    }
    text.op("addi", 8, 8, 0, -1);
    text.op("beq", 0, 8, 0, 8);
    let back = outer.wrapping_sub(text.here()) as i64 as i32;
    text.op("jal", 0, 0, 0, back);
    text.op("addi", 17, 0, 0, 93);
    text.op("ecall", 0, 0, 0, 0);
    assert_eq!(text.here(), first);
    for function in 0..functions {
        text.op("addi", 5, 0, 0, TURNS as i32);
        for number in 0..BODY {
            let register = 10 + (number % 6) as u8;
            match number % 4 {
                0 => text.op("addi", register, register, 0, i32::from(function % 512)),
                1 => text.op("xor", register, register, 10, 0),
                2 => text.op("ld", register, 18, 0, 8 * (number as i32 % 16)),
                _ => text.op("sd", 0, 18, register, 8 * (number as i32 % 16)),
            }
        }
        text.op("addi", 5, 5, 0, -1);
        text.op("bne", 0, 5, 0, -4 * (BODY as i32 + 1));
        text.op("jalr", 0, 1, 0, 0);
    }
    let file = elf::file(
        TEXT,
        &[
            Segment::load(RX, TEXT, text.bytes),
            Segment::load(RW, DATA, vec![1; 4096]),
        ],
    );
    Arc::new(Program::load(&file, machine(1).unwrap()).unwrap())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

/// What a thread has spent: wall time, on a core, and ready without one.
#[derive(Clone, Copy)]
struct Spent {
    at: Instant,
    cpu: Duration,
    ready: Duration,
}

/// The clocks of the calling thread.
struct Clocks {
    times: File,
    status: File,
}

impl Clocks {
    fn new() -> Self {
        Self {
            times: File::open("/proc/thread-self/schedstat").unwrap(),
            status: File::open("/proc/thread-self/status").unwrap(),
        }
    }

    /// How often the thread gave its core away.
    fn waits(&self) -> u64 {
        let mut text = [0; 4096];
        let len = self.status.read_at(&mut text, 0).unwrap();
        let text = std::str::from_utf8(&text[..len]).unwrap();
        let mut lines = text.lines();
        let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.unwrap().trim().parse().unwrap()
    }

    fn now(&self) -> Spent {
        let mut text = [0; 64];
        let len = self.times.read_at(&mut text, 0).unwrap();
        let text = std::str::from_utf8(&text[..len]).unwrap();
        let ready = text.split(' ').nth(1).unwrap().parse().unwrap();
        Spent {
            at: now(),
            cpu: cpu_time(),
            ready: Duration::from_nanos(ready),
        }
    }
}

/// The host, and what it saw between its calls.
struct Watch<'a> {
    clocks: &'a Clocks,
    other: &'a Arc<Program>,
    last: Spent,
    /// How often the thread had given its core away when that was last asked.
    waits: u64,
    calls: usize,
    seen: Seen,
}

/// The longest of each between two host calls.
#[derive(Clone, Copy, Default)]
struct Seen {
    wall: Duration,
    computed: Duration,
    waited: Duration,
    stolen: Duration,
    /// How often the thread gave its core away in gaps of which that was asked.
    waits: u64,
    /// Gaps of more than a millisecond that were waited.
    over_1_ms: usize,
    calls: usize,
}

impl Seen {
    fn and(self, other: Self) -> Self {
        Self {
            wall: self.wall.max(other.wall),
            computed: self.computed.max(other.computed),
            waited: self.waited.max(other.waited),
            stolen: self.stolen.max(other.stolen),
            waits: self.waits + other.waits,
            over_1_ms: self.over_1_ms + other.over_1_ms,
            calls: self.calls + other.calls,
        }
    }
}

impl Host for Watch<'_> {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        if call.number == 93 {
            return Flow::Return;
        }
        self.calls += 1;
        drop(Instance::new(Arc::clone(self.other)));
        if self.calls.is_multiple_of(GROW_EVERY)
            && let Some(page) = call.memory.grow_heap(1)
        {
            call.memory.write(page, &[1]).unwrap();
        }
        let now = self.clocks.now();
        let wall = now.at.duration_since(self.last.at);
        let computed = now.cpu.saturating_sub(self.last.cpu);
        let ready = now.ready.saturating_sub(self.last.ready);
        let gone = wall.saturating_sub(computed + ready);
        let (mut waited, mut stolen, mut waits) = (Duration::ZERO, Duration::ZERO, 0);
        if gone > NOISE {
            let all = self.clocks.waits();
            waits = all - std::mem::replace(&mut self.waits, all);
            *(if waits > 0 { &mut waited } else { &mut stolen }) = gone;
        }
        self.seen = self.seen.and(Seen {
            wall,
            computed,
            waited,
            stolen,
            waits,
            over_1_ms: usize::from(waited > Duration::from_millis(1)),
            calls: 1,
        });
        self.last = now;
        Flow::Continue
    }
}

fn watch(tier: Tier, arguments: &Arguments, salt: u64) -> Seen {
    let clocks = Clocks::new();
    let other = program(1, 1, salt);
    let mut seen = Seen::default();
    for number in 0..arguments.programs {
        let program = program(arguments.functions, arguments.calls, salt * 64 + number);
        let mut instance = Instance::new(program);
        let mut host = Watch {
            last: clocks.now(),
            waits: clocks.waits(),
            clocks: &clocks,
            other: &other,
            calls: 0,
            seen,
        };
        let outcome = instance.run(tier, MAX_GAS_LIMIT, &mut host);
        assert_eq!(outcome.end, End::Returned);
        seen = host.seen;
    }
    seen
}

fn measure(name: &str, tier: Tier, arguments: &Arguments) -> Value {
    let before = CompilerStatistics::now();
    let start = now();
    let seen = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..u64::from(arguments.threads))
            .map(|salt| scope.spawn(move || watch(tier, arguments, salt)))
            .collect();
        let seen = runs.into_iter().map(|run| run.join().unwrap());
        seen.reduce(Seen::and).unwrap()
    });
    let took = start.elapsed();
    wait_for_compiler();
    let after = CompilerStatistics::now();
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    println!(
        "{name:<14}{:>10.2}{:>10}{:>10}{:>12.0}{:>12.0}{:>12.0}{:>8}{:>12.0}{:>8}",
        took.as_secs_f64(),
        seen.calls,
        after.batches - before.batches,
        us(seen.wall),
        us(seen.computed),
        us(seen.stolen),
        seen.waits,
        us(seen.waited),
        seen.over_1_ms,
    );
    json!({
        "tier": name,
        "seconds": took.as_secs_f64(),
        "host_calls": seen.calls,
        "batches": after.batches - before.batches,
        "passed_by": after.passed_by - before.passed_by,
        "displaced": after.displaced - before.displaced,
        "longest_wall_us": us(seen.wall),
        "longest_computed_us": us(seen.computed),
        "longest_stolen_us": us(seen.stolen),
        "waits": seen.waits,
        "longest_waited_us": us(seen.waited),
        "waits_over_1_ms": seen.over_1_ms,
    })
}

fn main() {
    let arguments = Arguments::parse();
    println!(
        "{:<14}{:>10}{:>10}{:>10}{:>12}{:>12}{:>12}{:>8}{:>12}{:>8}",
        "longest of",
        "seconds",
        "calls",
        "batches",
        "wall us",
        "computed us",
        "stolen us",
        "waits",
        "waited us",
        "> 1 ms"
    );
    let rows = [
        measure("interpreter", Tier::Interpreter, &arguments),
        measure("auto", Tier::Auto, &arguments),
    ];
    if let Some(name) = &arguments.save {
        let everything = json!({
            "machine": host::describe(),
            "threads": arguments.threads,
            "functions": arguments.functions,
            "rows": rows,
        });
        println!("saved in {}", save_json(name, &everything).display());
    }
}
