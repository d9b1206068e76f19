//! Whatever is sent to the RPC, it answers or ends the connection, and goes on: no panic, no memory without bound, and no
//! request that makes a fault of the node's out of a fault of the sender's.
//!
//! [`requests`] makes calls of every method from the served description of the surface, with parameters that are right,
//! nearly right and absurd, and changes bytes of what it made; [`frames`] speaks WebSocket by the byte, as the standard
//! allows and as it does not; [`silent`] sends and never reads. Each case is drawn from a seed that a failure names. `MILLRACE_LONG=N` makes N times fifty as
//! many.
//!
//! A process of its own: its allocator counts what is held, and its panic hook every panic on any thread.
#![allow(clippy::unwrap_used)]

#[path = "../rpc/contracts.rs"]
#[allow(dead_code, reason = "a part of what the other test program uses")]
mod contracts;
mod counted;
mod frames;
#[path = "../rpc/node.rs"]
#[allow(dead_code, reason = "a part of what the other test program uses")]
mod node;
mod requests;
#[path = "../../../engine/pipeline/tests/common/mod.rs"]
mod sequencer;
mod silent;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millrace_pipeline::EngineConfig;
use millrace_rpc::server::RpcConfig;
use millrace_types::{Address, Hash};
use serde_json::{Value, json};

use crate::node::Node;

/// How long anything may take before it counts as never.
const PATIENCE: Duration = Duration::from_secs(20);

/// The server's bounds of a request and an answer, which is what memory is measured by.
const REQUEST_BYTES: u32 = 1 << 20;
const ANSWER_BYTES: u32 = 4 << 20;

/// Connections at once.
const SENDERS: u32 = 4;

/// What may be held at once beyond what the node held before: a few copies of everything that can be under way.
const MOST_BYTES: isize = (SENDERS * 8 * (REQUEST_BYTES + ANSWER_BYTES)) as isize;

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics of every thread, those that a runtime would swallow too.
fn count_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            before(panic);
        }));
    });
}

/// Cases of a run.
fn cases(usual: u64) -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "how long to look is the caller's choice"
    )]
    let long = std::env::var("MILLRACE_LONG").ok();
    usual
        * long
            .and_then(|long| long.parse::<u64>().ok())
            .map_or(1, |long| (long * 50).max(1))
}

/// A node with a contract, blocks and a transaction to ask about, from outside.
struct Target {
    address: String,
    contract: Address,
    transaction: Hash,
    /// Height of a block whose answer in full has 0.7 megabytes.
    long_block: u64,
}

impl Target {
    fn new() -> (Self, Node) {
        count_panics();
        let rpc = RpcConfig {
            max_request_bytes: REQUEST_BYTES,
            max_response_bytes: ANSWER_BYTES,
            ..RpcConfig::default()
        };
        let mut node = Node::start(contracts::spec(), EngineConfig::default(), rpc);
        let contract = contracts::deploy_counter(&mut node);
        let block = node
            .chain
            .engine
            .resolve(millrace_pipeline::BlockId::Height(1))
            .unwrap()
            .unwrap();
        let block = node.chain.engine.block(&block.hash).unwrap().unwrap();
        let engine = &node.chain.engine;
        engine.submit_transaction(contracts::long_call(1, 0)).unwrap();
        let long_block = node.next_block().header.height;
        node.settle();
        let target = Self {
            long_block,
            address: node.address.clone(),
            contract,
            transaction: block.body.transactions[0].hash(),
        };
        (target, node)
    }

    /// Runs `case` for every number below `count`, on a few threads, and checks that the node is as well as before.
    fn withstands(&self, count: u64, case: impl Fn(u64) + Sync) {
        self.is_well();
        let before = counted::begin();
        std::thread::scope(|scope| {
            for sender in 0..u64::from(SENDERS) {
                let case = &case;
                scope.spawn(move || {
                    counted::leave_out();
                    for number in (sender..count).step_by(SENDERS as usize) {
                        case(number);
                        if number % 64 == sender {
                            self.is_well();
                        }
                    }
                });
            }
        });
        self.is_well();
        let most = counted::most() - before;
        println!("{count} cases, at most {} KiB held beyond what was", most >> 10);
        assert!(most < MOST_BYTES, "{most} bytes were held at once");
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "a thread panicked");
    }

    /// Asks what any client would.
    fn is_well(&self) {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "millrace_status" });
        let (status, answer) = post(&self.address, call.to_string().as_bytes());
        assert_eq!(status, 200);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["result"]["stopped"], Value::Null, "{answer}");
        assert_eq!(answer["result"]["chain_id"], 7);
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Posts bytes that may be anything; answers status and body.
fn post(address: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = connect(address);
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A body that is too long is refused before it is read.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer ({read:?}) to {} bytes", body.len()));
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer.split_off(end + 4))
}

/// As many entries as a request has room for: what is made of each takes many times its bytes.
fn large_batches(target: &Target) {
    for entry in ["1", "{}", r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#] {
        let entries = REQUEST_BYTES as usize / (entry.len() + 1) - 1;
        let batch = format!("[{}]", vec![entry; entries].join(","));
        target.withstands(16, |_| {
            let (status, answer) = post(&target.address, batch.as_bytes());
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            let what = &answer["error"]["data"]["what"];
            assert_eq!((status, what), (200, &json!("calls in one batch")), "{answer}");
        });
    }
}

/// One after the other: what is held is counted for the whole process.
#[test]
fn the_surface_withstands_whatever_is_sent() {
    let (target, _node) = Target::new();
    requests::run(&target);
    large_batches(&target);
    frames::run(&target);
    silent::run(&target);
}
