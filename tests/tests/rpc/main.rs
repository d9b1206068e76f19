//! The RPC against `docs/spec/rpc.md`: every method, every error, both transports, on a node whose situation the test
//! controls.
//!
//! [`node`] puts a real engine and a real server together, in memory, with a consensus that does nothing until it is
//! told to (`sequencer`, shared with the pipeline's own tests). [`contracts`] has the transactions, [`socket`] speaks
//! HTTP and WebSocket without a library, for what a well-behaved client never does, [`scripted`] is a contract that does
//! what its input says, [`process`] runs the built program, and [`browser`] a browser. Then one module for each part of the
//! surface; [`matrix`] asks every method for every block in every situation, [`openrpc`] holds answers to their published
//! schemas, [`documents`] compares code and documents, [`rates`] prints how many calls are answered.
#![allow(clippy::unwrap_used)]

mod blessed;
mod browser;
mod contracts;
#[path = "../../../engine/pipeline/tests/common/model.rs"]
mod model;
mod node;
mod process;
mod scripted;
#[path = "../../../engine/pipeline/tests/common/mod.rs"]
mod sequencer;
mod socket;

mod blocks;
mod calls;
mod commands;
mod configuration;
mod dashboard;
mod dev;
mod doctor;
mod documents;
mod estimate;
mod health;
mod lagging;
mod limits;
mod load;
mod logs;
mod matrix;
mod openrpc;
mod operator;
mod pace;
mod packaging;
mod rates;
mod state;
mod stopped;
mod subscriptions;
mod transactions;
mod transport;

// The model knows its neighbour by that name.
use sequencer as common;
