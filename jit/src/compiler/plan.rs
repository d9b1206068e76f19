//! Which regions a batch has: entries, and where one region ends because another begins.
//!
//! Entries are the program's own, functions that symbols name, targets of calls, and what two regions would share.
//! Each instruction then belongs to one region, but for the little that [`ROUNDS`] leaves, so that work stays linear in
//! the text whatever jumps where.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::floats::Observed;
use super::flow::{Bounds, RA, Region, Step, Text, far_target, recover};
use super::liveness::{Landings, Liveness};
use crate::isa::{Class, Op};

/// How often what regions share is split off.
const ROUNDS: usize = 3;

/// Most instructions of a region. Cranelift's cost grows faster than its input beyond a few thousand, but a function that
/// is cut pays for it at run time: `ed25519-dalek` took 2.2 times native with 3,000 and takes 1.6 so.
const REGION_INSTRUCTIONS: usize = 12_000;

/// Most blocks of a region. Data flow between blocks, and registers that are alive in all of them, cost more than the
/// instructions do.
const REGION_BLOCKS: usize = 600;

/// Instructions of all regions together, as a multiple of the halfwords of text.
const COPIES: usize = 2;

/// What a region costs beside its instructions, in instructions: two native functions with their names and signatures.
const REGION_COST: usize = 16;

/// What the whole text tells about where regions begin; computed once for a program.
#[derive(Debug)]
pub(crate) struct Survey {
    /// Starts of functions: the entry, what symbols name, targets of calls.
    functions: BTreeSet<u32>,
    /// Addresses of text that data holds, ascending.
    candidates: Vec<u32>,
    /// Which registers matter where.
    liveness: Liveness,
    /// What the program can tell of how floating point is computed.
    floats: Observed,
}

impl Survey {
    /// Surveys a program's text, from its entry and the starts of functions that symbols name on.
    pub(crate) fn of(text: Text<'_>, entry: u32, symbols: &[u32], data: &[(u32, &[u8])]) -> Self {
        let made = materialised(text);
        let mut candidates = words(text, data);
        let mut left = MAX_TABLES;
        for &base in made.keys() {
            if candidates.len() > MAX_CANDIDATES || left == 0 {
                break;
            }
            left -= table_at(text, data, base, left, &mut candidates);
        }
        let listed: Vec<u32> = candidates.iter().copied().collect();
        let roots = symbols.iter().copied().chain([entry]);
        let roots = roots.filter(|&pc| text.contains(u64::from(pc)));
        let certain = called(text, roots.clone(), &[]);
        let functions = called(text, roots, &listed);
        let mut labels = candidates;
        labels.extend(made.keys().copied().filter(|&pc| text.contains(u64::from(pc))));
        let mut starts = functions.clone();
        if symbols.is_empty() {
            // Pointers have to tell where functions start.
            starts.extend(pointers(text, data, &made));
        }
        let landings = Landings {
            functions: &starts,
            certain: &certain,
            labels: &labels,
        };
        let liveness = Liveness::of(text, &landings);
        Self {
            functions,
            candidates: listed,
            liveness,
            floats: Observed::by(text),
        }
    }

    /// Which registers matter where, if jumps through registers lead where they are expected to.
    pub(crate) fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// What the program can tell of how floating point is computed.
    pub(crate) fn floats(&self) -> Observed {
        self.floats
    }
}

/// The regions of a whole program, ascending.
pub(crate) fn whole_program(text: Text<'_>, survey: &Survey, liveness: &Liveness) -> Vec<Region> {
    let mut entries = survey.functions.clone();
    let mut round = 0;
    loop {
        let regions = recover_all(text, &mut entries, &survey.candidates, liveness);
        let before = entries.len();
        entries.extend(shared(&regions));
        if round == 0 {
            entries.extend(unreached(text, &regions, &survey.candidates));
        }
        if entries.len() == before || round == ROUNDS {
            return regions;
        }
        round += 1;
    }
}

/// The region at a hot address and those that it calls, nearest first, as far as a number of instructions goes; without
/// what has native code already.
pub(crate) fn around(
    text: Text<'_>,
    survey: &Survey,
    liveness: &Liveness,
    root: u32,
    instructions: usize,
    has_code: impl Fn(u32) -> bool,
) -> Vec<Region> {
    let bounds = bounds(&survey.functions, &survey.candidates, liveness);
    let mut regions = Vec::new();
    let mut seen = BTreeSet::from([root]);
    let mut queue = VecDeque::from([root]);
    let mut left = instructions;
    while let Some(entry) = queue.pop_front() {
        let region = recover(text, entry, &bounds);
        let is_root = regions.is_empty();
        if region.len() > left && !is_root {
            break;
        }
        left = left.saturating_sub(region.len());
        for callee in region.blocks.iter().flat_map(super::summary::callees) {
            if text.contains(u64::from(callee)) && !has_code(callee) && seen.insert(callee) {
                queue.push_back(callee);
            }
        }
        regions.push(region);
    }
    regions
}

