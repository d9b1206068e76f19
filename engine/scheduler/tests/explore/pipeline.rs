//! The ring with its stages, its crew and a batch inside, as the pipeline has them: an ordering thread that publishes,
//! abandons and hears what has left; a journal; workers that take the most urgent work of any kind and sleep when there is
//! none; one block at a time executed by all of them, led by whoever claimed it.
//!
//! `engine/pipeline/src/stages.rs`, `team.rs`, `preparation.rs`, `journal.rs` and `driver.rs` are what this is a model of,
//! name by name, with programs for transactions and a map for the state.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use millrace_scheduler::{Claim, Failure, Publisher, Ring, Stage, Worker, ring};
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shuttle::sync::mpsc::{Receiver, Sender, channel};
use shuttle::thread;

use super::explore;
use super::programs::{Output, Program, State, in_order, program};
use super::team::{Job, Team};

/// A block.
struct Block {
    programs: Vec<Program>,
    /// What is executed before it; `None` for the first.
    parent: Option<Arc<Block>>,
    /// Nobody builds on it, and it may be abandoned.
    is_speculation: bool,
    /// By all workers or by one.
    is_shared: bool,
    /// A worker panics in this transaction, at the first attempt.
    panics_at: Option<u32>,
    /// This stage fails.
    fails_at: Option<Stage>,
    /// Chunks of signatures that workers check before it is published.
    chunks: u32,
    outcome: OnceLock<(Vec<Output>, State)>,
    /// Stages that are through with it.
    stages: AtomicU32,
}

impl Block {
    fn before(&self) -> State {
        let parent = self.parent.as_ref().map(|parent| {
            let outcome = parent.outcome.get();
            outcome.expect("blocks are executed in their order").1.clone()
        });
        parent.unwrap_or_default()
    }
}

/// What is published.
struct Task(Arc<Block>);

/// To the ordering thread.
enum Input {
    /// The signatures of the next block are checked.
    Prepared,
    /// A task has left the ring.
    Left(usize),
    /// A stage has failed.
    Fault,
}

/// To the journal.
enum Entry {
    /// To be made durable; the writer waits.
    Execution(usize, Sender<()>),
    /// Nothing to write.
    Left(usize),
}

/// Later blocks' signatures: chunks to be checked.
struct Preparations {
    chunks: shuttle::sync::atomic::AtomicU32,
    left: shuttle::sync::atomic::AtomicU32,
}

impl Preparations {
    fn begin(&self, chunks: u32, ring: &Ring<Task>) {
        self.left.store(chunks, Ordering::SeqCst);
        for _ in 0..chunks {
            self.chunks.fetch_add(1, Ordering::SeqCst);
            ring.crew().wake_one();
        }
    }

    fn has_work(&self) -> bool {
        self.chunks.load(Ordering::SeqCst) > 0
    }

    fn step(&self, inputs: &Sender<Input>) -> bool {
        let taken = self
            .chunks
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |chunks| chunks.checked_sub(1));
        if taken.is_err() {
            return false;
        }
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let _ = inputs.send(Input::Prepared);
        }
        true
    }
}

/// What a worker works with.
#[derive(Clone)]
struct Workshop {
    ring: Ring<Task>,
    team: Arc<Team>,
    preparations: Arc<Preparations>,
    journal: Sender<Entry>,
    inputs: Sender<Input>,
    seen: Arc<Seen>,
}

/// What happened in all executions of all seeds.
#[derive(Default)]
struct Seen {
    executed_together: AtomicU64,
    fallbacks: AtomicU64,
    failures: AtomicU64,
    passed_by: AtomicU64,
}

/// A stage did not finish.
struct Failed;

impl Workshop {
    fn work(&self) {
        let worker = self.ring.register().expect("few workers");
        self.work_until(&worker, &|| {
            worker.is_closed() && !self.ring.has_work(&Stage::ALL)
        });
    }

    fn work_until(&self, worker: &Worker, is_over: &dyn Fn() -> bool) {
        while !is_over() {
            if let Some(claim) = self.claim(&[Stage::Persist, Stage::Root]) {
                if self.team.has_news() {
                    self.ring.crew().wake_one();
                }
                self.handle(worker, claim);
            } else if self.team.help() {
            } else if let Some(claim) = self.claim(&[Stage::Execute, Stage::Prepare]) {
                self.handle(worker, claim);
            } else if self.preparations.step(&self.inputs) {
            } else {
                worker.park_unless(|| {
                    is_over()
                        || self.ring.has_work(&Stage::ALL)
                        || self.team.has_news()
                        || self.preparations.has_work()
                });
                if worker.is_closed() {
                    // A closed crew sleeps no more: a leader turns until the last helper is through.
                    thread::yield_now();
                }
            }
        }
    }

    fn claim(&self, stages: &[Stage]) -> Option<Claim<Task>> {
        stages.iter().find_map(|stage| self.ring.claim(*stage))
    }

