//! Bytes that are cheap to clone, whoever made them.

use core::fmt;
use core::ops::Deref;
use std::sync::Arc;

use millrace_plugin_abi::Buffer;

/// Immutable bytes, shared by their clones. A block that the host built stays in the host's memory until the last clone
/// is dropped.
#[derive(Clone)]
pub struct Bytes(Arc<Inner>);

enum Inner {
    Ours(Vec<u8>),
    Hosts(HostBuffer),
}

/// A buffer taken from an event; given back when dropped.
struct HostBuffer(Buffer);

// SAFETY: the bytes do not change, and by the ABI a taken buffer may be read and released on any thread.
unsafe impl Send for HostBuffer {}
// SAFETY: as above; nothing is written while it is shared.
unsafe impl Sync for HostBuffer {}

impl Drop for HostBuffer {
    fn drop(&mut self) {
        if let Some(release) = self.0.release {
            // SAFETY: the buffer was taken from an event, so releasing it once, here, is ours.
            unsafe { release(&raw mut self.0) };
        }
    }
}

impl Bytes {
    /// Takes the buffer out of an event; `None` if its pointer and length are impossible.
    ///
    /// # Safety
    /// `buffer` lies in an event that is being delivered, and describes readable bytes.
    pub(crate) unsafe fn take(buffer: &mut Buffer) -> Option<Self> {
        let taken = HostBuffer(*buffer);
        buffer.release = None;
        let lent = millrace_plugin_abi::Bytes {
            data: taken.0.data,
            len: taken.0.len,
        };
        // SAFETY: readable by the caller's promise; only looked at.
        unsafe { lent.as_slice() }?;
        Some(Self(Arc::new(Inner::Hosts(taken))))
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match &*self.0 {
            Inner::Ours(bytes) => bytes,
            Inner::Hosts(buffer) => {
                let lent = millrace_plugin_abi::Bytes {
                    data: buffer.0.data,
                    len: buffer.0.len,
                };
                // SAFETY: the host keeps the bytes readable and unchanged until the buffer is released, which is when
                // `self` and its clones are gone; so for the borrow of `self`.
                unsafe { lent.as_slice() }.unwrap_or_default()
            }
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Inner::Ours(bytes)))
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Bytes {}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
