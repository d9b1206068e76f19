//! Account addresses: 32 bytes from hash domains that cannot meet.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::hash::{Hash, domains};

/// An account's address. Key, deploy and create addresses come from distinct hash domains, so an address with a
/// key never gets code (`docs/spec/blocks.md`, admission).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize, BorshDeserialize)]
pub struct Address(pub [u8; 32]);

impl Address {
    /// The address controlled by an Ed25519 public key (32 bytes, as encoded in the transaction).
    #[must_use]
    pub fn of_key(public_key: &[u8; 32]) -> Self {
        Self(domains::KEY_ADDRESS.hash(&[public_key]).0)
    }

    /// The contract that the transaction of `sender` with `nonce` deploys.
    #[must_use]
    pub fn of_deploy(sender: &Self, nonce: u64) -> Self {
        Self(domains::DEPLOY_ADDRESS.hash(&[&sender.0, &nonce.to_le_bytes()]).0)
    }

    /// The contract that the contract `creator` creates when its creation counter is `count`.
    #[must_use]
    pub fn of_create(creator: &Self, count: u64) -> Self {
        Self(
            domains::CREATE_ADDRESS
                .hash(&[&creator.0, &count.to_le_bytes()])
                .0,
        )
    }
}

impl core::str::FromStr for Address {
    type Err = crate::hex::HexError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        crate::hex::parse_array(text).map(Self)
    }
}

impl From<Hash> for Address {
    fn from(hash: Hash) -> Self {
        Self(hash.0)
    }
}

impl core::fmt::Display for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(&Hash(self.0), f)
    }
}

impl core::fmt::Debug for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}
