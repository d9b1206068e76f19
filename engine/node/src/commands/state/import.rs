//! Reading a state, and the blocks that a node goes on from.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millrace_ledger::Ledger;
use millrace_pipeline::checkpoint::{Checkpoint, Vouched};
use millrace_state::export::{Counts, Heading, import};
use millrace_state::files::{Directory, Files as _};
use millrace_state::{Commit, Config};
use millrace_types::{ChainSpec, Hash};

use super::export::MAGIC;
use super::{bar, told};
use crate::commands::dev::keep_spec;
use crate::failure::Failure;
use crate::node::settings::read_chain_spec;
use crate::node::{LEDGER_FILE, STATE_DIRECTORY};

/// What everything in the file is held against.
pub(super) enum Trusted {
    /// Hash of the block that it ends with, of a chain with that spec: a whole data directory is made.
    Block { block: Hash, spec: PathBuf },
    /// The state's root: a directory of states is made.
    Root(Hash),
}

type Stream = BufReader<File>;

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("state import: {error}"))
}

pub(super) fn run(file: &Path, directory: &Path, trusted: Trusted, json: bool) -> Result<(), Failure> {
    let reading = |error: std::io::Error| failed(&format!("{}: {error}", file.display()));
    let mut stream = BufReader::with_capacity(1 << 20, File::open(file).map_err(reading)?);
    let blocks = blocks(&mut stream).map_err(reading)?;
    match trusted {
        Trusted::Root(root) => {
            let (heading, counts) = import_state(&mut stream, directory, &root)?;
            told(&commit(&heading), &counts, None, "imported", json);
        }
        Trusted::Block { block, spec } => {
            let spec = read_chain_spec(&spec).map_err(|error| failed(&error))?;
            let blocks = blocks.ok_or_else(|| {
                failed(&"the file has a state alone: a node needs the blocks too, which an export of a data directory has")
            })?;
            import_node(&mut stream, directory, &blocks, &block, spec, json)?;
        }
    }
    Ok(())
}

/// The checkpoint's bytes, if the file begins with one.
fn blocks(stream: &mut Stream) -> std::io::Result<Option<Vec<u8>>> {
    if !stream.fill_buf()?.starts_with(MAGIC) {
        return Ok(None);
    }
    let mut head = [0; MAGIC.len() + 8];
    stream.read_exact(&mut head)?;
    let length = u64::from_le_bytes(std::array::from_fn(|i| head[MAGIC.len() + i]));
    let mut bytes = Vec::new();
    // No more is kept than there is, whatever the length says.
    stream.by_ref().take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Err(std::io::Error::new(
            std::io::ErrorKind::UnexpectedEof,
            format!("it ends within its blocks, of which there should be {length} bytes; fetch it again"),
        ));
    }
    Ok(Some(bytes))
}

/// A data directory that a node can start with: state, then ledger, which says that it is there.
fn import_node(
    stream: &mut Stream,
    directory: &Path,
    blocks: &[u8],
    trusted: &Hash,
    spec: ChainSpec,
    json: bool,
) -> Result<(), Failure> {
    let checkpoint = Checkpoint::decode(blocks).map_err(|error| failed(&error))?;
    let vouched = checkpoint
        .verify(&spec, trusted)
        .map_err(|error| failed(&error))?;
    let is_new = !directory.exists();
    if !is_new {
        let mut entries = std::fs::read_dir(directory)
            .map_err(|error| failed(&format!("{}: {error}", directory.display())))?;
        if entries.next().is_some() {
            return Err(not_empty(directory));
        }
    }
    let made = import_into(stream, directory, &checkpoint, &vouched, spec);
    let (heading, counts) = made.map_err(|failure| thrown_away(directory, is_new, failure))?;
    told(&commit(&heading), &counts, Some(&vouched.last), "imported", json);
    Ok(())
}

fn import_into(
    stream: &mut Stream,
    directory: &Path,
    checkpoint: &Checkpoint,
    vouched: &Vouched,
    spec: ChainSpec,
) -> Result<(Heading, Counts), Failure> {
    crate::node::create_data_directory(directory)?;
    let (heading, counts) = import_state(stream, &directory.join(STATE_DIRECTORY), &vouched.root)?;
    let is_of_block = heading.height == vouched.state.height && heading.id.0 == vouched.state.hash.0;
    if !is_of_block || heading.genesis.0 != vouched.genesis.0 {
        return Err(failed(
            &"the state says that it is of another block, or of another chain, than the blocks do; fetch the file again, \
              from somebody else",
        ));
    }
    let spec = keep_spec(directory, spec)?;
    let ledger = Ledger::open(&directory.join(LEDGER_FILE), &spec).map_err(|error| failed(&error))?;
    checkpoint.write(&spec, &ledger).map_err(|error| failed(&error))?;
    Ok((heading, counts))
}

fn import_state(stream: &mut Stream, directory: &Path, root: &Hash) -> Result<(Heading, Counts), Failure> {
    let is_new = !directory.exists();
    let files =
        Directory::open(directory).map_err(|error| failed(&format!("{}: {error}", directory.display())))?;
    let names = files.list().map_err(|error| failed(&error))?;
    if !names.is_empty() {
        return Err(not_empty(directory));
    }
    let bar = bar("values");
    let imported = import(Arc::new(files), Config::default(), &root.0, stream, |counts| {
        bar.set_position(counts.values);
    });
    bar.finish_and_clear();
    imported.map_err(|error| thrown_away(directory, is_new, failed(&error)))
}

fn commit(heading: &Heading) -> Commit {
    Commit {
        id: heading.id,
        height: heading.height,
        root: heading.root,
    }
}

fn not_empty(directory: &Path) -> Failure {
    failed(&format!(
        "{} is not empty; name a directory that is, or is not there",
        directory.display()
    ))
}

/// Removes what was made of a file that turned out to be wrong: what is verified so far is no state.
fn thrown_away(directory: &Path, is_new: bool, failure: Failure) -> Failure {
    let removed = if is_new {
        std::fs::remove_dir_all(directory)
    } else {
        empty(directory)
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Failure::new(format!("{failure}; delete {}: {error}", directory.display()))
        }
        _ => failure,
    }
}

fn empty(directory: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
