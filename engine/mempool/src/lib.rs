//! Transactions that wait for a block: bounded, by sender and nonce, best price first.
//!
//! The pool is policy of one node and never validity: what it offers is checked again by admission. It holds what
//! passed the checks that need no state (chain, signature, size, gas, price: the caller's), and judges the rest
//! against an [`AccountView`]: the settled state and what is in flight. A transaction that the settled balance does
//! not cover *yet*, or whose nonce leaves a gap, is kept as [`Held`] and is looked at again at every block.
//!
//! Reading order: [`config`] (bounds), [`view`] (what is known of accounts), [`pool`] (the handle), `insert` (what gets
//! in and what has to go for it), [`select`] (what a block gets), `queue` and `contents` (one sender's transactions,
//! and the orders over all senders), [`error`].
//!
//! Invariants:
//! - counts and bytes never pass the bounds of [`PoolConfig`];
//! - [`Pool::best`] offers, for each sender, consecutive nonces from the next one on, whose worst cases together the
//!   settled balance covers;
//! - a transaction that could be in a block is never evicted for one that could not;
//! - nothing disappears silently: a transaction leaves by being finalized, replaced, evicted for a dearer one, or stale,
//!   and the call that removes it says so.
#![forbid(unsafe_code)]

pub mod config;
mod contents;
pub mod error;
mod insert;
pub mod pool;
mod queue;
pub mod select;
pub mod view;

pub use config::PoolConfig;
pub use error::{Held, InsertError};
pub use pool::{Inserted, Pool, PoolStats, TakenBack};
pub use select::{BlockRoom, MAX_MISFITS};
pub use view::{AccountView, Funds};
