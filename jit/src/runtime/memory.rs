//! Guest memory: a flat 4 GiB reservation and a table of what each page may be used for.
//!
//! The reservation is anonymous and takes host memory only for pages that were touched. Permissions live in a byte
//! per page, itself lazily backed, and are checked in software before every access, so no access of host or guest
//! code raises a signal. Pages that were never mapped are never touched.

use std::ops::Range;

use std::ptr;

use memmap2::{MmapMut, MmapOptions};

use super::outcome::TrapKind;
use crate::image::{Permissions, Program};
use crate::machine::PAGE_BYTES;

/// Bytes of the address space.
const SPACE: u64 = 1 << 32;
const PAGE: u64 = PAGE_BYTES as u64;
const PAGE_SHIFT: u32 = PAGE_BYTES.trailing_zeros();

/// Page may be read.
pub(crate) const READ: u8 = 1;
/// Page may be written.
pub(crate) const WRITE: u8 = 2;

pub(crate) const CONTEXT_BYTES: usize = 8192;
pub(crate) const CONTEXT_OFFSET: usize = 0x24000;
const GUARD: usize = 0x20000;
pub(crate) const HOST_PROTECTED: bool = true;
pub(crate) struct Reservation;
pub(crate) const RESERVATION: Reservation = Reservation;
impl Reservation {
    pub(crate) fn holds(&self, base: usize, address: usize) -> bool {
        address.wrapping_sub(base - CONTEXT_OFFSET) < CONTEXT_OFFSET + SPACE as usize + GUARD
    }
}

/// A guest's 32-bit address space, in 4 KiB pages. Accessors check ranges in the page table, never by a signal.
#[derive(Debug)]
pub struct Memory {
    /// Byte `i` is the byte at guest address `i`.
    bytes: *mut u8,
    /// `READ` and `WRITE` bits of each page; zero where nothing is mapped.
    permissions: MmapMut,
    heap_start: u32,
    heap_pages: u32,
    heap_max_pages: u32,
}

impl Memory {
    /// Fresh memory with the program's segments and stack.
    ///
    /// # Panics
    /// If the host has no address space left: a fault of the host that no guest may observe.
    pub(super) fn new(program: &Program) -> Self {
        let layout = &program.machine().layout;
        let mut memory = Self {
            bytes: space(),
            permissions: reserve(SPACE / PAGE),
            heap_start: program.heap_start(),
            heap_pages: 0,
            heap_max_pages: layout.heap_max_bytes / PAGE_BYTES,
        };
        for segment in program.segments() {
            let start = segment.address as usize;
            memory.map(segment.address, segment.memory_len / PAGE_BYTES, READ | WRITE);
            unsafe { std::slice::from_raw_parts_mut(memory.bytes.add(start), segment.data.len()) }.copy_from_slice(&segment.data);
            let bits = match segment.permissions {
                Permissions::Read | Permissions::ReadExecute => READ,
                Permissions::ReadWrite => READ | WRITE,
            };
            memory.map(segment.address, segment.memory_len / PAGE_BYTES, bits);
        }
        memory.map(
            layout.stack_bottom(),
            layout.stack_bytes / PAGE_BYTES,
            READ | WRITE,
        );
        memory
    }

