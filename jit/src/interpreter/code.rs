//! Text decoded in advance, lazily and by page, shared by all instances of a program.

use std::sync::OnceLock;

use crate::image::Program;
use crate::isa::{self, Class, Op};
use crate::machine::Machine;

/// Bytes of text decoded at a time.
const CODE_PAGE_BYTES: usize = 4096;

/// What the loop does at a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The instruction.
    Run(Op),
    /// Trap: no legal instruction starts here.
    Illegal,
    /// Trap: the instruction cannot be paid. Only in lines that were cut.
    OutOfGas,
}

/// What starts at one halfword of text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub step: Step,
    /// Destination; writes to x0 go to the sink.
    pub rd: u8,
    pub rs1: u8,
    pub rs2: u8,
    pub imm: i32,
    /// Weights of this instruction and those after it, up to the end of the straight line or page.
    pub gas: u32,
    /// Number of the same instructions.
    pub count: u16,
    /// Halfwords of this instruction.
    pub halfwords: u8,
}

/// The decoded text of a program, as far as it has been executed.
#[derive(Debug)]
pub(crate) struct Code {
    pages: Box<[OnceLock<Box<[Slot]>>]>,
}

impl Code {
    /// Nothing decoded yet, for text of this many bytes.
    pub(crate) fn new(text_len: usize) -> Self {
        Self {
            pages: (0..text_len.div_ceil(CODE_PAGE_BYTES))
                .map(|_| OnceLock::new())
                .collect(),
        }
    }
}

/// Text as the loop sees it.
pub(super) struct Text<'a> {
    code: &'a Code,
    machine: &'static Machine,
    /// First even address of text.
    start: u64,
    /// Bytes from there on.
    bytes: &'a [u8],
}

impl<'a> Text<'a> {
    pub(super) fn new(program: &'a Program) -> Self {
        let (address, bytes) = program.text();
        let skipped = (address % 2) as usize;
        Self {
            code: program.code(),
            machine: program.machine(),
            start: u64::from(address) + skipped as u64,
            bytes: bytes.get(skipped..).unwrap_or_default(),
        }
    }

    /// The decoded page around `pc`, which is even, and the page's address; `None` outside text.
    pub(super) fn page(&self, pc: u64) -> Option<(&'a [Slot], u64)> {
        let offset = pc.wrapping_sub(self.start);
        if offset >= self.bytes.len() as u64 {
            return None;
        }
        let number = offset as usize / CODE_PAGE_BYTES;
        let slots = self
            .code
            .pages
            .get(number)?
            .get_or_init(|| self.decode_page(number));
        Some((slots, self.start + (number * CODE_PAGE_BYTES) as u64))
    }

    /// Decodes from the last halfword to the first, since what a line costs depends on what follows.
    fn decode_page(&self, number: usize) -> Box<[Slot]> {
        let first = number * CODE_PAGE_BYTES;
        let end = self.bytes.len().min(first + CODE_PAGE_BYTES);
        let mut slots = vec![ILLEGAL; (end - first).div_ceil(2)];
        for index in (0..slots.len()).rev() {
            let mut slot = self.decode(first + index * 2);
            if !ends_line(slot.step)
                && let Some(next) = slots.get(index + usize::from(slot.halfwords))
            {
                slot.gas += next.gas;
                slot.count += next.count;
            }
            slots[index] = slot;
        }
        slots.into_boxed_slice()
    }

    /// The instruction at an offset of text, by itself.
    fn decode(&self, offset: usize) -> Slot {
        let available = &self.bytes[offset..self.bytes.len().min(offset + 4)];
        let mut word = [0; 4];
        word[..available.len()].copy_from_slice(available);
        let decoded = isa::decode(u32::from_le_bytes(word))
            .filter(|instruction| usize::from(instruction.length()) <= available.len())
            .filter(|instruction| self.machine.supports(instruction.form.extension));
        let Some(instruction) = decoded else {
            return ILLEGAL;
        };
        let (op, operands) = (instruction.op(), instruction.operands);
        Slot {
            step: Step::Run(op),
            rd: if operands.rd == 0 {
                super::SINK
            } else {
                operands.rd
            },
            rs1: operands.rs1,
            rs2: operands.rs2,
            imm: operands.imm,
            gas: self.machine.weights.of(op.class()),
            count: 1,
            halfwords: instruction.length() / 2,
        }
    }

    /// The line that starts at `index`, cut in front of the first instruction that `gas` does not pay for. The line
    /// as a whole costs more.
    pub(super) fn cut_line(&self, slots: &[Slot], index: usize, gas: u64) -> Vec<Slot> {
        let mut left = gas;
        let mut index = index;
        while let Some(slot) = slots.get(index) {
            let Step::Run(op) = slot.step else { break };
            match left.checked_sub(u64::from(self.machine.weights.of(op.class()))) {
                None => {
                    let mut cut = slots[..=index].to_vec();
                    cut[index].step = Step::OutOfGas;
                    return cut;
                }
                Some(rest) => left = rest,
            }
            index += usize::from(slot.halfwords);
        }
        unreachable!("a line that costs more than is left has an instruction that cannot be paid")
    }
}

const ILLEGAL: Slot = Slot {
    step: Step::Illegal,
    rd: super::SINK,
    rs1: 0,
    rs2: 0,
    imm: 0,
    gas: 0,
    count: 1,
    halfwords: 1,
};

fn ends_line(step: Step) -> bool {
    match step {
        Step::Run(op) => op.class().ends_line(),
        Step::Illegal | Step::OutOfGas => true,
    }
}

const _: () = assert!(size_of::<Slot>() == 16, "a slot is a quarter of a cache line");
const _: () = assert!(matches!(Op::Ebreak.class(), Class::Ebreak));
