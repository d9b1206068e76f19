//! An evolution of each kind of sequences towards the most nanoseconds per gas.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use millrace_jit::{Machine, Tier};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::genome::Genome;
use super::islands::Island;
use super::measure::{Cost, Prepared};
use super::sequence::Sequence;

/// Of each kind, this many live.
const POPULATION: usize = 12;
/// Nobody is bred before this many were drawn at random.
const FIRST: usize = 24;
/// A first look, a second one at what seems worth it, and a last one at what is reported.
const LOOKS: [(Duration, u32); 3] = [
    (Duration::from_millis(1), 2),
    (Duration::from_millis(4), 3),
    (Duration::from_millis(25), 7),
];
/// How many of a kind are looked at for the last time.
const FINALISTS: usize = 3;
/// The search's threads run native code on their stacks.
const STACK_BYTES: usize = 64 << 20;

/// What is looked for, and how long.
pub struct Search {
    /// Kinds.
    pub islands: Vec<&'static Island>,
    /// Tiers, each with a population of its own.
    pub tiers: Vec<Tier>,
    /// The weights that gas goes by.
    pub machine: &'static Machine,
    /// Of everything random.
    pub seed: u64,
    /// Time of the search, by the clock.
    pub time: Duration,
    /// Searching threads.
    pub threads: usize,
}

/// The worst sequence of a kind in a tier.
pub struct Found {
    /// The kind.
    pub island: &'static Island,
    /// Where it is worst.
    pub tier: Tier,
    /// What to run.
    pub sequence: Sequence,
    /// What that costs, looked at alone on the machine.
    pub cost: Cost,
    /// Sequences of this kind that were measured.
    pub tried: usize,
}

struct Individual {
    genome: Genome,
    ns_per_gas: f64,
}

#[derive(Default)]
struct Population {
    tried: usize,
    /// Dearest first.
    living: Vec<Individual>,
}

impl Population {
    fn child(&self, random: &mut ChaCha8Rng, island: &Island) -> Genome {
        if self.tried < FIRST || self.living.is_empty() || random.random_range(0..12) == 0 {
            return Genome::random(random, island);
        }
        let mut pick = || {
            // The dearer of two.
            let one = random.random_range(0..self.living.len());
            one.min(random.random_range(0..self.living.len()))
        };
        let (one, other) = (pick(), pick());
        let (one, other) = (&self.living[one].genome, &self.living[other].genome);
        if random.random_range(0..5) == 0 {
            one.crossed(other, random).mutated(random, island)
        } else {
            one.mutated(random, island)
        }
    }

    /// What a newcomer has to be dearer than.
    fn threshold(&self) -> f64 {
        if self.living.len() < POPULATION {
            return 0.0;
        }
        self.living.last().map_or(0.0, |last| last.ns_per_gas)
    }

    fn insert(&mut self, individual: Individual) {
        let place = self
            .living
            .partition_point(|other| other.ns_per_gas > individual.ns_per_gas);
        self.living.insert(place, individual);
        self.living.truncate(POPULATION);
    }
}

fn look(sequence: &Sequence, tier: Tier, machine: &'static Machine, which: usize) -> Option<Cost> {
    let (wanted, runs) = LOOKS[which];
    Prepared::new(sequence, tier, machine)?.cost(wanted, runs)
}

impl Search {
    /// Searches, then looks at the finalists one after the other.
    pub fn run(&self) -> Vec<Found> {
        let kinds: Vec<(&'static Island, Tier)> = self
            .tiers
            .iter()
            .flat_map(|tier| self.islands.iter().map(move |island| (*island, *tier)))
            .collect();
        let populations: Vec<Mutex<Population>> = kinds.iter().map(|_| Mutex::default()).collect();
        let next = AtomicUsize::new(0);
        let deadline = now() + self.time;
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                std::thread::Builder::new()
                    .stack_size(STACK_BYTES)
                    .spawn_scoped(scope, || {
                        while now() < deadline {
                            let number = next.fetch_add(1, Ordering::Relaxed);
                            let kind = number % kinds.len();
                            self.step(number, kinds[kind], &populations[kind]);
                        }
                    })
                    .expect("the host has threads");
            }
        });
        let found = kinds
            .iter()
            .zip(populations)
            .filter_map(|(&(island, tier), population)| {
                let population = population.into_inner().expect("no thread panicked");
                self.worst(island, tier, &population)
            });
        found.collect()
    }

    /// Breeds and measures one sequence.
    fn step(&self, number: usize, (island, tier): (&'static Island, Tier), population: &Mutex<Population>) {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(number as u64);
        let (genome, threshold) = {
            let mut population = population.lock().expect("no thread panicked");
            population.tried += 1;
            (population.child(&mut random, island), population.threshold())
        };
        let Some(sequence) = genome.sequence() else {
            return;
        };
        let Some(first) = look(&sequence, tier, self.machine, 0).filter(|cost| cost.ns_per_gas() > threshold)
        else {
            return;
        };
        let Some(second) = look(&sequence, tier, self.machine, 1) else {
            return;
        };
        // The look that was disturbed less.
        let ns_per_gas = first.ns_per_gas().min(second.ns_per_gas());
        if ns_per_gas > threshold {
            let individual = Individual { genome, ns_per_gas };
            population.lock().expect("no thread panicked").insert(individual);
        }
    }

    fn worst(&self, island: &'static Island, tier: Tier, population: &Population) -> Option<Found> {
        let finalists = population.living.iter().take(FINALISTS);
        let looked_at = finalists.filter_map(|individual| {
            let sequence = individual.genome.sequence()?;
            let cost = look(&sequence, tier, self.machine, 2)?;
            Some((sequence, cost))
        });
        let (sequence, cost) = looked_at.max_by(|a, b| a.1.ns_per_gas().total_cmp(&b.1.ns_per_gas()))?;
        Some(Found {
            island,
            tier,
            sequence,
            cost,
            tried: population.tried,
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a search takes is no result")]
fn now() -> Instant {
    Instant::now()
}

/// Runs `work` on a thread with room for native code.
pub fn with_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .expect("the host has threads")
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
