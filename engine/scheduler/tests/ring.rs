//! The ring from outside: bounds, order, failure, abandonment, real threads.
#![cfg(not(any(loom, shuttle)))]
#![allow(clippy::unwrap_used)]

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use millrace_scheduler::{Claim, Failure, Full, Ring, Stage, Status, Worker, ring};

fn slots(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

/// What frees slots first.
fn most_urgent<T: Send + Sync>(ring: &Ring<T>) -> Option<Claim<T>> {
    Stage::ALL.iter().rev().find_map(|stage| ring.claim(*stage))
}

/// As the pipeline's workers do: claims, and sleeps while there is nothing to claim.
fn wait_for_work<T: Send + Sync>(ring: &Ring<T>, worker: &Worker) -> Option<Claim<T>> {
    loop {
        if let Some(claim) = most_urgent(ring) {
            return Some(claim);
        }
        if worker.is_closed() {
            return None;
        }
        worker.park_unless(|| ring.has_work(&Stage::ALL));
    }
}

#[test]
fn a_full_ring_gives_the_task_back_and_frees_a_slot_when_one_is_durable() {
    let (mut publisher, ring) = ring::<u32>(slots(2));
    assert_eq!(publisher.publish(1), Ok(0));
    assert_eq!(publisher.publish(2), Ok(1));
    assert_eq!(publisher.publish(3), Err(Full(3)));
    assert_eq!((ring.in_flight(), ring.capacity()), (2, 2));
    for stage in Stage::ALL {
        assert_eq!(publisher.publish(3), Err(Full(3)), "before {stage:?}");
        let claim = ring.claim(stage).unwrap();
        assert_eq!((*claim, claim.stage(), claim.sequence()), (1, stage, 0));
        claim.complete();
    }
    assert_eq!(publisher.publish(3), Ok(2));
    assert_eq!(ring.in_flight(), 2);
}

#[test]
fn a_task_waits_until_a_stage_is_through_with_those_before_it_or_nobody_wants_it() {
    let (mut publisher, ring) = ring::<u32>(slots(2));
    publisher.publish(1).unwrap();
    publisher.publish(2).unwrap();
    let waits = |sequence| ring.waits_for(Stage::Execute, sequence);
    let pass = |stages: &[Stage]| {
        for stage in stages {
            ring.claim(*stage).unwrap().complete();
        }
    };
    assert_eq!([0, 1].map(waits), [false, true]);
    pass(&[Stage::Prepare]);
    let claim = ring.claim(Stage::Execute).unwrap();
    assert_eq!([0, 1].map(waits), [false, true], "it is still being executed");
    claim.complete();
    assert_eq!([0, 1].map(waits), [false, false]);
    pass(&[Stage::Root, Stage::Persist]);
    // In the slot of the first one.
    publisher.publish(3).unwrap();
    assert_eq!([0, 1, 2].map(waits), [false, false, true]);
    assert!(ring.abandon(2));
    assert!(!waits(2));
}

#[test]
fn a_stage_waits_for_the_one_before_and_later_stages_come_first() {
    let (mut publisher, ring) = ring::<u32>(slots(4));
    assert!(
        Stage::ALL.iter().all(|stage| ring.claim(*stage).is_none()),
        "nothing is published"
    );
    publisher.publish(1).unwrap();
    publisher.publish(2).unwrap();
    assert!(ring.claim(Stage::Execute).is_none());
    let claim = ring.claim(Stage::Prepare).unwrap();
    assert!(ring.claim(Stage::Prepare).is_none(), "one worker at a time");
    claim.complete();
    let urgent = most_urgent(&ring).unwrap();
    assert_eq!((urgent.stage(), *urgent), (Stage::Execute, 1));
    let other = most_urgent(&ring).unwrap();
    assert_eq!(
        (other.stage(), *other),
        (Stage::Prepare, 2),
        "stages overlap on different tasks"
    );
    other.complete();
    assert!(
        ring.claim(Stage::Execute).is_none(),
        "task 1 is still being executed"
    );
    urgent.complete();
    assert_eq!(most_urgent(&ring).unwrap().stage(), Stage::Root);
}

#[test]
fn a_dropped_claim_is_a_failure_that_nothing_passes() {
    let (mut publisher, ring) = ring::<u32>(slots(4));
    publisher.publish(1).unwrap();
    publisher.publish(2).unwrap();
    ring.claim(Stage::Prepare).unwrap().complete();
    assert_eq!(ring.failure(), None);
    drop(ring.claim(Stage::Execute).unwrap());
    assert_eq!(
        ring.failure(),
        Some(Failure {
            stage: Stage::Execute,
            sequence: 0
        })
    );
    assert!(Stage::ALL.iter().all(|stage| ring.claim(*stage).is_none()));
}

#[test]
fn an_abandoned_task_says_so_and_its_slot_comes_free() {
    let (mut publisher, ring) = ring::<u32>(slots(1));
    let first = publisher.publish(1).unwrap();
    ring.claim(Stage::Prepare).unwrap().complete();
    assert!(ring.abandon(first));
    assert!(!ring.abandon(first), "once");
    for stage in [Stage::Execute, Stage::Root, Stage::Persist] {
        let claim = ring.claim(stage).unwrap();
        assert!(claim.is_abandoned());
        claim.complete();
    }
    let second = publisher.publish(2).unwrap();
    assert!(
        !ring.abandon(first),
        "the slot's earlier use cannot touch the later one"
    );
    assert!(!ring.claim(Stage::Prepare).unwrap().is_abandoned());
    assert_eq!(second, 1);
}

#[test]
fn a_task_is_dropped_once_when_its_slot_is_freed_or_the_ring_goes() {
    let (mut publisher, ring) = ring::<Arc<()>>(slots(2));
    let (freed, left) = (Arc::new(()), Arc::new(()));
    publisher.publish(Arc::clone(&freed)).unwrap();
    publisher.publish(Arc::clone(&left)).unwrap();
    for stage in Stage::ALL {
        ring.claim(stage).unwrap().complete();
    }
    assert_eq!((Arc::strong_count(&freed), Arc::strong_count(&left)), (1, 2));
    drop((publisher, ring));
    assert_eq!(Arc::strong_count(&left), 1);
}

#[test]
fn the_life_word_walks_its_diagram_and_refuses_other_steps() {
    let life = millrace_scheduler::Life::new();
    assert_eq!(life.read(), (0, Status::Free));
    assert_eq!(life.advance(0, Status::Free, Status::Ordered), Ok(()));
    assert_eq!(
        life.advance(0, Status::Free, Status::Ordered),
        Err(Some(Status::Ordered))
    );
    assert_eq!(
        life.advance(1, Status::Ordered, Status::Preparing),
        Err(None),
        "another use of the slot"
    );
    assert!(!life.abandon(1));
    assert!(life.abandon(0));
    assert_eq!(life.read(), (0, Status::Abandoned));
}

/// Workers on real threads, a publisher that is told "full", thousands of tasks: each passes every stage in order.
#[test]
fn many_workers_move_every_task_through_every_stage_in_order() {
    const TASKS: u64 = 20_000;
    struct Task(AtomicU64);
    let (mut publisher, ring) = ring::<Task>(slots(8));
    let order = Arc::new(Mutex::new([const { Vec::new() }; 4]));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (ring, order) = (ring.clone(), Arc::clone(&order));
            std::thread::spawn(move || {
                let worker = ring.register().unwrap();
                while let Some(claim) = wait_for_work(&ring, &worker) {
                    let stage = claim.stage() as u64;
                    assert_eq!(
                        claim.0.fetch_add(1, Ordering::Relaxed),
                        stage,
                        "stages follow each other"
                    );
                    order.lock().unwrap()[stage as usize].push(claim.sequence());
                    claim.complete();
                }
            })
        })
        .collect();
    let mut refused = 0u64;
    for _ in 0..TASKS {
        let mut task = Task(AtomicU64::new(0));
        while let Err(Full(back)) = publisher.publish(task) {
            task = back;
            refused += 1;
            std::thread::yield_now();
        }
    }
    while ring.in_flight() > 0 {
        std::thread::yield_now();
    }
    ring.close();
    for worker in workers {
        worker.join().unwrap();
    }
    let expected: Vec<u64> = (0..TASKS).collect();
    for (stage, seen) in order.lock().unwrap().iter().enumerate() {
        assert_eq!(*seen, expected, "stage {stage}");
    }
    assert!(
        refused > 0,
        "eight slots were never full: the bound was not tested"
    );
}
