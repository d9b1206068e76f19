//! Text decoded in advance, lazily and by page, shared by all instances of a program.
//!
//! A page's instructions lie one behind the other in the order in which they run, so that going on to the next one
//! depends on nothing that has to be read. Since any even address can be jumped to, there are several such runs:
//!
//! ```text
//! halfword   0      1      2      3      4
//! text       [ addi 4 B   ][ c.li][ lw 4 B      ]
//! run 0      addi (0)      c.li (2)  lw (3)   leave to 5
//! run 1      (1: what the second half of addi decodes to, 2 B)   goto the slot of 2
//! ```
//!
//! Each halfword has one slot, and each run ends with at most one more, so a page has at most twice as many slots as
//! halfwords.

use std::sync::OnceLock;

use super::handlers;
use crate::image::Program;
use crate::isa::Op;
use crate::machine::Machine;
use crate::runtime::TrapKind;

/// Halfwords of text decoded at a time. With this, gas of a line and slot numbers fit 16 bits.
const PAGE_HALFWORDS: usize = 2048;
const PAGE_BYTES: usize = PAGE_HALFWORDS * 2;

/// One step of the loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// What executes it, see [`handlers`].
    pub code: u16,
    /// The operation; `ebreak` for everything that leaves the run by itself, see [`Leave`].
    pub op: Op,
    /// Destination; writes to x0 go to the sink.
    pub rd: u8,
    /// First source.
    pub rs1: u8,
    /// Second source. Of jumps, which have none, their own halfwords.
    pub rs2: u8,
    /// Immediate; of an `ebreak`, what it stands for; of a floating-point operation, its rounding mode and, from bit
    /// [`THIRD_SOURCE`] on, its third source.
    pub imm: i32,
    /// Weights of this instruction and those after it, up to the end of the straight line or page.
    pub gas: u16,
    /// Halfword of the page at which it stands; of slots that are no instruction, the next one to run.
    pub position: u16,
    /// Distance in slots to where a branch, direct jump or goto leads, if that is on the same page; otherwise [`FAR`].
    pub target: i16,
}

const _: () = assert!(size_of::<Slot>() == 16, "four slots fill a cache line");

/// Lowest bit of a third source in an immediate.
pub(super) const THIRD_SOURCE: u32 = 8;

/// Target outside the page.
pub(super) const FAR: i16 = i16::MIN;

/// Number of a halfword that has no slot yet.
const NO_SLOT: u16 = u16::MAX;

/// Most slots of a page.
const MOST_SLOTS: usize = 2 * PAGE_HALFWORDS;
const _: () = assert!(MOST_SLOTS < i16::MAX as usize, "a target on the page is no FAR");

impl Slot {
    /// Number of the slot that this one, with the number `index`, leads to.
    pub(super) fn leads_to(&self, index: usize) -> usize {
        index.wrapping_add_signed(isize::from(self.target))
    }

    /// Leads to the slot `to`, from the number `index`.
    fn aim(&mut self, index: usize, to: u16) {
        self.target = (isize::from(to as i16) - index as isize) as i16;
    }
}

/// What an `ebreak` slot does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leave {
    /// Trap.
    Trap(TrapKind),
    /// Go on at the target slot.
    Goto,
    /// Go on where the page ends: on another page, or outside text.
    Page,
}

/// Values of an `ebreak` slot's immediate; 0, the instruction's own, is the breakpoint.
const BREAKPOINT: i32 = 0;
const ILLEGAL_INSTRUCTION: i32 = 1;
const OUT_OF_GAS: i32 = 2;
const GOTO: i32 = 3;
const END_OF_PAGE: i32 = 4;

impl Leave {
    /// What an `ebreak` slot stands for.
    pub(super) const fn of(slot: &Slot) -> Self {
        match slot.imm {
            BREAKPOINT => Self::Trap(TrapKind::Breakpoint),
            ILLEGAL_INSTRUCTION => Self::Trap(TrapKind::IllegalInstruction),
            OUT_OF_GAS => Self::Trap(TrapKind::OutOfGas),
            GOTO => Self::Goto,
            _ => Self::Page,
        }
    }
}

