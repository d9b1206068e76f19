//! The product, end to end: the built program and its plugin as processes, spoken to as anyone would.
//!
//! Modules: [`http`] (messages on a socket), [`rpc`] (a client of its own, which shares no shapes with the server),
//! [`chain`] (a development chain as a child process), [`wallet`] (accounts that sign); then one module for each
//! claim. What is random is drawn from a seed that is printed; `MILLRACE_SEED` repeats it, `MILLRACE_LONG=1` does more.
#![allow(clippy::unwrap_used)]

mod chain;
mod http;
mod rpc;
mod wallet;

mod author;
mod contract;
mod determinism;
mod kill;
mod light;
mod recorded;
mod state;
mod tour;
mod trace;

/// Whether this is the long run.
fn is_long() -> bool {
    millrace_tests::tools::number("MILLRACE_LONG", 0) > 0
}

/// The seed of a test's random choices, printed so that a failure can be repeated.
fn seed(test: &str) -> u64 {
    let seed = millrace_tests::tools::number("MILLRACE_SEED", 7);
    println!("{test}: MILLRACE_SEED={seed}");
    seed
}