    fn handle(&self, worker: &Worker, claim: Claim<Task>) {
        let place = usize::try_from(claim.sequence()).expect("few blocks");
        let before = claim.0.stages.fetch_add(1, Ordering::Relaxed);
        assert_eq!(
            before,
            claim.stage() as u32,
            "stages follow each other, each once"
        );
        if claim.is_abandoned() {
            assert!(claim.0.is_speculation, "only speculation is abandoned");
            self.seen.passed_by.fetch_add(1, Ordering::Relaxed);
            if claim.stage() == Stage::Persist {
                let _ = self.journal.send(Entry::Left(place));
            }
            return claim.complete();
        }
        match self.run(worker, &claim, place) {
            Ok(()) => claim.complete(),
            Err(Failed) if claim.stage() < Stage::Persist && claim.0.is_speculation => claim.complete(),
            Err(Failed) => drop(self.inputs.send(Input::Fault)),
        }
    }

    fn run(&self, worker: &Worker, claim: &Claim<Task>, place: usize) -> Result<(), Failed> {
        let block = &claim.0;
        if block.fails_at == Some(claim.stage()) {
            return Err(Failed);
        }
        match claim.stage() {
            Stage::Prepare => {}
            Stage::Execute => {
                let outcome = self.execute(worker, block);
                block.outcome.set(outcome).expect("a block is executed once");
            }
            // What it would be computed from is there; abandoned or failed speculation has none.
            Stage::Root => assert!(block.is_speculation || block.outcome.get().is_some()),
            Stage::Persist if block.is_speculation => {
                let _ = self.journal.send(Entry::Left(place));
            }
            Stage::Persist => {
                let (done, durable) = channel();
                let _ = self.journal.send(Entry::Execution(place, done));
                durable.recv().map_err(|_| Failed)?;
            }
        }
        Ok(())
    }

    fn execute(&self, worker: &Worker, block: &Arc<Block>) -> (Vec<Output>, State) {
        let before = block.before();
        if block.is_shared {
            let job = Job::new(block.programs.clone(), before.clone(), block.panics_at);
            let work_until = |is_over: &dyn Fn() -> bool| self.work_until(worker, is_over);
            if let Some(outcome) = self.team.execute(job, worker, work_until) {
                self.seen.executed_together.fetch_add(1, Ordering::Relaxed);
                return outcome;
            }
            assert!(block.panics_at.is_some(), "nobody panicked");
            self.seen.fallbacks.fetch_add(1, Ordering::Relaxed);
        }
        in_order(&block.programs, &before)
    }
}

/// Blocks, how many may be under way, by how many workers, and what becomes of speculation.
struct Plan {
    blocks: Vec<Arc<Block>>,
    credits: usize,
    workers: usize,
    /// After which block was published which one is abandoned.
    abandons: BTreeSet<(usize, usize)>,
}

impl Plan {
    /// Drawn anew for each execution, the same from the same seed: blocks keep what became of them.
    fn draw(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let len = random.random_range(2..7);
        let fails = random.random_ratio(1, 5).then(|| random.random_range(0..len));
        let mut parent: Option<Arc<Block>> = None;
        let mut blocks = Vec::new();
        let mut abandons = BTreeSet::new();
        for place in 0..len {
            let transactions = random.random_range(0..8);
            let names = random.random_range(1..4);
            let is_speculation = random.random_ratio(1, 4);
            let block = Arc::new(Block {
                programs: (0..transactions)
                    .map(|_| program(&mut random, names, 5, false))
                    .collect(),
                parent: parent.clone(),
                is_speculation,
                is_shared: random.random_ratio(2, 3),
                panics_at: (0..transactions)
                    .choose(&mut random)
                    .filter(|_| random.random_ratio(1, 6)),
                fails_at: (fails == Some(place))
                    .then(|| Stage::ALL[random.random_range(0..Stage::ALL.len())]),
                chunks: random.random_range(0..3),
                outcome: OnceLock::new(),
                stages: AtomicU32::new(0),
            });
            if !is_speculation {
                parent = Some(Arc::clone(&block));
            } else if random.random_ratio(2, 3) {
                abandons.insert((random.random_range(place..len), place));
            }
            blocks.push(block);
        }
        Self {
            blocks,
            credits: random.random_range(1..4),
            workers: random.random_range(2..5),
            abandons,
        }
    }

    /// The first block that stops the ring, and at which stage.
    fn failure(&self) -> Option<Failure> {
        let stops = |block: &Block| {
            let stage = block.fails_at?;
            (!block.is_speculation || stage == Stage::Persist).then_some(stage)
        };
        (0..).zip(&self.blocks).find_map(|(sequence, block)| {
            Some(Failure {
                stage: stops(block)?,
                sequence,
            })
        })
    }

