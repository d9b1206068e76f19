//! Random cases: code that is valid, ends, and reads and writes only its own block of memory.
//!
//! One register per case, its `base`, holds the address of the case's block and is never written; all others take part.
//! A block has the registers' initial values, which the case's own values replace when it is done, those of floating point
//! and `fcsr` behind those of integers, and behind them the scratch area. An access may run up to 7 bytes over the block's end, into slot 0 of the next one, which is nobody's:
//! so some accesses cross pages.

use millrace_jit::isa::{self, Class, Extension, F0, Form, Op, Operands, forms};
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::Coverage;
use millrace_tests::asm::{Text, form, random_word};

/// Bytes of a case's block.
pub const BLOCK: u64 = 1024;
/// Offset of the floating-point registers: doubles in those with even numbers, boxed singles in the others.
pub const FLOATS: u64 = 256;
/// Offset of `fcsr`.
pub const FCSR: u64 = 512;
/// Offset of the scratch area in the block.
pub const SCRATCH: u64 = 768;
/// Things a case does: single instructions with what prepares them, branches over code, loops.
const ITEMS: usize = 16;

/// How much a case looks at floating-point state. Native code computes differently for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// There is none.
    Integers,
    /// Neither exceptions nor the rounding mode.
    Plain,
    /// Sets the dynamic rounding mode.
    Rounds,
    /// The same, and reads exceptions.
    Observes,
}

impl Style {
    const fn has_floats(self) -> bool {
        !matches!(self, Self::Integers)
    }

    const fn rounds(self) -> bool {
        matches!(self, Self::Rounds | Self::Observes)
    }
}

/// Makes the cases of one extension.
#[derive(Debug)]
pub struct Generator<'a, R> {
    random: &'a mut R,
    coverage: &'a mut Coverage,
    /// Forms of the extension; all come up before one comes up again.
    own: Vec<&'static Form>,
    pending: Vec<&'static Form>,
    /// Operations without operands in memory, to fill in between.
    mix: Vec<&'static Form>,
    style: Style,
    block: u64,
    /// Holds the block's address.
    base: u8,
    /// Registers that must not be written, as a bit mask.
    kept: u32,
}

fn is_straight(form: &Form) -> bool {
    matches!(
        form.op.class(),
        Class::Alu | Class::Mul | Class::Clmul | Class::Div
    ) || form.op.class().is_float()
}

impl<'a, R: Rng> Generator<'a, R> {
    pub fn new(random: &'a mut R, extension: Extension, style: Style, coverage: &'a mut Coverage) -> Self {
        let of = |wanted: Extension| forms().iter().filter(move |form| form.extension == wanted);
        let own = of(extension)
            .filter(|form| !crate::ends_program(form.op))
            .collect();
        let mix = [Extension::I, Extension::C, extension].into_iter().flat_map(of);
        let mix = mix.filter(|form| is_straight(form)).collect();
        Self {
            random,
            coverage,
            own,
            pending: Vec::new(),
            mix,
            style,
            block: 0,
            base: 0,
            kept: 0,
        }
    }

    /// Appends a case that works on `block`.
    pub fn case(&mut self, text: &mut Text, block: u64) {
        let base = self.random.random_range(1..32_u8);
        (self.block, self.kept, self.base) = (block, 1 << base, base);
        text.set(base, block);
        if self.style.has_floats() {
            for register in 0..32 {
                text.op(
                    "fld",
                    F0 + register,
                    base,
                    0,
                    FLOATS as i32 + 8 * i32::from(register),
                );
            }
        }
        if self.style.rounds() {
            self.set_rounding(text);
        }
        for register in (1..32).filter(|register| *register != base) {
            text.op("ld", register, base, 0, 8 * i32::from(register));
        }
        for _ in 0..ITEMS {
            if self.random.random_bool(0.1) {
                self.repeated(text);
            } else {
                self.next(text, self.kept);
            }
        }
        for register in 1..32 {
            text.op("sd", 0, base, register, 8 * i32::from(register));
        }
        if self.style.has_floats() {
            for register in 0..32 {
                text.op(
                    "fsd",
                    0,
                    base,
                    F0 + register,
                    FLOATS as i32 + 8 * i32::from(register),
                );
            }
        }
        if self.style == Style::Observes {
            // The base has done its work.
            text.op("addi", 31, base, 0, 0);
            text.op("csrrw", 30, 0, 0, isa::FCSR);
            text.op("sd", 0, 31, 30, FCSR as i32);
        }
        text.outline();
    }