/// A decoded page of text.
#[derive(Debug)]
pub(super) struct Page {
    /// Address of its first halfword.
    pub base: u64,
    /// The steps, run behind run.
    pub slots: Box<[Slot]>,
    /// The slot of each halfword.
    pub numbers: Box<[u16]>,
}

/// The decoded text of a program, as far as it has been executed.
#[derive(Debug)]
pub(crate) struct Code {
    pages: Box<[OnceLock<Page>]>,
}

impl Code {
    /// Most bytes of memory that a byte of text takes once it is decoded: two slots and a number for each halfword.
    pub(crate) const MOST_BYTES_PER_TEXT_BYTE: usize = (2 * size_of::<Slot>() + size_of::<u16>()) / 2;

    /// Nothing decoded yet, for text of this many bytes.
    pub(crate) fn new(text_len: usize) -> Self {
        Self {
            pages: (0..text_len.div_ceil(PAGE_BYTES))
                .map(|_| OnceLock::new())
                .collect(),
        }
    }

    /// Pages that are decoded.
    pub(crate) fn decoded_pages(&self) -> usize {
        self.pages.iter().filter(|page| page.get().is_some()).count()
    }
}

/// Decodes text ahead of its first run: from the entry's page on and then from the beginning, whole pages for at most
/// `most_bytes`.
pub(crate) fn decode(program: &Program, most_bytes: usize) {
    let text = Text::new(program);
    let pages = text.code.pages.len();
    let entry = (u64::from(program.entry()).saturating_sub(text.start) as usize / PAGE_BYTES).min(pages);
    for number in (entry..pages).chain(0..entry).take(most_bytes / PAGE_BYTES) {
        // Between 0 and the number of pages there is one.
        let _ = text.page(number);
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

    /// The decoded page around `pc`, which is even, and the slot to go on at; `None` outside text.
    pub(super) fn find(&self, pc: u64) -> Option<(&'a Page, usize)> {
        let offset = pc.wrapping_sub(self.start);
        if offset >= self.bytes.len() as u64 {
            return None;
        }
        let number = offset as usize / PAGE_BYTES;
        let page = self.page(number)?;
        let slot = page.numbers[offset as usize % PAGE_BYTES / 2];
        Some((page, usize::from(slot)))
    }

    /// A page by its number, decoded by whoever comes to it first.
    fn page(&self, number: usize) -> Option<&'a Page> {
        let page = self.code.pages.get(number)?;
        Some(page.get_or_init(|| self.decode_page(number)))
    }

    fn decode_page(&self, number: usize) -> Page {
        let first = number * PAGE_BYTES;
        let halfwords = (self.bytes.len() - first).min(PAGE_BYTES).div_ceil(2);
        let decoded: Vec<_> = (0..halfwords)
            .map(|position| self.decode(first, position))
            .collect();
        let (mut slots, numbers) = lay_out(&decoded);
        for (index, slot) in slots.iter_mut().enumerate() {
            if matches!(
                slot.op,
                Op::Beq | Op::Bne | Op::Blt | Op::Bge | Op::Bltu | Op::Bgeu | Op::Jal
            ) {
                let target = usize::from(slot.position).wrapping_add_signed((slot.imm >> 1) as isize);
                if let Some(&number) = numbers.get(target) {
                    slot.aim(index, number);
                }
            }
        }
        handlers::give_codes(&mut slots);
        Page {
            base: self.start + first as u64,
            slots: slots.into(),
            numbers: numbers.into(),
        }
    }

    /// The instruction at a halfword of the page that starts at byte `first`, by itself, and its halfwords.
    fn decode(&self, first: usize, position: usize) -> (Slot, usize) {
        let offset = first + position * 2;
        let available = &self.bytes[offset..self.bytes.len().min(offset + 4)];
        let mut word = [0; 4];
        word[..available.len()].copy_from_slice(available);
        let decoded = self
            .machine
            .decode(u32::from_le_bytes(word))
            .filter(|instruction| usize::from(instruction.length()) <= available.len());
        let position = position as u16;
        let Some(instruction) = decoded else {
            return (
                Slot {
                    imm: ILLEGAL_INSTRUCTION,
                    ..leave(position)
                },
                1,
            );
        };
        let (op, operands) = (instruction.op(), instruction.operands);
        let halfwords = instruction.length() / 2;
        let slot = Slot {
            code: op as u16,
            op,
            rd: if operands.rd == 0 {
                super::SINK
            } else {
                operands.rd
            },
            rs1: operands.rs1,
            rs2: if matches!(op, Op::Jal | Op::Jalr) {
                halfwords
            } else {
                operands.rs2
            },
            imm: if op.class().is_float() {
                operands.imm | i32::from(operands.rs3) << THIRD_SOURCE
            } else {
                operands.imm
            },
            gas: self.machine.weights.of(op.class()) as u16,
            position,
            target: FAR,
        };
        (slot, usize::from(halfwords))
    }

    /// The slots with the line that starts at `index` cut at the first instruction that `gas` does not pay for. The
    /// line as a whole costs more, so there is one.
    pub(super) fn cut_line(&self, slots: &[Slot], mut index: usize, gas: u64) -> Box<[Slot]> {
        let mut left = gas;
        loop {
            let slot = slots[index];
            if let (Op::Ebreak, Leave::Goto) = (slot.op, Leave::of(&slot)) {
                index = slot.leads_to(index);
                continue;
            }
            match left.checked_sub(u64::from(self.machine.weights.of(slot.op.class()))) {
                Some(rest) => left = rest,
                None => {
                    let mut cut: Box<[Slot]> = slots.into();
                    cut[index] = Slot {
                        op: Op::Ebreak,
                        imm: OUT_OF_GAS,
                        ..slot
                    };
                    // A pair would execute what was cut.
                    handlers::give_single_codes(&mut cut);
                    return cut;
                }
            }
            index += 1;
        }
    }
}

