//! What recovery makes: regions of blocks, in which every pass of the compiler reads and writes.

use std::collections::BTreeSet;

use super::flow::Step;
use crate::isa::Op;

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
