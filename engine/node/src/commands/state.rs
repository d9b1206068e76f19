//! `millrace state`: the states that a node keeps, while it is stopped.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use millrace_state::check::{Condition, Report, check};
use millrace_state::export::{CHUNK_BYTES, Counts, export, import};
use millrace_state::files::{Directory, Files as _};
use millrace_state::{Commit, Config, Store};
use millrace_types::Hash;
use serde_json::{Value, json};

use crate::commands::print_json;
use crate::failure::Failure;
use crate::node::STATE_DIRECTORY;

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
    /// Writes the state at a height to a file that proves itself: a new node imports it instead of executing all blocks.
    Export {
        /// The node's data directory, or the directory of states in it.
        directory: PathBuf,
        /// The file; it must not exist.
        #[arg(long)]
        out: PathBuf,
        /// Of which height; by default the newest that is final.
        #[arg(long)]
        height: Option<u64>,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Reads such a file into a directory that is empty or not there, and verifies every part of it against the root.
    Import {
        /// The file.
        file: PathBuf,
        /// The directory of states.
        directory: PathBuf,
        /// The state root, from a receipt that a header you trust commits to.
        #[arg(long)]
        root: Hash,
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
            Self::Check { directory, json } => run_check(&directory, json),
            Self::Export {
                directory,
                out,
                height,
                json,
            } => run_export(&directory, &out, height, json),
            Self::Import {
                file,
                directory,
                root,
                json,
            } => run_import(&file, &directory, root, json),
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

fn run_check(directory: &Path, json: bool) -> Result<(), Failure> {
    let files = open(directory)?;
    let bar = bar("versions");
    let report = check(&files, |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let report = report.map_err(|error| Failure::new(format!("state check: {error}")))?;
    if json {
        print_json(&report_json(&report));
    } else {
        print_report(&report);
    }
    let damaged = report
        .versions
        .iter()
        .filter(|version| is_damaged(&version.condition))
        .count();
    if report.damage.is_empty() && damaged == 0 {
        return Ok(());
    }
    let newest = report
        .versions
        .iter()
        .rev()
        .find(|version| version.condition == Condition::Whole);
    Err(Failure::new(match newest {
        Some(version) => format!(
            "state check: damaged; what is at height {} is whole: delete the directory of states, and the node executes \
             its blocks again from the ledger",
            version.height
        ),
        None => "state check: damaged, and no version is whole: delete the directory of states, and the node executes its \
                 blocks again from the ledger"
            .to_owned(),
    }))
}

fn is_damaged(condition: &Condition) -> bool {
    matches!(condition, Condition::Damaged(_))
}

/// Heights of whole versions, as ranges.
fn whole(report: &Report) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for version in report
        .versions
        .iter()
        .filter(|version| version.condition == Condition::Whole)
    {
        match ranges.last_mut() {
            Some((_, last)) if version.height <= *last + 1 => *last = version.height,
            _ => ranges.push((version.height, version.height)),
        }
    }
    ranges
}

fn print_report(report: &Report) {
    println!("records    {}", report.records);
    println!("versions   {}", report.versions.len());
    for (from, to) in whole(report) {
        println!("whole      heights {from} to {to}");
    }
    if let Some((place, bytes)) = &report.torn {
        println!("unfinished {bytes} bytes in {place}: what a power failure left, nobody was promised it");
    }
    for error in &report.damage {
        println!("damage     {error}");
    }
    for version in &report.versions {
        if let Condition::Damaged(place) = &version.condition {
            println!(
                "damage     the version at height {} reaches {place}",
                version.height
            );
        }
    }
}

fn report_json(report: &Report) -> Value {
    let versions = report.versions.iter().map(|version| {
        let (condition, place) = match &version.condition {
            Condition::Whole => ("whole", None),
            Condition::Forgotten => ("forgotten", None),
            Condition::Damaged(place) => ("damaged", Some(place.to_string())),
        };
        json!({
            "id": version.id.to_string(),
            "height": version.height,
            "root": Hash(version.root).to_string(),
            "condition": condition,
            "place": place,
        })
    });
    json!({
        "records": report.records,
        "versions": versions.collect::<Vec<_>>(),
        "damage": report.damage.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "unfinished": report.torn.as_ref().map(|(place, bytes)| json!({
            "file": place.file, "offset": place.offset, "bytes": bytes,
        })),
    })
}

fn run_export(directory: &Path, out: &Path, height: Option<u64>, json: bool) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("state export: {error}"));
    let files = Arc::new(open(directory)?);
    // Whatever is there may be exported.
    let config = Config {
        retention: u64::MAX,
        ..Config::default()
    };
    let store = Store::open_existing(files, config).map_err(|error| failed(&error))?;
    let commits = store.committed();
    let chosen = match height {
        None => commits.iter().find(|commit| commit.id == store.finalized().0),
        Some(height) => commits.iter().find(|commit| commit.height == height),
    };
    let commit = chosen.copied().ok_or_else(|| {
        let heights = commits.iter().map(|commit| commit.height);
        let (first, last) = (heights.clone().min().unwrap_or(0), heights.max().unwrap_or(0));
        failed(&format!(
            "no state of that height is kept: there are {first} to {last}"
        ))
    })?;
    let view = store
        .view(commit.id)
        .ok_or_else(|| failed(&"the state is not held"))?;
    let writing = |error: std::io::Error| failed(&format!("{}: {error}", out.display()));
    let file = OpenOptions::new().write(true).create_new(true).open(out);
    let file = file.map_err(writing)?;
    let mut stream = BufWriter::with_capacity(1 << 20, file);
    let bar = bar("values");
    let counts = export(&view, store.genesis(), CHUNK_BYTES, &mut stream, |counts| {
        bar.set_position(counts.values);
    });
    bar.finish_and_clear();
    let done = counts.map_err(|error| failed(&error)).and_then(|counts| {
        stream.flush().map_err(writing)?;
        stream.get_ref().sync_all().map_err(writing)?;
        Ok(counts)
    });
    if done.is_err() {
        // Half a stream is of no use to anybody.
        let _ = std::fs::remove_file(out);
    }
    told(&commit, &done?, "exported", json);
    Ok(())
}

