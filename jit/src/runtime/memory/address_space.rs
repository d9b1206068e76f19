//! Guest memory as a tier in software sees it: one check of the table, then a plain access.

use std::marker::PhantomData;

use super::reservation::{PAGE_SHIFT, PAGES, READ, WRITE};
use crate::machine::PAGE_BYTES;

/// Memory borrowed for running guest code. The table's length is part of its type, so a 32-bit address needs no check
/// but its page's.
pub(crate) struct AddressSpace<'a> {
    base: *mut u8,
    table: &'a [u8; PAGES],
    exclusive: PhantomData<&'a mut [u8]>,
}

impl<'a> AddressSpace<'a> {
    /// # Safety
    /// For as long as `'a`, pages from `base` on that `table` calls readable or writable are mapped that way, and nobody
    /// else accesses them.
    pub(super) unsafe fn new(base: *mut u8, table: &'a [u8; PAGES]) -> Self {
        Self {
            base,
            table,
            exclusive: PhantomData,
        }
    }

    /// The same memory for a while, by value, which may be in registers.
    #[inline(always)]
    pub(crate) fn reborrow(&mut self) -> AddressSpace<'_> {
        AddressSpace {
            base: self.base,
            table: self.table,
            exclusive: PhantomData,
        }
    }

    /// `N` bytes at an effective address, or `None` unless all of them are mapped readable.
    #[inline(always)]
    pub(crate) fn load<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let start = self.check::<N>(address, READ)?;
        // SAFETY: the table calls the page of every byte readable.
        Some(unsafe { self.base.add(start).cast::<[u8; N]>().read_unaligned() })
    }

    /// Stores `N` bytes at an effective address, or nothing and `None` unless all of them are mapped writable.
    #[inline(always)]
    pub(crate) fn store<const N: usize>(&mut self, address: u64, value: [u8; N]) -> Option<()> {
        let start = self.check::<N>(address, WRITE)?;
        // SAFETY: the table calls the page of every byte writable.
        unsafe { self.base.add(start).cast::<[u8; N]>().write_unaligned(value) };
        Some(())
    }

    /// The address as an index, if it and the `N` bytes from there, at most a page, all have `bit`.
    #[inline(always)]
    fn check<const N: usize>(&self, address: u64, bit: u8) -> Option<usize> {
        let start = u32::try_from(address).ok()?;
        let has = |address: u32| self.table[(address >> PAGE_SHIFT) as usize] & bit != 0;
        let within_page = start & (PAGE_BYTES - 1) <= PAGE_BYTES - N as u32;
        let permitted = has(start) && (within_page || start.checked_add(N as u32 - 1).is_some_and(has));
        permitted.then_some(start as usize)
    }
}
