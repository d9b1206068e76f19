//! The executor from outside: scripted contracts run in real blocks on a state in memory.
#![allow(clippy::unwrap_used)]

mod common;

mod blocks;
mod calls;
mod conservation;
mod context;
mod creation;
mod documents;
mod examine;
mod fees;
mod gas;
mod hashes;
mod limits;
mod parallel;
mod partition;
mod sample_contracts;
mod spec;
mod storage;
mod trace;
mod warming;
