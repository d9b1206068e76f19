//! What has to be quick, beside what was aimed at: `cargo bench -p millrace-benches --bench quick -- --help`.
//!
//! - *first instruction*: a contract with 100 KB of text is loaded, laid out and run up to its first host call, which is
//!   its third instruction, in tier 0;
//! - *compiling*: guest instructions that become native code in a second of one core, of compiled programs;
//! - *hot loop*: from the first call of a contract with 100 KB of text, until the loop that it is in has native code, by
//!   the clock: the compiler is another thread;
//! - *enter and exit*: a run of native code that ends at once, beside the same run with one host call more;
//! - *host call*: `ecall` from native code, to a host that does nothing;
//! - *instance*: made from a pool, and given back.
//!
//! CPU time of the thread but for the hot loop. The median of the rounds is what is compared; the least says how far it is
//! to be trusted.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use clap::Parser;
use millrace_benches::guest::Silent;
use millrace_benches::host::{self, cpu_time};
use millrace_benches::report::save_json;
use millrace_jit::machine::{MAX_GAS_LIMIT, machine};
use millrace_jit::{CompileOptions, Ecall, End, Flow, Host, Instance, Program, Tier};
use millrace_tests::asm::Text;
use millrace_tests::elf::{self, RX, Segment};
use serde_json::{Value, json};

/// Where the contracts made here begin.
const TEXT: u64 = 0x0010_0000;
/// Text of a contract of some size.
const CONTRACT_BYTES: usize = 100 << 10;
/// Runs, calls or instances that are timed together where one is too short.
const MANY: u32 = 10_000;

/// Compiled programs, whose text is also what the contract is filled with.
const COMPILED: [(&str, &[u8]); 5] = [
    ("token", include_bytes!("../../contracts/artifacts/token.elf")),
    ("hash", include_bytes!("../../contracts/artifacts/hash.elf")),
    ("counter", include_bytes!("../../contracts/artifacts/counter.elf")),
    ("sha256", include_bytes!("../artifacts/sha256.elf")),
    ("quicksort", include_bytes!("../artifacts/quicksort.elf")),
];

/// Measures what has to be quick.
#[derive(Parser)]
struct Arguments {
    /// Rounds of everything
    #[arg(long, value_name = "N", default_value_t = 21, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Only the figures whose names have this in them
    #[arg(long, value_name = "WORD", default_value = "")]
    only: String,
    /// Also write every round to benches/results/NAME.json
    #[arg(long, value_name = "NAME")]
    save: Option<String>,
    /// What cargo passes to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn load(elf: &[u8]) -> Arc<Program> {
    let machine = machine(1).expect("version 1 is part of every build");
    Arc::new(Program::load(elf, machine).expect("what this bench makes or embeds is valid"))
}

fn compile(program: &Program) {
    let options = CompileOptions {
        verify: false,
        ..CompileOptions::for_this_process()
    };
    program.compile(&options).expect("it compiles");
}

fn exit(text: &mut Text) {
    text.op("addi", 17, 0, 0, 93);
    text.op("ecall", 0, 0, 0, 0);
}

fn file(text: Text) -> Vec<u8> {
    elf::file(TEXT, &[Segment::load(RX, TEXT, text.bytes)])
}

/// A program that makes so many host calls before the one that ends it.
fn calls(count: u32) -> Arc<Program> {
    let mut text = Text::new(TEXT);
    text.set(5, u64::from(count));
    text.op("beq", 0, 5, 0, 16);
    text.op("ecall", 0, 0, 0, 0);
    text.op("addi", 5, 5, 0, -1);
    text.op("bne", 0, 5, 0, -8);
    exit(&mut text);
    load(&file(text))
}

/// A contract that makes a host call, runs a loop of so many turns, and ends, with real code behind it.
fn contract(turns: u64) -> Vec<u8> {
    let mut text = Text::new(TEXT);
    text.op("addi", 17, 0, 0, 1);
    text.op("addi", 10, 0, 0, 0);
    text.op("ecall", 0, 0, 0, 0);
    text.set(5, turns);
    let header = text.here();
    text.op("sd", 0, 2, 6, -16);
    text.op("addi", 6, 6, 0, 7);
    text.op("xor", 7, 7, 6, 0);
    text.op("ld", 8, 2, 0, -16);
    text.op("add", 9, 9, 8, 0);
    text.op("addi", 5, 5, 0, -1);
    let back = header.wrapping_sub(text.here()) as i64 as i32;
    text.op("bne", 0, 5, 0, back);
    exit(&mut text);
    for (_, elf) in COMPILED.iter().cycle() {
        if text.bytes.len() >= CONTRACT_BYTES {
            break;
        }
        text.bytes.extend_from_slice(load(elf).text().1);
        text.bytes.resize(text.bytes.len().next_multiple_of(4), 0);
    }
    file(text)
}

/// Takes the time until its first call.
struct First {
    start: Duration,
    took: Option<Duration>,
}

impl Host for First {
    fn ecall(&mut self, _: &mut Ecall<'_>) -> Flow {
        self.took
            .get_or_insert_with(|| cpu_time().saturating_sub(self.start));
        Flow::Return
    }
}

