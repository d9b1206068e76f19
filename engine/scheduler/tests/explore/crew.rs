//! Who sleeps is woken when there is work for two. Otherwise all is done in the end, by one worker while the others sleep,
//! and nothing but the clock tells. Here work *meets*: it does not end before other work has begun, which it cannot where
//! one worker alone is awake.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use millrace_scheduler::parallel::{Batch, Next, Ticket};
use millrace_scheduler::{Claim, Crew, Ring, Stage, Worker, ring};
use shuttle::sync::atomic::{AtomicBool, AtomicU32};
use shuttle::thread;

use super::explore;
use super::programs::{Name, Number, Output};

/// Turns until something is so.
fn meet(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

/// Transactions that may be under way at first: four for each worker.
const WIDTH: usize = 8;
const TRANSACTIONS: usize = WIDTH + 6;

/// What the transactions of a batch tell each other.
struct Begun {
    transactions: Vec<AtomicBool>,
    ended: AtomicU32,
}

impl Begun {
    fn new() -> Self {
        Self {
            transactions: (0..TRANSACTIONS).map(|_| AtomicBool::new(false)).collect(),
            ended: AtomicU32::new(0),
        }
    }

    /// The first ends after all that may run beside it: then the other worker has nothing left and goes to sleep. Those
    /// that may run after that meet in pairs.
    fn execute(&self, ticket: Ticket<'_, Name, Number, Output>) {
        let place = ticket.place() as usize;
        self.transactions[place].store(true, Ordering::SeqCst);
        if place == 0 {
            meet(|| self.ended.load(Ordering::SeqCst) as usize == WIDTH - 1);
        } else if place >= WIDTH {
            meet(|| self.transactions[place ^ 1].load(Ordering::SeqCst));
        }
        self.ended.fetch_add(1, Ordering::SeqCst);
        ticket.finish(Ok(0));
    }
}

#[test]
fn a_sleeping_worker_is_woken_when_two_transactions_can_run() {
    explore(SEEDS, SCHEDULES, |_| {
        || {
            let (crew, begun) = (Crew::new(), Begun::new());
            let batch = Batch::new(TRANSACTIONS, 2, crew.clone());
            let work = || {
                let worker = crew.register().expect("two workers");
                loop {
                    match batch.next() {
                        Next::Over => return,
                        Next::Gather(part) => part.finish(),
                        Next::Idle => worker.park_unless(|| batch.has_news()),
                        Next::Execute(ticket) => begun.execute(ticket),
                    }
                }
            };
            thread::scope(|scope| {
                scope.spawn(work);
                work();
            });
            assert_eq!(batch.summary().committed as usize, TRANSACTIONS);
        }
    });
}

const TASKS: u64 = 4;

/// Takes what frees slots first, and executes a task while the root of the one before is computed.
fn work_on_stages(ring: &Ring<u64>, worker: &Worker, executing: &[AtomicBool]) {
    let most_urgent = || -> Option<Claim<u64>> {
        let mut stages = Stage::ALL.iter().rev();
        stages.find_map(|stage| ring.claim(*stage))
    };
    loop {
        if let Some(claim) = most_urgent() {
            match claim.stage() {
                Stage::Execute => executing[*claim as usize].store(true, Ordering::SeqCst),
                Stage::Root if *claim + 1 < TASKS => {
                    meet(|| executing[*claim as usize + 1].load(Ordering::SeqCst));
                }
                _ => {}
            }
            claim.complete();
        } else if worker.is_closed() {
            return;
        } else {
            worker.park_unless(|| ring.has_work(&Stage::ALL));
        }
    }
}

#[test]
fn a_sleeping_worker_is_woken_when_two_stages_can_be_worked_on() {
    explore(SEEDS, SCHEDULES, |_| {
        || {
            let (mut publisher, ring) = ring::<u64>(NonZeroUsize::new(3).expect("not zero"));
            let executing: Arc<Vec<_>> = Arc::new((0..TASKS).map(|_| AtomicBool::new(false)).collect());
            let workers: Vec<_> = (0..2)
                .map(|_| {
                    let (ring, executing) = (ring.clone(), Arc::clone(&executing));
                    thread::spawn(move || {
                        let worker = ring.register().expect("two workers");
                        work_on_stages(&ring, &worker, &executing);
                    })
                })
                .collect();
            for task in 0..TASKS {
                // Nobody wakes a publisher.
                meet(|| ring.in_flight() < ring.capacity());
                publisher.publish(task).expect("there is room");
            }
            meet(|| ring.in_flight() == 0);
            ring.close();
            for worker in workers {
                worker.join().expect("no panic");
            }
        }
    });
}

const SEEDS: u64 = 10;
const SCHEDULES: usize = 50;
