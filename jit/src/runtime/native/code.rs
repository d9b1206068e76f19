//! Native code of a program: batches of functions, and the table that says where each starts.
//!
//! Code is only ever added while the program lives, and freed with it, so whoever holds the program may run any of it.
//! The table and the list of batches are read without a lock: by native code itself and by the signal handler.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::ffi::c_void;
use rustix::mm::{Advice, madvise};

use super::Heat;
use super::memory::CodeMemory;
use crate::compiler::{CompileError, Liveness};
use crate::image::Program;
use crate::profile::{self, Guest, Registered};

/// Marks an entry that only the dispatcher may go to: its address is no function's, so that what is dead where functions
/// are called may be alive there. The sign bit, which no address has.
const DISPATCHED: usize = 1 << (usize::BITS - 1);

/// All native code of one program, of one of two kinds: compiled by the program's liveness, or with everything alive.
#[derive(Debug)]
pub(crate) struct NativeCode {
    /// First address and bytes of text.
    start: u32,
    len: u32,
    /// For each halfword of text, the native function that starts there, or 0; with [`DISPATCHED`] where other native
    /// code may not call it.
    entries: Box<[AtomicUsize]>,
    /// Whether everything is taken to be alive everywhere.
    is_exact: bool,
    heat: Heat,
    /// Whether the whole program has been compiled, and what came of it.
    whole: OnceLock<Result<(), CompileError>>,
    /// Newest batch first.
    newest: AtomicPtr<Batch>,
    /// What a profile shows of the program, if there is one.
    guest: Option<Arc<Guest>>,
}

/// How much native code a program has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NativeSize {
    /// Times that something was compiled.
    pub batches: usize,
    /// Native functions.
    pub functions: usize,
    /// Guest instructions that they were made of; one that several hold counts in each.
    pub instructions: usize,
    /// Those of the largest function.
    pub largest: usize,
    /// Bytes of host memory that holds code.
    pub bytes: usize,
}

impl NativeSize {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            batches: self.batches + other.batches,
            functions: self.functions + other.functions,
            instructions: self.instructions + other.instructions,
            largest: self.largest.max(other.largest),
            bytes: self.bytes + other.bytes,
        }
    }
}

/// Functions that were compiled together.
#[derive(Debug)]
pub(crate) struct Batch {
    /// What a debugger knows of it: before the memory, which is freed after it.
    registered: Option<Registered>,
    memory: CodeMemory,
    /// Offsets of instructions that may trap, ascending.
    traps: Box<[u32]>,
    /// Its functions, ascending by guest address.
    functions: Box<[Function]>,
    /// Whether the code would run at any address.
    is_position_independent: bool,
    older: *const Batch,
}

/// One native function.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Function {
    /// Guest address of the region that it was compiled from.
    pub(crate) entry: u32,
    /// First byte, from the start of the batch's memory.
    pub(crate) offset: u32,
    /// Bytes.
    pub(crate) len: u32,
    /// First byte of its entry thunk, from the same start.
    pub(crate) thunk: u32,
    /// Bytes of the thunk; none where the function itself is entered so.
    pub(crate) thunk_len: u32,
    /// Guest instructions that it was made of.
    pub(crate) instructions: u32,
    /// Which guest instruction the code from an offset on, from the function's start, was made for; ascending. Empty
    /// where nobody asked for it.
    pub(crate) places: Box<[Place]>,
    /// Whether execution may be handed to it; otherwise it only leads to tier 0.
    pub(crate) is_real: bool,
    /// Whether native code may call it through the table: whatever is alive at its entry is right wherever calls lead.
    pub(crate) is_callable: bool,
}

/// A place in native code and in guest code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Bytes from the function's start.
    pub(crate) offset: u32,
    /// Guest address.
    pub(crate) pc: u32,
}

// SAFETY: `older` is set before a batch is published and never changes; batches are freed by the owner alone.
unsafe impl Send for Batch {}
// SAFETY: as above.
unsafe impl Sync for Batch {}

