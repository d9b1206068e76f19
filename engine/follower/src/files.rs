//! Checkpoint and evidence on disk.
//!
//! Evidence is a JSON object: people read what it shows, `chain_spec` and `evidence` are canonical bytes, and these two
//! alone are what [`check_evidence`] believes, the first because it hashes to the genesis header that is trusted.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use millrace_light_client::checkpoint::MAX_CHECKPOINT_BYTES;
use millrace_light_client::evidence::MAX_EVIDENCE_BYTES;
use millrace_light_client::{
    Branch, CheckpointError, Contradiction, Evidence, EvidenceError, LightClient, NoCheckpoint, StartError,
    Verifiers,
};
use millrace_rpc::Bytes;
use millrace_rpc::shapes::ReceiptView;
use millrace_types::{ChainSpec, Hash, Height};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The format that this build writes, and the newest that it reads.
const EVIDENCE_FORMAT: u32 = 1;
/// A chain spec and evidence in hex, and the words around them.
const MAX_EVIDENCE_FILE_BYTES: usize = 2 * (MAX_EVIDENCE_BYTES + (16 << 20)) + (1 << 20);

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The disk, or the file's rights.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Longer than any such file.
    #[error("{}: more than {limit} bytes; this is no such file", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// Not in the form that it should have.
    #[error("{}: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A format of a newer build.
    #[error("{}: format {found}, known are formats up to {EVIDENCE_FORMAT}: it was written by a newer millrace", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Evidence about another chain.
    #[error("{}: the evidence is about the chain with genesis {found}, you trust {expected}", path.display())]
    OtherChain {
        /// The file.
        path: PathBuf,
        /// Its chain.
        found: Hash,
        /// The chain that is trusted.
        expected: Hash,
    },
    /// The chain's certificates cannot be checked here.
    #[error("{}: {error}", path.display())]
    Start {
        /// The file.
        path: PathBuf,
        /// Why.
        error: StartError,
    },
    /// The client's place cannot be kept.
    #[error("{}: {error}", path.display())]
    NoCheckpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        error: NoCheckpoint,
    },
    /// There is a checkpoint already that cannot be used, so that it is not known what would be lost.
    #[error("{}: {error}; it is not written over: move it away", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        error: Box<CheckpointError>,
    },
    /// There is a checkpoint already, of another client that follows another branch.
    #[error(
        "{}: it was written meanwhile by a client that follows another branch: at height {height} it has block {found}, and \
         this client {ours}; it is not written over. Ask the chain's operators which is theirs",
        path.display()
    )]
    OtherBranch {
        /// The file.
        path: PathBuf,
        /// The newest height that both keep.
        height: Height,
        /// The file's block.
        found: Hash,
        /// The client's.
        ours: Hash,
    },
    /// It proves nothing.
    #[error("{}: this is no evidence: {error}", path.display())]
    Evidence {
        /// The file.
        path: PathBuf,
        /// Why.
        error: EvidenceError,
    },
}

/// What is written.
#[derive(Serialize)]
struct EvidenceFile {
    format: u32,
    chain_spec: Bytes,
    evidence: Bytes,
    /// For people.
    shows: Value,
}

/// What every format has, so that a newer one is told by its number.
#[derive(Deserialize)]
struct FormatOf {
    format: u32,
}

/// What is read of the known format: what is shown to people takes no memory.
#[derive(Deserialize)]
struct EvidenceOf {
    chain_spec: Bytes,
    evidence: Bytes,
}

