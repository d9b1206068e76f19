//! Subcommands of `millrace`, one file each.

mod bench;
pub mod code_cache;
mod config;
mod contract;
mod dev;
mod doctor;
mod documents;
mod inspect;
mod keys;
mod light;
mod node;
pub mod profile;
mod program;
mod replay;
mod run;
mod state;
mod top;
mod tx;

use std::future::Future;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use millrace_types::Amount;

use crate::failure::{Failure, printable};

/// A blockchain execution engine: consensus plugins, a bounded pipeline, a RISC-V machine.
#[derive(Debug, Parser)]
#[command(name = "millrace", version, propagate_version = true)]
pub struct Cli {
    /// What to log on stderr: a level, or `target=level` pairs separated by commas.
    #[arg(
        long,
        global = true,
        env = "MILLRACE_LOG",
        default_value = "warn",
        value_name = "FILTER"
    )]
    log: String,
    /// Logs as JSON, a line each.
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Inspect(inspect::Args),
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    Dev(dev::DevArgs),
    Node(node::NodeCommandArgs),
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    #[command(subcommand)]
    Tx(tx::TxCommand),
    #[command(subcommand)]
    Contract(contract::ContractCommand),
    #[command(subcommand)]
    Light(light::LightCommand),
    #[command(subcommand)]
    State(state::StateCommand),
    Replay(replay::ReplayArgs),
    Top(top::TopArgs),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Doctor(doctor::DoctorArgs),
    Completions(documents::CompletionsArgs),
    Man(documents::ManArgs),
}

impl Cli {
    /// Runs the subcommand; what it returns is the process's exit status.
    pub fn run(self) -> ExitCode {
        if let Err(failure) = start_logging(&self.log, self.log_json) {
            return ended(Err(failure));
        }
        match self.command {
            Command::Run(args) => run::run(&args),
            Command::Inspect(args) => inspect::run(&args),
            Command::Bench(command) => command.run(),
            Command::Dev(args) => ended(args.run()),
            Command::Node(args) => ended(args.run()),
            Command::Keys(command) => ended(command.run()),
            Command::Tx(command) => ended(command.run()),
            Command::Contract(command) => ended(command.run()),
            Command::Light(command) => ended(command.run()),
            Command::State(command) => ended(command.run()),
            Command::Replay(args) => ended(args.run()),
            Command::Top(args) => ended(args.run()),
            Command::Config(command) => ended(command.run()),
            Command::Doctor(args) => ended(args.run()),
            Command::Completions(args) => ended(args.run()),
            Command::Man(args) => ended(args.run()),
        }
    }
}

pub(crate) fn ended(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where stderr is closed there is no one to tell.
            let _ = writeln!(std::io::stderr(), "millrace: {}", printable(&failure.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn start_logging(filter: &str, json: bool) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter).map_err(|error| {
        Failure::new(format!(
            "--log {filter}: {error}; give a level like info, or millrace_pipeline=debug,warn"
        ))
    })?;
    // Colours are for people who look; a file or another program gets text.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr);
    if json {
        subscriber.json().init();
    } else {
        subscriber.init();
    }
    Ok(())
}

/// Reads an amount from the command line.
fn amount(text: &str) -> Result<Amount, &'static str> {
    text.parse()
        .map_err(|_| "an amount takes decimal digits, less than 2^128")
}

/// Prints text, which a pipe that nobody reads any more does not take.
fn print_text(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::new(format!("stdout: {error}")))
}

/// Prints a JSON value on a line of its own. Whoever closed the pipe does not want it; other failures are said.
fn print_json(value: &serde_json::Value) {
    if let Err(error) = writeln!(std::io::stdout(), "{value}")
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        let _ = writeln!(std::io::stderr(), "millrace: stdout: {error}");
    }
}

/// Runs a command's future on a runtime of its own.
fn run_async<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("starting the runtime: {error}")))?;
    runtime.block_on(future)
}
