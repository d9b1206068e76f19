//! What one caller may take: requests over time for its address, calls at once for its connection.

use std::num::NonZeroU32;
use std::time::Duration;

use millrace_pipeline::EngineConfig;
use millrace_rpc::RateLimit;
use millrace_rpc::server::RpcConfig;
use serde_json::{Value, json};

use crate::calls::{deploy_hash, hash_work};
use crate::contracts;
use crate::node::Node;
use crate::socket::{self, WebSocket};

const BURST: usize = 8;

/// A node that lets an address send one request a second after eight at once.
fn slow() -> Node {
    let rpc = RpcConfig {
        rate_limit: Some(RateLimit {
            per_second: NonZeroU32::MIN,
            burst: NonZeroU32::new(8).unwrap(),
        }),
        ..RpcConfig::default()
    };
    Node::start(contracts::spec(), EngineConfig::default(), rpc)
}

fn batch(entries: &[Value]) -> String {
    serde_json::to_string(entries).unwrap()
}

fn status(id: usize) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "millrace_status" })
}

/// Whether an answer is the refusal; if so, it has to say for how long.
fn is_refused(answer: &Value) -> bool {
    let error = &answer["error"];
    if error["data"]["name"] != "LimitExceeded" {
        return false;
    }
    let data = &error["data"];
    assert_eq!(
        (&error["code"], &data["what"]),
        (&json!(-32021), &json!("requests a second of one address"))
    );
    assert_eq!(data["limit"], 1);
    let wait_ms = data["retry_after_ms"].as_u64().unwrap();
    assert!((1..=1_001).contains(&wait_ms), "{answer}");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains(&format!("wait {wait_ms} ms"))
    );
    true
}

#[test]
fn an_address_that_calls_too_often_is_told_how_long_to_wait_and_served_then() {
    let node = slow();
    // Every entry of a batch counts, and so do notifications, which nobody answers.
    let mut entries: Vec<Value> = (0..BURST - 2).map(status).collect();
    entries.extend(vec![json!({ "jsonrpc": "2.0", "method": "millrace_status" }); 2]);
    entries.extend((100..150).map(status));
    let answers = socket::post(&node.address, &batch(&entries));
    let answers: Vec<Value> = serde_json::from_str(&answers.body).unwrap();
    assert_eq!(answers.len(), BURST - 2 + 50);
    assert!(!answers[..BURST - 2].iter().any(is_refused));
    let refused: Vec<&Value> = answers.iter().filter(|answer| is_refused(answer)).collect();
    // Whoever runs this may be slow: a second more, a request more.
    assert!(refused.len() > 25, "{} of 50", refused.len());

    // The address counts, not the connection or the transport; and refusals take nothing.
    let mut other = WebSocket::open(&node.address, "").unwrap();
    let mut waited = Duration::ZERO;
    loop {
        other.call(1, "millrace_status", &json!([]));
        let answer = other.read();
        if !is_refused(&answer) {
            assert_eq!(answer["result"]["chain_id"], 7);
            break;
        }
        let wait = Duration::from_millis(answer["error"]["data"]["retry_after_ms"].as_u64().unwrap());
        std::thread::sleep(wait);
        waited += wait;
        assert!(waited < Duration::from_secs(10), "who waits as told is served");
    }
    // Pages are not requests.
    assert!((0..2 * BURST).all(|_| socket::get(&node.address, "/health").status == 200));
}

/// What nobody answers, and what is no call, takes as much as a call does: whatever comes behind it is refused.
#[test]
fn notifications_and_what_is_no_call_count_too() {
    for entry in [json!({ "jsonrpc": "2.0", "method": "millrace_status" }), json!(1)] {
        let node = slow();
        let mut entries = vec![entry; 60];
        entries.push(status(1));
        let answers = socket::post(&node.address, &batch(&entries));
        let answers: Vec<Value> = serde_json::from_str(&answers.body).unwrap();
        let last = answers.last().unwrap();
        assert!(last["id"] == 1 && is_refused(last), "{last}");
    }
}

#[test]
fn there_is_no_rate_unless_somebody_sets_one() {
    let node = Node::new();
    for _ in 0..20 {
        let entries: Vec<Value> = (0..64).map(status).collect();
        let answers = socket::post(&node.address, &batch(&entries));
        let answers: Vec<Value> = serde_json::from_str(&answers.body).unwrap();
        assert!(answers.iter().all(|answer| answer["result"]["chain_id"] == 7));
    }
}

/// Whether a call on a connection stays under way for so long that a second one is refused, another connection is served
/// meanwhile, and the first one is still refused after that. `false` if the call ended too early to tell.
fn is_refused_while_others_are_served(busy: &mut WebSocket, address: &str, long: &Value) -> bool {
    busy.call(1, "millrace_call", long);
    for id in [2, 3] {
        busy.call(id, "millrace_status", &json!([]));
        let answer = busy.read();
        if answer["id"] == 1 {
            // What was sent after it is answered too.
            assert_eq!(answer["result"]["outcome"], "success");
            busy.read();
            return false;
        }
        assert_eq!(answer["id"], id);
        if answer.get("result").is_some() {
            // It overtook the call.
            while busy.read()["id"] != 1 {}
            return false;
        }
        assert_eq!(answer["error"]["code"], -32021);
        assert_eq!(
            answer["error"]["data"],
            json!({ "name": "LimitExceeded", "what": "calls of one connection at once", "limit": 1 })
        );
        let mut other = WebSocket::open(address, "").unwrap();
        other.call(1, "millrace_status", &json!([]));
        assert_eq!(other.read()["result"]["chain_id"], 7);
    }
    let answer = busy.read();
    assert_eq!(
        (&answer["id"], &answer["result"]["outcome"]),
        (&json!(1), &json!("success"))
    );
    true
}

#[test]
fn a_connection_with_too_many_calls_under_way_is_refused_and_others_are_not() {
    let rpc = RpcConfig {
        max_calls_per_connection: 1,
        call_gas_limit: 1 << 40,
        ..RpcConfig::default()
    };
    let mut node = Node::start(contracts::spec(), EngineConfig::default(), rpc);
    let hash = deploy_hash(&mut node);
    let mut busy = WebSocket::open(&node.address, "").unwrap();
    // How long a call takes, and when a message is looked at, is the machine's affair: the call gets longer until it is long
    // enough.
    let was_refused = (0..10).any(|doubled| {
        let long = json!([{ "to": hash, "input": format!("0x{}", hex(&hash_work(4_000 << doubled))) }]);
        let was_refused = is_refused_while_others_are_served(&mut busy, &node.address, &long);
        // Its place comes back with the answer.
        let served = (0..500).any(|_| {
            busy.call(4, "millrace_status", &json!([]));
            let is_served = busy.read().get("result").is_some();
            if !is_served {
                std::thread::sleep(Duration::from_millis(10));
            }
            is_served
        });
        assert!(served);
        was_refused
    });
    assert!(was_refused);
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
