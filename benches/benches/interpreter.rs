//! The interpreter beside `qemu-riscv64` on compiled C programs: `cargo bench -p millrace-benches --bench interpreter`.
//!
//! Each program is built by a stock compiler, run here and under qemu by turns, and must give the same result on both
//! sides every time. Times are the best of the rounds: of `Instance::run` here, of the whole process there less that of
//! a program that does nothing (qemu's start). The figure is the ratio; the absolute times are this machine's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_jit::machine::{MAX_GAS_LIMIT, machine};
use millrace_jit::{Ecall, End, Flow, Host, Instance, Program, Tier};
use millrace_tests::tools;

const GUESTS: &[&str] = &["sha256", "sieve", "matrix", "calls", "bytecode"];
const ROUNDS: usize = 5;

/// Takes what the guest writes, ends when it exits.
#[derive(Default)]
struct Recorder(Vec<u8>);

impl Host for Recorder {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        if call.number != 64 {
            return Flow::Return;
        }
        match call.memory.read(call.args[1], call.args[2]) {
            Ok(bytes) => self.0.extend_from_slice(bytes),
            Err(kind) => return Flow::Trap(kind),
        }
        call.results[0] = call.args[2];
        Flow::Continue
    }
}

struct Measured {
    time: Duration,
    output: Vec<u8>,
    instructions: u64,
    gas: u64,
}

fn build(directory: &Path, guest: &str) -> PathBuf {
    let gcc = tools::find("riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf");
    let output = directory.join(guest);
    let flags = "-march=rv64imac_zba_zbb_zbs -mabi=lp64 -mcmodel=medany -msmall-data-limit=0 -O2 -fno-builtin \
                 -fno-tree-loop-distribute-patterns -static -nostdlib";
    let status = Command::new(gcc)
        .args(flags.split_whitespace())
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("guests")
                .join(format!("{guest}.c")),
        )
        .arg("-o")
        .arg(&output)
        .status();
    assert!(
        status.expect("the compiler starts").success(),
        "{guest}.c does not compile"
    );
    output
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

fn here(program: &Arc<Program>) -> Measured {
    let mut host = Recorder::default();
    let mut instance = Instance::new(Arc::clone(program));
    let start = now();
    let outcome = instance.run(Tier::Interpreter, MAX_GAS_LIMIT, &mut host);
    let time = start.elapsed();
    assert_eq!(outcome.end, End::Returned, "the guest ends by exit");
    let instructions = outcome.instructions.expect("the interpreter counts");
    Measured {
        time,
        output: host.0,
        instructions,
        gas: outcome.gas_used,
    }
}

fn under_qemu(qemu: &Path, file: &Path) -> (Duration, Vec<u8>) {
    let start = now();
    let result = Command::new(qemu).arg(file).output().expect("qemu starts");
    let time = start.elapsed();
    assert!(
        result.status.success(),
        "{}: {}",
        file.display(),
        String::from_utf8_lossy(&result.stderr)
    );
    (time, result.stdout)
}

fn main() {
    let qemu = tools::find("qemu-riscv64", "qemu-user");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let nothing = build(directory.path(), "nothing");
    let start_up = (0..4 * ROUNDS)
        .map(|_| under_qemu(&qemu, &nothing).0)
        .min()
        .unwrap_or_default();
    println!(
        "qemu's start, subtracted below: {:.1} ms\n",
        start_up.as_secs_f64() * 1e3
    );
    println!("program    instructions     here ms    qemu ms   here/qemu   million/s    ns/gas");
    let mut logs = 0.0;
    for guest in GUESTS {
        let file = build(directory.path(), guest);
        let elf = std::fs::read(&file).expect("the compiler's output");
        let machine = machine(1).expect("version 1 is part of every build");
        let program = Arc::new(Program::load(&elf, machine).expect("a stock static ELF"));
        let mut best: Option<Measured> = None;
        let mut best_there = Duration::MAX;
        for _ in 0..ROUNDS {
            let measured = here(&program);
            let (time, output) = under_qemu(&qemu, &file);
            assert_eq!(measured.output, output, "{guest}: the results differ");
            best_there = best_there.min(time.saturating_sub(start_up));
            if best.as_ref().is_none_or(|best| measured.time < best.time) {
                best = Some(measured);
            }
        }
        let best = best.expect("there was a round");
        let (ours, theirs) = (best.time.as_secs_f64(), best_there.as_secs_f64());
        logs += (ours / theirs).ln();
        println!(
            "{guest:<10} {:>12}  {:>10.1} {:>10.1} {:>11.2} {:>11.0} {:>9.2}",
            best.instructions,
            ours * 1e3,
            theirs * 1e3,
            ours / theirs,
            best.instructions as f64 / ours / 1e6,
            ours * 1e9 / best.gas as f64
        );
    }
    println!(
        "\ngeometric mean of here/qemu: {:.2}",
        (logs / GUESTS.len() as f64).exp()
    );
}
