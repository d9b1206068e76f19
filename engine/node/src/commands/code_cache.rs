//! `--code-cache`, for every command that executes programs.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use millrace_jit::{CodeCache, CodeCacheKey};

use super::profile::TierName;
use crate::failure::Failure;

/// Name of a chain's own cache in its data directory.
pub const DIRECTORY_NAME: &str = "code-cache";
/// Most MiB of files, when nobody says.
pub const DEFAULT_MIB: u64 = 1024;

/// The option.
#[derive(Args, Clone, Debug)]
pub struct CodeCacheArgs {
    /// Keeps native code in this directory and takes it from there; it must be this user's alone (mode 0700), and is made
    /// if it is missing. Its key is made beside it, in DIR.key.
    #[arg(long, value_name = "DIR")]
    pub code_cache: Option<PathBuf>,
}

/// A cache to be opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CodeCachePlan {
    /// Where it is.
    pub directory: PathBuf,
    /// Most MiB of files.
    pub mib: u64,
}

impl CodeCachePlan {
    /// The cache in `given`, or in `default` when nobody names one and there will be native code.
    ///
    /// # Errors
    /// When one is named and native code is ruled out.
    pub fn choose(
        given: Option<PathBuf>,
        default: Option<PathBuf>,
        tier: TierName,
    ) -> Result<Option<Self>, Failure> {
        let has_code = tier != TierName::Interpreter;
        if given.is_some() && !has_code {
            return Err(Failure::new(
                "--code-cache keeps native code, and the interpreter has none; choose tier jit or auto, or leave it",
            ));
        }
        let directory = given.or(default.filter(|_| has_code));
        Ok(directory.map(|directory| Self {
            directory,
            mib: DEFAULT_MIB,
        }))
    }

    /// Opens it.
    ///
    /// # Errors
    /// When directory or key cannot be used; the message says what to do.
    pub fn open(&self) -> Result<Arc<CodeCache>, Failure> {
        let failed = |error: millrace_jit::CodeCacheError| Failure::new(error.to_string());
        let key = CodeCacheKey::open(&key_file(&self.directory)?).map_err(failed)?;
        CodeCache::open(&self.directory, key, self.mib.saturating_mul(1 << 20))
            .map(Arc::new)
            .map_err(failed)
    }
}

impl CodeCachePlan {
    /// Looks whether [`Self::open`] would open it. Makes no key, and drops nothing.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn inspect(&self) -> Result<(), Failure> {
        let failed = |error: millrace_jit::CodeCacheError| Failure::new(error.to_string());
        let key_file = key_file(&self.directory)?;
        let key = match std::fs::symlink_metadata(&key_file) {
            // Nothing is read with it: the directory alone is looked at.
            Err(error) if error.kind() == ErrorKind::NotFound => CodeCacheKey::from_bytes([0; 32]),
            _ => CodeCacheKey::open(&key_file).map_err(failed)?,
        };
        CodeCache::open(&self.directory, key, u64::MAX)
            .map(drop)
            .map_err(failed)
    }
}

/// Beside the directory and not in it: who copies the directory elsewhere does not copy the right to write to it.
fn key_file(directory: &Path) -> Result<PathBuf, Failure> {
    let Some(name) = directory.file_name() else {
        let directory = directory.display();
        return Err(Failure::new(format!(
            "code cache {directory}: its key lies beside it, so that it needs a name; name a directory like ./code-cache"
        )));
    };
    let mut name = name.to_owned();
    name.push(".key");
    Ok(directory.with_file_name(name))
}
