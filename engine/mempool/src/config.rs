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
}

impl Default for PoolConfig {
    /// Enough for ten full blocks of small transactions; 64 MiB.
    fn default() -> Self {
        Self {
            max_transactions: 100_000,
            max_bytes: 64 << 20,
            max_per_sender: 4_096,
        }
    }
}
