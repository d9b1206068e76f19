//! Which registers a region reads, writes and keeps: the bookkeeping between SSA values and the context.
//!
//! Inside a region guest registers are SSA values. Their home is the context, and two questions decide what is copied
//! between the two:
//!
//! - a register is *dirty* where the context may not hold its value: whoever leaves the region stores it first. Dirty
//!   sets flow forwards and grow where ways meet;
//! - a register is *live* where its SSA value is still used, by an instruction or by a store of the first kind. Live
//!   sets flow backwards; what is live at the entry, or behind a call that may have changed it, is loaded there.
//!
//! - a register is *held* where its SSA value is there. What is live and not held is loaded on the way to where it is
//!   used on every path, so that early returns do not pay for what they never touch.

use super::flow::{Block, BlockId, Ending, RA, Region};
use super::registers::Registers;
use super::summary::{
    HOST_RESULTS, HOST_VISIBLE, Summaries, Summary, is_tail_call, operands, reads, ways_out,
};

/// What a block does to the registers by its ending, on the way to its successors.
#[derive(Clone, Copy, Debug)]
struct Passage {
    /// Used whenever the ending is reached.
    uses: Registers,
    /// Used on some ways: what is stored before exits.
    may_use: Registers,
    /// No longer held afterwards.
    loses: Registers,
    /// Held afterwards, with new values.
    gains: Registers,
    /// Dirty afterwards.
    dirty: Registers,
}

impl Passage {
    /// Through an ending, given what is dirty before it. `own` is the region's summary.
    fn through(ending: &Ending, dirty: Registers, own: Summary, summaries: &Summaries<'_>) -> Self {
        let ra = Registers::one(RA);
        let liveness = summaries.liveness();
        let mut passage = Self {
            uses: operands(ending),
            may_use: Registers::NONE,
            loses: Registers::NONE,
            gains: Registers::NONE,
            dirty,
        };
        match ending {
            Ending::Call { callee: target, .. } => {
                let callee = summaries.of(*target);
                passage.uses |= (dirty & liveness.at(*target)) | callee.passed | callee.restored;
                passage.uses = passage.uses - ra;
                passage.loses = callee.writes | ra;
                passage.gains = callee.returned | ra;
                passage.dirty = dirty_after_call(dirty, callee);
            }
            Ending::CallIndirect { .. } => {
                passage.uses |= (dirty & liveness.at_calls()) - ra;
                passage.loses = !Registers::NONE;
                passage.gains = ra;
                passage.dirty = ra;
            }
            Ending::Ecall { .. } => {
                passage.uses |= dirty & HOST_VISIBLE;
                passage.may_use = dirty;
                passage.loses = HOST_RESULTS;
                passage.dirty = dirty - HOST_VISIBLE;
            }
            Ending::Return => {
                passage.uses |= own.returned | own.stored_at_return(dirty, liveness);
            }
            Ending::JumpIndirect { link, .. } => {
                let wanted = dirty & liveness.at_jumps();
                passage.may_use = wanted;
                if is_tail_call(ending) {
                    passage.uses |= wanted;
                }
                if let Some((register, _)) = link {
                    passage.gains = Registers::one(*register);
                    passage.dirty |= Registers::one(*register);
                }
            }
            Ending::Jump(_) | Ending::Branch { .. } => {
                for next in ways_out(ending) {
                    passage.may_use |= dirty & liveness.at(next);
                    if summaries.knows(next) {
                        passage.may_use |= summaries.of(next).passed | own.returned;
                    }
                }
            }
            Ending::Back { .. } => {
                passage.may_use = dirty & liveness.at_returns();
                passage.gains = ra;
                passage.dirty |= ra;
            }
            Ending::Trap => {}
        }
        passage
    }
}

/// The facts of one region.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Dirty when a block begins.
    pub(crate) dirty: Vec<Registers>,
    /// Held in SSA values when a block begins.
    held: Vec<Registers>,
    /// Held before the ending of a block acts.
    pub(crate) held_at_ending: Vec<Registers>,
    /// Held on the edges out of a block.
    held_after: Vec<Registers>,
    /// Dirty on the edges out of a block.
    dirty_after: Vec<Registers>,
    /// Stored on the edges into a block from before it.
    stored: Vec<Registers>,
    /// The region's own summary.
    pub(crate) own: Summary,
}

