//! Transactions: transfer, deploy, call; signed with Ed25519 (ZIP-215 validity rules).

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{Address, Amount, Gas, GasPrice, Hash};

/// What a sender signs.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Transaction {
    /// The chain it is for; a transaction of another chain is invalid.
    pub chain_id: u64,
    /// The sender's Ed25519 public key. Its address is [`Address::of_key`].
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
pub enum Payload {
    /// Moves value to an account; never runs code, also if the receiver is a contract.
    Transfer {
        /// The receiver.
        to: Address,
        /// Units moved.
        value: Amount,
    },
    /// Creates a contract at [`Address::of_deploy`] and runs it once as its own initialiser.
    Deploy {
        /// An ELF file that `docs/spec/machine.md` accepts.
        code: Vec<u8>,
        /// Units moved to the new contract.
        value: Amount,
        /// Input of the initialiser.
        input: Vec<u8>,
    },
    /// Runs a contract.
    Call {
        /// The contract.
        to: Address,
        /// Units moved to it before it runs.
        value: Amount,
        /// Its input.
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
pub struct SignedTransaction {
    /// What was signed.
    pub transaction: Transaction,
    /// Ed25519 over [`Transaction::signing_hash`]'s 32 bytes.
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
        crate::codec::hash_of(&crate::hash::domains::TRANSACTION_SIGNING, self)
    }
}

impl SignedTransaction {
    /// The transaction's id: hash of all its bytes, signature included.
    #[must_use]
    pub fn hash(&self) -> Hash {
        crate::codec::hash_of(&crate::hash::domains::TRANSACTION, self)
    }

    /// The sender's address.
    #[must_use]
    pub fn sender(&self) -> Address {
        self.transaction.sender()
    }
}
