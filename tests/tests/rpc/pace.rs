//! What one connection may hold, at what pace it is listened to, and how many there are: bounds that nobody meets who reads
//! what is answered.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millrace_pipeline::EngineConfig;
use millrace_rpc::RateLimit;
use millrace_rpc::server::RpcConfig;
use serde_json::{Value, json};

use crate::calls::{deploy_hash, hash_work};
use crate::contracts;
use crate::limits::hex;
use crate::node::Node;
use crate::socket::{self, WebSocket};

const PATIENCE: Duration = Duration::from_secs(20);

fn node(rpc: RpcConfig) -> Node {
    Node::start(contracts::spec(), EngineConfig::default(), rpc)
}

/// Reads so many answers; which ids they have.
fn ids(socket: &mut WebSocket, many: usize) -> Vec<u64> {
    let mut ids: Vec<u64> = (0..many)
        .map(|_| {
            let answer = socket.read();
            assert!(answer.get("result").is_some(), "{answer}");
            answer["id"].as_u64().unwrap()
        })
        .collect();
    ids.sort_unstable();
    ids
}

/// Far more than the kernel holds, and than is read ahead.
#[test]
fn who_sends_without_waiting_and_reads_late_is_answered_everything() {
    const CALLS: u64 = 12_000;
    let node = Node::new();
    let mut socket = WebSocket::open(&node.address, "").unwrap();
    let mut sender = socket.twin();
    let sending = std::thread::spawn(move || {
        for id in 0..CALLS {
            sender.call(id, "millrace_status", &json!([]));
        }
    });
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(ids(&mut socket, CALLS as usize), (0..CALLS).collect::<Vec<_>>());
    sending.join().unwrap();
}

#[test]
fn long_answers_that_wait_are_all_given_in_the_end() {
    const CALLS: u64 = 120;
    // One and a half of the answers: calls have to wait for room again and again.
    let mut node = node(RpcConfig {
        max_response_bytes: 1 << 20,
        ..RpcConfig::default()
    });
    contracts::finalize_a_long_block(&mut node);
    let mut socket = WebSocket::open(&node.address, "").unwrap();
    for id in 0..CALLS {
        socket.call(id, "millrace_getBlock", &json!([1, "full"]));
    }
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(ids(&mut socket, CALLS as usize), (0..CALLS).collect::<Vec<_>>());
    // And whatever was counted is taken back: the next one has room.
    socket.call(CALLS, "millrace_status", &json!([]));
    assert_eq!(socket.read()["id"], CALLS);
}

#[test]
fn who_sends_what_has_no_answer_is_listened_to() {
    let node = Node::new();
    let mut socket = WebSocket::open(&node.address, "").unwrap();
    for _ in 0..10_000 {
        socket.send(r#"{"jsonrpc":"2.0","method":"millrace_status"}"#);
    }
    socket.call(1, "millrace_status", &json!([]));
    assert_eq!(socket.read()["id"], 1);
}

/// Whether the other side ends the connection.
fn is_ended(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).is_ok()
}

#[test]
fn a_connection_that_is_silent_is_closed_and_one_that_waits_is_not() {
    let rpc = RpcConfig {
        silent_timeout: Duration::from_millis(300),
        call_gas_limit: 1 << 40,
        ..RpcConfig::default()
    };
    let mut node = node(rpc);
    let host = node.address.clone();
    // After an answer, after half a head, and after half a body.
    for sent in [
        format!("GET /health HTTP/1.1\r\nhost: {host}\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nhost: {host}\r\n"),
        format!(
            "POST / HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
        ),
    ] {
        let mut stream = TcpStream::connect(&host).unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
        assert!(is_ended(&mut stream), "{sent}");
    }

    let hash = deploy_hash(&mut node);
    let took_longer = (0..10).any(|doubled| {
        let input = format!("0x{}", hex(&hash_work(4_000 << doubled)));
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "millrace_call", "params": [{ "to": hash, "input": input }] });
        let began = now();
        let answer = socket::post(&node.address, &call.to_string());
        assert!(answer.body.contains("success"), "{}", answer.body);
        began.elapsed() > Duration::from_millis(1_200)
    });
    assert!(took_longer);
}

#[expect(clippy::disallowed_methods, reason = "how long a call takes is measured")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

#[test]
fn a_connection_counts_before_it_has_sent_anything_and_one_too_many_is_told_why() {
    let rpc = RpcConfig {
        max_connections: 3,
        ..RpcConfig::default()
    };
    let node = node(rpc);
    let idle: Vec<TcpStream> = (0..3)
        .map(|_| TcpStream::connect(&node.address).unwrap())
        .collect();
    let refused = (0..200).find_map(|_| {
        let answer = socket::get(&node.address, "/health");
        std::thread::sleep(Duration::from_millis(10));
        Some(answer).filter(|answer| answer.status == 429)
    });
    let refused = refused.expect("no place is left");
    assert!(
        refused.body.starts_with("Connections: this node has 3"),
        "{refused:?}"
    );
    drop(idle);
    let again = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        socket::get(&node.address, "/health").status == 200
    });
    assert!(again, "places are free again");
}

