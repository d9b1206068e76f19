//! Blocks, receipts and indexes on redb.