/// A slot that leaves the run without being an instruction.
const fn leave(position: u16) -> Slot {
    let (rd, target) = (super::SINK, FAR);
    Slot {
        code: Op::Ebreak as u16,
        op: Op::Ebreak,
        rd,
        rs1: 0,
        rs2: 0,
        imm: END_OF_PAGE,
        gas: 0,
        position,
        target,
    }
}

/// Puts the instructions of a page, decoded at each halfword, into runs, and sums gas along lines. Gives
/// the slots and the number of each halfword's slot.
fn lay_out(decoded: &[(Slot, usize)]) -> (Vec<Slot>, Vec<u16>) {
    let mut slots = Vec::with_capacity(decoded.len() + decoded.len() / 4);
    let mut numbers = vec![NO_SLOT; decoded.len()];
    // Backwards, what follows is summed before it is needed; each run is then laid out at once.
    let lines = sum_lines(decoded);
    for start in 0..decoded.len() {
        let mut position = start;
        while position < decoded.len() && numbers[position] == NO_SLOT {
            numbers[position] = slots.len() as u16;
            slots.push(lines[position]);
            position += decoded[position].1;
        }
        if position == start {
            continue;
        }
        let end = leave(position as u16);
        // A line that starts at the goto, behind a branch, is charged there: it costs what the target's costs.
        let mut end = end;
        if let Some(&number) = numbers.get(position) {
            (end.imm, end.gas) = (GOTO, lines[position].gas);
            end.aim(slots.len(), number);
        }
        slots.push(end);
    }
    (slots, numbers)
}

/// The instructions with the gas of their lines, as far as the lines are on this page.
fn sum_lines(decoded: &[(Slot, usize)]) -> Vec<Slot> {
    let mut lines: Vec<Slot> = decoded.iter().map(|(slot, _)| *slot).collect();
    for (position, (slot, halfwords)) in decoded.iter().enumerate().rev() {
        if let Some(&next) = lines.get(position + halfwords)
            && !slot.op.class().ends_line()
        {
            let sum = next.gas.checked_add(slot.gas);
            lines[position].gas = sum.expect("a page of the heaviest instructions fits 16 bits");
        }
    }
    lines
}
