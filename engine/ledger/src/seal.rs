//! Damage is found where it is read: every large value ends with a checksum, and no panic of the database escapes.
//!
//! The database checks its own pages only after an unclean stop; a byte that rots later would come back as data.

use millrace_types::Hash;
use millrace_types::hash::Domain;

use crate::LedgerError;
use crate::contain::contained;

const CHECKSUM: Domain = Domain::new("millrace/ledger-record/1");
const CHECKSUM_BYTES: usize = 16;

fn checksum(table: &str, key: &Hash, bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let length = (table.len() as u64).to_le_bytes();
    let hash = CHECKSUM.hash(&[&length, table.as_bytes(), &key.0, bytes]);
    let (head, _) = hash
        .0
        .split_first_chunk()
        .expect("a hash is longer than a checksum");
    *head
}

/// `bytes` with the checksum that binds them to their table and key.
pub(crate) fn seal(table: &str, key: &Hash, mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = checksum(table, key, &bytes);
    bytes.extend_from_slice(&sum);
    bytes
}

/// The bytes that were sealed; `None` if anything changed.
pub(crate) fn open<'a>(table: &str, key: &Hash, sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (bytes, sum) = sealed.split_last_chunk::<CHECKSUM_BYTES>()?;
    (checksum(table, key, bytes) == *sum).then_some(bytes)
}

/// Runs a database operation. The database panics on some damaged pages; that becomes an error like all damage.
pub(crate) fn guarded<T>(operation: impl FnOnce() -> Result<T, LedgerError>) -> Result<T, LedgerError> {
    contained(operation).unwrap_or_else(|reason| {
        Err(LedgerError::Corrupt {
            record: "database page",
            key: "unknown".to_owned(),
            reason,
        })
    })
}
