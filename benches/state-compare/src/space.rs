//! Many blocks one after the other: the bytes that each writes, and what the directory comes to.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::accounts::{Accounts, VALUE_BYTES};
use crate::figures::{Samples, directory_bytes, ms, written_bytes};
use crate::stores::{Millrace, Store as _};

/// Blocks in a row of the table.
const ROW: u32 = 100;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Accounts before the first block
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    accounts: usize,
    /// Accounts that a block writes
    #[arg(long, value_name = "N", default_value_t = 1000)]
    updates: usize,
    /// Blocks
    #[arg(long, value_name = "N", default_value_t = 5000)]
    blocks: u32,
}

/// Measures and prints.
pub fn run(arguments: &Arguments, directory: &Path) -> Result<Value> {
    let mut accounts = Accounts::new();
    let mut store = Millrace::open(directory)?;
    accounts.grow(arguments.accounts, |writes| store.commit(writes).map(drop))?;
    let contents = (arguments.accounts * (32 + VALUE_BYTES)) as f64;
    let built = directory_bytes(directory)?;
    println!("{:.2} times the contents when built", built as f64 / contents);
    println!(
        "{:>7}{:>13}{:>12}{:>8}{:>12}",
        "block", "bytes/update", "durable ms", "MiB", "of contents"
    );
    let mut json = Vec::new();
    for last in (ROW..=arguments.blocks).step_by(ROW as usize) {
        let before = written_bytes()?;
        let mut durable = Samples::default();
        for _ in 0..ROW {
            durable.push(store.commit(&accounts.update(arguments.updates))?.durable);
        }
        let updates = f64::from(ROW) * arguments.updates as f64;
        let per_update = (written_bytes()? - before) as f64 / updates;
        let bytes = directory_bytes(directory)?;
        println!(
            "{last:>7}{per_update:>13.0}{:>12.1}{:>8}{:>12.2}",
            ms(durable.median()),
            bytes >> 20,
            bytes as f64 / contents
        );
        json.push(json!({
            "block": last,
            "written_bytes_per_update": per_update,
            "durable": durable.json(),
            "directory_bytes": bytes,
            "directory_over_contents": bytes as f64 / contents,
        }));
    }
    ensure!(store.root()? == accounts.root(), "another root");
    Ok(json!({
        "contents_bytes": contents,
        "built_bytes": built,
        "rows": json,
    }))
}
