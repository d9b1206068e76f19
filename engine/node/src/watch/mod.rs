//! What an operator watches of a node, in one model.
//!
//! ```text
//!   node ──millrace_status, /metrics──▶ sampler ──Sample──▶ model ──▶ `millrace top`: terminal, text, JSON, picture
//! ```
//!
//! The page that a node serves (`engine/rpc/src/dashboard.html`) has the same model in its own language. Both are held
//! to the samples and the results in `golden.json`, so that the two views never disagree about a node.
//!
//! Reading order: [`exposition`] (the text of `/metrics`), [`model`], [`sampler`].

pub mod exposition;
pub mod model;
pub mod sampler;

pub use model::{Model, Sample};
pub use sampler::Sampler;
