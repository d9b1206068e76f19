//! Guest memory: a 32-bit address space, in whose place there is a guarded range of host addresses.
//!
//! Reading order: [`reservation`] (the range, the table of permissions, everything unsafe), [`template`] (what a
//! program's instances start from), [`slot`] (laying it out, bringing it back), [`address_space`] (what the interpreter
//! sees), [`error`] (what hosts run out of). The slots that wait for their next use are in [`super::pool`].
//!
//! ```text
//!  Program ─▶ Template ──lay──▶ Slot ◀──take, give back──▶ Pool
//!             segments          │ Reservation: table, context, guest pages
//!             or sealed file    ▼
//!                             Memory ─▶ hosts: read, writable      checked in the table
//!                               ├─────▶ interpreter: AddressSpace  checked in the table
//!                               └─────▶ native code: base          checked by the host's pages, which follow the table
//! ```

mod address_space;
mod error;
mod reservation;
mod slot;
mod template;
#[cfg(test)]
mod tests;

pub(crate) use address_space::AddressSpace;
pub use error::InstanceError;
pub(crate) use reservation::{CONTEXT_BYTES, CONTEXT_OFFSET, READ, WRITE, reservation_holds};
pub(super) use slot::Slot;
pub(crate) use template::Template;

use super::outcome::TrapKind;
use super::pool;
use crate::image::Program;
use crate::machine::{Machine, PAGE_BYTES};
use reservation::SPACE;

/// A guest's 32-bit address space, in 4 KiB pages. Accessors check ranges in the page table, never by a signal.
#[derive(Debug)]
pub struct Memory {
    slot: Slot,
    machine: &'static Machine,
    /// Pages of segments and stack.
    laid_pages: u32,
    /// [`Machine::memory_shift`] of all that is held now.
    rate_shift: u32,
    heap_start: u32,
    recording: Option<Recorded>,
}

/// What host calls may have changed in memory. Replaying a run repeats it, in this order: the heap grows, then the bytes
/// are written. Bytes of ranges that overlap are those that were there when the record was taken.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Recorded {
    /// Pages of heap granted.
    pub(crate) heap_pages: u32,
    /// First address and bytes of each range that a host could write, none of them empty.
    pub(crate) written: Vec<(u32, u32)>,
}

impl Memory {
    /// Memory with the program's segments and stack, everything else unmapped.
    pub(super) fn try_new(program: &Program) -> Result<Self, InstanceError> {
        let machine = program.machine();
        Ok(Self {
            slot: pool::POOL.take(program)?,
            machine,
            laid_pages: program.pages(),
            rate_shift: machine.memory_shift(program.pages()),
            heap_start: program.heap_start(),
            recording: None,
        })
    }

    /// Gives the memory back after the last use. `program` is the one that it was made for.
    pub(super) fn give_back(self, program: &Program) {
        pool::POOL.give_back(self.slot, program);
    }

    /// Borrows a readable range. `pointer` is zero-extended from 32 bits, `len` is 64-bit.
    ///
    /// # Errors
    /// [`TrapKind::AccessFault`] unless every byte is mapped readable. `len == 0` always succeeds.
    pub fn read(&self, pointer: u64, len: u64) -> Result<&[u8], TrapKind> {
        let start = address(pointer);
        let bytes = self.slot.reservation.readable(start, len);
        bytes.ok_or(fault(start, len, false))
    }

    /// Borrows a writable range. `pointer` is zero-extended from 32 bits, `len` is 64-bit.
    ///
    /// # Errors
    /// [`TrapKind::AccessFault`] unless every byte is mapped writable. `len == 0` always succeeds.
    pub fn writable(&mut self, pointer: u64, len: u64) -> Result<&mut [u8], TrapKind> {
        let start = address(pointer);
        let bytes = self.slot.reservation.writable(start, len);
        let bytes = bytes.ok_or(fault(start, len, true))?;
        if let Some(recorded) = &mut self.recording
            && !bytes.is_empty()
        {
            recorded.written.push((start as u32, len as u32));
        }
        Ok(bytes)
    }

