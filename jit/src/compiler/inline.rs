//! Calls to small functions, written out where they are made.
//!
//! A call costs what it moves into place: arguments, results, the return address and what is compared with it, what a callee
//! saves for its callers, and the payment for gas in front of it. Of a function of twenty instructions that is most of the
//! work. Its blocks are copied into the caller in place of the call, and its return becomes a jump to behind it: where
//! nothing on the way sets ra, for certain, else after a look at ra as behind every call ([`Ending::Back`]).
//!
//! Functions that call themselves are written into themselves a few times, which divides their calls by as much.

use std::collections::{BTreeMap, VecDeque};

use super::flow::{Block, BlockId, Ending, RA, Region, Step, Target};
use super::loops::Loops;
use crate::isa::Op;

/// Most instructions of a function that is written out at any call.
const SMALL: usize = 16;

/// Most instructions of one that is written out in loops, and in itself.
const MEDIUM: usize = 64;

/// Instructions that may come into any region; into larger ones as many as they have.
const ROOM: usize = 160;

/// Most blocks that a region grows to.
const MAX_BLOCKS: usize = 600;

/// Writes out calls. All regions together at most double.
pub(crate) fn inline(regions: &mut [Region]) {
    let bodies: BTreeMap<u32, Body> = regions
        .iter()
        .filter_map(|region| Some((region.entry, Body::of(region)?)))
        .collect();
    if bodies.is_empty() {
        return;
    }
    let mut left: usize = regions.iter().map(Region::len).sum::<usize>().max(1000);
    for region in regions {
        let room = region.len().max(ROOM).min(left);
        left -= room - Inliner::of(region, &bodies, room).run();
    }
}

/// A function that can be written out.
struct Body {
    blocks: Vec<Block>,
    instructions: usize,
    /// Whether its return leads to behind the call for certain.
    keeps_link: bool,
}

impl Body {
    /// None for functions that are too large, leave by other ways than returns, or never return.
    fn of(region: &Region) -> Option<Self> {
        let instructions = region.len();
        let returns = |block: &Block| matches!(block.ending, Ending::Return);
        let stays = |block: &Block| match &block.ending {
            Ending::Jump(target) => is_inside(*target),
            Ending::Branch { taken, fall, .. } => is_inside(*taken) && is_inside(*fall),
            Ending::Call { back, .. } | Ending::CallIndirect { back, .. } | Ending::Ecall { back } => {
                is_inside(*back)
            }
            Ending::Return | Ending::Trap => true,
            Ending::JumpIndirect { .. } | Ending::Back { .. } => false,
        };
        let fits =
            instructions <= MEDIUM && region.blocks.iter().all(stays) && region.blocks.iter().any(returns);
        fits.then(|| Self {
            blocks: region.blocks.clone(),
            instructions,
            keeps_link: region.blocks.iter().all(|block| {
                let calls = matches!(block.ending, Ending::Call { .. } | Ending::CallIndirect { .. });
                !calls && block.steps.iter().all(|step| step.rd != RA)
            }),
        })
    }
}

fn is_inside(target: Target) -> bool {
    matches!(target, Target::Block(_))
}

/// A call that may be written out.
struct Site {
    block: BlockId,
    callee: u32,
    link: u64,
    back: BlockId,
}

struct Inliner<'a> {
    region: &'a mut Region,
    bodies: &'a BTreeMap<u32, Body>,
    /// Instructions that may still come in.
    room: usize,
    /// Calls that are still to be looked at, each with whether it is made often.
    sites: VecDeque<(Site, bool)>,
}

impl<'a> Inliner<'a> {
    fn of(region: &'a mut Region, bodies: &'a BTreeMap<u32, Body>, room: usize) -> Self {
        let loops = Loops::of(region);
        let mut inliner = Self {
            region,
            bodies,
            room,
            sites: VecDeque::new(),
        };
        for often in [true, false] {
            for id in 0..inliner.region.blocks.len() {
                if loops.contain(id) == often {
                    inliner.look_at(id, often);
                }
            }
        }
        inliner
    }

    /// Notes the call at the end of a block.
    fn look_at(&mut self, block: BlockId, often: bool) {
        if let Ending::Call {
            callee,
            link,
            back: Target::Block(back),
        } = self.region.blocks[block].ending
            && let Ok(callee) = u32::try_from(callee)
            && self.bodies.contains_key(&callee)
        {
            let often = often || callee == self.region.entry;
            let site = Site {
                block,
                callee,
                link,
                back,
            };
            self.sites.push_back((site, often));
        }
    }

    /// Gives what is left of the room.
    fn run(mut self) -> usize {
        let mut changed = false;
        let bodies = self.bodies;
        while let Some((site, often)) = self.sites.pop_front() {
            let body = &bodies[&site.callee];
            let most = if often { MEDIUM } else { SMALL };
            let fits = body.instructions <= most
                && body.instructions <= self.room
                && self.region.blocks.len() + body.blocks.len() <= MAX_BLOCKS;
            if fits {
                self.room -= body.instructions;
                self.write_out(&site, body, often);
                changed = true;
            }
        }
        if changed {
            self.region.reorder();
            self.region.merge();
        }
        self.room
    }

    fn write_out(&mut self, site: &Site, body: &Body, often: bool) {
        let first = self.region.blocks.len();
        let back = Target::Block(site.back);
        for block in &body.blocks {
            let mut block = block.clone();
            block.ending.redirect(|id| first + id);
            if matches!(block.ending, Ending::Return) {
                block.ending = if body.keeps_link {
                    Ending::Jump(back)
                } else {
                    Ending::Back {
                        link: site.link,
                        back,
                    }
                };
            }
            self.region.blocks.push(block);
        }
        let caller = &mut self.region.blocks[site.block];
        let length = site.link.wrapping_sub(u64::from(caller.ending_pc));
        caller.steps.push(Step {
            pc: caller.ending_pc,
            length: length as u8,
            op: Op::Auipc,
            rd: RA,
            rs1: 0,
            rs2: 0,
            rs3: 0,
            imm: length as i32,
        });
        caller.ending = Ending::Jump(Target::Block(first));
        for id in first..self.region.blocks.len() {
            self.look_at(id, often);
        }
    }
}
