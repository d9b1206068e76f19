//! Values and their proofs. What comes out was proven; what was not proven does not come out.

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};
use millrace_proof::{Proof, ProofError, verify_value};
use millrace_types::merkle::{InclusionError, InclusionProof, verify_receipt, verify_transaction};
use millrace_types::state::{Account, account_path, code_hash, storage_path};
use millrace_types::{Address, Hash, Height, Log, TransactionReceipt, codec};

use crate::client::LightClient;
use crate::settle::{Provenance, RootError};

/// An account record, or that there is none.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct AccountAnswer {
    /// The record.
    pub account: Option<Account>,
    /// Of the account's path.
    pub proof: Proof,
}

/// What a contract's storage holds under a key, or that it holds nothing.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct StorageAnswer {
    /// The value.
    pub value: Option<Bytes>,
    /// Of the slot's path.
    pub proof: Proof,
}

/// A contract's code, or that there is none.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct CodeAnswer {
    /// The ELF file. It needs no proof beside the account's: the record names its hash.
    pub code: Option<Bytes>,
    /// The account record.
    pub account: AccountAnswer,
}

/// That a transaction is in a block.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct InclusionAnswer {
    /// Under the header's transactions root.
    pub proof: InclusionProof,
}

/// How a transaction ended.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct ReceiptAnswer {
    /// The transaction's receipt.
    pub receipt: TransactionReceipt,
    /// Under the execution receipt's root.
    pub proof: InclusionProof,
}

/// A byte string of an answer.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Bytes(#[borsh(deserialize_with = "codec::bytes")] pub Vec<u8>);

/// A value that was proven.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verified<T> {
    /// The value.
    pub value: T,
    /// After which block it holds, and who says so.
    pub provenance: Provenance,
}

/// Why an answer proves nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VerifyError {
    /// No root to hold the answer against.
    #[error(transparent)]
    Root(#[from] RootError),
    /// A state proof that does not hold.
    #[error("state proof: {0}")]
    State(#[from] ProofError),
    /// An inclusion proof that does not hold.
    #[error("inclusion proof: {0}")]
    Inclusion(#[from] InclusionError),
    /// Code that is not the account's.
    #[error("the code's hash is {found:?}, the account's {expected:?}")]
    Code {
        /// Hash of the code given, if any was.
        found: Option<Hash>,
        /// The account's code hash.
        expected: Option<Hash>,
    },
    /// The header of the block is not kept.
    #[error("height {height} is not kept: {oldest} ..= {newest} are")]
    NotKept {
        /// The height.
        height: Height,
        /// The oldest kept.
        oldest: Height,
        /// The newest kept.
        newest: Height,
    },
    /// A receipt of another transaction than the one asked about.
    #[error("the receipt is of transaction {found}, asked was {asked}")]
    OtherTransaction {
        /// The receipt's transaction.
        found: Hash,
        /// The transaction asked about.
        asked: Hash,
    },
    /// A place that the transaction's logs do not have.
    #[error("log {index} of a transaction with {count}")]
    NoSuchLog {
        /// The place.
        index: u32,
        /// The transaction's logs.
        count: usize,
    },
}

impl LightClient {
    /// The account record at `address` after `height`, or that there is none: no balance, no nonce, no code.
    ///
    /// # Errors
    /// If the height has no proven root or the proof does not hold.
    pub fn verify_account(
        &self,
        height: Height,
        address: &Address,
        answer: AccountAnswer,
    ) -> Result<Verified<Option<Account>>, VerifyError> {
        let (root, provenance) = self.state_root(height)?;
        let record = answer.account.as_ref().map(codec::encode);
        verify_value(&root.0, &account_path(address), record.as_deref(), &answer.proof)?;
        Ok(Verified {
            value: answer.account,
            provenance,
        })
    }

    /// What `contract` stores under `key` after `height`, or that it stores nothing there.
    ///
    /// # Errors
    /// If the height has no proven root or the proof does not hold.
    pub fn verify_storage(
        &self,
        height: Height,
        contract: &Address,
        key: &[u8],
        answer: StorageAnswer,
    ) -> Result<Verified<Option<Vec<u8>>>, VerifyError> {
        let (root, provenance) = self.state_root(height)?;
        let value = answer.value.map(|bytes| bytes.0);
        verify_value(
            &root.0,
            &storage_path(contract, key),
            value.as_deref(),
            &answer.proof,
        )?;
        Ok(Verified { value, provenance })
    }

    /// The code of `contract` after `height`, or that it has none.
    ///
    /// # Errors
    /// If the height has no proven root, the account's proof does not hold, or the code is not the account's.
    pub fn verify_code(
        &self,
        height: Height,
        contract: &Address,
        answer: CodeAnswer,
    ) -> Result<Verified<Option<Vec<u8>>>, VerifyError> {
        let Verified {
            value: account,
            provenance,
        } = self.verify_account(height, contract, answer.account)?;
        let expected = account.and_then(|account| account.code_hash);
        let value = answer.code.map(|bytes| bytes.0);
        let found = value.as_deref().map(code_hash);
        if found == expected {
            Ok(Verified { value, provenance })
        } else {
            Err(VerifyError::Code { found, expected })
        }
    }

    /// That the finalized block at `height` includes the transaction with this hash; gives its place there.
    /// Nothing is said about how it ended.
    ///
    /// # Errors
    /// If the header is not kept or the proof does not hold.
    pub fn verify_transaction(
        &self,
        height: Height,
        transaction: &Hash,
        answer: &InclusionAnswer,
    ) -> Result<u32, VerifyError> {
        let (oldest, newest) = (self.window.oldest().header.height, self.finalized_height());
        let kept = self.window.get(height).ok_or(VerifyError::NotKept {
            height,
            oldest,
            newest,
        })?;
        verify_transaction(&kept.header.transactions_root, transaction, &answer.proof)?;
        Ok(answer.proof.index)
    }

    /// How the transaction with this hash ended in the block at `height`.
    ///
    /// # Errors
    /// If the execution receipt of the height was not brought by [`settle`](Self::settle), the receipt is of another
    /// transaction, or the proof does not hold.
    pub fn verify_transaction_receipt(
        &self,
        height: Height,
        transaction: &Hash,
        answer: ReceiptAnswer,
    ) -> Result<Verified<TransactionReceipt>, VerifyError> {
        let (execution, provenance) = self.receipt(height)?;
        let found = answer.receipt.transaction_hash;
        if found != *transaction {
            return Err(VerifyError::OtherTransaction {
                found,
                asked: *transaction,
            });
        }
        verify_receipt(
            &execution.transaction_receipts_root,
            &answer.receipt,
            &answer.proof,
        )?;
        Ok(Verified {
            value: answer.receipt,
            provenance,
        })
    }

    /// The log at place `index` of the transaction with this hash in the block at `height`.
    ///
    /// # Errors
    /// As [`verify_transaction_receipt`](Self::verify_transaction_receipt); and if the transaction has no such log.
    pub fn verify_log(
        &self,
        height: Height,
        transaction: &Hash,
        index: u32,
        answer: ReceiptAnswer,
    ) -> Result<Verified<Log>, VerifyError> {
        let Verified {
            value: mut receipt,
            provenance,
        } = self.verify_transaction_receipt(height, transaction, answer)?;
        let count = receipt.logs.len();
        match usize::try_from(index) {
            Ok(place) if place < count => Ok(Verified {
                value: receipt.logs.swap_remove(place),
                provenance,
            }),
            _ => Err(VerifyError::NoSuchLog { index, count }),
        }
    }
}
