//! The executor from outside: scripted contracts run in real blocks on a state in memory.
#![allow(clippy::unwrap_used)]

mod common;

//blocks
mod calls;
//conservation
mod context;
mod creation;
mod documents;
//fees
mod gas;
mod hashes;
//limits
//sample_contracts
//spec
mod storage;
