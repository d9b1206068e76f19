//! Loom models: every interleaving, and every reordering that the memory model allows, of small runs.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p millrace-scheduler --release --target-dir target/loom`

use std::num::NonZeroUsize;

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use crate::recent::Id;
use crate::{Claim, Recent, Ring, Stage, Worker, ring};

fn slots(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("not zero")
}

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// As the pipeline's workers do: claims, and sleeps while there is nothing to claim.
fn wait_for_work(ring: &Ring<AtomicU64>, worker: &Worker, stages: &[Stage]) -> Option<Claim<AtomicU64>> {
    loop {
        if let Some(claim) = stages.iter().rev().find_map(|stage| ring.claim(*stage)) {
            return Some(claim);
        }
        if worker.is_closed() {
            return None;
        }
        worker.park_unless(|| ring.has_work(stages));
    }
}

/// The ring and the status word: what a stage reads is what the stage before wrote, in order, each task once.
#[test]
fn stages_see_every_task_once_in_order_and_whole() {
    model(|| {
        let (mut publisher, ring) = ring::<AtomicU64>(slots(1));
        let stages = [Stage::Prepare, Stage::Execute];
        let worker = {
            let ring = ring.clone();
            thread::spawn(move || {
                let mut seen = 0;
                while seen < 2 {
                    match stages.iter().rev().find_map(|stage| ring.claim(*stage)) {
                        Some(claim) => {
                            let before = claim.load(Ordering::Relaxed);
                            assert_eq!(before, 10 * claim.sequence() + (claim.stage() as u64));
                            claim.store(before + 1, Ordering::Relaxed);
                            claim.complete();
                            seen += 1;
                        }
                        None => thread::yield_now(),
                    }
                }
            })
        };
        publisher
            .publish(AtomicU64::new(0))
            .expect("an empty ring has room");
        worker.join().expect("no assertion failed");
        for stage in [Stage::Root, Stage::Persist] {
            ring.claim(stage)
                .expect("the stages before are through")
                .complete();
        }
        publisher
            .publish(AtomicU64::new(10))
            .expect("a freed slot is used again");
    });
}

/// Two workers race for one stage: one of them gets the task.
#[test]
fn a_stage_is_claimed_by_one_worker_at_a_time() {
    model(|| {
        let (mut publisher, ring) = ring::<AtomicU64>(slots(2));
        publisher.publish(AtomicU64::new(0)).expect("room");
        publisher.publish(AtomicU64::new(0)).expect("room");
        let other = {
            let ring = ring.clone();
            thread::spawn(move || {
                ring.claim(Stage::Prepare)
                    .map(|claim| (claim.sequence(), claim.complete()))
            })
        };
        let mine = ring
            .claim(Stage::Prepare)
            .map(|claim| (claim.sequence(), claim.complete()));
        let other = other.join().expect("no panic");
        let both = (mine.map(|(s, ())| s), other.map(|(s, ())| s));
        let is_fair = matches!(
            both,
            (Some(0), Some(1)) | (Some(1), Some(0)) | (Some(0), None) | (None, Some(0))
        );
        assert!(is_fair, "{both:?}");
    });
}

/// The gate at the end: a slot is used again only when the last stage is through with it.
#[test]
fn a_full_ring_takes_a_task_only_after_the_last_stage_freed_a_slot() {
    model(|| {
        let (mut publisher, ring) = ring::<AtomicU64>(slots(1));
        publisher.publish(AtomicU64::new(1)).expect("room");
        for stage in [Stage::Prepare, Stage::Execute, Stage::Root] {
            ring.claim(stage).expect("alone").complete();
        }
        let last = {
            let ring = ring.clone();
            thread::spawn(move || {
                let claim = ring.claim(Stage::Persist).expect("alone in this stage");
                assert_eq!(claim.load(Ordering::Relaxed), 1);
                claim.complete();
            })
        };
        let early = publisher.publish(AtomicU64::new(2));
        last.join().expect("no assertion failed");
        if let Err(full) = early {
            publisher.publish(full.0).expect("the slot is free now");
        }
        assert_eq!(
            ring.claim(Stage::Prepare)
                .expect("published")
                .load(Ordering::Relaxed),
            2
        );
    });
}

/// Abandoning races with a claim: the task still passes through, and both agree on what happened.
#[test]
fn an_abandoned_task_passes_by_whoever_comes_first() {
    model(|| {
        let (mut publisher, ring) = ring::<AtomicU64>(slots(1));
        let sequence = publisher.publish(AtomicU64::new(0)).expect("room");
        let other = {
            let ring = ring.clone();
            thread::spawn(move || ring.abandon(sequence))
        };
        let claim = ring.claim(Stage::Prepare).expect("published");
        claim.complete();
        assert!(other.join().expect("no panic"), "it was not durable yet");
        let next = ring.claim(Stage::Execute).expect("the stage before is through");
        assert!(next.is_abandoned());
        next.complete();
    });
}

