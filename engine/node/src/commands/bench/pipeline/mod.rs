//! `millrace bench pipeline`: what running consensus, blocks and transactions beside each other brings on this machine.
//!
//! A section for each question: [`parallel`] (transactions of a block beside each other), [`overlap`] (consensus beside
//! execution), [`end_to_end`] (from signed bytes to durable receipts), [`burst`] (more load than can be executed). [`chain`]
//! is what they run on; [`report`], [`plot`] and [`html`] are how it is told. Every section checks the roots that it came to.

mod burst;
mod chain;
pub(super) mod clock;
mod end_to_end;
mod html;
mod overlap;
mod parallel;
mod plot;
pub(super) mod report;
mod world;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use parallel::{Row, Times};
use report::{Report, Table};
use world::{Load, World};

/// Time the pipeline: what overlapping consensus and execution brings, how fast it is, what it does under overload.
///
/// Sections: `parallel` (blocks on several workers beside the same blocks in order), `overlap` (consensus and execution
/// overlapped, beside in turn), `end-to-end` (signed transactions to durable receipts), `burst` (ten times overload).
#[derive(Debug, clap::Args)]
pub struct PipelineArgs {
    /// Sections, joined by commas.
    #[arg(long, value_name = "NAME", value_enum, value_delimiter = ',', default_values_t = Section::ALL)]
    section: Vec<Section>,
    /// parallel: transactions of a block.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    transactions: u32,
    /// parallel, overlap: only loads, or ways of consensus, whose name has this in it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    load: String,
    /// parallel: numbers of workers, joined by commas.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 2], value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: Vec<u16>,
    /// parallel: rounds, each with every way once.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// overlap: seconds of a run; end-to-end takes five times as long.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=60))]
    seconds: u16,
    /// overlap: runs of each kind, of which the least times count; for machines that are busy otherwise.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    repeats: u16,
    /// overlap: ratios of execution to consensus, joined by commas.
    #[arg(long, value_name = "RATIO", value_delimiter = ',', default_values_t = [0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 4.0], value_parser = ratio)]
    ratios: Vec<f64>,
    /// overlap, burst: milliseconds that consensus takes on a block.
    #[arg(long, value_name = "MS", default_value_t = 40, value_parser = clap::value_parser!(u16).range(5..=1000))]
    consensus_ms: u16,
    /// burst: seconds of the overload.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=600))]
    burst_seconds: u16,
    /// end-to-end: the plugin `solo` [default: the one beside the program].
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// end-to-end: where a directory is made for the chain, and removed afterwards [default: the system's for such].
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Write a page with all tables and plots, which needs nothing beside itself.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write each plot to a file of its own in this directory.
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
}

/// A ratio that a run can have.
fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.01..=100.0).contains(&ratio) => Ok(ratio),
        Ok(_) => Err("a ratio is between 0.01 and 100".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A part of the report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Section {
    /// Blocks on several workers beside the same blocks in order.
    Parallel,
    /// Consensus and execution overlapped, beside in turn.
    Overlap,
    /// Signed transactions to durable receipts.
    EndToEnd,
    /// More load than can be executed.
    Burst,
}

/// Every load: its kind, and by how much its blocks are shorter.
const LOADS: [(Load, usize); 12] = [
    (Load::Transfers, 1),
    (Load::RandomTransfers, 1),
    (Load::OneSender, 1),
    (Load::Token(10_000), 1),
    (Load::Token(100), 1),
    (Load::Token(2), 1),
    (Load::Counter, 1),
    (Load::Tally(1), 1),
    (Load::Tally(world::ACCOUNTS), 1),
    (Load::Swaps(100), 1),
    (Load::Swaps(1), 1),
    (Load::Compute(20), 10),
];

impl Section {
    const ALL: [Self; 4] = [Self::Parallel, Self::Overlap, Self::EndToEnd, Self::Burst];
}

impl std::fmt::Display for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Parallel => "parallel",
            Self::Overlap => "overlap",
            Self::EndToEnd => "end-to-end",
            Self::Burst => "burst",
        })
    }
}

