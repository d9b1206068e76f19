//! Instruction set: one table of forms, from which decoding, encoding, names and disassembly follow.
//!
//! - [`Op`] says what an instruction does; compressed forms share the operation of the 32-bit form they expand to.
//! - [`Form`] says how it is encoded: fixed bits, operand [`Format`], [`Constraint`]s. [`forms`] lists all of them.
//! - [`decode`] finds the one form that a word belongs to. An encoding that no form admits is illegal: reserved and
//!   unlisted encodings, encodings of 48 bits and more, and CSRs that are not there need no rule of their own.
//!
//! HINTs (operations that write x0, `c.nop` with an immediate, zero shifts) are ordinary encodings here and execute
//! as what they are: without effect.

mod base;
mod compressed;
mod decode;
mod disassembly;
mod float;
mod form;
mod format;
mod op;

pub use decode::{Instruction, decode, forms, is_compressed};
pub use disassembly::{Disassembly, register_name};
pub use form::{Constraint, FCSR, FFLAGS, FRM, Form};
pub use format::{F0, Field, Format, Operands, Register, Syntax};
pub use op::{Class, Extension, Op};
