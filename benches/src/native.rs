//! A program's native twin: one run of it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What one run came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// CPU time of the kernel alone: the twin reads it before and after, and writes the difference to descriptor 2.
    /// Starting a process does not count, the first touch of its pages does, as it does in a fresh instance.
    pub time: Duration,
    /// What it wrote to descriptor 1.
    pub output: Vec<u8>,
}

/// Runs `twin` with `work` as its argument.
///
/// # Panics
/// If it fails, or says something else than a number of nanoseconds.
#[must_use]
pub fn run(twin: &Path, work: u64) -> Run {
    run_command(Command::new(twin).arg(work.to_string()))
}

/// Runs the guest in `file` under `emulator`, a program that runs Linux programs of RV64, with `work` as its argument.
/// The emulator's start does not count, its translating does.
///
/// # Panics
/// If it fails, or says something else than a number of nanoseconds.
#[must_use]
pub fn run_under(emulator: &Path, file: &Path, work: u64) -> Run {
    run_command(Command::new(emulator).arg(file).arg(work.to_string()))
}

fn run_command(command: &mut Command) -> Run {
    let result = command.output();
    let result = result.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(result.status.success(), "{command:?} failed: {}", result.status);
    let said = String::from_utf8_lossy(&result.stderr);
    let nanoseconds = said.trim().parse();
    let nanoseconds = nanoseconds.unwrap_or_else(|_| panic!("{command:?} says {said:?}, no number"));
    Run {
        time: Duration::from_nanos(nanoseconds),
        output: result.stdout,
    }
}
