//! Transactions: transfer, deploy, call; signed with Ed25519 (ZIP-215 validity rules).

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::hash::domains;
use crate::keys::{PublicKey, SecretKey, SignatureError};
use crate::{Address, Amount, Gas, GasPrice, Hash, codec};

/// What a sender signs.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Transaction {
    /// The chain it is for; a transaction of another chain is invalid.
    pub chain_id: u64,
    /// The sender's Ed25519 public key. Its address is [`Address::of_key`].
    #[cfg_attr(feature = "serde", serde(with = "crate::json::array"))]
    pub public_key: [u8; 32],
    /// How many transactions of this sender came before.
    pub nonce: u64,
    /// The most gas it may use. At least its intrinsic gas, at most the block's limit.
    pub gas_limit: Gas,
    /// Units paid per gas charged; at least the chain's `min_gas_price`.
    pub gas_price: GasPrice,
    /// What it does.
    pub payload: Payload,
}

/// What a transaction does.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
pub enum Payload {
    /// Moves value to an account; never runs code, also if the receiver is a contract.
    Transfer {
        /// The receiver.
        to: Address,
        /// Units moved.
        #[cfg_attr(feature = "serde", serde(with = "crate::json::amount"))]
        value: Amount,
    },
    /// Creates a contract at [`Address::of_deploy`] and runs it once as its own initialiser.
    Deploy {
        /// An ELF file that `docs/spec/machine.md` accepts.
        #[borsh(deserialize_with = "codec::bytes")]
        #[cfg_attr(feature = "serde", serde(with = "crate::json::bytes"))]
        code: Vec<u8>,
        /// Units moved to the new contract.
        #[cfg_attr(feature = "serde", serde(with = "crate::json::amount"))]
        value: Amount,
        /// Input of the initialiser.
        #[borsh(deserialize_with = "codec::bytes")]
        #[cfg_attr(feature = "serde", serde(with = "crate::json::bytes"))]
        input: Vec<u8>,
    },
    /// Runs a contract.
    Call {
        /// The contract.
        to: Address,
        /// Units moved to it before it runs.
        #[cfg_attr(feature = "serde", serde(with = "crate::json::amount"))]
        value: Amount,
        /// Its input.
        #[borsh(deserialize_with = "codec::bytes")]
        #[cfg_attr(feature = "serde", serde(with = "crate::json::bytes"))]
        input: Vec<u8>,
    },
}

impl Payload {
    /// Units that the payload moves if the transaction succeeds.
    #[must_use]
    pub fn value(&self) -> Amount {
        match self {
            Self::Transfer { value, .. } | Self::Deploy { value, .. } | Self::Call { value, .. } => *value,
        }
    }
}

/// A transaction with its sender's signature.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct SignedTransaction {
    /// What was signed.
    pub transaction: Transaction,
    /// Ed25519 over [`Transaction::signing_hash`]'s 32 bytes.
    #[cfg_attr(feature = "serde", serde(with = "crate::json::array"))]
    pub signature: [u8; 64],
}

impl Transaction {
    /// The sender's address.
    #[must_use]
    pub fn sender(&self) -> Address {
        Address::of_key(&self.public_key)
    }

    /// What the sender signs.
    #[must_use]
    pub fn signing_hash(&self) -> Hash {
        codec::hash_of(&domains::TRANSACTION_SIGNING, self)
    }

    /// Makes the owner of `key` the sender and signs.
    #[must_use]
    pub fn sign(mut self, key: &SecretKey) -> SignedTransaction {
        self.public_key = key.public_key().0;
        let signature = key.sign(&self.signing_hash());
        SignedTransaction {
            transaction: self,
            signature,
        }
    }
}

impl SignedTransaction {
    /// The transaction's id: hash of all its bytes, signature included.
    #[must_use]
    pub fn hash(&self) -> Hash {
        codec::hash_of(&domains::TRANSACTION, self)
    }

    /// The sender's address.
    #[must_use]
    pub fn sender(&self) -> Address {
        self.transaction.sender()
    }

    /// Checks the signature by ZIP-215.
    ///
    /// # Errors
    /// If public key or signature do not count.
    pub fn verify(&self) -> Result<(), SignatureError> {
        PublicKey(self.transaction.public_key).verify(&self.transaction.signing_hash(), &self.signature)
    }

    /// Bytes of its encoding, found without encoding it.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        codec::encoded_len(self)
    }
}
