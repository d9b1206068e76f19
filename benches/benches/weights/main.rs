//! What gas costs: real programs, the worst sequences that a search finds, host calls.
//! `cargo bench -p millrace-benches --bench weights -- --help`.
//!
//! The executable that cargo builds needs nothing but itself, so it can be carried to another machine. Everything is
//! CPU time of one thread, the least of some runs; what other threads of the search do disturbs it, so that what is
//! reported was measured again in the end, alone.
//!
//! - `programs`: nanoseconds per gas of the 25 programs of the bench `jit`, and how many instructions of each class they
//!   execute, so that other weights can be judged without running anything again;
//! - `search`: an evolution of straight lines in a loop, see [`gene`] and [`genome`], for each of the kinds of [`islands`];
//! - `replay`: a file of a search, measured here;
//! - `prices`: host calls and entry through the executor, see [`prices`].

mod gene;
mod genome;
mod islands;
mod measure;
mod memory;
mod prices;
mod programs;
mod report;
mod search;
mod sequence;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use millrace_jit::machine::Weights;
use millrace_jit::{Machine, Tier};

/// Nanoseconds per gas
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Another weight than the table's, as in load=8; may be repeated
    #[arg(long, value_name = "CLASS=GAS", global = true)]
    weight: Vec<String>,
    /// Only this tier; may be repeated
    #[arg(long, value_enum, global = true)]
    tier: Vec<TierName>,
    /// Also write everything to this file
    #[arg(long, value_name = "FILE", global = true)]
    save: Option<PathBuf>,
    /// What cargo passes to every bench
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Real programs
    Programs {
        /// Where their ELF files are, or are built to
        #[arg(long, value_name = "DIRECTORY")]
        elves: PathBuf,
        /// Rounds in tiers of native code
        #[arg(long, value_name = "N", default_value_t = 5)]
        rounds: u32,
    },
    /// Worst sequences
    Search {
        /// Only this kind; may be repeated
        #[arg(long, value_name = "KIND")]
        only: Vec<String>,
        /// Of everything random
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Minutes by the clock; measuring what was found comes on top
        #[arg(long, default_value_t = 2.0)]
        minutes: f64,
        /// Searching threads
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
        threads: u16,
    },
    /// Host calls, entry, first runs, transactions
    Prices {
        /// Only what has this in its name
        #[arg(long, value_name = "TEXT", default_value = "")]
        only: String,
    },
    /// Measures again what a search saved
    Replay {
        /// What --save wrote
        file: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum TierName {
    Jit,
    Interpreter,
}

impl From<TierName> for Tier {
    fn from(name: TierName) -> Self {
        match name {
            TierName::Jit => Self::Jit,
            TierName::Interpreter => Self::Interpreter,
        }
    }
}

impl Arguments {
    fn tiers(&self) -> Vec<Tier> {
        if self.tier.is_empty() {
            return vec![Tier::Jit, Tier::Interpreter];
        }
        self.tier.iter().map(|name| Tier::from(*name)).collect()
    }

    fn machine(&self) -> &'static Machine {
        if self.weight.is_empty() {
            return sequence::newest();
        }
        let mut weights: Weights = sequence::newest().weights.clone();
        for text in &self.weight {
            let (name, value) = text.split_once('=').expect("a weight is given as CLASS=GAS");
            let weight = sequence::weight_mut(&mut weights, name);
            *weight.unwrap_or_else(|| panic!("no class is called {name}")) = value
                .parse()
                .unwrap_or_else(|_| panic!("{value} is no number of gas"));
        }
        sequence::machine_with(weights)
    }
}

fn search(
    arguments: &Arguments,
    only: &[String],
    seed: u64,
    minutes: f64,
    threads: u16,
) -> serde_json::Value {
    for name in only {
        assert!(
            islands::ALL.iter().any(|island| island.name == name),
            "no kind is called {name}; there are {:?}",
            islands::ALL.iter().map(|island| island.name).collect::<Vec<_>>()
        );
    }
    let wanted =
        |island: &&'static islands::Island| only.is_empty() || only.iter().any(|name| name == island.name);
    let search = search::Search {
        islands: islands::ALL.iter().filter(wanted).collect(),
        tiers: arguments.tiers(),
        machine: arguments.machine(),
        seed,
        time: Duration::from_secs_f64(minutes * 60.0),
        threads: usize::from(threads),
    };
    let found = search.run();
    print!("{}", report::found(&found));
    report::search_json(&search, minutes, &found)
}

fn main() {
    let arguments = Arguments::parse();
    let default = Command::Search {
        only: Vec::new(),
        seed: 1,
        minutes: 2.0,
        threads: 1,
    };
    let everything = search::with_stack(|| match arguments.command.as_ref().unwrap_or(&default) {
        Command::Programs { elves, rounds } => {
            let rows: Vec<_> = programs::elves(elves)
                .into_iter()
                .map(|(named, file)| programs::measure(named, &file, &arguments.tiers(), *rounds))
                .collect();
            print!("{}", report::programs(&rows, arguments.machine()));
            report::programs_json(&rows, arguments.machine())
        }
        Command::Search {
            only,
            seed,
            minutes,
            threads,
        } => search(&arguments, only, *seed, *minutes, *threads),
        Command::Prices { only } => {
            let rows = prices::measure(only);
            print!("{}", prices::table(&rows));
            prices::to_json(&rows)
        }
        Command::Replay { file } => {
            let text = std::fs::read_to_string(file).expect("the file can be read");
            let saved = serde_json::from_str(&text).expect("the file is JSON");
            let rows = report::replay(&saved, &arguments.tiers(), arguments.machine());
            print!("{}", report::replayed(&rows));
            report::replay_json(&rows)
        }
    });
    if let Some(file) = &arguments.save {
        let mut text = serde_json::to_string_pretty(&everything).expect("plain values");
        text.push('\n');
        std::fs::write(file, text).expect("the file can be written");
        println!("saved in {}", file.display());
    }
}
