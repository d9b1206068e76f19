//! What callers know of regions: what a call may change, and how it is made.
//!
//! Each region has a [`Summary`]: what a call to it may change, as the transitive closure of architectural writes (save
//! and restore counts as a write), and its convention: a few registers that it reads are passed in host registers, a few
//! that it writes come back in some. Everything else is in the context. A caller stores what is dirty and not passed; a
//! callee that leaves by another way than its return stores what it was passed, so the context is complete at every
//! exit. Callers that do not know whom they call go by an entry thunk and pass everything in the context.

use std::collections::{BTreeMap, VecDeque};

use super::flow::{Block, Ending, RA, Region, Step, Target};
use super::liveness::Liveness;
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
pub(super) const HOST_RESULTS: Registers = Registers::of(&[A0, A1]);

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
    /// Whether everything goes by the context, as for an entry thunk, which it then needs none of: nobody in the batch calls
    /// it by its address.
    pub(crate) by_context: bool,
}

impl Summary {
    /// Of code that nothing is known about, called with everything in the context.
    pub(crate) const UNKNOWN: Self = Self {
        writes: Registers::of_bits(!(1 << RA)),
        passed: Registers::NONE,
        returned: Registers::NONE,
        restored: Registers::NONE,
        is_leaf: false,
        by_context: true,
    };

    /// What a return stores of what is dirty.
    pub(crate) fn stored_at_return(self, dirty: Registers, liveness: &Liveness) -> Registers {
        let alive = liveness.at_returns();
        if self.by_context {
            dirty & (alive | Registers::one(RA))
        } else {
            (dirty & self.writes & alive) - self.returned
        }
    }
}

/// Summaries of all regions of a batch, by entry, and what is alive between regions.
#[derive(Debug)]
pub(crate) struct Summaries<'a> {
    of: BTreeMap<u32, Summary>,
    liveness: &'a Liveness,
}

impl<'a> Summaries<'a> {
    /// No summaries.
    pub(crate) fn none(liveness: &'a Liveness) -> Self {
        Self {
            of: BTreeMap::new(),
            liveness,
        }
    }

