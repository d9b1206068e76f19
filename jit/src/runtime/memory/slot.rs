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

/// Slots that exist.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// See the module.
#[derive(Debug)]
pub(in crate::runtime) struct Slot {
    pub(super) reservation: Reservation,
    /// Pages of stack, mapped in a blank slot as well: all programs of a version have the same.
    stack: Range<u32>,
    laid: Option<Arc<Layout>>,
    heap_pages: u32,
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
            heap_pages: 0,
        })
    }

    /// Slots in this process.
    pub(in crate::runtime) fn count() -> usize {
        COUNT.load(Ordering::Relaxed)
    }

    /// The [`Layout::id`] of what is laid out; 0 in a blank one.
    pub(in crate::runtime) fn id(&self) -> u64 {
        self.laid.as_ref().map_or(0, |layout| layout.id)
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
        let heap = self.heap();
        let memory = &mut self.reservation;
        memory.clear_context();
        if !heap.is_empty() {
            memory.discard(heap.clone())?;
            memory.allow(heap, Access::None)?;
            self.heap_pages = 0;
        }
        let by_hand = self.laid.as_ref().map_or(0, |layout| layout.stack_restored);
        let top = self.stack.end - by_hand;
        writable(memory, top, by_hand as usize).fill(0);
        memory.discard(self.stack.start..top)
    }

    /// Makes a slot blank, whatever became of it.
    pub(in crate::runtime) fn blank(&mut self) -> Result<(), InstanceError> {
        self.scrub()?;
        let Some(layout) = self.laid.take() else {
            return Ok(());
        };
        for part in &layout.mapped {
            self.reservation.unmap_file(part.pages.clone())?;
        }
        for pages in &layout.anonymous {
            self.reservation.discard(pages.clone())?;
            self.reservation.allow(pages.clone(), Access::None)?;
        }
        Ok(())
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