    /// Writes `bytes` at `pointer`, which is zero-extended from 32 bits.
    ///
    /// # Errors
    /// [`TrapKind::AccessFault`] unless every byte is mapped writable; nothing is written then.
    pub fn write(&mut self, pointer: u64, bytes: &[u8]) -> Result<(), TrapKind> {
        self.writable(pointer, bytes.len() as u64)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Checks that a range is writable, before paying for what is to be written there.
    ///
    /// # Errors
    /// [`TrapKind::AccessFault`] unless every byte is mapped writable.
    pub fn check_writable(&self, pointer: u64, len: u64) -> Result<(), TrapKind> {
        let start = address(pointer);
        if self.slot.reservation.is_writable(start, len) {
            Ok(())
        } else {
            Err(fault(start, len, true))
        }
    }

    /// Pages of heap granted so far.
    #[must_use]
    pub fn heap_pages(&self) -> u32 {
        self.slot.heap_pages()
    }

    /// By what power of two weights are multiplied now ([`Machine::memory_shift`]).
    #[inline]
    pub(crate) fn rate_shift(&self) -> u32 {
        self.rate_shift
    }

    /// First heap address (the page after the last segment).
    #[must_use]
    pub fn heap_start(&self) -> u64 {
        u64::from(self.heap_start)
    }

    /// Grows the heap by whole zeroed pages and returns the old end, or `None` beyond the version's maximum.
    ///
    /// # Panics
    /// If the host cannot map the pages ([`InstanceError`]): a fault of the host that no guest may observe.
    pub fn grow_heap(&mut self, pages: u32) -> Option<u64> {
        let granted = self.heap_pages();
        let most = self.machine.layout.heap_max_bytes / PAGE_BYTES;
        let grown = granted.checked_add(pages).filter(|&grown| grown <= most)?;
        if let Err(error) = self.slot.grow_heap(pages) {
            panic!("{error}");
        }
        if let Some(recorded) = &mut self.recording {
            recorded.heap_pages += pages;
        }
        self.rate_shift = self.machine.memory_shift(self.laid_pages + grown);
        Some(self.heap_start() + u64::from(granted) * u64::from(PAGE_BYTES))
    }

    /// From now on every range that [`Memory::writable`] hands out and all growth of the heap are noted. Until then this
    /// costs them one branch.
    pub(crate) fn start_recording(&mut self) {
        self.recording.get_or_insert_default();
    }

    /// Whether anything was noted since the last time that it was taken.
    #[inline]
    pub(crate) fn has_recorded(&self) -> bool {
        self.recording
            .as_ref()
            .is_some_and(|noted| noted.heap_pages > 0 || !noted.written.is_empty())
    }

    /// Notes nothing any more.
    pub(crate) fn stop_recording(&mut self) {
        self.recording = None;
    }

    /// Moves what was noted since the last time into `recorded`, whose allocation is used for what comes.
    ///
    /// # Panics
    /// Unless [`Memory::start_recording`] was called.
    pub(crate) fn take_recorded(&mut self, recorded: &mut Recorded) {
        recorded.heap_pages = 0;
        recorded.written.clear();
        let noted = self.recording.as_mut().expect("recording was started");
        std::mem::swap(noted, recorded);
    }

    /// Memory as a tier in software sees it while it runs guest code.
    pub(crate) fn address_space(&mut self) -> AddressSpace<'_> {
        self.slot.reservation.address_space()
    }

    /// The host's address of guest address 0, for native code.
    pub(crate) fn base(&self) -> *mut u8 {
        self.slot.reservation.base()
    }

    /// The context area, [`CONTEXT_BYTES`] from [`CONTEXT_OFFSET`] below the base: zero in a new instance.
    pub(crate) fn context(&self) -> *mut u8 {
        self.slot.reservation.context()
    }

    /// The page table, a byte for each guest page with [`READ`] and [`WRITE`] bits, for native code that checks it.
    pub(crate) fn permissions(&self) -> *const u8 {
        self.slot.reservation.table().as_ptr()
    }

    /// Whether the host's page protections follow the page table, so that native code needs no checks. Decided by the
    /// host's page size, the same for all memories of a process.
    #[must_use]
    pub fn host_protected() -> bool {
        reservation::host_page_bytes() == PAGE_BYTES as usize
    }
}

/// Pointers have 32 bits.
fn address(pointer: u64) -> u64 {
    pointer & (SPACE as u64 - 1)
}

fn fault(address: u64, len: u64, write: bool) -> TrapKind {
    TrapKind::AccessFault { address, len, write }
}
