//! Native code on disk, so that a program that was compiled once is not compiled again after a restart.
//!
//! ```text
//!                     Program::compile, tiers
//!                        │ recall        ▲ Batch          │ keep, after a compilation
//!                        ▼               │                ▼
//!   name: build, target, program, part ─ load ◀─ file ◀─ store
//! ```
//!
//! Reading order: [`name`](self::name) (what a file is named by), [`format`](self::format) (what it holds), `directory`
//! (the system's side), [`key`](self::key) (what files are authenticated with), [`attachment`](self::attachment) (what
//! of a program is kept, and when).
//!
//! Invariants:
//! - nothing of a file is used before all of it has been authenticated, in memory that no file is mapped to;
//! - code is executed only if this build would have made it from this program on this host;
//! - no result depends on what is kept: a file that is missing, damaged or cannot be written means compiling;
//! - memory taken for a file is bounded by the program's text, and what is on disk by the capacity.

mod attachment;
mod directory;
mod error;
mod format;
mod key;
mod name;

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use memmap2::MmapOptions;

use crate::compiler::{CompileError, CompileOptions};
use crate::image::Program;
use crate::runtime::native::{Batch, CodeMemory};
pub(crate) use attachment::Attachment;
use directory::Directory;
pub use error::CodeCacheError;
use format::{HEADER_BYTES, Tables};
pub use key::CodeCacheKey;
use name::{Digest, Part};

/// Most bytes of a file for each byte of its program's text; code takes about seven, and places as much again. What is
/// larger is neither stored nor read.
const MOST_BYTES_PER_TEXT_BYTE: u64 = 128;
/// The same for text that is very short.
const MOST_BYTES_OF_NO_TEXT: u64 = 64 << 10;

/// After so many files of our own the directory is looked at again: other processes may write to it too.
const STORES_BETWEEN_LOOKS: u64 = 64;

/// Native code on disk. Shared by threads; processes may share a directory.
#[derive(Debug)]
pub struct CodeCache {
    directory: Directory,
    key: CodeCacheKey,
    build: Digest,
    capacity_bytes: u64,
    /// What files take, as far as is known here.
    bytes: AtomicU64,
    /// Digests of the targets asked for so far; there is one, but in tests.
    targets: Mutex<Vec<(CompileOptions, Digest)>>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    rejected: AtomicU64,
    stored: AtomicU64,
    failed: AtomicU64,
    evicted: AtomicU64,
}

/// What a cache has done since it was opened, in files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct CodeCacheStatistics {
    /// Found, and their code taken.
    pub hits: u64,
    /// Not there.
    pub misses: u64,
    /// There, and not authentic: damaged, cut off, another key's, no files.
    pub rejected: u64,
    /// Written.
    pub stored: u64,
    /// Not written: no room, no permission.
    pub failed: u64,
    /// Removed because the capacity was exceeded.
    pub evicted: u64,
}

impl CodeCache {
    /// Opens the cache in `directory`, which is made if it is missing, for at most `capacity_bytes` of files. The directory
    /// must be this user's, with mode 0700. The key must not lie in it.
    ///
    /// # Errors
    /// [`CodeCacheError`], which says what to do.
    pub fn open(directory: &Path, key: CodeCacheKey, capacity_bytes: u64) -> Result<Self, CodeCacheError> {
        let cache = Self {
            directory: Directory::open(directory)?,
            key,
            build: name::build()?,
            capacity_bytes,
            bytes: AtomicU64::new(0),
            targets: Mutex::default(),
            counts: Counts::default(),
        };
        cache.target(&CompileOptions::for_this_process())?;
        cache.shrink().map_err(|source| CodeCacheError::Directory {
            path: directory.to_owned(),
            source,
        })?;
        Ok(cache)
    }

    /// What it has done so far.
    #[must_use]
    pub fn statistics(&self) -> CodeCacheStatistics {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CodeCacheStatistics {
            hits: count(&self.counts.hits),
            misses: count(&self.counts.misses),
            rejected: count(&self.counts.rejected),
            stored: count(&self.counts.stored),
            failed: count(&self.counts.failed),
            evicted: count(&self.counts.evicted),
        }
    }

