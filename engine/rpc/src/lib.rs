//! JSON-RPC over HTTP and WebSocket, with `/health`, `/metrics` and `/dashboard` beside it.
//!
//! `docs/spec/rpc.md` is the contract: method names, shapes, errors, block references. Reading order: [`api`] (the
//! methods as one trait, from which server and client are generated), [`reference`](mod@reference) (which block a request means),
//! [`shapes`] and [`encoding`] (the JSON), [`error`] (names and codes), [`openrpc`] (all of it for machines), [`methods`]
//! (answers from the engine), [`server`], [`http`], `dashboard`, `origin`, `connections`, `callers`, `pace`, `frames` and `turns` (listening,
//! limits, plain pages, whose pages may ask, how many connections there are, how often who may call, at what pace (counted in messages), whose turn it is), `parameters`, `service` and
//! `refusals` (every refusal in the contract's words, also where the library would answer by itself), `answer` (what
//! plain HTTP is answered with).
//!
//! Invariants: an answer never shows state that was not executed and made durable; reads never wait for consensus or
//! execution; a request's cost is bounded before it is served.
#![forbid(unsafe_code)]

mod answer;
pub mod api;
mod callers;
mod connections;
mod dashboard;
pub mod encoding;
pub mod error;
mod frames;
pub mod http;
pub mod methods;
pub mod openrpc;
mod origin;
mod pace;
mod parameters;
pub mod reference;
mod refusals;
pub mod server;
mod service;
pub mod shapes;
mod turns;

pub use api::{MillraceClient, MillraceServer};
pub use callers::RateLimit;
pub use encoding::{Bytes, Units};
pub use http::Pages;
pub use methods::{Methods, NodeFacts};
pub use parameters::{judge_parameters, method_names};
pub use reference::BlockReference;
pub use server::{RpcConfig, RpcServer, StartError};
