//! From tier 0 to native code while a program runs.
//!
//! Tier 0 counts how often it jumps to each address. An address that becomes hot, a function's start, a loop's header
//! or a return site, is handed to a background thread, which compiles the region there and what it calls; tier 0 goes
//! on meanwhile and changes over at the next jump to an address that has native code, in the middle of a loop if need
//! be. An address that stays hot without being served is compiled by whoever runs it.
//!
//! What is compiled, and when, changes no result; so counters may be approximate, and clocks are not looked at.

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock, Weak};

use super::code::NativeCode;
use crate::compiler;
use crate::image::Program;
use crate::interpreter::{Transfer, Watch};

/// Jumps to an address until it is hot.
const HOT: u16 = 500;

/// Jumps to an address until whoever runs it compiles it: by then tier 0 has taken about the time that this costs.
const URGENT: u16 = 20_000;

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

/// Requests that wait; when the queue is full an address waits for the next time that it is met.
const QUEUE: usize = 256;

/// How often each address was jumped to in tier 0.
#[derive(Debug)]
pub(crate) struct Heat {
    counts: Box<[AtomicU16]>,
    /// Guest instructions compiled so far, and what small batches are charged beyond theirs.
    compiled: AtomicUsize,
}

impl Heat {
    pub(crate) fn new(text_len: u32) -> Self {
        Self {
            counts: (0..=text_len / 2).map(|_| AtomicU16::new(0)).collect(),
            compiled: AtomicUsize::new(0),
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
        count.store(now + 1, Ordering::Relaxed);
        (now == HOT || now >= URGENT) && self.heed(count, now, pc as u32)
    }

    #[cold]
    fn heed(&self, count: &AtomicU16, now: u16, pc: u32) -> bool {
        if now < URGENT {
            let request = Request {
                program: Arc::downgrade(self.program),
                is_exact: self.code.is_exact(),
                pc,
            };
            // When the queue is full the count goes on to be urgent.
            let _ = queue().map(|queue| queue.try_send(request));
            return false;
        }
        if count.swap(SETTLED, Ordering::Relaxed) != SETTLED {
            compile(self.program, self.code, pc);
        }
        self.code.entry(u64::from(pc)) != 0
    }
}

/// An address to be compiled, unless the program is gone by then.
struct Request {
    program: Weak<Program>,
    is_exact: bool,
    pc: u32,
}

/// The queue of the background thread, which is started with the first request.
fn queue() -> Option<&'static SyncSender<Request>> {
    static SENDER: OnceLock<Option<SyncSender<Request>>> = OnceLock::new();
    SENDER
        .get_or_init(|| {
            let (sender, receiver) = sync_channel(QUEUE);
            std::thread::Builder::new()
                .name("jit-compiler".into())
                .spawn(move || serve(&receiver))
                .ok()
                .map(|_| sender)
        })
        .as_ref()
}

fn serve(requests: &Receiver<Request>) {
    while let Ok(Request {
        program,
        is_exact,
        pc,
    }) = requests.recv()
    {
        let Some(program) = program.upgrade() else {
            continue;
        };
        let code = program.native();
        // Nobody waits for code of the other kind any more.
        if code.is_exact() != is_exact {
            continue;
        }
        let (start, _) = program.text();
        let Some(count) = code.heat().count(start, u64::from(pc)) else {
            continue;
        };
        if count.swap(SETTLED, Ordering::Relaxed) != SETTLED {
            compile(&program, code, pc);
        }
    }
}

/// Compiles the region at `pc` and what it calls, within the program's budget. Failure leaves it to tier 0.
fn compile(program: &Program, code: &NativeCode, pc: u32) {
    let heat = code.heat();
    if code.entry(u64::from(pc)) != 0 || heat.compiled.load(Ordering::Relaxed) > budget(program) {
        return;
    }
    let options = super::options();
    if let Ok(batch) =
        compiler::compile_around(program, program.survey(), code, pc, BATCH_INSTRUCTIONS, &options)
    {
        let charge = batch.instructions().max(LEAST_CHARGE);
        heat.compiled.fetch_add(charge, Ordering::Relaxed);
        if let Some(kept) = program.kept().filter(|_| !code.is_exact()) {
            kept.keep(program, &options, &batch);
        }
        code.publish(batch);
    }
}

/// Takes back what was compiled of a program before this process, within the program's budget. Costs a look at a word
/// once that is done.
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
        let charge = batch.instructions().max(LEAST_CHARGE);
        code.publish(batch);
        code.heat().compiled.fetch_add(charge, Ordering::Relaxed) + charge <= budget(program)
    });
}

/// Instructions that are compiled of a program at most, but for the last batch.
fn budget(program: &Program) -> usize {
    (program.text_len() as usize / 2 * COPIES).max(LEAST_BUDGET)
}
