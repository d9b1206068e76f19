//! What the table of `parallel`'s documentation says about memory: a batch that needs no more than the one before it
//! allocates nothing for any transaction.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use millrace_scheduler::Crew;
use millrace_scheduler::parallel::{Batch, Key, Next, Value, Write};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Name(u64);

impl Key for Name {
    fn spread(&self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[derive(Clone, PartialEq, Eq)]
struct Number(u64);

impl Value for Number {
    type Delta = u64;
    type Predicate = u64;

    fn with(&self, delta: &u64) -> Self {
        Self(self.0 + delta)
    }

    fn holds(&self, predicate: &u64) -> bool {
        self.0 >= *predicate
    }
}

const TRANSACTIONS: usize = 1_000;
/// What the vectors of places allocate where they expect to grow, and free: one each time that they have doubled.
const MOST: usize = 3 * 8;

/// Each reads one key of its own and one that it shares, writes its own and adds to one that all share.
fn run(batch: &Batch<Name, Number, u64>) {
    let load = |_: &Name| Ok::<_, ()>(Number(1));
    while let Next::Execute(ticket) = batch.next() {
        let place = u64::from(ticket.place());
        let own = ticket.read(&Name(1_000 + place), load).map_or(0, |value| value.0);
        let shared = ticket.read(&Name(place % 7), load).map_or(0, |value| value.0);
        let writes = [
            (Name(1_000 + place), Write::Whole(Number(own + shared))),
            (Name(999), Write::Delta(1)),
        ];
        for (name, write) in writes {
            assert!(ticket.expect(&name, 0, load).is_ok());
            assert!(ticket.write(&name, write, load).is_ok());
        }
        ticket.finish(place);
    }
    assert_eq!(batch.summary().committed as usize, TRANSACTIONS);
}

#[test]
fn a_batch_like_the_one_before_allocates_nothing_for_any_transaction() {
    let crew = Crew::new();
    let mut batch = Batch::new(TRANSACTIONS, 2, crew.clone());
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    run(&batch);
    let first = ALLOCATIONS.load(Ordering::Relaxed) - before;
    for _ in 0..3 {
        batch = batch.renew(TRANSACTIONS, 2, crew.clone());
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        run(&batch);
        let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
        println!("{allocations} allocations in {TRANSACTIONS} transactions, {first} in the first batch");
        assert!(allocations <= MOST, "{allocations} allocations");
    }
}