    /// The name of a part of a program.
    fn name(&self, identity: &Digest, options: &CompileOptions, part: Part) -> Result<Digest, CompileError> {
        let target = self.target(options)?;
        Ok(name::name(&self.build, &target, identity, part))
    }

    fn target(&self, options: &CompileOptions) -> Result<Digest, CompileError> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, digest)) = targets.iter().find(|(known, _)| known == options) {
            return Ok(*digest);
        }
        let digest = name::target(options)?;
        targets.push((options.clone(), digest));
        Ok(digest)
    }

    /// The batch of `program` in the file with that name, if there is one and it is authentic.
    fn load(&self, name: &Digest, program: &Program) -> Option<Batch> {
        let Some((file, len)) = self.directory.read(&file_name(name)) else {
            // What is there and cannot be opened, such as a link, counts as missing too: it is replaced.
            count(&self.counts.misses);
            return None;
        };
        let batch = self.read(&file, len, name, program);
        match &batch {
            Some(_) => {
                Directory::touch(&file);
                count(&self.counts.hits);
            }
            None => count(&self.counts.rejected),
        }
        batch
    }

    fn read(&self, mut file: &std::fs::File, len: u64, name: &Digest, program: &Program) -> Option<Batch> {
        if len > most_bytes(program) {
            return None;
        }
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header).ok()?;
        let parts = format::parts(&header, name, len)?;
        let mut tables = Vec::with_capacity(parts.tables as usize);
        let mut limited = file.take(u64::from(parts.tables));
        if limited.read_to_end(&mut tables).ok()? != parts.tables as usize {
            return None;
        }
        // All of it will be written to at once: one call is cheaper than a fault for each page.
        let mut code = MmapOptions::new()
            .len(parts.code as usize)
            .populate()
            .map_anon()
            .ok()?;
        file.read_exact(&mut code).ok()?;
        if !format::is_authentic(self.key.bytes(), &header, &tables, &code) {
            return None;
        }
        let (start, text) = program.text();
        let Tables { functions, traps } =
            format::decode_tables(&tables, parts.code, (start, text.len() as u32))?;
        Some(Batch::new(CodeMemory::new(code).ok()?, traps, functions, true))
    }

    /// Keeps a batch under that name, in place of what was there. Gives whether that was possible.
    fn store(&self, name: &Digest, batch: &Batch, program: &Program) -> bool {
        if !batch.is_position_independent() {
            return false;
        }
        let Some(head) = format::encode(self.key.bytes(), name, batch) else {
            return false;
        };
        let bytes = (head.len() + batch.bytes().len()) as u64;
        if bytes > most_bytes(program).min(self.capacity_bytes) {
            return false;
        }
        let written = self.directory.write(&file_name(name), &[&head, batch.bytes()]);
        if written.is_err() {
            count(&self.counts.failed);
            return false;
        }
        let stored = self.counts.stored.fetch_add(1, Ordering::Relaxed) + 1;
        let all = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if all > self.capacity_bytes || stored.is_multiple_of(STORES_BETWEEN_LOOKS) {
            // A directory that cannot be listed any more is as good as one that cannot be written to.
            if self.shrink().is_err() {
                count(&self.counts.failed);
            }
        }
        true
    }

    /// Looks at what is there. If that is more than the capacity, an eighth of it becomes free.
    fn shrink(&self) -> io::Result<()> {
        let mut bytes = self.directory.list()?.iter().map(|file| file.bytes).sum();
        if bytes > self.capacity_bytes {
            let gone;
            (bytes, gone) = self
                .directory
                .shrink(self.capacity_bytes - self.capacity_bytes / 8)?;
            self.counts.evicted.fetch_add(gone, Ordering::Relaxed);
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }
}

fn count(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn file_name(name: &Digest) -> OsString {
    blake3::Hash::from_bytes(*name).to_hex().as_str().into()
}

/// Most bytes of a file of this program.
fn most_bytes(program: &Program) -> u64 {
    MOST_BYTES_OF_NO_TEXT + u64::from(program.text_len()) * MOST_BYTES_PER_TEXT_BYTE
}

#[cfg(test)]
mod tests;
