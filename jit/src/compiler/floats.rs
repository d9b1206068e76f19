//! What a program can tell of how its floating point is computed.
//!
//! The hardware's arithmetic rounds to nearest and keeps its exceptions to itself. It may stand for the machine's where
//! nobody can tell the difference: where the rounding mode is known, and no instruction of the text reads the exceptions.
//! Any even address of text may be executed, so that the whole text is asked, at every halfword.

use super::flow::Text;
use crate::isa::{Class, Extension, FFLAGS, FRM, Op};

/// What a program's text holds that looks at floating-point state, wherever it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Observed {
    /// An instruction that reads accrued exceptions.
    pub(crate) exceptions: bool,
    /// An instruction that sets the dynamic rounding mode. Without one it stays what it is at entry: to nearest, ties to
    /// even.
    pub(crate) rounding: bool,
}

impl Observed {
    /// What the text holds.
    pub(crate) fn by(text: Text<'_>) -> Self {
        let mut observed = Self {
            exceptions: false,
            rounding: false,
        };
        if !text.machine.supports(Extension::Zicsr) {
            return observed;
        }
        let first = text.start + text.start % 2;
        let last = text.start + text.bytes.len() as u32;
        for pc in (first..last).step_by(2) {
            let Some(step) = text.decode(pc).filter(|step| step.op.class() == Class::Csr) else {
                continue;
            };
            let csr = step.imm & 0xfff;
            let writes = match step.op {
                Op::Csrrw | Op::Csrrwi => true,
                Op::Csrrs | Op::Csrrc => step.rs1 != 0,
                _ => step.imm >> 12 != 0,
            };
            observed.exceptions |= step.rd != 0 && csr != FRM;
            observed.rounding |= writes && csr != FFLAGS;
        }
        observed
    }
}
