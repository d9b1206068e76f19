//! A generated program: chunks of code, data with tables of addresses, and where all of it lies.

use std::fmt::Write;
use std::sync::Arc;

use millrace_jit::Program;
use millrace_jit::isa::decode;
use millrace_jit::machine::machine;

use super::choices::Choices;
use super::code::{Assembled, Chunk, Dangling, Item, Label, assemble};
use crate::elf;

/// Bytes of the data segment that hold the final registers: x0 to x31.
pub const REGISTERS: u64 = 256;
/// Offset in the data segment of the address that every program keeps in its home register.
pub const HOME: u64 = 0x800;
/// Offset where random loads and stores begin; before it, counters and saved links.
pub const SCRATCH: u64 = 0x800;
/// Offset where they end: the first two page boundaries lie inside.
pub const SCRATCH_END: u64 = 0x3000;
/// Contexts of coroutines and `longjmp`.
pub const CONTEXTS: u64 = 0x3000;
/// One past the highest byte of the last coroutine's stack; each has [`SIDE_STACK`] bytes.
pub const SIDE_STACKS: u64 = 0x8000;
/// Bytes of a coroutine's stack.
pub const SIDE_STACK: u64 = 0x800;
/// One past the highest byte of the stack of programs that bring their own.
pub const STACK_TOP: u64 = 0x1_4000;
/// Bytes of data that each event digests: all but most of the stack.
pub const SEEN: u64 = 0xa000;
/// Bytes of the data segment.
pub const DATA_LEN: u64 = 0x1_4000;

/// Where the segments lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Text.
    pub text: u64,
    /// Constants and tables.
    pub rodata: u64,
    /// Everything else, see the offsets above.
    pub data: u64,
    /// Memory of deep recursions, all zeros.
    pub deep: u64,
}

/// Layouts that are tried: low, across 2^31, wholly above it.
pub const LAYOUTS: [Layout; 5] = [
    Layout {
        text: 0x1_0000,
        rodata: 0x40_0000,
        data: 0x2000_0000,
        deep: 0x3000_0000,
    },
    Layout {
        text: 0x40_0000,
        rodata: 0x2_0000,
        data: 0x7fff_e000,
        deep: 0xa000_0000,
    },
    Layout {
        text: 0x7fff_f000,
        rodata: 0x9000_0000,
        data: 0x9000_c000,
        deep: 0x4000_0000,
    },
    Layout {
        text: 0xb000_0000,
        rodata: 0x8000_0000,
        data: 0xf000_0000,
        deep: 0xc000_0000,
    },
    Layout {
        text: 0x100_0000,
        rodata: 0x110_0000,
        data: 0x120_0000,
        deep: 0x200_0000,
    },
];

/// A place in data that holds an address in text.
#[derive(Clone, Copy, Debug)]
pub struct Fixup {
    /// In the constants, or in data.
    pub constant: bool,
    /// Offset in the segment.
    pub offset: usize,
    /// The address of what. Zero stands there if it was cut out.
    pub target: Label,
    /// From where it is counted.
    pub relative_to: Option<Label>,
    /// Bytes, 4 or 8.
    pub width: usize,
}

/// A whole program before it is laid out.
#[derive(Clone, Debug)]
pub struct Guest {
    /// How it came to be, for people: enough to make it again.
    pub origin: String,
    /// Where things lie.
    pub layout: Layout,
    /// The code. The first chunk has the entry at its start; only the last may run off its end.
    pub chunks: Vec<Chunk>,
    /// How many labels there are.
    pub labels: usize,
    /// Constants.
    pub rodata: Vec<u8>,
    /// Initial data, [`DATA_LEN`] bytes.
    pub data: Vec<u8>,
    /// Addresses in both.
    pub fixups: Vec<Fixup>,
    /// Zeroed bytes for deep recursions.
    pub deep_len: u64,
    /// It makes Linux system calls alone and does what qemu can do as well.
    pub for_qemu: bool,
    /// It keeps its stack in data instead of the machine's own.
    pub own_stack: bool,
    /// The machine that it is made for.
    pub machine_version: u16,
    /// Upper bound of the instructions it executes, if it ends by itself.
    pub most_instructions: u64,
}

/// A program laid out.
#[derive(Debug)]
pub struct Image {
    /// Code and where labels lie.
    pub text: Assembled,
    segments: Vec<elf::Segment>,
    entry: u64,
    machine_version: u16,
}

