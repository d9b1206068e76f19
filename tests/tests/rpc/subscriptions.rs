//! Subscriptions: numbered without gaps, cut off when too slow, ended when asked.

use std::collections::BTreeMap;

use millrace_pipeline::{BlockRef, BuildAnswer, BuildRequest, EngineConfig};
use millrace_rpc::MillraceClient as _;
use millrace_rpc::server::RpcConfig;
use millrace_rpc::shapes::{BlockRefView, EventView, LogFilterView, LogQueryView, OneOrMany, Topic};
use millrace_types::{Block, Hash, SignedTransaction};
use serde_json::{Value, json};

use crate::contracts;
use crate::node::{Node, hash, height};
use crate::scripted::{self, Script};
use crate::sequencer::{address, submit_rounds};
use crate::socket::WebSocket;

/// A block on `parent`, told from its siblings by `name`: built, head and executed.
fn next_head(node: &mut Node, parent: Hash, name: u8) -> Block {
    let request = BuildRequest {
        parent,
        consensus_data: vec![name],
        allow_empty: true,
        ..node.chain.request()
    };
    let BuildAnswer::Built(block) = node.chain.build(request) else {
        panic!("nothing holds it back");
    };
    node.chain.import(&block);
    node.chain.move_to(block.hash());
    node.chain.wait_until_executed_to(block.hash());
    *block
}

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
fn a_reorg_is_told_block_by_block_and_lost_receipts_are_not_canonical() {
    let mut node = Node::new();
    let socket = node.websocket();
    let mut executed = node.ask(socket.follow(Topic::Executed));
    let mut head = node.ask(socket.follow(Topic::Head));
    let genesis = node.chain.engine.genesis();
    let mut made = Vec::new();
    // Two blocks on genesis, one after the other, and then a sibling of the first.
    for (parent, name) in [(None, 1), (Some(0), 1), (None, 2)] {
        let parent = parent.map_or(genesis, |at: usize| made[at]);
        let block = next_head(&mut node, parent.hash, name);
        made.push(BlockRef::of(&block));
    }
    let told: Vec<(&str, Hash)> = (0..5)
        .map(|sequence| {
            let told = node.next(&mut executed).unwrap();
            assert_eq!(told.sequence, sequence);
            match told.event {
                EventView::Executed { receipt, .. } => ("executed", receipt.block_hash),
                EventView::Removed { block_hash, .. } => ("removed", block_hash),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    let [first, second, sibling] = [made[0].hash, made[1].hash, made[2].hash];
    let expected = [
        ("executed", first),
        ("executed", second),
        ("removed", second),
        ("removed", first),
        ("executed", sibling),
    ];
    assert_eq!(told, expected);
    let mut last = None;
    for _ in 0..3 {
        last = Some(node.next(&mut head).unwrap().event);
    }
    let views = |blocks: &[BlockRef]| blocks.iter().map(BlockRefView::from).collect::<Vec<_>>();
    let expected = EventView::HeadMoved {
        height: 1,
        block_hash: sibling,
        removed: views(&[made[1], made[0]]),
        added: views(&[made[2]]),
    };
    assert_eq!(last, Some(expected));
    for (block, canonical) in [(first, false), (sibling, true)] {
        let receipt = node.ask(node.http.execution_receipt(hash(block)));
        assert_eq!(receipt.unwrap().canonical, canonical);
        let view = node.ask(node.http.block(hash(block), None)).unwrap();
        assert!(view.executed && !view.finalized);
    }
    let at_its_height = node.ask(node.http.block(height(1), None)).unwrap();
    assert_eq!(at_its_height.hash, sibling);
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

/// What a subscription was told.
#[derive(Default)]
struct Told {
    notifications: Vec<Value>,
    /// Why it was ended, if it was.
    end: Option<String>,
}

impl Told {
    /// The height of the newest block that it was told of.
    fn height(&self) -> u64 {
        self.notifications.last().map_or(0, height_of)
    }
}

/// The height of the block that a notification tells of.
fn height_of(notification: &Value) -> u64 {
    let event = &notification["event"];
    let height = event["receipt"]["height"].as_u64();
    height.or(event["height"].as_u64()).unwrap()
}

/// A connection with subscriptions to something that comes once with each block, which reads when it is told to.
struct Follower {
    socket: WebSocket,
    subscriptions: BTreeMap<String, Told>,
    /// The first block that it is told of.
    first: u64,
}

impl Follower {
    /// To executed blocks, made at genesis.
    fn of(node: &Node, subscriptions: u32) -> Self {
        Self::to(node, subscriptions, &json!("executed"), 1)
    }

    /// To a topic, before the block at height `first`.
    fn to(node: &Node, subscriptions: u32, topic: &Value, first: u64) -> Self {
        let mut socket = WebSocket::open(&node.address, "").unwrap();
        let follow = |id| {
            socket.call(id, "millrace_subscribe", &json!([topic]));
            (socket.read()["result"].to_string(), Told::default())
        };
        let subscriptions = (0..u64::from(subscriptions)).map(follow).collect();
        Self {
            socket,
            subscriptions,
            first,
        }
    }

    /// Reads until every subscription has either ended or been told of height `last`.
    fn read_up_to(&mut self, last: u64) {
        let is_there = |told: &Told| told.end.is_some() || told.height() >= last;
        while !self.subscriptions.values().all(is_there) {
            let message = self.socket.read();
            assert_eq!(message["method"], "millrace_notification");
            let params = &message["params"];
            let told = self.subscriptions.get_mut(&params["subscription"].to_string());
            let told = told.expect("a subscription of this connection");
            assert_eq!(told.end, None, "nothing comes behind the end");
            match params.get("error") {
                Some(error) => told.end = Some(error.as_str().unwrap().to_owned()),
                None => told.notifications.push(params["result"].clone()),
            }
        }
    }

    /// The subscriptions that were cut off. Whatever was told is checked: every block in its turn, and why it ended.
    fn cut_off(&self) -> usize {
        for Told { notifications, end } in self.subscriptions.values() {
            for (sequence, notification) in notifications.iter().enumerate() {
                assert_eq!(notification["sequence"], sequence);
                let expected = self.first + sequence as u64;
                assert_eq!(height_of(notification), expected, "nothing is left out");
            }
            if let Some(end) = end {
                assert!(end.starts_with("lagged: this subscriber is "), "{end}");
            }
        }
        let told = self.subscriptions.values();
        told.filter(|told| told.end.is_some()).count()
    }
}

/// While an answer that nobody reads is stuck in the socket, [`RpcConfig::message_buffer`] is all the room that there is
/// for notifications, and there are many times more: whoever is how fast, no subscription can be told everything.
#[test]
fn a_subscriber_that_does_not_read_is_cut_off_and_told() {
    const SUBSCRIPTIONS: u32 = 16;
    const BLOCKS: u64 = 40;
    let rpc = RpcConfig {
        max_subscriptions: SUBSCRIPTIONS,
        // More events than come with one block: nobody is cut off who reads about each before the next.
        subscription_buffer: 16,
        message_buffer: 8,
        ..RpcConfig::default()
    };
    let mut node = Node::start(contracts::spec(), EngineConfig::default(), rpc);
    let reader = node.websocket();
    let mut reader = node.ask(reader.follow(Topic::Executed));
    let mut follower = Follower::of(&node, SUBSCRIPTIONS);
    let mut execute = |node: &mut Node, height: u64, transaction: SignedTransaction| {
        node.chain.engine.submit_transaction(transaction).unwrap();
        assert_eq!(node.next_block().header.height, height);
        let told = node.next(&mut reader).unwrap();
        let EventView::Executed { receipt, .. } = told.event else {
            panic!("{told:?}");
        };
        assert_eq!((told.sequence, receipt.height), (height - 1, height));
    };
    execute(&mut node, 1, contracts::long_call(0, 0));
    follower.read_up_to(1);
    assert_eq!(follower.cut_off(), 0);

    follower.socket.clog();
    for height in 2..=BLOCKS {
        execute(
            &mut node,
            height,
            contracts::transfer(1, height - 2, address(2), 1),
        );
    }
    follower.socket.unclog();
    follower.read_up_to(BLOCKS);
    assert_eq!(follower.cut_off(), SUBSCRIPTIONS as usize);

    // The connection itself goes on.
    follower.socket.call(9_999, "millrace_status", &json!([]));
    assert_eq!(follower.socket.read()["result"]["chain_id"], 7);
}

/// Who is cut off here and who is not is chance: how many are behind when blocks come faster than they are told of, and
/// whether those who are left fill the socket.
#[test]
fn a_subscription_that_is_not_told_everything_is_told_that() {
    const BLOCKS: u64 = 60;
    let rpc = RpcConfig {
        max_subscriptions: 512,
        subscription_buffer: 4,
        message_buffer: 8,
        ..RpcConfig::default()
    };
    let mut node = Node::start(contracts::spec(), EngineConfig::default(), rpc);
    let mut follower = Follower::of(&node, 512);
    for round in 0..BLOCKS {
        submit_rounds(&node.chain, round, 1);
        node.next_block();
    }
    node.settle();
    let last = node.chain.engine.heights().executed.height;
    assert!(last >= BLOCKS);
    follower.read_up_to(last);
    follower.cut_off();
}

/// As with `executed` above. Where it was cut off, a search for logs goes on.
#[test]
fn a_subscriber_of_logs_that_does_not_read_is_cut_off_and_finds_the_rest() {
    const SUBSCRIPTIONS: u32 = 16;
    const BLOCKS: u64 = 40;
    let rpc = RpcConfig {
        max_subscriptions: SUBSCRIPTIONS,
        subscription_buffer: 16,
        message_buffer: 8,
        ..RpcConfig::default()
    };
    let mut node = Node::start(contracts::spec(), EngineConfig::default(), rpc);
    node.chain
        .engine
        .submit_transaction(contracts::long_call(2, 0))
        .unwrap();
    node.next_block();
    let counter = contracts::deploy_counter(&mut node);
    let first = node.chain.head.height + 1;
    let reader = node.websocket();
    let mut reader = node.ask(reader.follow(Topic::Executed));
    let topic = json!({ "logs": { "contract": counter } });
    let mut follower = Follower::to(&node, SUBSCRIPTIONS, &topic, first);
    let mut execute = |node: &mut Node, nonce| {
        let call = contracts::call(1, nonce, counter, contracts::INCREMENT);
        node.chain.engine.submit_transaction(call).unwrap();
        assert_eq!(node.next_block().header.height, first + nonce);
        let told = node.next(&mut reader).unwrap();
        assert!(matches!(told.event, EventView::Executed { .. }), "{told:?}");
    };
    execute(&mut node, 0);
    follower.read_up_to(first);
    assert_eq!(follower.cut_off(), 0);
    follower.socket.clog();
    for nonce in 1..BLOCKS {
        execute(&mut node, nonce);
    }
    follower.socket.unclog();
    let last = first + BLOCKS - 1;
    follower.read_up_to(last);
    assert_eq!(follower.cut_off(), SUBSCRIPTIONS as usize);

    let told = follower.subscriptions.values().next().unwrap();
    let missed = LogQueryView {
        from: height(told.height() + 1),
        ..LogQueryView::default()
    };
    let missed = node.ask(node.http.logs(missed)).logs;
    let heights: Vec<u64> = missed.iter().map(|found| found.log.height).collect();
    assert_eq!(heights, (told.height() + 1..=last).collect::<Vec<_>>());
}

/// What a topic's subscriber is told of: a word, the block, and the place in it.
fn brief(event: EventView) -> (&'static str, Hash, u32, u32) {
    match event {
        EventView::Executed { receipt, .. } => ("executed", receipt.block_hash, 0, 0),
        EventView::Removed { block_hash, .. } => ("removed", block_hash, 0, 0),
        EventView::Transaction {
            block_hash, index, ..
        } => ("transaction", block_hash, index, 0),
        EventView::Log(log) => ("log", log.block_hash, log.transaction_index, log.log_index),
        other => panic!("{other:?}"),
    }
}

#[test]
fn transactions_and_logs_are_told_with_their_blocks_and_taken_back_with_them() {
    let mut node = Node::new();
    let socket = node.websocket();
    let mut early = node.ask(socket.follow(Topic::Executed));
    let contracts = scripted::deploy_some(&mut node, 2);
    let base = node.chain.head;
    // What is executed may not have been told yet.
    while brief(node.next(&mut early).unwrap().event) != ("executed", base.hash, 0, 0) {}
    let wanted = LogFilterView {
        contract: Some(OneOrMany::One(contracts[0])),
        topics: vec![Some(OneOrMany::One(Hash(scripted::topic(1))))],
    };
    let mut transactions = node.ask(socket.follow(Topic::Transactions));
    let mut logs = node.ask(socket.follow(Topic::Logs(wanted)));
    let mut executed = node.ask(socket.follow(Topic::Executed));
    let script = || {
        let script = Script::new().log(&[scripted::topic(1)], b"wanted");
        let script = script
            .log(&[scripted::topic(2)], b"not")
            .log(&[scripted::topic(1)], b"too");
        script.finish()
    };
    // Two transactions in a block, the first to the contract that is wanted; then the block is lost, and they come again.
    for (from, to) in [(0, contracts[0]), (1, contracts[1])] {
        let signed = scripted::run(from, 0, to, script());
        node.chain.engine.submit_transaction(signed).unwrap();
    }
    let mut made = Vec::new();
    for name in [1, 2, 3] {
        let parent = if name == 3 { made[1] } else { base };
        let block = next_head(&mut node, parent.hash, name);
        made.push(BlockRef::of(&block));
        assert_eq!(block.body.transactions.len(), if name == 2 { 0 } else { 2 });
    }
    let [lost, empty, again] = [made[0].hash, made[1].hash, made[2].hash];
    let told = |stream: &mut _, count: u64| -> Vec<_> {
        let told = (0..count).map(|sequence| {
            let told = node.next(stream).unwrap();
            assert_eq!(told.sequence, sequence);
            brief(told.event)
        });
        told.collect()
    };
    assert_eq!(
        told(&mut executed, 4),
        [
            ("executed", lost, 0, 0),
            ("removed", lost, 0, 0),
            ("executed", empty, 0, 0),
            ("executed", again, 0, 0)
        ]
    );
    let of_block = |block| [("transaction", block, 0, 0), ("transaction", block, 1, 0)];
    let [first, second] = of_block(lost);
    let [third, fourth] = of_block(again);
    assert_eq!(
        told(&mut transactions, 5),
        [first, second, ("removed", lost, 0, 0), third, fourth]
    );
    let told = told(&mut logs, 5);
    let index = told[0].2;
    let of_block = |block| [("log", block, index, 0), ("log", block, index, 2)];
    let [first, second] = of_block(lost);
    let index = told[3].2;
    let of_block = |block| [("log", block, index, 0), ("log", block, index, 2)];
    let [third, fourth] = of_block(again);
    assert_eq!(told, [first, second, ("removed", lost, 0, 0), third, fourth]);
}

#[test]
fn a_transaction_is_told_with_what_its_receipt_says() {
    let mut node = Node::new();
    let socket = node.websocket();
    let mut transactions = node.ask(socket.follow(Topic::Transactions));
    submit_rounds(&node.chain, 0, 2);
    node.settle();
    let count = node.chain.engine.counters().transactions_executed;
    assert!(count >= 32);
    for _ in 0..count {
        let told = node.next(&mut transactions).unwrap().event;
        let EventView::Transaction {
            hash,
            height,
            block_hash,
            index,
            outcome,
            gas_used,
            gas_charged,
        } = told
        else {
            panic!("{told:?}");
        };
        let receipt = node.ask(node.http.transaction_receipt(hash, None)).unwrap();
        assert_eq!(
            (height, block_hash, index),
            (receipt.height, receipt.block_hash, receipt.index)
        );
        assert_eq!(
            (outcome, gas_used, gas_charged),
            (receipt.outcome, receipt.gas_used, receipt.gas_charged)
        );
    }
}
