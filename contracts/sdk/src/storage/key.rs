//! Keys of entries, put together.

use crate::encoding::Fixed;

/// The longest key of a [`Map`](super::Map) entry, prefix included, in bytes.
pub const MAX_MAP_KEY_BYTES: usize = 128;

/// A key of a [`Map`](super::Map): a fixed-size value, or two, three or four of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no key of a map",
    label = "not a value of fixed length, or a tuple of two to four"
)]
pub trait MapKey {
    /// Bytes of the key's encoding.
    const LENGTH: usize;

    /// Appends the key's encoding.
    fn append_to(&self, key: &mut KeyBytes);
}

impl<K: Fixed> MapKey for K {
    const LENGTH: usize = <K as Fixed>::LENGTH;

    fn append_to(&self, key: &mut KeyBytes) {
        key.append(self.to_bytes().as_ref());
    }
}

macro_rules! tuples {
    ($(($($part:ident $index:tt),*))*) => {$(
        impl<$($part: Fixed),*> MapKey for ($($part,)*) {
            const LENGTH: usize = 0 $(+ <$part as Fixed>::LENGTH)*;

            fn append_to(&self, key: &mut KeyBytes) {
                $(key.append(self.$index.to_bytes().as_ref());)*
            }
        }
    )*};
}

tuples! {
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
}

/// A key under construction.
pub struct KeyBytes {
    bytes: [u8; MAX_MAP_KEY_BYTES],
    length: usize,
}

impl KeyBytes {
    pub(super) const fn new() -> Self {
        Self {
            bytes: [0; MAX_MAP_KEY_BYTES],
            length: 0,
        }
    }

    /// Appends `part`.
    ///
    /// # Panics
    /// If the key gets longer than [`MAX_MAP_KEY_BYTES`].
    pub fn append(&mut self, part: &[u8]) {
        let end = self.length + part.len();
        self.bytes[self.length..end].copy_from_slice(part);
        self.length = end;
    }

    /// The key so far.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
