//! Writing a state, with or without the blocks that a node goes on from.
//!
//! | a file with blocks | bytes | |
//! |---|---|---|
//! | magic | 16 | `millrace-chain/1` |
//! | length | 8 | little endian |
//! | checkpoint | length | `millrace_pipeline::checkpoint` |
//! | the state's stream | | `millrace_state::export` |

use std::fs::OpenOptions;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use millrace_ledger::Ledger;
use millrace_pipeline::checkpoint::{Checkpoint, MAX_BYTES};
use millrace_state::export::{CHUNK_BYTES, export};
use millrace_state::{Config, Store, VersionId};

use super::{bar, open, told};
use crate::commands::dev::SPEC_FILE;
use crate::failure::Failure;
use crate::node::LEDGER_FILE;
use crate::node::settings::read_chain_spec;

/// What a file with blocks begins with.
pub(super) const MAGIC: &[u8; 16] = b"millrace-chain/1";

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("state export: {error}"))
}

/// The blocks, where the directory has a ledger.
fn checkpoint(
    directory: &Path,
    height: Option<u64>,
    chain_spec: Option<&Path>,
) -> Result<Option<Checkpoint>, Failure> {
    let ledger = directory.join(LEDGER_FILE);
    if !ledger.exists() {
        return Ok(None);
    }
    let kept = directory.join(SPEC_FILE);
    let spec = match chain_spec {
        Some(path) => path,
        None if kept.exists() => &kept,
        None => {
            return Err(failed(
                &"give the node's chain spec with --chain-spec, or name the directory of states for the state alone",
            ));
        }
    };
    let spec = read_chain_spec(spec).map_err(|error| failed(&error))?;
    let ledger = Ledger::open(&ledger, &spec).map_err(|error| failed(&error))?;
    Checkpoint::of(&ledger, height)
        .map(Some)
        .map_err(|error| failed(&error))
}

pub(super) fn run(
    directory: &Path,
    out: &Path,
    height: Option<u64>,
    chain_spec: Option<&Path>,
    json: bool,
) -> Result<(), Failure> {
    let files = Arc::new(open(directory)?);
    let checkpoint = checkpoint(directory, height, chain_spec)?;
    // Whatever is there may be exported.
    let config = Config {
        retention: u64::MAX,
        ..Config::default()
    };
    let store = Store::open_existing(files, config).map_err(|error| failed(&error))?;
    let commits = store.committed();
    let block = checkpoint.as_ref().and_then(Checkpoint::state_block);
    let chosen = match (block, height) {
        (Some(block), _) => commits.iter().find(|commit| commit.id == VersionId(block.0)),
        (None, None) => commits.iter().find(|commit| commit.id == store.finalized().0),
        (None, Some(height)) => commits.iter().find(|commit| commit.height == height),
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
    let blocks = checkpoint.as_ref().map(Checkpoint::encode);
    if let Some(len) = blocks.as_ref().map(Vec::len).filter(|len| *len > MAX_BYTES) {
        return Err(failed(&format!(
            "the blocks that a node needs have {len} bytes, more than {MAX_BYTES}"
        )));
    }
    let writing = |error: std::io::Error| failed(&format!("{}: {error}", out.display()));
    let file = OpenOptions::new().write(true).create_new(true).open(out);
    let file = file.map_err(writing)?;
    let mut stream = BufWriter::with_capacity(1 << 20, file);
    let headed = blocks.map_or(Ok(()), |blocks| {
        stream.write_all(MAGIC)?;
        stream.write_all(&(blocks.len() as u64).to_le_bytes())?;
        stream.write_all(&blocks)
    });
    let bar = bar("values");
    let counts = headed.map_err(writing).and_then(|()| {
        let counts = export(&view, store.genesis(), CHUNK_BYTES, &mut stream, |counts| {
            bar.set_position(counts.values);
        });
        counts.map_err(|error| failed(&error))
    });
    bar.finish_and_clear();
    let done = counts.and_then(|counts| {
        stream.flush().map_err(writing)?;
        stream.get_ref().sync_all().map_err(writing)?;
        Ok(counts)
    });
    if done.is_err() {
        // Half a stream is of no use to anybody.
        let _ = std::fs::remove_file(out);
    }
    let last = checkpoint.and_then(|checkpoint| checkpoint.last());
    told(&commit, &done?, last.as_ref(), "exported", json);
    Ok(())
}
