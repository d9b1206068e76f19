//! Which regions a batch has: entries, and where one region ends because another begins.
//!
//! Entries are the program's own, functions that symbols name, targets of calls, and what two regions would share.
//! Each instruction then belongs to one region, but for the little that [`ROUNDS`] leaves, so that work stays linear in
//! the text whatever jumps where.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::flow::{Bounds, RA, Region, Step, Text, far_target, recover};
use super::liveness::{Landings, Liveness};
use crate::isa::{Class, Op};

/// How often what regions share is split off.
const ROUNDS: usize = 3;

/// Most instructions of a region. Cranelift's cost grows faster than its input beyond a few thousand.
const REGION_INSTRUCTIONS: usize = 12_000;

/// Instructions of all regions together, as a multiple of the halfwords of text.
const COPIES: usize = 2;

/// What the whole text tells about where regions begin; computed once for a program.
#[derive(Debug)]
pub(crate) struct Survey {
    /// Starts of functions: the entry, what symbols name, targets of calls.
    functions: BTreeSet<u32>,
    /// What may be starts of functions as well, ascending. They end no region, since they may be none.
    pointers: Vec<u32>,
    /// Addresses of text that data holds, ascending.
    candidates: Vec<u32>,
    /// Which registers matter where.
    liveness: Liveness,
}

impl Survey {
    /// Surveys a program's text, from its entry and the starts of functions that symbols name on.
    pub(crate) fn of(text: Text<'_>, entry: u32, symbols: &[u32], data: &[(u32, &[u8])]) -> Self {
        let made = materialised(text);
        let mut candidates = words(text, data);
        for &base in made.keys() {
            table_at(text, data, base, &mut candidates);
            if candidates.len() > MAX_CANDIDATES {
                break;
            }
        }
        let listed: Vec<u32> = candidates.iter().copied().collect();
        let roots = symbols.iter().copied().chain([entry]);
        let roots = roots.filter(|&pc| text.contains(u64::from(pc)));
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
            labels: &labels,
        };
        let liveness = Liveness::of(text, &landings);
        Self {
            pointers: starts.difference(&functions).copied().collect(),
            functions,
            candidates: listed,
            liveness,
        }
    }

    /// Which registers matter where, if jumps through registers lead where they are expected to.
    pub(crate) fn liveness(&self) -> &Liveness {
        &self.liveness
    }
}

/// The regions of a whole program.
pub(crate) fn whole_program(text: Text<'_>, survey: &Survey, liveness: &Liveness) -> Vec<Region> {
    let mut entries = survey.functions.clone();
    let mut regions = Vec::new();
    for round in 0..=ROUNDS {
        let mut left = text.bytes.len() / 2 * COPIES;
        let bounds = Bounds {
            instructions: REGION_INSTRUCTIONS,
            entries: &entries,
            candidates: &survey.candidates,
            liveness,
        };
        regions = recover_all(text, &bounds, &mut left);
        let more: Vec<u32> = shared(&regions)
            .into_iter()
            .chain(regions.iter().flat_map(|region| region.cut.iter().copied()))
            .filter(|pc| !entries.contains(pc))
            .collect();
        if more.is_empty() || round == ROUNDS {
            for &pointer in survey.pointers.iter().filter(|pc| !entries.contains(pc)) {
                let region = recover(text, pointer, &bounds);
                let Some(rest) = left.checked_sub(region.len()) else {
                    break;
                };
                left = rest;
                regions.push(region);
            }
            break;
        }
        entries.extend(more);
    }
    regions
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
    let bounds = Bounds {
        instructions: REGION_INSTRUCTIONS,
        entries: &survey.functions,
        candidates: &survey.candidates,
        liveness,
    };
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

/// The regions at all entries, as far as `left` instructions go.
fn recover_all(text: Text<'_>, bounds: &Bounds<'_>, left: &mut usize) -> Vec<Region> {
    let mut regions = Vec::new();
    for &entry in bounds.entries {
        let region = recover(text, entry, bounds);
        let Some(rest) = left.checked_sub(region.len()) else {
            break;
        };
        *left = rest;
        regions.push(region);
    }
    regions
}

/// Starts of blocks that more than one region holds.
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
    shared
}

/// The roots and every target of a call that can be reached from them.
fn called(text: Text<'_>, roots: impl Iterator<Item = u32>, candidates: &[u32]) -> BTreeSet<u32> {
    let mut entries: BTreeSet<u32> = roots.collect();
    let mut work: Vec<u32> = entries.iter().copied().collect();
    let mut seen = BTreeSet::new();
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
        while seen.insert(pc) {
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

/// Even addresses of text that data holds: possible targets of indirect jumps. None where there are too many. A guess
/// that decides no result.
fn words(text: Text<'_>, data: &[(u32, &[u8])]) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for &(address, bytes) in data {
        let skip = (address.wrapping_neg() % 4) as usize;
        let words = bytes.get(skip..).unwrap_or_default().as_chunks::<4>().0;
        for word in words {
            let target = u32::from_le_bytes(*word);
            if text.contains(u64::from(target)) {
                found.insert(target);
            }
        }
        if found.len() > MAX_CANDIDATES {
            return BTreeSet::new();
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
        upper[usize::from(step.rd)] = made;
        pc += u32::from(step.length);
    }
    addresses
}

/// Targets of the table of 32-bit displacements from its own start at `base`, as far as they lie in text.
fn table_at(text: Text<'_>, data: &[(u32, &[u8])], base: u32, found: &mut BTreeSet<u32>) {
    let Some(bytes) = data.iter().find_map(|&(address, bytes)| {
        let offset = base.checked_sub(address)? as usize;
        bytes.get(offset..).filter(|rest| !rest.is_empty())
    }) else {
        return;
    };
    for word in bytes.as_chunks::<4>().0.iter().take(MAX_TABLE) {
        let target = u64::from(base).wrapping_add(i64::from(i32::from_le_bytes(*word)).cast_unsigned());
        if !text.contains(target) {
            return;
        }
        found.insert(target as u32);
    }
}
