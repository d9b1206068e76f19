//! `millrace bench pipeline`: what running blocks and transactions beside each other brings on this machine.

mod parallel;
mod world;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use parallel::Row;
use world::{Load, World};

/// Time blocks on several workers beside the same blocks one transaction after the other.
#[derive(Debug, clap::Args)]
pub struct PipelineArgs {
    /// Transactions of a block.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    transactions: u32,
    /// Numbers of workers, joined by commas.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 2], value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: Vec<u16>,
    /// Rounds, each with every way once.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
}

/// Every load: its kind, and by how much its blocks are shorter.
const LOADS: [(Load, usize); 11] = [
    (Load::Transfers, 1),
    (Load::RandomTransfers, 1),
    (Load::OneSender, 1),
    (Load::Token(10_000), 1),
    (Load::Token(100), 1),
    (Load::Token(2), 1),
    (Load::Counter, 1),
    (Load::Tally, 1),
    (Load::Swaps(100), 1),
    (Load::Swaps(1), 1),
    (Load::Compute(20), 10),
];

impl PipelineArgs {
    /// Runs the command; gives the process's exit status.
    pub fn run(&self) -> ExitCode {
        match self.measure() {
            Ok(rows) => {
                let _ = io::stdout().write_all(table(&rows).as_bytes());
                ExitCode::SUCCESS
            }
            Err(message) => {
                let _ = writeln!(io::stderr(), "millrace: {message}");
                ExitCode::FAILURE
            }
        }
    }

    fn measure(&self) -> Result<Vec<Row>, String> {
        let world = World::new()?;
        let workers: Vec<usize> = self.workers.iter().map(|count| usize::from(*count)).collect();
        LOADS
            .iter()
            .map(|(load, shorter)| {
                let len = (self.transactions as usize / shorter).max(1);
                parallel::measure(&world, *load, len, &workers, self.rounds)
            })
            .collect()
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<28}{:>8}{:>12}{:>10}{:>9}{:>10}{:>10}{:>10}\n",
        "load", "workers", "wall ms", "us each", "speed", "CPU ms", "CPU", "attempts"
    );
    for row in rows {
        let sequential = row.sequential;
        let mut line = |name: &str, workers: &str, time: parallel::Time| {
            let _ = writeln!(
                text,
                "{name:<28}{workers:>8}{:>12.2}{:>10.2}{:>9.2}{:>10.2}{:>10.2}{:>10.3}",
                time.wall.as_secs_f64() * 1e3,
                time.wall.as_secs_f64() * 1e6 / row.transactions as f64,
                sequential.wall.as_secs_f64() / time.wall.as_secs_f64(),
                time.cpu.as_secs_f64() * 1e3,
                time.cpu.as_secs_f64() / sequential.cpu.as_secs_f64(),
                time.attempts,
            );
        };
        line(&row.load.name(), "in order", sequential);
        for (count, time) in &row.parallel {
            line("", &count.to_string(), *time);
        }
    }
    text
}
