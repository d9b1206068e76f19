//! A program's native code back from disk, beside compiling it:
//! `cargo bench -p millrace-benches --bench code_cache -- --help`.
//!
//! Everything is wall time of one thread, and files are in the system's page cache, as they are when a node starts again.
//! `back` is what a caller waits for: [`Program::compile`] of a program that was just loaded, to code that can be
//! entered. `read` and `hash` are what of it reading the file and authenticating it take by themselves. Each time the
//! code must have come from the cache, and run to the same end.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use millrace_benches::{guest, programs, toolchain};
use millrace_jit::machine::machine;
use millrace_jit::{CodeCache, CodeCacheKey, CompileOptions, Program, Tier};

/// Times a program's native code back from disk, beside compiling it.
#[derive(Parser)]
struct Arguments {
    /// One of the programs of the bench `jit`; may be repeated [default: sha256, k256, ed25519-dalek, bls12_381]
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// A program that is already built, by its name in that bench; may be repeated
    #[arg(long, value_name = "FILE", conflicts_with = "only")]
    elf: Vec<PathBuf>,
    /// How often it comes back
    #[arg(long, value_name = "N", default_value_t = 101, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// What cargo passes to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

const DEFAULT: [&str; 4] = ["sha256", "k256", "ed25519-dalek", "bls12_381"];
/// Rounds of compiling, which is slow.
const COMPILATIONS: u16 = 3;

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = now();
    let result = work();
    (result, start.elapsed())
}

/// Least and median.
#[derive(Clone, Copy)]
struct Times {
    least: Duration,
    median: Duration,
}

impl Times {
    fn of(rounds: u16, mut round: impl FnMut() -> Duration) -> Self {
        let mut times: Vec<_> = (0..rounds).map(|_| round()).collect();
        times.sort_unstable();
        Self {
            least: times[0],
            median: times[times.len() / 2],
        }
    }
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn measure(file: &std::path::Path, rounds: u16) {
    let name = file.file_stem().unwrap().to_string_lossy();
    let known = programs::find(&name).unwrap_or_else(|| panic!("no program is called {name}"));
    let elf = std::fs::read(file).unwrap();
    let load = || Program::load(&elf, machine(1).unwrap()).unwrap();
    let options = CompileOptions::for_this_process();
    let compile = Times::of(COMPILATIONS, || {
        let program = load();
        let (result, time) = timed(|| program.compile(&options).is_ok());
        assert!(result, "{name} compiles");
        time
    });

    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("code-cache");
    let key = [1; 32];
    let cache = CodeCache::open(&directory, CodeCacheKey::from_bytes(key), 1 << 30).unwrap();
    let cache = Arc::new(cache);
    let cached = || {
        let mut program = load();
        program.set_code_cache(Arc::clone(&cache));
        program
    };
    cached().compile(&options).unwrap();
    assert_eq!(cache.statistics().stored, 1);
    let back = Times::of(rounds, || {
        let program = cached();
        let (result, time) = timed(|| program.compile(&options).is_ok());
        assert!(result && program.native_size().bytes > 0);
        time
    });
    let counted = cache.statistics();
    assert_eq!((counted.hits, counted.rejected), (u64::from(rounds), 0));
    let (there, here) = (Arc::new(load()), Arc::new(cached()));
    let expected = guest::run(&there, Tier::Interpreter, known.small);
    let run = guest::run(&here, Tier::Jit, known.small);
    assert_eq!((run.output, run.gas), (expected.output, expected.gas), "{name}");

    let kept = std::fs::read_dir(&directory)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let read = Times::of(rounds, || timed(|| std::fs::read(&kept).unwrap().len()).1);
    let bytes = std::fs::read(&kept).unwrap();
    let hash = Times::of(rounds, || timed(|| blake3::keyed_hash(&key, &bytes)).1);
    println!(
        "{name:<14}{:>9}{:>9}{:>9}{:>11.1}{:>9.0}{:>9.0}{:>9.0}{:>9.0}{:>9.0}",
        elf.len(),
        here.text_len(),
        bytes.len(),
        us(compile.least) / 1e3,
        us(back.least),
        us(back.median),
        us(read.median),
        us(hash.median),
        us(compile.least) / us(back.median),
    );
}

fn main() {
    let arguments = Arguments::parse();
    let place = tempfile::tempdir().unwrap();
    let files = if arguments.elf.is_empty() {
        let names: Vec<&str> = match &arguments.only[..] {
            [] => DEFAULT.to_vec(),
            only => only.iter().map(String::as_str).collect(),
        };
        let build = |name: &str| {
            let program = programs::find(name).unwrap_or_else(|| panic!("no program is called {name}"));
            toolchain::build(program, toolchain::Target::Guest, place.path())
        };
        names.into_iter().map(build).collect()
    } else {
        arguments.elf
    };
    println!(
        "{:<14}{:>9}{:>9}{:>9}{:>11}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "", "ELF", "text", "file", "compile", "back", "back", "read", "hash", "ratio"
    );
    println!(
        "{:<14}{:>9}{:>9}{:>9}{:>11}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "", "bytes", "bytes", "bytes", "ms", "us least", "us", "us", "us", ""
    );
    for file in files {
        measure(&file, arguments.rounds);
    }
}
