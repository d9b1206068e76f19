//! Random reads of what is there and of what is not: *warm*, where all was read once before, and *cold*, where the stores
//! were opened anew and the system holds nothing of their files.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::figures::{Samples, timed};
use crate::stores::{Held, Stores};

/// Reads of a kind of path at a time, before it is the next store's turn: few of all, so that cold ones stay cold.
const AT_ONCE: usize = 250;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Accounts that are there
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    accounts: usize,
    /// Blocks of 10,000 updates before reading, so that what was written together lies apart
    #[arg(long, value_name = "N", default_value_t = 50)]
    blocks: u32,
    /// Warm reads of each kind in each store
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    reads: usize,
    /// Rounds of cold reads, of 250 of each kind in each store
    #[arg(long, value_name = "N", default_value_t = 8)]
    cold: u32,
}

/// The samples of one row: of each store.
struct Row {
    name: &'static str,
    samples: Vec<Samples>,
}

impl Row {
    fn new(name: &'static str, stores: &Stores) -> Self {
        Self {
            name,
            samples: vec![Samples::default(); stores.all.len()],
        }
    }

    /// Reads from every store, and compares with what is there.
    fn read(&mut self, stores: &Stores, held: &[Held]) -> Result<()> {
        for part in held.chunks(AT_ONCE) {
            let paths: Vec<_> = part.iter().map(|(path, _)| *path).collect();
            for ((kind, store), samples) in stores.all.iter().zip(&mut self.samples) {
                let found = store.read(&paths)?;
                let is_right = found.iter().map(|(_, value)| value.as_deref()).eq(part
                    .iter()
                    .map(|(_, value)| value.as_ref().map(|value| &value[..])));
                ensure!(is_right, "{} reads something else", kind.name);
                samples.extend(found.iter().map(|(time, _)| *time));
            }
        }
        Ok(())
    }
}

/// Measures and prints.
pub fn run(arguments: &Arguments, directory: &Path) -> Result<Value> {
    let mut stores = Stores::build(directory, arguments.accounts)?;
    for _ in 0..arguments.blocks {
        stores.block(10_000)?;
    }
    let present = stores.accounts.present(arguments.reads);
    let absent = stores.accounts.absent(arguments.reads);
    // Whatever is read on the way is in memory after that.
    Row::new("once before", &stores).read(&stores, &present)?;
    Row::new("once before", &stores).read(&stores, &absent)?;
    let mut rows = vec![
        Row::new("present, warm", &stores),
        Row::new("absent, warm", &stores),
    ];
    rows[0].read(&stores, &present)?;
    rows[1].read(&stores, &absent)?;
    rows.extend([
        Row::new("present, cold", &stores),
        Row::new("absent, cold", &stores),
    ]);
    for _ in 0..arguments.cold {
        for (row, is_present) in [(2, true), (3, false)] {
            stores.reopen_cold(directory)?;
            let held = if is_present {
                stores.accounts.present(AT_ONCE)
            } else {
                stores.accounts.absent(AT_ONCE)
            };
            rows[row].read(&stores, &held)?;
        }
    }
    let mut clock = Samples::default();
    clock.extend((0..arguments.reads).map(|_| timed(|| ()).0));

    println!(
        "{:<15}{:<10}{:>11}{:>11}{:>8}",
        "read", "store", "median ns", "p99", "ratio"
    );
    let mut json = Vec::new();
    for row in &rows {
        for ((kind, _), samples) in stores.all.iter().zip(&row.samples) {
            let over = samples.over(&row.samples[0]);
            println!(
                "{:<15}{:<10}{:>11}{:>11}{:>8.2}",
                row.name,
                kind.name,
                samples.median().as_nanos(),
                samples.quantile(0.99).as_nanos(),
                over
            );
            json.push(json!({
                "read": row.name,
                "store": kind.name,
                "time": samples.json(),
                "over_millrace": over,
            }));
        }
    }
    println!("of which the clock takes {} ns", clock.median().as_nanos());
    json.push(json!({ "read": "the clock alone", "time": clock.json() }));
    Ok(json.into())
}
