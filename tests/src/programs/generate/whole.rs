//! Entry, exit, and putting a program together.

use millrace_jit::isa::Op;

use super::super::choices::Choices;
use super::super::code::Chunk;
use super::super::guest::{DATA_LEN, Guest, HOME, LAYOUTS, REGISTERS, SCRATCH, SCRATCH_END, STACK_TOP};
use super::functions::STACK_UNITS;
use super::{A0, A7, Generator, SP, Scope, Shape};
use crate::asm::value;

const WRITE: u64 = 64;
const EXIT: u64 = 93;

impl<'a> Generator<'a> {
    pub(super) fn new(choices: &'a mut Choices, shape: Shape, origin: String) -> Self {
        let layout = *choices.pick(&LAYOUTS);
        let home = *choices.pick(&[3, 4, 5, 6, 7, 8, 9, 18, 19, 22, 25, 27, 28, 31]);
        let rodata = (0..128).flat_map(|_| value(choices).to_le_bytes()).collect();
        let mut data = vec![0; DATA_LEN as usize];
        for start in (0..REGISTERS).chain(SCRATCH..SCRATCH_END).step_by(8) {
            let start = start as usize;
            data[start..start + 8].copy_from_slice(&value(choices).to_le_bytes());
        }
        let own_stack = shape.for_qemu || choices.chance(50);
        let scope = Scope {
            kept: 0,
            written: 0,
            cost: 0,
            turns: 1,
            budget: 0,
            depth: 0,
            locals: None,
            exit: None,
            frames: 0,
            frames_limit: STACK_UNITS,
            deep: false,
            in_deep: false,
        };
        Self {
            choices,
            shape,
            origin,
            layout,
            chunks: Vec::new(),
            chunk: Chunk::default(),
            labels: 0,
            rodata,
            data,
            fixups: Vec::new(),
            deep_len: 0,
            own_stack,
            home,
            functions: Vec::new(),
            shared: Vec::new(),
            scope,
            cells: 0,
            contexts_used: 0,
            switch: None,
            millicode: None,
            tables: 0,
            traps_left: if shape.traps { 3 } else { 0 },
            runoff: None,
        }
    }

    pub(super) fn whole(mut self) -> Guest {
        let functions = self.choices.between(1, self.shape.functions);
        for _ in 0..functions {
            self.function();
        }
        let main = self.label();
        let scope = self.scope(0, self.shape.budget);
        let done = self.aside("main", scope, |this| {
            this.here(main);
            this.main();
        });
        // The entry is where text begins; everything else lies in any order.
        let scope = self.scope(0, 0);
        self.aside("entry", scope, |this| this.jump(0, main));
        let entry = self.chunks.pop().expect("the entry was just made");
        for index in (1..self.chunks.len()).rev() {
            let other = self.choices.below(index as u64 + 1) as usize;
            self.chunks.swap(index, other);
        }
        self.chunks.insert(0, entry);
        if let Some(runoff) = self.runoff {
            let scope = self.scope(0, 100);
            self.aside("end", scope, |this| {
                this.here(runoff);
                for _ in 0..this.choices.between(0, 4) {
                    this.computation(0);
                }
                if this.choices.chance(40) {
                    // Half an instruction.
                    this.chunk.items.push(super::super::code::Item::Bytes(0x0013, 2));
                } else {
                    this.computation(0);
                }
            });
        }
        Guest {
            origin: self.origin,
            layout: self.layout,
            chunks: self.chunks,
            labels: self.labels,
            rodata: self.rodata,
            data: self.data,
            fixups: self.fixups,
            deep_len: self.deep_len,
            for_qemu: self.shape.for_qemu,
            own_stack: self.own_stack,
            text: None,
            most_instructions: done.cost + 10_000,
        }
    }

    /// Sets every register, does things, stores every register, writes all of it out and exits.
    fn main(&mut self) {
        const FRAME: i32 = 128;
        let home = self.home;
        let address = self.layout.data + HOME;
        self.set(home, address);
        for register in (1..32).filter(|register| ![SP, home].contains(register)) {
            let off = 8 * i32::from(register) - HOME as i32;
            self.op("ld", register, home, 0, off);
        }
        if self.own_stack {
            let top = self.layout.data + STACK_TOP;
            self.set(SP, top);
        }
        self.op("addi", SP, SP, 0, -FRAME);
        self.scope.locals = Some((0, FRAME));
        let out = self.label();
        for turn in 0..40 {
            if turn >= self.shape.statements && self.room() < self.shape.budget / 4 {
                break;
            }
            let piece = self.open();
            if self.choices.chance(60) {
                self.call();
            } else {
                self.statement();
            }
            self.close(piece);
            if turn == 2 && self.choices.chance(20) {
                self.branch(Op::Beq, A0, A0 + 1, out);
            }
        }
        if self.traps_left == 3 {
            self.trap();
        }
        self.here(out);
        for register in 1..32 {
            let off = 8 * i32::from(register) - HOME as i32;
            self.op("sd", 0, home, register, off);
        }
        let stack = if self.own_stack {
            STACK_TOP - 0x800
        } else {
            SCRATCH
        };
        for (start, end) in [(0, SCRATCH_END), (stack, stack + 0x800)] {
            let start = self.layout.data + start;
            self.set(A0, 1);
            self.set(A0 + 1, start);
            self.set(A0 + 2, end - (start - self.layout.data));
            self.set(A7, WRITE);
            self.op4("ecall", 0, 0, 0, 0);
        }
        self.set(A0, 0);
        self.set(A7, EXIT);
        self.op4("ecall", 0, 0, 0, 0);
        let again = self.new_here();
        self.jump(0, again);
    }
}