#[test]
fn where_callers_have_a_rate_no_address_has_all_places() {
    let rpc = RpcConfig {
        max_connections: 8,
        rate_limit: Some(RateLimit {
            per_second: NonZeroU32::new(1_000).unwrap(),
            burst: NonZeroU32::new(1_000).unwrap(),
        }),
        ..RpcConfig::default()
    };
    let node = node(rpc);
    let _two = [(); 2].map(|()| WebSocket::open(&node.address, "").unwrap());
    let refused = socket::get(&node.address, "/health");
    assert_eq!(refused.status, 429);
    assert!(
        refused.body.starts_with("Connections: this address has 2"),
        "{refused:?}"
    );
}

#[test]
fn a_websocket_begins_with_the_first_request_of_its_connection_and_as_the_standard_says() {
    let node = Node::new();
    let upgrade = |headers: &str| {
        let host = &node.address;
        format!(
            "GET / HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: upgrade\r\n{headers}\r\n"
        )
    };
    let whole = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let health = format!("GET /health HTTP/1.1\r\nhost: {}\r\n\r\n", node.address);
    for (sent, status) in [
        (upgrade(whole), "101"),
        (upgrade("sec-websocket-version: 13\r\n"), "400"),
        (upgrade("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), "400"),
        (format!("{health}{}", upgrade(whole)), "400"),
    ] {
        let mut stream = TcpStream::connect(&node.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
        let mut answers = Vec::new();
        // It goes on, so reading ends when nothing more comes.
        let _ = stream.read_to_end(&mut answers);
        let answers = String::from_utf8_lossy(&answers).into_owned();
        let last = answers.rfind("HTTP/1.1 ").expect("an answer");
        assert_eq!(&answers[last + 9..last + 12], status, "{sent}{answers}");
        assert!(status == "101" || answers.contains("Upgrade: "), "{answers}");
    }
}

#[test]
fn a_subscription_stands_alone() {
    let node = Node::new();
    let mut socket = WebSocket::open(&node.address, "").unwrap();
    let call = |id: u64, method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    let batch = json!([
        call(1, "millrace_status", json!([])),
        call(2, "millrace_subscribe", json!(["head"])),
        call(3, "millrace_unsubscribe", json!([7])),
    ]);
    socket.send(&batch.to_string());
    let answers = socket.read();
    assert_eq!(answers[0]["result"]["chain_id"], 7, "{answers}");
    assert_eq!(answers[1]["error"]["data"]["name"], "InvalidRequest", "{answers}");
    assert_eq!(answers[1]["id"], 2, "{answers}");
    assert_eq!(answers[2]["result"], false, "{answers}");
    socket.call(4, "millrace_status", &json!([]));
    assert_eq!(socket.read()["id"], 4, "nothing comes in between");
}

#[test]
fn requests_under_way_are_few_bytes_however_many_they_are() {
    let rpc = RpcConfig {
        max_request_bytes: 20_000,
        max_concurrent_calls: 1,
        call_gas_limit: 1 << 40,
        ..RpcConfig::default()
    };
    let mut node = node(rpc);
    let hash = deploy_hash(&mut node);
    let mut socket = WebSocket::open(&node.address, "").unwrap();
    let is_bounded = (0..10).any(|doubled| {
        let long = format!("0x{}", hex(&hash_work(4_000 << doubled)));
        socket.call(0, "millrace_call", &json!([{ "to": hash, "input": long }]));
        for id in 1..=8 {
            let input = format!("0x{}", "00".repeat(9_000));
            socket.call(id, "millrace_call", &json!([{ "to": hash, "input": input }]));
        }
        let answers: Vec<Value> = (0..9).map(|_| socket.read()).collect();
        let refused = answers.iter().filter(|answer| answer.get("error").is_some());
        let refused: Vec<&Value> = refused.collect();
        for answer in &refused {
            assert_eq!(
                answer["error"]["data"],
                json!({ "name": "LimitExceeded", "what": "bytes of one connection's calls at once", "limit": 80_000 })
            );
        }
        // Four of the longest, less what each is rounded up by.
        refused.len() >= 4
    });
    assert!(is_bounded);
    // What was refused and what was answered left nothing behind.
    let input = format!("0x{}", "00".repeat(9_000));
    socket.call(9, "millrace_call", &json!([{ "to": hash, "input": input }]));
    assert!(socket.read().get("result").is_some());
}

/// How many of the calls of who sends many are answered when one of another caller is.
fn answered_before_the_other(address: &str, call: &Value, many: u64) -> usize {
    let mut busy = WebSocket::open(address, "").unwrap();
    for id in 0..many {
        busy.call(id, "millrace_call", call);
    }
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..many {
                busy.read();
                answered.fetch_add(1, Ordering::SeqCst);
            }
        });
        while answered.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut other = WebSocket::open(address, "").unwrap();
        other.call(1, "millrace_call", call);
        assert_eq!(other.read()["result"]["outcome"], "success");
        answered.load(Ordering::SeqCst)
    })
}

#[test]
fn callers_take_turns_however_many_calls_one_of_them_sends() {
    const MANY: u64 = 60;
    let rpc = RpcConfig {
        max_concurrent_calls: 1,
        call_gas_limit: 1 << 40,
        ..RpcConfig::default()
    };
    let mut node = node(rpc);
    let hash = deploy_hash(&mut node);
    // Until a call takes long enough for the other one to come in time.
    let had_its_turn = (0..8).any(|doubled| {
        let input = format!("0x{}", hex(&hash_work(500 << doubled)));
        let call = json!([{ "to": hash, "input": input }]);
        answered_before_the_other(&node.address, &call, MANY) < MANY as usize / 2
    });
    assert!(had_its_turn);
}
