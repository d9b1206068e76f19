//! `millrace replay`: the ledger of a stopped node executed again, sequentially and by the interpreter alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use millrace_ledger::Ledger;
use millrace_pipeline::checkpoint::Checkpoint;
use millrace_pipeline::{ReplayReport, replay_check, replay_check_from, vouched_by_ledger};
use millrace_state::export::import;
use millrace_state::files::MemoryFiles;
use millrace_state::{Config, Store};
use millrace_types::ChainSpec;
use serde_json::json;

use super::print_json;
use super::state::bar;
use super::state::import::{open_file, read_checkpoint};
use crate::commands::dev::SPEC_FILE;
use crate::failure::Failure;
use crate::node::LEDGER_FILE;
use crate::node::settings::read_chain_spec;
use crate::output::outln;

/// Executes the ledger of a stopped node again, one block after the other with the interpreter alone, and compares every
/// receipt and every root with what it holds. The chain stays as it is, and the state is in memory; the database notes in
/// its file that it was opened, and mends there what a kill left. Give it a copy if no byte may change.
#[derive(clap::Args, Debug)]
pub struct ReplayArgs {
    /// The node's data directory.
    directory: PathBuf,
    /// Compares, which is all that there is to do; says that nothing else is wanted.
    #[arg(long, required = true)]
    check: bool,
    /// Begins with the state in this file, which `millrace state export` wrote: the one that the node was imported from, or
    /// one of a later height. By default the replay begins with genesis.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// The chain spec (JSON); by default the one in the data directory, which `millrace dev` and an import keep there.
    #[arg(long, value_name = "FILE")]
    chain_spec: Option<PathBuf>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("replay: {error}"))
}

impl ReplayArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When something differs, or the ledger or the file is not there, in use, or of another chain.
    pub fn run(&self) -> Result<(), Failure> {
        let spec = self.spec()?;
        let path = self.directory.join(LEDGER_FILE);
        if !path.exists() {
            return Err(failed(&format!(
                "{} is not there; give a node's data directory",
                path.display()
            )));
        }
        let ledger = Ledger::open(&path, &spec).map_err(|error| failed(&error))?;
        let report = match &self.from {
            None => replay_check(&spec, &ledger).map_err(|error| failed(&error)),
            Some(file) => replay_from(&spec, &ledger, file),
        };
        self.tell(&report?);
        Ok(())
    }

    fn spec(&self) -> Result<ChainSpec, Failure> {
        let kept = self.directory.join(SPEC_FILE);
        let path = match &self.chain_spec {
            Some(path) => path,
            None if kept.exists() => &kept,
            None => return Err(failed(&"give the node's chain spec with --chain-spec")),
        };
        read_chain_spec(path).map_err(|error| failed(&error))
    }

    fn tell(&self, report: &ReplayReport) {
        if self.json {
            return print_json(&json!({
                "from": { "height": report.from.height, "hash": report.from.hash },
                "last": { "height": report.last.height, "hash": report.last.hash },
                "root": report.root,
                "blocks": report.blocks,
                "transactions": report.transactions,
                "without_receipt": report.without_receipt,
            }));
        }
        outln!(
            "{} blocks and {} transactions after height {} come out as the ledger has them",
            report.blocks,
            report.transactions,
            report.from.height
        );
        outln!(
            "height {}, hash {}, root {}",
            report.last.height,
            report.last.hash,
            report.root
        );
        if report.without_receipt > 0 {
            outln!(
                "{} blocks have no receipt yet: the node had not executed them",
                report.without_receipt
            );
        }
    }
}

/// Begins with the state in a file, which the ledger's own chain has to vouch for.
fn replay_from(spec: &ChainSpec, ledger: &Ledger, file: &Path) -> Result<ReplayReport, Failure> {
    let reading = |error: std::io::Error| failed(&format!("{}: {error}", file.display()));
    let mut stream = open_file(file).map_err(reading)?;
    let blocks = read_checkpoint(&mut stream).map_err(reading)?.ok_or_else(|| {
        failed(
            &"the file has a state alone: what it is of is said by the blocks that an export of a data directory has",
        )
    })?;
    let checkpoint = Checkpoint::decode(&blocks).map_err(|error| failed(&error))?;
    drop(blocks);
    let vouched = vouched_by_ledger(&checkpoint, spec, ledger).map_err(|error| failed(&error))?;
    let files = Arc::new(MemoryFiles::default());
    let bar = bar("values");
    let imported = import(
        files.clone(),
        Config::default(),
        &vouched.root.0,
        &mut stream,
        |counts| bar.set_position(counts.values),
    );
    bar.finish_and_clear();
    imported.map_err(|error| failed(&error))?;
    // The parent's state is all that a block needs.
    let config = Config {
        retention: 2,
        ..Config::default()
    };
    let store = Store::open_existing(files, config).map_err(|error| failed(&error))?;
    replay_check_from(spec, ledger, &vouched, store).map_err(|error| failed(&error))
}
