//! Control-flow recovery: from an entry to the blocks of one region.
//!
//! A region is what becomes one native function. It has one entry, holds the instructions that can be reached from it
//! by branches and direct jumps, and ends at the entries of other regions, so that each instruction is compiled once.
//!
//! Recovery takes two passes over what is reachable. The first visits instructions and notes *leaders*, the addresses
//! where a block has to start; the second cuts blocks at leaders. Streams of instructions that overlap, since any even
//! address may be jumped to, are different blocks until they meet.

use std::collections::{BTreeMap, BTreeSet};

use super::liveness::Liveness;
pub(crate) use super::region::{Block, BlockId, Ending, Region, Target};
use crate::interpreter::Transfer;
use crate::isa::{Class, Op};
use crate::machine::Machine;

/// ra, by which calls are recognised.
pub(crate) const RA: u8 = 1;

/// An instruction at its address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) pc: u32,
    pub(crate) length: u8,
    pub(crate) op: Op,
    pub(crate) rd: u8,
    pub(crate) rs1: u8,
    pub(crate) rs2: u8,
    pub(crate) rs3: u8,
    pub(crate) imm: i32,
}

impl Step {
    /// Address of the instruction behind it. A 64-bit sum, as links are.
    pub(crate) fn next(&self) -> u64 {
        u64::from(self.pc) + u64::from(self.length)
    }

    /// Target of a branch or `jal`.
    pub(crate) fn target(&self) -> u64 {
        u64::from(self.pc).wrapping_add(i64::from(self.imm).cast_unsigned())
    }

    /// What it costs.
    pub(crate) fn gas(&self, machine: &Machine) -> u64 {
        u64::from(machine.weights.of(self.op.class()))
    }
}

/// Text as the compiler reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    pub(crate) machine: &'static Machine,
    pub(crate) start: u32,
    pub(crate) bytes: &'a [u8],
}

impl Text<'_> {
    /// Whether code at `pc` may be executed.
    pub(crate) fn contains(&self, pc: u64) -> bool {
        pc.is_multiple_of(2) && pc.wrapping_sub(u64::from(self.start)) < self.bytes.len() as u64
    }

    /// The instruction at an address of text, unless it is illegal there.
    pub(crate) fn decode(&self, pc: u32) -> Option<Step> {
        let offset = (pc - self.start) as usize;
        let available = &self.bytes[offset..self.bytes.len().min(offset + 4)];
        let mut word = [0; 4];
        word[..available.len()].copy_from_slice(available);
        let instruction = self.machine.decode(u32::from_le_bytes(word))?;
        if usize::from(instruction.length()) > available.len() {
            return None;
        }
        let operands = instruction.operands;
        Some(Step {
            pc,
            length: instruction.length(),
            op: instruction.op(),
            rd: operands.rd,
            rs1: operands.rs1,
            rs2: operands.rs2,
            rs3: operands.rs3,
            imm: operands.imm,
        })
    }
}

/// What recovery is told beside the text.
pub(crate) struct Bounds<'a> {
    /// Most instructions of a region.
    pub(crate) instructions: usize,
    /// Most blocks of a region, those apart that streams which meet split off.
    pub(crate) blocks: usize,
    /// Entries of other regions, ascending.
    pub(crate) entries: &'a BTreeSet<u32>,
    /// Addresses of text that data holds, ascending: possible targets of jump tables.
    pub(crate) candidates: &'a [u32],
    /// Says which calls come back.
    pub(crate) liveness: &'a Liveness,
}

impl Bounds<'_> {
    /// Whether a call that links to an address comes back to it, as far as is known.
    fn comes_back(&self, link: u64) -> bool {
        self.liveness.permits(Transfer::Return, link)
    }

    fn is_entry(&self, pc: u64) -> bool {
        u32::try_from(pc).is_ok_and(|pc| self.entries.contains(&pc))
    }
}

/// Recovers the region at `entry`, an even address of text.
pub(crate) fn recover(text: Text<'_>, entry: u32, bounds: &Bounds<'_>) -> Region {
    let mut visit = Visit {
        text,
        entry,
        bounds,
        steps: BTreeMap::new(),
        illegal: BTreeSet::new(),
        leaders: BTreeSet::from([entry]),
        work: vec![entry],
        cut: BTreeSet::new(),
        searching: BTreeSet::new(),
    };
    visit.run();
    visit.blocks()
}

