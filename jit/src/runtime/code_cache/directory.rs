//! The cache's directory and its files, from the system's side.
//!
//! The directory is opened once and checked; files are reached from there, by names that are hashes. None is ever
//! followed elsewhere, and none is changed in place: a file is written under a name of its own and then renamed, so that
//! whoever reads sees all of it or the one before, in this process and others.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use super::error::CodeCacheError;

/// Who may get at the directory: its owner.
const DIRECTORY_MODE: u32 = 0o700;
/// Characters of a file's name: a hash in hex.
const NAME_LEN: usize = 64;
/// What the names of files that are being written begin with.
const UNFINISHED: &[u8] = b"new-";

/// The directory.
#[derive(Debug)]
pub(super) struct Directory(OwnedFd);

/// A file of the cache.
pub(super) struct Kept {
    /// Since when it was not used: seconds, nanoseconds.
    used: (i64, i64),
    name: OsString,
    pub(super) bytes: u64,
}

impl Directory {
    /// Opens it; makes it first if it is missing, but not what it lies in.
    pub(super) fn open(path: &Path) -> Result<Self, CodeCacheError> {
        let failed = |source: io::Error| CodeCacheError::Directory {
            path: path.to_owned(),
            source,
        };
        match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let stat = rustix::fs::fstat(&directory).map_err(|error| failed(error.into()))?;
        check_private(path, &stat, DIRECTORY_MODE)?;
        Ok(Self(directory))
    }

    /// The file with that name and its length, if there is one of ours.
    pub(super) fn read(&self, name: &OsStr) -> Option<(File, u64)> {
        // What is no file must not keep anybody waiting, which opening a pipe would.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, name, flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&file).ok()?;
        let is_ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_uid == rustix::process::geteuid().as_raw();
        let len = u64::try_from(stat.st_size).ok()?;
        is_ours.then(|| (File::from(file), len))
    }

    /// Notes that a file was used, as far as that can be noted.
    pub(super) fn touch(file: &File) {
        let time = |nanoseconds| Timespec {
            tv_sec: 0,
            tv_nsec: nanoseconds,
        };
        let times = Timestamps {
            last_access: time(UTIME_OMIT),
            last_modification: time(UTIME_NOW),
        };
        // Without it the file is dropped earlier than others, and no more.
        let _ = rustix::fs::futimens(file, &times);
    }

    /// Puts a file of these parts in place of whatever has that name. It is not forced to the disk: what a crash leaves
    /// of it is not authentic.
    pub(super) fn write(&self, name: &OsStr, parts: &[&[u8]]) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let unfinished = format!("new-{}-{number}", std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || rustix::fs::openat(&self.0, &*unfinished, flags, Mode::RUSR | Mode::WUSR);
        let file = create().or_else(|error| {
            // Left by a process that had our number before us.
            let _ = rustix::fs::unlinkat(&self.0, &*unfinished, AtFlags::empty());
            create().map_err(|_| error)
        })?;
        let mut file = File::from(file);
        let written = parts.iter().try_for_each(|part| file.write_all(part));
        drop(file);
        let renamed = written.and_then(|()| Ok(rustix::fs::renameat(&self.0, &*unfinished, &self.0, name)?));
        if renamed.is_err() {
            let _ = rustix::fs::unlinkat(&self.0, &*unfinished, AtFlags::empty());
        }
        renamed
    }

    /// What is kept, and what was never finished, in no order. Anything else in the directory is nobody's business.
    pub(super) fn list(&self) -> io::Result<Vec<Kept>> {
        let mut kept = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            let is_name = name.len() == NAME_LEN && name.iter().all(u8::is_ascii_hexdigit);
            if !is_name && !name.starts_with(UNFINISHED) {
                continue;
            }
            // Somebody else may have dropped it since.
            let Ok(stat) = rustix::fs::statat(&self.0, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                kept.push(Kept {
                    used: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
                    name: OsStr::from_bytes(name).to_owned(),
                    bytes: u64::try_from(stat.st_size).unwrap_or(0),
                });
            }
        }
        Ok(kept)
    }

    /// Removes files until those left take at most `most` bytes, the ones first that were not used for longest. Gives what
    /// the rest takes, and how many went.
    pub(super) fn shrink(&self, most: u64) -> io::Result<(u64, u64)> {
        let mut kept = self.list()?;
        kept.sort_unstable_by(|a, b| (a.used, &a.name).cmp(&(b.used, &b.name)));
        let mut bytes: u64 = kept.iter().map(|file| file.bytes).sum();
        let mut gone = 0;
        for file in kept {
            if bytes <= most {
                break;
            }
            match rustix::fs::unlinkat(&self.0, &*file.name, AtFlags::empty()) {
                Ok(()) => gone += 1,
                Err(rustix::io::Errno::NOENT) => {}
                Err(_) => continue,
            }
            bytes -= file.bytes;
        }
        Ok((bytes, gone))
    }
}

/// Whether it is this user's and has that mode.
pub(super) fn check_private(path: &Path, stat: &Stat, allowed: u32) -> Result<(), CodeCacheError> {
    let user = rustix::process::geteuid().as_raw();
    if stat.st_uid != user {
        return Err(CodeCacheError::Owner {
            path: path.to_owned(),
            owner: stat.st_uid,
            user,
        });
    }
    let mode = stat.st_mode & 0o7777;
    // Less than allowed is the owner's decision; set-group-id is what directories inherit.
    if mode & !(allowed | 0o2000) != 0 {
        return Err(CodeCacheError::Mode {
            path: path.to_owned(),
            mode,
            allowed,
        });
    }
    Ok(())
}
