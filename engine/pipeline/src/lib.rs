//! Fork tree, admission, stages, settlement, pressure, recovery.
#![forbid(unsafe_code)]

mod accounts;
pub mod admission;
pub mod api;
mod board;
pub mod builder;
pub mod config;
mod core;
mod driver;
pub mod engine;
mod events;
mod execution;
mod journal;
mod mailbox;
pub mod pressure;
mod recovery;
mod reply;
mod stages;
mod submit;
mod task;
#[cfg(test)]
#[path = "../tests/common/spec.rs"]
mod testing;
mod tree;
mod verified;

pub use api::*;
pub use config::EngineConfig;
pub use engine::{CallError, Engine};
pub use events::Subscription;
pub use execution::ExecuteError;
pub use recovery::OpenError;
pub use reply::{Aborted, Reply};
