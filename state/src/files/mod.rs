//! What the store asks of a disk: files of one directory, and the two promises that matter, that bytes and that names are
//! there after a power failure.
//!
//! [`Directory`] is the real one, [`MemoryFiles`] what stores that are not kept use. Tests put a simulated one in their
//! place, which keeps, drops, tears and reorders whatever nobody promised.

mod contents;
mod directory;
mod memory;
#[cfg(test)]
pub(crate) mod simulated;

use std::fmt::Debug;
use std::io;

pub use contents::Contents;
pub use directory::Directory;
pub use memory::MemoryFiles;

/// One directory, with plain files in it and nothing else.
///
/// A created or removed name is durable after [`Self::sync`], a file's bytes and length after [`File::sync`]. Before that
/// a power failure may leave any part of them, in any order.
pub trait Files: Debug + Send + Sync {
    /// Names of the files, in ascending order.
    ///
    /// # Errors
    /// The operating system's.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates an empty file.
    ///
    /// # Errors
    /// The operating system's; if the name is taken.
    fn create(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Opens a file to read and write.
    ///
    /// # Errors
    /// The operating system's; if there is none.
    fn open(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Removes a file.
    ///
    /// # Errors
    /// The operating system's.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes durable which names there are.
    ///
    /// # Errors
    /// The operating system's. What is durable then is not known.
    fn sync(&self) -> io::Result<()>;
}

/// A file.
#[allow(clippy::len_without_is_empty, reason = "it is a file, no collection")]
pub trait File: Debug + Send + Sync {
    /// Length in bytes.
    ///
    /// # Errors
    /// The operating system's.
    fn len(&self) -> io::Result<u64>;

    /// Fills `bytes` from an offset on.
    ///
    /// # Errors
    /// The operating system's; [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at an offset, beyond the end too.
    ///
    /// # Errors
    /// The operating system's. Part of the bytes may have been written then.
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file off, or lengthens it by zeros.
    ///
    /// # Errors
    /// The operating system's.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// All bytes, of a file that is not written any more. They stay good when the file is removed.
    ///
    /// # Errors
    /// The operating system's.
    fn contents(&self) -> io::Result<Contents> {
        let len = usize::try_from(self.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        self.read(&mut bytes, 0)?;
        Ok(bytes.into())
    }

    /// Makes bytes and length durable.
    ///
    /// # Errors
    /// The operating system's. What is durable then is not known, and will not be known by trying again: an operating
    /// system may have dropped what it could not write and say so only once (Rebello and others, *Can Applications Recover
    /// from fsync Failures?*, ATC 2020).
    fn sync(&self) -> io::Result<()>;
}
