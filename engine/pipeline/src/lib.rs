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
//! decides what is executed next, `core/head` moves the head), `driver` (its thread), `wakeups` (who is told that a build may succeed),
//! `task` (a block in the ring), `stages` and `execution` (what workers do), `warming` (what they do ahead of a block), `journal` and `keeper` (what is durable when), `timing` (how long each took), `recovery`, [`checkpoint`] (what
//! a new node begins with), [`logs`] and [`estimate`] (what readers search and try, beside the look-ups in `reads`; `chain_view` is what
//! they agree about), and [`replay_check`] (the slow twin). The rules are those of `docs/spec/blocks.md`, rollback is in
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
//! # What locks and what allocates
//!
//! No stage takes a lock for a transaction, or allocates for one, but for what is named here
//! (`tests/allocations.rs` counts). Words that change together are replaced as a whole (`arc-swap`), queues into a thread are
//! lists without a lock (`inbox`), which transactions were verified is kept in [`millrace_scheduler::Recent`].
//!
//! | lock or channel | when | why |
//! |---|---|---|
//! | the pool's mutex | once for each transaction that is submitted, or asked about; once for each block that is built, or becomes head or final | the pool is one index over all senders; `millrace-mempool` holds it for look-ups in trees, never for a signature |
//! | the lock of the state's tree of versions | a few times for each block: its parent's state, its own, the one that it settles, the final one that its programs are looked up in; never for an account | the tree changes with each block; `millrace-state` holds it for no disk |
//! | the ledger's own | once for each group of blocks | redb has one writer, which is the journal's thread |
//! | a subscriber's channel, of the standard library: a ring without a lock, and a mutex around the list of who sleeps on it | for each event, a few for each block, and only while its reader sleeps | readers wait with the time limits of the standard library |
//! | the channel of [`Reply::channel`], likewise | once for each request that was made with it | the caller chose to wait |
//! | the metrics' recorder, where there is one: a lock that is only read | once for each stage of a block, and for each group of blocks | it finds the histogram by name |
//! | the handle's mutex around the thread to join | when the engine ends | |
//!
//! Lists of crossbeam's take no lock, but who takes from one waits for a sender that is between its two steps there.
//!
//! | allocation | when | why |
//! |---|---|---|
//! | an account's bytes | once for each transaction that is submitted, and once for each sender of a block | the state hands out bytes that outlast what they were read from |
//! | lists of ids, of leaves and of receipts | once for each block, or as often as they double | their number is that of the transactions |
//! | lists of answers | a few for each group of transactions that is submitted together | as many as transactions |
//! | nodes of trees | one for some senders, or transactions taken out of the pool | what a sender has in flight, by address; what is left in the pool |
//! | the signatures' library | for each chunk of 64 signatures: one for each signer, and lists that grow | it gathers a batch by signers |
//! | the pool | nodes of trees, one for about three transactions that come in | it holds them |
//! | programs loaded ahead | for each block that waits for another: a list of the contracts that it calls, at most 64, and what they share; an account's bytes for each of them | it is looked up where an account is |
//! | the ledger | for each block its bytes; pages, about two for each transaction | a transaction is a row of the index of inclusions |
//! | the state | for each block, and each value that it changes | overlays and nodes of the trie |
//! | the executor | see `millrace-executor` | |
//! | a segment of a queue | for each 31 messages; a chunk of signatures is one, all others are of blocks | |
#![forbid(unsafe_code)]

mod accounts;
pub mod admission;
pub mod api;
mod board;
pub mod builder;
mod chain_view;
pub mod checkpoint;
pub mod config;
mod core;
mod driver;
pub mod engine;
pub mod estimate;
mod events;
mod execution;
mod inbox;
mod journal;
mod keeper;
pub mod logs;
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
mod timing;
mod tree;
mod under_way;
mod wakeups;
mod warming;

pub use api::*;
pub use config::EngineConfig;
pub use engine::Engine;
pub use estimate::{EstimateRequest, GasEstimate};
pub use events::Subscription;
pub use execution::ExecuteError;
pub use logs::{FoundLog, LogError, LogFilter, LogPage, LogPlace, LogQuery};
pub use reads::CallError;
pub use recovery::{OpenError, genesis_block};
pub use replay::{ReplayError, ReplayReport, replay_check, replay_check_from, vouched_by_ledger};
pub use reply::{Aborted, Reply};
pub use timing::TIMED_STAGES;
