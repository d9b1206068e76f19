//! The interpreter beside `qemu-riscv64` on compiled C programs: `cargo bench -p millrace-benches --bench interpreter`.
//!
//! Each program is built by a stock compiler, run here and under qemu by turns, and must give the same result on both
//! sides every time. Times are the best of the rounds: of `Instance::run` here, of the kernel under qemu there, which the
//! guest measures itself; CPU time on both sides. The figure is the ratio; the absolute times are this machine's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use millrace_benches::{guest, native, programs, toolchain};
use millrace_jit::Tier;
use millrace_tests::tools;

const GUESTS: &[&str] = &["sha256", "sieve", "matrix", "calls", "bytecode"];
const ROUNDS: usize = 5;

fn build(directory: &Path, guest: &str) -> PathBuf {
    let gcc = tools::find("riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf");
    let output = directory.join(guest);
    let flags = "-march=rv64imac_zba_zbb_zbs -mabi=lp64 -mcmodel=medany -msmall-data-limit=0 -O2 -fno-builtin \
                 -fno-tree-loop-distribute-patterns -static -nostdlib";
    let status = Command::new(gcc)
        .args(flags.split_whitespace())
        .arg(toolchain::c_sources().join(format!("{guest}.c")))
        .arg("-o")
        .arg(&output)
        .status();
    assert!(
        status.expect("the compiler starts").success(),
        "{guest}.c does not compile"
    );
    output
}

fn main() {
    let qemu = tools::find("qemu-riscv64", "qemu-user");
    let directory = tempfile::tempdir().expect("a temporary directory");
    println!("program    instructions     here ms    qemu ms   here/qemu   million/s    ns/gas");
    let mut logs = 0.0;
    for guest in GUESTS {
        let file = build(directory.path(), guest);
        let program = guest::load(&file);
        let work = programs::find(guest).expect("it is on the list").work;
        let mut best: Option<guest::Run> = None;
        let mut best_there = Duration::MAX;
        for _ in 0..ROUNDS {
            let measured = guest::run(&program, Tier::Interpreter, work);
            let there = native::run_under(&qemu, &file, work);
            assert_eq!(measured.output, there.output, "{guest}: the results differ");
            best_there = best_there.min(there.time);
            if best.as_ref().is_none_or(|best| measured.time < best.time) {
                best = Some(measured);
            }
        }
        let best = best.expect("there was a round");
        let instructions = best.instructions.expect("the interpreter counts");
        let (ours, theirs) = (best.time.as_secs_f64(), best_there.as_secs_f64());
        logs += (ours / theirs).ln();
        println!(
            "{guest:<10} {:>12}  {:>10.1} {:>10.1} {:>11.2} {:>11.0} {:>9.2}",
            instructions,
            ours * 1e3,
            theirs * 1e3,
            ours / theirs,
            instructions as f64 / ours / 1e6,
            ours * 1e9 / best.gas as f64
        );
    }
    println!(
        "\ngeometric mean of here/qemu: {:.2}",
        (logs / GUESTS.len() as f64).exp()
    );
}
