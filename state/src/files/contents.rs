//! The bytes of a file that is not written any more.

use std::fmt::{self, Debug, Formatter};
use std::fs;
use std::io;
use std::ops::Deref;

use memmap2::Mmap;

/// A sealed file's bytes: mapped, read only, where the operating system can do that, else in memory.
///
/// Mapped bytes take no memory that the system could not take back. What reads them must bear that they differ from what
/// was written, as those of any disk may. An error of the disk under a mapping is a SIGBUS, which ends the process.
pub struct Contents(Kind);

enum Kind {
    Mapped(Mmap),
    Read(Vec<u8>),
}

impl Contents {
    /// Maps a whole file.
    ///
    /// # Errors
    /// The operating system's.
    #[allow(unsafe_code)]
    pub(super) fn map(file: &fs::File) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Vec::new().into());
        }
        // SAFETY: the file lies in a directory that this process alone has (`super::Directory` holds its lock), which
        // writes no sealed file and cuts none. Where somebody else does it all the same, the bytes change under
        // readers, who treat them as hostile: they are plain bytes, parsed with checks each time, and checked by hash.
        let map = unsafe { Mmap::map(file)? };
        // Reads are scattered: what lies next to a node is no better guess than any other.
        #[cfg(unix)]
        map.advise(memmap2::Advice::Random)?;
        Ok(Self(Kind::Mapped(map)))
    }
}

impl From<Vec<u8>> for Contents {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Kind::Read(bytes))
    }
}

impl Deref for Contents {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kind::Mapped(map) => map,
            Kind::Read(bytes) => bytes,
        }
    }
}

impl Debug for Contents {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = match self.0 {
            Kind::Mapped(_) => "mapped",
            Kind::Read(_) => "read",
        };
        write!(f, "Contents({kind}, {} bytes)", self.len())
    }
}