    fn map(&mut self, address: u32, pages: u32, bits: u8) {
        let first = (address >> PAGE_SHIFT) as usize;
        self.permissions[first..first + pages as usize].fill(bits);
        if pages == 0 { return; }
        let prot = if bits & WRITE != 0 { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        assert_eq!(unsafe { libc::mprotect(self.bytes.add(address as usize).cast(), pages as usize * 4096, prot) }, 0);
    }

    /// Borrows a readable range. `pointer` is zero-extended from 32 bits, `len` is 64-bit.
    ///
    /// # Errors
    /// [`TrapKind::AccessFault`] unless every byte is mapped readable. `len == 0` always succeeds.
    pub fn read(&self, pointer: u64, len: u64) -> Result<&[u8], TrapKind> {
        let range = self.range(pointer, len, READ)?;
        Ok(unsafe { std::slice::from_raw_parts(self.bytes.add(range.start), range.len()) })
    }

    /// Borrows a writable range. `pointer` is zero-extended from 32 bits, `len` is 64-bit.
    ///
    /// # Errors
    /// [`TrapKind::AccessFault`] unless every byte is mapped writable. `len == 0` always succeeds.
    pub fn writable(&mut self, pointer: u64, len: u64) -> Result<&mut [u8], TrapKind> {
        let range = self.range(pointer, len, WRITE)?;
        Ok(unsafe { std::slice::from_raw_parts_mut(self.bytes.add(range.start), range.len()) })
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
        self.range(pointer, len, WRITE).map(drop)
    }

    /// The bytes that `pointer` and `len` name, if every page of them has `bit`.
    fn range(&self, pointer: u64, len: u64, bit: u8) -> Result<Range<usize>, TrapKind> {
        let start = pointer & (SPACE - 1);
        let fault = TrapKind::AccessFault {
            address: start,
            len,
            write: bit == WRITE,
        };
        if len == 0 {
            return Ok(0..0);
        }
        let end = start.checked_add(len).filter(|&end| end <= SPACE).ok_or(fault)?;
        let pages = (start >> PAGE_SHIFT) as usize..=((end - 1) >> PAGE_SHIFT) as usize;
        if self.permissions[pages].iter().all(|page| page & bit != 0) {
            Ok(start as usize..end as usize)
        } else {
            Err(fault)
        }
    }

    /// Pages of heap granted so far.
    #[must_use]
    pub fn heap_pages(&self) -> u32 {
        self.heap_pages
    }

    /// First heap address (the page after the last segment).
    #[must_use]
    pub fn heap_start(&self) -> u64 {
        u64::from(self.heap_start)
    }

    /// Grows the heap by whole zeroed pages and returns the old end, or `None` beyond the version's maximum.
    pub fn grow_heap(&mut self, pages: u32) -> Option<u64> {
        let grown = self
            .heap_pages
            .checked_add(pages)
            .filter(|&grown| grown <= self.heap_max_pages)?;
        let old_end = self.heap_start + self.heap_pages * PAGE_BYTES;
        self.map(old_end, pages, READ | WRITE);
        self.heap_pages = grown;
        Some(u64::from(old_end))
    }

    /// Memory as a tier sees it while it runs guest code.
    pub(crate) fn address_space(&mut self) -> AddressSpace<'_> {
        let bytes = self.bytes;
        let permissions = self
            .permissions
            .as_ref()
            .try_into()
            .expect("the table covers the address space");
        AddressSpace { bytes, permissions, _lives: std::marker::PhantomData }
    }
}

/// Borrowed memory whose lengths are part of the type, so that a 32-bit address needs no check but its page's.
pub(crate) struct AddressSpace<'a> {
    bytes: *mut u8,
    _lives: std::marker::PhantomData<&'a mut ()>,
    permissions: &'a [u8; (SPACE / PAGE) as usize],
}

impl AddressSpace<'_> {
    /// `N` bytes at an effective address, or `None` unless all of them are mapped readable.
    #[inline(always)]
    pub(crate) fn load<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let start = self.check::<N>(address, READ)?;
        Some(unsafe { self.bytes.add(start).cast::<[u8; N]>().read_unaligned() })
    }

    /// Stores `N` bytes at an effective address, or nothing and `None` unless all of them are mapped writable.
    #[inline(always)]
    pub(crate) fn store<const N: usize>(&mut self, address: u64, value: [u8; N]) -> Option<()> {
        let start = self.check::<N>(address, WRITE)?;
        unsafe { self.bytes.add(start).cast::<[u8; N]>().write_unaligned(value) };
        Some(())
    }

    /// The address as an index, if it and the `N` bytes from there, at most a page, all have `bit`.
    #[inline(always)]
    fn check<const N: usize>(&self, address: u64, bit: u8) -> Option<usize> {
        let start = u32::try_from(address).ok()?;
        let has = |address: u32| self.permissions[(address >> PAGE_SHIFT) as usize] & bit != 0;
        let within_page = start & (PAGE_BYTES - 1) <= PAGE_BYTES - N as u32;
        let permitted = has(start) && (within_page || start.checked_add(N as u32 - 1).is_some_and(has));
        permitted.then_some(start as usize)
    }
}

fn reserve(bytes: u64) -> MmapMut {
    MmapOptions::new().len(bytes as usize).no_reserve_swap().map_anon().expect("space")
}

fn space() -> *mut u8 {
    unsafe {
        let start = libc::mmap(ptr::null_mut(), CONTEXT_OFFSET + SPACE as usize + GUARD, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1, 0);
        assert_ne!(start, libc::MAP_FAILED);
        assert_eq!(libc::mprotect(start, CONTEXT_BYTES, libc::PROT_READ | libc::PROT_WRITE), 0);
        start.cast::<u8>().add(CONTEXT_OFFSET)
    }
}

unsafe impl Send for Memory {}
unsafe impl Sync for Memory {}

impl Memory {
    pub(crate) fn base(&self) -> *mut u8 { self.bytes }
    pub(crate) fn permissions(&self) -> *const u8 { self.permissions.as_ptr() }
}

impl Drop for Memory {
    fn drop(&mut self) {
        unsafe { libc::munmap(self.bytes.sub(CONTEXT_OFFSET).cast(), CONTEXT_OFFSET + SPACE as usize + GUARD); }
    }
}
