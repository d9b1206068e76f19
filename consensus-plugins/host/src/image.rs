//! A plugin's file, read once into sealed memory: what is checked is what is mapped.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, SealFlags};

use crate::error::{LoadError, MAX_FILE_BYTES};

/// A sealed copy of a file: nobody, this process included, can change it any more.
pub struct Image {
    memory: File,
    bytes: Vec<u8>,
}

impl Image {
    /// Opens `path` once and copies it.
    pub fn of(path: &Path) -> Result<Self, LoadError> {
        let mut file = open(path)?;
        let seal = |source: io::Error| LoadError::Seal {
            path: path.to_owned(),
            source,
        };
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut memory =
            File::from(rustix::fs::memfd_create("millrace-plugin", flags).map_err(|e| seal(e.into()))?);
        let copied = io::copy(&mut (&mut file).take(MAX_FILE_BYTES + 1), &mut memory).map_err(|source| {
            LoadError::Read {
                path: path.to_owned(),
                source,
            }
        })?;
        if copied > MAX_FILE_BYTES {
            return Err(too_large(path));
        }
        let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&memory, seals).map_err(|e| seal(e.into()))?;
        let mut bytes = Vec::with_capacity(usize::try_from(copied).unwrap_or(0));
        memory
            .seek(SeekFrom::Start(0))
            .and_then(|_| memory.read_to_end(&mut bytes))
            .map_err(seal)?;
        Ok(Self { memory, bytes })
    }

    /// The sealed bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A path that opens the sealed copy for as long as the process lives. The descriptor is never closed: the system's
    /// loader tells libraries apart by name, and the name holds the descriptor's number, so a number that came back for
    /// another plugin would yield the first one.
    pub fn into_path(self) -> PathBuf {
        let path = PathBuf::from(format!("/proc/self/fd/{}", self.memory.as_raw_fd()));
        let _kept_open = self.memory.into_raw_fd();
        path
    }
}

fn open(path: &Path) -> Result<File, LoadError> {
    let read = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(read)?;
    let metadata = file.metadata().map_err(read)?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() {
            "it is a folder"
        } else {
            "it is not a regular file"
        };
        return Err(LoadError::NotAFile {
            path: path.to_owned(),
            what: what.to_owned(),
        });
    }
    if metadata.len() > MAX_FILE_BYTES {
        Err(too_large(path))
    } else {
        Ok(file)
    }
}

fn too_large(path: &Path) -> LoadError {
    let what = format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20);
    LoadError::NotAFile {
        path: path.to_owned(),
        what,
    }
}
