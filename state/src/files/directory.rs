//! A directory of the operating system.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{Contents, File, Files};

/// Name of the file that a process holds locked while it has the directory.
const LOCK: &str = "LOCK";

/// A directory that no other process has.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Opened to be synced.
    itself: fs::File,
    /// The lock goes with it. `None`: there is no such file, and none was to be made.
    _lock: Option<fs::File>,
}

impl Directory {
    /// Takes a directory, which is created if it is missing.
    ///
    /// # Errors
    /// The operating system's; [`io::ErrorKind::WouldBlock`] if another process has it.
    pub fn open(path: &Path) -> io::Result<Self> {
        if !path.is_dir() {
            create(path)?;
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))?;
        Self::locked_by(path, Some(lock))
    }

    /// Takes a directory to look at it: makes neither it nor the file that is locked. Where that is missing, nobody has the
    /// directory yet, and whoever comes meanwhile is not kept out.
    ///
    /// # Errors
    /// As [`Self::open`]; [`io::ErrorKind::NotFound`] if there is no such directory.
    pub fn look_at(path: &Path) -> io::Result<Self> {
        match fs::File::open(path.join(LOCK)) {
            Ok(lock) => Self::locked_by(path, Some(lock)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::locked_by(path, None),
            Err(error) => Err(error),
        }
    }

    fn locked_by(path: &Path, lock: Option<fs::File>) -> io::Result<Self> {
        let locked = lock.as_ref().map_or(Ok(()), fs::File::try_lock);
        locked.map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::WouldBlock,
                format!(
                    "{} is in use by another process; stop it, or give another directory",
                    path.display()
                ),
            ),
            fs::TryLockError::Error(error) => error,
        })?;
        Ok(Self {
            path: path.to_owned(),
            itself: fs::File::open(path)?,
            _lock: lock,
        })
    }
}

/// Creates a directory, and those above it that are missing. The name of each is durable when the directory above it is.
fn create(path: &Path) -> io::Result<()> {
    let above = match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        Some(_) => Path::new("."),
        None => return Ok(()),
    };
    if !above.is_dir() {
        create(above)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        created => created?,
    }
    fs::File::open(above)?.sync_all()
}

impl Files for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            // Names that are no text are none of ours.
            if let Ok(name) = entry.file_name().into_string()
                && name != LOCK
                && entry.file_type()?.is_file()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.path.join(name))?;
        Ok(Box::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path.join(name))?;
        Ok(Box::new(file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.itself.sync_all()
    }
}

impl File for fs::File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        fs::File::set_len(self, len)
    }

    fn contents(&self) -> io::Result<Contents> {
        Contents::map(self)
    }

    fn sync(&self) -> io::Result<()> {
        // The length is data: fdatasync writes what is needed to read the bytes again.
        self.sync_data()
    }
}
