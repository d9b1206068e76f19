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

/// Index of a block in its region.
pub(crate) type BlockId = usize;

/// Where control goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// A block of this region.
    Block(BlockId),
    /// An address of another region, or outside text.
    Away(u64),
}

/// How a block ends.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// Runs on, or `jal x0`.
    Jump(Target),
    /// A conditional branch: its operation and sources.
    Branch {
        op: Op,
        rs1: u8,
        rs2: u8,
        taken: Target,
        fall: Target,
    },
    /// A call to a known address, linked through ra. `back` is where it returns to.
    Call { callee: u64, link: u64, back: Target },
    /// A call to an address in a register, linked through ra.
    CallIndirect {
        rs1: u8,
        imm: i32,
        link: u64,
        back: Target,
    },
    /// A jump to an address in a register. Where `link` is some, that register is set first, after `rs1` was read.
    JumpIndirect {
        rs1: u8,
        imm: i32,
        link: Option<(u8, u64)>,
        /// Blocks that data names as targets, by address.
        candidates: Vec<(u32, BlockId)>,
    },
    /// `jalr x0, 0(ra)`.
    Return,
    /// The return of a call that was written out: to `back`, if ra is `link`.
    Back { link: u64, back: Target },
    /// A host call.
    Ecall { back: Target },
    /// An illegal instruction or `ebreak`.
    Trap,
}

impl Ending {
    /// Gives it other blocks to go to.
    pub(crate) fn redirect(&mut self, to: impl Fn(BlockId) -> BlockId) {
        let change = |target: &mut Target| {
            if let Target::Block(id) = target {
                *id = to(*id);
            }
        };
        match self {
            Self::Jump(target) => change(target),
            Self::Branch { taken, fall, .. } => {
                change(taken);
                change(fall);
            }
            Self::Call { back, .. }
            | Self::CallIndirect { back, .. }
            | Self::Ecall { back }
            | Self::Back { back, .. } => change(back),
            Self::JumpIndirect { candidates, .. } => {
                for (_, id) in candidates {
                    *id = to(*id);
                }
            }
            Self::Return | Self::Trap => {}
        }
    }
}

/// A straight line of a region.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Address of its first instruction.
    pub(crate) start: u32,
    /// Instructions that compute; what ends the block is in `ending`.
    pub(crate) steps: Vec<Step>,
    pub(crate) ending: Ending,
    /// Address of the instruction that ends it: for names and lines.
    pub(crate) ending_pc: u32,
    /// Weights of all of its instructions, the ending's included.
    pub(crate) gas: u64,
}

impl Block {
    /// Targets inside the region, in no particular order.
    pub(crate) fn successors(&self) -> impl Iterator<Item = BlockId> + '_ {
        let (fixed, candidates): ([Option<Target>; 2], &[(u32, BlockId)]) = match &self.ending {
            Ending::Jump(target) => ([Some(*target), None], &[]),
            Ending::Branch { taken, fall, .. } => ([Some(*taken), Some(*fall)], &[]),
            Ending::Call { back, .. }
            | Ending::CallIndirect { back, .. }
            | Ending::Ecall { back }
            | Ending::Back { back, .. } => ([Some(*back), None], &[]),
            Ending::JumpIndirect { candidates, .. } => ([None, None], candidates),
            Ending::Return | Ending::Trap => ([None, None], &[]),
        };
        let fixed = fixed.into_iter().flatten().filter_map(|target| match target {
            Target::Block(id) => Some(id),
            Target::Away(_) => None,
        });
        fixed.chain(candidates.iter().map(|(_, id)| *id))
    }
}

/// What becomes one native function. Block 0 is the entry; blocks are in reverse postorder.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub(crate) entry: u32,
    pub(crate) blocks: Vec<Block>,
    /// Addresses at which recovery stopped because the region was full.
    pub(crate) cut: Vec<u32>,
}

