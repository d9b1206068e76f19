//! A version as a stream that proves itself, so that a new node need not execute what led to it.
//!
//! | the stream | bytes | |
//! |---|---|---|
//! | magic | 16 | `millrace-state/1` |
//! | id, genesis | 32, 32 | of the version, and of the one that all descend from |
//! | height | 8 | |
//! | root | 32 | |
//! | chunks | | ascending, together all paths |
//!
//! | a chunk | bytes | |
//! |---|---|---|
//! | depth | 2 | bits that all of the chunk's paths have in common, at most 256 |
//! | prefix | 32 | these bits, then zeros |
//! | siblings | 32 each | of the subtree with this prefix, from the root down: `depth` of them |
//! | count | 4 | of leaves |
//! | leaves | | ascending: path (32), length (4), value |
//!
//! Numbers are little endian. A chunk is all of the subtree with its prefix: its leaves hash to a node that leads, with the
//! siblings, to the root; chunk and last sibling have to be what may lie beside each other, since a lone leaf rises. So it
//! needs no other chunk to be verified, and none is accepted in which a leaf was changed, added
//! or left out. A sibling that is empty proves that nothing lies there: chunk and empty siblings next to it have to begin
//! where those of the chunk before ended, so that none can be missing. Id, genesis and height are what whoever wrote the
//! stream says; the root is what a reader has to know from a header that consensus certified.

use std::io::{self, Read, Write};
use std::sync::Arc;

use millrace_proof::path::bit;
use millrace_proof::{EMPTY, Node, Path, Root, hash_leaf, hash_value};

use crate::changes::{Changes, Value};
use crate::error::{OpenError, ProveError, ReadError};
use crate::files::Files;
use crate::log::WriteError;
use crate::store::{Config, Import};
use crate::trie::{join, risen};
use crate::version::VersionId;
use crate::view::View;

const MAGIC: &[u8; 16] = b"millrace-state/1";

/// Chunks are of about this many bytes where values are small.
pub const CHUNK_BYTES: usize = 1 << 20;

/// The longest value that is read from a stream: more than any chain permits.
pub const MAX_VALUE_BYTES: usize = 1 << 28;

/// Most bytes of the values of a chunk that has several.
pub const MAX_CHUNK_BYTES: usize = 1 << 26;

/// Most leaves of a chunk.
const MAX_LEAVES: u32 = 1 << 20;

/// What a stream says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heading {
    /// The version's id.
    pub id: VersionId,
    /// Id of the version that all descend from.
    pub genesis: VersionId,
    /// The version's height.
    pub height: u64,
    /// Its root.
    pub root: Root,
}

/// How much went through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Chunks.
    pub chunks: u64,
    /// Values.
    pub values: u64,
    /// Bytes of the stream.
    pub bytes: u64,
}

/// Why a version was not exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// It has no root, or is not there any more.
    #[error(transparent)]
    Prove(#[from] ProveError),
    /// What lies on the disk is not what was written.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The stream cannot be written.
    #[error("writing the stream: {0}")]
    Io(#[from] io::Error),
}

/// Why a stream was not imported. What was written is thrown away by whoever deletes the directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The stream cannot be read, or ends early.
    #[error("reading the stream: {0}; fetch it again")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("this is no state: it does not begin with \"millrace-state/1\"")]
    NoState,
    /// Written by a newer program.
    #[error(
        "this state is written in the format {found:?}, this build reads \"millrace-state/1\"; use the newer build, or have it written by an older one"
    )]
    NewerFormat {
        /// What it begins with.
        found: String,
    },
    /// It is of another state than the one wanted.
    #[error("the stream is of the state with the root {found}, not {wanted}; fetch the one of that header")]
    OtherRoot {
        /// In the stream.
        found: VersionId,
        /// As given.
        wanted: VersionId,
    },
    /// A chunk does not lead to the root, or is not the one that comes next.
    #[error(
        "chunk {chunk} (at byte {offset} of the stream) is wrong: {what}; fetch it again, from somebody else"
    )]
    Chunk {
        /// Which, counted from 0.
        chunk: u64,
        /// Where it begins.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// There is more than a state.
    #[error(
        "there are bytes behind the last chunk, from byte {offset} of the stream on: this is another file"
    )]
    Behind {
        /// Where they begin.
        offset: u64,
    },
    /// The directory has a state already.
    #[error("the directory holds a state already: import into an empty one")]
    NotEmpty,
    /// The directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What was just written cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The disk refused.
    #[error(transparent)]
    Write(#[from] WriteError),
}

struct Counting<'a, T> {
    inner: &'a mut T,
    bytes: u64,
}

