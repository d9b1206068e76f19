//! Proofs of what random paths hold, half of which hold nothing: in the newest version, and in one a thousand blocks back.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::accounts::Accounts;
use crate::figures::Samples;
use crate::stores::{Held, Stores};

/// Proofs in one store before it is the next one's turn.
const AT_ONCE: usize = 250;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Accounts that are there
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    accounts: usize,
    /// Blocks of 100 updates above the old version
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..1024))]
    blocks: u64,
    /// Proofs of each version in each store
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    proofs: usize,
}

/// Measures and prints.
pub fn run(arguments: &Arguments, directory: &Path) -> Result<Value> {
    let mut stores = Stores::build(directory, arguments.accounts)?;
    let mut then = stores.accounts.clone();
    for _ in 0..arguments.blocks {
        stores.block(100)?;
    }
    stores.check()?;
    let half = arguments.proofs / 2;
    let asked = |accounts: &mut Accounts| -> Vec<Held> {
        let pairs = accounts.present(half).into_iter().zip(accounts.absent(half));
        pairs.flat_map(|(present, absent)| [present, absent]).collect()
    };
    let versions = [
        ("newest", 0, asked(&mut stores.accounts)),
        ("old", arguments.blocks, asked(&mut then)),
    ];

    println!(
        "{:<9}{:<10}{:>11}{:>9}{:>8}",
        "version", "store", "median us", "p99", "ratio"
    );
    let mut json = Vec::new();
    for (name, back, held) in &versions {
        let mut samples = vec![Samples::default(); stores.all.len()];
        for part in held.chunks(AT_ONCE) {
            for ((kind, store), samples) in stores.all.iter().zip(&mut samples) {
                if *back == 0 || kind.keeps_versions {
                    samples.extend(store.prove(store.height() - back, part)?);
                }
            }
        }
        for ((kind, _), store_samples) in stores.all.iter().zip(&samples) {
            if *back > 0 && !kind.keeps_versions {
                continue;
            }
            let over = store_samples.over(&samples[0]);
            println!(
                "{:<9}{:<10}{:>11.1}{:>9.1}{:>8.2}",
                name,
                kind.name,
                store_samples.median().as_secs_f64() * 1e6,
                store_samples.quantile(0.99).as_secs_f64() * 1e6,
                over
            );
            json.push(json!({
                "version": name,
                "blocks_back": back,
                "store": kind.name,
                "time": store_samples.json(),
                "over_millrace": over,
            }));
        }
    }
    Ok(json.into())
}
