//! Merkle roots over lists, and inclusion proofs.