impl<W: Write> Counting<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

impl<R: Read> Counting<'_, R> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.bytes += N as u64;
        Ok(bytes)
    }

    fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.inner.by_ref().take(1).read_to_end(&mut Vec::new())? == 0)
    }

    /// So many bytes; no more memory is taken than there are bytes.
    fn take_many(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.inner.by_ref().take(len as u64).read_to_end(&mut bytes)?;
        if read < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.bytes += len as u64;
        Ok(bytes)
    }
}

/// Writes a committed version to `out`, in chunks of about `chunk_bytes`. `progress` is told of each chunk.
///
/// # Errors
/// [`ExportError`].
pub fn export(
    view: &View,
    genesis: VersionId,
    chunk_bytes: usize,
    out: &mut impl Write,
    mut progress: impl FnMut(&Counts),
) -> Result<Counts, ExportError> {
    let (trie, snapshot) = view.trie()?;
    let chunk_bytes = chunk_bytes.min(MAX_CHUNK_BYTES / 2);
    let mut out = Counting { inner: out, bytes: 0 };
    out.put(MAGIC)?;
    out.put(&view.id().0)?;
    out.put(&genesis.0)?;
    out.put(&view.height().to_le_bytes())?;
    out.put(&trie.root())?;
    let mut counts = Counts::default();
    trie.chunks(&snapshot, chunk_bytes, &mut |chunk| {
        out.put(&(chunk.siblings.len() as u16).to_le_bytes())?;
        out.put(chunk.prefix)?;
        for sibling in chunk.siblings {
            out.put(sibling)?;
        }
        out.put(&(chunk.leaves.len() as u32).to_le_bytes())?;
        for (path, value) in chunk.leaves {
            out.put(&path[..])?;
            out.put(&(value.len() as u32).to_le_bytes())?;
            out.put(value)?;
        }
        counts.chunks += 1;
        counts.values += chunk.leaves.len() as u64;
        counts.bytes = out.bytes;
        progress(&counts);
        Ok::<(), ExportError>(())
    })?;
    counts.bytes = out.bytes;
    Ok(counts)
}

/// A part of a trie, as a stream has it.
pub(crate) struct Chunk<'c> {
    pub(crate) prefix: &'c Path,
    /// From the root down.
    pub(crate) siblings: &'c [Node],
    pub(crate) leaves: &'c [(&'c Path, &'c [u8])],
}

/// Reads a stream into an empty directory. Each chunk is verified against `root` before anything of it is written; the rest
/// of the heading that is answered is what the stream says.
///
/// # Errors
/// [`ImportError`].
pub fn import(
    files: Arc<dyn Files>,
    config: Config,
    root: &Root,
    stream: &mut impl Read,
    mut progress: impl FnMut(&Counts),
) -> Result<(Heading, Counts), ImportError> {
    let mut stream = Counting {
        inner: stream,
        bytes: 0,
    };
    let heading = read_heading(&mut stream)?;
    if heading.root != *root {
        return Err(ImportError::OtherRoot {
            found: VersionId(heading.root),
            wanted: VersionId(*root),
        });
    }
    let mut target = Import::begin(files, config)?.ok_or(ImportError::NotEmpty)?;
    let mut counts = Counts::default();
    // The path with which the next chunk has to begin; `None` behind the last.
    let mut next = Some([0; 32]);
    while let Some(expected) = next {
        let offset = stream.bytes;
        let wrong = |what| ImportError::Chunk {
            chunk: counts.chunks,
            offset,
            what,
        };
        let (covered, changes) = read_chunk(&mut stream, root, &wrong)?;
        if !(covered.from..=covered.prefix).contains(&expected) {
            return Err(wrong("it is not the one that comes next"));
        }
        next = covered.next;
        counts.chunks += 1;
        counts.values += changes.len() as u64;
        counts.bytes = stream.bytes;
        target.add(changes)?;
        progress(&counts);
    }
    if !stream.is_at_end()? {
        return Err(ImportError::Behind { offset: counts.bytes });
    }
    let commit = target.finish(&heading)?;
    // Chunks that lead to a root and leave nothing out make up its trie.
    if commit.root != *root {
        return Err(ImportError::OtherRoot {
            found: VersionId(commit.root),
            wanted: VersionId(*root),
        });
    }
    Ok((heading, counts))
}

/// A name with another number is a format to come.
fn no_state(magic: &[u8; 16]) -> ImportError {
    let (name, number) = magic.split_at(MAGIC.len() - 1);
    if name == &MAGIC[..name.len()] && number[0].is_ascii_digit() {
        return ImportError::NewerFormat {
            found: String::from_utf8_lossy(magic).into_owned(),
        };
    }
    ImportError::NoState
}

