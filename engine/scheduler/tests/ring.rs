//! The ring as its users see it.
#![cfg(not(loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use millrace_scheduler::{Full, Lot, Producer, Ring, Sleeper, Stage, Status, ring};

fn pass<T: Send>(ring: &Ring<T>, stage: Stage) -> Option<u64> {
    let claim = ring.claim(stage)?;
    let sequence = claim.sequence();
    assert_eq!(claim.complete(), stage.leaves());
    Some(sequence)
}

fn pass_all<T: Send>(ring: &Ring<T>) {
    for stage in Stage::ALL {
        assert!(pass(ring, stage).is_some(), "{stage:?}");
    }
}

#[test]
fn a_full_ring_answers_full_and_gives_the_task_back() {
    let (mut producer, ring) = ring(2);
    assert_eq!(producer.publish("a"), Ok(0));
    assert_eq!(producer.publish("b"), Ok(1));
    assert_eq!(producer.publish("c"), Err(Full("c")));
    pass_all(&ring);
    assert_eq!(
        producer.publish("c"),
        Err(Full("c")),
        "a slot is free only when its task was taken back"
    );
    let retired = producer.reclaim().unwrap();
    assert_eq!(
        (retired.sequence, retired.status, retired.task),
        (0, Status::Persisted, "a")
    );
    assert_eq!(producer.publish("c"), Ok(2));
    assert_eq!(producer.in_flight(), 2);
}

#[test]
fn a_stage_takes_only_what_the_stage_before_left() {
    let (mut producer, ring) = ring(2);
    producer.publish(1).unwrap();
    for (at, stage) in Stage::ALL.into_iter().enumerate() {
        for later in &Stage::ALL[at + 1..] {
            assert!(ring.claim(*later).is_none());
        }
        assert_eq!(ring.status(0), Some(stage.takes()));
        let claim = ring.claim(stage).unwrap();
        assert!(ring.claim(stage).is_none(), "one thread at a time");
        assert_eq!(ring.status(0), Some(stage.during()));
        claim.complete();
    }
    assert_eq!(ring.status(0), Some(Status::Persisted));
}

#[test]
fn in_order_stages_wait_for_the_task_before_but_preparing_does_not() {
    let (mut producer, ring) = ring(4);
    for n in 0..3 {
        producer.publish(n).unwrap();
    }
    let first = ring.claim(Stage::Prepare).unwrap();
    assert_eq!(pass(&ring, Stage::Prepare), Some(1));
    assert_eq!(pass(&ring, Stage::Prepare), Some(2));
    assert!(ring.claim(Stage::Execute).is_none(), "task 0 is not prepared");
    first.complete();
    let executing = ring.claim(Stage::Execute).unwrap();
    assert_eq!(executing.sequence(), 0);
    assert!(ring.claim(Stage::Execute).is_none(), "task 0 is not executed");
    executing.complete();
    assert_eq!(pass(&ring, Stage::Execute), Some(1), "before task 0 has a root");
}

#[test]
fn a_claim_leads_to_the_next_so_that_a_stage_works_on_several_at_once() {
    let (mut producer, ring) = ring(4);
    for n in 0..3 {
        producer.publish(n).unwrap();
        pass(&ring, Stage::Prepare);
        pass(&ring, Stage::Execute);
    }
    pass(&ring, Stage::Root);
    pass(&ring, Stage::Root);
    let first = ring.claim(Stage::Persist).unwrap();
    let second = first.next().unwrap();
    assert_eq!(second.sequence(), 1);
    assert!(second.next().is_none(), "task 2 has no root yet");
    second.complete();
    assert!(producer.reclaim().is_none(), "tasks come back in order");
    first.complete();
    assert_eq!(producer.reclaim().unwrap().sequence, 0);
    assert_eq!(producer.reclaim().unwrap().sequence, 1);
}

#[test]
fn a_dropped_claim_leaves_the_task_as_it_was() {
    let (mut producer, ring) = ring(1);
    producer.publish(0).unwrap();
    pass(&ring, Stage::Prepare);
    let mut claim = ring.claim(Stage::Execute).unwrap();
    *claim = 7;
    drop(claim);
    assert_eq!(ring.status(0), Some(Status::Prepared));
    assert_eq!(*ring.claim(Stage::Execute).unwrap(), 7);
}