fn run_import(file: &Path, directory: &Path, root: Hash, json: bool) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("state import: {error}"));
    let opened = File::open(file).map_err(|error| failed(&format!("{}: {error}", file.display())))?;
    let is_new = !directory.exists();
    let files =
        Directory::open(directory).map_err(|error| failed(&format!("{}: {error}", directory.display())))?;
    let names = files.list().map_err(|error| failed(&error))?;
    if !names.is_empty() {
        return Err(failed(&format!(
            "{} is not empty; name a directory that is, or is not there",
            directory.display()
        )));
    }
    let mut stream = BufReader::with_capacity(1 << 20, opened);
    let bar = bar("values");
    let imported = import(
        Arc::new(files),
        Config::default(),
        &root.0,
        &mut stream,
        |counts| {
            bar.set_position(counts.values);
        },
    );
    bar.finish_and_clear();
    let (commit, counts) = imported.map_err(|error| {
        // What is verified so far is no state.
        let removed = if is_new {
            std::fs::remove_dir_all(directory)
        } else {
            empty(directory)
        };
        match removed {
            Ok(()) => failed(&error),
            Err(removing) => failed(&format!("{error}; delete {}: {removing}", directory.display())),
        }
    })?;
    told(&commit, &counts, "imported", json);
    Ok(())
}

fn empty(directory: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        std::fs::remove_file(entry?.path())?;
    }
    Ok(())
}

fn told(commit: &Commit, counts: &Counts, what: &str, json: bool) {
    let root = Hash(commit.root).to_string();
    if json {
        print_json(&json!({
            "id": commit.id.to_string(),
            "height": commit.height,
            "root": root,
            "chunks": counts.chunks,
            "values": counts.values,
            "bytes": counts.bytes,
        }));
        return;
    }
    println!("{what} the state at height {}, root {root}", commit.height);
    println!(
        "{} values in {} chunks, {} bytes",
        counts.values, counts.chunks, counts.bytes
    );
}

/// A bar for people who look.
fn bar(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {pos} {msg} {elapsed}");
    let bar = ProgressBar::new_spinner().with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
