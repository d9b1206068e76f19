//! HTTP and WebSocket, batches, limits, plain pages, and who may ask.

use std::time::Duration;

use jsonrpsee::core::client::ClientT as _;
use jsonrpsee::core::params::BatchRequestBuilder;
use jsonrpsee::rpc_params;
use millrace_pipeline::{EngineConfig, Tag};
use millrace_rpc::server::RpcConfig;
use millrace_rpc::shapes::{Topic, TransactionDetail};
use millrace_rpc::{Bytes, MillraceClient as _};
use millrace_types::Hash;
use serde_json::{Value, json};

use crate::contracts;
use crate::node::{Node, height, tag};
use crate::sequencer::{address, submit_rounds};
use crate::socket::{self, WebSocket};

#[test]
fn both_transports_answer_the_same() {
    let mut node = Node::new();
    submit_rounds(&node.chain, 0, 4);
    node.settle();
    let (http, socket) = (&node.http, node.websocket());
    assert_eq!(node.ask(http.status()), node.ask(socket.status()));
    assert_eq!(node.ask(http.chain_spec()), node.ask(socket.chain_spec()));
    let full = Some(TransactionDetail::Full);
    assert_eq!(
        node.ask(http.block(height(1), full)),
        node.ask(socket.block(height(1), full))
    );
    assert_eq!(node.ask(http.headers(0, 9)), node.ask(socket.headers(0, 9)));
    let (proof, settled) = (Some(true), tag(Tag::Settled));
    assert_eq!(
        node.ask(http.account(address(1), settled, proof)),
        node.ask(socket.account(address(1), settled, proof))
    );
    assert_eq!(
        node.refusal(http.account(address(1), height(99), None)),
        node.refusal(socket.account(address(1), height(99), None))
    );
    assert_eq!(
        node.ask(http.transaction_status(Hash([1; 32]))),
        node.ask(socket.transaction_status(Hash([1; 32])))
    );
}

#[test]
fn parameters_may_come_by_name_and_defaults_be_left_out() {
    let node = Node::new();
    let ask = |params: &str| {
        let body =
            format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"millrace_getBlock\",\"params\":{params}}}");
        let answer = socket::post(&node.address, &body);
        assert_eq!(answer.status, 200);
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        answer["result"]["header"]["height"].clone()
    };
    assert_eq!(ask("{\"transactions\":\"full\",\"block\":0}"), 0);
    assert_eq!(ask("[0,\"full\"]"), 0);
    assert_eq!(ask("[\"latest\"]"), 0);
    assert_eq!(ask("[]"), 0);
    assert_eq!(ask("[null, null]"), 0);
}

#[test]
fn a_batch_is_answered_call_by_call_in_order() {
    let node = Node::new();
    let mut batch = BatchRequestBuilder::new();
    batch.insert("millrace_status", rpc_params![]).unwrap();
    batch.insert("millrace_getBlock", rpc_params![10_000]).unwrap();
    batch
        .insert("millrace_getHeaders", rpc_params![0, 1_000])
        .unwrap();
    batch.insert("millrace_nothing", rpc_params![]).unwrap();
    let answers = node.ask(node.http.batch_request::<Value>(batch));
    let answers: Vec<_> = answers.into_iter().collect();
    assert_eq!(answers[0].as_ref().unwrap()["chain_id"], 7);
    assert!(answers[1].as_ref().unwrap().is_null());
    let code = |at: usize| answers[at].as_ref().unwrap_err().code();
    assert_eq!((code(2), code(3)), (-32021, -32601));
}

#[test]
fn a_batch_that_is_too_large_is_refused_whole_on_both_transports() {
    let rpc = RpcConfig {
        max_batch: 3,
        ..RpcConfig::default()
    };
    let node = Node::start(contracts::spec(), EngineConfig::default(), rpc);
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"millrace_status"}"#;
    let batch = |calls: usize| format!("[{}]", vec![call; calls].join(","));
    let by_http = socket::post(&node.address, &batch(4));
    let by_http: Value = serde_json::from_str(&by_http.body).unwrap();
    let mut socket = WebSocket::open(&node.address, "").unwrap();
    socket.send(&batch(4));
    for answer in [by_http, socket.read()] {
        let error = &answer["error"];
        assert_eq!(
            (&error["code"], &error["data"]["limit"]),
            (&json!(-32021), &json!(3)),
            "{answer}"
        );
        assert_eq!(error["data"]["name"], "LimitExceeded");
    }
    socket.send(&batch(3));
    assert_eq!(socket.read().as_array().unwrap().len(), 3);
}

