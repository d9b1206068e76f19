//! Subcommands of `millrace`.

mod inspect;
mod program;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A blockchain execution engine: consensus plugins, a bounded pipeline, a RISC-V machine.
#[derive(Debug, Parser)]
#[command(name = "millrace", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Inspect(inspect::Args),
}

impl Cli {
    /// Runs the subcommand; what it returns is the process's exit status.
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Run(args) => run::run(&args),
            Command::Inspect(args) => inspect::run(&args),
        }
    }
}
