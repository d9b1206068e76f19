//! Compile bombs: that time and memory grow with the text and no faster.
//! `cargo bench -p millrace-benches --bench bombs -- --help`.
//!
//! Every kind of [`millrace_tests::bombs`] is compiled at some sizes, each twice the one before, each in a process of
//! its own, whose peak of memory is that of this one program. Figures are per byte of text; `growth` is the largest
//! size's time per byte over the smallest's, 1.0 where work is linear.

use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;
use millrace_benches::guest::Silent;
use millrace_benches::host::{self, cpu_time};
use millrace_benches::report::save_json;
use millrace_jit::{CompileOptions, Instance, Tier, wait_for_compiler};
use millrace_tests::bombs::{self, Kind};
use serde_json::{Value, json};

/// Gas of the run that compiles what it meets: what a block might give a transaction.
const GAS: u64 = 100_000_000;

/// Compiles programs that are made to be dear to compile, at several sizes.
#[derive(Parser)]
struct Arguments {
    /// Only this kind; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Bytes of text of the smallest size
    #[arg(long, value_name = "BYTES", default_value_t = 128 << 10)]
    smallest: usize,
    /// How many sizes, each twice the one before
    #[arg(long, value_name = "N", default_value_t = 3)]
    sizes: u32,
    /// Also write everything to benches/results/NAME.json
    #[arg(long, value_name = "NAME")]
    save: Option<String>,
    /// Measures one kind at one size and prints it as JSON: what the processes of their own do
    #[arg(long, hide = true, num_args = 2)]
    one: Option<Vec<String>>,
    /// What cargo passes to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// Peak of memory of this process so far, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() << 10
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("no run takes 500 years")
}

/// CPU time that this thread spends on a run; what is compiled beside it is another's.
fn run(program: &std::sync::Arc<millrace_jit::Program>, tier: Tier) -> u64 {
    let mut instance = Instance::new(program.clone());
    let start = cpu_time();
    let _ = instance.run(tier, GAS, &mut Silent);
    nanoseconds(cpu_time().saturating_sub(start))
}

fn measure(kind: &Kind, text_len: usize) -> Value {
    let program = kind.program(text_len);
    let before = peak_memory();
    let start = cpu_time();
    let result = program.compile(&CompileOptions {
        verify: false,
        ..CompileOptions::for_this_process()
    });
    let compile = cpu_time().saturating_sub(start);
    let memory = peak_memory().saturating_sub(before);
    let size = program.native_size();
    // What is compiled by and by shares nothing with what is compiled at once.
    let interpreted = run(&kind.program(text_len), Tier::Interpreter);
    let by_and_by = kind.program(text_len);
    let auto = run(&by_and_by, Tier::Auto);
    wait_for_compiler();
    json!({
        "kind": kind.name,
        "text_bytes": program.text_len(),
        "error": result.err().map(ToString::to_string),
        "compile_ns": nanoseconds(compile),
        "memory_bytes": memory,
        "functions": size.functions,
        "instructions": size.instructions,
        "largest": size.largest,
        "code_bytes": size.bytes,
        "interpreter_ns": interpreted,
        "auto_ns": auto,
        "auto_batches": by_and_by.native_size().batches,
    })
}

fn in_a_process(kind: &Kind, text_len: usize) -> Result<Value, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(this)
        .args(["--one", kind.name, &text_len.to_string()])
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

fn number(value: &Value, field: &str) -> f64 {
    value[field].as_f64().unwrap_or_default()
}

fn kinds(arguments: &Arguments) -> Vec<&'static Kind> {
    if arguments.only.is_empty() {
        return bombs::ALL.iter().collect();
    }
    let find = |name: &String| bombs::find(name).unwrap_or_else(|| panic!("no kind is called {name}"));
    arguments.only.iter().map(find).collect()
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some([name, text_len]) = arguments.one.as_deref() {
        let kind = bombs::find(name).expect("this bench names its kinds");
        println!(
            "{}",
            measure(kind, text_len.parse().expect("this bench gives bytes"))
        );
        return ExitCode::SUCCESS;
    }
    println!(
        "{:<14}{:>9}{:>10}{:>8}{:>9}{:>9}{:>9}{:>9}{:>10}{:>10}{:>9}{:>8}",
        "kind",
        "text KiB",
        "compile s",
        "us/B",
        "growth",
        "mem B/B",
        "code B/B",
        "copies",
        "largest",
        "interp s",
        "auto s",
        "batches"
    );
    let mut rows = Vec::new();
    let mut failed = false;
    for kind in kinds(&arguments) {
        let mut first = None;
        for doubling in 0..arguments.sizes {
            let row = match in_a_process(kind, arguments.smallest << doubling) {
                Ok(row) => row,
                Err(error) => {
                    eprintln!("{}: {error}", kind.name);
                    failed = true;
                    continue;
                }
            };
            let text = number(&row, "text_bytes");
            let each = number(&row, "compile_ns") / text / 1e3;
            let growth = each / *first.get_or_insert(each);
            println!(
                "{:<14}{:>9.0}{:>10.2}{:>8.2}{:>9.2}{:>9.0}{:>9.1}{:>9.2}{:>10}{:>10.2}{:>9.2}{:>8}",
                kind.name,
                text / 1024.0,
                number(&row, "compile_ns") / 1e9,
                each,
                growth,
                number(&row, "memory_bytes") / text,
                number(&row, "code_bytes") / text,
                number(&row, "instructions") / (text / 2.0),
                row["largest"],
                number(&row, "interpreter_ns") / 1e9,
                number(&row, "auto_ns") / 1e9,
                row["auto_batches"],
            );
            rows.push(row);
        }
    }
    if let Some(name) = &arguments.save {
        let everything = json!({ "machine": host::describe(), "rows": rows });
        println!("saved in {}", save_json(name, &everything).display());
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
