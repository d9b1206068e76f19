//! Admission: whether a block may be voted for, built on, executed.

mod reason;

pub use reason::{Invalid, InvalidTransaction, Pending, Verdict};
