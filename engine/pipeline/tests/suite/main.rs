//! The pipeline from outside: a consensus of one, or of many opinions, over a real engine. One program, so that what all
//! of them use is compiled and linked once; `cargo test -p millrace-pipeline --test suite forks::` runs one file of it.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/late.rs"]
mod late;
#[path = "../common/model.rs"]
mod model;
#[path = "../common/old.rs"]
mod old;

mod admission_theorem;
mod backpressure;
mod checkpoint;
mod contracts;
mod forks;
mod happy_path;
mod parallel;
mod preparation;
mod random_tree;
mod reorgs;
mod replay;
mod restart;
mod speculation;
mod stops;
mod wakeups;