    /// Computes the closure over a batch.
    pub(crate) fn close(regions: &[Region], liveness: &'a Liveness) -> Self {
        let mut summaries = Self::none(liveness);
        let entries: BTreeMap<u32, usize> = regions
            .iter()
            .enumerate()
            .map(|(i, region)| (region.entry, i))
            .collect();
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
        }
        for (region, callers) in regions.iter().zip(&callers) {
            // What it ends in by a jump to another region restores sp for its caller, and not in the context.
            let by_context = callers.is_empty() && !leaves_by_call(region);
            let summary = summaries.without_writes(region, by_context);
            summaries.of.insert(region.entry, summary);
        }
        // Writes grow from nothing, and so does the set of regions that move sp, until nothing changes.
        // First in, first out: whoever makes many calls hears of all of his callees' changes at once.
        let mut work: VecDeque<usize> = (0..regions.len()).collect();
        let mut queued = vec![true; regions.len()];
        while let Some(i) = work.pop_front() {
            queued[i] = false;
            let region = &regions[i];
            let summary = summaries.of_region(region);
            if summaries.of.insert(region.entry, summary) != Some(summary) {
                for &caller in &callers[i] {
                    if !std::mem::replace(&mut queued[caller], true) {
                        work.push_back(caller);
                    }
                }
            }
        }
        for region in regions {
            let summary = summaries.of(u64::from(region.entry));
            if summary.by_context {
                continue;
            }
            let set = (set_at_returns(region) | (summary.passed & Registers::one(A0)))
                & summary.writes
                & liveness.at_returns();
            let most = if summary.is_leaf {
                MAX_RETURNED_BY_LEAF
            } else {
                MAX_RETURNED
            };
            let returned = choose(&RETURNED_FIRST, set, most) | summary.returned;
            summaries.of.insert(region.entry, Summary { returned, ..summary });
        }
        summaries
    }

    /// What is alive between regions.
    pub(crate) fn liveness(&self) -> &'a Liveness {
        self.liveness
    }

    /// What a call to an address may change.
    pub(crate) fn of(&self, callee: u64) -> Summary {
        u32::try_from(callee)
            .ok()
            .and_then(|callee| self.of.get(&callee))
            .copied()
            .unwrap_or(Summary::UNKNOWN)
    }

    /// Whether the address is an entry of the batch.
    pub(crate) fn knows(&self, callee: u64) -> bool {
        u32::try_from(callee).is_ok_and(|callee| self.of.contains_key(&callee))
    }

    fn of_region(&self, region: &Region) -> Summary {
        let mut writes = Registers::NONE;
        for block in &region.blocks {
            for step in &block.steps {
                writes |= Registers::one(step.rd);
            }
            writes |= self.changed_by(&block.ending);
        }
        let first = self.of(u64::from(region.entry));
        let mut restored = Registers::NONE;
        if !first.by_context && keeps_stack_pointer(region, self) {
            let callees = region.blocks.iter().flat_map(callees);
            restored = callees.fold(writes, |all, callee| all | self.of(u64::from(callee)).restored)
                & Registers::one(SP);
            writes = writes - Registers::one(SP);
        }
        Summary {
            writes: writes - Registers::one(RA),
            restored,
            ..first
        }
    }

    /// A first summary: the convention, and nothing written nor returned.
    fn without_writes(&self, region: &Region, by_context: bool) -> Summary {
        let reads = reads_at_entry(region);
        let changes_ra = region.blocks.iter().any(|block| {
            let links = matches!(block.ending, Ending::Call { .. } | Ending::CallIndirect { .. });
            links || block.steps.iter().any(|step| step.rd == RA)
        });
        let comes_back = if changes_ra || leaves_by_call(region) {
            Registers::one(RA)
        } else {
            Registers::NONE
        };
        Summary {
            writes: Registers::NONE,
            passed: if by_context {
                Registers::NONE
            } else {
                choose(&PASSED_FIRST, reads, MAX_PASSED)
            },
            returned: if by_context { Registers::NONE } else { comes_back },
            by_context,
            restored: Registers::NONE,
            is_leaf: !changes_ra
                && !region
                    .blocks
                    .iter()
                    .any(|block| matches!(block.ending, Ending::Call { .. } | Ending::CallIndirect { .. }))
                && !leaves_by_call(region),
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
pub(super) fn ways_out(ending: &Ending) -> impl Iterator<Item = u64> {
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
fn keeps_stack_pointer(region: &Region, summaries: &Summaries<'_>) -> bool {
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
            Ending::Ecall { .. } | Ending::Back { .. } | Ending::Trap => true,
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
        _ => Registers::one(step.rs1) | Registers::one(step.rs2) | Registers::one(step.rs3),
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
    region.settle_backwards(|id, block| {
        let out = block
            .successors()
            .fold(Registers::NONE, |all, next| all | live[next]);
        let mut now = match &block.ending {
            Ending::Call { .. } | Ending::CallIndirect { .. } => out - Registers::one(RA),
            Ending::Ecall { .. } => out - HOST_RESULTS,
            _ => out,
        };
        now |= operands(&block.ending);
        for step in block.steps.iter().rev() {
            now = (now - Registers::one(step.rd)) | reads(step);
        }
        std::mem::replace(&mut live[id], now) != now
    });
    live[0]
}

/// Registers that a region sets on every way from its entry to a return; all of them where it never returns.
fn set_at_returns(region: &Region) -> Registers {
    let everything = !Registers::NONE;
    let mut set = vec![everything; region.blocks.len()];
    set[0] = Registers::NONE;
    // What is set behind a block, before it goes on.
    let behind = |block: &Block, before: Registers| {
        let mut now = before;
        for step in &block.steps {
            now |= Registers::one(step.rd);
        }
        if matches!(block.ending, Ending::Call { .. }) {
            now |= Registers::one(A0);
        }
        now
    };
    region.settle_forwards(|id, block, changed| {
        let now = behind(block, set[id]);
        for next in block.successors() {
            let joined = set[next] & now;
            if next != 0 && joined != set[next] {
                set[next] = joined;
                changed(next);
            }
        }
    });
    let mut at_returns = everything;
    for (id, block) in region.blocks.iter().enumerate() {
        let returns = matches!(block.ending, Ending::Return)
            || is_tail_call(&block.ending)
            || ways_out(&block.ending).next().is_some();
        if returns {
            at_returns = at_returns & behind(block, set[id]);
        }
    }
    at_returns
}

/// Registers that an ending itself reads.
pub(super) fn operands(ending: &Ending) -> Registers {
    match ending {
        Ending::Branch { rs1, rs2, .. } => Registers::one(*rs1) | Registers::one(*rs2),
        Ending::CallIndirect { rs1, .. } | Ending::JumpIndirect { rs1, .. } => Registers::one(*rs1),
        Ending::Back { .. } => Registers::one(RA),
        _ => Registers::NONE,
    }
}
