//! Which loop a block belongs to.

use super::flow::{Block, BlockId, Ending, Region, Target};

/// The loops of a region, by their headers: the blocks that some later block, in reverse postorder, leads back to.
pub(crate) struct Loops {
    /// Header of the innermost loop that each block is in.
    innermost: Vec<Option<BlockId>>,
    /// For headers, that of the loop around theirs.
    around: Vec<Option<BlockId>>,
}

impl Loops {
    /// Finds the loops of a region whose blocks are in reverse postorder.
    pub(crate) fn of(region: &Region) -> Self {
        let count = region.blocks.len();
        let mut before: Vec<Vec<BlockId>> = vec![Vec::new(); count];
        let mut is_header = vec![false; count];
        for (id, block) in region.blocks.iter().enumerate() {
            for next in block.successors() {
                before[next].push(id);
                is_header[next] |= next <= id;
            }
        }
        let mut loops = Self {
            innermost: vec![None; count],
            around: vec![None; count],
        };
        // Outer loops have their headers before inner ones, which then take their blocks over.
        let mut seen_for = vec![None; count];
        for header in (0..count).filter(|&id| is_header[id]) {
            loops.around[header] = loops.innermost[header];
            let mut work: Vec<BlockId> = before[header]
                .iter()
                .copied()
                .filter(|&from| from >= header)
                .collect();
            seen_for[header] = Some(header);
            loops.innermost[header] = Some(header);
            while let Some(id) = work.pop() {
                if id > header && seen_for[id] != Some(header) {
                    seen_for[id] = Some(header);
                    loops.innermost[id] = Some(header);
                    work.extend(&before[id]);
                }
            }
        }
        loops
    }

    /// Whether a block is in any loop.
    pub(crate) fn contain(&self, id: BlockId) -> bool {
        self.innermost[id].is_some()
    }

    /// Whether a way from one block to another stays in the innermost loop of the first.
    pub(crate) fn stays(&self, from: BlockId, to: BlockId) -> bool {
        let Some(header) = self.innermost[from] else {
            return true;
        };
        let mut of_target = self.innermost[to];
        while let Some(other) = of_target.filter(|&other| other > header) {
            of_target = self.around[other];
        }
        of_target == Some(header)
    }
}

/// Most jumps back to a header that are looked at one by one.
const MAX_LATCHES: usize = 8;

/// How many times the instructions of its shortest way round a loop has to have for that to become a loop of its own.
const DISTINCT: usize = 2;

/// Makes two loops of one where some ways round are much shorter than others, as in a search whose every hit leads back to
/// where it began: they share a header, and nothing would tell that the short way is the one taken most. The header of the
/// outer loop is a new block without instructions.
pub(crate) fn separate(region: &mut Region) {
    let count = region.blocks.len();
    let mut before: Vec<Vec<BlockId>> = vec![Vec::new(); count];
    for (id, block) in region.blocks.iter().enumerate() {
        for next in block.successors() {
            before[next].push(id);
        }
    }
    let mut changed = false;
    for header in 1..count {
        let mut latches: Vec<BlockId> = before[header]
            .iter()
            .copied()
            .filter(|&from| from >= header)
            .collect();
        latches.dedup();
        if !(2..=MAX_LATCHES).contains(&latches.len()) {
            continue;
        }
        let sizes: Vec<usize> = latches
            .iter()
            .map(|&latch| size_of_way(region, &before, header, latch))
            .collect();
        let shortest = sizes.iter().copied().min().unwrap_or(0);
        let is_long = |size: usize| size >= shortest * DISTINCT;
        if !sizes.iter().any(|&size| is_long(size)) {
            continue;
        }
        let outer = region.blocks.len();
        let start = region.blocks[header].start;
        region.blocks.push(Block {
            start,
            steps: Vec::new(),
            ending: Ending::Jump(Target::Block(header)),
            ending_pc: start,
            gas: 0,
        });
        for &from in &before[header] {
            let stays = latches
                .iter()
                .zip(&sizes)
                .any(|(&latch, &size)| latch == from && !is_long(size));
            if !stays {
                region.blocks[from]
                    .ending
                    .redirect(|id| if id == header { outer } else { id });
            }
        }
        changed = true;
    }
    if changed {
        region.reorder();
    }
}

/// Instructions on the ways from a header to one of the blocks that lead back to it.
fn size_of_way(region: &Region, before: &[Vec<BlockId>], header: BlockId, latch: BlockId) -> usize {
    let mut seen = vec![false; region.blocks.len()];
    seen[header] = true;
    let mut work = vec![latch];
    let mut size = region.blocks[header].steps.len() + 1;
    while let Some(id) = work.pop() {
        if id > header && !std::mem::replace(&mut seen[id], true) {
            size += region.blocks[id].steps.len() + 1;
            work.extend(&before[id]);
        }
    }
    size
}
