//! Code with labels, its assembly at addresses, and pieces that can be cut out of it.

use std::ops::Range;

use millrace_jit::isa::{Form, Op, Operands};

use crate::asm::{form, qemu_word};

/// A place in text, wherever it comes to lie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Label(pub(super) usize);

/// A part of code, of a size that does not depend on what it holds but on how far its target is.
#[derive(Clone, Copy, Debug)]
pub enum Item {
    /// Was cut out.
    Nothing,
    /// Names the place.
    Here(Label),
    /// A whole instruction.
    Word(&'static Form, u32),
    /// Bytes that are executed in several ways.
    Bytes(u32, u8),
    /// A conditional branch; turned round and followed by a jump where the target is out of its reach.
    Branch {
        /// One of the six comparisons.
        op: Op,
        /// First operand.
        rs1: u8,
        /// Second operand.
        rs2: u8,
        /// Where to.
        target: Label,
        /// As a compressed one where that is possible.
        short: bool,
    },
    /// `jal`.
    Jump {
        /// Link register or x0.
        link: u8,
        /// Where to.
        target: Label,
        /// As a compressed one where that is possible.
        short: bool,
    },
    /// `auipc via`, `jalr link, (via)`.
    Far {
        /// Link register or x0.
        link: u8,
        /// The register that holds the address.
        via: u8,
        /// Where to.
        target: Label,
    },
    /// `auipc rd`, `addi rd`: the address of a label, plus `add`.
    Address {
        /// Where it goes.
        rd: u8,
        /// Of what.
        target: Label,
        /// What is added.
        add: i32,
    },
    /// `auipc rd`, `addi rd`: a number within 2 GiB of the place.
    Near {
        /// Where it goes.
        rd: u8,
        /// The number.
        value: u64,
    },
}

/// Code that lies together. Chunks may be moved against each other: none runs off its end.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// What it is, for people.
    pub name: String,
    /// The code.
    pub items: Vec<Item>,
    /// Runs of items that can be left out together, the inner ones before those around them.
    pub pieces: Vec<Range<usize>>,
}

/// Code at its addresses.
#[derive(Clone, Debug)]
pub struct Assembled {
    /// Address of the first byte.
    pub base: u64,
    /// Text of the machine under test.
    pub bytes: Vec<u8>,
    /// Text for qemu: as long, with other encodings of what qemu 7.2 does not know or gets wrong.
    pub qemu_bytes: Vec<u8>,
    /// Where labels came to lie.
    pub labels: Vec<Option<u64>>,
    /// Offset, name of every chunk that holds anything.
    pub chunks: Vec<(usize, String)>,
}

/// A label that is jumped to is gone: code was cut that is still needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dangling(pub Label);

const MOST_TEXT: usize = 1 << 20;
const JAL: i64 = 1 << 20;

impl Item {
    fn least(&self) -> u8 {
        match self {
            Self::Nothing | Self::Here(_) => 0,
            Self::Word(form, _) => form.length(),
            Self::Bytes(_, len) => *len,
            Self::Branch {
                op,
                rs1,
                rs2,
                short: true,
                ..
            } if compressed_branch(*op, *rs1, *rs2).is_some() => 2,
            Self::Branch { .. } => 4,
            Self::Jump {
                link: 0, short: true, ..
            } => 2,
            Self::Jump { .. } => 4,
            Self::Far { .. } | Self::Address { .. } | Self::Near { .. } => 8,
        }
    }

    /// The next longer encoding, if a target this far away needs it.
    fn grown(&self, len: u8, distance: i64) -> Option<u8> {
        let reach = match (self, len) {
            (Self::Branch { .. }, 2) => 1 << 8,
            (Self::Branch { .. }, 4) => 1 << 12,
            (Self::Jump { .. }, 2) => 1 << 11,
            _ => return None,
        };
        // The word of a branch that grows moves everything behind it; what is nearly out of reach counts as out.
        (!(-reach..reach).contains(&distance)).then_some(2 * len)
    }

    const fn target(&self) -> Option<Label> {
        match self {
            Self::Branch { target, .. }
            | Self::Jump { target, .. }
            | Self::Far { target, .. }
            | Self::Address { target, .. } => Some(*target),
            Self::Nothing | Self::Here(_) | Self::Word(..) | Self::Bytes(..) | Self::Near { .. } => None,
        }
    }

