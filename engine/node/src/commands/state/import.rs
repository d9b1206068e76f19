//! Reading a state, and the blocks that a node goes on from.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millrace_ledger::Ledger;
use millrace_pipeline::checkpoint::{Checkpoint, MAX_BYTES, Vouched};
use millrace_state::export::{Counts, Heading, import};
use millrace_state::files::Directory;
use millrace_state::{Commit, Config};
use millrace_types::{ChainSpec, Hash};
use tempfile::TempDir;

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

/// A file that is read from its beginning to its end.
pub(in crate::commands) type Stream = BufReader<File>;

/// Opens a file that `state export` wrote.
pub(in crate::commands) fn open_file(file: &Path) -> std::io::Result<Stream> {
    Ok(BufReader::with_capacity(1 << 20, File::open(file)?))
}

/// The encoded checkpoint that a file with blocks begins with; `None` for a state alone. The state's stream follows.
pub(in crate::commands) fn read_checkpoint(stream: &mut Stream) -> std::io::Result<Option<Vec<u8>>> {
    length_of_blocks(stream)?
        .map(|length| read_blocks(stream, length))
        .transpose()
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("state import: {error}"))
}

pub(super) fn run(file: &Path, directory: &Path, trusted: Trusted, json: bool) -> Result<(), Failure> {
    let reading = |error: std::io::Error| failed(&format!("{}: {error}", file.display()));
    let mut stream = open_file(file).map_err(reading)?;
    let place = Place::new(directory)?;
    match trusted {
        Trusted::Root(root) => {
            if let Some(length) = length_of_blocks(&mut stream).map_err(reading)? {
                skip(&mut stream, length).map_err(reading)?;
            }
            let (heading, counts) = import_state(&mut stream, place.new_directory(), &root)?;
            place.put()?;
            told(&commit(&heading), &counts, None, "imported", json);
        }
        Trusted::Block { block, spec } => {
            let spec = read_chain_spec(&spec).map_err(|error| failed(&error))?;
            let blocks = read_checkpoint(&mut stream).map_err(reading)?.ok_or_else(|| {
                failed(
                    &"the file has a state alone: a node needs the blocks too, which an export of a data directory has",
                )
            })?;
            let checkpoint = Checkpoint::decode(&blocks).map_err(|error| failed(&error))?;
            drop(blocks);
            let vouched = checkpoint.verify(&spec, &block).map_err(|error| failed(&error))?;
            let (heading, counts) = import_node(&mut stream, place.new_directory(), &vouched, spec)?;
            place.put()?;
            told(&commit(&heading), &counts, Some(&vouched.last), "imported", json);
        }
    }
    Ok(())
}

/// Where the new directory comes: it is made beside the one that is named, and takes its place when it is whole. Nothing else
/// is ever removed.
struct Place<'a> {
    directory: &'a Path,
    parent: PathBuf,
    work: TempDir,
    new: PathBuf,
}

impl<'a> Place<'a> {
    fn new(directory: &'a Path) -> Result<Self, Failure> {
        let at = |error: std::io::Error| failed(&format!("{}: {error}", directory.display()));
        match std::fs::symlink_metadata(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(at(error)),
            Ok(found) => {
                let is_empty = found.is_dir() && std::fs::read_dir(directory).map_err(at)?.next().is_none();
                if !is_empty {
                    return Err(not_empty(directory));
                }
            }
        }
        let parent = match directory.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let work = tempfile::Builder::new()
            .prefix(".millrace-import-")
            .tempdir_in(&parent);
        let work = work.map_err(|error| {
            failed(&format!(
                "{}: {error}; the directory is made there, so it has to exist and be writable",
                parent.display()
            ))
        })?;
        let new = work.path().join("new");
        std::fs::create_dir(&new).map_err(at)?;
        Ok(Self {
            directory,
            parent,
            work,
            new,
        })
    }

    fn new_directory(&self) -> &Path {
        &self.new
    }

    fn put(self) -> Result<(), Failure> {
        let synced = File::open(&self.new).and_then(|directory| directory.sync_all());
        let put = synced.and_then(|()| std::fs::rename(&self.new, self.directory));
        put.and_then(|()| File::open(&self.parent)?.sync_all())
            .and_then(|()| self.work.close())
            .map_err(|error| {
                failed(&format!(
                    "putting the new directory in the place of {}: {error}; name one that nobody uses and that is no mount point",
                    self.directory.display()
                ))
            })
    }
}

/// Length of the checkpoint that the file begins with, if it does.
fn length_of_blocks(stream: &mut Stream) -> std::io::Result<Option<u64>> {
    let begins = stream.fill_buf()?;
    if !begins.starts_with(MAGIC) {
        let (name, _) = MAGIC.split_at(MAGIC.len() - 1);
        if !begins.starts_with(name) {
            return Ok(None);
        }
        // A name with another number is a format to come.
        let found = String::from_utf8_lossy(&begins[..MAGIC.len().min(begins.len())]).into_owned();
        let known = String::from_utf8_lossy(MAGIC);
        return Err(std::io::Error::new(
            ErrorKind::InvalidData,
            format!("it has the format {found:?}, this build reads {known:?}; use the newer build"),
        ));
    }
    let mut head = [0; MAGIC.len() + 8];
    stream.read_exact(&mut head)?;
    let length = u64::from_le_bytes(std::array::from_fn(|i| head[MAGIC.len() + i]));
    if length > MAX_BYTES as u64 {
        return Err(std::io::Error::new(
            ErrorKind::InvalidData,
            format!("it says that its blocks have {length} bytes, more than {MAX_BYTES}; fetch it again"),
        ));
    }
    Ok(Some(length))
}

fn skip(stream: &mut Stream, length: u64) -> std::io::Result<()> {
    stream.seek_relative(length.cast_signed())
}

/// The checkpoint's bytes. No more is kept than there is, whatever the length says.
fn read_blocks(stream: &mut Stream, length: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.by_ref().take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Err(std::io::Error::new(
            ErrorKind::UnexpectedEof,
            format!("it ends within its blocks, of which there should be {length} bytes; fetch it again"),
        ));
    }
    Ok(bytes)
}

/// A data directory that a node can start with.
fn import_node(
    stream: &mut Stream,
    directory: &Path,
    vouched: &Vouched<'_>,
    spec: ChainSpec,
) -> Result<(Heading, Counts), Failure> {
    let (heading, counts) = import_state(stream, &directory.join(STATE_DIRECTORY), &vouched.root)?;
    let is_of_block = heading.height == vouched.state.height && heading.id.0 == vouched.state.hash.0;
    if !is_of_block || heading.genesis.0 != vouched.genesis().0 {
        return Err(failed(
            &"the state says that it is of another block than the checkpoint, or of another genesis than the chain spec; fetch \
              the file again, from somebody else, or give the chain's own spec",
        ));
    }
    let spec = keep_spec(directory, spec)?;
    let ledger = Ledger::open(&directory.join(LEDGER_FILE), &spec).map_err(|error| failed(&error))?;
    vouched.write(&ledger).map_err(|error| failed(&error))?;
    Ok((heading, counts))
}

fn import_state(stream: &mut Stream, directory: &Path, root: &Hash) -> Result<(Heading, Counts), Failure> {
    let files =
        Directory::open(directory).map_err(|error| failed(&format!("{}: {error}", directory.display())))?;
    let bar = bar("values");
    let imported = import(Arc::new(files), Config::default(), &root.0, stream, |counts| {
        bar.set_position(counts.values);
    });
    bar.finish_and_clear();
    imported.map_err(|error| failed(&error))
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
