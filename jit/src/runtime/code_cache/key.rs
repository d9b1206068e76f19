//! The key that files are authenticated with.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::rand::GetRandomFlags;

use super::directory::check_private;
use super::error::CodeCacheError;

const KEY_BYTES: usize = 32;
/// Who may read it: its owner.
const KEY_MODE: u32 = 0o600;

/// The key that a cache's files are authenticated with. Whoever has it can write code that is run; so it lies outside the
/// cache's directory, and goes with no copy of it.
#[derive(Clone)]
pub struct CodeCacheKey([u8; KEY_BYTES]);

impl fmt::Debug for CodeCacheKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CodeCacheKey(..)")
    }
}

impl CodeCacheKey {
    /// A key that is kept elsewhere.
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The key in the file at `path`. If there is no such file, it is made, with a random key that only this user can read.
    ///
    /// # Errors
    /// [`CodeCacheError`], when the file is somebody else's, may be read by others, holds no key, or cannot be made.
    pub fn open(path: &Path) -> Result<Self, CodeCacheError> {
        match Self::read(path) {
            Err(CodeCacheError::Key { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create(path).map_err(|source| CodeCacheError::Key {
                    path: path.to_owned(),
                    source,
                })?;
                Self::read(path)
            }
            other => other,
        }
    }

    fn read(path: &Path) -> Result<Self, CodeCacheError> {
        let failed = |source: io::Error| CodeCacheError::Key {
            path: path.to_owned(),
            source,
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let stat = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
        check_private(path, &stat, KEY_MODE)?;
        let len = u64::try_from(stat.st_size).unwrap_or(0);
        if len != KEY_BYTES as u64 {
            return Err(CodeCacheError::KeyLength {
                path: path.to_owned(),
                len,
            });
        }
        let mut key = [0; KEY_BYTES];
        File::from(file).read_exact(&mut key).map_err(failed)?;
        Ok(Self(key))
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

/// Makes the file, unless another process is faster. It appears whole: nobody ever reads half a key.
fn create(path: &Path) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut key = [0; KEY_BYTES];
    if rustix::rand::getrandom(&mut key, GetRandomFlags::empty())? != KEY_BYTES {
        return Err(io::Error::other(
            "the system gave fewer random bytes than it was asked for",
        ));
    }
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}-{number}", std::process::id()));
    let unfinished = PathBuf::from(name);
    // Left by a process that had our number before us.
    let _ = std::fs::remove_file(&unfinished);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(&unfinished, flags, Mode::RUSR | Mode::WUSR)?);
    let made = file
        .write_all(&key)
        .and_then(|()| file.sync_all())
        .and_then(|()| match std::fs::hard_link(&unfinished, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
    let _ = std::fs::remove_file(&unfinished);
    made
}