    fn run(&self, seen: &Arc<Seen>) {
        let slots = NonZeroUsize::new(self.credits + 1).expect("one more");
        let (publisher, ring) = ring::<Task>(slots);
        let (inputs, inbox) = channel();
        let (journal, entries) = channel();
        let workshop = Workshop {
            team: Arc::new(Team::new(self.workers, ring.crew().clone())),
            preparations: Arc::new(Preparations {
                chunks: 0.into(),
                left: 0.into(),
            }),
            ring: ring.clone(),
            journal,
            inputs: inputs.clone(),
            seen: Arc::clone(seen),
        };
        let workers: Vec<_> = (0..self.workers)
            .map(|_| {
                let workshop = workshop.clone();
                thread::spawn(move || workshop.work())
            })
            .collect();
        let preparations = Arc::clone(&workshop.preparations);
        drop(workshop);
        let journal = thread::spawn(move || keep_journal(&entries, &inputs));
        let has_failed = self.order(publisher, &ring, &inbox, &preparations);
        ring.close();
        for worker in workers {
            worker.join().expect("no panic");
        }
        journal.join().expect("no panic");
        self.check(&ring, has_failed, seen);
    }

    /// The ordering thread. Whether a stage has failed.
    fn order(
        &self,
        mut publisher: Publisher<Task>,
        ring: &Ring<Task>,
        inbox: &Receiver<Input>,
        preparations: &Preparations,
    ) -> bool {
        let (mut published, mut left) = (0, 0);
        // Of the next block: its signatures are asked for, and checked.
        let (mut is_asked, mut is_prepared) = (false, false);
        while left < self.blocks.len() {
            while let Some(block) = self.blocks.get(published) {
                if block.chunks > 0 && !is_asked {
                    is_asked = true;
                    preparations.begin(block.chunks, ring);
                }
                if (block.chunks > 0 && !is_prepared) || published - left == self.credits {
                    break;
                }
                let sequence = publisher.publish(Task(Arc::clone(block)));
                let sequence = sequence.map_err(|_| ()).expect("a slot more than are counted");
                assert_eq!(sequence, published as u64);
                for (_, place) in self.abandons.iter().filter(|(after, _)| *after == published) {
                    ring.abandon(*place as u64);
                }
                published += 1;
                (is_asked, is_prepared) = (false, false);
            }
            match inbox.recv().expect("the journal and the workers are there") {
                Input::Prepared => is_prepared = true,
                Input::Left(place) => {
                    assert_eq!(place, left, "tasks leave in their order");
                    left += 1;
                }
                Input::Fault => return true,
            }
        }
        false
    }

    fn check(&self, ring: &Ring<Task>, has_failed: bool, seen: &Seen) {
        assert_eq!(ring.failure().is_some(), has_failed);
        if has_failed {
            seen.failures.fetch_add(1, Ordering::Relaxed);
            // Whether speculation gets to its end depends on when it was abandoned.
            let failure = ring.failure().expect("asserted above");
            let block = &self.blocks[usize::try_from(failure.sequence).expect("few")];
            assert_eq!(block.fails_at, Some(failure.stage));
        } else {
            let failure = self.failure().map(|failure| failure.sequence);
            assert!(failure.is_none_or(|at| self.blocks[usize::try_from(at).expect("few")].is_speculation));
            assert_eq!(ring.in_flight(), 0);
        }
        let mut state = State::new();
        for block in &self.blocks {
            let expected = in_order(&block.programs, &state);
            if let Some(outcome) = block.outcome.get() {
                assert_eq!(*outcome, expected);
            } else {
                assert!(block.is_speculation || has_failed, "a block was not executed");
            }
            if !has_failed {
                assert_eq!(block.stages.load(Ordering::Relaxed), 4);
            }
            if !block.is_speculation {
                state = expected.1;
            }
        }
    }
}

fn keep_journal(entries: &Receiver<Entry>, inputs: &Sender<Input>) {
    while let Ok(entry) = entries.recv() {
        match entry {
            Entry::Execution(place, done) => {
                let _ = inputs.send(Input::Left(place));
                let _ = done.send(());
            }
            Entry::Left(place) => drop(inputs.send(Input::Left(place))),
        }
    }
}

#[test]
fn the_whole_pipeline_moves_every_block_to_its_end_or_its_failure() {
    let seen = Arc::new(Seen::default());
    explore(SEEDS, SCHEDULES, |seed| {
        let seen = Arc::clone(&seen);
        move || Plan::draw(seed).run(&seen)
    });
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{} blocks executed together, {} fell back, {} runs failed, {} claims passed by",
        of(&seen.executed_together),
        of(&seen.fallbacks),
        of(&seen.failures),
        of(&seen.passed_by)
    );
    if std::env::var_os("MILLRACE_SEED").is_none() {
        let counts = [
            &seen.executed_together,
            &seen.fallbacks,
            &seen.failures,
            &seen.passed_by,
        ];
        assert!(
            counts.into_iter().all(|count| of(count) > 0),
            "something never happened"
        );
    }
}

const SEEDS: u64 = 300;
const SCHEDULES: usize = 20;
