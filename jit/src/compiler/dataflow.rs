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
//!
//! # Calls
//!
//! Each region has a [`Summary`]: what a call to it may change, as the transitive closure of architectural writes (save
//! and restore counts as a write), and its convention: a few registers that it reads are passed in host registers, a few
//! that it writes come back in some. Everything else is in the context. A caller stores what is dirty and not passed; a
//! callee that leaves by another way than its return stores what it was passed, so the context is complete at every
//! exit. Callers that do not know whom they call go by an entry thunk and pass everything in the context.

use std::collections::BTreeMap;

use super::flow::{Block, BlockId, Ending, RA, Region, Step, Target};
use super::registers::Registers;
use crate::isa::Op;

pub(crate) const SP: u8 = 2;
pub(crate) const A0: u8 = 10;
pub(crate) const A1: u8 = 11;

/// Most registers passed in host registers, beside gas: what the host's convention has room for.
const MAX_PASSED: usize = 5;

/// Registers that are passed in preference to others.
const PASSED_FIRST: [u8; 12] = [RA, SP, A0, A1, 12, 13, 14, 15, 16, 17, 8, 9];

/// Most registers returned by a function that makes calls, and by one that makes none, beside gas.
const MAX_RETURNED: usize = 6;
const MAX_RETURNED_BY_LEAF: usize = 1;

/// Registers that are returned in preference to others.
const RETURNED_FIRST: [u8; 14] = [A0, A1, SP, 8, 9, 18, 19, 20, 21, 22, 23, 24, 25, 26];

/// Registers that a host call may change.
const HOST_RESULTS: Registers = Registers::of(&[A0, A1]);

/// Registers that a host call can see.
pub(crate) const HOST_VISIBLE: Registers = Registers::of(&[10, 11, 12, 13, 14, 15, 17]);

/// What a caller knows of a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Summary {
    /// Registers that may hold other values when it has returned as predicted; never ra, which then holds the return
    /// address.
    pub(crate) writes: Registers,
    /// Registers passed in host registers.
    pub(crate) passed: Registers,
    /// Registers that come back in host registers: some of `writes`, and ra where the region changes it, for the caller
    /// to compare with what it expects.
    pub(crate) returned: Registers,
    /// Registers that it changes and puts back: sp. What the context holds of them afterwards may be a value from in
    /// between, so that callers keep theirs.
    pub(crate) restored: Registers,
    /// Whether it makes no native calls.
    pub(crate) is_leaf: bool,
}