impl Guest {
    /// Lays it out.
    ///
    /// # Errors
    /// If code was cut that is still needed.
    pub fn image(&self) -> Result<Image, Dangling> {
        let chunks: Vec<&Chunk> = self.chunks.iter().collect();
        let text = assemble(&chunks, self.labels, self.layout.text, self.for_qemu)?;
        let (mut rodata, mut data) = (self.rodata.clone(), self.data.clone());
        for fixup in &self.fixups {
            let place = |label: Label| text.labels[label.0];
            let value = match (place(fixup.target), fixup.relative_to.map(place)) {
                (Some(target), None) => target,
                (Some(target), Some(Some(from))) => target.wrapping_sub(from),
                _ => 0,
            };
            let segment = if fixup.constant { &mut rodata } else { &mut data };
            segment[fixup.offset..fixup.offset + fixup.width]
                .copy_from_slice(&value.to_le_bytes()[..fixup.width]);
        }
        let mut segments = vec![
            elf::Segment::load(elf::R, self.layout.rodata, rodata),
            elf::Segment::load(elf::RW, self.layout.data, data),
        ];
        if self.deep_len > 0 {
            let mut deep = elf::Segment::load(elf::RW, self.layout.deep, []);
            deep.memory_len = self.deep_len;
            segments.push(deep);
        }
        let entry = self.layout.text;
        Ok(Image {
            text,
            segments,
            entry,
            machine_version: self.machine_version,
        })
    }

    /// The program with bits of some instructions changed: it does anything.
    #[must_use]
    pub fn damaged(&self, choices: &mut Choices) -> Self {
        let mut damaged = self.clone();
        for _ in 0..choices.magnitude(30) {
            let chunk = choices.below(damaged.chunks.len() as u64) as usize;
            let items = &mut damaged.chunks[chunk].items;
            if items.is_empty() {
                continue;
            }
            let index = choices.below(items.len() as u64) as usize;
            let (word, len) = match items[index] {
                Item::Word(form, word) => (word, form.length()),
                Item::Bytes(word, len) => (word, len),
                _ => continue,
            };
            // Lengths stay, the two lowest bits with them.
            let bits = u64::from(len) * 8 - 2;
            let mut word = word;
            for _ in 0..choices.between(1, 3) {
                word ^= 4 << choices.below(bits);
            }
            items[index] = Item::Bytes(word, len);
        }
        damaged
    }

    /// The program without one of its pieces.
    #[must_use]
    pub fn without(&self, chunk: usize, piece: std::ops::Range<usize>) -> Self {
        let mut less = self.clone();
        less.chunks[chunk].items[piece].fill(Item::Nothing);
        less
    }

    /// Whether a piece has been cut already.
    #[must_use]
    pub fn is_gone(&self, chunk: usize, piece: &std::ops::Range<usize>) -> bool {
        let items = &self.chunks[chunk].items[piece.clone()];
        items
            .iter()
            .all(|item| matches!(item, Item::Nothing | Item::Here(_)))
    }
}

impl Image {
    /// The file for the machine under test.
    #[must_use]
    pub fn elf(&self) -> Vec<u8> {
        self.file(&self.text.bytes)
    }

    /// The file for qemu.
    #[must_use]
    pub fn qemu_elf(&self) -> Vec<u8> {
        self.file(&self.text.qemu_bytes)
    }

    fn file(&self, text: &[u8]) -> Vec<u8> {
        let mut segments = self.segments.clone();
        segments.push(elf::Segment::load(elf::RX, self.text.base, text));
        segments.sort_by_key(|segment| segment.address);
        elf::file(self.entry, &segments)
    }

    /// The validated program.
    ///
    /// # Panics
    /// If it is not valid: generated ones are.
    #[must_use]
    pub fn program(&self) -> Arc<Program> {
        let machine = machine(self.machine_version).expect("the version is part of every build");
        Arc::new(Program::load(&self.elf(), machine).expect("generated programs are valid"))
    }

    /// Names of the forms of text, decoded from its start.
    #[must_use]
    pub fn forms(&self) -> Vec<&'static str> {
        let bytes = &self.text.bytes;
        let mut found = Vec::new();
        let mut offset = 0;
        while offset + 1 < bytes.len() {
            let word = bytes[offset..].iter().take(4).rev();
            let word = word.fold(0, |word, byte| word << 8 | u32::from(*byte));
            offset += decode(word).map_or(2, |instruction| {
                found.push(instruction.form.name);
                usize::from(instruction.length())
            });
        }
        found
    }

    /// Text around `pc`, or all of it, one instruction per line and chunks by name.
    #[must_use]
    pub fn listing(&self, around: Option<u64>) -> String {
        let bytes = &self.text.bytes;
        let mut lines = String::new();
        let mut offset = 0;
        let mut chunks = self.text.chunks.iter().peekable();
        while offset + 1 < bytes.len() {
            let pc = self.text.base + offset as u64;
            let near = around.is_none_or(|place| place.abs_diff(pc) < 120);
            while let Some((_, name)) = chunks.next_if(|(start, _)| *start <= offset) {
                if near || around.is_none() {
                    let _ = writeln!(lines, "{name}:");
                }
            }
            let word = bytes[offset..].iter().take(4).rev();
            let word = word.fold(0, |word, byte| word << 8 | u32::from(*byte));
            let mark = if around == Some(pc) { '>' } else { ' ' };
            let len = match decode(word) {
                Some(instruction) => {
                    if near {
                        let _ = writeln!(lines, "{mark}{pc:9x}: {}", instruction.at(pc));
                    }
                    usize::from(instruction.length())
                }
                None => {
                    if near {
                        let _ = writeln!(lines, "{mark}{pc:9x}: .half {:#06x}", word as u16);
                    }
                    2
                }
            };
            offset += len;
        }
        lines
    }
}
