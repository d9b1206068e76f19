//! Slots are as new after every use.
