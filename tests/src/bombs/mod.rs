//! Compile bombs: programs that are cheap to write and meant to be dear to compile, at any size.
//!
//! Each [`Kind`] is a shape of control flow or of instructions that a compiler's work might grow with faster than with
//! the text. Bombs are legal programs, which most tiers could run for ever: whoever runs one gives it gas.
//!
//! - `shapes`: blocks, branches, loops and tables inside a region;
//! - `functions`: calls, returns, and entries of regions.

mod functions;
mod shapes;

use std::sync::Arc;

use millrace_jit::Program;
use millrace_jit::machine::machine;

use crate::asm::Text;
use crate::elf::{self, R, RX, Segment};
use crate::programs::choices::Choices;

/// Address of the text of every bomb.
pub const TEXT: u64 = 0x0010_0000;
/// Address of the constant data of those that have some.
pub const RODATA: u64 = 0x0200_0000;

/// A bomb that is being written.
#[derive(Debug)]
pub struct Bomb {
    text: Text,
    rodata: Vec<u8>,
    choices: Choices,
    /// Bytes of text wanted, about.
    len: usize,
}

/// A shape, for any size.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Short, for tables.
    pub name: &'static str,
    /// What there is a lot of.
    pub what: &'static str,
    make: fn(&mut Bomb),
}

impl Kind {
    /// A program of about so many bytes of text, at most 16 MiB; always the same one.
    ///
    /// # Panics
    /// If the machine refuses it, which is a mistake in the corpus.
    #[must_use]
    pub fn program(&self, text_len: usize) -> Arc<Program> {
        let mut bomb = Bomb {
            text: Text::new(TEXT),
            rodata: Vec::new(),
            choices: Choices::seeded(1),
            len: text_len,
        };
        (self.make)(&mut bomb);
        let Bomb { mut text, rodata, .. } = bomb;
        text.bytes.truncate(16 << 20);
        let mut segments = vec![Segment::load(RX, TEXT, text.bytes)];
        if !rodata.is_empty() {
            segments.push(Segment::load(R, RODATA, rodata));
        }
        let machine = machine(1).expect("version 1 is part of every build");
        let program = Program::load(&elf::file(TEXT, &segments), machine);
        Arc::new(program.unwrap_or_else(|error| panic!("{}: {error}", self.name)))
    }
}

const fn kind(name: &'static str, what: &'static str, make: fn(&mut Bomb)) -> Kind {
    Kind { name, what, make }
}

/// Every kind.
pub const ALL: &[Kind] = &[
    kind(
        "straight",
        "one block of arithmetic on all registers",
        shapes::straight,
    ),
    kind("memory", "one block of loads and stores", shapes::memory),
    kind(
        "dear",
        "one block of the operations that take most host code",
        shapes::dear,
    ),
    kind(
        "blocks",
        "branches to the next instruction: a block each",
        shapes::blocks,
    ),
    kind(
        "branches",
        "branches to anywhere near: every instruction a target, loops of any form",
        shapes::branches,
    ),
    kind(
        "halves",
        "the same to any halfword: decodes that overlap",
        shapes::halves,
    ),
    kind(
        "ladder",
        "loops of two blocks, each entered from the next one",
        shapes::ladder,
    ),
    kind("nested", "loops in loops, 300 deep", shapes::nested),
    kind(
        "loops",
        "hot loops with code beside them that never runs",
        shapes::loops,
    ),
    kind("ecalls", "host calls with every register changed", shapes::ecalls),
    kind(
        "jumps",
        "jumps through tables whose cases jump through tables",
        shapes::jumps,
    ),
    kind(
        "switches",
        "jumps through long tables to few places",
        shapes::switches,
    ),
    kind(
        "pointers",
        "jumps to addresses that are not known",
        shapes::pointers,
    ),
    kind(
        "displacements",
        "addresses of tables that lead anywhere in text",
        shapes::displacements,
    ),
    kind(
        "calls",
        "calls, each of a function of its own that returns at once",
        functions::calls,
    ),
    kind(
        "callers",
        "calls of one function from anywhere: return sites",
        functions::callers,
    ),
    kind("through", "calls through registers", functions::through),
    kind(
        "entries",
        "calls of every instruction: functions that run on into the next",
        functions::entries,
    ),
    kind(
        "cascade",
        "functions that each write one register and call the next four",
        functions::cascade,
    ),
    kind(
        "exits",
        "branches out of small functions into others, with every register changed",
        functions::exits,
    ),
];

/// The kind of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Kind> {
    ALL.iter().find(|kind| kind.name == name)
}

impl Bomb {
    /// Whether there is text enough.
    fn is_full(&self) -> bool {
        self.text.bytes.len() >= self.len
    }

    fn op(&mut self, name: &str, rd: u8, rs1: u8, rs2: u8, imm: i32) {
        self.text.op(name, rd, rs1, rs2, imm);
    }

    fn below(&mut self, end: u64) -> u64 {
        self.choices.below(end)
    }

    /// A register other than x0 to x4.
    fn register(&mut self) -> u8 {
        5 + self.below(27) as u8
    }

    /// Writes every register that calls and stacks do not need.
    fn change_registers(&mut self) {
        for register in 5..32 {
            self.op("addi", register, register, 0, i32::from(register));
        }
    }

    /// `auipc`, `jalr`: a jump or call as far as it may be.
    fn far(&mut self, link: u8, via: u8, target: u64) {
        let distance = target.wrapping_sub(self.text.here()) as i64 as i32;
        let low = distance << 20 >> 20;
        self.op("auipc", via, 0, 0, distance.wrapping_sub(low));
        self.op("jalr", link, via, 0, low);
    }

    /// Ends the program by exit with status 0.
    fn exit(&mut self) {
        self.op("addi", 10, 0, 0, 0);
        self.op("addi", 17, 0, 0, 93);
        self.op("ecall", 0, 0, 0, 0);
    }
}
