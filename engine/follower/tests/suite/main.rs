//! A follower against real nodes in this process, and against proxies in front of them that lie.
//!
//! [`world`] is a chain with an engine and a server, [`proxy`] a node that says what a test makes of the honest answer,
//! [`questions`] what is asked and what is true. [`table`] has every way to lie, [`random`] changes at random; the other
//! modules are one for each claim. What is random is drawn from a seed that is printed; `MILLRACE_SEED` repeats it,
//! `MILLRACE_LONG=1` does more.
#![allow(clippy::unwrap_used)]

#[path = "../../../../tests/tests/e2e/http.rs"]
#[allow(dead_code, reason = "a proxy does not need all of it")]
mod http;
#[path = "../../../light-client/tests/common/rotating.rs"]
mod rotating;
#[path = "../../../pipeline/tests/common/mod.rs"]
mod sequencer;

mod lies;
mod proxy;
mod questions;
mod world;

mod contradiction;
mod follow;
mod hostile;
mod places;
mod random;
mod several;
mod sizes;
mod subscriptions;
mod table;