struct Visit<'a> {
    text: Text<'a>,
    entry: u32,
    bounds: &'a Bounds<'a>,
    steps: BTreeMap<u32, Step>,
    illegal: BTreeSet<u32>,
    leaders: BTreeSet<u32>,
    work: Vec<u32>,
    cut: BTreeSet<u32>,
    /// Jumps to addresses in registers that are searched for among the candidates; others leave the region.
    searching: BTreeSet<u32>,
}

impl Visit<'_> {
    /// Whether the region may hold code at `pc`.
    fn inside(&self, pc: u64) -> bool {
        self.text.contains(pc) && (pc == u64::from(self.entry) || !self.bounds.is_entry(pc))
    }

    /// Makes `pc` the start of a block, if it belongs here.
    fn lead(&mut self, pc: u64) {
        if !self.inside(pc) {
            return;
        }
        let pc = pc as u32;
        if self.leaders.len() >= self.bounds.blocks && !self.leaders.contains(&pc) {
            self.cut.insert(pc);
        } else if self.leaders.insert(pc) {
            self.work.push(pc);
        }
    }

    /// The same behind a call, if it comes back.
    fn lead_back(&mut self, pc: u64) {
        if self.bounds.comes_back(pc) {
            self.lead(pc);
        }
    }

    fn run(&mut self) {
        while let Some(leader) = self.work.pop() {
            self.follow(leader);
        }
    }

    /// Visits the straight line from `leader` on.
    fn follow(&mut self, leader: u32) {
        let mut pc = leader;
        let mut before: Option<Step> = None;
        loop {
            if self.steps.contains_key(&pc) || self.illegal.contains(&pc) {
                // Two streams meet.
                self.leaders.insert(pc);
                return;
            }
            if self.steps.len() >= self.bounds.instructions {
                self.cut.insert(pc);
                return;
            }
            let Some(step) = self.text.decode(pc) else {
                self.illegal.insert(pc);
                return;
            };
            self.steps.insert(pc, step);
            let next = step.next();
            match step.op.class() {
                Class::Branch => {
                    self.lead(step.target());
                    self.lead(next);
                    return;
                }
                Class::Jal => {
                    match step.rd {
                        0 => self.lead(step.target()),
                        RA => self.lead_back(next),
                        // A jump that links through another register: what follows is reached by that link.
                        _ => self.lead(step.target()),
                    }
                    return;
                }
                Class::Jalr => {
                    let far = before.and_then(|before| far_target(&before, &step));
                    match (step.rd, far) {
                        (0, Some(target)) => self.lead(target),
                        (0, None) if !is_return(&step) => self.lead_candidates(pc),
                        (RA, _) => self.lead_back(next),
                        _ => {}
                    }
                    return;
                }
                Class::Ecall => {
                    if self.bounds.liveness.permits(Transfer::HostReturn, next) {
                        self.lead(next);
                    }
                    return;
                }
                Class::Ebreak => return,
                _ => {}
            }
            if !self.inside(next) {
                return;
            }
            before = Some(step);
            pc = next as u32;
        }
    }

    /// Makes leaders of the addresses in data that lie between this entry and the next one, for the jump at `pc`. All jumps
    /// of a region have the same ones, and each has an edge to each.
    fn lead_candidates(&mut self, pc: u32) {
        let candidates = candidates_of(self.bounds, self.entry);
        if (self.searching.len() + 1) * candidates.len() > MAX_EDGES {
            return;
        }
        if self.searching.is_empty() {
            for &candidate in candidates {
                self.lead(u64::from(candidate));
            }
        }
        self.searching.insert(pc);
    }

    /// Where a jump to an address in a register may lead inside the region.
    fn candidates_at(&self, pc: u32) -> &[u32] {
        if self.searching.contains(&pc) {
            candidates_of(self.bounds, self.entry)
        } else {
            &[]
        }
    }

    fn blocks(self) -> Region {
        let order = self.reverse_postorder();
        let ids: BTreeMap<u32, BlockId> = order.iter().enumerate().map(|(id, &start)| (start, id)).collect();
        let blocks = order
            .iter()
            .map(|&start| {
                let raw = self.cut_block(start);
                let target = |pc: u64| match u32::try_from(pc).ok().and_then(|pc| ids.get(&pc)) {
                    Some(&id) => Target::Block(id),
                    None => Target::Away(pc),
                };
                self.finish(raw, target, &ids)
            })
            .collect();
        Region {
            entry: self.entry,
            blocks,
            cut: self.cut.iter().copied().collect(),
        }
    }

    /// Starts of the blocks that the entry reaches, in reverse postorder.
    fn reverse_postorder(&self) -> Vec<u32> {
        let mut seen = BTreeSet::from([self.entry]);
        let mut order = Vec::new();
        // A block and the successors that are still to be followed.
        let mut stack = vec![(self.entry, self.raw_successors(self.entry))];
        while let Some((start, successors)) = stack.last_mut() {
            match successors.pop() {
                Some(next) => {
                    if seen.insert(next) {
                        let successors = self.raw_successors(next);
                        stack.push((next, successors));
                    }
                }
                None => {
                    order.push(*start);
                    stack.pop();
                }
            }
        }
        order.reverse();
        order
    }

    /// Whether a block of this region starts there.
    fn starts_block(&self, pc: u64) -> Option<u32> {
        let pc = u32::try_from(pc).ok()?;
        let known = self.steps.contains_key(&pc) || self.illegal.contains(&pc);
        (self.leaders.contains(&pc) && known).then_some(pc)
    }

    fn raw_successors(&self, start: u32) -> Vec<u32> {
        let raw = self.cut_block(start);
        let mut successors: Vec<u32> = match raw.ending {
            RawEnding::RunsOn(next) => self.starts_block(next).into_iter().collect(),
            RawEnding::Illegal => Vec::new(),
            RawEnding::Step { step, far } => match step.op.class() {
                Class::Branch => [step.next(), step.target()]
                    .into_iter()
                    .filter_map(|pc| self.starts_block(pc))
                    .collect(),
                Class::Jal | Class::Jalr if step.rd == RA => self
                    .starts_block(step.next())
                    .filter(|&back| self.bounds.comes_back(u64::from(back)))
                    .into_iter()
                    .collect(),
                Class::Jal => self.starts_block(step.target()).into_iter().collect(),
                Class::Jalr if step.rd == 0 => match far {
                    Some(target) => self.starts_block(target).into_iter().collect(),
                    None if is_return(&step) => Vec::new(),
                    None => self
                        .candidates_at(step.pc)
                        .iter()
                        .filter_map(|&pc| self.starts_block(u64::from(pc)))
                        .collect(),
                },
                Class::Ecall => self
                    .starts_block(step.next())
                    .filter(|&back| {
                        self.bounds
                            .liveness
                            .permits(Transfer::HostReturn, u64::from(back))
                    })
                    .into_iter()
                    .collect(),
                _ => Vec::new(),
            },
        };
        // The last one is followed first, and so comes last in the order: the way that runs on comes next.
        successors.reverse();
        successors
    }

    /// The straight line at a leader, up to the next one.
    fn cut_block(&self, start: u32) -> RawBlock {
        let mut steps = Vec::new();
        let mut gas = 0;
        let mut pc = start;
        let ending = loop {
            let Some(&step) = self.steps.get(&pc) else {
                break if self.illegal.contains(&pc) {
                    RawEnding::Illegal
                } else {
                    RawEnding::RunsOn(u64::from(pc))
                };
            };
            gas += step.gas(self.text.machine);
            if step.op.class().ends_line() {
                let far = steps.last().and_then(|before| far_target(before, &step));
                if step.op == Op::Jal && !matches!(step.rd, 0 | RA) {
                    steps.push(link_step(&step));
                }
                break RawEnding::Step { step, far };
            }
            steps.push(step);
            let next = step.next();
            if !self.inside(next) || self.leaders.contains(&(next as u32)) {
                break RawEnding::RunsOn(next);
            }
            pc = next as u32;
        };
        RawBlock {
            start,
            steps,
            gas,
            ending,
        }
    }

    fn finish(&self, raw: RawBlock, target: impl Fn(u64) -> Target, ids: &BTreeMap<u32, BlockId>) -> Block {
        let ending_pc = match raw.ending {
            RawEnding::Step { step, .. } => step.pc,
            _ => raw.steps.last().map_or(raw.start, |step| step.pc),
        };
        let back = |pc: u64| {
            if self.bounds.comes_back(pc) {
                target(pc)
            } else {
                Target::Away(pc)
            }
        };
        let ending = match raw.ending {
            RawEnding::RunsOn(next) => Ending::Jump(target(next)),
            RawEnding::Illegal => Ending::Trap,
            RawEnding::Step { step, far } => match (step.op.class(), step.rd, far) {
                (Class::Branch, ..) => Ending::Branch {
                    op: step.op,
                    rs1: step.rs1,
                    rs2: step.rs2,
                    taken: target(step.target()),
                    fall: target(step.next()),
                },
                (Class::Jal, RA, _) => Ending::Call {
                    callee: step.target(),
                    link: step.next(),
                    back: back(step.next()),
                },
                // Links through another register, which `cut_block` has set.
                (Class::Jal, ..) => Ending::Jump(target(step.target())),
                (Class::Jalr, 0, Some(far)) => Ending::Jump(target(far)),
                (Class::Jalr, RA, Some(far)) => Ending::Call {
                    callee: far,
                    link: step.next(),
                    back: back(step.next()),
                },
                (Class::Jalr, RA, None) => Ending::CallIndirect {
                    rs1: step.rs1,
                    imm: step.imm,
                    link: step.next(),
                    back: back(step.next()),
                },
                (Class::Jalr, 0, None) if is_return(&step) => Ending::Return,
                (Class::Jalr, rd, _) => Ending::JumpIndirect {
                    rs1: step.rs1,
                    imm: step.imm,
                    link: (rd != 0).then_some((rd, step.next())),
                    candidates: if rd == 0 {
                        self.candidates_at(step.pc)
                            .iter()
                            .filter_map(|pc| ids.get(pc).map(|&id| (*pc, id)))
                            .collect()
                    } else {
                        Vec::new()
                    },
                },
                (Class::Ecall, ..) => Ending::Ecall {
                    back: if self.bounds.liveness.permits(Transfer::HostReturn, step.next()) {
                        target(step.next())
                    } else {
                        Target::Away(step.next())
                    },
                },
                _ => Ending::Trap,
            },
        };
        Block {
            start: raw.start,
            steps: raw.steps,
            ending,
            ending_pc,
            gas: raw.gas,
        }
    }
}

