//! Verdicts, and every reason for which a block is invalid.

use millrace_types::settlement::{HeaderError, SettlementError};
use millrace_types::{Amount, ExecutionReceipt, Gas, GasPrice, Hash, Height};

use super::Summary;

/// What the engine thinks of a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Structure, settlement and admission hold.
    Valid(Summary),
    /// It never will be: a pure function of the block and its ancestors. Sticky for descendants.
    Invalid(Invalid),
    /// Not known yet. Resolves by itself.
    Pending(Pending),
}

/// Why there is no verdict yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Pending {
    /// The parent has not been seen, or has no verdict itself.
    #[error("the parent {parent} is unknown")]
    UnknownParent {
        /// The parent.
        parent: Hash,
    },
    /// Its signatures are being checked.
    #[error("its signatures are being checked")]
    Signatures,
    /// The block settles a height that this node has not executed.
    #[error("it settles height {height}, which is not executed here yet")]
    NotExecuted {
        /// The lowest such height.
        height: Height,
    },
}

/// Why a block is invalid.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Invalid {
    /// The header cannot follow its parent.
    #[error("header: {0}")]
    Header(#[from] HeaderError),
    /// The block is longer than the chain allows.
    #[error("block of {size} bytes, the chain allows {limit}")]
    TooLong {
        /// Bytes.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// More transactions than the chain allows.
    #[error("{count} transactions, the chain allows {limit}")]
    TooManyTransactions {
        /// How many.
        count: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// The header does not commit to the transactions.
    #[error("transactions root {found}, the body has {expected}")]
    TransactionsRoot {
        /// In the header.
        found: Hash,
        /// Of the body.
        expected: Hash,
    },
    /// The transactions' gas limits add up to more than the header's.
    #[error("gas limits add up to {sum}, the header allows {limit}")]
    GasSum {
        /// At the first transaction that passes the limit.
        sum: u128,
        /// In the header.
        limit: Gas,
    },
    /// Option A: receipts in the body.
    #[error("{found} receipts in the body; under option A there are none")]
    UnexpectedReceipts {
        /// How many.
        found: u64,
    },
    /// Option B: the receipts in the body are not those that the header settles.
    #[error("settlement: {0}")]
    Settlement(#[from] SettlementError),
    /// Option B: a receipt that is not what execution gives.
    #[error("the receipt of height {height} differs from execution: {found:?}, executed {expected:?}")]
    ReceiptDiffers {
        /// The height.
        height: Height,
        /// In the body.
        found: Box<ExecutionReceipt>,
        /// This node's own.
        expected: Box<ExecutionReceipt>,
    },
    /// Option A: the committed receipts are not what execution gives.
    #[error("settlement hash {found} for heights {from} to {to} differs from execution: {expected}")]
    SettlementDiffers {
        /// The lowest height settled.
        from: Height,
        /// The highest.
        to: Height,
        /// In the header.
        found: Hash,
        /// Of this node's own receipts.
        expected: Hash,
    },
    /// Option A: the delayed root is not what execution gives.
    #[error("state root {found} for height {height} differs from execution: {expected}")]
    RootDiffers {
        /// s(B).
        height: Height,
        /// In the header.
        found: Hash,
        /// This node's own.
        expected: Hash,
    },
    /// A transaction cannot be in this block.
    #[error("transaction {index}: {reason}")]
    Transaction {
        /// Its place.
        index: u32,
        /// Why.
        reason: InvalidTransaction,
    },
    /// The parent, or one before it, is invalid.
    #[error("the ancestor {ancestor} is invalid")]
    Ancestor {
        /// The nearest that has its own reason.
        ancestor: Hash,
    },
}

impl Invalid {
    /// Whether the block contradicts this node's own *execution* rather than the rules. When such a block is
    /// finalized, either this node or the chain computes wrongly: `Divergence`, not `ConsensusViolation`.
    #[must_use]
    pub fn contradicts_execution(&self) -> bool {
        matches!(
            self,
            Self::ReceiptDiffers { .. } | Self::SettlementDiffers { .. } | Self::RootDiffers { .. }
        )
    }
}

/// Why a transaction cannot be in a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidTransaction {
    /// For another chain.
    #[error("chain id {found}, this is chain {expected}")]
    ChainId {
        /// In the transaction.
        found: u64,
        /// What it must be.
        expected: u64,
    },
    /// Longer than the chain allows.
    #[error("{size} bytes, the chain allows {limit}")]
    TooLong {
        /// Bytes.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// Its gas limit passes the chain's for one transaction.
    #[error("gas limit {found}, the chain allows {limit}")]
    GasLimit {
        /// The transaction's.
        found: Gas,
        /// The chain's.
        limit: Gas,
    },
    /// Its gas limit does not cover what inclusion costs.
    #[error("gas limit {limit} is below the intrinsic gas of {intrinsic}")]
    IntrinsicGas {
        /// The transaction's.
        limit: Gas,
        /// What inclusion costs.
        intrinsic: Gas,
    },
    /// It pays less than the chain's minimum.
    #[error("gas price {found}, the chain's minimum is {min}")]
    GasPrice {
        /// The transaction's.
        found: GasPrice,
        /// The chain's.
        min: GasPrice,
    },
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// Out of order.
    #[error("nonce {found}, the sender's next is {expected}")]
    Nonce {
        /// The transaction's.
        found: u64,
        /// Settled nonce plus transactions in flight.
        expected: u64,
    },
    /// The settled balance does not cover the worst case of all that is in flight.
    #[error("unpayable: {settled} settled, {reserved} reserved in flight, {needed} needed")]
    Unpayable {
        /// Balance at s(B).
        settled: Amount,
        /// Worst case of the sender's earlier transactions in flight.
        reserved: Amount,
        /// Worst case of this one; the largest number when it does not fit 128 bits.
        needed: Amount,
    },
}
