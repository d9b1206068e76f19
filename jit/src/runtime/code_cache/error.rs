//! Why a code cache cannot be used.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::compiler::CompileError;

/// Why a cache cannot be opened. What happens to its files later is no error: programs are compiled then.
#[derive(Debug, Error)]
pub enum CodeCacheError {
    /// The directory cannot be made, opened or listed.
    #[error("code cache {path}: {source}; name a directory that this user may make and write to", path = path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The key's file cannot be made or read.
    #[error(
        "key of the code cache, {path}: {source}; name a cache whose parent directory this user may write to",
        path = path.display()
    )]
    Key {
        /// The key's file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The key's file holds no key.
    #[error(
        "key of the code cache, {path}: {len} bytes, not 32; remove the file, and a new key is made (what was cached is compiled again)",
        path = path.display()
    )]
    KeyLength {
        /// The key's file.
        path: PathBuf,
        /// Its bytes.
        len: u64,
    },
    /// Somebody else's.
    #[error(
        "{path} belongs to user {owner}, this is user {user}: only a cache of one's own is trusted; name another directory",
        path = path.display()
    )]
    Owner {
        /// The directory, or the key's file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs this.
        user: u32,
    },
    /// Others may get at it.
    #[error(
        "{path} has mode {mode:04o}, so that others may get at it; run `chmod {allowed:o} {path}` if nobody did, or remove it",
        path = path.display()
    )]
    Mode {
        /// The directory, or the key's file.
        path: PathBuf,
        /// The mode that it has.
        mode: u32,
        /// The mode that it must have.
        allowed: u32,
    },
    /// The program's own file cannot be read.
    #[error(
        "code cache: this program's own file cannot be read to tell builds apart: {source}; mount /proc, or go without the cache"
    )]
    Build {
        /// What the system says.
        source: io::Error,
    },
    /// There is no native code on this host.
    #[error("code cache: {0}; go without the cache")]
    Target(#[from] CompileError),
}