struct RawBlock {
    start: u32,
    steps: Vec<Step>,
    gas: u64,
    ending: RawEnding,
}

enum RawEnding {
    /// Goes on at that address.
    RunsOn(u64),
    /// An illegal instruction comes next.
    Illegal,
    /// An instruction that ends its line; `far` where it is a jump through `auipc`.
    Step { step: Step, far: Option<u64> },
}

/// What a `jal` does beside jumping, as an instruction of its own: `auipc` of its length.
fn link_step(jal: &Step) -> Step {
    Step {
        op: Op::Auipc,
        imm: i32::from(jal.length),
        ..*jal
    }
}

/// `jalr x0, 0(ra)`: the one form of return that is predicted.
pub(crate) fn is_return(step: &Step) -> bool {
    Transfer::of(step.rd, step.rs1, i64::from(step.imm)) == Transfer::Return
}

/// Target of `auipc r, …; jalr rd, …(r)`, and of `lui` likewise.
pub(crate) fn far_target(before: &Step, jalr: &Step) -> Option<u64> {
    if jalr.op != Op::Jalr || before.rd != jalr.rs1 || before.rd == 0 {
        return None;
    }
    let imm = i64::from(before.imm).cast_unsigned();
    let base = match before.op {
        Op::Auipc => u64::from(before.pc).wrapping_add(imm),
        Op::Lui => imm,
        _ => return None,
    };
    Some(u64::from(base as u32).wrapping_add(i64::from(jalr.imm).cast_unsigned()) & !1)
}

/// Addresses in data between this entry and the next.
fn candidates_of<'a>(bounds: &Bounds<'a>, entry: u32) -> &'a [u32] {
    let end = bounds
        .entries
        .range(entry.saturating_add(1)..)
        .next()
        .copied()
        .unwrap_or(u32::MAX);
    let first = bounds.candidates.partition_point(|&pc| pc < entry);
    let last = bounds.candidates.partition_point(|&pc| pc < end);
    &bounds.candidates[first..last.min(first + MAX_CANDIDATES)]
}

/// Most targets of indirect jumps in one region.
const MAX_CANDIDATES: usize = 1024;

/// Most edges from indirect jumps to their targets in one region: an interpreter that jumps from each of 90 operations to
/// each has as many.
const MAX_EDGES: usize = 8192;
