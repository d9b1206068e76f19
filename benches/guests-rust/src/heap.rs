//! A small allocator over a fixed arena: the bare host gives no memory. Freed blocks are kept by size, in powers of
//! two, and given out again; nothing is ever split or merged.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{self, NonNull};

const SMALLEST: usize = 16;
const SIZES: usize = 24;

#[repr(C, align(4096))]
struct Arena<const BYTES: usize>(UnsafeCell<[u8; BYTES]>);

struct State {
    /// Where the part of the arena begins that was never given out.
    unused: usize,
    /// Freed blocks of `SMALLEST << i` bytes, each the address of the next.
    free: [Option<NonNull<u8>>; SIZES],
}

/// The allocator of a program that takes at most `BYTES`. It should be little more than that: all of it is held, and what
/// a program holds decides what its instructions cost.
pub struct Heap<const BYTES: usize> {
    arena: Arena<BYTES>,
    state: UnsafeCell<State>,
}

impl<const BYTES: usize> Heap<BYTES> {
    /// With nothing given out.
    #[expect(clippy::new_without_default, reason = "a static needs a constant")]
    pub const fn new() -> Self {
        Self {
            arena: Arena(UnsafeCell::new([0; BYTES])),
            state: UnsafeCell::new(State {
                unused: 0,
                free: [None; SIZES],
            }),
        }
    }
}

// SAFETY: a program has one thread.
unsafe impl<const BYTES: usize> Sync for Heap<BYTES> {}

/// Which list a block for `layout` is on. A block of 2^n bytes lies at a multiple of 2^n, up to a page.
fn class(layout: Layout) -> usize {
    let bytes = layout
        .size()
        .max(layout.align())
        .max(SMALLEST)
        .next_power_of_two();
    (bytes / SMALLEST).trailing_zeros() as usize
}

// SAFETY: blocks come from the arena, each once until it is freed; one of the class of `layout` is at least as large
// and as aligned as `layout`, up to the arena's own alignment, which is checked.
unsafe impl<const BYTES: usize> GlobalAlloc for Heap<BYTES> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let class = class(layout);
        if class >= SIZES || layout.align() > align_of::<Arena<BYTES>>() {
            return ptr::null_mut();
        }
        // SAFETY: one thread, and no call of this reaches another.
        let state = unsafe { &mut *self.state.get() };
        if let Some(block) = state.free[class] {
            // SAFETY: a freed block begins with the next one, see `dealloc`.
            state.free[class] = unsafe { block.cast().read() };
            return block.as_ptr();
        }
        let bytes = SMALLEST << class;
        let begin = state
            .unused
            .next_multiple_of(bytes.min(align_of::<Arena<BYTES>>()));
        if begin + bytes > BYTES {
            return ptr::null_mut();
        }
        state.unused = begin + bytes;
        // SAFETY: `begin` lies in the arena.
        unsafe { self.arena.0.get().cast::<u8>().add(begin) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let class = class(layout);
        // SAFETY: as in `alloc`.
        let state = unsafe { &mut *self.state.get() };
        // SAFETY: the block is the caller's to give, at least `SMALLEST` bytes and as aligned.
        unsafe { block.cast::<Option<NonNull<u8>>>().write(state.free[class]) };
        state.free[class] = NonNull::new(block);
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's duty: `size` is a size for this alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if class(wanted) == class(layout) {
            return block;
        }
        // SAFETY: as the trait says of the default method, which this is.
        unsafe {
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}