impl Batch {
    /// Functions in executable memory. Offsets are from its start.
    pub(crate) fn new(
        memory: CodeMemory,
        mut traps: Vec<u32>,
        mut functions: Vec<Function>,
        is_position_independent: bool,
    ) -> Self {
        traps.sort_unstable();
        functions.sort_unstable_by_key(|function| function.entry);
        Self {
            registered: None,
            memory,
            traps: traps.into(),
            functions: functions.into(),
            is_position_independent,
            older: ptr::null(),
        }
    }

    /// Guest instructions that it was made of.
    pub(crate) fn instructions(&self) -> usize {
        self.functions
            .iter()
            .map(|function| function.instructions as usize)
            .sum()
    }

    /// Bytes of code.
    pub(crate) fn code_bytes(&self) -> usize {
        self.memory.len()
    }

    /// Its functions, ascending by guest address.
    pub(crate) fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// Offsets of instructions that may trap, ascending.
    pub(crate) fn traps(&self) -> &[u32] {
        &self.traps
    }

    /// Whether the code would run at any address, because there is none in it.
    pub(crate) fn is_position_independent(&self) -> bool {
        self.is_position_independent
    }

    /// The code.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.memory.bytes()
    }

    fn may_trap_at(&self, pc: usize) -> bool {
        let offset = pc.wrapping_sub(self.memory.start());
        offset < self.memory.len() && self.traps.binary_search(&(offset as u32)).is_ok()
    }
}

impl NativeCode {
    /// Bytes of memory that a byte of text comes to take when all of it is compiled, and compiled again because a run
    /// strayed: twice 4 for the table of entries, 1 for counts of heat, and 20 for code, which is about seven times its text
    /// and may be compiled up to three times; and 5 for the program's liveness.
    pub(crate) const BYTES_PER_TEXT_BYTE: usize = 55;

    /// No code yet, for text of these bytes.
    pub(crate) fn new(start: u32, len: u32, is_exact: bool, guest: Option<Arc<Guest>>) -> Self {
        Self {
            start,
            len,
            entries: zeroed(len as usize / 2 + 1),
            is_exact,
            heat: Heat::new(len),
            whole: OnceLock::new(),
            newest: AtomicPtr::new(ptr::null_mut()),
            guest,
        }
    }

