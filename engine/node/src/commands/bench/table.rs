//! What `millrace bench jit` prints.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::measure::{Measured, Times};

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Gas for each nanosecond of the least time.
fn gas_per_ns(gas: u64, times: &Times) -> f64 {
    gas as f64 / nanoseconds(times.least()).max(1) as f64
}

fn code_ratio(row: &Measured) -> f64 {
    row.code_bytes as f64 / f64::from(row.text_bytes.max(1))
}

/// One line for each tier of each program, and what all of it became in the line of `jit`.
pub fn table(rows: &[Measured]) -> String {
    let mut text = format!(
        "{:<16}{:<12}{:>12}{:>12}{:>9}{:>12}{:>11}{:>11}\n",
        "program", "tier", "least ms", "median ms", "gas/ns", "compile ms", "code/text", "in tier 0"
    );
    for row in rows {
        // A path's end says more than its start.
        let skip = row.name.chars().count().saturating_sub(15);
        let mut name: String = row.name.chars().skip(skip).collect();
        for (tier, times) in &row.tiers {
            let _ = write!(
                text,
                "{:<16}{:<12}{:>12.3}{:>12.3}{:>9.3}",
                std::mem::take(&mut name),
                tier.name(),
                milliseconds(times.least()),
                milliseconds(times.median()),
                gas_per_ns(row.gas, times)
            );
            if tier.name() == "jit" {
                let _ = write!(
                    text,
                    "{:>12.3}{:>11.1}{:>10.2}%",
                    milliseconds(row.compile.least()),
                    code_ratio(row),
                    row.interpreted * 100.0
                );
            }
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "{:<16}{} gas, {} instructions, {} bytes of text",
            "", row.gas, row.instructions, row.text_bytes
        );
    }
    text
}

fn times(times: &Times) -> Value {
    json!({ "least_ns": nanoseconds(times.least()), "median_ns": nanoseconds(times.median()) })
}

/// The same for programs.
pub fn json(rows: &[Measured]) -> Value {
    let program = |row: &Measured| {
        let tiers = row.tiers.iter().map(|(tier, measured)| {
            let mut value = times(measured);
            value["tier"] = tier.name().into();
            value["gas_per_ns"] = gas_per_ns(row.gas, measured).into();
            value
        });
        json!({
            "program": row.name,
            "status": row.exit_status,
            "gas_used": row.gas,
            "instructions": row.instructions,
            "text_bytes": row.text_bytes,
            "code_bytes": row.code_bytes,
            "code_ratio": code_ratio(row),
            "interpreted_share": row.interpreted,
            "compile": times(&row.compile),
            "tiers": tiers.collect::<Value>(),
        })
    };
    json!({ "programs": rows.iter().map(program).collect::<Value>() })
}