/// Reads a checkpoint; `None` if there is no such file.
///
/// # Errors
/// If it cannot be read or is too long. What is in it is judged by [`LightClient::resume`].
pub fn read_checkpoint(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match read(path, MAX_CHECKPOINT_BYTES) {
        Err(FileError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Keeps a client's place, unless there is nothing to keep or the file has a later place of the same branch: several clients
/// may share it, and none takes it back.
///
/// # Errors
/// If the disk fails, or the file has something that must not be lost.
pub fn keep_checkpoint(path: &Path, light: &LightClient, verifiers: &Verifiers) -> Result<(), FileError> {
    let owned = || path.to_owned();
    let bytes = match light.checkpoint() {
        Ok(bytes) => bytes,
        Err(NoCheckpoint::Nothing { .. }) => return Ok(()),
        Err(error) => {
            let path = owned();
            return Err(FileError::NoCheckpoint { path, error });
        }
    };
    let Some(there) = read_checkpoint(path)? else {
        return write_atomically(path, &bytes);
    };
    let there = LightClient::resume(&there, light.genesis_hash(), verifiers).map_err(|error| {
        FileError::Checkpoint {
            path: owned(),
            error: Box::new(error),
        }
    })?;
    let height = there.finalized_height().min(light.finalized_height());
    if let (Some((_, found)), Some((_, ours))) = (there.header(height), light.header(height))
        && found != ours
    {
        return Err(FileError::OtherBranch {
            path: owned(),
            height,
            found,
            ours,
        });
    }
    if there.finalized_height() > light.finalized_height() {
        return Ok(());
    }
    write_atomically(path, &bytes)
}

/// Whether files can be made where this one is to be, so that long work is not done for nothing.
///
/// # Errors
/// If they cannot.
pub fn check_directory(path: &Path) -> Result<(), FileError> {
    let made = tempfile::tempfile_in(directory_of(path));
    made.map(drop).map_err(|error| FileError::Io {
        path: path.to_owned(),
        error,
    })
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Writes a file so that there is the old content or the new one, whatever happens meanwhile.
///
/// # Errors
/// If the disk fails; the old content is there then.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let failed = |error| FileError::Io {
        path: path.to_owned(),
        error,
    };
    let directory = directory_of(path);
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    // The name is durable when the directory is.
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)
}

/// Writes evidence about a chain.
///
/// # Errors
/// If the disk fails.
pub fn write_evidence(path: &Path, spec: &ChainSpec, evidence: &Evidence) -> Result<(), FileError> {
    let file = EvidenceFile {
        format: EVIDENCE_FORMAT,
        chain_spec: Bytes::of(spec),
        evidence: Bytes::of(evidence),
        shows: shows(evidence),
    };
    let mut text = serde_json::to_string_pretty(&file).expect("its parts are JSON");
    text.push('\n');
    write_atomically(path, text.as_bytes())
}

/// Reads evidence and checks it from the hash of the genesis header alone.
///
/// # Errors
/// If it is not evidence about this chain.
pub fn check_evidence(
    path: &Path,
    genesis: Hash,
    verifiers: &Verifiers,
) -> Result<(Evidence, Contradiction), FileError> {
    let text = read(path, MAX_EVIDENCE_FILE_BYTES)?;
    let form = |reason: String| FileError::Form {
        path: path.to_owned(),
        reason,
    };
    let FormatOf { format } = serde_json::from_slice(&text).map_err(|error| form(error.to_string()))?;
    match format {
        EVIDENCE_FORMAT => {}
        0 => return Err(form("there is no format 0".to_owned())),
        found => {
            let path = path.to_owned();
            return Err(FileError::Newer { path, found });
        }
    }
    let file: EvidenceOf = serde_json::from_slice(&text).map_err(|error| form(error.to_string()))?;
    drop(text);
    let spec = ChainSpec::decode(&file.chain_spec.0).map_err(|error| form(error.to_string()))?;
    let light = LightClient::new(spec, verifiers).map_err(|error| FileError::Start {
        path: path.to_owned(),
        error,
    })?;
    if light.genesis_hash() != genesis {
        return Err(FileError::OtherChain {
            path: path.to_owned(),
            found: light.genesis_hash(),
            expected: genesis,
        });
    }
    let evidence = Evidence::decode(&file.evidence.0).map_err(|error| form(error.to_string()))?;
    let shown = evidence.verify(&light).map_err(|error| FileError::Evidence {
        path: path.to_owned(),
        error,
    })?;
    Ok((evidence, shown))
}

/// What a contradiction is about, for people and programs.
#[must_use]
pub fn describe(contradiction: &Contradiction) -> Value {
    match contradiction {
        Contradiction::Blocks { height, hashes } => {
            json!({ "kind": "blocks", "height": height, "blocks": hashes })
        }
        Contradiction::Receipts { block_hash, receipts } => json!({
            "kind": "receipts",
            "height": receipts[0].height,
            "block": block_hash,
            "receipts": receipts.each_ref().map(ReceiptView::from),
        }),
    }
}

fn shows(evidence: &Evidence) -> Value {
    let branch = |branch: &Branch| {
        let headers = branch.headers.iter();
        let blocks: Vec<Value> = headers
            .map(|header| json!({ "height": header.height, "hash": header.hash(), "parent_hash": header.parent_hash }))
            .collect();
        json!({ "blocks": blocks, "certificate": Bytes(branch.certificate.clone()) })
    };
    match evidence {
        Evidence::Blocks { first, second } => {
            json!({ "kind": "blocks", "branches": [branch(first), branch(second)] })
        }
        Evidence::Receipts { first, second } => {
            let opening = |opening: &millrace_light_client::Opening| {
                let receipts: Vec<_> = opening.receipts.iter().map(ReceiptView::from).collect();
                json!({ "branch": branch(&opening.branch), "receipts": receipts })
            };
            json!({ "kind": "receipts", "openings": [opening(first), opening(second)] })
        }
    }
}

fn read(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let failed = |error| FileError::Io {
        path: path.to_owned(),
        error,
    };
    let file = File::open(path).map_err(failed)?;
    let mut content = Vec::new();
    file.take(limit as u64 + 1)
        .read_to_end(&mut content)
        .map_err(failed)?;
    if content.len() > limit {
        let path = path.to_owned();
        return Err(FileError::TooLong { path, limit });
    }
    Ok(content)
}
