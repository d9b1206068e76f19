//! From tier 0 to native code while a program runs.
//!
//! Tier 0 counts how often it jumps to each address. An address that becomes hot, a function's start, a loop's header
//! or a return site, is asked of the background thread, which compiles the region there and what it calls; tier 0 goes
//! on meanwhile and changes over at the next jump to an address that has native code, in the middle of a loop if need
//! be. Whoever runs compiles nothing itself, and waits for nothing: an address that is not served yet is asked again each
//! time that its count has doubled, which also tells the thread how hot it has become.
//!
//! What is compiled, and when, changes no result; so counters may be approximate. The clock that is looked at, the CPU
//! time of the background thread, decides no more than when a program has had its share of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};

use super::background::{self, COUNTS, Request, Work, count};
use super::code::{self, NativeCode};
use crate::compiler;
use crate::image::Program;
use crate::interpreter::{Transfer, Watch};

/// Jumps to an address until it is hot: a power of two, as are the counts at which it is asked again.
const HOT: u16 = 1 << 9;

/// Where a count that has come to half as much again goes on, so that an address that nobody compiles stays hot and is
/// asked again now and then.
const HOTTEST: u16 = 1 << 15;

/// The count of addresses that are being compiled or will not be.
const SETTLED: u16 = u16::MAX;

/// Instructions of one batch: the hot region whole, and callees while there is room. About 20 ms of compilation.
const BATCH_INSTRUCTIONS: usize = 2_000;

/// All regions of a program together, as a multiple of the halfwords of its text: what starts in the middle of
/// functions is compiled again with them.
const COPIES: usize = 3;

/// What a batch counts for at least, in instructions: its pages of code, and its setting up.
const LEAST_CHARGE: usize = 200;

/// What the smallest program may have compiled: a few batches, though its text be shorter than one counts for.
const LEAST_BUDGET: usize = 16 * LEAST_CHARGE;

/// CPU time of the background thread that a program may take for each byte of its text, in microseconds. What compilers
/// make takes 4 to 5, three times over where all of it becomes hot at its worst places.
const US_PER_TEXT_BYTE: u64 = 30;

/// What the smallest program may take.
const LEAST_US: u64 = 100_000;

/// How often each address was jumped to in tier 0, and what the program has had of the compiler.
#[derive(Debug)]
pub(crate) struct Heat {
    counts: Box<[AtomicU16]>,
    /// Guest instructions compiled so far, and what small batches are charged beyond theirs.
    pub(super) compiled: AtomicUsize,
    /// CPU time of the background thread so far, in microseconds.
    pub(super) spent_us: AtomicU64,
}

impl Heat {
    pub(crate) fn new(text_len: u32) -> Self {
        Self {
            counts: code::zeroed_halfwords(text_len as usize / 2 + 1),
            compiled: AtomicUsize::new(0),
            spent_us: AtomicU64::new(0),
        }
    }

    fn count(&self, start: u32, pc: u64) -> Option<&AtomicU16> {
        self.counts.get((pc.wrapping_sub(u64::from(start)) / 2) as usize)
    }
}

/// The watch of a tier-0 stretch.
pub(super) struct Tiering<'a> {
    pub(super) program: &'a Arc<Program>,
    pub(super) code: &'a NativeCode,
    /// Whether native code has run: until then registers are exact.
    pub(super) was_native: bool,
}

impl Watch for Tiering<'_> {
    const ACTIVE: bool = true;

    #[inline]
    fn stops_at(&mut self, pc: u64) -> bool {
        if self.code.entry(pc) != 0 {
            return true;
        }
        self.warm(pc)
    }

    #[inline]
    fn permits(&self, transfer: Transfer, pc: u64) -> bool {
        !self.was_native || self.code.liveness(self.program).permits(transfer, pc)
    }
}

