//! From the entry point to a contract's function: what [`contract`](macro@crate::contract) makes calls of.
//!
//! A frame that initialises a new contract decodes its whole input as `init`'s arguments. Every other frame takes
//! the input's first byte as a selector and the rest as that function's arguments. Functions refuse value that
//! comes with a call unless they are marked `payable`, so that nothing is locked up by mistake.
//!
//! What has no encoding does not compile as an argument:
//!
//! ```compile_fail,E0277
//! #[millrace_contract::contract]
//! mod wallet {
//!     pub struct Secret;
//!
//!     #[init]
//!     fn init(secret: Secret) {}
//! }
//! ```

use alloc::vec::Vec;
use core::mem::MaybeUninit;

use crate::encoding::{Reader, Reply};
use crate::{Revert, host};

/// Inputs up to this length are read without touching the heap, in bytes.
const INLINE_BYTES: usize = 256;

/// The frame's input.
pub struct Input {
    inline: [MaybeUninit<u8>; INLINE_BYTES],
    length: usize,
    heap: Option<Vec<u8>>,
}

impl Input {
    /// Fetches the whole input from the host.
    #[must_use]
    pub fn load() -> Self {
        let length = host::input_len();
        let mut inline = [const { MaybeUninit::uninit() }; INLINE_BYTES];
        if length <= INLINE_BYTES {
            let copied = host::input_read_uninit(&mut inline, 0);
            return Self {
                inline,
                length: copied,
                heap: None,
            };
        }
        let mut heap = Vec::with_capacity(length);
        let copied = host::input_read_uninit(&mut heap.spare_capacity_mut()[..length], 0);
        // SAFETY: the host wrote the first `copied` bytes of the spare capacity, which starts at the vector's start.
        unsafe { heap.set_len(copied) };
        Self {
            inline,
            length: copied,
            heap: Some(heap),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.heap {
            Some(bytes) => bytes,
            // SAFETY: `load` had the host write the first `length` bytes of `inline`, which never change after.
            None => unsafe { self.inline[..self.length].assume_init_ref() },
        }
    }

    /// Takes arguments from it.
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(self.bytes())
    }
}

/// The value, or the end of the frame.
#[inline]
pub fn or_revert<T>(result: Result<T, Revert>) -> T {
    match result {
        Ok(value) => value,
        Err(revert) => revert.end_frame(),
    }
}

/// Ends the frame if value came with the call.
pub fn refuse_value() {
    if host::value() != 0 {
        host::revert(b"this function takes no value");
    }
}

/// Ends the frame with a function's result.
pub fn reply(result: impl Reply) -> ! {
    result.reply()
}
