//! Rounds of random updates, each to a durable root.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::figures::{Samples, ms};
use crate::stores::Stores;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Accounts before the first round
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    accounts: usize,
    /// Accounts that a round writes
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    updates: usize,
    /// Rounds of every store, by turns
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
}

/// Measures and prints.
pub fn run(arguments: &Arguments, directory: &Path) -> Result<Value> {
    let mut stores = Stores::build(directory, arguments.accounts)?;
    let mut samples = vec![[Samples::default(), Samples::default()]; stores.all.len()];
    for _ in 0..arguments.rounds {
        let times = stores.block(arguments.updates)?;
        for ([root, durable], times) in samples.iter_mut().zip(times) {
            root.push(times.root);
            durable.push(times.durable);
        }
    }
    stores.check()?;

    println!(
        "{:<10}{:>10}{:>8}{:>8}{:>12}{:>8}{:>8}",
        "store", "root ms", "p99", "ratio", "durable ms", "p99", "ratio"
    );
    let mut json = Vec::new();
    for ((kind, _), [root, durable]) in stores.all.iter().zip(&samples) {
        let over = [root.over(&samples[0][0]), durable.over(&samples[0][1])];
        println!(
            "{:<10}{:>10.1}{:>8.1}{:>8.2}{:>12.1}{:>8.1}{:>8.2}",
            kind.name,
            ms(root.median()),
            ms(root.quantile(0.99)),
            over[0],
            ms(durable.median()),
            ms(durable.quantile(0.99)),
            over[1]
        );
        json.push(json!({
            "store": kind.name,
            "root": root.json(),
            "root_over_millrace": over[0],
            "durable": durable.json(),
            "durable_over_millrace": over[1],
        }));
    }
    Ok(json.into())
}
