//! The `millrace` command: the composition root.
//!
//! One file per subcommand under [`commands`]: its arguments as a `clap` struct and a function that runs it. Exit
//! statuses: 0 success, 1 a command that failed, 2 wrong usage or a program that is refused; `run` ends with the guest's
//! status, or 134 after a trap.
#![cfg_attr(
    not(test),
    deny(
        clippy::print_stdout,
        reason = "stdout may take no more: `output` has what prints"
    )
)]

mod bare;
mod client;
mod commands;
mod estimate;
mod failure;
mod load;
mod memory;
mod node;
mod output;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// What one worker allocates another often frees (receipts, changes of the state). The system's allocator spends a tenth of
/// short transactions on that.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    memory::keep_between_blocks();
    commands::Cli::parse().run()
}
