//! Key paths, node hashing and proof verification of the state trie; no_std.
