//! Small loops, several times over.
//!
//! Cranelift does not unroll. In a loop of a few instructions the payment for gas, the copies that bring values into place
//! for the next turn, and the jump back are a large part of the work; with several turns in a row there is one of each for
//! all of them, and displacements of one address are folded into the accesses. Every turn still has its way out, which
//! pays for exactly the turns that were made.

use std::collections::BTreeSet;

use super::flow::{Block, BlockId, Ending, Region};

/// Instructions of a loop and how often it is written, in order.
const TURNS: [(usize, usize); 3] = [(6, 4), (10, 3), (16, 2)];

/// Writes the small innermost loops of a region several times. At most as many instructions come in as there are.
pub(crate) fn unroll(region: &mut Region) {
    let mut room = region.len();
    let loops = innermost(region);
    let mut changed = false;
    for (header, body) in loops {
        let instructions: usize = body.iter().map(|&id| region.blocks[id].steps.len() + 1).sum();
        let Some(&(_, turns)) = TURNS.iter().find(|(most, _)| instructions <= *most) else {
            continue;
        };
        let Some(rest) = room.checked_sub(instructions * (turns - 1)) else {
            continue;
        };
        room = rest;
        repeat(&mut region.blocks, header, &body, turns);
        changed = true;
    }
    if changed {
        region.reorder();
    }
}

/// Loops that hold no other loop, no calls and nothing else that leaves by more than known addresses: their headers and
/// blocks, header first.
fn innermost(region: &Region) -> Vec<(BlockId, Vec<BlockId>)> {
    let count = region.blocks.len();
    let mut before: Vec<Vec<BlockId>> = vec![Vec::new(); count];
    let mut backward: Vec<Vec<BlockId>> = vec![Vec::new(); count];
    for (id, block) in region.blocks.iter().enumerate() {
        for next in block.successors() {
            before[next].push(id);
            if next <= id {
                backward[next].push(id);
            }
        }
    }
    let most = TURNS[TURNS.len() - 1].0;
    let mut found = Vec::new();
    for header in (1..count).filter(|&id| !backward[id].is_empty()) {
        let mut body = BTreeSet::from([header]);
        let mut work = backward[header].clone();
        let mut instructions = region.blocks[header].steps.len() + 1;
        while let Some(id) = work.pop() {
            if instructions > most {
                break;
            }
            if body.insert(id) {
                instructions += region.blocks[id].steps.len() + 1;
                work.extend(&before[id]);
            }
        }
        let is_simple = instructions <= most
            && body.iter().all(|&id| {
                let block = &region.blocks[id];
                let is_plain = matches!(block.ending, Ending::Jump(_) | Ending::Branch { .. });
                // Entered by its header alone, with no other header inside.
                let is_inside = id == header
                    || (backward[id].is_empty() && before[id].iter().all(|from| body.contains(from)));
                // A block that comes before its header would make an edge that is not the loop's look backward.
                is_plain && is_inside && id >= header
            });
        if is_simple {
            found.push((header, body.into_iter().collect()));
        }
    }
    found
}

/// Appends copies of a loop, each of which goes on in the next and the last in the first.
fn repeat(blocks: &mut Vec<Block>, header: BlockId, body: &[BlockId], turns: usize) {
    let first_copy = blocks.len();
    let copy_of = |id: BlockId, turn: usize| match (turn, body.iter().position(|&inside| inside == id)) {
        (0, _) | (_, None) => id,
        (_, Some(i)) => first_copy + (turn - 1) * body.len() + i,
    };
    let goes_on = |block: &mut Block, turn: usize| {
        block.ending.redirect(|id| {
            if id == header {
                copy_of(header, (turn + 1) % turns)
            } else {
                copy_of(id, turn)
            }
        });
    };
    for turn in 1..turns {
        for &id in body {
            let mut block = blocks[id].clone();
            goes_on(&mut block, turn);
            blocks.push(block);
        }
    }
    for &id in body {
        goes_on(&mut blocks[id], 0);
    }
}
