//! The address range of one instance, and all that is unsafe about it.
//!
//! ```text
//!   start                                    base
//!   │ table    │ context  │ guard            │ guest addresses 0 to 2^32         │ guard    │
//!   │ 1 MiB    │ 8 KiB    │ 136 KiB          │ 4 GiB                             │ 128 KiB  │
//!   │ rw       │ rw       │ none             │ as the table says                 │ none     │
//! ```
//!
//! The *table* has a byte for each guest page. Its invariant is what everything here rests on: **a page that the table
//! calls readable or writable is so for the host as well.** So an access that was checked against the table cannot
//! fault, and native code, which checks nothing, faults exactly where the table forbids. The page protections change
//! in [`Reservation::allow`] and [`Reservation::map_file`] only, in the order that keeps the invariant.
//!
//! Hosts whose pages are larger than a guest's cannot protect guest pages one by one. There the whole range is readable
//! and writable, the table alone decides, and native code has to check it as the interpreter does.

use std::fs::File;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::slice;

use rustix::mm::{self, Advice, MapFlags, MprotectFlags, ProtFlags};

use super::address_space::AddressSpace;
use super::error::InstanceError;
use crate::machine::PAGE_BYTES;

/// Bytes of the guest's address space.
pub(super) const SPACE: usize = 1 << 32;
/// Pages of the guest's address space, and bytes of the table.
pub(super) const PAGES: usize = SPACE / PAGE_BYTES as usize;
pub(super) const PAGE_SHIFT: u32 = PAGE_BYTES.trailing_zeros();

/// Bit of the table: the page may be read.
pub(crate) const READ: u8 = 1;
/// Bit of the table: the page may be written.
pub(crate) const WRITE: u8 = 2;

/// Bytes of the context area, which native code and the host share.
pub(crate) const CONTEXT_BYTES: usize = 8192;
/// Distance from the context area to guest address 0, upwards.
pub(crate) const CONTEXT_OFFSET: usize = 0x24000;

/// Unmapped bytes on either side of the guest's addresses, at least. Displacements that were folded reach no further
/// than 64 KiB and the width of an access.
const GUARD: usize = 128 << 10;
const BASE: usize = PAGES + CONTEXT_OFFSET;
const BYTES: usize = BASE + SPACE + GUARD;

const _: () = assert!(
    CONTEXT_OFFSET - CONTEXT_BYTES >= GUARD,
    "the guard below guest address 0"
);
const _: () = assert!(GUARD >= (64 << 10) + 16, "rule 4");

/// What a page may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    None,
    Read,
    ReadWrite,
}

impl Access {
    const fn bits(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Read => READ,
            Self::ReadWrite => READ | WRITE,
        }
    }
}

/// Whether `address` lies in the context area, the guest's addresses or the guards of the memory at `base`.
pub(crate) const fn reservation_holds(base: usize, address: usize) -> bool {
    address.wrapping_sub(base.wrapping_sub(CONTEXT_OFFSET)) < CONTEXT_OFFSET + SPACE + GUARD
}

/// Bytes of a page of this host.
pub(super) fn host_page_bytes() -> usize {
    rustix::param::page_size()
}

/// See the module. Ranges of guest addresses are whole guest pages.
#[derive(Debug)]
pub(super) struct Reservation {
    start: NonNull<u8>,
    /// What `madvise` is counted in.
    host_page: usize,
}