impl PipelineArgs {
    /// Runs the command; gives the process's exit status.
    pub fn run(&self) -> ExitCode {
        match self.report() {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => {
                let _ = writeln!(io::stderr(), "millrace: {message}");
                ExitCode::FAILURE
            }
        }
    }

    /// Each section is shown as soon as it is there.
    fn report(&self) -> Result<(), String> {
        let machine = format!("{} cores, {}", clock::cores(), clock::processor());
        let show = |text: &str| {
            let mut out = io::stdout();
            let shown = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            shown.map_err(|error| format!("cannot write to stdout: {error}"))
        };
        show(&format!("{machine}\n\n"))?;
        let mut reports = Vec::new();
        for section in Section::ALL {
            if self.section.contains(&section) {
                let report = self.measure(section)?;
                show(&report.text())?;
                reports.push(report);
            }
        }
        if let Some(path) = &self.html {
            html::write(path, &machine, &reports)?;
        }
        if let Some(directory) = &self.svg {
            html::write_plots(directory, &reports)?;
        }
        Ok(())
    }

    fn measure(&self, section: Section) -> Result<Report, String> {
        let consensus = Duration::from_millis(self.consensus_ms.into());
        let seconds = f64::from(self.seconds);
        match section {
            Section::Parallel => self.parallel(),
            Section::Overlap => overlap::measure(&overlap::Plan {
                consensus,
                ratios: self.ratios.clone(),
                named: self.load.clone(),
                seconds,
                repeats: self.repeats,
            }),
            Section::EndToEnd => {
                let scratch = self.scratch.clone().unwrap_or_else(std::env::temp_dir);
                let directory = tempfile::tempdir_in(&scratch)
                    .map_err(|error| format!("{}: {error}", scratch.display()))?;
                end_to_end::measure(&end_to_end::Plan {
                    seconds: seconds * 5.0,
                    directory: directory.path(),
                    plugin: self.plugin.clone(),
                })
            }
            Section::Burst => burst::measure(&burst::Plan {
                consensus,
                overload: Duration::from_secs(self.burst_seconds.into()),
            }),
        }
    }

    fn parallel(&self) -> Result<Report, String> {
        let world = World::new()?;
        let workers: Vec<usize> = self.workers.iter().map(|count| usize::from(*count)).collect();
        let loads = LOADS.iter().filter(|(load, _)| load.name().contains(&self.load));
        let rows = loads.map(|(load, shorter)| {
            let len = (self.transactions as usize / shorter).max(1);
            parallel::measure(&world, *load, len, &workers, self.rounds)
        });
        let rows = rows.collect::<Result<Vec<Row>, String>>()?;
        if rows.is_empty() {
            let names: Vec<String> = LOADS.iter().map(|(load, _)| load.name()).collect();
            return Err(format!(
                "no load has `{}` in its name; there are: {}",
                self.load,
                names.join("; ")
            ));
        }
        Ok(Report {
            title: "parallel",
            notes: vec![
                "Blocks of one load each, in order and on several workers, which came to equal results. Times are the least of \
                 the rounds, ratios the medians of theirs."
                    .to_owned(),
            ],
            tables: vec![table(&rows)],
            plots: Vec::new(),
        })
    }
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "load", "workers", "wall ms", "us each", "speed", "CPU ms", "CPU", "attempts",
    ]);
    for row in rows {
        let sequential = &row.sequential;
        let mut line = |name: String, workers: String, times: &Times| {
            let wall = times.wall().as_secs_f64();
            table.row(vec![
                name,
                workers,
                format!("{:.2}", wall * 1e3),
                format!("{:.2}", wall * 1e6 / row.transactions as f64),
                format!("{:.2}", sequential.ratio(times, |time| time.wall)),
                format!("{:.2}", times.cpu().as_secs_f64() * 1e3),
                format!("{:.2}", times.ratio(sequential, |time| time.cpu)),
                format!("{:.3}", times.attempts()),
            ]);
        };
        line(row.load.name(), "in order".to_owned(), sequential);
        for (count, time) in &row.parallel {
            line(String::new(), count.to_string(), time);
        }
    }
    table
}
