//! Canonical bytes: borsh, bounded on the way in.

use borsh::BorshSerialize;

use crate::Hash;
use crate::hash::Domain;

/// Hashes a value's canonical bytes without collecting them.
#[must_use]
pub fn hash_of<T: BorshSerialize + ?Sized>(domain: &Domain, value: &T) -> Hash {
    struct Sink(blake3::Hasher);
    impl borsh::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> borsh::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> borsh::io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Sink(blake3::Hasher::new_keyed(&domain.0));
    value.serialize(&mut sink).expect("a hasher takes every byte");
    Hash(*sink.0.finalize().as_bytes())
}
