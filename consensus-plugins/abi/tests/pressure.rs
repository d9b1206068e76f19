//! The pressure record under one writer and several readers.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use millrace_plugin_abi::{Pressure, PressureValues};

/// Values that are all derived from one number, so that a mixture shows.
fn values(n: u64) -> PressureValues {
    PressureValues {
        credit_blocks: n,
        credit_gas: n * 3,
        max_gas: n * 5,
        max_bytes: n * 7,
        min_interval_ms: n * 11,
        executed_height: n * 13,
        persisted_height: n * 17,
        settled_height: n * 19,
        finalized_height: n * 23,
        oldest_in_flight_ms: n * 29,
        rung: n * 31,
    }
}

#[test]
fn nothing_is_read_before_the_first_values() {
    let record = Pressure::new();
    assert_eq!(record.read(), None);
    record.publish(&values(7));
    assert_eq!(record.read(), Some(values(7)));
}

#[test]
fn a_record_that_is_being_written_is_not_read() {
    let record = Pressure::new();
    record.publish(&values(1));
    record.sequence.fetch_add(1, Ordering::Relaxed);
    assert_eq!(record.read(), None, "odd: the writer is in the middle");
    record.sequence.fetch_add(1, Ordering::Relaxed);
    assert_eq!(record.read(), Some(values(1)));
}

#[test]
fn readers_never_see_a_mixture() {
    const ROUNDS: u64 = 200_000;
    let record = Pressure::new();
    let done = AtomicBool::new(false);
    let readings = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut newest = 0;
                while !done.load(Ordering::Relaxed) {
                    if let Some(seen) = record.read() {
                        assert_eq!(seen, values(seen.credit_blocks));
                        assert!(seen.credit_blocks >= newest, "a reader never goes back");
                        newest = seen.credit_blocks;
                        readings.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for n in 1..=ROUNDS {
            record.publish(&values(n));
        }
        while readings.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(record.read(), Some(values(ROUNDS)));
}
