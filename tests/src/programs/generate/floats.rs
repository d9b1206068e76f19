//! Floating point. Its registers are nobody's: anything may write them anywhere, and the end of the program shows them.

use millrace_jit::isa::{Extension, F0, FCSR, FFLAGS, FRM, Form, Operands, forms};

use super::{Generator, bit};
use crate::asm::{double, random_word, single};

/// How much a program has to do with floating point. Native code computes differently for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Floats {
    /// Nothing: it is of machine version 1.
    None,
    /// Looks neither at exceptions nor at the rounding mode.
    Plain,
    /// Sets the dynamic rounding mode.
    Rounds,
    /// The same, and reads exceptions.
    Observes,
}

/// Whether a form came with version 2.
fn is_new(form: &Form) -> bool {
    matches!(
        form.extension,
        Extension::F | Extension::D | Extension::Zcd | Extension::Zicsr
    )
}

/// Offset in the constants where numbers begin: doubles and singles by turns.
const NUMBERS: u64 = 512;
/// How many there are.
const COUNT: u64 = 64;

impl Generator<'_> {
    /// Whether instructions of this form may be made.
    pub(super) fn has(&self, form: &Form) -> bool {
        self.floats != Floats::None || !is_new(form)
    }

    /// Puts numbers among the constants.
    pub(super) fn make_numbers(&mut self) {
        for index in 0..COUNT {
            let number = if index % 2 == 0 {
                double(self.choices)
            } else {
                single(self.choices)
            };
            let at = (NUMBERS + 8 * index) as usize;
            self.rodata[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
    }

    /// One thing that has to do with floating point.
    pub(super) fn float(&mut self) {
        match self.choices.below(8) {
            0 => self.float_access(),
            1 => self.state(),
            _ => self.float_computation(),
        }
    }

    fn float_computation(&mut self) {
        let kept = self.scope.kept;
        let form = loop {
            let form = self.choices.pick(forms());
            if form.op.class().is_float() {
                break form;
            }
        };
        let accept = |operands: &Operands| kept & bit(operands.rd) == 0;
        let Some((word, operands)) = random_word(self.choices, form, accept) else {
            return;
        };
        for register in [operands.rs1, operands.rs2, operands.rs3] {
            if register >= F0 && self.choices.chance(40) {
                self.number(register);
            }
        }
        self.word(form, word);
    }

    /// Loads one of the numbers.
    fn number(&mut self, register: u8) {
        let Some(base) = self.free(0) else { return };
        let address = self.layout.rodata + NUMBERS + 8 * self.choices.below(COUNT);
        self.set(base, address);
        self.op("fld", register, base, 0, 0);
    }

    /// To or from a place near home, or one of the locals.
    fn float_access(&mut self) {
        let register = F0 + self.choices.below(32) as u8;
        let displacement = 8 * self.choices.below(32) as i32;
        match (self.choices.below(5), self.scope.locals) {
            (0, _) => self.op("fld", register, self.home, 0, displacement),
            (1, _) => self.op("flw", register, self.home, 0, displacement),
            (2, _) => self.op("fsw", 0, self.home, register, displacement),
            (3, Some((low, high))) if high - low >= 16 => {
                self.op("fsd", 0, super::SP, register, low);
                let other = F0 + self.choices.below(32) as u8;
                self.op("fld", other, super::SP, 0, low);
            }
            _ => self.op("fsd", 0, self.home, register, displacement),
        }
    }

    /// A look at floating-point state, or a change of it.
    fn state(&mut self) {
        if matches!(self.floats, Floats::None | Floats::Plain) {
            return self.float_computation();
        }
        let kept = self.scope.kept;
        if self.floats == Floats::Observes {
            let form = loop {
                let form = self.choices.pick(forms());
                if form.extension == Extension::Zicsr {
                    break form;
                }
            };
            let found = random_word(self.choices, form, |operands| kept & bit(operands.rd) == 0);
            if let Some((word, _)) = found {
                self.word(form, word);
            }
            if let Some(seen) = self.free(0) {
                let csr = *self.choices.pick(&[FFLAGS, FCSR]);
                self.op4("csrrs", seen, 0, 0, csr);
            }
        }
        // One of the five: with a reserved one nearly everything traps.
        let mode = self.choices.below(5) as i32;
        self.op4("csrrwi", 0, 0, 0, FRM | mode << 12);
    }

    /// Gives every floating-point register a number.
    pub(super) fn set_floats(&mut self) {
        if self.floats == Floats::None {
            return;
        }
        for register in F0..F0 + 32 {
            let piece = self.open();
            self.number(register);
            self.close(piece);
        }
    }

    /// Stores every floating-point register, and what exceptions there were.
    pub(super) fn show_floats(&mut self) {
        if self.floats == Floats::None {
            return;
        }
        for register in F0..F0 + 32 {
            let piece = self.open();
            self.op("fsd", 0, self.home, register, 8 * i32::from(register - F0));
            self.close(piece);
        }
        if self.floats == Floats::Observes {
            let piece = self.open();
            if let Some(seen) = self.free(0) {
                self.op4("csrrs", seen, 0, 0, FCSR);
                self.op("sd", 0, self.home, seen, 256);
            }
            self.close(piece);
        }
    }
}
