//! Registers that hold the same constant whichever way a block is reached.
//!
//! Compilers keep addresses of tables in registers across loops. Inside a block the translator sees constants anyway;
//! this carries them over block borders.

use std::collections::BTreeSet;

use super::flow::{Block, Ending, RA, Region, Step};
use super::registers::Registers;
use super::summary::{SP, Summaries};
use crate::isa::{F0, Op};

/// What is known of x0 to x31.
pub(crate) type Known = [Option<u64>; 32];

const NOTHING: Known = {
    let mut known = [None; 32];
    known[0] = Some(0);
    known
};

/// Constants at the start of each block.
pub(crate) fn at_starts(region: &Region, summaries: &Summaries<'_>) -> Vec<Known> {
    let mut starts: Vec<Option<Known>> = vec![None; region.blocks.len()];
    starts[0] = Some(NOTHING);
    // In reverse postorder, so that most blocks are visited once or twice. Joining only ever forgets, so there are at most
    // as many visits as a block has registers to forget.
    let mut work = BTreeSet::from([0]);
    while let Some(id) = work.pop_first() {
        let mut known = starts[id].unwrap_or(NOTHING);
        let block = &region.blocks[id];
        for step in &block.steps {
            follow(step, &mut known);
        }
        end(block, summaries, &mut known);
        for next in block.successors() {
            let joined = match starts[next] {
                None => known,
                Some(before) => std::array::from_fn(|i| before[i].filter(|_| before[i] == known[i])),
            };
            if starts[next] != Some(joined) {
                starts[next] = Some(joined);
                work.insert(next);
            }
        }
    }
    starts.into_iter().map(|known| known.unwrap_or(NOTHING)).collect()
}

/// What is known behind an instruction.
pub(crate) fn follow(step: &Step, known: &mut Known) {
    if step.rd == 0 || step.rd >= F0 {
        return;
    }
    let imm = i64::from(step.imm).cast_unsigned();
    let a = known.get(usize::from(step.rs1)).copied().flatten();
    known[usize::from(step.rd)] = match step.op {
        Op::Lui => Some(imm),
        Op::Auipc => Some(u64::from(step.pc).wrapping_add(imm)),
        Op::Addi => a.map(|a| a.wrapping_add(imm)),
        Op::Addiw => a.map(|a| i64::from(a.wrapping_add(imm) as i32).cast_unsigned()),
        Op::Slli => a.map(|a| a << (imm & 63)),
        Op::Add => match (a, known[usize::from(step.rs2)]) {
            (Some(a), Some(b)) => Some(a.wrapping_add(b)),
            _ => None,
        },
        _ => None,
    };
}

/// What is known behind a block's ending.
fn end(block: &Block, summaries: &Summaries<'_>, known: &mut Known) {
    let (changed, link) = match &block.ending {
        Ending::Call { callee, link, .. } => (summaries.of(*callee).writes, Some(*link)),
        Ending::CallIndirect { link, .. } => (!Registers::NONE, Some(*link)),
        Ending::Back { link, .. } => (Registers::NONE, Some(*link)),
        Ending::Ecall { .. } => (Registers::of(&[10, 11]), None),
        Ending::JumpIndirect { link, .. } => {
            (link.map_or(Registers::NONE, |(rd, _)| Registers::one(rd)), None)
        }
        _ => (Registers::NONE, None),
    };
    for register in changed.integers().iter() {
        known[usize::from(register)] = None;
    }
    if let Some(link) = link {
        known[usize::from(RA)] = Some(link);
    }
    debug_assert!(!changed.contains(SP) || known[usize::from(SP)].is_none());
}