    /// The next form of the extension, or now and then one of the mix.
    fn next(&mut self, text: &mut Text, kept: u32) {
        if self.random.random_bool(0.2) {
            let form = *self
                .mix
                .choose(self.random)
                .expect("every mix has the base operations");
            self.item(text, form, kept);
            return;
        }
        if self.pending.is_empty() {
            self.pending.clone_from(&self.own);
            self.pending.shuffle(self.random);
        }
        // A form that these kept registers rule out (a stack-relative load while sp is the base) waits its turn.
        for index in (0..self.pending.len()).rev() {
            let form = self.pending[index];
            if self.item(text, form, kept) {
                self.pending.remove(index);
                return;
            }
        }
    }

    /// A loop of one to four turns around a few items.
    fn repeated(&mut self, text: &mut Text) {
        let counter = self.random.random_range(1..32_u8);
        let kept = self.kept | 1 << counter;
        if kept == self.kept {
            return;
        }
        text.op("addi", counter, 0, 0, self.random.random_range(1..=4));
        let start = text.here();
        for _ in 0..self.random.random_range(1..=3) {
            self.next(text, kept);
        }
        text.op("addi", counter, counter, 0, -1);
        let back = start.wrapping_sub(text.here()) as i64;
        match i32::try_from(back).expect("loops are short") {
            back @ -4096.. => text.op("bne", 0, counter, 0, back),
            // A loop with a wide gap in it: leave by a short branch, go back by a long jump.
            back => {
                text.op("beq", 0, counter, 0, 8);
                text.op("jal", 0, 0, 0, back - 4);
            }
        }
    }

    /// One instruction of `form`, with what it takes to make it valid and to see what it does. False if there is none
    /// that leaves the kept registers alone.
    fn item(&mut self, text: &mut Text, form: &'static Form, kept: u32) -> bool {
        let done = match form.op.class() {
            Class::Alu | Class::Mul | Class::Clmul | Class::Div | Class::Fence => {
                self.straight(text, form, kept)
            }
            Class::FloatBits | Class::Float | Class::FloatFused | Class::FloatDivide => {
                self.float(text, form, kept)
            }
            Class::Csr => self.csr(text, form, kept),
            Class::Load | Class::Store => self.access(text, form, kept),
            Class::Atomic => self.atomic(text, form, kept),
            Class::Branch | Class::Jal => self.jump(text, form, kept),
            Class::Jalr => self.indirect(text, form, kept),
            Class::Ecall | Class::Ebreak => unreachable!("these end programs and are not asked for"),
        };
        if done {
            *self.coverage.entry(form.name).or_default() += 1;
        }
        done
    }

    fn straight(&mut self, text: &mut Text, form: &Form, kept: u32) -> bool {
        let word = random_word(self.random, form, |operands| writable(operands.rd, kept));
        word.map(|(word, _)| text.emit_word(form, word)).is_some()
    }

