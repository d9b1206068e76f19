//! Follows headers, checks certificates, verifies receipts and state proofs; no_std.
