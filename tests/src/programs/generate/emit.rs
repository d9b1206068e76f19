//! Single instructions and parts of them.

use millrace_jit::isa::{Form, Op, Operands, forms};

use super::super::code::{Item, Label};
use super::super::guest::{DATA_LEN, Fixup, HOME};
use super::{ALL, Generator, bit};
use crate::asm::form;

impl Generator<'_> {
    pub(super) fn label(&mut self) -> Label {
        self.labels += 1;
        Label(self.labels - 1)
    }

    pub(super) fn here(&mut self, label: Label) {
        self.chunk.items.push(Item::Here(label));
    }

    pub(super) fn new_here(&mut self) -> Label {
        let label = self.label();
        self.here(label);
        label
    }

    /// Begins something that can be left out as a whole; the number is for [`Self::close`].
    pub(super) fn open(&self) -> usize {
        self.chunk.items.len()
    }

    pub(super) fn close(&mut self, start: usize) {
        let end = self.chunk.items.len();
        if end > start {
            self.chunk.pieces.push(start..end);
        }
    }

    /// Notes an instruction that writes `rd`.
    pub(super) fn count(&mut self, rd: u8, instructions: u64) {
        self.scope.written |= bit(rd);
        self.scope.cost = self
            .scope
            .cost
            .saturating_add(self.scope.turns.saturating_mul(instructions));
    }

    pub(super) fn word(&mut self, form: &'static Form, word: u32) {
        let rd = form.decode(word).map_or(0, |operands| operands.rd);
        self.count(rd, 1);
        self.chunk.items.push(Item::Word(form, word));
    }

    /// An instruction of 4 bytes.
    pub(super) fn op4(&mut self, name: &str, rd: u8, rs1: u8, rs2: u8, imm: i32) {
        let form = form(name);
        let operands = Operands {
            rd,
            rs1,
            rs2,
            imm,
            ..Operands::default()
        };
        let word = form
            .encode(&operands)
            .unwrap_or_else(|| panic!("{name} cannot hold {operands:?}"));
        self.word(form, word);
    }

    /// An instruction, compressed in some of the cases where it can be.
    pub(super) fn op(&mut self, name: &str, rd: u8, rs1: u8, rs2: u8, imm: i32) {
        if self.choices.chance(50) {
            let op = form(name).op;
            let operands = Operands {
                rd,
                rs1,
                rs2,
                imm,
                ..Operands::default()
            };
            let short = forms()
                .iter()
                .filter(|form| form.op == op && form.is_compressed())
                .find_map(|form| form.encode(&operands).map(|word| (form, word)));
            if let Some((form, word)) = short {
                self.word(form, word);
                return;
            }
        }
        self.op4(name, rd, rs1, rs2, imm);
    }

    /// `mv`, in one of its spellings.
    pub(super) fn copy(&mut self, rd: u8, rs: u8) {
        match self.choices.below(3) {
            0 => self.op("add", rd, 0, rs, 0),
            1 => self.op("or", rd, rs, 0, 0),
            _ => self.op("addi", rd, rs, 0, 0),
        }
    }

    /// `jalr x0, 0(rs)`, compressed or not.
    pub(super) fn jump_register(&mut self, rs: u8) {
        self.op("jalr", 0, rs, 0, 0);
    }

    pub(super) fn branch(&mut self, op: Op, rs1: u8, rs2: u8, target: Label) {
        self.count(0, 1);
        let short = self.choices.chance(50);
        self.chunk.items.push(Item::Branch {
            op,
            rs1,
            rs2,
            target,
            short,
        });
    }

    pub(super) fn jump(&mut self, link: u8, target: Label) {
        self.count(link, 1);
        let short = self.choices.chance(50);
        self.chunk.items.push(Item::Jump { link, target, short });
    }

    pub(super) fn far(&mut self, link: u8, via: u8, target: Label) {
        self.count(via, 1);
        self.count(link, 1);
        self.chunk.items.push(Item::Far { link, via, target });
    }

    pub(super) fn address(&mut self, rd: u8, target: Label, add: i32) {
        self.count(rd, 2);
        self.chunk.items.push(Item::Address { rd, target, add });
    }

    /// Sets `rd` to a number, in one of the ways of compilers.
    pub(super) fn set(&mut self, rd: u8, value: u64) {
        let near = value.abs_diff(self.layout.text) < 0x7f00_0000;
        if near && self.choices.chance(15) {
            self.count(rd, 2);
            self.chunk.items.push(Item::Near { rd, value });
            return;
        }
        // As compilers zero-extend a 32-bit number that lui would sign-extend.
        if value >> 31 == 1 && self.choices.chance(50) {
            self.constant(rd, i64::from(value as u32 as i32));
            self.op("slli", rd, rd, 0, 32);
            self.op("srli", rd, rd, 0, 32);
            return;
        }
        self.constant(rd, value.cast_signed());
    }

    fn constant(&mut self, rd: u8, value: i64) {
        let low = value << 52 >> 52;
        if value == low {
            self.op("addi", rd, 0, 0, low as i32);
        } else if let Ok(value) = i32::try_from(value) {
            let high = value.wrapping_sub(low as i32);
            self.op("lui", rd, 0, 0, high);
            if low != 0 {
                let same = i64::from(high) + low == i64::from(value);
                let name = if same && self.choices.chance(40) {
                    "addi"
                } else {
                    "addiw"
                };
                self.op(name, rd, rd, 0, low as i32);
            }
        } else {
            let rest = value.wrapping_sub(low) >> 12;
            let zeros = rest.trailing_zeros().min(51);
            self.constant(rd, rest >> zeros);
            self.op("slli", rd, rd, 0, 12 + zeros as i32);
            if low != 0 {
                self.op("addi", rd, rd, 0, low as i32);
            }
        }
    }

    /// A register that may be written, not one of `but`.
    pub(super) fn free(&mut self, but: u32) -> Option<u8> {
        self.choices.register(ALL & !self.scope.kept & !but)
    }

    /// Two different ones.
    pub(super) fn free_two(&mut self, but: u32) -> Option<(u8, u8)> {
        let first = self.free(but)?;
        Some((first, self.free(but | bit(first))?))
    }

    /// Any register, to be read.
    pub(super) fn any(&mut self) -> u8 {
        self.choices.below(32) as u8
    }

    /// Does `make` with these registers kept.
    pub(super) fn keeping<T>(&mut self, registers: u32, make: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.scope.kept;
        self.scope.kept |= registers;
        let made = make(self);
        self.scope.kept = before;
        made
    }

    /// What may still be executed each time this place is.
    pub(super) fn room(&self) -> u64 {
        self.scope.budget.saturating_sub(self.scope.cost) / self.scope.turns.max(1)
    }

    /// Displacement from home of 8 bytes of control memory that nothing else uses.
    pub(super) fn cell(&mut self) -> Option<i32> {
        const FIRST: u64 = super::super::guest::REGISTERS;
        let offset = FIRST + 8 * self.cells;
        if offset + 8 > HOME {
            return None;
        }
        self.cells += 1;
        Some(offset as i32 - HOME as i32)
    }

    /// Address of a table of these places, in constants or in data, 4 or 8 bytes each, absolute or from `relative_to`.
    pub(super) fn table(&mut self, entries: &[Label], relative_to: Option<Label>, width: usize) -> u64 {
        let len = (entries.len() * width) as u64;
        const TABLES: u64 = 0x9000;
        const TABLES_END: u64 = 0xa000;
        let constant = self.choices.chance(60) || TABLES + self.tables + len > TABLES_END;
        let (offset, address) = if constant {
            self.rodata.resize(self.rodata.len().next_multiple_of(8), 0);
            let offset = self.rodata.len();
            self.rodata.resize(offset + len as usize, 0);
            (offset, self.layout.rodata + offset as u64)
        } else {
            let offset = TABLES + self.tables;
            self.tables += len.next_multiple_of(8);
            (offset as usize, self.layout.data + offset)
        };
        const { assert!(TABLES_END <= DATA_LEN) };
        for (index, &target) in entries.iter().enumerate() {
            self.fixups.push(Fixup {
                constant,
                offset: offset + index * width,
                target,
                relative_to,
                width,
            });
        }
        address
    }
}
