//! The heap: a bump allocator over `heap_grow`.
//!
//! A frame starts with fresh memory and ends soon, so nothing is freed but the newest block, which also grows in
//! place: a vector that is filled alone never moves. Pages are asked for when they are needed, and each one is
//! paid for.

use core::alloc::Layout;

use crate::host::PAGE_BYTES;

/// The part of the heap that is granted and not yet given out, and the newest block before it.
#[derive(Default)]
pub struct Bump {
    next: usize,
    end: usize,
}

impl Bump {
    /// A heap that owns nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: 0, end: 0 }
    }

    /// The address of a fresh block, or `None` when `grow` grants no more pages. `grow` takes a number of pages
    /// and returns where they start; they stay this heap's.
    pub fn allocate(&mut self, layout: Layout, grow: impl FnOnce(usize) -> Option<usize>) -> Option<usize> {
        let start = self.next.checked_next_multiple_of(layout.align())?;
        let stop = start.checked_add(layout.size())?;
        if stop <= self.end {
            self.next = stop;
            return Some(start);
        }
        let pages = (layout.size().checked_add(layout.align())?).div_ceil(PAGE_BYTES);
        let granted = grow(pages)?;
        if granted != self.end {
            self.next = granted;
        }
        self.end = granted + pages * PAGE_BYTES;
        let start = self.next.next_multiple_of(layout.align());
        self.next = start + layout.size();
        Some(start)
    }

    /// Takes back a block if it is the newest, else does nothing.
    pub fn release(&mut self, address: usize, size: usize) {
        if address + size == self.next {
            self.next = address;
        }
    }

    /// Makes a block `new_size` long where it is, if it is the newest and the heap holds enough pages.
    pub fn resize(&mut self, address: usize, size: usize, new_size: usize) -> bool {
        let newest = address + size == self.next;
        let fits = address.checked_add(new_size).is_some_and(|stop| stop <= self.end);
        if newest && fits {
            self.next = address + new_size;
        }
        newest && fits || new_size <= size
    }
}

#[cfg(target_os = "none")]
mod global {
    use core::alloc::{GlobalAlloc, Layout};
    use core::cell::UnsafeCell;
    use core::ptr;

    use super::Bump;
    use crate::guest::heap_grow;

    struct Heap(UnsafeCell<Bump>);

    // SAFETY: a contract runs on one hart and takes no interrupts; nothing else ever looks at the heap.
    unsafe impl Sync for Heap {}

    impl Heap {
        /// # Safety
        /// The reference is dropped before the next one is made.
        #[expect(clippy::mut_from_ref, reason = "one hart, and callers drop it at once")]
        unsafe fn bump(&self) -> &mut Bump {
            // SAFETY: by the caller's word this is the only reference.
            unsafe { &mut *self.0.get() }
        }
    }

    // SAFETY: blocks are disjoint parts of pages that the host granted to this allocator, aligned as asked; a block
    // is given out again only after it was released as the newest.
    unsafe impl GlobalAlloc for Heap {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: dropped at the end of the statement.
            let address = unsafe { self.bump() }.allocate(layout, heap_grow);
            address.map_or(ptr::null_mut(), ptr::with_exposed_provenance_mut)
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: dropped at the end of the statement.
            unsafe { self.bump() }.release(block.expose_provenance(), layout.size());
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
            // SAFETY: dropped at the end of the statement.
            if unsafe { self.bump() }.resize(block.expose_provenance(), layout.size(), new_size) {
                return block;
            }
            // SAFETY: the caller of `realloc` vouches that `new_size` fits a layout of this alignment.
            let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(new_size, layout.align())) };
            if !moved.is_null() {
                // SAFETY: both blocks are live, disjoint (the old one was not released), and `new_size` is larger.
                unsafe { ptr::copy_nonoverlapping(block, moved, layout.size()) };
            }
            moved
        }
    }

    #[global_allocator]
    static HEAP: Heap = Heap(UnsafeCell::new(Bump::new()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("the test's layouts are valid")
    }

    /// Grants pages one after the other from `next` on.
    fn granting(next: &mut usize) -> impl FnMut(usize) -> Option<usize> {
        |pages| {
            let start = *next;
            *next += pages * PAGE_BYTES;
            Some(start)
        }
    }

    #[test]
    fn blocks_are_aligned_disjoint_and_inside_granted_pages() {
        let (mut heap, mut end) = (Bump::new(), 0x5_0000);
        let mut previous_stop = 0x5_0000;
        for (size, align) in [
            (1, 1),
            (8, 8),
            (3, 2),
            (4096, 16),
            (5000, 4096),
            (1, 1),
            (0, 64),
            (12_000, 8),
        ] {
            let start = heap
                .allocate(layout(size, align), granting(&mut end))
                .expect("granted");
            assert_eq!(start % align, 0);
            assert!(
                start >= previous_stop && start + size <= end,
                "{start:#x}+{size} in ..{end:#x}"
            );
            previous_stop = start + size;
        }
    }

    #[test]
    fn pages_that_someone_else_asked_for_are_not_given_out() {
        let (mut heap, mut end) = (Bump::new(), 0x5_0000);
        heap.allocate(layout(4000, 1), granting(&mut end))
            .expect("granted");
        let foreign = end;
        end += PAGE_BYTES;
        let start = heap
            .allocate(layout(4000, 1), granting(&mut end))
            .expect("granted");
        assert!(start >= foreign + PAGE_BYTES);
    }

    #[test]
    fn the_newest_block_grows_in_place_and_is_taken_back_and_others_are_not() {
        let (mut heap, mut end) = (Bump::new(), 0x5_0000);
        let first = heap.allocate(layout(16, 8), granting(&mut end)).expect("granted");
        let second = heap.allocate(layout(16, 8), granting(&mut end)).expect("granted");
        assert!(!heap.resize(first, 16, 32), "it would overlap the second");
        assert!(heap.resize(second, 16, 64));
        assert!(!heap.resize(second, 64, 2 * PAGE_BYTES), "no pages for it");
        heap.release(first, 16);
        heap.release(second, 64);
        assert_eq!(heap.allocate(layout(8, 8), granting(&mut end)), Some(second));
    }

    #[test]
    fn a_refusal_and_an_absurd_size_are_no_block_and_leave_the_heap_as_it_was() {
        let (mut heap, mut end) = (Bump::new(), 0x5_0000);
        let first = heap.allocate(layout(16, 8), granting(&mut end)).expect("granted");
        assert_eq!(heap.allocate(layout(1 << 20, 8), |_| None), None);
        assert_eq!(heap.allocate(layout(isize::MAX as usize - 7, 8), |_| None), None);
        assert_eq!(heap.allocate(layout(16, 8), granting(&mut end)), Some(first + 16));
    }
}
