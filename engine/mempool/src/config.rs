//! Bounds of the pool.

/// How much the pool holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolConfig {
    /// Transactions over all senders.
    pub max_transactions: usize,
    /// Canonical bytes over all senders.
    pub max_bytes: usize,
    /// Transactions of one sender; also how far a nonce may be ahead.
    pub max_per_sender: usize,
    /// Senders whose last transaction is held (for funds, for an earlier nonce). Filling a block asks for the account of
    /// each that bids more than those it takes, and bidding without funds is free.
    pub max_held_senders: usize,
}

impl Default for PoolConfig {
    /// Enough for ten full blocks of small transactions; 64 MiB.
    fn default() -> Self {
        Self {
            max_transactions: 100_000,
            max_bytes: 64 << 20,
            max_per_sender: 4_096,
            max_held_senders: 8_192,
        }
    }
}
