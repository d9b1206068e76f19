//! Time and gas of a sequence in a tier.

use std::sync::Arc;
use std::time::Duration;

use millrace_benches::host::cpu_time;
use millrace_jit::machine::MAX_GAS_LIMIT;
use millrace_jit::{Ecall, End, Flow, Host, Instance, Program, Tier};

use super::sequence::{CLASSES, INITIAL, START, STOP, Sequence, counting};

/// Runs until native code covers a program; what is not found in advance becomes hot.
const MOST_WARMING_RUNS: u32 = 8;
/// Share of gas that tier 0 may still have when a program counts as native.
const STILL_INTERPRETED: f64 = 0.01;
/// The first run's turns, from which the number for a wanted time is computed.
const FIRST_TURNS: u64 = 16;

/// What a sequence costs in a tier.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cost {
    /// Nanoseconds of CPU time, least of the runs.
    pub nanoseconds: f64,
    /// Gas of a run.
    pub gas: u64,
    /// Of how many turns.
    pub turns: u64,
    /// Share of the gas that tier 0 had in a native run.
    pub interpreted: f64,
}

impl Cost {
    /// The figure that is looked for.
    pub fn ns_per_gas(&self) -> f64 {
        self.nanoseconds / self.gas as f64
    }
}

/// Takes time and gas between the two host calls of a sequence.
struct Probe {
    start: (Duration, u64),
    stop: Option<(Duration, u64)>,
}

impl Host for Probe {
    #[inline]
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        match call.number {
            START => self.start = (cpu_time(), call.gas_left()),
            STOP => {
                self.stop = Some((cpu_time(), call.gas_left()));
                return Flow::Return;
            }
            _ => {}
        }
        Flow::Continue
    }
}

/// A sequence made ready for runs in one tier.
pub struct Prepared<'a> {
    sequence: &'a Sequence,
    program: Arc<Program>,
    tier: Tier,
}

impl<'a> Prepared<'a> {
    /// Compiles it, in a tier that compiles. `None` if the machine does not take it.
    pub fn new(sequence: &'a Sequence, tier: Tier, machine: &'static millrace_jit::Machine) -> Option<Self> {
        let program = sequence.program(machine)?;
        Some(Self {
            sequence,
            program,
            tier,
        })
    }

    /// One run of fresh memory. `None` if it traps.
    fn run(&self, turns: u64) -> Option<Cost> {
        let mut instance = Instance::new(Arc::clone(&self.program));
        instance.prepare(self.tier).ok()?;
        let memory = instance.memory_mut();
        memory.write(INITIAL, &self.sequence.initial(turns)).ok()?;
        memory.grow_heap(self.sequence.memory.heap_pages())?;
        let mut probe = Probe {
            start: (Duration::ZERO, 0),
            stop: None,
        };
        let outcome = instance.run(self.tier, MAX_GAS_LIMIT, &mut probe);
        let (time, gas_left) = probe.stop.filter(|_| outcome.end == End::Returned)?;
        let gas = probe.start.1 - gas_left;
        Some(Cost {
            nanoseconds: time.saturating_sub(probe.start.0).as_secs_f64() * 1e9,
            gas,
            turns,
            interpreted: instance.interpreted_gas() as f64 / outcome.gas_used as f64,
        })
    }

    /// Runs until as much of it is native as will be.
    fn warm(&self, wanted: Duration) -> Option<u64> {
        let mut cost = self.run(FIRST_TURNS)?;
        for _ in 0..MOST_WARMING_RUNS {
            let turns = turns_for(&cost, wanted);
            if self.tier == Tier::Interpreter || cost.interpreted < STILL_INTERPRETED {
                return Some(turns);
            }
            cost = self.run(turns)?;
        }
        Some(turns_for(&cost, wanted))
    }

    /// The least of `runs` runs that take about `wanted` each.
    pub fn cost(&self, wanted: Duration, runs: u32) -> Option<Cost> {
        let mut turns = self.warm(wanted)?;
        let mut best = self.run(turns)?;
        // The few turns of the first run say little of how long a turn takes once caches and predictors know it.
        if best.nanoseconds * 2.0 < wanted.as_secs_f64() * 1e9 {
            turns = turns_for(&best, wanted);
            best = self.run(turns)?;
        }
        for _ in 1..runs {
            let cost = self.run(turns)?;
            if cost.nanoseconds < best.nanoseconds {
                best = cost;
            }
        }
        Some(best)
    }
}

fn turns_for(cost: &Cost, wanted: Duration) -> u64 {
    let turn = (cost.nanoseconds / cost.turns as f64).max(0.1);
    ((wanted.as_secs_f64() * 1e9 / turn) as u64).clamp(4, 1 << 32)
}

/// Instructions of each of [`CLASSES`] in a turn, on the mean of `turns`.
pub fn classes_per_turn(sequence: &Sequence, turns: u64) -> Option<Vec<f64>> {
    let count = |name: &str| {
        let prepared = Prepared::new(sequence, Tier::Interpreter, counting(name))?;
        Some(prepared.run(turns)?.gas as f64 / turns as f64)
    };
    CLASSES.iter().map(|(name, _)| count(name)).collect()
}