#[test]
fn an_abandoned_task_is_passed_by_every_stage() {
    let (mut producer, ring) = ring(3);
    for n in 0..3 {
        producer.publish(n).unwrap();
    }
    assert!(ring.abandon(0));
    assert!(!ring.abandon(0));
    let claim = ring.claim(Stage::Prepare).unwrap();
    assert_eq!(claim.sequence(), 1);
    assert!(ring.abandon(1), "a claimed task is abandoned when its claim ends");
    assert_eq!(producer.reclaim().map(|r| r.status), Some(Status::Abandoned));
    assert!(producer.reclaim().is_none());
    assert_eq!(claim.complete(), Status::Abandoned);
    assert_eq!(producer.reclaim().map(|r| r.sequence), Some(1));
    pass_all(&ring);
    assert_eq!(
        producer.reclaim().map(|r| (r.sequence, r.status)),
        Some((2, Status::Persisted))
    );
}

#[test]
fn a_stale_sequence_touches_nothing() {
    let (mut producer, ring) = ring(1);
    producer.publish(0).unwrap();
    pass_all(&ring);
    producer.reclaim().unwrap();
    producer.publish(1).unwrap();
    assert!(!ring.abandon(0));
    assert_eq!(ring.status(0), None);
    assert_eq!(ring.status(1), Some(Status::Ordered));
}

#[test]
fn tasks_left_in_the_ring_are_dropped_with_it() {
    let task = Arc::new(());
    let (mut producer, ring) = ring(4);
    for _ in 0..3 {
        producer.publish(Arc::clone(&task)).unwrap();
    }
    pass_all(&ring);
    drop(producer.reclaim());
    assert_eq!(Arc::strong_count(&task), 3);
    drop((producer, ring));
    assert_eq!(Arc::strong_count(&task), 1);
}

/// Publishes 0..count and checks that they come back whole and in order.
fn produce(mut producer: Producer<Vec<u64>>, count: u64, order: &Sleeper, work: &Lot) {
    let (mut published, mut returned) = (0, 0);
    while returned < count {
        order.sleep_until(|| {
            let mut progress = false;
            while let Some(retired) = producer.reclaim() {
                assert_eq!(retired.task, [returned, 1, 2, 3, 4]);
                returned += 1;
                progress = true;
            }
            while published < count && producer.publish(vec![published]).is_ok() {
                published += 1;
                progress = true;
            }
            progress.then_some(())
        });
        work.wake_all();
    }
}

#[test]
fn many_threads_pass_many_tasks_through_all_stages_and_sleep_in_between() {
    const TASKS: u64 = 20_000;
    let (producer, ring) = ring::<Vec<u64>>(8);
    let (order, work) = (Arc::new(Lot::new()), Arc::new(Lot::new()));
    let stop = AtomicBool::new(false);
    let passed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let sleeper = Sleeper::register(&work);
                loop {
                    let claim = sleeper.sleep_until(|| {
                        let found = Stage::ALL.into_iter().rev().find_map(|stage| ring.claim(stage));
                        match found {
                            Some(claim) => Some(Some(claim)),
                            None => stop.load(Ordering::SeqCst).then_some(None),
                        }
                    });
                    let Some(mut claim) = claim else { break };
                    let step = claim.len() as u64;
                    claim.push(step);
                    if claim.complete().is_final() {
                        order.wake_one();
                    } else {
                        work.wake_one();
                    }
                    passed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        produce(producer, TASKS, &Sleeper::register(&order), &work);
        stop.store(true, Ordering::SeqCst);
        work.wake_all();
    });
    assert_eq!(passed.into_inner() as u64, 4 * TASKS);
}

#[test]
fn a_sleeper_gives_up_after_its_time() {
    let lot = Arc::new(Lot::new());
    let sleeper = Sleeper::register(&lot);
    let nothing: Option<()> = sleeper.sleep_until_or(|| None, std::time::Duration::from_millis(5));
    assert_eq!(nothing, None);
    assert!(!lot.wake_one(), "nobody sleeps any more");
}