    /// Whether everything is taken to be alive everywhere.
    pub(crate) fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// What it is compiled by.
    pub(crate) fn liveness<'a>(&self, program: &'a Program) -> &'a Liveness {
        static EVERYTHING: OnceLock<Liveness> = OnceLock::new();
        if self.is_exact {
            EVERYTHING.get_or_init(Liveness::everything)
        } else {
            program.survey().liveness()
        }
    }

    /// How hot its addresses are in tier 0.
    pub(crate) fn heat(&self) -> &Heat {
        &self.heat
    }

    /// What came of compiling the whole program, which `compile` does unless it has been done.
    pub(crate) fn whole(
        &self,
        compile: impl FnOnce() -> Result<(), CompileError>,
    ) -> Result<(), &CompileError> {
        self.whole.get_or_init(compile).as_ref().copied()
    }

    /// The table as native code reads it.
    pub(crate) fn entries(&self) -> *const AtomicUsize {
        self.entries.as_ptr()
    }

    /// The native function at a guest address, or 0.
    #[inline]
    pub(crate) fn entry(&self, pc: u64) -> usize {
        let offset = pc.wrapping_sub(u64::from(self.start));
        if offset < u64::from(self.len) {
            self.entries[(offset / 2) as usize].load(Ordering::Acquire) & !DISPATCHED
        } else {
            0
        }
    }

    /// Adds a batch and makes its functions known. Where an address has a function already, that one stays.
    pub(crate) fn publish(&self, mut batch: Batch) {
        batch.registered = self
            .guest
            .as_ref()
            .and_then(|guest| profile::publish(guest, &batch));
        let batch = Box::into_raw(Box::new(batch));
        let mut newest = self.newest.load(Ordering::Acquire);
        loop {
            // SAFETY: the batch is not published yet, so nobody else has it.
            unsafe { (*batch).older = newest };
            match self
                .newest
                .compare_exchange(newest, batch, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => break,
                Err(other) => newest = other,
            }
        }
        // SAFETY: published batches live as long as `self`.
        let batch = unsafe { &*batch };
        self.populate(&batch.functions);
        for function in batch.functions.iter().filter(|function| function.is_real) {
            let slot = &self.entries[((function.entry - self.start) / 2) as usize];
            let mut thunk = batch.memory.start() + function.thunk as usize;
            if !function.is_callable {
                thunk |= DISPATCHED;
            }
            let _ = slot.compare_exchange(0, thunk, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Has the kernel give memory at once to the part of the table that `functions`, ascending, are about to be written to,
    /// if most of its pages will be: a fault for each takes several times as long.
    fn populate(&self, functions: &[Function]) {
        /// Functions that a call is worth.
        const LEAST: usize = 16;
        let (Some(first), Some(last)) = (functions.first(), functions.last()) else {
            return;
        };
        let page = rustix::param::page_size();
        let slot = |function: &Function| (function.entry - self.start) as usize / 2;
        let start = self.entries[slot(first)].as_ptr() as usize;
        let end = self.entries[slot(last)].as_ptr() as usize;
        let (start, end) = (start.next_multiple_of(page), end / page * page);
        let pages = end.saturating_sub(start) / page;
        if functions.len() < LEAST || pages < LEAST || functions.len() < pages / 2 {
            return;
        }
        // SAFETY: whole pages of the table, which live as long as `self`; what is in them stays as it is. A kernel that does
        // not know the call (Linux 5.14) leaves it to faults.
        let _ = unsafe { madvise(start as *mut c_void, end - start, Advice::LinuxPopulateWrite) };
    }

    /// Batches, newest first.
    fn batches(&self) -> impl Iterator<Item = &Batch> {
        let mut next = self.newest.load(Ordering::Acquire).cast_const();
        std::iter::from_fn(move || {
            // SAFETY: published batches live as long as `self`, and a batch's `older` is null or published before it.
            let batch = unsafe { next.as_ref() }?;
            next = batch.older;
            Some(batch)
        })
    }

    /// Whether an instruction of this code at a host address may trap. Takes no lock, so that a signal handler may ask.
    pub(crate) fn may_trap_at(&self, pc: usize) -> bool {
        self.batches().any(|batch| batch.may_trap_at(pc))
    }

    /// How much there is.
    pub(crate) fn size(&self) -> NativeSize {
        let mut size = NativeSize::default();
        for batch in self.batches() {
            size.batches += 1;
            size.bytes += batch.code_bytes();
            for function in batch.functions.iter().filter(|function| function.is_real) {
                size.functions += 1;
                size.instructions += function.instructions as usize;
                size.largest = size.largest.max(function.instructions as usize);
            }
        }
        size
    }
}

/// So many words of 0, which take memory as they are written to.
fn zeroed(words: usize) -> Box<[AtomicUsize]> {
    let words = Box::<[AtomicUsize]>::new_zeroed_slice(words);
    // SAFETY: an `AtomicUsize` has the representation of a `usize`, for which all bits may be 0.
    unsafe { words.assume_init() }
}

/// So many halfwords of 0, likewise.
pub(super) fn zeroed_halfwords(halfwords: usize) -> Box<[AtomicU16]> {
    let halfwords = Box::<[AtomicU16]>::new_zeroed_slice(halfwords);
    // SAFETY: an `AtomicU16` has the representation of a `u16`, for which all bits may be 0.
    unsafe { halfwords.assume_init() }
}

impl Drop for NativeCode {
    fn drop(&mut self) {
        let mut next = *self.newest.get_mut();
        while !next.is_null() {
            // SAFETY: each batch was made by `Box::into_raw` in `publish`, and nobody can run its code any more.
            let batch = unsafe { Box::from_raw(next) };
            next = batch.older.cast_mut();
        }
    }
}
