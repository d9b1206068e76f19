//! How many calls a node answers, printed: a figure to compare with, not a bound. `MILLRACE_LONG=1` measures for longer,
//! and `cargo test --release` what people run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_rpc::{Bytes, MillraceClient};
use millrace_types::SignedTransaction;

use crate::contracts;
use crate::node::Node;
use crate::sequencer::{ACCOUNTS, address};

/// Clients that ask at the same time, one call after the other each.
const CLIENTS: u8 = ACCOUNTS;

#[expect(clippy::disallowed_methods, reason = "a rate is calls over time")]
fn now() -> Instant {
    Instant::now()
}

fn report(what: &str, calls: usize, took: Duration) {
    println!(
        "{what}: {:.0} calls a second ({calls} calls of {CLIENTS} clients in {took:?})",
        calls as f64 / took.as_secs_f64()
    );
}

fn ask_status<C: MillraceClient + Send + Sync + 'static>(
    node: &Node,
    client: &Arc<C>,
    each: usize,
) -> Duration {
    let began = now();
    let asking: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let client = Arc::clone(client);
            node.spawn(async move {
                for _ in 0..each {
                    assert_eq!(client.status().await.unwrap().chain_id, 7);
                }
            })
        })
        .collect();
    for task in asking {
        node.wait(task).unwrap();
    }
    began.elapsed()
}

#[test]
fn calls_are_answered_at_a_rate_that_is_printed() {
    let each = if millrace_tests::tools::number("MILLRACE_LONG", 0) > 0 {
        2_000
    } else {
        40
    };
    let calls = each * usize::from(CLIENTS);
    let node = Node::new();
    report(
        "status over HTTP",
        calls,
        ask_status(&node, &Arc::new(node.http.clone()), each),
    );
    let socket = Arc::new(node.websocket());
    report(
        "status over one WebSocket",
        calls,
        ask_status(&node, &socket, each),
    );

    let transactions: Vec<Vec<SignedTransaction>> = (0..CLIENTS)
        .map(|sender| {
            let to = address((sender + 1) % ACCOUNTS);
            (0..each as u64)
                .map(|nonce| contracts::transfer(sender, nonce, to, 1))
                .collect()
        })
        .collect();
    let began = now();
    let sending: Vec<_> = transactions
        .into_iter()
        .map(|list| {
            let http = node.http.clone();
            node.spawn(async move {
                for transaction in &list {
                    let hash = http.send_transaction(Bytes::of(transaction)).await.unwrap();
                    assert_eq!(hash, transaction.hash());
                }
            })
        })
        .collect();
    for task in sending {
        node.wait(task).unwrap();
    }
    report("sendTransaction over HTTP", calls, began.elapsed());
    assert_eq!(node.ask(node.http.status()).pool.transactions, calls as u64);
}
