//! Follows a chain from its chain spec alone, and believes nothing that it cannot check.
//!
//! The client does no I/O. Whoever owns it fetches bytes from any server, decodes them, and hands them in; what
//! comes out is verified, or an error that says what was wrong.
//!
//! ```text
//!   ChainSpec ─▶ new, from_trusted ──┐
//!   checkpoint file ──────▶ resume ──┤
//!   headers, certificates ───────────┴▶ advance ──▶ finalized_height, executed_height ──▶ checkpoint
//!   receipts of a header ──▶ settle ───▶ roots of executed heights
//!   value + proof ─────────▶ account, storage, code, transaction, receipt, log ──▶ Verified { value, provenance }
//! ```
//!
//! Reading order: [`start`] (where a client begins), [`client`] (headers), [`settle`] (receipts and roots), [`verify`]
//! (values), [`verifier`] (certificates, by consensus id), [`checkpoint`] (where to go on from another time),
//! [`evidence`] (proof that certifiers contradicted themselves), [`genesis`].
//!
//! What is trusted: the chain spec (or also a hash or a checkpoint, if the client begins there), BLAKE3, and what the
//! spec's consensus certifies. What a root in a header proves
//! is taken from *finalized* headers only (`docs/spec/blocks.md`, light clients): `executed_height` is the settled
//! height of the newest finalized header, and a height beyond it has no state that could be proven.
//!
//! Invariants:
//! - Every header kept is final: it carries a valid certificate, or a later one vouches for it by parent hashes.
//! - Memory is bounded by the window, the sizes that the chain spec allows, and the verifier's largest certificate.
//! - No input panics. A rejected call leaves the client as it was, but for certified headers in front of the fault.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod checkpoint;
pub mod client;
pub mod evidence;
pub mod genesis;
pub mod settle;
pub mod start;
pub mod verifier;
pub mod verify;
mod window;

pub use checkpoint::{CheckpointError, NoCheckpoint};
pub use client::{AdvanceError, Certificate, CertifiedHeader, DEFAULT_WINDOW, LightClient, MAX_BATCH};
pub use evidence::{Branch, Contradiction, Evidence, EvidenceError, Opening};
pub use settle::{Provenance, RootError, SettleError};
pub use start::{StartError, trusted_ancestors};
pub use verifier::{CertificateError, CertificateVerifier, Verifiers};
pub use verify::{AccountAnswer, CodeAnswer, InclusionAnswer, ReceiptAnswer, StorageAnswer};
pub use verify::{Verified, VerifyError};
