//! Execution that lags behind finality: what is not executed is said to be so, and never shown as zeros.

use millrace_pipeline::{EngineConfig, Tag};
use millrace_rpc::server::RpcConfig;
use millrace_rpc::shapes::CallRequest;
use millrace_rpc::{Bytes, MillraceClient as _};
use millrace_types::ChainSpec;
use serde_json::json;

use crate::contracts::{self, GET};
use crate::node::{Node, hash, height, tag};
use crate::sequencer::{address, submit_rounds};

/// A node with finalized blocks of which the last is not executed for a long time.
fn lagging() -> Node {
    let spec = ChainSpec {
        max_receipt_lag: 8,
        ..contracts::spec()
    };
    let engine = EngineConfig {
        slow_execution_ms: 1_000,
        ..EngineConfig::default()
    };
    let mut node = Node::start(spec, engine, RpcConfig::default());
    submit_rounds(&node.chain, 0, 12);
    for height in 1..=3 {
        node.next_block();
        node.wait_until_finalized(height);
    }
    assert!(node.chain.engine.heights().executed.height < 3);
    node
}

#[test]
fn finalized_state_that_is_not_executed_is_refused_with_both_heights() {
    let mut node = lagging();
    let status = node.ask(node.http.status());
    assert_eq!((status.heights.finalized, status.heights.pending), (3, 3));
    let executed = status.heights.executed;
    assert!(executed < 3 && status.heights.safe == executed);
    assert!(status.pressure.oldest_in_flight_ms < 60_000);

    let head = node.ask(node.http.block(tag(Tag::Finalized), None)).unwrap();
    assert_eq!(
        (head.header.height, head.finalized, head.executed),
        (3, true, false)
    );
    assert_eq!(node.ask(node.http.execution_receipt(tag(Tag::Finalized))), None);
    assert_eq!(node.ask(node.http.settlement(3)), None);

    let request = CallRequest {
        to: address(1),
        from: None,
        input: Bytes(GET.to_vec()),
        value: None,
        gas_limit: None,
    };
    for reference in [tag(Tag::Finalized), height(3), hash(head.hash)] {
        for refusal in [
            node.refusal(node.http.account(address(1), reference, Some(true))),
            node.refusal(node.http.storage(address(1), Bytes(vec![1]), reference, None)),
            node.refusal(node.http.code(address(1), reference, None)),
            node.refusal(node.http.call(request.clone(), reference)),
        ] {
            refusal.is(-32001, "NotExecuted", &json!({ "asked": 3 }));
            let executed = refusal.data["executed"].as_u64().unwrap();
            assert!(executed < 3);
        }
    }
    // What is executed is served meanwhile, and the safe block is one of these.
    let safe = node.ask(node.http.account(address(1), tag(Tag::Safe), Some(true)));
    assert!(safe.origin.unwrap().height < 3 && safe.proof.is_some());

    node.chain.wait_until_executed(3);
    let now = node.ask(node.http.account(address(1), tag(Tag::Finalized), None));
    assert_eq!((now.origin.unwrap().height, now.nonce), (3, 12));
}
