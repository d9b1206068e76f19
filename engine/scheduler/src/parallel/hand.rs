//! What a worker keeps from one transaction to the next: numbers of places that it was given and has not used.
//!
//! A batch has as many hands as workers. A worker takes one for the time of an attempt, the same each time unless somebody
//! else has it; who finds none goes without, which costs some numbers and is right all the same.

use super::memory::Lanes;
use crate::sync::{AtomicBool, Ordering, UnsafeCell};

/// A line of its own, and the one beside it that processors fetch too.
#[repr(align(128))]
struct Place {
    is_taken: AtomicBool,
    lanes: UnsafeCell<Lanes>,
}

// SAFETY: the cell is entered by whoever moved `is_taken` from false to true, until it is stored false again.
unsafe impl Sync for Place {}

pub(super) struct Hands(Box<[Place]>);

/// A hand, by value.
#[derive(Debug, Default)]
pub(super) struct Hand {
    pub(super) lanes: Lanes,
    /// Where it is put back.
    place: Option<usize>,
}

impl Hands {
    pub(super) fn new(workers: usize) -> Self {
        let place = |_| Place {
            is_taken: AtomicBool::new(false),
            lanes: UnsafeCell::new(Lanes::default()),
        };
        // Models go without: which numbers somebody is given decides nothing, and each flag multiplies their schedules.
        let count = if cfg!(loom) { 0 } else { workers.max(1) };
        Self((0..count).map(place).collect())
    }

    /// A hand that nobody has; an empty one if there is none.
    pub(super) fn take(&self) -> Hand {
        let first = first();
        let free = (0..self.0.len())
            .map(|distance| (first + distance) % self.0.len())
            .find(|at| !self.0[*at].is_taken.swap(true, Ordering::Acquire));
        free.map_or_else(Hand::default, |at| Hand {
            // SAFETY: this moved the flag.
            lanes: self.0[at].lanes.with(|lanes| unsafe { *lanes }),
            place: Some(at),
        })
    }

    pub(super) fn put_back(&self, hand: Hand) {
        let Some(at) = hand.place else { return };
        // SAFETY: who has the hand moved the flag.
        self.0[at].lanes.with_mut(|lanes| unsafe { *lanes = hand.lanes });
        self.0[at].is_taken.store(false, Ordering::Release);
    }
}

/// The hand that the calling thread asks for first. Explorations have to run the same way each time.
#[cfg(any(loom, shuttle))]
fn first() -> usize {
    0
}

#[cfg(not(any(loom, shuttle)))]
fn first() -> usize {
    use std::cell::Cell;
    use std::sync::atomic::AtomicUsize;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static FIRST: Cell<Option<usize>> = const { Cell::new(None) };
    }
    FIRST.get().unwrap_or_else(|| {
        let first = NEXT.fetch_add(1, Ordering::Relaxed);
        FIRST.set(Some(first));
        first
    })
}