#[test]
fn an_answer_that_is_too_long_is_refused_by_name() {
    let rpc = RpcConfig {
        max_response_bytes: 20_000,
        ..RpcConfig::default()
    };
    let mut node = Node::start(contracts::spec(), EngineConfig::default(), rpc);
    submit_rounds(&node.chain, 0, 4);
    node.settle();
    let full = Some(TransactionDetail::Full);
    let limit = json!({ "what": "bytes of one answer", "limit": 20_000 });
    node.refusal(node.http.block(height(1), full))
        .is(-32021, "LimitExceeded", &limit);
    assert!(
        node.ask(node.http.block(height(1), None)).is_some(),
        "by hash it fits"
    );
    let batch = format!(
        "[{}]",
        [r#"{"jsonrpc":"2.0","id":1,"method":"millrace_getBlock","params":[1]}"#; 8].join(",")
    );
    let answer: Value = serde_json::from_str(&socket::post(&node.address, &batch).body).unwrap();
    assert_eq!(answer["error"]["data"]["name"], "LimitExceeded", "{answer}");
}

#[test]
fn there_is_room_for_whatever_the_chain_allows() {
    let mut spec = contracts::spec();
    spec.limits.transaction_bytes = 64_000;
    spec.limits.block_bytes = 65_000;
    let tight = RpcConfig {
        max_request_bytes: 1_024,
        max_response_bytes: 1_024,
        ..RpcConfig::default()
    };
    let rpc = tight.fitting(&spec.limits);
    let mut node = Node::start(spec, EngineConfig::default(), rpc);
    let longest = contracts::call(0, 0, address(1), &vec![0xff; 63_700]);
    let size = longest.byte_len();
    assert!((63_800..64_000).contains(&size), "{size}");
    node.ask(node.http.send_transaction(Bytes::of(&longest)));
    node.next_block();
    node.wait_until_finalized(1);
    let block = node.ask(
        node.http
            .block(tag(Tag::Finalized), Some(TransactionDetail::Full)),
    );
    assert!(block.unwrap().size > 63_800);

    let spec = contracts::spec();
    let rpc = RpcConfig {
        max_response_bytes: 1_024,
        ..RpcConfig::default()
    };
    let mut node = Node::start(spec.clone(), EngineConfig::default(), rpc.fitting(&spec.limits));
    submit_rounds(&node.chain, 0, 4);
    let transactions = node.next_block().body.transactions.len();
    assert_eq!(
        transactions as u32, spec.limits.block_transactions,
        "a block of the most transactions"
    );
    node.wait_until_finalized(1);
    let full = Some(TransactionDetail::Full);
    assert!(node.ask(node.http.block(height(1), full)).is_some());
}

#[test]
fn a_wrong_topic_is_refused_once() {
    let node = Node::new();
    let mut socket = WebSocket::open(&node.address, "").unwrap();
    socket.call(1, "millrace_subscribe", &json!(["newest"]));
    let answer = socket.read();
    assert_eq!(answer["error"]["code"], -32602);
    assert_eq!(answer["error"]["data"]["parameter"], "topic", "{answer}");
    socket.call(2, "millrace_status", &json!([]));
    assert_eq!(socket.read()["id"], 2, "nothing comes in between");
}

#[test]
fn health_is_200_while_it_is_well_and_503_with_the_reason_when_not() {
    let node = Node::new();
    let well = socket::get(&node.address, "/health");
    assert_eq!((well.status, well.body.as_str()), (200, "{\"status\":\"ok\"}"));
    assert!(well.headers.contains("content-type: application/json"));
    let reason = "{\"status\":\"unavailable\",\"reason\":\"engine stopped\"}";
    *node.health.lock().unwrap() = Err(reason.to_owned());
    let ill = socket::get(&node.address, "/health");
    assert_eq!((ill.status, ill.body.as_str()), (503, reason));
    assert_eq!(
        node.ask(node.http.status()).chain_id,
        7,
        "calls are answered all the same"
    );
}

#[test]
fn metrics_are_prometheus_text_and_other_pages_are_refused() {
    let node = Node::new();
    let metrics = socket::get(&node.address, "/metrics");
    assert_eq!(
        (metrics.status, metrics.body.as_str()),
        (200, "# HELP example\nexample 1\n")
    );
    assert!(
        metrics
            .headers
            .contains("content-type: text/plain; version=0.0.4")
    );
    assert_eq!(socket::get(&node.address, "/other").status, 405);
    assert_eq!(socket::get(&node.address, "/").status, 405);
}

#[test]
fn a_node_on_loopback_answers_this_machine_and_its_pages_alone() {
    let node = Node::new();
    let status = |host: &str, headers: &str| {
        let head = format!("POST / HTTP/1.1\r\ncontent-type: application/json{headers}");
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"millrace_status"}"#;
        socket::request(&node.address, host, &head, body).status
    };
    let port = node.address.rsplit(':').next().unwrap();
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
        assert_eq!(status(&host, ""), 200, "{host}");
        assert_eq!(status(&host, "\r\norigin: http://localhost:3000"), 200, "{host}");
        assert_eq!(status(&host, "\r\norigin: https://example.com"), 403, "{host}");
    }
    assert_eq!(status(&format!("example.com:{port}"), ""), 403);
    assert_eq!(
        WebSocket::open(&node.address, "origin: https://example.com\r\n").err(),
        Some(403)
    );
    assert!(WebSocket::open(&node.address, "origin: http://127.0.0.1:8080\r\n").is_ok());
    let page = socket::request(&node.address, "example.com", "GET /metrics HTTP/1.1", "");
    assert_eq!(page.status, 403);
}

