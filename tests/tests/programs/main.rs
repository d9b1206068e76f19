//! Whole random programs: calls, loops, jumps of every kind, on all tiers of [`millrace_tests::programs::run::TIERS`]
//! and under `qemu-riscv64`.
//!
//! - [`agreement`]: valid programs that end, between tiers and against qemu; recursions a million deep;
//! - [`traps`]: programs that fault, and programs that were damaged;
//! - [`gas`]: the same program at every gas limit, or at those that matter;
//! - [`hosts`]: host calls that end runs, change memory and charge gas;
//! - [`bombs`]: programs that are dear to compile;
//! - [`corpus`]: programs that a fuzzer found to reach something that others do not;
//! - [`checker`]: the checker itself: that it sees what is wrong, and that the generator makes what it should.
//!
//! `MILLRACE_SEED=N` is the first seed (1): every program has a seed of its own, one after the other, and a report
//! names the one that makes it again as the first. `MILLRACE_LONG=N` makes the run longer:
//! N times 10^9 guest instructions in the long programs alone, and ten times as many programs of every other kind. That
//! is for `cargo test --release`; with `--nocapture` it says how far it has come.

mod agreement;
mod bombs;
mod checker;
mod corpus;
mod gas;
mod hosts;
mod traps;

use millrace_tests::programs::check::{Checked, Loaded};
use millrace_tests::programs::choices::Choices;
use millrace_tests::programs::generate::{Shape, generate};
use millrace_tests::programs::guest::Guest;
use millrace_tests::programs::host::Script;
use millrace_tests::programs::minimise::report;
use millrace_tests::programs::run::Setting;
use millrace_tests::tools::number;

/// Guest instructions of a long run for each unit of `MILLRACE_LONG`.
const LONG: u64 = 1_000_000_000;
/// A long run says how far it is each time it has executed so many.
const PROGRESS: u64 = LONG / 10;

/// How many programs, or how many instructions, a test goes through, and what it has seen.
struct Volume {
    name: &'static str,
    first: u64,
    programs: u64,
    least_programs: u64,
    instructions: u64,
    least_instructions: u64,
    ecalls: u64,
}

impl Volume {
    /// So many programs, and in a long run ten times as many.
    fn new(name: &'static str, programs: u64) -> Self {
        let long = number("MILLRACE_LONG", 0);
        Self {
            name,
            first: number("MILLRACE_SEED", 1),
            programs: 0,
            least_programs: if long > 0 { programs * 10 } else { programs },
            instructions: 0,
            least_instructions: 0,
            ecalls: 0,
        }
    }

    /// The same, and in a long run all of its instructions if that is more.
    fn long(name: &'static str, programs: u64) -> Self {
        let mut volume = Self::new(name, programs);
        volume.least_instructions = LONG * number("MILLRACE_LONG", 0);
        volume
    }

    /// The next seed, until there was enough.
    fn next(&mut self) -> Option<u64> {
        let enough = self.programs >= self.least_programs && self.instructions >= self.least_instructions;
        let seed = self.first.wrapping_add(self.programs);
        self.programs += u64::from(!enough);
        (!enough).then_some(seed)
    }

    fn so_far(&self) -> String {
        format!(
            "{}: seeds from {}, {} programs, {} guest instructions, {} ecalls",
            self.name, self.first, self.programs, self.instructions, self.ecalls
        )
    }

    fn origin(&self, seed: u64) -> String {
        format!("{}, MILLRACE_SEED={seed}", self.name)
    }

    /// Counts what a comparison executed, and panics with a report if it found a difference.
    fn count(&mut self, guest: &Guest, setting: &Setting, checked: &Checked) {
        let before = self.instructions;
        self.instructions += checked.reference.instructions();
        if self.instructions / PROGRESS > before / PROGRESS {
            println!("{}", self.so_far());
        }
        self.ecalls += checked.reference.events.len() as u64;
        if let Some(difference) = &checked.difference {
            panic!("{}", report(guest, setting, difference));
        }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        println!("{}", self.so_far());
    }
}

fn program(volume: &Volume, seed: u64, shape: Shape) -> Guest {
    generate(&mut Choices::seeded(seed), shape, volume.origin(seed))
}

fn load(guest: &Guest) -> Loaded {
    let image = guest.image().expect("whole programs have all their labels");
    Loaded::new(|| image.program())
}

/// Enough gas for a program that ends, with a host that does what its calls ask for unless qemu is to do the same.
fn setting(guest: &Guest) -> Setting {
    Setting {
        // No instruction weighs more than 12, times 64 where much memory is held; host calls charge less than 64.
        gas_limit: guest.most_instructions * 20 * 64 + 100_000,
        script: Script {
            acts: !guest.for_qemu,
            end: None,
        },
        layout: Some(guest.layout),
    }
}