    /// A floating-point operation, mostly with sources at the edges of something, and often a look at its exceptions.
    fn float(&mut self, text: &mut Text, form: &Form, kept: u32) -> bool {
        let accept = |operands: &Operands| writable(operands.rd, kept);
        let Some((word, operands)) = random_word(self.random, form, accept) else {
            return false;
        };
        // What it converts from, if it is the other format.
        let is_single = match form.name {
            "fcvt.s.d" => false,
            "fcvt.d.s" => true,
            name => name.ends_with(".s") || name.ends_with(".w"),
        };
        for register in [operands.rs1, operands.rs2, operands.rs3] {
            if register >= F0 && self.random.random_bool(0.8) {
                // Now and then what a register of the other format holds.
                let parity = u8::from(is_single ^ self.random.random_bool(0.05));
                let slot = self.random.random_range(0..16) * 2 + parity;
                text.op("fld", register, self.base, 0, FLOATS as i32 + 8 * i32::from(slot));
            }
        }
        let reads = self.style == Style::Observes && self.random.random_bool(0.6);
        let flags = self.random.random_range(1..32_u8);
        if reads && writable(flags, kept) && flags != operands.rd {
            text.op("csrrwi", 0, 0, 0, isa::FFLAGS);
            text.emit_word(form, word);
            text.op("csrrs", flags, 0, 0, isa::FFLAGS);
        } else {
            text.emit_word(form, word);
        }
        if self.style.rounds() && self.random.random_bool(0.3) {
            self.set_rounding(text);
        }
        true
    }

    /// Sets one of the five rounding modes.
    fn set_rounding(&mut self, text: &mut Text) {
        let mode = self.random.random_range(0..5);
        text.op("csrrwi", 0, 0, 0, isa::FRM | mode << 12);
    }

    /// A CSR instruction, a look at what it did, and a rounding mode that is none of the reserved ones.
    fn csr(&mut self, text: &mut Text, form: &Form, kept: u32) -> bool {
        let accept = |operands: &Operands| writable(operands.rd, kept);
        let Some((word, _)) = random_word(self.random, form, accept) else {
            return false;
        };
        text.emit_word(form, word);
        let seen = self.random.random_range(1..32_u8);
        if writable(seen, kept) {
            text.op("csrrs", seen, 0, 0, isa::FCSR);
        }
        self.set_rounding(text);
        true
    }

    /// Code for branches to jump over: it may or may not be executed.
    fn filler(&mut self, kept: u32) -> Text {
        let mut text = Text::new(0);
        for _ in 0..self.random.random_range(1..=3) {
            let form = *self
                .mix
                .choose(self.random)
                .expect("every mix has the base operations");
            self.straight(&mut text, form, kept);
        }
        text
    }

    fn access(&mut self, text: &mut Text, form: &Form, kept: u32) -> bool {
        let accept = |operands: &Operands| writable(operands.rd, kept) && settable(operands.rs1, kept);
        let Some((word, operands)) = random_word(self.random, form, accept) else {
            return false;
        };
        let target = self.block + SCRATCH + self.random.random_range(0..BLOCK - SCRATCH);
        text.set(operands.rs1, target.wrapping_add_signed(-i64::from(operands.imm)));
        text.emit_word(form, word);
        true
    }

    fn atomic(&mut self, text: &mut Text, form: &Form, kept: u32) -> bool {
        let accept = |operands: &Operands| writable(operands.rd, kept) && settable(operands.rs1, kept);
        let Some((word, operands)) = random_word(self.random, form, accept) else {
            return false;
        };
        let width = if form.name.contains(".w") { 4 } else { 8 };
        let address = self.block + SCRATCH + width * self.random.random_range(0..(BLOCK - SCRATCH) / width);
        if matches!(form.op, Op::ScW | Op::ScD) {
            self.reserve(text, form.op, address, kept);
        }
        text.set(operands.rs1, address);
        text.emit_word(form, word);
        true
    }