impl Summary {
    /// Of code that nothing is known about, called with everything in the context.
    pub(crate) const UNKNOWN: Self = Self {
        writes: Registers::of(&[
            2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
            29, 30, 31,
        ]),
        passed: Registers::NONE,
        returned: Registers::NONE,
        restored: Registers::NONE,
        is_leaf: false,
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
            summaries.0.insert(region.entry, summaries.without_writes(region));
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
        for region in regions {
            let summary = summaries.of(u64::from(region.entry));
            let set = (set_at_returns(region) | (summary.passed & Registers::one(A0))) & summary.writes;
            let most = if summary.is_leaf { MAX_RETURNED_BY_LEAF } else { MAX_RETURNED };
            let returned = choose(&RETURNED_FIRST, set, most) | summary.returned;
            summaries.0.insert(region.entry, Summary { returned, ..summary });
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
        let mut restored = Registers::NONE;
        if keeps_stack_pointer(region, self) {
            let callees = region.blocks.iter().flat_map(callees);
            restored = callees.fold(writes, |all, callee| all | self.of(u64::from(callee)).restored) & Registers::one(SP);
            writes = writes - Registers::one(SP);
        }
        Summary {
            writes: writes - Registers::one(RA),
            restored,
            ..self.of(u64::from(region.entry))
        }
    }

    /// A first summary: the convention, and nothing written nor returned.
    fn without_writes(&self, region: &Region) -> Summary {
        let reads = reads_at_entry(region);
        let changes_ra = region.blocks.iter().any(|block| {
            let links = matches!(block.ending, Ending::Call { .. } | Ending::CallIndirect { .. });
            links || block.steps.iter().any(|step| step.rd == RA)
        });
        Summary {
            writes: Registers::NONE,
            passed: choose(&PASSED_FIRST, reads, MAX_PASSED),
            returned: if changes_ra || leaves_by_call(region) {
                Registers::one(RA)
            } else {
                Registers::NONE
            },
            restored: Registers::NONE,
            is_leaf: !changes_ra && !region.blocks.iter().any(|block| {
                matches!(block.ending, Ending::Call { .. } | Ending::CallIndirect { .. })
            }) && !leaves_by_call(region),
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

/// Whether a region may end by a call in place of a jump.
fn leaves_by_call(region: &Region) -> bool {
    region
        .blocks
        .iter()
        .any(|block| is_tail_call(&block.ending) || ways_out(&block.ending).next().is_some())
}

/// The first few of an order that are in a set.
fn choose(order: &[u8], from: Registers, most: usize) -> Registers {
    order
        .iter()
        .filter(|&&register| from.contains(register))
        .take(most)
        .fold(Registers::NONE, |all, &register| all | Registers::one(register))
}

/// Registers that a region's own instructions read before they are set, on some path.
fn reads_at_entry(region: &Region) -> Registers {
    let mut live = vec![Registers::NONE; region.blocks.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for (id, block) in region.blocks.iter().enumerate().rev() {
            let out = block.successors().fold(Registers::NONE, |all, next| all | live[next]);
            let mut now = match &block.ending {
                Ending::Call { .. } | Ending::CallIndirect { .. } => out - Registers::one(RA),
                Ending::Ecall { .. } => out - HOST_RESULTS,
                _ => out,
            };
            now |= operands(&block.ending);
            for step in block.steps.iter().rev() {
                now = now - Registers::one(step.rd) | reads(step);
            }
            if now != live[id] {
                live[id] = now;
                changed = true;
            }
        }
    }
    live[0]
}

/// Registers that a region sets on every way from its entry to a return; all of them where it never returns.
fn set_at_returns(region: &Region) -> Registers {
    let everything = !Registers::NONE;
    let mut set = vec![everything; region.blocks.len()];
    set[0] = Registers::NONE;
    let mut at_returns = everything;
    let mut changed = true;
    while changed {
        changed = false;
        at_returns = everything;
        for (id, block) in region.blocks.iter().enumerate() {
            let mut now = set[id];
            for step in &block.steps {
                now |= Registers::one(step.rd);
            }
            if matches!(block.ending, Ending::Call { .. }) {
                now |= Registers::one(A0);
            }
            let returns = matches!(block.ending, Ending::Return)
                || is_tail_call(&block.ending)
                || ways_out(&block.ending).next().is_some();
            if returns {
                at_returns = at_returns & now;
            }
            for next in block.successors() {
                let joined = set[next] & now;
                if next != 0 && joined != set[next] {
                    set[next] = joined;
                    changed = true;
                }
            }
        }
    }
    at_returns
}

/// Registers that an ending itself reads.
fn operands(ending: &Ending) -> Registers {
    match ending {
        Ending::Branch { rs1, rs2, .. } => Registers::one(*rs1) | Registers::one(*rs2),
        Ending::CallIndirect { rs1, .. } | Ending::JumpIndirect { rs1, .. } => Registers::one(*rs1),
        _ => Registers::NONE,
    }
}

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
    fn through(ending: &Ending, dirty: Registers, own: Summary, summaries: &Summaries) -> Self {
        let ra = Registers::one(RA);
        let mut passage = Self {
            uses: operands(ending),
            may_use: Registers::NONE,
            loses: Registers::NONE,
            gains: Registers::NONE,
            dirty,
        };
        match ending {
            Ending::Call { callee, .. } => {
                let callee = summaries.of(*callee);
                passage.uses |= (dirty - ra) | (callee.passed - ra) | callee.restored;
                passage.loses = callee.writes | ra;
                passage.gains = callee.returned | ra;
                passage.dirty = dirty_after_call(dirty, callee);
            }
            Ending::CallIndirect { .. } => {
                passage.uses |= dirty - ra;
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
                passage.uses |= own.returned | (dirty & own.writes);
            }
            Ending::JumpIndirect { link, .. } => {
                passage.may_use = dirty;
                if is_tail_call(ending) {
                    passage.uses |= dirty;
                }
                if let Some((register, _)) = link {
                    passage.gains = Registers::one(*register);
                    passage.dirty |= Registers::one(*register);
                }
            }
            Ending::Jump(_) | Ending::Branch { .. } => {
                for next in ways_out(ending) {
                    passage.may_use |= dirty;
                    if summaries.knows(next) {
                        passage.may_use |= summaries.of(next).passed | own.returned;
                    }
                }
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
    pub(crate) fn of(region: &Region, summaries: &Summaries) -> Self {
        let own = summaries.of(u64::from(region.entry));
        let own = if summaries.knows(u64::from(region.entry)) { own } else { Summary { passed: Registers::NONE, ..own } };
        let solver = Solver { region, summaries, own };
        let nothing = vec![Registers::NONE; region.blocks.len()];
        let first = solver.dirty(&nothing);
        let stored = solver.stored_before_loops(&first);
        let dirty = solver.dirty(&stored);
        let live = solver.live(&dirty, &stored);
        let anticipated = solver.anticipated(&dirty);
        let Held { held, held_at_ending, held_after } = solver.held(&dirty, &live, &anticipated);
        let dirty_after = (0..region.blocks.len()).map(|id| solver.passage(id, &dirty).dirty).collect();
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
    summaries: &'a Summaries,
    own: Summary,
}

impl Solver<'_> {
    fn passage(&self, id: BlockId, dirty: &[Registers]) -> Passage {
        let block = &self.region.blocks[id];
        Passage::through(&block.ending, dirty_at_ending(block, dirty[id]), self.own, self.summaries)
    }

    /// Dirty at the start of each block, where `stored` is stored on the way into loops.
    fn dirty(&self, stored: &[Registers]) -> Vec<Registers> {
        let mut dirty = vec![Registers::NONE; self.region.blocks.len()];
        dirty[0] = self.own.passed;
        let mut changed = true;
        // In reverse postorder a pass settles everything but what comes round loops.
        while changed {
            changed = false;
            for (id, block) in self.region.blocks.iter().enumerate() {
                let out = self.passage(id, &dirty).dirty;
                for next in block.successors() {
                    let arrives = if next > id { out - stored[next] } else { out };
                    let joined = dirty[next] | arrives;
                    if joined != dirty[next] {
                        dirty[next] = joined;
                        changed |= next <= id;
                    }
                }
            }
        }
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
        let mut changed = true;
        while changed {
            changed = false;
            for (id, block) in self.region.blocks.iter().enumerate().rev() {
                let passage = self.passage(id, dirty);
                let out = block.successors().fold(Registers::NONE, |all, next| {
                    let stored = if next > id { stored[next] & passage.dirty } else { Registers::NONE };
                    all | live[next] | stored
                });
                let mut now = out - passage.loses - passage.gains | passage.uses | passage.may_use;
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

    /// Registers whose value is used on every path from the start of each block, traps apart.
    fn anticipated(&self, dirty: &[Registers]) -> Vec<Registers> {
        let everything = !Registers::NONE;
        let mut anticipated = vec![everything; self.region.blocks.len()];
        let mut changed = true;
        while changed {
            changed = false;
            for (id, block) in self.region.blocks.iter().enumerate().rev() {
                let leaves = ways_out(&block.ending).next().is_some() || is_exit(&block.ending);
                let out = if leaves {
                    Registers::NONE
                } else {
                    block.successors().fold(everything, |all, next| all & anticipated[next])
                };
                let passage = self.passage(id, dirty);
                let mut now = out - passage.loses - passage.gains | passage.uses;
                for step in block.steps.iter().rev() {
                    now = now - Registers::one(step.rd) | reads(step);
                }
                if now != anticipated[id] {
                    anticipated[id] = now;
                    changed = true;
                }
            }
        }
        anticipated
    }

    /// Held at the start of each block, and on the edges out of it.
    fn held(
        &self,
        dirty: &[Registers],
        live: &[Registers],
        anticipated: &[Registers],
    ) -> Held {
        let count = self.region.blocks.len();
        let mut held: Vec<Registers> = (0..count).map(|id| live[id] & anticipated[id]).collect();
        held[0] |= live[0] & self.own.passed;
        let mut at_ending = vec![Registers::NONE; count];
        let mut after = vec![Registers::NONE; count];
        let mut changed = true;
        while changed {
            changed = false;
            for (id, block) in self.region.blocks.iter().enumerate() {
                let passage = self.passage(id, dirty);
                let mut now = held[id] | passage.uses;
                for step in &block.steps {
                    now |= Registers::one(step.rd) | reads(step);
                }
                at_ending[id] = now;
                after[id] = now - passage.loses | passage.gains;
                for next in block.successors() {
                    let joined = held[next] | (live[next] & after[id]);
                    if joined != held[next] {
                        held[next] = joined;
                        changed = true;
                    }
                }
            }
        }
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
