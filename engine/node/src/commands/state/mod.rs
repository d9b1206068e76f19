//! `millrace state`: the states that a node keeps, while it is stopped.
//!
//! `check` verifies them, `export` and `import` carry one of them to a new node.

mod check;
mod export;
pub(super) mod import;

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use millrace_pipeline::BlockRef;
use millrace_state::Commit;
use millrace_state::export::Counts;
use millrace_state::files::Directory;
use millrace_types::Hash;
use serde_json::json;

use crate::commands::print_json;
use crate::failure::Failure;
use crate::node::STATE_DIRECTORY;
use crate::output::outln;
use import::Trusted;

/// Checks, exports and imports the states that a node keeps. The node must be stopped.
#[derive(clap::Subcommand, Debug)]
pub enum StateCommand {
    /// Verifies all of it, changes nothing, and says what is damaged and what can be saved. Ends with status 1 if something
    /// is damaged.
    Check {
        /// The node's data directory, or the directory of states in it.
        directory: PathBuf,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Writes the state at a height to a file that proves itself, with the blocks that a node needs to go on from there: a
    /// new node imports it instead of executing all blocks.
    Export {
        /// The node's data directory; of the directory of states in it, the state alone.
        directory: PathBuf,
        /// The file; it must not exist.
        #[arg(long)]
        out: PathBuf,
        /// Of which height; by default the newest that a final block settles, for a state alone the newest that is final.
        #[arg(long)]
        height: Option<u64>,
        /// The chain spec (JSON); by default the one that `millrace dev` keeps in its data directory.
        #[arg(long)]
        chain_spec: Option<PathBuf>,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Reads such a file into a directory that is empty or not there, and verifies every part of it.
    Import {
        /// The file.
        file: PathBuf,
        /// The new node's data directory; with --root, a directory of states.
        directory: PathBuf,
        /// Hash of the block that the file ends with, from a source that you trust, such as a light client: everything else
        /// follows from it.
        #[arg(
            long,
            required_unless_present = "root",
            conflicts_with = "root",
            requires = "chain_spec"
        )]
        block: Option<Hash>,
        /// The chain spec (JSON).
        #[arg(long, requires = "block")]
        chain_spec: Option<PathBuf>,
        /// Imports the state alone: its root, from a receipt that a header you trust commits to.
        #[arg(long)]
        root: Option<Hash>,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
}

impl StateCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// When something is damaged, in use, or not there.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Check { directory, json } => check::run(&directory, json),
            Self::Export {
                directory,
                out,
                height,
                chain_spec,
                json,
            } => export::run(&directory, &out, height, chain_spec.as_deref(), json),
            Self::Import {
                file,
                directory,
                block,
                chain_spec,
                root,
                json,
            } => {
                let trusted = match (block, chain_spec, root) {
                    (Some(block), Some(spec), _) => Trusted::Block { block, spec },
                    (_, _, Some(root)) => Trusted::Root(root),
                    _ => {
                        return Err(Failure::new(
                            "state import: give --block and --chain-spec, or --root",
                        ));
                    }
                };
                import::run(&file, &directory, trusted, json)
            }
        }
    }
}

/// The directory of states that is there.
fn open(directory: &Path) -> Result<Directory, Failure> {
    let inner = directory.join(STATE_DIRECTORY);
    let path = if inner.is_dir() { &inner } else { directory };
    let names = std::fs::read_dir(path).map_err(|error| {
        Failure::new(format!(
            "state: {}: {error}; give a node's data directory",
            path.display()
        ))
    })?;
    let is_ours = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.ends_with(".log"));
    if !names.flatten().any(|entry| is_ours(&entry.file_name())) {
        return Err(Failure::new(format!(
            "state: {} holds no states; give a node's data directory, or the directory `{STATE_DIRECTORY}` in it",
            path.display()
        )));
    }
    Directory::open(path).map_err(|error| Failure::new(format!("state: {}: {error}", path.display())))
}

/// What an export or an import went through; `last` is the block that the file ends with.
fn told(commit: &Commit, counts: &Counts, last: Option<&BlockRef>, what: &str, json: bool) {
    let root = Hash(commit.root).to_string();
    if json {
        let mut told = json!({
            "id": commit.id.to_string(),
            "height": commit.height,
            "root": root,
            "chunks": counts.chunks,
            "values": counts.values,
            "bytes": counts.bytes,
        });
        if let Some(last) = last {
            told["block"] = json!({ "height": last.height, "hash": last.hash });
        }
        print_json(&told);
        return;
    }
    outln!("{what} the state at height {}, root {root}", commit.height);
    outln!(
        "{} values in {} chunks, {} bytes",
        counts.values,
        counts.chunks,
        counts.bytes
    );
    if let Some(last) = last {
        outln!("with blocks up to height {}, hash {}", last.height, last.hash);
    }
}

/// A bar for people who look.
pub(super) fn bar(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {pos} {msg} {elapsed}");
    let bar = ProgressBar::new_spinner().with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
