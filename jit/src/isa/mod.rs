//! Instruction set: decode, names, disassembly.

mod op;

pub use op::{Class, Extension, Op};
