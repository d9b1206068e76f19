//! Frames: entering them, their pages, and the first run of a program.

use std::time::Duration;

use millrace_executor::Tier;
use millrace_types::Address;

use super::Row;
use super::chain::Chain;
use super::contract;

const CONTRACT: Address = Address([0xc5; 32]);
const RUNS: u32 = 50;
/// Programs that are run for the first time.
const FRESH: u64 = 6;

fn row(name: &str, size: u64, (time, gas): (Duration, u64)) -> Row {
    Row {
        name: name.to_owned(),
        size,
        nanoseconds: time.as_secs_f64() * 1e9,
        gas: gas as f64,
    }
}

/// Measures what contains `only` in its name.
pub fn measure(only: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut chain = Chain::new(Tier::Jit);
    for pages in [0, 1, 16, 256, 4096, 16_000] {
        for (name, data, constants) in [
            ("frame, pages of data, touched", pages, 0),
            ("frame, constant pages, touched", 0, pages),
        ] {
            if name.contains(only) {
                chain.install(CONTRACT, &contract::toucher(data, constants, 0));
                let runs = (0..RUNS).map(|_| chain.call(CONTRACT, Vec::new()));
                rows.push(row(name, pages, runs.min().expect("there is a run")));
            }
        }
    }
    let name = "first run, a page of text a time";
    for text in [4096, 64 << 10, 1 << 20, 15 << 20] {
        if name.contains(only) {
            chain.forget_programs(Tier::Auto);
            let first = |mark| {
                chain.install(CONTRACT, &contract::spread(text, mark));
                chain.call(CONTRACT, Vec::new())
            };
            rows.push(row(
                name,
                text,
                (0..FRESH).map(first).min().expect("there is a run"),
            ));
        }
    }
    rows
}
