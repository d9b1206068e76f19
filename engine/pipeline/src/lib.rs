//! Fork tree, admission, stages, settlement, pressure, recovery.
#![forbid(unsafe_code)]

pub mod admission;
pub mod api;
mod board;
pub mod builder;
pub mod config;
pub mod engine;
mod events;
mod mailbox;
pub mod pressure;
mod reply;

pub use api::*;
pub use config::EngineConfig;
pub use engine::Engine;
pub use events::Subscription;
pub use reply::{Aborted, Reply};
