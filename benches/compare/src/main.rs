//! The same kernels in other engines, in one run, in one table: `cargo run --release` in `benches/compare`.
//!
//! Every figure is CPU time of the kernel over that of its native twin (x86-64-v2), least of the rounds, all engines by
//! turns; outputs must be equal. Compiling does not count where an engine compiles before it runs (Wasmtime, PolkaVM);
//! it does where it translates while it runs (QEMU), and in Millrace's own tiers in the first run, which is not among
//! the rounds.

mod engines;

use std::path::Path;
use std::time::Duration;

use clap::Parser;
use engines::Engine;
use millrace_benches::programs::{self, Language, Program};

/// Runs the C kernels of the benchmarks in other engines beside native code.
#[derive(Parser)]
struct Arguments {
    /// Only this program; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only engines whose name contains this; may be repeated
    #[arg(long, value_name = "NAME")]
    engine: Vec<String>,
    /// Rounds of everything; slow engines have two
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
}

fn wanted(filters: &[String], name: &str) -> bool {
    filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
}

/// Least time of each engine, in their order; the first is native.
fn measure(program: &Program, engines: &[&Engine], rounds: u16, directory: &Path) -> Vec<Duration> {
    let prepared: Vec<_> = engines
        .iter()
        .map(|engine| (engine.prepare)(program, directory))
        .collect();
    let expected = prepared[0](program.work).output;
    let mut best = vec![Duration::MAX; engines.len()];
    for round in 0..=rounds {
        for ((engine, run), best) in engines.iter().zip(&prepared).zip(&mut best) {
            if engine.is_slow && round > 2 {
                continue;
            }
            let run = run(program.work);
            assert_eq!(run.output, expected, "{} in {}", program.name, engine.name);
            if round > 0 {
                *best = run.time.min(*best);
            }
        }
    }
    best
}

fn main() {
    let arguments = Arguments::parse();
    let native = &engines::ALL[0];
    let others = engines::ALL[1..]
        .iter()
        .filter(|engine| wanted(&arguments.engine, engine.name));
    let engines: Vec<_> = std::iter::once(native).chain(others).collect();
    let directory = tempfile::tempdir().expect("a temporary directory");
    print!("{:<15}{:>10}", "program", "native ms");
    for engine in &engines[1..] {
        print!("{:>width$}", engine.name, width = engine.name.len().max(7) + 2);
    }
    println!();
    let mut logs = vec![0.0; engines.len()];
    let mut rows = 0;
    for program in programs::ALL {
        if program.language != Language::C || !wanted(&arguments.only, program.name) {
            continue;
        }
        let best = measure(program, &engines, arguments.rounds, directory.path());
        print!("{:<15}{:>10.2}", program.name, best[0].as_secs_f64() * 1e3);
        for ((engine, time), sum) in engines.iter().zip(&best).zip(&mut logs).skip(1) {
            let ratio = time.as_secs_f64() / best[0].as_secs_f64();
            *sum += ratio.ln();
            print!("{:>width$.2}", ratio, width = engine.name.len().max(7) + 2);
        }
        println!();
        rows += 1;
    }
    assert!(rows > 0, "no program has such a name");
    print!("{:<15}{:>10}", "geometric mean", "");
    for (engine, sum) in engines.iter().zip(&logs).skip(1) {
        let mean = (sum / f64::from(rows)).exp();
        print!("{:>width$.2}", mean, width = engine.name.len().max(7) + 2);
    }
    println!();
}
