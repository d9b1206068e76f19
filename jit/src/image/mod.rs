//! ELF to validated [`Program`]; symbols and DWARF lines.
//!
//! Two readers that never meet. [`Program::load`] is consensus: it reads the ELF header and the program headers by
//! the project's own bounded reader (`header.rs`), checks every rule of the machine's version and copies the segments'
//! bytes. [`struct@Debug`] is for people: it reads sections, symbols and DWARF through libraries, from bytes that nobody
//! vouches for, and can at worst find nothing. Nothing that [`struct@Debug`] sees changes validity, gas or results.
//!
//! [`Program::broken_rules`] is the same consensus reader, which goes on after the first broken rule (`report.rs`).
//!
//! Invariants of a [`Program`]: segments ascend, lie on pages of their own, inside the range that leaves room for
//! guards, the largest heap and the stack; one of them is text; the entry is an even address of text.
//!
//! What of a stock ELF is ignored: every program header but `PT_LOAD` and the three refused ones (so `PT_PHDR`,
//! `PT_NOTE`, `PT_GNU_STACK`, `PT_GNU_RELRO`, `PT_RISCV_ATTRIBUTES` and unknown ones), `PT_LOAD` of no memory,
//! `p_paddr`, `EI_OSABI`, `EI_ABIVERSION`, every bit of `e_flags` but RVE and TSO, and everything about sections.

mod debug;
mod dwarf;
mod error;
mod header;
mod program;
mod report;

pub use debug::{Debug, Frame, Function, Location, Symbol};
pub use error::ImageError;
pub use program::{OwnedSegment, Permissions, Program, Segment};
