//! Why a transaction is not taken, and why one that was taken waits.

use millrace_types::{Amount, GasPrice};

/// Why the pool did not take a transaction. Messages start with the names of `docs/spec/rpc.md`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InsertError {
    /// The nonce is used.
    #[error("NonceTooLow: nonce {given} is used; the next of this account is {next}")]
    NonceTooLow {
        /// In the transaction.
        given: u64,
        /// The first that is free.
        next: u64,
    },
    /// The nonce is too far ahead to be kept.
    #[error("NonceTooFar: nonce {given} is too far ahead; the pool keeps nonces up to {max} of this account")]
    NonceTooHigh {
        /// In the transaction.
        given: u64,
        /// The last that would be kept.
        max: u64,
    },
    /// Another transaction with this sender and nonce pays as much.
    #[error(
        "ReplacementUnderpriced: nonce {nonce} of this account is in the pool at price {price}; a replacement must pay at least {needed}"
    )]
    ReplacementUnderpriced {
        /// The nonce.
        nonce: u64,
        /// What the pooled one pays.
        price: GasPrice,
        /// What the new one must pay.
        needed: GasPrice,
    },
    /// The sender has as many as it may have.
    #[error(
        "SenderLimit: this account has {limit} transactions in the pool, which is the limit; wait until some are executed"
    )]
    SenderLimit {
        /// The limit.
        limit: usize,
    },
    /// The pool is full of dearer ones.
    #[error(
        "PoolFull: the pool is full ({transactions} transactions, {bytes} bytes) and the cheapest in it pays {cheapest}; pay more or try again later"
    )]
    PoolFull {
        /// In the pool.
        transactions: usize,
        /// Their bytes.
        bytes: usize,
        /// What the first one to be evicted pays; one that is held goes before all that are ready.
        cheapest: GasPrice,
    },
    /// gas limit × price + value passes 2^128.
    #[error("CostOverflow: gas limit times price plus value passes 2^128; no account could pay it")]
    CostOverflow,
}

/// Why a pooled transaction is not offered now. Both pass by themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Held {
    /// Credits that are in flight do not count until they are settled.
    #[error(
        "InsufficientSettledFunds: {settled} settled, {reserved} reserved in flight and before it in the pool, {needed} needed"
    )]
    InsufficientSettledFunds {
        /// Balance in the settled state.
        settled: Amount,
        /// Worst case of what comes before it.
        reserved: Amount,
        /// Its own worst case.
        needed: Amount,
    },
    /// An earlier nonce is missing.
    #[error("NonceGap: nonce {expected} is missing before {found}")]
    NonceGap {
        /// The first that is missing.
        expected: u64,
        /// Its own.
        found: u64,
    },
}