fn read_heading(stream: &mut Counting<'_, impl Read>) -> Result<Heading, ImportError> {
    let magic = stream.take::<16>()?;
    if magic != *MAGIC {
        return Err(no_state(&magic));
    }
    Ok(Heading {
        id: VersionId(stream.take()?),
        genesis: VersionId(stream.take()?),
        height: u64::from_le_bytes(stream.take()?),
        root: stream.take()?,
    })
}

/// What is known of a chunk's neighbourhood.
struct Covered {
    /// From here up to the prefix there is nothing.
    from: Path,
    prefix: Path,
    /// Behind the chunk there is nothing up to here; `None`: at all.
    next: Option<Path>,
}

impl Covered {
    fn new(prefix: Path, siblings: &[Node]) -> Self {
        let (mut from, mut next) = (prefix, None);
        for (at, sibling) in siblings.iter().enumerate().rev() {
            match (bit(&prefix, at), *sibling == EMPTY) {
                (true, true) => from[at / 8] ^= 0x80 >> (at % 8),
                (true, false) => break,
                (false, _) => {}
            }
        }
        for (at, sibling) in siblings.iter().enumerate().rev() {
            if !bit(&prefix, at) && *sibling != EMPTY {
                let mut path = [0; 32];
                for above in (0..at).filter(|&above| bit(&prefix, above)) {
                    path[above / 8] |= 0x80 >> (above % 8);
                }
                path[at / 8] |= 0x80 >> (at % 8);
                next = Some(path);
                break;
            }
        }
        Self { from, prefix, next }
    }
}

/// The next chunk, verified: where it lies, and what it holds.
fn read_chunk(
    stream: &mut Counting<'_, impl Read>,
    root: &Root,
    wrong: &dyn Fn(&'static str) -> ImportError,
) -> Result<(Covered, Changes), ImportError> {
    let depth = usize::from(u16::from_le_bytes(stream.take()?));
    if depth > 256 {
        return Err(wrong("its depth is above 256"));
    }
    let prefix: Path = stream.take()?;
    if (depth..256).any(|at| bit(&prefix, at)) {
        return Err(wrong("its prefix has bits behind its depth"));
    }
    let siblings = stream.take_many(depth * 32)?;
    let count = u32::from_le_bytes(stream.take()?);
    if count > MAX_LEAVES {
        return Err(wrong("it has more than 2^20 values"));
    }
    let mut leaves: Vec<(Path, Option<Value>)> = Vec::new();
    let mut nodes: Vec<(Path, Node)> = Vec::new();
    let mut bytes = 0;
    for _ in 0..count {
        let path: Path = stream.take()?;
        let len = u32::from_le_bytes(stream.take()?) as usize;
        if len > MAX_VALUE_BYTES {
            return Err(wrong("a value is longer than 2^28 bytes"));
        }
        bytes += len;
        if bytes > MAX_CHUNK_BYTES && count > 1 {
            return Err(wrong("it has several values, of more than 2^26 bytes"));
        }
        let value = stream.take_many(len)?;
        if millrace_proof::path::shared_bits(&path, &prefix) < depth {
            return Err(wrong("a path is not of its prefix"));
        }
        if nodes.last().is_some_and(|(before, _)| *before >= path) {
            return Err(wrong("its paths do not ascend"));
        }
        nodes.push((path, hash_leaf(&path, &hash_value(&value))));
        leaves.push((path, Some(value.into())));
    }
    let mut node = subtree(&nodes, depth);
    let siblings: &[Node] = siblings.as_chunks().0;
    if siblings
        .last()
        .is_some_and(|sibling| risen(&node, sibling).is_some())
    {
        // A leaf could be said to lie beside places where there is none, and to have risen from there.
        return Err(wrong("it lies lower than it can"));
    }
    for (index, sibling) in siblings.iter().enumerate().rev() {
        node = if bit(&prefix, index) {
            join(sibling, &node)
        } else {
            join(&node, sibling)
        };
    }
    if node != *root {
        return Err(wrong("it does not lead to the root"));
    }
    Ok((Covered::new(prefix, siblings), leaves.into_iter().collect()))
}

/// The node of leaves with ascending paths that share `depth` bits.
fn subtree(leaves: &[(Path, Node)], depth: usize) -> Node {
    match leaves {
        [] => EMPTY,
        [(_, leaf)] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.partition_point(|(path, _)| !bit(path, depth)));
            join(&subtree(left, depth + 1), &subtree(right, depth + 1))
        }
    }
}
