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
//! # Calls
//!
//! All native functions share one convention: `sp`, `a0`, `a1` and `ra` are passed in host registers, `a0` comes back in
//! one, everything else is in the context. A caller stores what is dirty and not passed; a callee that leaves by another
//! way than its return stores what it was passed, so the context is complete at every exit. A [`Summary`] says what a
//! call may change, as the transitive closure of architectural writes; save and restore counts as a write.

use std::collections::BTreeMap;

use super::flow::{Block, Ending, RA, Region, Step, Target};
use super::registers::Registers;
use crate::isa::Op;

pub(crate) const SP: u8 = 2;
pub(crate) const A0: u8 = 10;
pub(crate) const A1: u8 = 11;

/// Registers that calls pass in host registers.
pub(crate) const PASSED: Registers = Registers::of(&[RA, SP, A0, A1]);

/// Registers that a host call may change.
const HOST_RESULTS: Registers = Registers::of(&[A0, A1]);

/// Registers that a host call can see.
pub(crate) const HOST_VISIBLE: Registers = Registers::of(&[10, 11, 12, 13, 14, 15, 17]);

/// What a call to a region may change, seen by its caller when it has returned as predicted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Summary {
    /// Registers that may hold other values; never ra, which holds the return address again.
    pub(crate) writes: Registers,
}

impl Summary {
    /// Of code that nothing is known about.
    pub(crate) const UNKNOWN: Self = Self {
        writes: Registers::of(&[
            2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
            29, 30, 31,
        ]),
    };
}

/// Summaries of all regions of a batch, by entry.
#[derive(Debug, Default)]
pub(crate) struct Summaries(BTreeMap<u32, Summary>);

impl Summaries {
    /// Computes the closure over a batch.
    pub(crate) fn close(regions: &[Region]) -> Self {
        let mut summaries = Self::default();
        let entries: BTreeMap<u32, usize> = regions.iter().enumerate().map(|(i, region)| (region.entry, i)).collect();
        // Who calls or jumps to whom; unknown targets need no edge.
        let mut callers: Vec<Vec<usize>> = vec![Vec::new(); regions.len()];
        for (caller, region) in regions.iter().enumerate() {
            for block in &region.blocks {
                for callee in callees(block) {
                    if let Some(&callee) = entries.get(&callee) {
                        callers[callee].push(caller);
                    }
                }
            }
            summaries.0.insert(region.entry, Summary { writes: Registers::NONE });
        }
        // Writes grow from nothing, and so does the set of regions that move sp, until nothing changes.
        let mut work: Vec<usize> = (0..regions.len()).rev().collect();
        let mut queued = vec![true; regions.len()];
        while let Some(i) = work.pop() {
            queued[i] = false;
            let region = &regions[i];
            let summary = summaries.of_region(region);
            if summaries.0.insert(region.entry, summary) != Some(summary) {
                for &caller in &callers[i] {
                    if !std::mem::replace(&mut queued[caller], true) {
                        work.push(caller);
                    }
                }
            }
        }
        summaries
    }

    /// What a call to an address may change.
    pub(crate) fn of(&self, callee: u64) -> Summary {
        u32::try_from(callee)
            .ok()
            .and_then(|callee| self.0.get(&callee))
            .copied()
            .unwrap_or(Summary::UNKNOWN)
    }

    /// Whether the address is an entry of the batch.
    pub(crate) fn knows(&self, callee: u64) -> bool {
        u32::try_from(callee).is_ok_and(|callee| self.0.contains_key(&callee))
    }

    fn of_region(&self, region: &Region) -> Summary {
        let mut writes = Registers::NONE;
        for block in &region.blocks {
            for step in &block.steps {
                writes |= Registers::one(step.rd);
            }
            writes |= self.changed_by(&block.ending);
        }
        if keeps_stack_pointer(region, self) {
            writes = writes - Registers::one(SP);
        }
        Summary {
            writes: writes - Registers::one(RA),
        }
    }

    /// Registers that may have changed when the region returns by this ending, ra apart. A way out that never comes
    /// back as a native return changes nothing that a caller could see.
    fn changed_by(&self, ending: &Ending) -> Registers {
        match ending {
            Ending::Call { callee, .. } => self.of(*callee).writes,
            Ending::CallIndirect { .. } => Summary::UNKNOWN.writes,
            Ending::JumpIndirect { .. } if is_tail_call(ending) => Summary::UNKNOWN.writes,
            Ending::Ecall { .. } => HOST_RESULTS,
            _ => ways_out(ending)
                .filter(|&next| self.knows(next))
                .fold(Registers::NONE, |all, next| all | self.of(next).writes),
        }
    }
}

