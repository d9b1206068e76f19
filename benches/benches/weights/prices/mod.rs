//! What host calls, entry, first runs and transactions cost, through the executor and over a state in memory.
//!
//! A host call is made in a loop of native code; two loops of different length, subtracted, leave neither entry nor
//! compiling. State lies in a `BTreeMap`: what a drive adds to a cold access is not measured here.

mod chain;
mod contract;
mod entry;
mod host_calls;
mod transactions;

use std::fmt::Write as _;

use millrace_benches::host;
use serde_json::{Value, json};

/// One thing that has a price.
pub struct Row {
    /// What.
    pub name: String,
    /// Bytes, pages: what the price grows with.
    pub size: u64,
    /// Of one, least of the runs.
    pub nanoseconds: f64,
    /// What is charged for it, with the few instructions around it.
    pub gas: f64,
}

impl Row {
    fn ns_per_gas(&self) -> f64 {
        self.nanoseconds / self.gas
    }
}

/// Measures everything whose name contains `only`.
pub fn measure(only: &str) -> Vec<Row> {
    let mut rows = host_calls::measure(only);
    rows.extend(entry::measure(only));
    rows.extend(transactions::measure(only));
    rows
}

/// A table in the order of measuring.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<44}{:>10}{:>12}{:>12}{:>10}\n",
        "what", "size", "ns", "gas", "ns/gas"
    );
    for row in rows {
        let _ = writeln!(
            text,
            "{:<44}{:>10}{:>12.0}{:>12.0}{:>10.3}",
            row.name,
            row.size,
            row.nanoseconds,
            row.gas,
            row.ns_per_gas()
        );
    }
    text
}

/// For a file.
pub fn to_json(rows: &[Row]) -> Value {
    let rows = rows.iter().map(|row| {
        json!({
            "what": row.name,
            "size": row.size,
            "nanoseconds": row.nanoseconds,
            "gas": row.gas,
            "ns_per_gas": row.ns_per_gas(),
        })
    });
    json!({ "machine": host::describe(), "prices": rows.collect::<Value>() })
}
