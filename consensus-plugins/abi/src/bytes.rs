//! Bytes across the boundary: borrowed for one call, or owned until released by their maker's function.

use core::ffi::c_void;

/// A 32-byte hash or address.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Hash {
    /// The bytes, in the order in which they are written as hexadecimal.
    pub bytes: [u8; 32],
}

/// Borrowed bytes: valid until the call that they are an argument of returns. Text is UTF-8, not terminated.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// The first byte. May be null when `len` is 0.
    pub data: *const u8,
    /// How many.
    pub len: u64,
}

impl Bytes {
    /// No bytes.
    pub const EMPTY: Self = Self {
        data: core::ptr::null(),
        len: 0,
    };

    /// Lends `bytes`. The value does not carry the borrow: use it only while `bytes` lives.
    #[must_use]
    pub const fn lend(bytes: &[u8]) -> Self {
        Self {
            data: bytes.as_ptr(),
            len: bytes.len() as u64,
        }
    }

    /// The bytes, or `None` if they are impossible: a null pointer with a length, or a length beyond the address
    /// space.
    ///
    /// # Safety
    /// `data` is null or points to `len` readable bytes that nobody writes for the lifetime `'a`, which the caller
    /// keeps within the call that the bytes are an argument of.
    #[must_use]
    pub const unsafe fn as_slice<'a>(self) -> Option<&'a [u8]> {
        if self.len == 0 {
            return Some(&[]);
        }
        if self.data.is_null() || self.len > isize::MAX as u64 {
            return None;
        }
        // SAFETY: not null, readable and unchanging for `'a` by the caller's promise, and not longer than any object.
        Some(unsafe { core::slice::from_raw_parts(self.data, self.len as usize) })
    }
}

/// Owned bytes, as the host hands them to a plugin inside an event.
///
/// After `deliver` returns the host releases what is still in the event. To keep the bytes, copy this struct out of
/// the event and set the event's `release` to null; then call `release(&copy)` exactly once, from any thread. A
/// buffer whose `release` is null owns nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// The first byte. Null when `len` is 0.
    pub data: *const u8,
    /// How many.
    pub len: u64,
    /// The maker's own.
    pub owner: *mut c_void,
    /// The maker's function that frees the bytes and empties the struct.
    pub release: Option<unsafe extern "C" fn(buffer: *mut Buffer)>,
}

impl Buffer {
    /// Owns nothing.
    pub const EMPTY: Self = Self {
        data: core::ptr::null(),
        len: 0,
        owner: core::ptr::null_mut(),
        release: None,
    };
}