#[test]
fn connections_are_bounded() {
    let rpc = RpcConfig {
        max_connections: 2,
        ..RpcConfig::default()
    };
    let node = Node::start(contracts::spec(), EngineConfig::default(), rpc);
    let first = WebSocket::open(&node.address, "").unwrap();
    let second = WebSocket::open(&node.address, "").unwrap();
    assert_eq!(WebSocket::open(&node.address, "").err(), Some(429));
    drop((first, second));
    let again = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        WebSocket::open(&node.address, "").is_ok()
    });
    assert!(again, "places are free again");
}

#[test]
fn the_server_stops_while_subscribers_listen() {
    let mut node = Node::new();
    let socket = node.websocket();
    let mut stream = node.ask(socket.follow(Topic::Finalized));
    node.stop_server();
    assert!(
        node.next(&mut stream).is_none(),
        "the subscription ends with the connection"
    );
}

/// A node with one place for a connection, which a peer has that does not read.
fn clogged(unread_timeout: Duration) -> (Node, WebSocket) {
    let rpc = RpcConfig {
        max_connections: 1,
        unread_timeout,
        ..RpcConfig::default()
    };
    let mut node = Node::start(contracts::spec(), EngineConfig::default(), rpc);
    contracts::finalize_a_long_block(&mut node);
    let mut socket = WebSocket::open(&node.address, "").unwrap();
    socket.clog();
    (node, socket)
}

#[test]
fn a_peer_that_does_not_read_loses_its_place_after_a_while() {
    let (node, socket) = clogged(Duration::from_secs(2));
    let again = (0..1_000).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        WebSocket::open(&node.address, "").is_ok()
    });
    assert!(again, "its place is free again");
    drop(socket);
}

#[test]
fn the_server_stops_although_a_peer_does_not_read() {
    let (mut node, socket) = clogged(Duration::from_secs(600));
    node.stop_server_within(Duration::from_millis(100));
    drop(socket);
}
