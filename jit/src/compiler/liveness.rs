//! Which registers still matter, over the whole text.
//!
//! A function that had to keep every register exact would hold its temporaries to every call and return, since whoever
//! runs next might look at them. Nearly no program does. Liveness over all of the text says which registers anybody can
//! still read: what is dead at every return site need not be kept up to a return, and what no callee reads need not be
//! stored before a call.
//!
//! The text alone does not say where jumps through registers lead. They are assumed to lead to *landings*: returns to an
//! address behind a call, calls to the start of a function, other jumps to those or to an address that data or code
//! names. Every such transfer is checked when it happens ([`Liveness::permits`]), in either tier. One that goes
//! elsewhere has *strayed*: registers may be wrong there, and the run starts over in code that was compiled with
//! everything alive ([`Liveness::everything`]), with what its host answered so far.
//!
//! Functions that never return, as far as the text shows, have no return sites: what stands behind a call to one is
//! mostly other code, where everything may be alive.
//!
//! Liveness is the usual backward fixpoint over instructions. One set stands for all returns, one for all indirect calls,
//! one for all other indirect jumps.

use std::collections::BTreeSet;

use super::flow::{RA, Step, Text, far_target, is_return};
use super::registers::Registers;
use super::summary::{HOST_RESULTS, HOST_VISIBLE, reads};
use crate::interpreter::Transfer;
use crate::isa::Class;

/// Passes over the text until everything is taken to be alive: code settles in a few, and what jumps backwards by long
/// chains would take a pass for each link.
const MAX_PASSES: usize = 64;

const SITE: u8 = 1;
const FUNCTION: u8 = 2;
const LABEL: u8 = 4;
/// The start of a function for certain: what stands in front of it does not run on.
const START: u8 = 8;

/// What is alive where.
#[derive(Debug)]
pub(crate) struct Liveness {
    /// First address of text.
    start: u32,
    /// For each halfword, what is alive in front of the instruction there, in the bits of [`Registers`]; bit 0 where it can
    /// be reached. Empty where everything is alive everywhere.
    live: Box<[u64]>,
    /// For each halfword, what it is a landing for.
    landings: Box<[u8]>,
    /// Alive at some return site.
    returns: Registers,
    /// Alive at the start of some function that pointers may lead to.
    calls: Registers,
    /// Alive at some label that other jumps may lead to.
    jumps: Registers,
}

/// Where jumps through registers may lead, beside return sites.
pub(crate) struct Landings<'a> {
    /// Starts of functions, some of which only look like it.
    pub(crate) functions: &'a BTreeSet<u32>,
    /// Those that symbols name or calls lead to.
    pub(crate) certain: &'a BTreeSet<u32>,
    /// Other addresses of text that data or code names: labels of jump tables.
    pub(crate) labels: &'a BTreeSet<u32>,
}

impl Liveness {
    /// Nothing is ever dead, and jumps lead anywhere.
    pub(crate) fn everything() -> Self {
        Self {
            start: 0,
            live: Box::default(),
            landings: Box::default(),
            returns: !Registers::NONE,
            calls: !Registers::NONE,
            jumps: !Registers::NONE,
        }
    }

    /// Of what can be reached from landings.
    pub(crate) fn of(text: Text<'_>, landings: &Landings<'_>) -> Self {
        let halfwords = text.bytes.len() / 2 + 1;
        let mut liveness = Self {
            start: text.start,
            live: vec![0; halfwords].into(),
            landings: vec![0; halfwords].into(),
            returns: Registers::NONE,
            calls: Registers::NONE,
            jumps: Registers::NONE,
        };
        // Once as if every call came back, to find out which do not, and then without what is behind those.
        let nodes = liveness.reach(text, landings, &|_| true);
        let Some(may_return) = may_return(&nodes, halfwords) else {
            return Self::everything();
        };
        drop(nodes);
        liveness.live.fill(0);
        liveness.landings.fill(0);
        let nodes = liveness.reach(text, landings, &|at| may_return[at as usize]);
        for _ in 0..MAX_PASSES {
            if !liveness.pass(&nodes) {
                return liveness;
            }
        }
        Self::everything()
    }

    /// Whether everything is alive everywhere.
    pub(crate) fn is_exact(&self) -> bool {
        self.live.is_empty()
    }

    /// What is alive in front of the instruction at an address; everything where nothing is known of it.
    pub(crate) fn at(&self, pc: u64) -> Registers {
        match self.index(pc).and_then(|at| self.live.get(at)) {
            Some(&bits) if bits & 1 != 0 => Registers::of_bits(bits),
            _ => !Registers::NONE,
        }
    }

    /// Whether something is known of an address.
    pub(crate) fn knows(&self, pc: u64) -> bool {
        self.is_exact()
            || self
                .index(pc)
                .and_then(|at| self.live.get(at))
                .is_some_and(|bits| bits & 1 != 0)
    }

