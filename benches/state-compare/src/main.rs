//! The state store beside others that keep an authenticated state on disk, in one process: `cargo run --release -- --help`
//! in `benches/state-compare`.
//!
//! - *commit*: rounds of updates to a durable root;
//! - *reads*: values that are there and that are not, from memory and from the disk;
//! - *proofs*: of the newest version and of one a thousand blocks back;
//! - *growth*: Millrace alone, the same update in states that grow tenfold;
//! - *space*: Millrace alone, what blocks write, and what the directory comes to.
//!
//! Every store is given the same writes, in turns; roots and values are compared with what was written, proofs are
//! verified, all outside of what is timed. Times are by the clock, since much of them is waiting for the disk.
//!
//! Reading order: [`accounts`] (what is written), [`stores`] (whom it is given to), [`figures`] (samples, tables, files),
//! then one module for each subcommand.

mod accounts;
mod commit;
mod figures;
mod growth;
mod proofs;
mod reads;
mod space;
mod stores;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde_json::Value;

/// Compares the state store with others on disk.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Where the stores are put; what is put there is removed in the end [default: the system's place for such]
    #[arg(long, global = true, value_name = "PATH")]
    directory: Option<PathBuf>,
    /// Also write the samples to benches/results/NAME.json
    #[arg(long, global = true, value_name = "NAME")]
    save: Option<String>,
}

/// What is measured.
#[derive(Debug, Subcommand)]
enum What {
    /// Rounds of random updates, each to a durable root
    Commit(commit::Arguments),
    /// Random reads, warm and cold
    Reads(reads::Arguments),
    /// Proofs, of the newest version and of an old one
    Proofs(proofs::Arguments),
    /// The same update in ever larger states
    Growth(growth::Arguments),
    /// Bytes written and kept, by block
    Space(space::Arguments),
}

impl What {
    fn run(&self, directory: &Path) -> Result<Value> {
        match self {
            Self::Commit(arguments) => commit::run(arguments, directory),
            Self::Reads(arguments) => reads::run(arguments, directory),
            Self::Proofs(arguments) => proofs::run(arguments, directory),
            Self::Growth(arguments) => growth::run(arguments, directory),
            Self::Space(arguments) => space::run(arguments, directory),
        }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let directory = match &arguments.directory {
        Some(path) => tempfile::tempdir_in(path)?,
        None => tempfile::tempdir()?,
    };
    let load = figures::load();
    let figures = arguments.what.run(directory.path())?;
    if let Some(name) = &arguments.save {
        figures::save(name, &format!("{:?}", arguments.what), &load, &figures);
    }
    Ok(())
}