fn bounds<'a>(entries: &'a BTreeSet<u32>, candidates: &'a [u32], liveness: &'a Liveness) -> Bounds<'a> {
    Bounds {
        instructions: REGION_INSTRUCTIONS,
        blocks: REGION_BLOCKS,
        entries,
        candidates,
        liveness,
    }
}

/// The regions at all entries, ascending. Where a region is full another one goes on: such places become entries.
fn recover_all(
    text: Text<'_>,
    entries: &mut BTreeSet<u32>,
    candidates: &[u32],
    liveness: &Liveness,
) -> Vec<Region> {
    let mut left = text.bytes.len() / 2 * COPIES;
    let mut regions = Vec::new();
    let mut queue: VecDeque<u32> = entries.iter().copied().collect();
    while let Some(entry) = queue.pop_front() {
        let region = recover(text, entry, &bounds(entries, candidates, liveness));
        let Some(rest) = left.checked_sub(region.len() + REGION_COST) else {
            // Some small text may be all entries; the first one is the least that there has to be.
            if regions.is_empty() {
                regions.push(region);
            }
            break;
        };
        left = rest;
        queue.extend(region.cut.iter().filter(|&&pc| entries.insert(pc)));
        regions.push(region);
    }
    regions.sort_unstable_by_key(|region| region.entry);
    regions
}

/// Addresses in data that no region has found a way to: functions that are only called through pointers, where no symbol
/// names them.
fn unreached<'a>(
    text: Text<'a>,
    regions: &[Region],
    candidates: &'a [u32],
) -> impl Iterator<Item = u32> + 'a {
    let mut reached = vec![false; text.bytes.len() / 2 + 1];
    for block in regions.iter().flat_map(|region| &region.blocks) {
        let pcs = block.steps.iter().map(|step| step.pc);
        for pc in pcs.chain([block.start, block.ending_pc]) {
            reached[((pc - text.start) / 2) as usize] = true;
        }
    }
    candidates
        .iter()
        .copied()
        .filter(move |&pc| !reached[((pc - text.start) / 2) as usize] && text.decode(pc).is_some())
}

/// Where code that more than one region holds is entered from code that one region holds alone.
fn shared(regions: &[Region]) -> BTreeSet<u32> {
    let mut owners: BTreeMap<u32, u32> = BTreeMap::new();
    let mut shared = BTreeSet::new();
    for region in regions {
        for block in &region.blocks {
            let owner = *owners.entry(block.start).or_insert(region.entry);
            if owner != region.entry {
                shared.insert(block.start);
            }
        }
    }
    let mut entered = BTreeSet::new();
    for region in regions {
        for block in region
            .blocks
            .iter()
            .filter(|block| !shared.contains(&block.start))
        {
            let next = block.successors().map(|id| region.blocks[id].start);
            entered.extend(next.filter(|start| shared.contains(start)));
        }
    }
    entered
}

/// The roots and every target of a call that can be reached from them.
fn called(text: Text<'_>, roots: impl Iterator<Item = u32>, candidates: &[u32]) -> BTreeSet<u32> {
    let mut entries: BTreeSet<u32> = roots.collect();
    let mut work: Vec<u32> = entries.iter().copied().collect();
    let mut seen = vec![false; text.bytes.len() / 2 + 1];
    let mut sees = |pc: u32| !std::mem::replace(&mut seen[((pc - text.start) / 2) as usize], true);
    // Jump tables lead to code that calls as well.
    work.extend(
        candidates
            .iter()
            .copied()
            .filter(|&pc| text.contains(u64::from(pc))),
    );
    while let Some(start) = work.pop() {
        let mut pc = start;
        let mut before: Option<Step> = None;
        while sees(pc) {
            let Some(step) = text.decode(pc) else { break };
            let mut reach = |target: u64, is_entry: bool| {
                if text.contains(target) {
                    if is_entry {
                        entries.insert(target as u32);
                    }
                    work.push(target as u32);
                }
            };
            match step.op.class() {
                Class::Branch => reach(step.target(), false),
                Class::Jal => {
                    reach(step.target(), step.rd == RA);
                    if step.rd != RA {
                        break;
                    }
                }
                Class::Jalr => {
                    if let Some(target) = before.and_then(|before| far_target(&before, &step)) {
                        reach(target, step.rd == RA);
                    }
                    if step.rd != RA {
                        break;
                    }
                }
                Class::Ebreak => break,
                _ => {}
            }
            let next = step.next();
            if !text.contains(next) {
                break;
            }
            before = Some(step);
            pc = next as u32;
        }
    }
    entries
}

/// Most addresses that are looked for in data.
const MAX_CANDIDATES: usize = 1 << 16;

/// Most entries of one table of displacements.
const MAX_TABLE: usize = 1024;

