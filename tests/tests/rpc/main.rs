//! The RPC against `docs/spec/rpc.md`: every method, every error, both transports, on a node whose situation the test
//! controls.
//!
//! [`node`] puts a real engine and a real server together, in memory, with a consensus that does nothing until it is
//! told to (`sequencer`, shared with the pipeline's own tests). [`contracts`] has the transactions, [`socket`] speaks
//! HTTP and WebSocket without a library, for what a well-behaved client never does, [`scripted`] is a contract that does what its
//! input says, and [`process`] runs the built program. Then one module for each part of the surface; [`documents`] compares code and documents, [`rates`] prints
//! how many calls are answered.
#![allow(clippy::unwrap_used)]

mod contracts;
mod node;
mod process;
mod scripted;
#[path = "../../../engine/pipeline/tests/common/mod.rs"]
mod sequencer;
mod socket;

mod blocks;
mod calls;
mod commands;
mod dev;
mod documents;
mod estimate;
mod health;
mod lagging;
mod limits;
mod logs;
mod rates;
mod state;
mod stopped;
mod subscriptions;
mod transactions;
mod transport;