    /// What goes before an SC to `address`: an LR, mostly of the same address, and now and then an SC that uses the
    /// reservation up.
    fn reserve(&mut self, text: &mut Text, op: Op, address: u64, kept: u32) {
        let (load, store) = if op == Op::ScW {
            ("lr.w", "sc.w")
        } else {
            ("lr.d", "sc.d")
        };
        let scratch = self.block + SCRATCH;
        let reserved = if self.random.random_bool(0.25) {
            scratch + (address - scratch + 8) % 256
        } else {
            address
        };
        let accept = |operands: &Operands| writable(operands.rd, kept) && settable(operands.rs1, kept);
        for (name, wanted) in [(load, true), (store, self.random.random_bool(0.25))] {
            let form = form(name);
            let found = random_word(self.random, form, accept).filter(|_| wanted);
            if let Some((word, operands)) = found {
                text.set(operands.rs1, reserved);
                text.emit_word(form, word);
                text.append(&self.filler(kept));
            }
        }
    }

    /// A branch or direct jump, forwards or backwards, over a little code or a wide gap.
    fn jump(&mut self, text: &mut Text, form: &Form, kept: u32) -> bool {
        let accept = |operands: &Operands| writable(operands.rd, kept);
        let Some((_, mut operands)) = random_word(self.random, form, accept) else {
            return false;
        };
        self.bias(text, form, &operands, kept);
        let (on, over) = (self.filler(kept), self.filler(kept));
        let gap = self.gap(form);
        let len = |text: &Text| i32::try_from(text.bytes.len()).expect("fillers are short");
        let own = i32::from(form.length());
        if self.random.random_bool(0.5) {
            // here: jump there; on; jal past; gap; there: over; past:
            operands.imm = own + len(&on) + 4 + gap;
            text.emit(form, operands);
            text.append(&on);
            text.op("jal", 0, 0, 0, 4 + gap + len(&over));
            text.gap(gap as usize);
            text.append(&over);
        } else {
            // jal here; there: on; jal past; gap; here: jump there; over; past:
            text.op("jal", 0, 0, 0, 4 + len(&on) + 4 + gap);
            operands.imm = -(len(&on) + 4 + gap);
            text.append(&on);
            text.op("jal", 0, 0, 0, 4 + gap + own + len(&over));
            text.gap(gap as usize);
            text.emit(form, operands);
            text.append(&over);
        }
        true
    }

    /// Half of the branches get operands for which both outcomes are likely; random ones are seldom equal or zero.
    fn bias(&mut self, text: &mut Text, form: &Form, operands: &Operands, kept: u32) {
        if form.op.class() == Class::Branch && self.random.random_bool(0.5) {
            for register in [operands.rs1, operands.rs2] {
                if settable(register, kept) {
                    text.op("addi", register, 0, 0, self.random.random_range(-1..=1));
                }
            }
        }
    }

    /// Bytes to jump over: none mostly, else up to near the reach of the form.
    fn gap(&mut self, form: &Form) -> i32 {
        let reach = match form.name {
            "jal" => 8000,
            "c.j" => 2000,
            "c.beqz" | "c.bnez" => 200,
            _ => 4000,
        };
        if self.random.random_bool(0.7) {
            0
        } else {
            self.random.random_range(0..reach / 2) * 2
        }
    }

    fn indirect(&mut self, text: &mut Text, form: &Form, kept: u32) -> bool {
        let accept = |operands: &Operands| writable(operands.rd, kept) && settable(operands.rs1, kept);
        let Some((word, operands)) = random_word(self.random, form, accept) else {
            return false;
        };
        let over = self.filler(kept);
        let target = text.here() + 8 + u64::from(form.length()) + over.bytes.len() as u64;
        let odd = i64::from(self.random.random_bool(0.5));
        text.set(
            operands.rs1,
            target.wrapping_add_signed(odd - i64::from(operands.imm)),
        );
        text.emit_word(form, word);
        text.append(&over);
        true
    }
}

/// Whether an instruction may write `register`; writes to x0 are void.
fn writable(register: u8, kept: u32) -> bool {
    register >= F0 || kept >> register & 1 == 0
}

/// Whether `register` can be given a value.
fn settable(register: u8, kept: u32) -> bool {
    register != 0 && writable(register, kept)
}