/// What may be pointers to functions: 64-bit words of data and addresses that code makes, where they lead to behind an
/// instruction that does not run on. Jump tables are left out.
fn pointers(text: Text<'_>, data: &[(u32, &[u8])], made: &BTreeMap<u32, u32>) -> BTreeSet<u32> {
    let mut found: BTreeSet<u32> = made
        .keys()
        .copied()
        .filter(|&pc| text.contains(u64::from(pc)) && follows_an_end(text, pc))
        .collect();
    for &(address, bytes) in data {
        let skip = (address.wrapping_neg() % 8) as usize;
        let words = bytes.get(skip..).unwrap_or_default().as_chunks::<8>().0;
        let mut in_table = false;
        for (i, word) in words.iter().enumerate() {
            let at = address + (skip + i * 8) as u32;
            if let Some(&maker) = made.get(&at) {
                in_table = jumps_next(text, maker);
            }
            let target = u64::from_le_bytes(*word);
            let is_text = text.contains(target);
            in_table &= is_text;
            if is_text && !in_table && follows_an_end(text, target as u32) {
                found.insert(target as u32);
            }
        }
    }
    found
}

/// Whether what stands in front of an address does not run on to it, as in front of a function.
fn follows_an_end(text: Text<'_>, pc: u32) -> bool {
    if pc == text.start {
        return true;
    }
    let ends = |length: u32| {
        let before = pc
            .checked_sub(length)
            .filter(|&pc| text.contains(u64::from(pc)))?;
        let Some(step) = text.decode(before) else {
            return Some(length == 2);
        };
        let is_filler = step.op == Op::Addi && step.rd == 0;
        let ends = matches!(
            step.op.class(),
            Class::Jal | Class::Jalr | Class::Ebreak | Class::Ecall
        );
        Some(u32::from(step.length) == length && (ends || is_filler))
    };
    ends(4) == Some(true) || ends(2) == Some(true)
}

/// Most instructions between one that makes the address of a jump table and the jump.
const TABLE_REACH: usize = 12;

/// Whether the first transfer through a register behind an instruction is a jump, and not a call.
fn jumps_next(text: Text<'_>, pc: u32) -> bool {
    let mut pc = u64::from(pc);
    for _ in 0..TABLE_REACH {
        let Some(step) = text.contains(pc).then(|| text.decode(pc as u32)).flatten() else {
            return false;
        };
        if step.op == Op::Jalr {
            return step.rd == 0;
        }
        pc = step.next();
    }
    false
}

/// Most entries of all of them: tables may lie in one another, each being another one's end.
const MAX_TABLES: usize = 4 * MAX_CANDIDATES;

/// Even addresses of text that data holds: possible targets of indirect jumps. None where there are too many. A guess
/// that decides no result.
fn words(text: Text<'_>, data: &[(u32, &[u8])]) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for &(address, bytes) in data {
        let skip = (address.wrapping_neg() % 4) as usize;
        let words = bytes.get(skip..).unwrap_or_default().as_chunks::<4>().0;
        for word in words {
            let target = u32::from_le_bytes(*word);
            if text.contains(u64::from(target)) && found.insert(target) && found.len() > MAX_CANDIDATES {
                return BTreeSet::new();
            }
        }
    }
    found
}

/// Addresses that `auipc`, `lui` and `addi` make, wherever they stand in text, with the last `addi` that makes each.
fn materialised(text: Text<'_>) -> BTreeMap<u32, u32> {
    let mut addresses = BTreeMap::new();
    let mut upper: [Option<u64>; 32] = [None; 32];
    let mut pc = text.start + text.start % 2;
    while text.contains(u64::from(pc)) {
        let Some(step) = text.decode(pc) else {
            pc += 2;
            continue;
        };
        let imm = i64::from(step.imm).cast_unsigned();
        let made = match step.op {
            Op::Auipc => Some(u64::from(pc).wrapping_add(imm)),
            Op::Lui => Some(imm),
            _ => None,
        };
        if step.op == Op::Addi
            && let Some(base) = upper[usize::from(step.rs1)]
        {
            addresses.insert(base.wrapping_add(imm) as u32, pc);
        }
        if let Some(upper) = upper.get_mut(usize::from(step.rd)) {
            *upper = made;
        }
        pc += u32::from(step.length);
    }
    addresses
}

/// Targets of the table of 32-bit displacements from its own start at `base`, as far as they lie in text, and `most` at
/// most. Gives how many there are.
fn table_at(
    text: Text<'_>,
    data: &[(u32, &[u8])],
    base: u32,
    most: usize,
    found: &mut BTreeSet<u32>,
) -> usize {
    let Some(bytes) = data.iter().find_map(|&(address, bytes)| {
        let offset = base.checked_sub(address)? as usize;
        bytes.get(offset..).filter(|rest| !rest.is_empty())
    }) else {
        return 0;
    };
    let mut count = 0;
    for word in bytes.as_chunks::<4>().0.iter().take(MAX_TABLE.min(most)) {
        let target = u64::from(base).wrapping_add(i64::from(i32::from_le_bytes(*word)).cast_unsigned());
        if !text.contains(target) {
            break;
        }
        found.insert(target as u32);
        count += 1;
    }
    count
}
