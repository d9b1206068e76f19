//! What a program can tell of how its floating point is computed.
//!
//! The hardware's arithmetic rounds to nearest and keeps its exceptions to itself. It may stand for the machine's where
//! nobody can tell the difference: where the rounding mode is known, and no instruction of the text reads the exceptions.
//! Any even address of text may be executed, so that the whole text is asked, at every halfword.

use super::flow::Text;
use crate::isa::{Class, Extension, FFLAGS, FRM, Op};

/// The major opcode of CSR instructions.
const SYSTEM: u8 = 0x73;

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
        let first = (text.start % 2) as usize;
        for offset in (first..text.bytes.len()).step_by(2) {
            // Decoding every halfword would take longer than all else that is looked for in text.
            if text.bytes[offset] & 0x7f != SYSTEM {
                continue;
            }
            let decoded = text.decode(text.start + offset as u32);
            let Some(step) = decoded.filter(|step| step.op.class() == Class::Csr) else {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::machine;

    const LUI: u32 = 0x0000_0537;

    fn observed(version: u16, start: u32, halfwords: &[u16]) -> Observed {
        let bytes: Vec<u8> = halfwords
            .iter()
            .flat_map(|halfword| halfword.to_le_bytes())
            .collect();
        Observed::by(Text {
            machine: machine(version).unwrap(),
            start,
            bytes: &bytes,
        })
    }

    fn check(word: u32, exceptions: bool, rounding: bool) {
        let expected = Observed { exceptions, rounding };
        let [low, high] = [word as u16, (word >> 16) as u16];
        let nothing = Observed {
            exceptions: false,
            rounding: false,
        };
        assert_eq!(observed(2, 0x1_0000, &[low, high]), expected, "{word:#x}");
        // In the middle of another instruction, whose other half is there or not.
        assert_eq!(
            observed(2, 0x1_0000, &[LUI as u16, low, high, 0]),
            expected,
            "{word:#x}"
        );
        assert_eq!(observed(2, 0x1_0000, &[0, low]), nothing, "{word:#x} cut");
        assert_eq!(
            observed(1, 0x1_0000, &[low, high]),
            nothing,
            "{word:#x} in version 1"
        );
    }

    #[test]
    fn what_reads_exceptions_or_sets_the_rounding_mode_is_seen_anywhere() {
        check(0x0010_2573, true, false); // frflags a0
        check(0x0020_2573, false, false); // frrm a0
        check(0x0030_2573, true, false); // frcsr a0
        check(0x0015_9073, false, false); // csrrw zero, fflags, a1
        check(0x0025_9073, false, true); // csrrw zero, frm, a1
        check(0x0035_9573, true, true); // csrrw a0, fcsr, a1
        check(0x0022_d073, false, true); // csrrwi zero, frm, 5
        check(0x0020_e073, false, true); // csrrsi zero, frm, 1
        check(0x0020_6073, false, false); // csrrsi zero, frm, 0
        check(0x0025_b073, false, true); // csrrc zero, frm, a1
        check(0xc000_2573, false, false); // rdcycle a0, illegal
        check(0x0000_0073, false, false); // ecall
    }
}
