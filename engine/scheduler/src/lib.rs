//! The lock-free core: a bounded ring of tasks, stages that follow each other through it, workers that park, ordered
//! batches that many of them execute together, and a set of what was seen lately.
//!
//! ```text
//!              publish            claim / complete                                    freed
//!   Publisher ────────▶ slot ──▶ Prepare ──▶ Execute ──▶ Root ──▶ Persist ──────────────────▶ slot
//!       ▲ Full when every slot is taken                                  abandon: from any of them
//! ```
//!
//! Reading order: [`life`] (the one word that is a slot's life), [`ring`](mod@ring) (slots, stage cursors, claims),
//! [`parking`] (workers that sleep while nothing is ready), [`parallel`] (a batch of transactions on many workers),
//! [`recent`] (which ids were seen).
//!
//! Tasks are opaque: this crate knows no blocks, no state and does no I/O. Results that a stage hands to the next
//! lie in the task itself.
//!
//! Invariants:
//! - Nothing here waits but [`Worker::park_unless`] and its like; publishing into a full ring says so at once.
//! - A stage sees tasks in the order in which they were published, one at a time, and only after the stage before has
//!   completed them; different stages work on different tasks at the same time.
//! - Whoever publishes or completes wakes a parked worker; no wake-up is lost (modelled with loom, explored
//!   with shuttle).
//! - A claim is whoever's holds it: a worker may hand it to another thread, which completes it, and is free itself.
//! - A claim that is dropped without being completed stops its stage for good: nothing behind a failure moves on.
//!
//! How it is tested: `tests/` (bounds, order, failure; random programs on real threads), `src/*models.rs` (loom: orderings
//! and fences, small runs exhaustively), `tests/explore` (shuttle: the whole, at random). What each of them finds is in
//! `docs/design/parallel-execution.md`.

pub mod life;
pub mod parallel;
pub mod parking;
pub mod recent;
pub mod ring;
mod slot;
mod sync;

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, loom))]
mod parallel_models;

pub use life::{Life, Status};
pub use parking::{Crew, Worker};
pub use recent::Recent;
pub use ring::{Claim, Failure, Full, Publisher, Ring, Sequence, Stage, ring};