/// Parking: a worker that goes to sleep while a task is published is woken by it.
#[test]
fn no_wake_up_is_lost() {
    model(|| {
        let (mut publisher, ring) = ring::<AtomicU64>(slots(1));
        let worker = {
            let ring = ring.clone();
            thread::spawn(move || {
                let worker = ring.register().expect("a free bed");
                let claim = wait_for_work(&ring, &worker, &[Stage::Prepare]).expect("never closed");
                claim.complete();
            })
        };
        publisher.publish(AtomicU64::new(0)).expect("room");
        // Loom reports a deadlock if the worker sleeps for ever.
        worker.join().expect("no panic");
    });
}

/// Closing wakes a worker that sleeps or is about to.
#[test]
fn closing_ends_a_worker_that_waits() {
    model(|| {
        let (_publisher, ring) = ring::<AtomicU64>(slots(1));
        let worker = {
            let ring = ring.clone();
            thread::spawn(move || {
                let worker = ring.register().expect("a free bed");
                assert!(wait_for_work(&ring, &worker, &[Stage::Prepare]).is_none());
            })
        };
        ring.close();
        worker.join().expect("no panic");
    });
}

/// A worker that found nothing sleeps until another one completes the stage before.
#[test]
fn completing_a_stage_wakes_a_worker_for_the_next() {
    model(|| {
        let (mut publisher, ring) = ring::<AtomicU64>(slots(1));
        publisher.publish(AtomicU64::new(0)).expect("room");
        let worker = {
            let ring = ring.clone();
            thread::spawn(move || {
                let worker = ring.register().expect("a free bed");
                let claim = wait_for_work(&ring, &worker, &[Stage::Execute]).expect("never closed");
                assert_eq!(claim.load(Ordering::Relaxed), 7);
                claim.complete();
            })
        };
        let claim = ring
            .claim(Stage::Prepare)
            .expect("published, and nobody else prepares");
        claim.store(7, Ordering::Relaxed);
        claim.complete();
        // Loom reports a deadlock if the worker sleeps for ever.
        worker.join().expect("no panic");
    });
}

/// A claim that its worker handed to another thread, as for a wait for the disk: the worker sleeps, takes the stage's
/// next task once the other thread has completed the first, and the freed slot is used again.
#[test]
fn a_claim_is_completed_by_another_thread_and_the_stage_goes_on() {
    model(|| {
        let (mut publisher, ring) = ring::<AtomicU64>(slots(2));
        for task in 0..2 {
            publisher.publish(AtomicU64::new(task)).expect("room");
            for stage in [Stage::Prepare, Stage::Execute, Stage::Root] {
                ring.claim(stage).expect("alone").complete();
            }
        }
        let claim = ring.claim(Stage::Persist).expect("alone");
        assert!(ring.claim(Stage::Persist).is_none(), "the stage is taken");
        let disk = thread::spawn(move || {
            assert_eq!(claim.load(Ordering::Relaxed), 0);
            claim.complete();
        });
        let worker = {
            let ring = ring.clone();
            thread::spawn(move || {
                let worker = ring.register().expect("a free bed");
                let claim = wait_for_work(&ring, &worker, &[Stage::Persist]).expect("never closed");
                assert_eq!((claim.sequence(), claim.load(Ordering::Relaxed)), (1, 1));
                claim.complete();
            })
        };
        let early = publisher.publish(AtomicU64::new(2));
        disk.join().expect("no assertion failed");
        if let Err(full) = early {
            publisher.publish(full.0).expect("the slot is free now");
        }
        // Loom reports a deadlock if the worker sleeps for ever.
        worker.join().expect("no assertion failed");
    });
}

/// An id that takes an older one's place: a look-up finds one of them whole, or nothing.
#[test]
fn an_id_that_is_half_written_is_not_found() {
    fn id(words: [u8; 4]) -> Id {
        std::array::from_fn(|index| words[index / 8])
    }
    model(|| {
        let set = loom::sync::Arc::new(Recent::new(1));
        // Both places.
        set.insert(&id([1; 4]));
        set.insert(&id([1; 4]));
        let writer = {
            let set = loom::sync::Arc::clone(&set);
            thread::spawn(move || set.insert(&id([2; 4])))
        };
        for mixture in [[1, 1, 2, 2], [2, 2, 1, 1]] {
            assert!(!set.contains(&id(mixture)));
        }
        assert!(set.contains(&id([1; 4])), "one place was not written to");
        writer.join().expect("no panic");
        assert!(set.contains(&id([2; 4])));
    });
}