impl Facts {
    pub(crate) fn of(region: &Region, summaries: &Summaries<'_>) -> Self {
        let own = summaries.of(u64::from(region.entry));
        let own = if summaries.knows(u64::from(region.entry)) {
            own
        } else {
            Summary {
                passed: Registers::NONE,
                ..own
            }
        };
        let solver = Solver {
            region,
            summaries,
            own,
        };
        let nothing = vec![Registers::NONE; region.blocks.len()];
        let first = solver.dirty(&nothing);
        let stored = solver.stored_before_loops(&first);
        let dirty = solver.dirty(&stored);
        let live = solver.live(&dirty, &stored);
        let anticipated = solver.anticipated(&dirty);
        let Held {
            held,
            held_at_ending,
            held_after,
        } = solver.held(&dirty, &live, &anticipated);
        let dirty_after = (0..region.blocks.len())
            .map(|id| solver.passage(id, &dirty).dirty)
            .collect();
        Self {
            dirty,
            held,
            held_at_ending,
            held_after,
            dirty_after,
            stored,
            own,
        }
    }

    /// Facts of a region that only leaves.
    pub(crate) fn of_stub(own: Summary) -> Self {
        Self {
            dirty: vec![own.passed],
            held: vec![own.passed],
            held_at_ending: vec![own.passed],
            held_after: vec![own.passed],
            dirty_after: vec![own.passed],
            stored: vec![Registers::NONE],
            own,
        }
    }

    /// Loaded before the first block.
    pub(crate) fn loaded_at_entry(&self) -> Registers {
        self.held[0] - self.own.passed
    }

    /// Loaded on the way from one block to another.
    pub(crate) fn loaded_on_edge(&self, from: BlockId, to: BlockId) -> Registers {
        self.held[to] - self.held_after[from]
    }

    /// Stored on the way from one block to another.
    pub(crate) fn stored_on_edge(&self, from: BlockId, to: BlockId) -> Registers {
        if to <= from {
            return Registers::NONE;
        }
        self.stored[to] & self.dirty_after[from]
    }
}

/// Dirty behind the instructions of a block, before its ending acts.
pub(crate) fn dirty_at_ending(block: &Block, dirty: Registers) -> Registers {
    let mut dirty = dirty;
    for step in &block.steps {
        dirty |= Registers::one(step.rd);
    }
    dirty
}

/// Dirty behind a call that returned as predicted.
pub(crate) fn dirty_after_call(dirty: Registers, callee: Summary) -> Registers {
    (dirty & (callee.passed - callee.writes)) | callee.returned | callee.restored | Registers::one(RA)
}

/// Dirty behind a call by an entry thunk: everything is in the context, the link too, but it is known.
pub(crate) const DIRTY_AFTER_UNKNOWN: Registers = Registers::of(&[RA]);

/// Which registers have their SSA values where.
struct Held {
    held: Vec<Registers>,
    held_at_ending: Vec<Registers>,
    held_after: Vec<Registers>,
}

struct Solver<'a> {
    region: &'a Region,
    summaries: &'a Summaries<'a>,
    own: Summary,
}

