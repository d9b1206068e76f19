//! From a decided block to a settled one: fork tree, admission, stages, settlement, pressure, recovery.
//!
//! Consensus hands over blocks and goes on; execution follows behind, bounded; and what execution found comes back as
//! receipts that later blocks carry. [`Engine`] is the whole of it to everyone else.
//!
//! ```text
//!   consensus, RPC                       ordering thread                     workers                    journal
//!  ┌──────────────┐  requests, credits  ┌──────────────────┐  BlockTask  ┌──────────────────┐  entries  ┌─────────┐
//!  │ Engine       │ ──────────────────▶ │ driver ▸ core    │ ──────────▶ │ ring of slots    │ ────────▶ │ ledger, │
//!  │              │ ◀────────────────── │ (fork tree,      │             │ prepare, execute │           │ group   │
//!  └──────────────┘  replies, events,   │  admission,      │ ◀────────── │ root, persist    │           │ commit  │
//!                    facts on the board │  proposals)      │   body durable, executed         ◀───────── └─────────┘
//! ```
//!
//! Reading order: [`api`] (the words), [`Engine`], [`admission`] (the one function that decides validity),
//! [`builder`] and [`pressure`] (the proposer's policy), `tree`, `core` (the state machine without I/O: `core/dispatch`
//! decides what is executed next, `core/head` moves the head), `driver` (its thread), `wakeups` (who is told that a build may succeed), `task` (a block in the ring), `stages` and `execution` (what workers do), `journal` (what is durable when), `recovery`, [`checkpoint`] (what
//! a new node begins with), and [`replay_check`] (the slow twin). The rules are those of `docs/spec/blocks.md`, rollback is in
//! `docs/spec/rollback.md`, and why it is built like this in `docs/design/consensus-execution-pipelining.md`.
//!
//! Invariants:
//! - nothing executes before it is admitted, and nothing finalized is skipped or executed out of order;
//! - what is executed ahead of its turn is kept in memory, bounded, and counts for nothing until its turn comes;
//! - a receipt is durable, after its body, before anyone can see it: in a block, in a verdict, or over RPC;
//! - no call of consensus waits for execution or for the disk; every refusal for want of room is followed by the event
//!   that there is room;
//! - h - s(B) never passes K, whatever execution does;
//! - every fault has a name and stops the engine from taking blocks; look-ups go on.
//!
//! Locks: the board and the pool's accounts (a copy under a lock, for readers), the set of verified transactions, that of
//! transactions between pool and ledger, the list of subscribers, and the channels of the standard library into the ordering thread and the journal. None is
//! held while anything is executed, hashed or written.
#![forbid(unsafe_code)]

mod accounts;
pub mod admission;
pub mod api;
mod board;
pub mod builder;
pub mod checkpoint;
pub mod config;
mod core;
mod driver;
pub mod engine;
mod events;
mod execution;
mod journal;
mod mailbox;
mod preparation;
pub mod pressure;
mod reads;
mod recovery;
mod replay;
mod reply;
mod stages;
mod submit;
mod task;
mod team;
#[cfg(test)]
#[path = "../tests/common/spec.rs"]
mod testing;
mod tree;
mod under_way;
mod verified;
mod wakeups;

pub use api::*;
pub use config::EngineConfig;
pub use engine::Engine;
pub use events::Subscription;
pub use execution::ExecuteError;
pub use reads::CallError;
pub use recovery::OpenError;
pub use replay::{ReplayError, ReplayReport, replay_check, replay_check_from, vouched_by_ledger};
pub use reply::{Aborted, Reply};
