//! The lock-free core: a ring of block slots with stages, and a place to sleep.
//!
//! It knows neither blocks nor state nor any I/O: tasks are of any type. The pipeline publishes a block as a task; its
//! stages claim it, work on it and move it on; the publisher takes it back with all that the stages left in it.
//!
//! ```text
//!   publish ─▶ [ slot | slot | slot | slot ] ─▶ reclaim        one publisher, never waits: Full is an answer
//!                  ▲ claim / complete ▲
//!               prepare   execute   root   persist              any thread, any stage; cursors keep the order
//! ```
//!
//! Reading order: [`status`] (the life of a block, one atomic word), [`ring`] (slots, claims, cursors), [`parking`]
//! (sleeping and waking without a lock).
//!
//! Invariants:
//! - no mutex, no channel, no allocation after construction, no spinning while there is nothing to do;
//! - a task is touched by one thread at a time, and moves only as [`status`] draws it;
//! - an in-order stage sees tasks in the order of publication, each after the one before it has passed;
//! - a handle from an earlier life of a slot never matches a later one;
//! - no wake-up is lost.
//!
//! The models in `tests/loom_*.rs` check these over all interleavings:
//! `RUSTFLAGS="--cfg loom" cargo test -p millrace-scheduler --release`, with a target directory of its own.

pub mod parking;
pub mod ring;
pub mod status;
mod sync;

pub use parking::{Lot, Sleeper};
pub use ring::{Claim, Full, Producer, Retired, Ring, ring};
pub use status::{Stage, Status};
