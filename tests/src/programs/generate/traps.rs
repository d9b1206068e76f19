//! What ends a program badly.

use millrace_jit::isa::{Class, forms};
use millrace_jit::machine::machine;
use rand::Rng;

use super::super::code::Item;
use super::super::guest::{DATA_LEN, HOME};
use super::{A0, A7, Generator, SP, bit};
use crate::asm::value;

const LOADS: [&str; 7] = ["lb", "lh", "lw", "ld", "lbu", "lhu", "lwu"];
const STORES: [&str; 4] = ["sb", "sh", "sw", "sd"];

impl Generator<'_> {
    /// Something that traps: always, on some data, or when it is come to for the n-th time.
    pub(super) fn trap(&mut self) {
        let start = self.open();
        let skip = self.label();
        match self.choices.below(4) {
            0 => self.branch_any(skip),
            1 | 2 => {
                let cell = self.cell();
                if let (Some(t), Some(cell)) = (self.free(0), cell) {
                    let times = self.choices.magnitude(40);
                    let offset = (HOME as i32 + cell) as usize;
                    self.data[offset..offset + 8].copy_from_slice(&times.to_le_bytes());
                    self.op("ld", t, self.home, 0, cell);
                    self.op("addi", t, t, 0, -1);
                    self.op("sd", 0, self.home, t, cell);
                    self.branch(millrace_jit::isa::Op::Bne, t, 0, skip);
                }
            }
            _ => {}
        }
        let registers = self.free_two(0);
        if let Some((t, u)) = registers {
            match self.choices.below(16) {
                0 | 1 => self.unmapped(t, u),
                2 => self.read_only(t),
                3 | 4 => self.wrapped(t, u),
                5 => self.misaligned(t, u),
                6 => self.faulting_atomic(t, u),
                7 | 8 => self.illegal(),
                9 => {
                    let name = *self.choices.pick(&["ebreak", "c.ebreak"]);
                    self.op4(name, 0, 0, 0, 0);
                }
                10 | 11 => self.jump_outside(t, u),
                12 => {
                    let runoff = self.runoff.unwrap_or_else(|| self.label());
                    self.runoff = Some(runoff);
                    self.jump(0, runoff);
                }
                13 => self.bad_pointer(),
                14 => self.stack_overflow(u),
                _ => {
                    let again = self.new_here();
                    if self.choices.chance(50) {
                        self.computation(0);
                    }
                    self.jump(0, again);
                }
            }
        }
        self.here(skip);
        self.close(start);
    }

    fn any_access(&mut self, base: u8, other: u8, off: i32) {
        if self.choices.chance(50) {
            let name = *self.choices.pick(&LOADS);
            let rd = if self.choices.chance(20) { 0 } else { other };
            self.op(name, rd, base, 0, off);
        } else {
            let name = *self.choices.pick(&STORES);
            self.op(name, 0, base, other, off);
        }
    }

    /// An address that is not mapped, or whose access reaches over an end of what is.
    fn unmapped_address(&mut self) -> u64 {
        let layout = &machine(1).expect("version 1 is part of every build").layout;
        let stack = (u64::from(layout.stack_bottom()), u64::from(layout.stack_top));
        let data = self.layout.data;
        let near = self.choices.below(8);
        let any: u64 = self.choices.random();
        *self.choices.pick(&[
            near,
            0xffff_ffff - near,
            0xffff + near,
            data - 1 - near,
            data + DATA_LEN - near,
            self.layout.rodata - 1 - near,
            self.layout.text - 1 - near,
            stack.0 - 1 - near,
            stack.1 - near,
            stack.0 - 0x8000,
            u64::from(layout.image_end()) + near,
            any & 0xffff_ffff,
        ])
    }

    fn unmapped(&mut self, t: u8, u: u8) {
        let address = self.unmapped_address();
        let off = if self.choices.chance(50) {
            0
        } else {
            self.choices.below(4096) as i32 - 2048
        };
        self.set(t, address.wrapping_add_signed(-i64::from(off)));
        self.any_access(t, u, off);
    }

    fn read_only(&mut self, t: u8) {
        let address = *self.choices.pick(&[self.layout.text, self.layout.rodata]) + self.choices.below(64);
        self.set(t, address);
        let (name, source) = (*self.choices.pick(&STORES), self.any());
        self.op(name, 0, t, source, 0);
    }

    /// An address whose sum passes an end of the address space.
    fn wrapped(&mut self, t: u8, u: u8) {
        let near = self.choices.below(2000);
        let (base, off) = match self.choices.below(3) {
            0 => (near, -(near as i32) - 1 - self.choices.below(40) as i32),
            1 => (
                0xffff_ffff - near,
                near as i32 + self.choices.below(40) as i32 - 8,
            ),
            _ => (
                near.wrapping_neg(),
                near as i32 - 4 + self.choices.below(8) as i32,
            ),
        };
        self.set(t, base);
        if self.choices.chance(30) {
            let junk = value(self.choices) << 32;
            self.set(u, junk);
            self.op("or", t, t, u, 0);
        }
        self.any_access(t, u, off.max(-2048));
    }

    fn atomic_name(&mut self) -> &'static str {
        loop {
            let form = self.choices.pick(forms());
            if form.op.class() == Class::Atomic {
                return form.name;
            }
        }
    }

    fn misaligned(&mut self, t: u8, u: u8) {
        let name = self.atomic_name();
        let width = if name.contains(".w") { 4 } else { 8 };
        let unmapped = self.unmapped_address();
        let place = if self.choices.chance(30) {
            unmapped
        } else {
            self.layout.data + HOME
        };
        let address = (place & !7) + self.choices.between(1, width - 1);
        self.set(t, address);
        // x0 as well: then most of these change nothing, and have to fault all the same.
        let any = self.any();
        let source = if name.starts_with("lr") || self.choices.chance(30) {
            0
        } else {
            any
        };
        let rd = if self.choices.chance(15) { 0 } else { u };
        self.op4(name, rd, t, source, 0);
    }

    fn faulting_atomic(&mut self, t: u8, u: u8) {
        let name = self.atomic_name();
        let unmapped = self.unmapped_address();
        let place = *self
            .choices
            .pick(&[unmapped, self.layout.rodata, self.layout.text, self.layout.rodata]);
        self.set(t, place & !7);
        if let Some(suffix) = name.strip_prefix("sc")
            && self.choices.chance(70)
        {
            let load = format!("lr{suffix}");
            self.op4(&load, u, t, 0, 0);
        }
        // x0 as well: then most of these change nothing, and have to fault all the same.
        let any = self.any();
        let source = if name.starts_with("lr") || self.choices.chance(30) {
            0
        } else {
            any
        };
        let rd = if self.choices.chance(15) { 0 } else { u };
        self.op4(name, rd, t, source, 0);
    }

    fn illegal(&mut self) {
        let any: u32 = self.choices.random();
        let (word, len) = *self.choices.pick(&[
            (0, 2),
            (0xffff_ffff, 4),
            // A CSR read, a compressed float load, the start of 48 bits, lr with rs2, mret, an unknown AMO.
            (0xc000_2573, 4),
            (0x2000, 2),
            (0x001f, 2),
            (0x1010_a52f, 4),
            (0x3020_0073, 4),
            (0xf800_252f, 4),
            (any, 4),
            (any & 0xfffc, 2),
        ]);
        self.chunk.items.push(Item::Bytes(word, len));
    }

    fn jump_outside(&mut self, t: u8, u: u8) {
        let link = *self.choices.pick(&[0, u]);
        let near = self.choices.below(64);
        let unmapped = self.unmapped_address();
        let (base, off) = *self.choices.pick(&[
            (self.layout.data + near, 0),
            (self.layout.rodata + near, 0),
            (self.layout.text - 2, 0),
            (self.layout.text - 2, 1),
            (0, -2),
            (0xffff_ffff, 17),
            (near.wrapping_neg(), 2047),
            (self.layout.text + 0x8_0000, 4),
            (unmapped, 0),
        ]);
        self.set(t, base);
        self.op("jalr", link, t, 0, off);
    }

    /// A host call about memory that is not there.
    fn bad_pointer(&mut self) {
        if self.scope.kept & (bit(A0) | bit(A0 + 1) | bit(A0 + 2) | bit(A7)) != 0 {
            return;
        }
        let address = self.unmapped_address();
        let len = *self.choices.pick(&[1, 8, 4096, u64::MAX, 1 << 32]);
        self.set(A0, 1);
        self.set(A0 + 1, address);
        self.set(A0 + 2, len);
        self.set(A7, 64);
        self.op4("ecall", 0, 0, 0, 0);
    }

    /// A recursion without an end.
    fn stack_overflow(&mut self, link: u8) {
        let (around, again) = (self.label(), self.label());
        self.here(again);
        let size = 16 * self.choices.between(1, 100) as i32;
        self.op("addi", SP, SP, 0, -size);
        self.op("sd", 0, SP, link, 0);
        self.straight(2);
        self.jump(link, again);
        self.here(around);
    }
}
