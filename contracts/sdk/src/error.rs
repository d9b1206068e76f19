//! Errors that reach the caller by name.
//!
//! ```
//! use millrace_contract::{Error, Revert};
//!
//! #[derive(Error, Clone, Copy, PartialEq, Eq, Debug)]
//! enum TokenError {
//!     /// The sender holds less than it sends.
//!     InsufficientBalance,
//!     #[error("a name has at most 64 bytes")]
//!     NameTooLong,
//! }
//!
//! assert_eq!(Revert::from(TokenError::InsufficientBalance).message(), "InsufficientBalance");
//! assert_eq!(Revert::from(TokenError::NameTooLong).message(), "NameTooLong: a name has at most 64 bytes");
//! assert_eq!(TokenError::from_revert("NameTooLong: anything"), Some(TokenError::NameTooLong));
//! ```
//!
//! The output of the revert is the variant's name, and `: ` and the text of `#[error("..")]` where there is one. Doc
//! comments go into the interface only and cost nothing on the chain.

/// An enumeration of errors; made by `#[derive(Error)]`.
pub trait Error: Sized {
    /// What the frame reverts with: the variant's name, or its name, `: ` and a text.
    fn text(&self) -> &'static str;

    /// The variant of a name.
    fn from_name(name: &str) -> Option<Self>;

    /// The variant that a revert's output names: all of it, or what stands before its first `: `.
    #[must_use]
    fn from_revert(text: &str) -> Option<Self> {
        Self::from_name(text.split_once(": ").map_or(text, |(name, _)| name))
    }
}
