//! The same update in states that grow tenfold; and how long opening takes.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::accounts::Accounts;
use crate::figures::{Samples, directory_bytes, drop_cached, ms, timed};
use crate::stores::{EPOCH, Millrace, Store as _};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Keys of the largest state; each but the first is ten times the one before
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    keys: usize,
    /// Up to ten million keys
    #[arg(long)]
    large: bool,
    /// Accounts that a round writes
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    updates: usize,
    /// Rounds in each state
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
}

/// One state.
struct Row {
    keys: usize,
    root: Samples,
    durable: Samples,
    cpu: Samples,
    warm_open: Samples,
    cold_open: Samples,
    bytes: u64,
}

/// Measures and prints.
pub fn run(arguments: &Arguments, directory: &Path) -> Result<Value> {
    let largest = if arguments.large {
        10_000_000
    } else {
        arguments.keys
    };
    let mut accounts = Accounts::new();
    let mut store = Millrace::open(directory)?;
    let mut rows: Vec<Row> = Vec::new();
    println!(
        "{:>9}{:>10}{:>8}{:>12}{:>8}{:>8}{:>8}{:>8}{:>14}{:>14}{:>8}",
        "keys",
        "root ms",
        "p99",
        "durable ms",
        "p99",
        "ratio",
        "cpu ms",
        "ratio",
        "open warm ms",
        "open cold ms",
        "MiB"
    );
    for keys in (4..)
        .map(|power| 10_usize.pow(power))
        .take_while(|keys| *keys <= largest)
    {
        accounts.grow(keys, |writes| store.commit(writes).map(drop))?;
        // What was written before this is moved from here on, as it is in a store in use.
        for _ in 0..EPOCH {
            store.commit(&accounts.update(10))?;
        }
        let [mut root, mut durable, mut cpu] = [(); 3].map(|()| Samples::default());
        for _ in 0..arguments.rounds {
            let times = store.commit(&accounts.update(arguments.updates))?;
            root.push(times.root);
            durable.push(times.durable);
            cpu.push(times.cpu);
        }
        let (mut warm_open, mut cold_open) = (Samples::default(), Samples::default());
        for (is_cold, samples) in [(false, &mut warm_open), (true, &mut cold_open)] {
            for _ in 0..3 {
                drop(store);
                if is_cold {
                    drop_cached(directory)?;
                }
                let (time, opened) = timed(|| Millrace::open(directory));
                store = opened?;
                samples.push(time);
            }
        }
        ensure!(store.root()? == accounts.root(), "another root with {keys} keys");
        let bytes = directory_bytes(directory)?;
        rows.push(Row {
            keys,
            root,
            durable,
            cpu,
            warm_open,
            cold_open,
            bytes,
        });
        let row = &rows[rows.len() - 1];
        println!(
            "{:>9}{:>10.1}{:>8.1}{:>12.1}{:>8.1}{:>8.2}{:>8.1}{:>8.2}{:>14.1}{:>14.1}{:>8}",
            keys,
            ms(row.root.median()),
            ms(row.root.quantile(0.99)),
            ms(row.durable.median()),
            ms(row.durable.quantile(0.99)),
            row.durable.over(&rows[0].durable),
            ms(row.cpu.median()),
            row.cpu.over(&rows[0].cpu),
            ms(row.warm_open.median()),
            ms(row.cold_open.median()),
            bytes >> 20
        );
    }
    let json = rows.iter().map(|row| {
        json!({
            "keys": row.keys,
            "root": row.root.json(),
            "root_over_first": row.root.over(&rows[0].root),
            "durable": row.durable.json(),
            "durable_over_first": row.durable.over(&rows[0].durable),
            "cpu": row.cpu.json(),
            "cpu_over_first": row.cpu.over(&rows[0].cpu),
            "open_warm": row.warm_open.json(),
            "open_cold": row.cold_open.json(),
            "directory_bytes": row.bytes,
        })
    });
    Ok(json.collect())
}
