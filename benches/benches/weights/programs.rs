//! What real programs cost: the yardstick.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use millrace_benches::guest;
use millrace_benches::programs::{ALL, Program as Named};
use millrace_benches::tiers;
use millrace_benches::toolchain::{self, Target};
use millrace_jit::{Machine, Program, Tier};
use serde_json::{Value, json};

use super::sequence::{CLASSES, counting, newest};

/// A program's figures.
pub struct Measured {
    /// Which.
    pub name: &'static str,
    /// Instructions of each class in a run.
    pub classes: Vec<u64>,
    /// Tier, and nanoseconds of a run, least of the rounds.
    pub nanoseconds: Vec<(Tier, f64)>,
}

/// The guests in `directory`, `NAME.elf` each, built there if they are missing.
pub fn elves(directory: &Path) -> Vec<(&'static Named, PathBuf)> {
    let file = |named: &'static Named| {
        let path = directory.join(format!("{}.elf", named.name));
        if !path.exists() {
            let built = toolchain::build(named, Target::Guest, directory);
            std::fs::copy(built, &path).expect("the directory can be written");
        }
        (named, path)
    };
    ALL.iter().map(file).collect()
}

fn load(file: &Path, machine: &'static Machine) -> Arc<Program> {
    let elf = std::fs::read(file).expect("the guest was built");
    Arc::new(Program::load(&elf, machine).expect("what a compiler made is valid"))
}

/// Counts and times a program in every tier of `tiers`. Counting is done with little work, and scaled to all of it.
pub fn measure(named: &'static Named, file: &Path, tiers: &[Tier], rounds: u32) -> Measured {
    let timed = load(file, newest());
    let nanoseconds = |tier: &Tier| {
        let rounds = if *tier == Tier::Interpreter {
            rounds.min(2)
        } else {
            rounds
        };
        let runs = (0..=rounds).map(|_| guest::run(&timed, *tier, named.work).time.as_secs_f64() * 1e9);
        (*tier, runs.fold(f64::INFINITY, f64::min))
    };
    let count = |(name, _): &(&str, _)| guest::run(&load(file, counting(name)), Tier::Jit, named.work).gas;
    Measured {
        name: named.name,
        nanoseconds: tiers.iter().map(nanoseconds).collect(),
        classes: CLASSES.iter().map(count).collect(),
    }
}

impl Measured {
    /// Gas of a run on a machine.
    pub fn gas(&self, machine: &Machine) -> f64 {
        let weight = |(_, class): &(&str, _)| f64::from(machine.weights.of(*class));
        let counts = self.classes.iter().map(|count| *count as f64);
        CLASSES
            .iter()
            .map(weight)
            .zip(counts)
            .map(|(weight, count)| weight * count)
            .sum()
    }

    /// For a file.
    pub fn json(&self, machine: &Machine) -> Value {
        let gas = self.gas(machine);
        let tiers: serde_json::Map<String, Value> = self
            .nanoseconds
            .iter()
            .map(|(tier, time)| {
                let figures = json!({ "nanoseconds": time, "ns_per_gas": time / gas });
                (tier_name(*tier).to_owned(), figures)
            })
            .collect();
        json!({ "program": self.name, "classes": self.classes, "gas": gas, "tiers": tiers })
    }
}

/// The tier's name, as in every table.
pub fn tier_name(tier: Tier) -> &'static str {
    let column = tiers::ALL.iter().find(|column| column.tier == tier);
    column.expect("every tier has a name").name
}
