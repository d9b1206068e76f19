//! The JSON of requests and answers. Conventions and the meaning of each shape: `docs/spec/rpc.md`.
//!
//! One file for each family: [`status`], [`blocks`], [`transactions`], [`state`], [`logs`], [`events`]. All of it is re-exported
//! here.

pub mod blocks;
pub mod events;
pub mod logs;
pub mod state;
pub mod status;
pub mod transactions;

pub use blocks::*;
pub use events::*;
pub use logs::*;
pub use state::*;
pub use status::*;
pub use transactions::*;