impl Region {
    /// Instructions in it.
    pub(crate) fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.steps.len() + 1).sum()
    }

    /// Puts blocks into reverse postorder again, without those that cannot be reached.
    pub(crate) fn reorder(&mut self) {
        let count = self.blocks.len();
        // As in recovery: the last one is followed first.
        let successors = |id: BlockId| {
            let block = &self.blocks[id];
            let mut successors: Vec<BlockId> = block.successors().collect();
            if matches!(block.ending, Ending::JumpIndirect { .. }) {
                successors.reverse();
            }
            successors
        };
        let mut seen = vec![false; count];
        seen[0] = true;
        let mut order = Vec::with_capacity(count);
        let mut stack = vec![(0, successors(0))];
        while let Some((id, open)) = stack.last_mut() {
            match open.pop() {
                Some(next) => {
                    if !std::mem::replace(&mut seen[next], true) {
                        stack.push((next, successors(next)));
                    }
                }
                None => {
                    order.push(*id);
                    stack.pop();
                }
            }
        }
        order.reverse();
        let mut places = vec![0; count];
        for (place, &id) in order.iter().enumerate() {
            places[id] = place;
        }
        let mut old: Vec<Option<Block>> = std::mem::take(&mut self.blocks).into_iter().map(Some).collect();
        self.blocks = order
            .iter()
            .filter_map(|&id| old[id].take())
            .map(|mut block| {
                block.ending.redirect(|id| places[id]);
                block
            })
            .collect();
    }

    /// Makes one block of two where the first leads to the second alone and nothing else leads there.
    pub(crate) fn merge(&mut self) {
        let mut edges_into = vec![0_u32; self.blocks.len()];
        // Block 0 is entered from outside.
        edges_into[0] = 1;
        for next in self.blocks.iter().flat_map(Block::successors) {
            edges_into[next] += 1;
        }
        let mut changed = false;
        for id in 0..self.blocks.len() {
            while let Ending::Jump(Target::Block(next)) = self.blocks[id].ending
                && edges_into[next] == 1
                && next != id
            {
                let absorbed = &mut self.blocks[next];
                let mut steps = std::mem::take(&mut absorbed.steps);
                // Not reached any more, it goes when the blocks are put in order.
                let ending = std::mem::replace(&mut absorbed.ending, Ending::Trap);
                let (ending_pc, gas) = (absorbed.ending_pc, absorbed.gas);
                let block = &mut self.blocks[id];
                block.steps.append(&mut steps);
                block.ending = ending;
                block.ending_pc = ending_pc;
                block.gas += gas;
                changed = true;
            }
        }
        if changed {
            self.reorder();
        }
    }

    /// Applies `settle` to blocks until nothing changes, in the order of the blocks as far as loops allow. It is given a
    /// function that tells of a successor whose facts it has changed.
    ///
    /// Passes over all blocks would be as many as there are loops that feed one another: facts may have to go up a ladder
    /// of loops a rung at a time. Here a block is looked at again only when facts that it depends on have changed, and
    /// sets of registers change once for each register at most.
    pub(crate) fn settle_forwards(&self, mut settle: impl FnMut(BlockId, &Block, &mut dyn FnMut(BlockId))) {
        let mut work: BTreeSet<BlockId> = (0..self.blocks.len()).collect();
        while let Some(id) = work.pop_first() {
            settle(id, &self.blocks[id], &mut |next| {
                work.insert(next);
            });
        }
    }

    /// The same against the flow of control: `settle` gives whether a block's facts have changed, which the blocks before
    /// it depend on.
    pub(crate) fn settle_backwards(&self, mut settle: impl FnMut(BlockId, &Block) -> bool) {
        let mut before: Vec<Vec<BlockId>> = vec![Vec::new(); self.blocks.len()];
        for (id, block) in self.blocks.iter().enumerate() {
            for next in block.successors() {
                before[next].push(id);
            }
        }
        let mut work: BTreeSet<BlockId> = (0..self.blocks.len()).collect();
        while let Some(id) = work.pop_last() {
            if settle(id, &self.blocks[id]) {
                work.extend(&before[id]);
            }
        }
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
