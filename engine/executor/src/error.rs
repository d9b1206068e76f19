//! What stops an execution. None of these is an outcome of a transaction: outcomes are in receipts.

use millrace_types::state::Path;
use millrace_types::{Amount, Gas, GasPrice, Hash};

/// Why a [`crate::StateReader`] gave no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    /// The value is not settled yet (a speculative run met an unfinished one). Execute again later; nothing of this
    /// run counts.
    #[error("a value that the execution needs is not known yet; execute again when it is")]
    Unavailable,
    /// The node's storage failed. The node stops; the block is not at fault.
    #[error("reading state failed: {0}; the node has to stop, the block is not at fault")]
    Failed(String),
}

/// Why a block or a transaction could not be executed to its end.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ExecutionError {
    /// Admission would have refused the transaction on this very state: a bug of admission, or the consensus
    /// finalized an invalid block. Speculation on a stale state may meet it legitimately.
    #[error(
        "transaction {index} ({transaction}) was not admissible on the state it is executed on: {reason}"
    )]
    NotAdmissible {
        /// Its place in the block.
        index: u32,
        /// Its id.
        transaction: Hash,
        /// The rule it breaks.
        reason: NotAdmissible,
    },
    /// The state holds something that no execution writes: damage, or a bug.
    #[error("the state under path {} is damaged: {what}", hex(path))]
    CorruptState {
        /// Where.
        path: Path,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A read-only call brings more units than can be: the caller's mistake, nothing else is wrong.
    #[error("a read-only call brings {value} units; more than 2^127 never exist, name less")]
    TooMuchValue {
        /// What it names.
        value: Amount,
    },
    /// The reader gave no answer.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Which rule of admission a transaction breaks.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAdmissible {
    /// It is for another chain.
    #[error("it is for chain {found}, this is chain {expected}")]
    Chain {
        /// This chain's id.
        expected: u64,
        /// The transaction's.
        found: u64,
    },
    /// Nonces of a sender do not continue.
    #[error("its nonce is {found}, the sender's next is {expected}")]
    Nonce {
        /// The account's nonce.
        expected: u64,
        /// The transaction's.
        found: u64,
    },
    /// The sender's balance does not cover value + gas limit × gas price.
    #[error("unpayable: the sender has {balance}, value and gas limit × price need {needed}")]
    Unpayable {
        /// What the sender has.
        balance: Amount,
        /// What the transaction may cost at most; `Amount::MAX` when the sum overflows.
        needed: Amount,
    },
    /// The gas limit is outside the chain's bounds.
    #[error(
        "its gas limit {limit} is outside {intrinsic} (its intrinsic gas) to {maximum} (the chain's limit)"
    )]
    GasLimit {
        /// The transaction's.
        limit: Gas,
        /// The least it may be.
        intrinsic: Gas,
        /// The most it may be.
        maximum: Gas,
    },
    /// The gas price is below the chain's minimum.
    #[error("its gas price {price} is below the chain's minimum {minimum}")]
    GasPrice {
        /// The transaction's.
        price: GasPrice,
        /// The chain's.
        minimum: GasPrice,
    },
}

fn hex(path: &Path) -> Hash {
    Hash(*path)
}
