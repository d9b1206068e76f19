//! Code without control flow.

use millrace_jit::isa::{Class, Form, Op, Operands, forms};

use super::super::guest::{HOME, SCRATCH, SCRATCH_END};
use super::floats::Floats;
use super::{Generator, SP, bit};
use crate::asm::{form, random_word, value};

/// Spare bytes at the end of what random accesses touch.
const MARGIN: u64 = 16;

fn computes(form: &Form) -> bool {
    matches!(
        form.op.class(),
        Class::Alu | Class::Mul | Class::Clmul | Class::Div | Class::Fence
    )
}

impl Generator<'_> {
    /// A few random instructions that only compute.
    pub(super) fn straight(&mut self, most: u64) {
        for _ in 0..self.choices.between(1, most) {
            let start = self.open();
            match self.choices.below(10) {
                0 => self.idiom(),
                1 => self.access(),
                2..5 if self.floats != Floats::None => self.float(),
                _ => self.computation(0),
            }
            self.close(start);
        }
    }

    /// One random instruction that only computes, of so many bytes; 0 for any.
    pub(super) fn computation(&mut self, len: u8) {
        let kept = self.scope.kept;
        for _ in 0..8 {
            let form = self.choices.pick(forms());
            if !computes(form) || len != 0 && form.length() != len {
                continue;
            }
            let found = random_word(self.choices, form, |operands| kept & bit(operands.rd) == 0);
            if let Some((word, _)) = found {
                self.word(form, word);
                return;
            }
        }
        self.word(
            form(if len == 2 { "c.nop" } else { "fence" }),
            if len == 2 { 1 } else { 0x0ff0_000f },
        );
    }

    /// What compilers write where the instruction set has no single instruction.
    pub(super) fn idiom(&mut self) {
        let Some((d, t)) = self.free_two(0) else { return };
        let (a, b, x, y) = (self.any(), self.any(), self.any(), self.any());
        match self.choices.below(16) {
            0 | 1 => {
                let value = value(self.choices);
                self.set(d, value);
            }
            // Zero and sign extension by two shifts, also by other widths, or with a shift folded in.
            2 => {
                let left = *self.choices.pick(&[32, 32, 48, 56, 16, 33]);
                let right = *self.choices.pick(&[left, left, left - 3, left - 1]);
                self.op("slli", d, a, 0, left);
                let name = *self.choices.pick(&["srli", "srli", "srai"]);
                self.op(name, d, d, 0, right);
            }
            // 128-bit addition and subtraction.
            3 if a != d && a != t => {
                self.op("add", d, a, b, 0);
                self.op("sltu", t, d, a, 0);
                if let Some(high) = self.free(bit(d) | bit(t)) {
                    self.op("add", high, x, y, 0);
                    self.op("add", high, high, t, 0);
                    if self.choices.chance(40) {
                        self.op("sltu", t, high, t, 0);
                    }
                }
            }
            4 => {
                self.op("sltu", t, a, b, 0);
                self.op("sub", d, a, b, 0);
                if let Some(high) = self.free(bit(d) | bit(t)) {
                    self.op("sub", high, x, y, 0);
                    self.op("sub", high, high, t, 0);
                }
            }
            // Widening multiplication, in both orders; the first result may overwrite an operand.
            5 | 6 => {
                let high = *self.choices.pick(&["mulhu", "mulhu", "mulh", "mulhsu"]);
                let (first, second) = if self.choices.chance(50) {
                    ("mul", high)
                } else {
                    (high, "mul")
                };
                self.op(first, d, a, b, 0);
                self.op(second, t, a, b, 0);
            }
            7 => {
                let n = self.choices.between(1, 63) as i32;
                self.op("slli", d, a, 0, n);
                self.op("srli", t, a, 0, 64 - n);
                self.op("or", d, d, t, 0);
            }
            8 => {
                let n = self.choices.between(1, 31) as i32;
                self.op("slliw", d, a, 0, n);
                self.op("srliw", t, a, 0, 32 - n);
                self.op("or", d, d, t, 0);
            }
            // 32-bit chains.
            9 => {
                for _ in 0..self.choices.between(2, 6) {
                    let name = *self
                        .choices
                        .pick(&["addw", "subw", "sllw", "srlw", "sraw", "mulw", "rolw", "rorw"]);
                    let other = self.any();
                    self.op(name, d, d, other, 0);
                }
                if self.choices.chance(50) {
                    let name = *self.choices.pick(&["addiw", "sext.h", "zext.h", "add.uw"]);
                    self.op(name, d, d, 0, 0);
                }
            }
            // Divisions at their edges.
            10 | 11 => {
                let wide = self.choices.chance(50);
                let least = if wide { 1 << 63 } else { 0xffff_ffff_8000_0000 };
                let any = value(self.choices);
                let dividend = *self.choices.pick(&[least, least, any, 1, u64::MAX, 0x8000_0000]);
                let divisor = *self
                    .choices
                    .pick(&[u64::MAX, u64::MAX, 0, 0, 1, least, any, 1 << 32]);
                self.set(d, dividend);
                self.set(t, divisor);
                let names: &[_] = if wide {
                    &["div", "divu", "rem", "remu"]
                } else {
                    &["divw", "divuw", "remw", "remuw"]
                };
                for _ in 0..self.choices.between(1, 3) {
                    let name = *self.choices.pick(names);
                    if let Some(result) = self.free(bit(d) | bit(t)) {
                        self.op(name, result, d, t, 0);
                    }
                }
            }
            // Selection without a branch.
            12 => {
                self.op("czero.eqz", d, a, b, 0);
                if b != d {
                    self.op("czero.nez", t, x, b, 0);
                    self.op("or", d, d, t, 0);
                }
            }
            13 => {
                self.op("sltu", t, a, b, 0);
                self.op("sub", t, 0, t, 0);
                self.op("and", d, t, x, 0);
                self.op("andn", t, y, t, 0);
                self.op("or", d, d, t, 0);
            }
            14 => {
                let name =
                    *self
                        .choices
                        .pick(&["sh1add", "sh2add", "sh3add", "sh1add.uw", "sh3add.uw", "add.uw"]);
                self.op(name, d, a, b, 0);
                self.op(name, t, d, d, 0);
            }
            // An address formed and changed by small steps.
            _ => {
                self.op("addi", d, a, 0, 2047);
                self.op("addi", d, d, 0, 2047);
                self.op("addi", t, d, 0, -2048);
            }
        }
    }

    /// One or a few loads and stores.
    pub(super) fn access(&mut self) {
        match self.choices.below(12) {
            0..4 => self.placed_access(),
            4 | 5 => self.home_access(),
            6 | 7 => self.masked_access(),
            8 if self.scope.locals.is_some() => self.local_access(),
            9 => self.clustered_access(),
            10 => self.constant_access(),
            _ => self.atomic(),
        }
    }

    fn memory_form(&mut self) -> &'static Form {
        loop {
            let form = self.choices.pick(forms());
            if matches!(form.op.class(), Class::Load | Class::Store) && self.has(form) {
                return form;
            }
        }
    }

    fn scratch_address(&mut self) -> u64 {
        let data = self.layout.data;
        match self.choices.below(4) {
            // Across one of the page boundaries inside.
            0 => {
                let page = *self.choices.pick(&[0x1000, 0x2000]);
                data + page - 8 + self.choices.below(16)
            }
            1 => data + SCRATCH + 8 * self.choices.below((SCRATCH_END - SCRATCH - MARGIN) / 8),
            _ => data + SCRATCH + self.choices.below(SCRATCH_END - SCRATCH - MARGIN),
        }
    }

    /// Makes the upper half of an address something that only the machine ignores.
    fn soil(&mut self, register: u8) {
        if self.shape.for_qemu || !self.choices.chance(30) {
            return;
        }
        if let Some(t) = self.free(bit(register)) {
            let junk = value(self.choices) << 32;
            self.set(t, junk);
            self.op("or", register, register, t, 0);
        }
    }

    /// Any form at an address that was set for it.
    fn placed_access(&mut self) {
        let form = self.memory_form();
        let kept = self.scope.kept;
        let accept =
            |operands: &Operands| operands.rs1 != 0 && kept & (bit(operands.rd) | bit(operands.rs1)) == 0;
        let Some((word, operands)) = random_word(self.choices, form, accept) else {
            return;
        };
        let address = self.scratch_address();
        self.set(
            operands.rs1,
            address.wrapping_add_signed(-i64::from(operands.imm)),
        );
        self.soil(operands.rs1);
        self.word(form, word);
    }

    /// By a displacement from home, where nothing needs to be set.
    fn home_access(&mut self) {
        let displacement = self.choices.below(2048 - MARGIN) as i32;
        self.access_at(self.home, displacement);
    }

    /// One load or store at `base`, which is in order, and a displacement.
    fn access_at(&mut self, base: u8, displacement: i32) {
        const LOADS: [&str; 7] = ["lb", "lh", "lw", "ld", "lbu", "lhu", "lwu"];
        const STORES: [&str; 4] = ["sb", "sh", "sw", "sd"];
        if self.choices.chance(50) {
            let Some(rd) = self.free(0) else { return };
            let name = *self.choices.pick(&LOADS);
            let rd = if self.choices.chance(5) { 0 } else { rd };
            self.op(name, rd, base, 0, displacement);
        } else {
            let (name, source) = (*self.choices.pick(&STORES), self.any());
            self.op(name, 0, base, source, displacement);
        }
    }

    /// At an address that depends on data.
    pub(super) fn masked_access(&mut self) {
        let Some(t) = self.free(0) else { return };
        let index = self.any();
        let mask = *self.choices.pick(&[0x7f8, 0x7ff, 0x7fe, 0x0f8, 0x03f, 0x700]);
        match self.choices.below(4) {
            0 => {
                let bits = self.choices.between(54, 60) as i32;
                self.op("slli", t, index, 0, bits);
                self.op("srli", t, t, 0, 53);
            }
            _ => self.op("andi", t, index, 0, mask),
        }
        self.op("add", t, t, self.home, 0);
        self.soil(t);
        for _ in 0..self.choices.between(1, 3) {
            let displacement = self.choices.below(2048 - MARGIN) as i32;
            self.keeping(bit(t), |this| this.access_at(t, displacement));
        }
    }

    fn local_access(&mut self) {
        let Some((low, high)) = self.scope.locals else {
            return;
        };
        for _ in 0..self.choices.between(1, 4) {
            let displacement = low + self.choices.below((high - low - 7) as u64) as i32;
            let aligned = if self.choices.chance(70) {
                displacement & !7
            } else {
                displacement
            };
            self.access_at(SP, aligned.max(low));
        }
    }

    /// Several accesses from one address, to both sides.
    fn clustered_access(&mut self) {
        let Some(base) = self.free(0) else { return };
        let middle = self.layout.data + HOME + 0x1000;
        let address = middle + self.choices.below(0x400);
        self.set(base, address);
        self.soil(base);
        self.keeping(bit(base), |this| {
            for _ in 0..this.choices.between(2, 7) {
                let displacement = match this.choices.below(3) {
                    0 => this.choices.below(64) as i32 * 8,
                    1 => *this.choices.pick(&[-2048, 2047, -1, -2044, 2040]),
                    _ => this.choices.below(4096) as i32 - 2048,
                };
                this.access_at(base, displacement);
                if this.choices.chance(20) {
                    this.computation(0);
                }
            }
        });
        if self.choices.chance(30) {
            self.op("addi", base, base, 0, 16);
            self.keeping(bit(base), |this| this.access_at(base, -8));
        }
    }

    fn constant_access(&mut self) {
        const LOADS: [&str; 7] = ["lb", "lh", "lw", "ld", "lbu", "lhu", "lwu"];
        let Some((base, rd)) = self.free_two(0) else {
            return;
        };
        // Text is not the same under qemu.
        let text = !self.shape.for_qemu && self.choices.chance(25);
        let (start, len) = if text {
            (self.layout.text, 32)
        } else {
            (self.layout.rodata, 1000)
        };
        let address = start + self.choices.below(len);
        self.set(base, address);
        let name = *self.choices.pick(&LOADS);
        self.op(name, rd, base, 0, 0);
    }

    pub(super) fn atomic(&mut self) {
        let name = loop {
            let form = self.choices.pick(forms());
            if form.op.class() == Class::Atomic {
                break form.name;
            }
        };
        let form = form(name);
        let (width, suffix) = if name.contains(".w") { (4, "w") } else { (8, "d") };
        let Some((base, rd)) = self.free_two(0) else {
            return;
        };
        if self.choices.chance(60) {
            let address = self.scratch_address() / width * width;
            self.set(base, address);
        } else {
            let index = self.any();
            self.op("andi", base, index, 0, 0x7f8);
            self.op("add", base, base, self.home, 0);
        }
        self.soil(base);
        let (source, order) = (self.any(), self.choices.below(4) as i32);
        if matches!(form.op, Op::ScW | Op::ScD | Op::LrW | Op::LrD) {
            self.reserved(base, rd, source, suffix);
        } else {
            self.op4(name, rd, base, source, order);
        }
    }

    /// LR, something in between, SC; also SC alone, or twice.
    fn reserved(&mut self, base: u8, rd: u8, source: u8, suffix: &str) {
        let (load, store) = (format!("lr.{suffix}"), format!("sc.{suffix}"));
        let kept = bit(base) | bit(rd);
        let Some(done) = self.free(kept) else { return };
        if self.choices.chance(85) {
            self.op4(&load, rd, base, 0, 0);
        }
        self.keeping(kept, |this| {
            for _ in 0..this.choices.below(3) {
                this.computation(0);
            }
            // What happens to a reservation is ours to say, so none of these is for qemu.
            if !this.shape.for_qemu {
                match this.choices.below(6) {
                    0 => this.op("sd", 0, base, source, 0),
                    1 => this.op("addi", base, base, 0, 8),
                    2 => {
                        let other = if suffix == "w" { "lr.d" } else { "lr.w" };
                        this.op("andi", base, base, 0, -8);
                        this.op4(other, 0, base, 0, 0);
                    }
                    3 => this.host_call(),
                    _ => {}
                }
            }
        });
        self.op4(&store, done, base, source, 0);
        if self.choices.chance(20) {
            self.op4(&store, done, base, source, 0);
        }
    }
}
