//! `longest-chain/1`: a chain whose head moves before it is final, to exercise forks and reorganisations.
//!
//! Not a consensus for production: there is one node, which plays a network of *virtual miners*. Time is cut into slots;
//! a seeded draw gives each slot to one miner or to nobody. A miner extends the longest chain *that it knows*, and blocks
//! reach the others late, so the chain forks by itself; it forks as deep as it is told to on demand. The node sees all
//! blocks, follows the longest chain, and declares final what lies deep enough below its head.
//!
//! ```text
//!          slot won                 built                    taken over
//!   Nothing ────────▶ Building ────────────▶ Importing ─────────────────▶ Nothing ─▶ (a longer chain: set_head
//!      ▲                 │ not now                │ no room                              ─▶ moved: finalize)
//!      └─────────────── Declined                  ▼
//!                        (work: again)           Full ── credit ──▶ Importing
//! ```
//!
//! Everything follows from the seed, the slots and the engine's answers: the same events at the same times give the same
//! blocks, forks and reorganisations. After a restart the chain goes on from the last durable final block; what was
//! above it is gone, and is made anew by the slots to come.
//!
//! A block is final when its certificate exists, and the certificate leaves this plugin only towards the engine, which
//! shows nothing before body and certificate are durable: as with `solo`, nobody has seen what a crash undoes.
//!
//! Modules, in reading order: [`config`] (the operator's part), [`lottery`] (the draws), [`tree`] (who knows which block),
//! [`chain`] (the state machine: slots and blocks), `fork` (forks on demand), `head` (head and finality).

pub mod chain;
pub mod config;
mod fork;
mod head;
pub mod lottery;
pub mod tree;

pub use chain::LongestChain;
pub use config::{Config, EmptyBlocks};

millrace_plugin_sdk::export_plugin!(stepped LongestChain);
