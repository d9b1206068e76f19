//! Many cases in one ELF file.

use millrace_jit::isa::{Extension, decode};
use millrace_tests::asm::{Text, double, form, single, value};
use millrace_tests::elf;
use rand::Rng;

use crate::Coverage;
use crate::generate::{BLOCK, FCSR, FLOATS, Generator, Style};

/// Where text lies.
pub const TEXT: u64 = 0x1_0000;
/// Where the blocks of the cases lie.
pub const DATA: u64 = 0x2000_0000;

const WRITE: i32 = 64;
const EXIT: i32 = 93;

/// Cases and the memory that they start with. The program writes all of that memory to descriptor 1 and exits with 0.
#[derive(Debug)]
pub struct Batch {
    text: Text,
    data: Vec<u8>,
    /// Offset in text where each case begins, and where the last one ends.
    starts: Vec<usize>,
}

impl Batch {
    pub fn generate(
        random: &mut impl Rng,
        extension: Extension,
        style: Style,
        cases: usize,
        coverage: &mut Coverage,
    ) -> Self {
        let words = (cases as u64 + 1) * BLOCK / 8;
        let mut word = |offset: u64| match offset % BLOCK {
            FLOATS..FCSR if offset.is_multiple_of(16) => double(random),
            FLOATS..FCSR => single(random),
            _ => value(random),
        };
        let data = (0..words)
            .flat_map(|index| word(8 * index).to_le_bytes())
            .collect();
        let mut text = Text::new(TEXT);
        let mut starts = vec![0];
        let mut generator = Generator::new(random, extension, style, coverage);
        for case in 0..cases as u64 {
            generator.case(&mut text, DATA + case * BLOCK);
            starts.push(text.bytes.len());
        }
        let batch = Self { text, data, starts };
        batch.ended()
    }

    /// Appends the code that writes the data out, as often as it takes, and exits.
    fn ended(mut self) -> Self {
        let text = &mut self.text;
        text.set(8, DATA);
        text.set(9, self.data.len() as u64);
        let again = text.here();
        text.op("addi", 10, 0, 0, 1);
        text.op("addi", 11, 8, 0, 0);
        text.op("addi", 12, 9, 0, 0);
        text.op("addi", 17, 0, 0, WRITE);
        text.op("ecall", 0, 0, 0, 0);
        text.op("blt", 0, 10, 0, 16);
        text.op("add", 8, 8, 10, 0);
        text.op("sub", 9, 9, 10, 0);
        text.op("bne", 0, 9, 0, (again as i64 - text.here() as i64) as i32);
        text.op("slti", 10, 10, 0, 0);
        text.op("addi", 17, 0, 0, EXIT);
        text.op("ecall", 0, 0, 0, 0);
        self
    }

    /// The file for the machine under test.
    pub fn elf(&self) -> Vec<u8> {
        self.file(&self.text.bytes)
    }

    /// The file for qemu: it has the other encodings of what qemu knows under another name.
    pub fn qemu_elf(&self) -> Vec<u8> {
        let mut bytes = self.text.bytes.clone();
        for (offset, word) in &self.text.qemu_words {
            bytes[*offset..offset + 4].copy_from_slice(&word.to_le_bytes());
        }
        self.file(&bytes)
    }

    fn file(&self, text: &[u8]) -> Vec<u8> {
        elf::file(
            TEXT,
            &[
                elf::Segment::load(elf::RX, TEXT, text),
                elf::Segment::load(elf::RW, DATA, self.data.as_slice()),
            ],
        )
    }

    /// The initial 64-bit word at an offset of the data.
    pub fn initial(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.data[offset..offset + 8].try_into().expect("8 bytes"))
    }

    /// Text of a case, one instruction per line; gaps show as their first halfword.
    pub fn listing(&self, case: usize) -> String {
        let (mut offset, end) = (self.starts[case], self.starts[case + 1]);
        let mut lines = String::new();
        while offset < end {
            let bytes = &self.text.bytes[offset..];
            let word = bytes
                .iter()
                .take(4)
                .rev()
                .fold(0, |word, byte| word << 8 | u32::from(*byte));
            let pc = TEXT + offset as u64;
            let Some(instruction) = decode(word) else {
                let gap = bytes.iter().take_while(|byte| **byte == 0).count().max(2) & !1;
                lines += &format!("{pc:8x}: {gap} bytes of gap\n");
                offset += gap;
                continue;
            };
            lines += &format!("{pc:8x}: {}\n", instruction.at(pc));
            offset += usize::from(instruction.length());
        }
        lines
    }
}

/// A program of one instruction without operands.
pub fn alone(name: &str) -> Vec<u8> {
    let form = form(name);
    let mut text = Text::new(TEXT);
    text.emit_word(form, form.pattern);
    elf::file(TEXT, &[elf::Segment::load(elf::RX, TEXT, text.bytes)])
}
