//! Decoding allocates in proportion to what it has read, whatever length prefixes claim.
//!
//! The allocator below counts; it is alone in its process, with one test.
#![allow(clippy::unwrap_used)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::*;
use millrace_types::codec::{decode, encode};
use millrace_types::receipt::Outcome;
use millrace_types::{Block, ChainSpec, SignedTransaction, TransactionReceipt};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Decodes `bytes` as every type with a list and returns the most that any of them had allocated at once.
fn peak(bytes: &[u8]) -> usize {
    let decoders: [fn(&[u8]); 4] = [
        |bytes| drop(decode::<Block>(bytes, usize::MAX)),
        |bytes| drop(decode::<SignedTransaction>(bytes, usize::MAX)),
        |bytes| drop(decode::<TransactionReceipt>(bytes, usize::MAX)),
        |bytes| drop(decode::<ChainSpec>(bytes, usize::MAX)),
    ];
    let measure = |decoder: &fn(&[u8])| {
        let before = LIVE.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        decoder(bytes);
        PEAK.load(Ordering::Relaxed) - before
    };
    decoders.iter().map(measure).max().unwrap()
}

#[test]
fn a_length_prefix_allocates_nothing() {
    let mut block = block();
    block.body.transactions = transactions(500);
    block.header.consensus_data = vec![1; 10_000];
    let mut receipt = transaction_receipt(0, Outcome::Success);
    receipt.logs = vec![log(); 300];
    for sample in [encode(&block), encode(&receipt), encode(&spec()), vec![0xff; 4]] {
        let step = sample.len().div_ceil(400);
        for at in (0..sample.len()).step_by(step) {
            let mut bytes = sample.clone();
            bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff);
            let allowed = 8 * bytes.len() + 1024;
            let peak = peak(&bytes);
            assert!(
                peak <= allowed,
                "{peak} bytes for an input of {}, changed at {at}",
                bytes.len()
            );
        }
    }
}
