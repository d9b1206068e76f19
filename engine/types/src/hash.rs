//! BLAKE3 hashes, one domain per use.
//!
//! Every hash is BLAKE3 in keyed mode whose key is the domain's tag: ASCII, padded with zeros to 32 bytes. Two
//! uses therefore never collide, and a hash of one kind can never be passed off as one of another.

use borsh::{BorshDeserialize, BorshSerialize};

/// A 32-byte BLAKE3 hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize, BorshDeserialize)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Thirty-two zero bytes: the root of an empty trie and the parent field of nothing.
    pub const ZERO: Self = Self([0; 32]);
}

impl core::str::FromStr for Hash {
    type Err = crate::hex::HexError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        crate::hex::parse_array(text).map(Self)
    }
}

/// The key of one use of BLAKE3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Domain(pub [u8; 32]);

impl Domain {
    /// The domain named by `tag`, which has at most 32 ASCII bytes.
    ///
    /// # Panics
    /// At compile time, when `tag` is longer.
    #[must_use]
    pub const fn new(tag: &str) -> Self {
        let bytes = tag.as_bytes();
        assert!(bytes.len() <= 32, "a domain tag has at most 32 bytes");
        let mut key = [0; 32];
        let mut i = 0;
        while i < bytes.len() {
            key[i] = bytes[i];
            i += 1;
        }
        Self(key)
    }

    /// Hashes the concatenation of `parts`. The caller makes sure that the parts' lengths are fixed or encoded.
    #[must_use]
    pub fn hash(&self, parts: &[&[u8]]) -> Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(part);
        }
        Hash(*hasher.finalize().as_bytes())
    }
}

/// Every domain in use. A new use gets a new tag; a changed encoding gets a new version suffix.
pub mod domains {
    use super::Domain;

    /// Signed by a transaction's sender: the borsh bytes of the unsigned transaction.
    pub const TRANSACTION_SIGNING: Domain = Domain::new("millrace/tx-signing/1");
    /// A signed transaction's id.
    pub const TRANSACTION: Domain = Domain::new("millrace/tx/1");
    /// A block's id: the borsh bytes of its header.
    pub const BLOCK: Domain = Domain::new("millrace/block/1");
    /// What seals sign: the header with an empty seal.
    pub const PRE_SEAL: Domain = Domain::new("millrace/pre-seal/1");
    /// The list of execution receipts that a block settles.
    pub const SETTLEMENT: Domain = Domain::new("millrace/settlement/1");
    /// A chain spec.
    pub const CHAIN_SPEC: Domain = Domain::new("millrace/chain-spec/1");
    /// An address with a key: the public key.
    pub const KEY_ADDRESS: Domain = Domain::new("millrace/addr-key/1");
    /// A contract deployed by a transaction: sender, nonce.
    pub const DEPLOY_ADDRESS: Domain = Domain::new("millrace/addr-deploy/1");
    /// A contract created by a contract: creator, the creator's creation counter.
    pub const CREATE_ADDRESS: Domain = Domain::new("millrace/addr-create/1");
    /// A contract's code.
    pub const CODE: Domain = Domain::new("millrace/code/1");
    /// State path of an account record.
    pub const PATH_ACCOUNT: Domain = Domain::new("millrace/path-account/1");
    /// State path of a code blob.
    pub const PATH_CODE: Domain = Domain::new("millrace/path-code/1");
    /// State path of a contract's storage slot.
    pub const PATH_STORAGE: Domain = Domain::new("millrace/path-storage/1");
    /// Merkle leaf over transactions.
    pub const TRANSACTION_LEAF: Domain = Domain::new("millrace/leaf-tx/1");
    /// Merkle leaf over transaction receipts.
    pub const RECEIPT_LEAF: Domain = Domain::new("millrace/leaf-receipt/1");
    /// Merkle inner node.
    pub const MERKLE_NODE: Domain = Domain::new("millrace/merkle-node/1");
    /// Merkle root: leaf count and top node.
    pub const MERKLE_ROOT: Domain = Domain::new("millrace/merkle-root/1");
    /// What a certificate of a consensus plugin signs: chain id, consensus id, epoch or view, block hash.
    pub const CERTIFICATE: Domain = Domain::new("millrace/certificate/1");

    /// Every domain above with its constant's name: what tests pin and show to be distinct.
    pub const ALL: &[(&str, Domain)] = &[
        ("TRANSACTION_SIGNING", TRANSACTION_SIGNING),
        ("TRANSACTION", TRANSACTION),
        ("BLOCK", BLOCK),
        ("PRE_SEAL", PRE_SEAL),
        ("SETTLEMENT", SETTLEMENT),
        ("CHAIN_SPEC", CHAIN_SPEC),
        ("KEY_ADDRESS", KEY_ADDRESS),
        ("DEPLOY_ADDRESS", DEPLOY_ADDRESS),
        ("CREATE_ADDRESS", CREATE_ADDRESS),
        ("CODE", CODE),
        ("PATH_ACCOUNT", PATH_ACCOUNT),
        ("PATH_CODE", PATH_CODE),
        ("PATH_STORAGE", PATH_STORAGE),
        ("TRANSACTION_LEAF", TRANSACTION_LEAF),
        ("RECEIPT_LEAF", RECEIPT_LEAF),
        ("MERKLE_NODE", MERKLE_NODE),
        ("MERKLE_ROOT", MERKLE_ROOT),
        ("CERTIFICATE", CERTIFICATE),
    ];
}

impl core::fmt::Display for Hash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        crate::hex::write(f, &self.0)
    }
}

impl core::fmt::Debug for Hash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}
