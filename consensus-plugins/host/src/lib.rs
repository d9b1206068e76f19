//! Loads, checks, isolates and feeds consensus plugins.
