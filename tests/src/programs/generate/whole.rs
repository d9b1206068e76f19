//! Entry, exit, and putting a program together.

use millrace_jit::isa::Op;

use super::super::choices::Choices;
use super::super::code::{Chunk, Item, Label};
use super::super::guest::{DATA_LEN, Guest, HOME, LAYOUTS, REGISTERS, SCRATCH, SCRATCH_END, STACK_TOP};
use super::floats::Floats;
use super::functions::{STACK_UNITS, Style};
use super::{A0, A7, Generator, SP, Scope, Shape};
use crate::asm::value;

const WRITE: u64 = 64;
const EXIT: u64 = 93;
/// Traps in a program that has any, at most.
const TRAPS: u32 = 3;

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
        let floats = *choices.pick(&[
            Floats::None,
            Floats::None,
            Floats::Plain,
            Floats::Plain,
            Floats::Rounds,
            Floats::Observes,
        ]);
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
        let mut generator = Self {
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
            floats,
            home,
            functions: Vec::new(),
            shared: Vec::new(),
            scope,
            cells: 0,
            contexts_used: 0,
            switch: None,
            millicode: None,
            tables: 0,
            traps_left: if shape.traps { TRAPS } else { 0 },
            runoff: None,
        };
        generator.make_numbers();
        generator
    }

    pub(super) fn whole(mut self) -> Guest {
        let functions = self.choices.between(1, self.shape.functions);
        for _ in 0..functions {
            self.function();
        }
        self.with_main(Self::turns_of_main)
    }

    pub(super) fn deep(mut self) -> Guest {
        let style = *self.choices.pick(&[Style::DeepStack, Style::DeepArray]);
        let mutual = self.choices.chance(30);
        while self.functions.is_empty() {
            self.recursion_of(mutual, style, 30);
        }
        self.with_main(|this, _| this.call())
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Guest {
        for start in (0..REGISTERS as usize).step_by(16) {
            let address = self.layout.data + SCRATCH + 8 * self.choices.below(0x400);
            self.data[start..start + 8].copy_from_slice(&address.to_le_bytes());
        }
        let scope = self.scope(0, 1000);
        self.aside("raw", scope, |this| {
            this.set_registers();
            for halfword in bytes.chunks(2) {
                let [low, high] = [halfword[0], halfword.get(1).copied().unwrap_or(0)];
                let word = u32::from(low) | u32::from(high) << 8;
                this.chunk.items.push(Item::Bytes(word, 2));
                let index = this.chunk.items.len() - 1;
                this.chunk.pieces.push(index..index + 1);
            }
        });
        self.guest(0)
    }

    /// A program of the functions so far and a `main` that does this.
    fn with_main(mut self, make: impl FnOnce(&mut Self, Label)) -> Guest {
        let main = self.label();
        let scope = self.scope(0, self.shape.budget * self.shape.turns);
        let done = self.aside("main", scope, |this| {
            this.here(main);
            this.main(make);
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
                    this.chunk.items.push(Item::Bytes(0x0013, 2));
                } else {
                    this.computation(0);
                }
            });
        }
        self.guest(done.cost + 10_000)
    }

    fn guest(self, most_instructions: u64) -> Guest {
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
            machine_version: if self.floats == Floats::None { 1 } else { 2 },
            most_instructions,
        }
    }

    fn set_registers(&mut self) {
        let home = self.home;
        let address = self.layout.data + HOME;
        self.set(home, address);
        for register in (1..32).filter(|register| ![SP, home].contains(register)) {
            let off = 8 * i32::from(register) - HOME as i32;
            let piece = self.open();
            self.op("ld", register, home, 0, off);
            self.close(piece);
        }
    }

    fn turns_of_main(&mut self, out: Label) {
        let turns = self.shape.turns;
        if turns == 1 {
            self.statements_of_main(out);
            return;
        }
        // No piece of its own: without its end a program would go on until its gas is used up.
        let fuel = self.fuel(turns, true).expect("nothing is taken yet");
        let again = self.new_here();
        self.turning(turns, |this| {
            this.statements_of_main(out);
            this.burn(fuel, again, true);
        });
    }

    fn statements_of_main(&mut self, out: Label) {
        for turn in 0..40 {
            if turn >= self.shape.statements && self.room() < self.shape.budget / 4 {
                break;
            }
            let piece = self.open();
            match self.choices.below(10) {
                0..6 => self.call(),
                6 => self.host_call(),
                _ => self.statement(),
            }
            self.close(piece);
            if turn == 2 && self.choices.chance(20) {
                self.branch(Op::Beq, A0, A0 + 1, out);
            }
        }
        if self.traps_left == TRAPS {
            self.trap();
        }
    }

    /// Sets every register, does things, stores every register, writes all of it out and exits.
    fn main(&mut self, make: impl FnOnce(&mut Self, Label)) {
        const FRAME: i32 = 128;
        let home = self.home;
        self.set_floats();
        self.set_registers();
        if self.own_stack {
            let top = self.layout.data + STACK_TOP;
            self.set(SP, top);
        }
        self.op("addi", SP, SP, 0, -FRAME);
        self.scope.locals = Some((0, FRAME));
        let out = self.label();
        make(self, out);
        self.here(out);
        self.show_floats();
        for register in 1..32 {
            let off = 8 * i32::from(register) - HOME as i32;
            let piece = self.open();
            self.op("sd", 0, home, register, off);
            self.close(piece);
        }
        let stack = if self.own_stack {
            STACK_TOP - 0x800
        } else {
            SCRATCH
        };
        for (start, end) in [(0, SCRATCH_END), (stack, stack + 0x800)] {
            let start = self.layout.data + start;
            let piece = self.open();
            self.set(A0, 1);
            self.set(A0 + 1, start);
            self.set(A0 + 2, end - (start - self.layout.data));
            self.set(A7, WRITE);
            self.op4("ecall", 0, 0, 0, 0);
            self.close(piece);
        }
        self.set(A0, 0);
        self.set(A7, EXIT);
        self.op4("ecall", 0, 0, 0, 0);
        let again = self.new_here();
        self.jump(0, again);
    }
}