// SAFETY: the reservation owns its mapping, and nothing of it belongs to the thread that made it.
unsafe impl Send for Reservation {}
// SAFETY: through a shared reference memory can be read only; raw pointers are for those who know better.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Address space where no guest page is mapped. `host_page` is [`host_page_bytes`], or more in tests.
    pub(super) fn new(host_page: usize) -> Result<Self, InstanceError> {
        let (flags, refused) = (MapFlags::PRIVATE | MapFlags::NORESERVE, "reserve");
        let protection = if host_page == PAGE_BYTES as usize {
            ProtFlags::empty()
        } else {
            ProtFlags::READ | ProtFlags::WRITE
        };
        // SAFETY: a new mapping, at an address that the kernel picks.
        let start = unsafe { mm::mmap_anonymous(ptr::null_mut(), BYTES, protection, flags) }
            .map_err(|errno| InstanceError::of(refused, errno))?;
        let start = NonNull::new(start.cast()).expect("the kernel maps nothing at 0");
        let reservation = Self { start, host_page };
        // Without it the first touch may zero 2 MiB where the guest pays for 4 KiB. Where the kernel has no huge pages
        // the advice fails, and nothing is lost.
        // SAFETY: the range is the new mapping; the advice changes no contents.
        let _ = unsafe { mm::madvise(start.as_ptr().cast(), BYTES, Advice::LinuxNoHugepage) };
        if reservation.host_protected() {
            let open = MprotectFlags::READ | MprotectFlags::WRITE;
            // SAFETY: table and context lie at the start of the mapping, which nobody else uses yet.
            unsafe { mm::mprotect(start.as_ptr().cast(), PAGES + CONTEXT_BYTES, open) }
                .map_err(|errno| InstanceError::of(refused, errno))?;
        }
        Ok(reservation)
    }

    /// Whether the host's page protections follow the table.
    pub(super) fn host_protected(&self) -> bool {
        self.host_page == PAGE_BYTES as usize
    }

    /// Where guest address 0 is.
    pub(super) fn base(&self) -> *mut u8 {
        // SAFETY: inside the mapping.
        unsafe { self.start.as_ptr().add(BASE) }
    }

    /// The first byte of the context area.
    pub(super) fn context(&self) -> *mut u8 {
        // SAFETY: inside the mapping.
        unsafe { self.start.as_ptr().add(BASE - CONTEXT_OFFSET) }
    }

    /// Zeroes the context area.
    pub(super) fn clear_context(&mut self) {
        // SAFETY: the context area is mapped readable and writable for as long as the reservation lives.
        unsafe { self.context().write_bytes(0, CONTEXT_BYTES) };
    }

    /// The table.
    pub(super) fn table(&self) -> &[u8; PAGES] {
        // SAFETY: the table is at the start of the mapping, initialised (to zero, by the kernel), and written only
        // through `table_mut`.
        unsafe { self.start.cast().as_ref() }
    }

    /// To be written only as the invariant allows.
    fn table_mut(&mut self) -> &mut [u8; PAGES] {
        // SAFETY: as for `table`; the borrow is exclusive.
        unsafe { self.start.cast().as_mut() }
    }

    fn set_table(&mut self, pages: &Range<u32>, access: Access) {
        let pages = (pages.start >> PAGE_SHIFT) as usize..(pages.end >> PAGE_SHIFT) as usize;
        self.table_mut()[pages].fill(access.bits());
    }

    fn host(&self, pages: &Range<u32>) -> (*mut u8, usize) {
        debug_assert!((pages.start | pages.end).is_multiple_of(PAGE_BYTES), "{pages:x?}");
        // SAFETY: every guest address is inside the mapping.
        let start = unsafe { self.base().add(pages.start as usize) };
        (start, pages.len())
    }

    /// Makes pages usable as `access` says. Contents stay.
    pub(super) fn allow(&mut self, pages: Range<u32>, access: Access) -> Result<(), InstanceError> {
        if pages.is_empty() {
            // Emulators refuse what Linux allows here.
            return Ok(());
        }
        // Less than what the host grants is always right.
        self.set_table(&pages, Access::None);
        if self.host_protected() {
            let protection = match access {
                Access::None => MprotectFlags::empty(),
                Access::Read => MprotectFlags::READ,
                Access::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
            };
            let (start, len) = self.host(&pages);
            // SAFETY: guest pages of our own mapping; the exclusive borrow says that no slice of them is out.
            unsafe { mm::mprotect(start.cast(), len, protection) }
                .map_err(|errno| InstanceError::of("protect", errno))?;
        }
        self.set_table(&pages, access);
        Ok(())
    }

    /// Puts `file` from `offset` on behind pages, copied when written. Only where the host protects guest pages, and only
    /// files that never change any more.
    pub(super) fn map_file(
        &mut self,
        pages: Range<u32>,
        access: Access,
        file: &File,
        offset: u64,
    ) -> Result<(), InstanceError> {
        assert!(self.host_protected(), "files can be mapped by host pages only");
        self.set_table(&pages, Access::None);
        let (start, len) = self.host(&pages);
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: replaces guest pages of our own mapping; the exclusive borrow says that no slice of them is out.
        unsafe { mm::mmap(start.cast(), len, protection(access), flags, file, offset) }
            .map_err(|errno| InstanceError::of("map", errno))?;
        self.set_table(&pages, access);
        Ok(())
    }

    /// Undoes [`Reservation::map_file`]: zero pages that nobody may use.
    pub(super) fn unmap_file(&mut self, pages: Range<u32>) -> Result<(), InstanceError> {
        self.set_table(&pages, Access::None);
        let (start, len) = self.host(&pages);
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: as in `map_file`.
        unsafe { mm::mmap_anonymous(start.cast(), len, ProtFlags::empty(), flags) }
            .map_err(|errno| InstanceError::of("unmap", errno))?;
        // As in `new`; besides, maps merge only when they are alike in this.
        // SAFETY: as above; the advice changes no contents.
        let _ = unsafe { mm::madvise(start.cast(), len, Advice::LinuxNoHugepage) };
        Ok(())
    }

    /// Brings pages back to what they were before the first write: zero, or the file's. The host gets its memory back.
    /// What the pages may be used for stays.
    pub(super) fn discard(&mut self, pages: Range<u32>) -> Result<(), InstanceError> {
        let (start, len) = self.host(&pages);
        // Host pages that lie inside, whole; with guest pages as large these are all of them.
        let before = (start.addr().next_multiple_of(self.host_page) - start.addr()).min(len);
        let whole = (len - before) & !(self.host_page - 1);
        // SAFETY: the ranges are inside guest pages of our own mapping, and writable for the host where it is not
        // `before == 0 && whole == len`; the exclusive borrow says that no slice of them is out.
        unsafe {
            start.write_bytes(0, before);
            start.add(before + whole).write_bytes(0, len - before - whole);
            if whole > 0 {
                mm::madvise(start.add(before).cast(), whole, Advice::LinuxDontNeed)
                    .map_err(|errno| InstanceError::of("discard", errno))?;
            }
        }
        Ok(())
    }

    /// The bytes at `start..start + len`, `len > 0`, if every page of them has `bit`.
    fn permitted(&self, start: u64, len: u64, bit: u8) -> Option<(usize, usize)> {
        let end = start.checked_add(len).filter(|&end| end <= SPACE as u64)?;
        let pages = (start >> PAGE_SHIFT) as usize..=((end - 1) >> PAGE_SHIFT) as usize;
        let permitted = self.table()[pages].iter().all(|page| page & bit != 0);
        permitted.then_some((start as usize, len as usize))
    }

    /// Whether [`Reservation::writable`] would succeed.
    pub(super) fn is_writable(&self, start: u64, len: u64) -> bool {
        len == 0 || self.permitted(start, len, WRITE).is_some()
    }

    /// The bytes from guest address `start` on, if all of them may be read.
    pub(super) fn readable(&self, start: u64, len: u64) -> Option<&[u8]> {
        if len == 0 {
            return Some(&[]);
        }
        let (start, len) = self.permitted(start, len, READ)?;
        // SAFETY: by the invariant the host can read these pages, and they are initialised; whoever writes them holds an
        // exclusive borrow, native code included.
        Some(unsafe { slice::from_raw_parts(self.base().add(start), len) })
    }

    /// The bytes from guest address `start` on, if all of them may be written.
    pub(super) fn writable(&mut self, start: u64, len: u64) -> Option<&mut [u8]> {
        if len == 0 {
            return Some(&mut []);
        }
        let (start, len) = self.permitted(start, len, WRITE)?;
        // SAFETY: by the invariant the host can write these pages, and pages that can be written can be read; the borrow
        // is exclusive.
        Some(unsafe { slice::from_raw_parts_mut(self.base().add(start), len) })
    }

    /// Memory as the interpreter sees it.
    pub(super) fn address_space(&mut self) -> AddressSpace<'_> {
        // SAFETY: the table's invariant, for as long as the exclusive borrow lasts.
        unsafe { AddressSpace::new(self.base(), self.table()) }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: our own mapping, whole; all that was borrowed from it is gone.
        let unmapped = unsafe { mm::munmap(self.start.as_ptr().cast(), BYTES) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

fn protection(access: Access) -> ProtFlags {
    match access {
        Access::None => ProtFlags::empty(),
        Access::Read => ProtFlags::READ,
        Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
    }
}