    /// What has to be right when a function returns, ra apart.
    pub(crate) fn at_returns(&self) -> Registers {
        self.returns
    }

    /// What has to be right at a call to an address that is not known.
    pub(crate) fn at_calls(&self) -> Registers {
        self.calls
    }

    /// What has to be right at any other jump to an address that is not known.
    pub(crate) fn at_jumps(&self) -> Registers {
        self.calls | self.jumps
    }

    /// Whether a transfer lands where it was expected to. One out of text does: it traps.
    #[inline]
    pub(crate) fn permits(&self, transfer: Transfer, pc: u64) -> bool {
        let Some(&landing) = self.index(pc).and_then(|at| self.landings.get(at)) else {
            return true;
        };
        let wanted = match transfer {
            Transfer::Return => SITE,
            Transfer::Call => FUNCTION,
            Transfer::Jump => FUNCTION | LABEL,
            Transfer::HostReturn => return landing & START == 0,
        };
        landing & wanted != 0
    }

    #[inline]
    fn index(&self, pc: u64) -> Option<usize> {
        let offset = pc.wrapping_sub(u64::from(self.start));
        usize::try_from(offset / 2).ok()
    }

    /// Visits everything that can be reached, descending, and marks landings. `may_return` is asked of the places that calls lead to.
    fn reach(
        &mut self,
        text: Text<'_>,
        landings: &Landings<'_>,
        may_return: &dyn Fn(u32) -> bool,
    ) -> Vec<Node> {
        let mut work = Vec::new();
        for (addresses, kind) in [
            (landings.functions, FUNCTION),
            (landings.certain, FUNCTION | START),
            (landings.labels, LABEL),
        ] {
            for &pc in addresses {
                self.land(text, u64::from(pc), kind, &mut work);
            }
        }
        let mut nodes = Vec::new();
        while let Some(pc) = work.pop() {
            let at = ((pc - self.start) / 2) as usize;
            if self.live[at] & 1 != 0 {
                continue;
            }
            self.live[at] |= 1;
            let Some(step) = text.decode(pc) else {
                continue;
            };
            let mut node = Node::of(text, &step);
            if matches!(node.flow, Flow::Ecall) && self.is_start(node.next) {
                // The end of a function that does not return: this host call ends the run.
                node.next = None;
            }
            for next in [node.next, node.target].into_iter().flatten() {
                work.push(self.start + 2 * next);
            }
            let behind = match (step.op.class(), step.rd) {
                (Class::Jal | Class::Jalr, RA) => {
                    let site = text.contains(step.next()).then(|| self.place(step.next()));
                    let callee = node
                        .target
                        .or_else(|| far_callee(text, &step).map(|pc| self.place(pc)));
                    let comes_back = callee.is_none_or(may_return) && !self.is_start(site);
                    node.site = site.filter(|_| comes_back);
                    comes_back.then_some(SITE)
                }
                // Comes back through another register: by a jump.
                (Class::Jal | Class::Jalr, 1..) => Some(LABEL),
                _ => None,
            };
            if let Some(kind) = behind {
                self.land(text, step.next(), kind, &mut work);
            }
            if let (
                Flow::Far {
                    links: Registers::NONE,
                },
                Some(target),
            ) = (&node.flow, node.target)
            {
                self.landings[target as usize] |= LABEL;
            }
            nodes.push(node);
        }
        nodes.sort_unstable_by_key(|node| std::cmp::Reverse(node.at));
        nodes
    }

    /// Place of an address of text.
    fn place(&self, pc: u64) -> u32 {
        (pc as u32 - self.start) / 2
    }

    fn is_start(&self, at: Option<u32>) -> bool {
        at.is_some_and(|at| self.landings[at as usize] & START != 0)
    }

    fn land(&mut self, text: Text<'_>, pc: u64, kind: u8, work: &mut Vec<u32>) {
        if text.contains(pc) {
            let pc = pc as u32;
            self.landings[((pc - self.start) / 2) as usize] |= kind;
            work.push(pc);
        }
    }

    /// One pass backwards over the text. Gives whether anything changed.
    fn pass(&mut self, nodes: &[Node]) -> bool {
        let mut changed = false;
        for node in nodes {
            let before =
                |at: Option<u32>| at.map_or(Registers::NONE, |at| Registers::of_bits(self.live[at as usize]));
            let after = match node.flow {
                Flow::Straight => before(node.next) | before(node.target),
                Flow::Ecall => (before(node.next) - HOST_RESULTS) | HOST_VISIBLE,
                Flow::Call => before(node.target) - Registers::one(RA),
                Flow::Far { links } => before(node.target) - links,
                Flow::Indirect(Transfer::Return) => self.returns,
                Flow::Indirect(Transfer::Call) => self.calls,
                Flow::Indirect(Transfer::Jump | Transfer::HostReturn) => self.calls | self.jumps,
                Flow::Trap => Registers::NONE,
            };
            let now = (after - node.sets) | node.reads;
            let bits = now.bits() | 1;
            let at = node.at as usize;
            if self.live[at] != bits {
                self.live[at] = bits;
                changed = true;
            }
            let landing = self.landings[at];
            for (kind, all) in [
                (SITE, &mut self.returns),
                (FUNCTION, &mut self.calls),
                (LABEL, &mut self.jumps),
            ] {
                if landing & kind != 0 && (*all | now) != *all {
                    *all |= now;
                    changed = true;
                }
            }
        }
        changed
    }
}

