//! Bounded pool of transactions by sender, nonce and price.
