//! What crosses crates: isa differential, end to end, crash, bad inputs, tidy.
