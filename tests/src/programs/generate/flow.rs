//! Control flow inside a function: branches, loops, graphs of blocks, tables, decodes that overlap.

use millrace_jit::isa::{Class, Extension, Op, forms};
use rand::Rng;

use super::super::code::{Item, Label};
use super::super::guest::{SCRATCH, SCRATCH_END};
use super::{Generator, bit};
use crate::asm::random_word;

/// What makes a loop end: a count of turns left.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fuel {
    Register(u8),
    /// In memory, at this displacement from home; decremented by way of a register.
    Cell(i32, u8),
}

impl Fuel {
    /// Registers that must not be written while it is in use.
    pub(super) const fn kept(self) -> u32 {
        match self {
            Self::Register(register) => bit(register),
            Self::Cell(..) => 0,
        }
    }
}

const BRANCHES: [Op; 6] = [Op::Beq, Op::Bne, Op::Blt, Op::Bge, Op::Bltu, Op::Bgeu];

impl Generator<'_> {
    pub(super) fn statements(&mut self, most: u64) {
        for _ in 0..self.choices.between(1, most) {
            self.statement();
        }
    }

    pub(super) fn statement(&mut self) {
        let start = self.open();
        let simple = self.scope.depth >= 3 || self.room() < 40;
        match self.choices.below(if simple { 50 } else { 100 }) {
            0..20 => self.straight(6),
            20..28 => self.idiom(),
            28..42 => self.access(),
            42 => self.host_call(),
            43..50 => self.over(),
            50..63 => self.repeat(),
            63..68 => self.graph(),
            68..74 => self.switch(),
            74..78 => self.overlap(),
            78..80 => self.link_goto(),
            80..92 => self.call(),
            92..95 => self.host_call(),
            95..98 => self.contexts(),
            _ => self.leave_early(),
        }
        self.close(start);
        if self.traps_left > 0 && self.choices.chance(7) {
            self.traps_left -= 1;
            self.trap();
        }
    }

    /// Does `make` as something that happens so many times.
    pub(super) fn turning<T>(&mut self, turns: u64, make: impl FnOnce(&mut Self) -> T) -> T {
        let (before, depth) = (self.scope.turns, self.scope.depth);
        self.scope.turns = before.saturating_mul(turns.max(1));
        self.scope.depth += 1;
        let made = make(self);
        (self.scope.turns, self.scope.depth) = (before, depth);
        made
    }

    /// A branch on something that is not known.
    pub(super) fn branch_any(&mut self, target: Label) {
        let op = *self.choices.pick(&BRANCHES);
        let (a, b) = (self.any(), self.any());
        match self.choices.below(4) {
            0 => self.branch(op, a, 0, target),
            1 => {
                if let Some(t) = self.free(0) {
                    let bits = self.choices.between(1, 3) as i32;
                    self.op("andi", t, a, 0, bits);
                    let op = *self.choices.pick(&[Op::Beq, Op::Bne]);
                    self.branch(op, t, 0, target);
                } else {
                    self.branch(op, a, b, target);
                }
            }
            _ => self.branch(op, a, b, target),
        }
    }

    fn over(&mut self) {
        let (other, end) = (self.label(), self.label());
        self.branch_any(other);
        self.turning(1, |this| this.statements(2));
        if self.choices.chance(40) {
            self.jump(0, end);
            self.here(other);
            self.turning(1, |this| this.statements(2));
        } else {
            self.here(other);
        }
        self.here(end);
    }

    fn leave_early(&mut self) {
        if let Some(exit) = self.scope.exit {
            self.branch_any(exit);
        }
    }

    /// Turns for a loop here, so that it fits.
    fn turns(&mut self) -> u64 {
        let most = (self.room() / 10).clamp(1, 500);
        self.choices.magnitude(most)
    }

    /// Sets up `turns` turns.
    pub(super) fn fuel(&mut self, turns: u64, in_cell: bool) -> Option<Fuel> {
        let register = self.free(0)?;
        self.set(register, turns);
        if !in_cell {
            return Some(Fuel::Register(register));
        }
        let cell = self.cell()?;
        self.op("sd", 0, self.home, register, cell);
        Some(Fuel::Cell(cell, register))
    }

    /// Takes one turn off and goes to `target` if any are left, or if none are.
    pub(super) fn burn(&mut self, fuel: Fuel, target: Label, if_left: bool) {
        let register = match fuel {
            Fuel::Register(register) => register,
            Fuel::Cell(cell, register) => {
                self.op("ld", register, self.home, 0, cell);
                register
            }
        };
        self.op("addi", register, register, 0, -1);
        if let Fuel::Cell(cell, _) = fuel {
            self.op("sd", 0, self.home, register, cell);
        }
        if if_left {
            match self.choices.below(3) {
                0 => self.branch(Op::Blt, 0, register, target),
                _ => self.branch(Op::Bne, register, 0, target),
            }
        } else {
            match self.choices.below(3) {
                0 => self.branch(Op::Bge, 0, register, target),
                _ => self.branch(Op::Beq, register, 0, target),
            }
        }
    }

    fn repeat(&mut self) {
        match self.choices.below(8) {
            0 | 1 => self.tiny_loop(),
            2 => self.up_loop(),
            3 => self.pointer_loop(),
            4 => self.shift_loop(),
            _ => self.down_loop(),
        }
    }

    /// Counts down; tested at the end or at the start; perhaps with other ways out.
    fn down_loop(&mut self) {
        let turns = self.turns();
        let in_cell = self.choices.chance(25);
        let Some(fuel) = self.fuel(turns, in_cell) else {
            return;
        };
        let (again, out) = (self.label(), self.label());
        let exits = self.choices.chance(30);
        let tested_first = self.choices.chance(30);
        self.here(again);
        self.keeping(fuel.kept(), |this| {
            this.turning(turns + 1, |this| {
                if tested_first {
                    this.burn(fuel, out, false);
                }
                this.statements(2);
                if exits {
                    this.branch_any(out);
                    this.statements(1);
                }
                if tested_first {
                    this.jump(0, again);
                } else {
                    this.burn(fuel, again, true);
                }
            });
        });
        self.here(out);
    }

    /// One to six instructions.
    fn tiny_loop(&mut self) {
        let turns = self.choices.magnitude((self.room() / 6).clamp(1, 3000));
        let Some(fuel) = self.fuel(turns, false) else {
            return;
        };
        let again = self.new_here();
        self.keeping(fuel.kept(), |this| {
            this.turning(turns, |this| {
                for _ in 0..this.choices.below(5) {
                    this.computation(0);
                }
                this.burn(fuel, again, true);
            });
        });
    }

    fn up_loop(&mut self) {
        let turns = self.turns();
        let Some((index, end)) = self.free_two(0) else {
            return;
        };
        let step = self.choices.between(1, 9);
        self.set(index, 0);
        self.set(end, turns * step);
        let (again, test) = (self.label(), self.label());
        let tested_first = self.choices.chance(50);
        if tested_first {
            self.jump(0, test);
        }
        self.here(again);
        self.keeping(bit(index) | bit(end), |this| {
            this.turning(turns, |this| {
                this.statements(2);
                this.op("addi", index, index, 0, step as i32);
                this.here(test);
                let op = *this.choices.pick(&[Op::Bne, Op::Blt, Op::Bltu]);
                this.branch(op, index, end, again);
            });
        });
    }

    /// Over an array: sums, copies, fills.
    fn pointer_loop(&mut self) {
        let (name, width) = *self
            .choices
            .pick(&[("lbu", 1), ("lb", 1), ("lhu", 2), ("lw", 4), ("ld", 8)]);
        let turns = self.choices.magnitude((self.room() / 8).clamp(1, 1500 / width));
        let Some((p, end)) = self.free_two(0) else { return };
        let Some((sum, t)) = self.free_two(bit(p) | bit(end)) else {
            return;
        };
        let start = self.layout.data + SCRATCH;
        let start = start + self.choices.below(SCRATCH_END - SCRATCH - turns * width - 64);
        self.set(p, start);
        self.set(end, start + turns * width);
        let again = self.new_here();
        let writes = self.choices.below(3);
        self.keeping(bit(p) | bit(end) | bit(sum), |this| {
            this.turning(turns, |this| {
                if writes != 2 {
                    this.op(name, t, p, 0, 0);
                    let name = *this.choices.pick(&["add", "xor", "addw", "sub", "sltu"]);
                    this.op(name, sum, sum, t, 0);
                }
                if writes > 0 {
                    let store = match width {
                        1 => "sb",
                        2 => "sh",
                        4 => "sw",
                        _ => "sd",
                    };
                    this.op(store, 0, p, sum, 32);
                }
                if this.choices.chance(30) {
                    this.computation(0);
                }
                this.op("addi", p, p, 0, width as i32);
                let op = *this.choices.pick(&[Op::Bne, Op::Bltu]);
                this.branch(op, p, end, again);
            });
        });
    }

    /// As many turns as a number has bits.
    fn shift_loop(&mut self) {
        let Some(rest) = self.free(0) else { return };
        let any = self.any();
        if self.room() < 400 {
            return;
        }
        self.copy(rest, any);
        let (again, out) = (self.label(), self.label());
        self.branch(Op::Beq, rest, 0, out);
        self.here(again);
        self.keeping(bit(rest), |this| {
            this.turning(64, |this| {
                this.straight(3);
                this.op("srli", rest, rest, 0, 1);
                this.branch(Op::Bne, rest, 0, again);
            });
        });
        self.here(out);
    }

    /// Blocks that go to each other at random, entered at any: loops with several entries and several ways out.
    fn graph(&mut self) {
        let blocks = self.choices.between(2, 6) as usize;
        let turns = self.choices.magnitude((self.room() / 30).clamp(1, 300));
        let in_cell = self.choices.chance(30);
        let Some(fuel) = self.fuel(turns, in_cell) else {
            return;
        };
        let labels: Vec<Label> = (0..blocks).map(|_| self.label()).collect();
        let out = self.label();
        self.keeping(fuel.kept(), |this| {
            let entry = *this.choices.pick(&labels);
            this.branch_any(entry);
            if this.choices.chance(30) {
                this.jump_one_of(&labels);
            }
            for &block in &labels {
                this.here(block);
                let piece = this.open();
                this.turning(turns, |this| this.statements(2));
                this.close(piece);
                this.turning(turns, |this| {
                    this.burn(fuel, out, false);
                    match this.choices.below(5) {
                        0 => this.jump_one_of(&labels),
                        1 => {
                            let target = *this.choices.pick(&labels);
                            this.jump(0, target);
                        }
                        2 => {
                            let target = *this.choices.pick(&labels);
                            this.branch_any(target);
                            let target = *this.choices.pick(&labels);
                            this.jump(0, target);
                        }
                        // To the next one otherwise; the last one falls out of the graph.
                        3 => this.branch_any(out),
                        _ => {
                            let target = *this.choices.pick(&labels);
                            this.branch_any(target);
                        }
                    }
                });
            }
        });
        self.here(out);
    }

    /// An indirect jump to one of these places, through a table or to an address that is made.
    fn jump_one_of(&mut self, labels: &[Label]) {
        let Some((t, u)) = self.free_two(0) else {
            self.jump(0, labels[0]);
            return;
        };
        if self.choices.chance(20) {
            let target = *self.choices.pick(labels);
            self.address(u, target, 0);
            self.jump_register(u);
            return;
        }
        let bits = self.choices.between(1, 4);
        let entries: Vec<Label> = (0..1 << bits).map(|_| *self.choices.pick(labels)).collect();
        self.jump_by_table(&entries, t, u, 0);
    }

    /// Jumps to the entry that any register's low bits choose. Their number is a power of 2, below 2048.
    pub(super) fn jump_by_table(&mut self, entries: &[Label], t: u8, u: u8, link: u8) {
        let index = self.any();
        self.op("andi", t, index, 0, entries.len() as i32 - 1);
        let (relative, width) = *self
            .choices
            .pick(&[(false, 8), (false, 8), (false, 4), (true, 4)]);
        let from = relative.then(|| entries[0]);
        let table = self.table(entries, from, width);
        self.set(u, table);
        let shift = width.trailing_zeros() as i32;
        if self.choices.chance(30) {
            self.op(if width == 8 { "sh3add" } else { "sh2add" }, t, t, u, 0);
        } else {
            self.op("slli", t, t, 0, shift);
            self.op("add", t, t, u, 0);
        }
        let sign = relative || self.layout.text < 0x7000_0000;
        let load = match width {
            8 => "ld",
            _ if sign => "lw",
            _ => "lwu",
        };
        self.op(load, t, t, 0, 0);
        if let Some(from) = from {
            self.address(u, from, 0);
            self.op("add", t, t, u, 0);
        }
        self.op("jalr", link, t, 0, 0);
    }

    /// A dense `switch`; some cases fall through.
    fn switch(&mut self) {
        let Some((t, u)) = self.free_two(0) else { return };
        let cases: Vec<Label> = (0..1 << self.choices.between(1, 4))
            .map(|_| self.label())
            .collect();
        let end = self.label();
        self.jump_by_table(&cases, t, u, 0);
        for &case in &cases {
            self.here(case);
            let piece = self.open();
            self.turning(1, |this| {
                if this.choices.chance(30) {
                    this.statements(1);
                } else {
                    this.straight(2);
                }
            });
            if self.choices.chance(75) {
                self.jump(0, end);
            }
            self.close(piece);
        }
        self.here(end);
    }

    /// A jump to any halfword of a run of 32-bit instructions whose second halves are instructions as well.
    fn overlap(&mut self) {
        let Some((t, u)) = self.free_two(0) else { return };
        let words = 1_u64 << self.choices.between(1, 4);
        let plain = self.choices.chance(30);
        let run = self.label();
        let index = self.any();
        let step = if plain { 4 } else { 2 };
        self.op("andi", t, index, 0, 4 * words as i32 - step);
        self.address(u, run, 0);
        self.op("add", u, u, t, 0);
        self.jump_register(u);
        self.here(run);
        if plain {
            for _ in 0..words {
                self.computation(4);
            }
            return;
        }
        let mut left = words;
        while left > 0 {
            left -= if left > 1 && self.choices.chance(40) && self.overlapping_pair() {
                2
            } else {
                self.overlapping_word();
                1
            };
        }
    }

    /// `lui` whose upper half is a compressed instruction.
    fn overlapping_word(&mut self) {
        let rd = self.free(0).unwrap_or(0);
        let low = 0x37 | u32::from(rd) << 7 | (self.choices.below(16) as u32) << 12;
        let high = self.compressed();
        self.count(rd, 2);
        self.chunk.items.push(Item::Bytes(high << 16 | low, 4));
    }

    fn compressed(&mut self) -> u32 {
        let kept = self.scope.kept;
        for _ in 0..50 {
            let form = self.choices.pick(forms());
            if !form.is_compressed() || form.op.class() != Class::Alu {
                continue;
            }
            let found = random_word(self.choices, form, |operands| kept & bit(operands.rd) == 0);
            if let Some((word, operands)) = found {
                self.count(operands.rd, 0);
                return word;
            }
        }
        1
    }

    /// Two `lui`, the upper half of the first and the lower half of the second another 32-bit instruction.
    fn overlapping_pair(&mut self) -> bool {
        let kept = self.scope.kept;
        for _ in 0..50 {
            let form = self.choices.pick(forms());
            if form.is_compressed() || !matches!(form.op.class(), Class::Alu | Class::Mul) {
                continue;
            }
            // These are replaced by others for qemu, which cannot be done where decodes overlap.
            if self.shape.for_qemu && (form.extension == Extension::Zicond || form.op == Op::Ctzw) {
                continue;
            }
            let any: u32 = self.choices.random();
            let word = form.pattern | any & !form.mask;
            let word = word & !0x7f_0000 | 0x37_0000;
            let second = (word >> 23 & 31) as u8;
            let Some(operands) = form.decode(word) else {
                continue;
            };
            if kept & (bit(operands.rd) | bit(second)) != 0 {
                continue;
            }
            let first = self.free(0).unwrap_or(0);
            let low = 0x37 | u32::from(first) << 7 | (self.choices.below(16) as u32) << 12;
            let high = self.compressed();
            for rd in [first, second, operands.rd] {
                self.count(rd, 1);
            }
            self.chunk.items.push(Item::Bytes((word & 0xffff) << 16 | low, 4));
            self.chunk.items.push(Item::Bytes(high << 16 | word >> 16, 4));
            return true;
        }
        false
    }

    /// `jal` to the next instruction for the pc, then a jump over something by way of the link.
    fn link_goto(&mut self) {
        let Some(link) = self.free(0) else { return };
        let skipped = self.choices.below(4) as i32;
        self.op4("jal", link, 0, 0, 4);
        if self.choices.chance(50) {
            self.op4("addi", link, link, 0, 8 + 4 * skipped);
            self.op4("jalr", 0, link, 0, 0);
        } else {
            self.op4("jalr", 0, link, 0, 4 + 4 * skipped);
        }
        for _ in 0..skipped {
            self.computation(4);
        }
    }
}
