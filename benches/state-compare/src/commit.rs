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
    let mut samples = vec![[(); 3].map(|()| Samples::default()); stores.all.len()];
    for _ in 0..arguments.rounds {
        let times = stores.block(arguments.updates)?;
        for (samples, times) in samples.iter_mut().zip(times) {
            for (samples, time) in samples.iter_mut().zip([times.root, times.durable, times.cpu]) {
                samples.push(time);
            }
        }
    }
    stores.check()?;

    const COLUMNS: [&str; 3] = ["root", "durable", "cpu"];
    print!("{:<10}", "store");
    for name in COLUMNS {
        print!("{:>13}{:>8}{:>7}", format!("{name} ms"), "p99", "ratio");
    }
    println!();
    let mut json = Vec::new();
    for ((kind, _), of_store) in stores.all.iter().zip(&samples) {
        print!("{:<10}", kind.name);
        let mut row = json!({ "store": kind.name });
        for ((name, samples), first) in COLUMNS.iter().zip(of_store).zip(&samples[0]) {
            let (median, p99) = (ms(samples.median()), ms(samples.quantile(0.99)));
            let over = samples.over(first);
            print!("{median:>13.1}{p99:>8.1}{over:>7.2}");
            row[*name] = samples.json();
            row[format!("{name}_over_millrace")] = over.into();
        }
        println!();
        json.push(row);
    }
    Ok(json.into())
}
