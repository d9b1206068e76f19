//! A light client fed over RPC by any number of nodes: everything that they say is checked, nothing of it is believed.
//!
//! The trust is in one hash, that of the genesis header, which commits to the chain spec. A node may lie, leave out,
//! stall or be behind; what comes out of [`Follower`] is proven, or an error. With several nodes one leads, the others are
//! held against it: a node that shows a fault is named and left, and the next one is asked. So one honest node among
//! them is enough to get the right answer, and none is needed to be safe from a wrong one.
//!
//! ```text
//!   nodes ──answers──▶ node (deadline, size, form) ──▶ LightClient (proofs) ──▶ Verified
//!     ▲                   │ Fault                         │ certified branches contradict
//!     └── next one ◀──────┘                               └──▶ FollowError::Contradiction: evidence, and the end
//! ```
//!
//! Reading order: [`follower`] (start, sync, who leads), `headers` (those of one node), [`questions`] (values), [`fault`]
//! (what a node did wrong), `node` (requests), `contradiction` (what is left behind at the end), [`watch`] (following as
//! blocks come), [`files`] (checkpoint and evidence on disk).
//!
//! Invariants:
//! - Every request has a deadline, every answer a bound on its bytes before it is looked at.
//! - What a node did wrong costs the client nothing that it had verified.
//! - Which node is asked decides whether there is an answer and how soon, never what it is.
#![forbid(unsafe_code)]

mod beside;
mod contradiction;
pub mod fault;
pub mod files;
pub mod follower;
mod headers;
mod node;
pub mod questions;
pub mod watch;

pub use fault::{Fault, FollowError, Left};
pub use follower::{Follower, Options, Standing, Trust};
pub use watch::{Event, Pace, Watch};
