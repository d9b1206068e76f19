//! The safe way to write a consensus plugin.