/// Whether an indirect jump is taken for a call that returns to this region's caller. One with known targets is a
/// jump table, and what misses it leaves for good.
pub(crate) fn is_tail_call(ending: &Ending) -> bool {
    matches!(ending, Ending::JumpIndirect { link: None, candidates, .. } if candidates.is_empty())
}

/// Addresses of other regions that an ending jumps to.
fn ways_out(ending: &Ending) -> impl Iterator<Item = u64> {
    let targets = match ending {
        Ending::Jump(target) => [Some(*target), None],
        Ending::Branch { taken, fall, .. } => [Some(*taken), Some(*fall)],
        _ => [None, None],
    };
    targets.into_iter().flatten().filter_map(|target| match target {
        Target::Away(next) => Some(next),
        Target::Block(_) => None,
    })
}

/// Entries that a block calls or leaves to.
pub(crate) fn callees(block: &Block) -> Vec<u32> {
    let call = match &block.ending {
        Ending::Call { callee, .. } => Some(*callee),
        _ => None,
    };
    ways_out(&block.ending)
        .chain(call)
        .filter_map(|target| u32::try_from(target).ok())
        .collect()
}

/// Whether a block calls natively what is not in the batch.
pub(crate) fn calls_unknown(block: &Block) -> bool {
    match &block.ending {
        Ending::CallIndirect { .. } => true,
        ending => is_tail_call(ending),
    }
}

/// Whether sp has its first value again, by constant displacements alone, wherever the region returns.
fn keeps_stack_pointer(region: &Region, summaries: &Summaries) -> bool {
    let mut offsets: Vec<Option<i64>> = vec![None; region.blocks.len()];
    let mut work = vec![0];
    offsets[0] = Some(0);
    while let Some(id) = work.pop() {
        let block = &region.blocks[id];
        let mut offset = offsets[id].expect("queued with its offset");
        for step in &block.steps {
            if step.rd == SP {
                if step.op != Op::Addi || step.rs1 != SP {
                    return false;
                }
                offset = offset.wrapping_add(i64::from(step.imm));
            }
        }
        let kept = match &block.ending {
            Ending::Return => offset == 0,
            Ending::CallIndirect { .. } => false,
            Ending::JumpIndirect { .. } => !is_tail_call(&block.ending),
            Ending::Call { callee, .. } => !summaries.of(*callee).writes.contains(SP),
            Ending::Jump(_) | Ending::Branch { .. } => ways_out(&block.ending)
                .filter(|&next| summaries.knows(next))
                .all(|next| offset == 0 && !summaries.of(next).writes.contains(SP)),
            Ending::Ecall { .. } | Ending::Trap => true,
        };
        if !kept {
            return false;
        }
        for next in block.successors() {
            match offsets[next] {
                None => {
                    offsets[next] = Some(offset);
                    work.push(next);
                }
                Some(known) if known != offset => return false,
                Some(_) => {}
            }
        }
    }
    true
}

/// Registers that an instruction reads.
pub(crate) fn reads(step: &Step) -> Registers {
    match step.op {
        Op::Lui | Op::Auipc | Op::Fence | Op::FenceI => Registers::NONE,
        _ => Registers::one(step.rs1) | Registers::one(step.rs2),
    }
}

/// The facts of one region.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Dirty when a block begins.
    pub(crate) dirty: Vec<Registers>,
    /// Live when a block begins.
    pub(crate) live: Vec<Registers>,
    /// What the region itself may change.
    pub(crate) writes: Registers,
}

