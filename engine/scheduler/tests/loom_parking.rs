//! Models of sleeping and waking: loom reports a lost wake-up as a deadlock.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use millrace_scheduler::{Lot, Sleeper};

fn take(work: &AtomicUsize) -> Option<()> {
    work.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1))
        .ok()
        .map(|_| ())
}

#[test]
fn work_made_while_falling_asleep_is_found() {
    loom::model(|| {
        let (lot, work) = (Arc::new(Lot::new()), Arc::new(AtomicUsize::new(0)));
        let worker = {
            let (lot, work) = (Arc::clone(&lot), Arc::clone(&work));
            thread::spawn(move || Sleeper::register(&lot).sleep_until(|| take(&work)))
        };
        work.fetch_add(1, Ordering::Release);
        lot.wake_one();
        worker.join().unwrap();
    });
}

#[test]
fn two_pieces_of_work_wake_two_sleepers() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (lot, work) = (Arc::new(Lot::new()), Arc::new(AtomicUsize::new(0)));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let (lot, work) = (Arc::clone(&lot), Arc::clone(&work));
                thread::spawn(move || Sleeper::register(&lot).sleep_until(|| take(&work)))
            })
            .collect();
        for _ in 0..2 {
            work.fetch_add(1, Ordering::Release);
            lot.wake_one();
        }
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn waking_all_wakes_all() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (lot, open) = (Arc::new(Lot::new()), Arc::new(AtomicUsize::new(0)));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let (lot, open) = (Arc::clone(&lot), Arc::clone(&open));
                thread::spawn(move || {
                    Sleeper::register(&lot).sleep_until(|| (open.load(Ordering::Acquire) == 1).then_some(()))
                })
            })
            .collect();
        open.store(1, Ordering::Release);
        lot.wake_all();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}