fn first_instruction(elf: &[u8]) -> f64 {
    let mut host = First {
        start: cpu_time(),
        took: None,
    };
    let mut instance = Instance::new(load(elf));
    let _ = instance.run(Tier::Auto, MAX_GAS_LIMIT, &mut host);
    host.took.expect("it makes a call").as_nanos() as f64
}

/// Nanoseconds for a guest instruction, over all compiled programs.
fn compiling() -> f64 {
    let mut instructions = 0;
    let mut time = Duration::ZERO;
    for (_, elf) in COMPILED {
        let program = load(elf);
        let start = cpu_time();
        compile(&program);
        time += cpu_time().saturating_sub(start);
        instructions += program.native_size().instructions;
    }
    time.as_nanos() as f64 / instructions as f64
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

fn hot_loop() -> f64 {
    let program = load(&contract(300_000_000));
    let started = OnceLock::new();
    std::thread::scope(|scope| {
        let runs = scope.spawn(|| {
            let mut instance = Instance::new(Arc::clone(&program));
            started.get_or_init(now);
            instance.run(Tier::Auto, MAX_GAS_LIMIT, &mut Silent)
        });
        while program.native_size().functions == 0 && !runs.is_finished() {
            // Sleeping, so that the two threads that are timed have the cores.
            std::thread::sleep(Duration::from_micros(50));
        }
        let end = now();
        let outcome = runs.join().expect("runs do not panic");
        assert_eq!(outcome.end, End::Returned);
        let start = started.get().expect("it has run");
        end.duration_since(*start).as_nanos() as f64
    })
}

/// Nanoseconds of one run, of many of the same instance.
fn run(program: &Arc<Program>) -> f64 {
    let mut instance = Instance::new(Arc::clone(program));
    let start = cpu_time();
    for _ in 0..MANY {
        let outcome = instance.run(Tier::Jit, MAX_GAS_LIMIT, &mut Silent);
        debug_assert_eq!(outcome.end, End::Returned);
    }
    cpu_time().saturating_sub(start).as_nanos() as f64 / f64::from(MANY)
}

/// Nanoseconds of a host call: one run with many beside one with few.
fn host_call(many: &Arc<Program>, few: &Arc<Program>) -> f64 {
    let time = |program: &Arc<Program>| {
        let mut instance = Instance::new(Arc::clone(program));
        let start = cpu_time();
        let _ = instance.run(Tier::Jit, MAX_GAS_LIMIT, &mut Silent);
        cpu_time().saturating_sub(start).as_nanos() as f64
    };
    (time(many) - time(few)) / f64::from(99 * MANY)
}

fn instance(program: &Arc<Program>) -> f64 {
    let start = cpu_time();
    for _ in 0..MANY {
        drop(Instance::new(Arc::clone(program)));
    }
    cpu_time().saturating_sub(start).as_nanos() as f64 / f64::from(MANY)
}

/// A figure: every round of it in nanoseconds, and what was aimed at.
struct Figure {
    name: &'static str,
    target_ns: f64,
    rounds: Vec<f64>,
}

impl Figure {
    fn measure(name: &'static str, target_ns: f64, rounds: usize, mut round: impl FnMut() -> f64) -> Self {
        eprint!("{name:<30}\r");
        round();
        let mut rounds: Vec<f64> = (0..rounds).map(|_| round()).collect();
        rounds.sort_by(f64::total_cmp);
        Self {
            name,
            target_ns,
            rounds,
        }
    }

    fn line(&self) -> String {
        let (least, median) = (self.rounds[0], self.rounds[self.rounds.len() / 2]);
        let verdict = if median <= self.target_ns { "met" } else { "missed" };
        format!(
            "{:<30}{least:>14.1}{median:>14.1}{:>14.1}  {verdict}",
            self.name, self.target_ns
        )
    }

    fn json(&self) -> Value {
        json!({ "figure": self.name, "target_ns": self.target_ns, "rounds_ns": self.rounds })
    }
}

fn main() {
    let arguments = Arguments::parse();
    let rounds = usize::from(arguments.rounds);
    let elf = contract(1);
    let [at_once, few, many] = [0, MANY, 100 * MANY].map(calls);
    for program in [&at_once, &few, &many] {
        compile(program);
    }
    let loaded = load(&elf);
    let mut figures = Vec::new();
    let mut measure = |name: &'static str, target_ns, round: &dyn Fn() -> f64| {
        if name.contains(&arguments.only) {
            figures.push(Figure::measure(name, target_ns, rounds, round));
        }
    };
    measure("host call", 15.0, &|| host_call(&many, &few));
    measure("enter, one host call, exit", 100.0 + 15.0, &|| run(&at_once));
    measure("instance, and given back", 3e3, &|| instance(&loaded));
    measure("first instruction, 100 KB", 200e3, &|| first_instruction(&elf));
    // 150,000 a second.
    measure("compiling an instruction", 1e9 / 150e3, &compiling);
    measure("hot loop native, 100 KB", 20e6, &hot_loop);
    println!(
        "{:<30}{:>14}{:>14}{:>14}",
        "figure", "least ns", "median ns", "target ns"
    );
    for figure in &figures {
        println!("{}", figure.line());
    }
    if let Some(name) = &arguments.save {
        let everything = json!({
            "machine": host::describe(),
            "figures": figures.iter().map(Figure::json).collect::<Value>(),
        });
        println!("saved in {}", save_json(name, &everything).display());
    }
}