    fn words(&self, pc: u64, target: u64, len: u8, out: &mut Vec<u8>) {
        let mut emit = |name: &str, rd, rs1, rs2, imm: i64| {
            let imm = i32::try_from(imm).expect("layout kept displacements short");
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
            out.extend_from_slice(&word.to_le_bytes()[..usize::from(form.length())]);
        };
        let distance = target.wrapping_sub(pc).cast_signed();
        match *self {
            Self::Nothing | Self::Here(_) => {}
            Self::Word(form, word) => {
                out.extend_from_slice(&word.to_le_bytes()[..usize::from(form.length())])
            }
            Self::Bytes(word, len) => out.extend_from_slice(&word.to_le_bytes()[..usize::from(len)]),
            Self::Branch { op, rs1, rs2, .. } => match len {
                2 => {
                    let (name, rs1) = compressed_branch(op, rs1, rs2).expect("only these are 2 long");
                    emit(name, 0, rs1, 0, distance);
                }
                4 => emit(branch_name(op), 0, rs1, rs2, distance),
                _ => {
                    emit(branch_name(opposite(op)), 0, rs1, rs2, 8);
                    emit("jal", 0, 0, 0, distance - 4);
                }
            },
            Self::Jump { .. } if len == 2 => emit("c.j", 0, 0, 0, distance),
            Self::Jump { link, .. } => emit("jal", link, 0, 0, distance),
            Self::Far { link, via, .. } => {
                let (high, low) = split(distance);
                emit("auipc", via, 0, 0, high);
                emit("jalr", link, via, 0, low);
            }
            Self::Address { rd, add, .. } => {
                let (high, low) = split(distance + i64::from(add));
                emit("auipc", rd, 0, 0, high);
                emit("addi", rd, rd, 0, low);
            }
            Self::Near { rd, value } => {
                let (high, low) = split(value.wrapping_sub(pc).cast_signed());
                emit("auipc", rd, 0, 0, high);
                emit("addi", rd, rd, 0, low);
            }
        }
    }
}

/// Parts of a displacement for `auipc` and a signed 12-bit immediate.
fn split(distance: i64) -> (i64, i64) {
    let low = distance << 52 >> 52;
    (distance - low, low)
}

fn compressed_branch(op: Op, rs1: u8, rs2: u8) -> Option<(&'static str, u8)> {
    let name = match op {
        Op::Beq => "c.beqz",
        Op::Bne => "c.bnez",
        _ => return None,
    };
    ((8..16).contains(&rs1) && rs2 == 0).then_some((name, rs1))
}

fn branch_name(op: Op) -> &'static str {
    match op {
        Op::Beq => "beq",
        Op::Bne => "bne",
        Op::Blt => "blt",
        Op::Bge => "bge",
        Op::Bltu => "bltu",
        Op::Bgeu => "bgeu",
        _ => unreachable!("{op:?} is no branch"),
    }
}

/// The branch that is taken when `op` is not.
pub fn opposite(op: Op) -> Op {
    match op {
        Op::Beq => Op::Bne,
        Op::Bne => Op::Beq,
        Op::Blt => Op::Bge,
        Op::Bge => Op::Blt,
        Op::Bltu => Op::Bgeu,
        Op::Bgeu => Op::Bltu,
        _ => unreachable!("{op:?} is no branch"),
    }
}

