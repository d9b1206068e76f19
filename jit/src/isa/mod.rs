//! Instruction set: decode, names, disassembly.
