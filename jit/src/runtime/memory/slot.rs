//! A reservation and what is laid out in it: used by one instance after the other.
//!
//! ```text
//!            lay                        given to an instance
//!   blank ─────────▶ laid, untouched ────────────────────────▶ in use
//!     ▲                │      ▲                                  │
//!     └────────────────┘      └──────────────────────────────────┘
//!            blank                            reset
//! ```
//!
//! Untouched means: nobody can tell it from a new one. What was written is not tracked, so everything that could have
//! been is brought back, the first pages of image and stack by hand, the rest by having the kernel drop the pages.
//! A slot whose system calls fail is dropped, never used again.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::error::InstanceError;
use super::reservation::{Access, Reservation, host_page_bytes};
use super::template::Layout;
use crate::image::Program;
use crate::machine::PAGE_BYTES;

/// Bytes of the stack's top that are zeroed by hand between two uses. For as little that costs less than having the kernel
/// drop the pages and fault them in again: one page that comes back took as long as zeroing 100 KiB and more.
const RESTORED_STACK_BYTES: u32 = 32 << 10;

/// The same for the heap's start, as far as it was granted.
const RESTORED_HEAP_BYTES: u32 = 32 << 10;

/// Slots that exist.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// See the module.
#[derive(Debug)]
pub(in crate::runtime) struct Slot {
    pub(super) reservation: Reservation,
    /// Pages of stack, mapped in a blank slot as well: all programs of a version have the same.
    stack: Range<u32>,
    laid: Option<Arc<Layout>>,
    /// The layout's, or 0: here because the pool looks at many.
    id: u64,
    heap_pages: u32,
    /// Bytes from the heap's start whose pages are kept from one use to the next, zero and closed.
    heap_kept: u32,
}

impl Slot {
    /// A blank one.
    pub(in crate::runtime) fn new() -> Result<Self, InstanceError> {
        Self::on(host_page_bytes())
    }

    /// A blank one on a host with pages of that size.
    pub(super) fn on(host_page: usize) -> Result<Self, InstanceError> {
        let reservation = Reservation::new(host_page)?;
        COUNT.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            reservation,
            stack: 0..0,
            laid: None,
            id: 0,
            heap_pages: 0,
            heap_kept: 0,
        })
    }

    /// Slots in this process.
    pub(in crate::runtime) fn count() -> usize {
        COUNT.load(Ordering::Relaxed)
    }

    /// The [`Layout::id`] of what is laid out; 0 in a blank one.
    pub(in crate::runtime) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn heap_pages(&self) -> u32 {
        self.heap_pages
    }

    /// Lays out a program in a blank slot.
    pub(in crate::runtime) fn lay(
        &mut self,
        program: &Program,
        layout: &Arc<Layout>,
    ) -> Result<(), InstanceError> {
        assert!(self.laid.is_none(), "only a blank slot is laid out");
        let memory = &mut self.reservation;
        if self.stack != layout.stack {
            memory.allow(self.stack.clone(), Access::None)?;
            memory.allow(layout.stack.clone(), Access::ReadWrite)?;
            self.stack = layout.stack.clone();
        }
        for pages in &layout.anonymous {
            memory.allow(pages.clone(), Access::ReadWrite)?;
        }
        for &index in &layout.copied {
            let segment = &program.segments()[index];
            writable(memory, segment.address, segment.data.len()).copy_from_slice(&segment.data);
        }
        for pages in &layout.read_only {
            memory.allow(pages.clone(), Access::Read)?;
        }
        for part in &layout.mapped {
            let file = layout.file.as_ref().expect("what is mapped has a file").file();
            memory.map_file(part.pages.clone(), part.access, file, part.offset)?;
        }
        self.laid = Some(Arc::clone(layout));
        self.id = layout.id;
        Ok(())
    }

    /// Grants `pages` more of heap, zeroed.
    pub(super) fn grow_heap(&mut self, pages: u32) -> Result<(), InstanceError> {
        if pages == 0 {
            return Ok(());
        }
        let end = self.heap().end;
        self.reservation
            .allow(end..end + pages * PAGE_BYTES, Access::ReadWrite)?;
        self.heap_pages += pages;
        Ok(())
    }

    fn heap(&self) -> Range<u32> {
        let start = self.laid.as_ref().map_or(0, |layout| layout.heap_start);
        start..start + self.heap_pages * PAGE_BYTES
    }

    /// Brings everything back to how [`Slot::lay`] left it. `program` is the one that is laid out.
    pub(in crate::runtime) fn reset(&mut self, program: &Program) -> Result<(), InstanceError> {
        self.scrub()?;
        let layout = self.laid.as_ref().expect("only what is laid out is reset");
        let memory = &mut self.reservation;
        for pages in &layout.dropped {
            memory.discard(pages.clone())?;
        }
        for &(index, len) in &layout.restored {
            let segment = &program.segments()[index];
            let bytes = writable(memory, segment.address, len as usize);
            let filled = segment.data.len().min(bytes.len());
            bytes[..filled].copy_from_slice(&segment.data[..filled]);
            bytes[filled..].fill(0);
        }
        Ok(())
    }

    /// Takes back what does not depend on the program's bytes: context, stack, heap.
    fn scrub(&mut self) -> Result<(), InstanceError> {
        let (heap, stack) = (self.heap(), self.stack.clone());
        self.reservation.clear_context();
        let top = stack.end - RESTORED_STACK_BYTES.min(stack.len() as u32);
        zero(&mut self.reservation, top..stack.end);
        self.reservation.discard(stack.start..top)?;
        if !heap.is_empty() {
            let by_hand = heap.start + RESTORED_HEAP_BYTES.min(heap.len() as u32);
            zero(&mut self.reservation, heap.start..by_hand);
            self.reservation.discard(by_hand..heap.end)?;
            self.heap_kept = self.heap_kept.max(by_hand - heap.start);
            self.heap_pages = 0;
            self.reservation.allow(heap, Access::None)?;
        }
        Ok(())
    }

    /// Makes a slot blank, whatever its last user did.
    pub(in crate::runtime) fn scrub_and_blank(&mut self) -> Result<(), InstanceError> {
        self.scrub()?;
        self.blank()
    }

    /// Makes an untouched slot blank.
    pub(in crate::runtime) fn blank(&mut self) -> Result<(), InstanceError> {
        let Some(layout) = self.laid.take() else {
            return Ok(());
        };
        self.id = 0;
        for part in &layout.mapped {
            self.reservation.unmap_file(part.pages.clone())?;
        }
        for pages in &layout.anonymous {
            self.reservation.discard(pages.clone())?;
            self.reservation.allow(pages.clone(), Access::None)?;
        }
        let kept = layout.heap_start..layout.heap_start + self.heap_kept;
        self.heap_kept = 0;
        self.reservation.discard(kept)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Pages that the layout made writable.
fn writable(memory: &mut Reservation, address: u32, len: usize) -> &mut [u8] {
    memory
        .writable(u64::from(address), len as u64)
        .expect("laid out as writable")
}

fn zero(memory: &mut Reservation, pages: Range<u32>) {
    writable(memory, pages.start, pages.len()).fill(0);
}
