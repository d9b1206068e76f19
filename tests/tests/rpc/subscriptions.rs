//! Subscriptions: numbered without gaps, cut off when too slow, ended when asked.

use std::collections::BTreeMap;

use millrace_pipeline::EngineConfig;
use millrace_rpc::MillraceClient as _;
use millrace_rpc::server::RpcConfig;
use millrace_rpc::shapes::{EventView, Topic};
use serde_json::{Value, json};

use crate::contracts;
use crate::node::{Node, height};
use crate::sequencer::submit_rounds;
use crate::socket::WebSocket;

#[test]
fn every_topic_counts_its_own_notifications_without_gaps() {
    let mut node = Node::new();
    let socket = node.websocket();
    let mut finalized = node.ask(socket.follow(Topic::Finalized));
    let mut executed = node.ask(socket.follow(Topic::Executed));
    let mut settled = node.ask(socket.follow(Topic::Settled));
    submit_rounds(&node.chain, 0, 30);
    node.settle();
    let heights = node.chain.engine.heights();
    assert!(heights.finalized.height > 7);
    for sequence in 0..heights.finalized.height {
        let told = node.next(&mut finalized).unwrap();
        assert_eq!(told.sequence, sequence);
        let block = node.ask(node.http.block(height(sequence + 1), None)).unwrap();
        let EventView::Finalized {
            height, block_hash, ..
        } = told.event
        else {
            panic!("{told:?}");
        };
        assert_eq!((height, block_hash), (sequence + 1, block.hash));
    }
    for sequence in 0..heights.executed.height {
        let told = node.next(&mut executed).unwrap();
        assert_eq!(told.sequence, sequence);
        let EventView::Executed {
            receipt,
            transactions,
        } = told.event
        else {
            panic!("{told:?}");
        };
        let stored = node
            .ask(node.http.execution_receipt(height(sequence + 1)))
            .unwrap();
        assert_eq!(receipt, stored.receipt);
        let block = node.chain.engine.block(&receipt.block_hash).unwrap().unwrap();
        assert_eq!(transactions as usize, block.body.transactions.len());
    }
    let (mut next, mut sequence) = (1, 0);
    while next <= heights.settled {
        let told = node.next(&mut settled).unwrap();
        assert_eq!(told.sequence, sequence);
        let EventView::Settled {
            from,
            to,
            by,
            by_hash,
        } = told.event
        else {
            panic!("{told:?}");
        };
        assert_eq!(from, next, "no height is left out");
        let settlement = node.ask(node.http.settlement(to)).unwrap();
        assert_eq!(settlement.settled_by, by);
        let settling = node.ask(node.http.block(height(by), None)).unwrap();
        assert_eq!((settling.hash, settling.header.settled_height), (by_hash, to));
        (next, sequence) = (to + 1, sequence + 1);
    }
}

#[test]
fn a_subscription_that_is_ended_makes_room_for_another() {
    let rpc = RpcConfig {
        max_subscriptions: 1,
        ..RpcConfig::default()
    };
    let mut node = Node::start(contracts::spec(), EngineConfig::default(), rpc);
    let socket = node.websocket();
    let first = node.ask(socket.follow(Topic::Finalized));
    node.refusal(socket.follow(Topic::Executed)).is(
        -32021,
        "LimitExceeded",
        &json!({ "what": "subscriptions of one connection", "limit": 1 }),
    );
    node.ask(first.unsubscribe());
    // Its place comes back when the server's task has seen the end, which may be a moment after the answer.
    let mut second = (0..500)
        .find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            node.wait(socket.follow(Topic::Executed)).ok()
        })
        .expect("the place comes back within seconds");
    submit_rounds(&node.chain, 0, 1);
    node.next_block();
    assert_eq!(node.next(&mut second).unwrap().sequence, 0);
}

/// What a connection that does not read finds in the end, by subscription: its notifications, and how it ended.
fn drain(socket: &mut WebSocket, subscriptions: usize) -> BTreeMap<String, (Vec<Value>, String)> {
    let mut told: BTreeMap<String, (Vec<Value>, String)> = BTreeMap::new();
    while told.values().filter(|(_, end)| !end.is_empty()).count() < subscriptions {
        let message = socket.read();
        if message.get("id").is_some() {
            continue;
        }
        assert_eq!(message["method"], "millrace_notification");
        let params = &message["params"];
        let of_it = told.entry(params["subscription"].to_string()).or_default();
        match params.get("error") {
            Some(error) => of_it.1 = error.as_str().unwrap().to_owned(),
            None => of_it.0.push(params["result"].clone()),
        }
    }
    told
}

#[test]
fn a_subscriber_that_does_not_read_is_cut_off_and_told() {
    const SUBSCRIPTIONS: usize = 512;
    let rpc = RpcConfig {
        max_subscriptions: SUBSCRIPTIONS as u32,
        subscription_buffer: 4,
        message_buffer: 8,
        ..RpcConfig::default()
    };
    let mut node = Node::start(contracts::spec(), EngineConfig::default(), rpc);
    let mut socket = WebSocket::open(&node.address, "").unwrap();
    for id in 0..SUBSCRIPTIONS as u64 {
        socket.call(id, "millrace_subscribe", &json!(["executed"]));
        assert!(socket.read().get("result").is_some());
    }
    // Enough for every buffer between here and there: the kernel's are some megabytes.
    for round in 0..60 {
        submit_rounds(&node.chain, round, 1);
        node.next_block();
    }
    node.settle();
    let told = drain(&mut socket, SUBSCRIPTIONS);
    assert_eq!(told.len(), SUBSCRIPTIONS);
    for (notifications, end) in told.values() {
        assert!(end.starts_with("lagged: this subscriber is "), "{end}");
        for (sequence, notification) in notifications.iter().enumerate() {
            assert_eq!(notification["sequence"], sequence);
            assert_eq!(
                notification["event"]["receipt"]["height"],
                sequence + 1,
                "nothing is left out"
            );
        }
    }
    // The connection itself goes on.
    socket.call(9_999, "millrace_status", &json!([]));
    assert_eq!(socket.read()["result"]["chain_id"], 7);
}
