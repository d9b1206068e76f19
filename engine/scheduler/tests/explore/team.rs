//! One block on all workers, as `engine/pipeline/src/team.rs` has it, with a lock for the library's atomic pointer.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use millrace_scheduler::parallel::{Batch, Next};
use millrace_scheduler::{Crew, Worker, ring};
use shuttle::sync::Mutex;
use shuttle::sync::atomic::AtomicBool;
use shuttle::thread;

use super::explore;
use super::programs::{Name, Number, Output, Program, State, Step, execute, in_order, result};

type Transactions = Batch<Name, Number, Output>;

/// A block's transactions, to be executed.
pub struct Job {
    programs: Vec<Program>,
    before: State,
    panics_at: Option<u32>,
    batch: Option<Transactions>,
}

impl Job {
    pub fn new(programs: Vec<Program>, before: State, panics_at: Option<u32>) -> Self {
        Self {
            programs,
            before,
            panics_at,
            batch: None,
        }
    }

    fn batch(&self) -> &Transactions {
        self.batch.as_ref().expect("made before it is shared")
    }

    /// Executes one transaction; whether there was one.
    fn step(&self) -> bool {
        let ticket = match self.batch().next() {
            Next::Execute(ticket) => ticket,
            Next::Gather(part) => {
                part.finish();
                return true;
            }
            Next::Idle | Next::Over => return false,
        };
        if self.panics_at == Some(ticket.place()) {
            // What unwinding does.
            drop(ticket);
            return false;
        }
        execute(&self.programs, &self.before, ticket);
        true
    }
}

pub struct Team {
    workers: usize,
    crew: Crew,
    job: Mutex<Option<Arc<Job>>>,
    /// The leader has taken the block away and waits for the last who holds it.
    is_taken_away: AtomicBool,
    /// The memory of the block before.
    spare: Mutex<Option<Transactions>>,
    /// One leader at a time.
    is_led: AtomicBool,
}

impl Team {
    pub fn new(workers: usize, crew: Crew) -> Self {
        Self {
            workers,
            crew,
            job: Mutex::new(None),
            is_taken_away: AtomicBool::new(false),
            spare: Mutex::new(None),
            is_led: AtomicBool::new(false),
        }
    }

    fn job(&self) -> Option<Arc<Job>> {
        self.job.lock().expect("no panic").clone()
    }

    pub fn help(&self) -> bool {
        self.with_job(Job::step).unwrap_or(false)
    }

    /// What is over is no news: its leader may be at another stage, and helpers would turn until it comes back.
    pub fn has_news(&self) -> bool {
        let has_news = |job: &Job| !job.batch().is_over() && job.batch().has_news();
        self.with_job(has_news).unwrap_or(false)
    }

    fn with_job<R>(&self, look: impl FnOnce(&Job) -> R) -> Option<R> {
        let job = self.job()?;
        let seen = look(&job);
        let_go(job);
        // The leader waits for the last who holds the block, which may have been this. A flag, not the block, is looked at:
        // whoever looked for the block would hold it once more.
        if self.is_taken_away.load(Ordering::SeqCst) {
            self.crew.wake_all();
        }
        Some(seen)
    }

    /// `None` when the block broke.
    pub fn execute(
        &self,
        mut job: Job,
        worker: &Worker,
        work_until: impl FnOnce(&dyn Fn() -> bool),
    ) -> Option<(Vec<Output>, State)> {
        assert!(!self.is_led.swap(true, Ordering::SeqCst), "one block at a time");
        let (len, crew) = (job.programs.len(), self.crew.clone());
        let spare = self.spare.lock().expect("no panic").take();
        job.batch = Some(match spare {
            Some(batch) => batch.renew(len, self.workers, crew),
            None => Batch::new(len, self.workers, crew),
        });
        let mut job = Arc::new(job);
        self.is_taken_away.store(false, Ordering::SeqCst);
        *self.job.lock().expect("no panic") = Some(Arc::clone(&job));
        self.crew.wake_one();
        work_until(&|| job.batch().is_over());
        *self.job.lock().expect("no panic") = None;
        self.is_taken_away.store(true, Ordering::SeqCst);
        let mut job = loop {
            match Arc::try_unwrap(job) {
                Ok(job) => break job,
                Err(shared) => job = shared,
            }
            worker.park_unless(|| Arc::strong_count(&job) == 1);
            if worker.is_closed() {
                thread::yield_now();
            }
        };
        let mut batch = job.batch.take().expect("made above");
        let is_broken = batch.summary().is_broken;
        let outcome = (!is_broken).then(|| result(&mut batch, &job.before));
        *self.spare.lock().expect("no panic") = Some(batch);
        self.is_led.store(false, Ordering::SeqCst);
        outcome.map(|(outputs, state)| (outputs, state.expect("no transaction fails")))
    }
}

/// Drops what others count. The library's `Arc` is shuttle's too: a switch before makes the drop a step of its own.
fn let_go(job: Arc<Job>) {
    thread::sleep(Duration::ZERO);
    drop(job);
}

/// What is left when a block is over is small and comes once a block: so blocks of two transactions, and many of them.
#[test]
fn a_leader_is_woken_by_the_last_who_holds_its_block() {
    explore(SEEDS, SCHEDULES, |_| || lead_blocks(2, 2));
}

fn lead_blocks(blocks: i64, helpers: usize) {
    // For its crew, which only a ring closes.
    let (_publisher, ring) = ring::<()>(NonZeroUsize::MIN);
    let team = Arc::new(Team::new(helpers + 1, ring.crew().clone()));
    let helpers: Vec<_> = (0..helpers)
        .map(|_| {
            let (team, ring) = (Arc::clone(&team), ring.clone());
            thread::spawn(move || {
                let worker = ring.register().expect("few workers");
                help_until(&team, &worker, &|| worker.is_closed());
            })
        })
        .collect();
    let worker = ring.register().expect("few workers");
    for number in 0..blocks {
        let programs = vec![vec![Step::Add(Name(0), number)], vec![Step::Read(Name(0))]];
        let expected = in_order(&programs, &State::new());
        let job = Job::new(programs, State::new(), None);
        let outcome = team.execute(job, &worker, |is_over| help_until(&team, &worker, is_over));
        assert_eq!(outcome, Some(expected));
    }
    ring.close();
    for helper in helpers {
        helper.join().expect("no panic");
    }
}

fn help_until(team: &Team, worker: &Worker, is_over: &dyn Fn() -> bool) {
    while !is_over() {
        if !team.help() {
            worker.park_unless(|| is_over() || team.has_news());
        }
    }
}

const SEEDS: u64 = 40;
const SCHEDULES: usize = 50;
