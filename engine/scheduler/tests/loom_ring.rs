//! Models of the ring: every interleaving of a producer and stages.
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use millrace_scheduler::{Ring, Stage, Status, ring};

fn pass(ring: &Ring<Box<u32>>, stage: Stage) -> bool {
    match ring.claim(stage) {
        Some(mut claim) => {
            **claim += 1;
            claim.complete();
            true
        }
        None => false,
    }
}

fn pass_rest(ring: &Ring<Box<u32>>) {
    for stage in Stage::ALL {
        while pass(ring, stage) {}
    }
}

#[test]
fn two_threads_never_share_a_claim_and_lose_no_task() {
    loom::model(|| {
        let (mut producer, ring) = ring(2);
        producer.publish(Box::new(0)).unwrap();
        let other = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || usize::from(pass(&ring, Stage::Prepare)))
        };
        producer.publish(Box::new(10)).unwrap();
        let mut passed = 0;
        while pass(&ring, Stage::Prepare) {
            passed += 1;
        }
        passed += other.join().unwrap();
        while pass(&ring, Stage::Prepare) {
            passed += 1;
        }
        assert_eq!(passed, 2);
        pass_rest(&ring);
        assert_eq!(*producer.reclaim().unwrap().task, 4);
        assert_eq!(*producer.reclaim().unwrap().task, 14);
    });
}

#[test]
fn execution_of_the_second_task_sees_the_first_executed() {
    loom::model(|| {
        let (mut producer, ring) = ring(2);
        for _ in 0..2 {
            producer.publish(Box::new(0)).unwrap();
            assert!(pass(&ring, Stage::Prepare));
        }
        let other = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || {
                if let Some(claim) = ring.claim(Stage::Execute) {
                    if claim.sequence() == 1 {
                        assert!(ring.status(0).unwrap() >= Status::Executed);
                    }
                    claim.complete();
                }
            })
        };
        if let Some(claim) = ring.claim(Stage::Execute) {
            if claim.sequence() == 1 {
                assert!(ring.status(0).unwrap() >= Status::Executed);
            }
            claim.complete();
        }
        other.join().unwrap();
        pass_rest(&ring);
        assert!(producer.reclaim().is_some() && producer.reclaim().is_some());
    });
}

#[test]
fn abandoning_races_with_a_claim_and_the_slot_comes_back_once() {
    loom::model(|| {
        let (mut producer, ring) = ring(1);
        producer.publish(Box::new(0)).unwrap();
        let worker = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || pass(&ring, Stage::Prepare))
        };
        let abandoned = ring.abandon(0);
        worker.join().unwrap();
        assert!(abandoned);
        let retired = producer.reclaim().unwrap();
        assert_eq!(retired.status, Status::Abandoned);
        assert!(producer.reclaim().is_none());
        assert!(ring.claim(Stage::Prepare).is_none());
        assert_eq!(producer.publish(Box::new(5)).unwrap(), 1);
        assert!(!ring.abandon(0), "the slot has another life");
        pass_rest(&ring);
        assert_eq!(*producer.reclaim().unwrap().task, 9);
    });
}

#[test]
fn a_slot_is_reused_while_a_stage_looks_on() {
    loom::model(|| {
        let (mut producer, ring) = ring(1);
        producer.publish(Box::new(0)).unwrap();
        let looker = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || pass(&ring, Stage::Prepare))
        };
        ring.abandon(0);
        let mut task = Some(Box::new(100));
        if let Some(retired) = producer.reclaim() {
            assert!(*retired.task <= 1);
            producer.publish(task.take().unwrap()).unwrap();
        }
        looker.join().unwrap();
        if let Some(task) = task {
            assert!(producer.reclaim().is_some());
            producer.publish(task).unwrap();
        }
        pass_rest(&ring);
        assert_eq!(*producer.reclaim().unwrap().task, 104);
    });
}
