//! Where the stack pointer stands, measured from where it stood when the region was entered.

use std::collections::BTreeSet;

use super::flow::{Ending, Region, Step};
use super::summary::{SP, Summaries};
use crate::isa::Op;

/// Farthest that a stack pointer is followed, in bytes: displacements of accesses stay below 60 KiB with it.
const FARTHEST: i32 = 56 << 10;

/// Distance at the start of each block, where it is the same on every way there.
pub(crate) fn offsets(region: &Region, summaries: &Summaries<'_>) -> Vec<Option<i32>> {
    let mut offsets: Vec<Option<Option<i32>>> = vec![None; region.blocks.len()];
    offsets[0] = Some(Some(0));
    let mut work = BTreeSet::from([0]);
    while let Some(id) = work.pop_first() {
        let block = &region.blocks[id];
        let before = offsets[id].expect("what is in the list has been reached");
        let after = behind(&block.ending, summaries, block.steps.iter().fold(before, follow));
        for next in block.successors() {
            let joined = match offsets[next] {
                None => after,
                Some(known) => known.filter(|_| known == after),
            };
            // Twice at most: known, then not.
            if offsets[next] != Some(joined) {
                offsets[next] = Some(joined);
                work.insert(next);
            }
        }
    }
    offsets.into_iter().map(Option::flatten).collect()
}

/// Distance behind an instruction.
pub(crate) fn follow(offset: Option<i32>, step: &Step) -> Option<i32> {
    if step.rd != SP {
        return offset;
    }
    let moves = step.op == Op::Addi && step.rs1 == SP;
    let offset = offset.filter(|_| moves)? + step.imm;
    (offset.abs() <= FARTHEST).then_some(offset)
}

/// Distance behind what ends a block.
fn behind(ending: &Ending, summaries: &Summaries<'_>, offset: Option<i32>) -> Option<i32> {
    let keeps = match ending {
        Ending::Call { callee, .. } => !summaries.of(*callee).writes.contains(SP),
        Ending::CallIndirect { .. } => false,
        Ending::JumpIndirect { link, .. } => link.is_none_or(|(register, _)| register != SP),
        _ => true,
    };
    offset.filter(|_| keeps)
}