impl Solver<'_> {
    fn passage(&self, id: BlockId, dirty: &[Registers]) -> Passage {
        let block = &self.region.blocks[id];
        Passage::through(
            &block.ending,
            dirty_at_ending(block, dirty[id]),
            self.own,
            self.summaries,
        )
    }

    /// What anybody may still read at the start of a block: nobody stores the rest.
    fn alive(&self, id: BlockId) -> Registers {
        let start = u64::from(self.region.blocks[id].start);
        self.summaries.liveness().at(start)
    }

    /// Dirty at the start of each block, where `stored` is stored on the way into loops.
    fn dirty(&self, stored: &[Registers]) -> Vec<Registers> {
        let mut dirty = vec![Registers::NONE; self.region.blocks.len()];
        dirty[0] = self.own.passed & self.alive(0);
        self.region.settle_forwards(|id, block, changed| {
            let out = self.passage(id, &dirty).dirty;
            for next in block.successors() {
                let arrives = if next > id { out - stored[next] } else { out };
                let arrives = arrives & self.alive(next);
                let joined = dirty[next] | arrives;
                if joined != dirty[next] {
                    dirty[next] = joined;
                    changed(next);
                }
            }
        });
        dirty
    }

    /// Registers that are dirty before a loop and that every turn of it stores: better stored once, on the way in.
    fn stored_before_loops(&self, dirty: &[Registers]) -> Vec<Registers> {
        let mut turned = vec![None; self.region.blocks.len()];
        for (id, block) in self.region.blocks.iter().enumerate() {
            for next in block.successors().filter(|&next| next <= id) {
                let out = self.passage(id, dirty).dirty;
                turned[next] = Some(turned[next].unwrap_or(Registers::NONE) | out);
            }
        }
        turned
            .into_iter()
            .enumerate()
            .map(|(id, turned)| match turned {
                // What reaches the first block from outside was passed.
                Some(turned) if id != 0 => dirty[id] - turned,
                _ => Registers::NONE,
            })
            .collect()
    }

    /// Registers whose value is used on some path from the start of each block; being stored on the way into a loop is
    /// a use as well.
    fn live(&self, dirty: &[Registers], stored: &[Registers]) -> Vec<Registers> {
        let mut live = vec![Registers::NONE; self.region.blocks.len()];
        self.region.settle_backwards(|id, block| {
            let passage = self.passage(id, dirty);
            let out = block.successors().fold(Registers::NONE, |all, next| {
                let stored = if next > id {
                    stored[next] & passage.dirty
                } else {
                    Registers::NONE
                };
                all | live[next] | stored
            });
            let mut now = (out - passage.loses - passage.gains) | passage.uses | passage.may_use;
            for step in block.steps.iter().rev() {
                now = (now - Registers::one(step.rd)) | reads(step);
            }
            std::mem::replace(&mut live[id], now) != now
        });
        live
    }

    /// Registers whose value is used on every path from the start of each block, traps apart.
    fn anticipated(&self, dirty: &[Registers]) -> Vec<Registers> {
        let everything = !Registers::NONE;
        let mut anticipated = vec![everything; self.region.blocks.len()];
        self.region.settle_backwards(|id, block| {
            let leaves = ways_out(&block.ending).next().is_some() || is_exit(&block.ending);
            let out = if leaves {
                Registers::NONE
            } else {
                block
                    .successors()
                    .fold(everything, |all, next| all & anticipated[next])
            };
            let passage = self.passage(id, dirty);
            let mut now = (out - passage.loses - passage.gains) | passage.uses;
            for step in block.steps.iter().rev() {
                now = (now - Registers::one(step.rd)) | reads(step);
            }
            std::mem::replace(&mut anticipated[id], now) != now
        });
        anticipated
    }

    /// Held at the start of each block, and on the edges out of it.
    fn held(&self, dirty: &[Registers], live: &[Registers], anticipated: &[Registers]) -> Held {
        let count = self.region.blocks.len();
        let mut held: Vec<Registers> = (0..count).map(|id| live[id] & anticipated[id]).collect();
        held[0] |= live[0] & self.own.passed;
        let mut at_ending = vec![Registers::NONE; count];
        let mut after = vec![Registers::NONE; count];
        self.region.settle_forwards(|id, block, changed| {
            let passage = self.passage(id, dirty);
            let mut now = held[id] | passage.uses;
            for step in &block.steps {
                now |= Registers::one(step.rd) | reads(step);
            }
            at_ending[id] = now;
            after[id] = (now - passage.loses) | passage.gains;
            for next in block.successors() {
                let joined = held[next] | (live[next] & after[id]);
                if joined != held[next] {
                    held[next] = joined;
                    changed(next);
                }
            }
        });
        Held {
            held,
            held_at_ending: at_ending,
            held_after: after,
        }
    }
}

/// Whether an ending leaves the region for good, by other ways than known addresses.
fn is_exit(ending: &Ending) -> bool {
    matches!(ending, Ending::Return | Ending::JumpIndirect { .. })
}