/// Where a `jalr` calls to, if the instruction in front of it says so.
fn far_callee(text: Text<'_>, jalr: &Step) -> Option<u64> {
    let pc = u64::from(jalr.pc);
    let before = [4, 2].into_iter().find_map(|length| {
        let before = pc.checked_sub(length).filter(|&pc| text.contains(pc))?;
        text.decode(before as u32).filter(|step| step.next() == pc)
    })?;
    far_target(&before, jalr).filter(|&target| text.contains(target))
}

/// For each halfword, whether a function that gets there may come to return, from nodes in descending order. The least
/// fixpoint: a call that is not known to come back goes nowhere. `None` where it is not found in [`MAX_PASSES`].
fn may_return(nodes: &[Node], halfwords: usize) -> Option<Vec<bool>> {
    let mut returns = vec![false; halfwords];
    for _ in 0..MAX_PASSES {
        let mut changed = false;
        for node in nodes {
            let of = |at: Option<u32>| at.is_some_and(|at| returns[at as usize]);
            let now = match node.flow {
                Flow::Straight | Flow::Ecall => of(node.next) || of(node.target),
                Flow::Call => of(node.target) && of(node.site),
                // A jump to another function, or the first half of a call, whose `jalr` has the rest.
                Flow::Far {
                    links: Registers::NONE,
                } => of(node.target),
                Flow::Far { .. } => of(node.target) && of(node.next),
                Flow::Indirect(Transfer::Call) => of(node.site),
                Flow::Indirect(_) => true,
                Flow::Trap => false,
            };
            changed |= now && !std::mem::replace(&mut returns[node.at as usize], true);
        }
        if !changed {
            return Some(returns);
        }
    }
    None
}

/// An instruction as liveness sees it. Places are halfwords of text.
struct Node {
    at: u32,
    reads: Registers,
    sets: Registers,
    next: Option<u32>,
    target: Option<u32>,
    /// Where a call comes back to, if it does.
    site: Option<u32>,
    flow: Flow,
}

/// Where control goes.
enum Flow {
    /// To one or both of `next` and `target`.
    Straight,
    Ecall,
    /// To `target`, linked through ra.
    Call,
    /// An `auipc` or `lui` whose `jalr` comes next: to `target`, which sets `links`.
    Far {
        links: Registers,
    },
    /// Through a register.
    Indirect(Transfer),
    Trap,
}

impl Node {
    fn of(text: Text<'_>, step: &Step) -> Self {
        let halfword = |pc: u64| text.contains(pc).then(|| (pc as u32 - text.start) / 2);
        let mut node = Self {
            at: (step.pc - text.start) / 2,
            reads: Registers::NONE,
            sets: Registers::one(step.rd),
            next: None,
            target: None,
            site: None,
            flow: Flow::Straight,
        };
        match step.op.class() {
            Class::Branch => {
                node.reads = reads(step);
                node.sets = Registers::NONE;
                node.next = halfword(step.next());
                node.target = halfword(step.target());
            }
            Class::Jal => {
                node.target = halfword(step.target());
                if step.rd == RA {
                    node.flow = Flow::Call;
                }
            }
            Class::Jalr => {
                node.reads = Registers::one(step.rs1);
                node.flow = Flow::Indirect(Transfer::of(step.rd, step.rs1, i64::from(step.imm)));
            }
            Class::Ecall => {
                node.next = halfword(step.next());
                node.flow = Flow::Ecall;
            }
            Class::Ebreak => node.flow = Flow::Trap,
            _ => {
                node.reads = reads(step);
                let next = step.next();
                let far = text
                    .contains(next)
                    .then(|| text.decode(next as u32))
                    .flatten()
                    .filter(|jalr| matches!(jalr.rd, 0 | RA) && !is_return(jalr))
                    .and_then(|jalr| Some((far_target(step, &jalr)?, jalr.rd)));
                match far {
                    Some((target, link)) => {
                        node.flow = Flow::Far {
                            links: Registers::one(link),
                        };
                        node.target = halfword(target);
                        // Reached too, since others may jump there; but what is alive there does not count here.
                        node.next = halfword(next);
                    }
                    None => node.next = halfword(next),
                }
            }
        }
        node
    }
}