impl Facts {
    pub(crate) fn of(region: &Region, summaries: &Summaries) -> Self {
        let writes = summaries.of(u64::from(region.entry)).writes;
        let dirty = dirty_sets(region, summaries);
        let live = live_sets(region, summaries, &dirty);
        Self { dirty, live, writes }
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
pub(crate) fn dirty_after_call(dirty: Registers, summary: Summary) -> Registers {
    let kept = dirty & Registers::of(&[SP, A1]) - summary.writes;
    let returned = if summary.writes.contains(A0) {
        Registers::one(A0)
    } else {
        dirty & Registers::one(A0)
    };
    kept | returned | Registers::one(RA)
}

/// Dirty behind a call to code that nothing is known about: all but what comes back in registers is in the context.
pub(crate) const DIRTY_AFTER_UNKNOWN: Registers = Registers::of(&[A0, RA]);

/// Dirty on the edges out of a block.
fn dirty_out(block: &Block, dirty: Registers, summaries: &Summaries) -> Registers {
    let at_ending = dirty_at_ending(block, dirty);
    match &block.ending {
        Ending::Call { callee, .. } if summaries.knows(*callee) => {
            dirty_after_call(at_ending, summaries.of(*callee))
        }
        Ending::Call { .. } | Ending::CallIndirect { .. } => DIRTY_AFTER_UNKNOWN,
        Ending::Ecall { .. } => at_ending - HOST_VISIBLE,
        Ending::JumpIndirect { link: Some((rd, _)), .. } => at_ending | Registers::one(*rd),
        _ => at_ending,
    }
}

fn dirty_sets(region: &Region, summaries: &Summaries) -> Vec<Registers> {
    let mut dirty = vec![Registers::NONE; region.blocks.len()];
    dirty[0] = PASSED;
    let mut changed = true;
    // In reverse postorder a pass settles everything but what comes round loops.
    while changed {
        changed = false;
        for (id, block) in region.blocks.iter().enumerate() {
            let out = dirty_out(block, dirty[id], summaries);
            for next in block.successors() {
                let joined = dirty[next] | out;
                if joined != dirty[next] {
                    dirty[next] = joined;
                    changed |= next <= id;
                }
            }
        }
    }
    dirty
}

fn live_sets(region: &Region, summaries: &Summaries, dirty: &[Registers]) -> Vec<Registers> {
    let mut live = vec![Registers::NONE; region.blocks.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for (id, block) in region.blocks.iter().enumerate().rev() {
            let out = block
                .successors()
                .fold(Registers::NONE, |all, next| all | live[next]);
            let at_ending = dirty_at_ending(block, dirty[id]);
            let mut now = live_before_ending(&block.ending, at_ending, out, summaries);
            for step in block.steps.iter().rev() {
                now = now - Registers::one(step.rd) | reads(step);
            }
            if now != live[id] {
                live[id] = now;
                changed = true;
            }
        }
    }
    live
}

/// Live before the ending acts, given what is dirty there and what is live behind it.
fn live_before_ending(
    ending: &Ending,
    dirty: Registers,
    live: Registers,
    summaries: &Summaries,
) -> Registers {
    let passed = PASSED - Registers::one(RA);
    match ending {
        Ending::Jump(_) => live | needed_outside(ending, dirty, summaries),
        Ending::Branch { rs1, rs2, .. } => {
            let outside = needed_outside(ending, dirty, summaries);
            live | outside | Registers::one(*rs1) | Registers::one(*rs2)
        }
        Ending::Call { callee, .. } => {
            let changed = summaries.of(*callee).writes | Registers::one(RA);
            live - changed | (dirty - Registers::one(RA)) | passed
        }
        Ending::CallIndirect { rs1, .. } => {
            (dirty - Registers::one(RA)) | passed | Registers::one(*rs1)
        }
        Ending::JumpIndirect { rs1, .. } => live | dirty | PASSED | Registers::one(*rs1),
        Ending::Return => dirty | Registers::of(&[A0, RA]),
        Ending::Ecall { .. } => live - HOST_RESULTS | dirty,
        Ending::Trap => Registers::NONE,
    }
}

/// What the ways out of a block use.
fn needed_outside(ending: &Ending, dirty: Registers, summaries: &Summaries) -> Registers {
    ways_out(ending).fold(Registers::NONE, |all, next| {
        let passed = if summaries.knows(next) { PASSED } else { Registers::NONE };
        all | dirty | passed
    })
}

/// Registers that have to be loaded from the context behind an ending, of those that are live at the block after it.
pub(crate) fn reloaded(ending: &Ending, live: Registers, summaries: &Summaries) -> Registers {
    match ending {
        Ending::Call { callee, .. } if summaries.knows(*callee) => {
            (summaries.of(*callee).writes - Registers::one(A0)) & live
        }
        Ending::Call { .. } | Ending::CallIndirect { .. } => live - Registers::of(&[A0, RA]),
        Ending::Ecall { .. } => HOST_RESULTS & live,
        _ => Registers::NONE,
    }
}