impl Tiering<'_> {
    /// Counts a jump. Gives whether there is native code now.
    #[inline]
    fn warm(&self, pc: u64) -> bool {
        let (start, _) = self.program.text();
        let Some(count) = self.code.heat().count(start, pc) else {
            return false;
        };
        // Not one atomic step: a count that is lost now and then does no harm.
        let now = count.load(Ordering::Relaxed);
        if now == SETTLED {
            return false;
        }
        let next = now + 1;
        count.store(next, Ordering::Relaxed);
        if next & now == 0 && next >= HOT {
            self.ask(pc as u32, next);
        } else if next > HOTTEST + HOTTEST / 2 {
            count.store(HOTTEST - 1, Ordering::Relaxed);
        }
        false
    }

    #[cold]
    fn ask(&self, pc: u32, jumps: u16) {
        // Where it is not taken it is asked again.
        let _ = background::ask(Request {
            program: Arc::downgrade(self.program),
            work: Work::Compile {
                is_exact: self.code.is_exact(),
                pc,
            },
            jumps,
        });
    }
}

/// Does what the background thread was asked for.
pub(super) fn work(program: &Program, work: Work) {
    match work {
        Work::Recall => recall(program),
        Work::Compile { is_exact, pc } => {
            let code = program.native();
            // Nobody waits for code of the other kind any more.
            if code.is_exact() != is_exact {
                return;
            }
            let (start, _) = program.text();
            let Some(count) = code.heat().count(start, u64::from(pc)) else {
                return;
            };
            if count.swap(SETTLED, Ordering::Relaxed) != SETTLED {
                compile(program, code, pc);
            }
        }
    }
}

/// Compiles the region at `pc` and what it calls, within the program's budgets. Failure leaves it to tier 0.
fn compile(program: &Program, code: &NativeCode, pc: u32) {
    let heat = code.heat();
    if code.entry(u64::from(pc)) != 0 {
        return;
    }
    if heat.compiled.load(Ordering::Relaxed) > budget(program) {
        count(&COUNTS.over_size);
        return;
    }
    if heat.spent_us.load(Ordering::Relaxed) > budget_us(program) {
        count(&COUNTS.over_time);
        return;
    }
    let options = super::options();
    let start = background::cpu_time();
    let batch = compiler::compile_around(program, program.survey(), code, pc, BATCH_INSTRUCTIONS, &options);
    if let Ok(batch) = batch {
        let charge = batch.instructions().max(LEAST_CHARGE);
        heat.compiled.fetch_add(charge, Ordering::Relaxed);
        if let Some(kept) = program.kept().filter(|_| !code.is_exact()) {
            kept.keep(program, &options, &batch);
        }
        code.publish(batch);
        count(&COUNTS.batches);
    }
    let took = background::cpu_time().saturating_sub(start);
    heat.spent_us
        .fetch_add(took.as_micros() as u64, Ordering::Relaxed);
}

/// Has what was compiled of a program before this process taken back by the background thread. Costs a look at a word once
/// that was asked.
#[inline]
pub(crate) fn ask_for_recall(program: &Arc<Program>) {
    let Some(kept) = program.kept() else {
        return;
    };
    kept.ask_for_recall(|| {
        background::ask(Request {
            program: Arc::downgrade(program),
            work: Work::Recall,
            // Costs little, and saves compiling.
            jumps: u16::MAX,
        })
    });
}

/// Takes back what was compiled of a program before this process, within the program's budget, and waits for that. Costs a
/// look at a word once that is done.
#[inline]
pub(crate) fn recall(program: &Program) {
    let Some(kept) = program.kept() else {
        return;
    };
    let code = program.native();
    if code.is_exact() {
        return;
    }
    kept.recall(program, super::options, |batch| {
        // Who runs the code asks the survey where its jumps may lead.
        program.survey();
        let charge = batch.instructions().max(LEAST_CHARGE);
        code.publish(batch);
        code.heat().compiled.fetch_add(charge, Ordering::Relaxed) + charge <= budget(program)
    });
}

/// Instructions that are compiled of a program at most, but for the last batch.
fn budget(program: &Program) -> usize {
    (program.text_len() as usize / 2 * COPIES).max(LEAST_BUDGET)
}

/// CPU time of the background thread that is spent on a program at most, but for the last batch.
fn budget_us(program: &Program) -> u64 {
    LEAST_US + u64::from(program.text_len()) * US_PER_TEXT_BYTE
}