/// Lays chunks out one behind the other from `base`. With `for_qemu`, code that stands in for qemu's `ctzw` comes
/// before the last chunk, which may run off the end of text.
///
/// # Errors
/// If something refers to a label that is nowhere.
///
/// # Panics
/// If there is more code than direct jumps reach over.
pub fn assemble(chunks: &[&Chunk], labels: usize, base: u64, for_qemu: bool) -> Result<Assembled, Dangling> {
    let (last, others) = chunks.split_last().expect("a program has code");
    let before: Vec<Item> = others
        .iter()
        .flat_map(|chunk| chunk.items.iter().copied())
        .collect();
    let mistaken = |items: &[Item]| {
        let words = items.iter().filter_map(|item| match item {
            Item::Word(form, word) if for_qemu && form.op == Op::Ctzw => form.decode(*word),
            _ => None,
        });
        words.collect::<Vec<_>>()
    };
    let mut stand_ins = mistaken(&before);
    stand_ins.extend(mistaken(&last.items));
    const STAND_IN: usize = 16;
    let room = STAND_IN * stand_ins.len();
    let items: Vec<Item> = before.iter().chain(&last.items).copied().collect();

    let mut lens: Vec<u8> = items.iter().map(Item::least).collect();
    let mut places = vec![None; labels];
    let mut offsets = vec![0; items.len()];
    loop {
        let mut here = 0;
        for (index, item) in items.iter().enumerate() {
            if index == before.len() {
                here += room;
            }
            offsets[index] = here;
            if let Item::Here(label) = item {
                places[label.0] = Some(base + here as u64);
            }
            here += usize::from(lens[index]);
        }
        let mut stable = true;
        for (index, item) in items.iter().enumerate() {
            let Some(label) = item.target() else { continue };
            let target = places[label.0].ok_or(Dangling(label))?;
            let distance = target.wrapping_sub(base + offsets[index] as u64).cast_signed();
            if let Some(len) = item.grown(lens[index], distance) {
                lens[index] = len;
                stable = false;
            }
        }
        if stable {
            assert!(
                here < MOST_TEXT,
                "{here} bytes of text are more than jumps reach over"
            );
            break;
        }
    }

    let mut text = Assembled {
        base,
        bytes: Vec::new(),
        qemu_bytes: Vec::new(),
        labels: places,
        chunks: Vec::new(),
    };
    let mut patches = Vec::new();
    let mut stand_ins = stand_ins.into_iter();
    let stand_in_start = offsets.get(before.len()).map_or_else(
        || {
            before
                .len()
                .checked_sub(1)
                .map_or(0, |last| offsets[last] + usize::from(lens[last]))
        },
        |start| start - room,
    );
    let mut next_stand_in = stand_in_start;
    let mut starts = chunk_starts(chunks);
    for (index, item) in items.iter().enumerate() {
        while starts.first().is_some_and(|(start, _)| *start <= index) {
            let (_, name) = starts.remove(0);
            text.chunks.push((offsets[index], name));
        }
        text.bytes.resize(offsets[index], 0);
        let pc = base + offsets[index] as u64;
        let target = item.target().and_then(|label| text.labels[label.0]).unwrap_or(pc);
        item.words(pc, target, lens[index], &mut text.bytes);
        if let Item::Word(form, word) = item
            && for_qemu
        {
            if let Some(word) = qemu_word(form, *word) {
                patches.push((offsets[index], word));
            } else if form.op == Op::Ctzw {
                let there = next_stand_in as i64 - offsets[index] as i64;
                assert!(there.abs() < JAL, "text is shorter than a jump's reach");
                let imm = there as i32;
                patches.push((offsets[index], encode("jal", 0, 0, imm)));
                let Operands { rd, rs1, .. } = stand_ins.next().expect("each was counted");
                let words = [
                    encode("slli", rd, rs1, 32),
                    encode("ctz", rd, rd, 0),
                    encode("addi", rd, rd, -32),
                    encode("jal", 0, 0, 4 - (imm + 12)),
                ];
                patches.extend(
                    words
                        .into_iter()
                        .enumerate()
                        .map(|(i, word)| (next_stand_in + 4 * i, word)),
                );
                next_stand_in += STAND_IN;
            }
        }
    }
    if text.bytes.len() < stand_in_start + room {
        text.bytes.resize(stand_in_start + room, 0);
    }
    text.qemu_bytes.clone_from(&text.bytes);
    for (offset, word) in patches {
        text.qemu_bytes[offset..offset + 4].copy_from_slice(&word.to_le_bytes());
    }
    Ok(text)
}

fn encode(name: &str, rd: u8, rs1: u8, imm: i32) -> u32 {
    let operands = Operands {
        rd,
        rs1,
        imm,
        ..Operands::default()
    };
    form(name).encode(&operands).expect("jumps reach over text")
}

/// Index of the first item of each chunk that has any, and its name.
fn chunk_starts(chunks: &[&Chunk]) -> Vec<(usize, String)> {
    let mut start = 0;
    let mut starts = Vec::new();
    for chunk in chunks {
        if chunk.items.iter().any(|item| !matches!(item, Item::Nothing)) {
            starts.push((start, chunk.name.clone()));
        }
        start += chunk.items.len();
    }
    starts
}
