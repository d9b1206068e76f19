//! Whole transactions, signature included.

use std::time::Duration;

use millrace_executor::Tier;
use millrace_types::{Address, Payload};

use super::Row;
use super::chain::Chain;
use super::contract;

const CONTRACT: Address = Address([0xc6; 32]);
const RUNS: u32 = 30;

/// Measures what contains `only` in its name.
pub fn measure(only: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut chain = Chain::new(Tier::Auto);
    chain.install(CONTRACT, &contract::toucher(0, 0, 0));
    let mut add = |name: &str, size: usize, payloads: &mut dyn Iterator<Item = Payload>| {
        if name.contains(only) {
            let run = |payload| chain.transact(&chain.sign(payload));
            let (time, gas): (Duration, u64) = payloads.map(run).min().expect("there is a run");
            rows.push(Row {
                name: name.to_owned(),
                size: size as u64,
                nanoseconds: time.as_secs_f64() * 1e9,
                gas: gas as f64,
            });
        }
    };
    let transfer = || Payload::Transfer {
        to: Address([5; 32]),
        value: 1,
    };
    add("transaction: transfer", 0, &mut (0..RUNS).map(|_| transfer()));
    for len in [0, 4096, 1 << 20] {
        let call = || Payload::Call {
            to: CONTRACT,
            value: 0,
            input: vec![1; len],
        };
        add("transaction: call", len, &mut (0..RUNS).map(|_| call()));
    }
    for text in [4096, 64 << 10, 1 << 20] {
        // A code that was never seen each time.
        let deploy = |mark| Payload::Deploy {
            code: contract::spread(text, mark),
            value: 0,
            input: Vec::new(),
        };
        add("transaction: deploy", text as usize, &mut (0..6).map(deploy));
    }
    rows
}
