//! What the authenticated state holds: typed records and the 32-byte paths they lie under.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::hash::domains;
use crate::{Address, Amount, Hash};

/// A path in the state trie.
pub type Path = [u8; 32];

/// An account record. An account with nonce 0, no balance and no code is not stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Account {
    /// Transactions sent, or for a contract, contracts created.
    pub nonce: u64,
    /// Units held.
    #[cfg_attr(feature = "serde", serde(with = "crate::json::amount"))]
    pub balance: Amount,
    /// Hash of the code ([`code_hash`]); `None` without code.
    pub code_hash: Option<Hash>,
}

/// The hash that names a code blob.
#[must_use]
pub fn code_hash(code: &[u8]) -> Hash {
    domains::CODE.hash(&[code])
}

/// Path of an account record, whose value is the borsh bytes of [`Account`].
#[must_use]
pub fn account_path(address: &Address) -> Path {
    domains::PATH_ACCOUNT.hash(&[&address.0]).0
}

/// Path of a code blob, whose value is the ELF file itself.
#[must_use]
pub fn code_path(code_hash: &Hash) -> Path {
    domains::PATH_CODE.hash(&[&code_hash.0]).0
}

/// Path of a storage slot, whose value is the bytes that the contract stored.
#[must_use]
pub fn storage_path(contract: &Address, key: &[u8]) -> Path {
    domains::PATH_STORAGE.hash(&[&contract.0, key]).0
}
