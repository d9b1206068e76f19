//! Gas estimates: the limit found is the smallest that does, whatever is called below; and a search is bounded.

use millrace_pipeline::{EngineConfig, Tag};
use millrace_rpc::server::RpcConfig;
use millrace_rpc::shapes::{EstimateRequest, GasEstimateView};
use millrace_rpc::{Bytes, MillraceClient as _, Units};
use millrace_types::{Address, Gas, Outcome, Payload};
use serde_json::json;

use crate::contracts::{self, COUNTER, INCREMENT, deploy_counter};
use crate::node::{Node, height, tag};
use crate::scripted::{self, Script};
use crate::sequencer::{self, address};

fn estimate(node: &Node, payload: &Payload) -> GasEstimateView {
    let request = EstimateRequest::of(address(1), payload.clone());
    node.ask(node.http.estimate_gas(request, None))
}

/// How a transaction of account 1 ends with this limit.
fn outcome(node: &mut Node, nonce: u64, gas_limit: Gas, payload: &Payload) -> (Outcome, Gas) {
    let signed = sequencer::sign(1, nonce, gas_limit, 1, payload.clone());
    let hash = node.chain.engine.submit_transaction(signed).unwrap();
    node.settle();
    let place = node.chain.engine.transaction(&hash).unwrap().unwrap();
    let receipts = node
        .chain
        .engine
        .transaction_receipts(&place.block.hash)
        .unwrap()
        .unwrap();
    let receipt = &receipts[place.index as usize];
    (receipt.outcome.clone(), receipt.gas_used)
}

#[test]
fn transfers_and_deploys_need_what_they_use() {
    let mut node = Node::new();
    let transfer = Payload::Transfer {
        to: address(2),
        value: 5,
    };
    let found = estimate(&node, &transfer);
    let needed = found.gas_limit.unwrap();
    assert_eq!(
        (found.intrinsic_gas, found.gas_used, found.exact),
        (needed, needed, true)
    );
    let below = sequencer::sign(1, 0, needed - 1, 1, transfer.clone());
    assert!(
        node.chain.engine.submit_transaction(below).is_err(),
        "it would not be taken"
    );
    assert_eq!(
        outcome(&mut node, 0, needed, &transfer),
        (Outcome::Success, needed)
    );

    let deploy = Payload::Deploy {
        code: COUNTER.to_vec(),
        value: 0,
        input: Vec::new(),
    };
    let found = estimate(&node, &deploy);
    let needed = found.gas_limit.unwrap();
    assert!(found.exact && needed > found.intrinsic_gas);
    assert_eq!(
        outcome(&mut node, 1, needed - 1, &deploy),
        (Outcome::Trapped, needed - 1)
    );
    assert_eq!(
        outcome(&mut node, 2, needed, &deploy),
        (Outcome::Success, found.gas_used)
    );
}

/// A call three frames deep, whose last frame writes much.
fn nested(node: &mut Node) -> Payload {
    let [a, b, c, d] = scripted::deploy_some(node, 4).try_into().unwrap();
    let writes = (0..20u8).fold(Script::new(), |script, key| script.storage_set(&[key], &[7; 100]));
    let innermost = scripted::answering(writes);
    let third = scripted::answering(scripted::call_or_trap(Script::new(), &d, &innermost));
    let second = scripted::answering(scripted::call_or_trap(Script::new(), &c, &third));
    let input = scripted::call_or_trap(Script::new(), &b, &second).finish();
    Payload::Call {
        to: a,
        value: 0,
        input,
    }
}

/// All runs of an estimate together use the gas of four read-only calls at most, and each of these uses nearly that of one.
#[test]
fn a_search_that_is_ended_by_its_bound_has_a_limit_that_does_and_says_so() {
    let mut node = Node::new();
    let call = nested(&mut node);
    let found = estimate(&node, &call);
    let needed = found.gas_limit.unwrap();
    let rpc = RpcConfig {
        call_gas_limit: needed - found.intrinsic_gas + 1_000,
        ..RpcConfig::default()
    };
    let mut tight = Node::start(contracts::spec(), EngineConfig::default(), rpc);
    assert_eq!(nested(&mut tight), call);
    let within = estimate(&tight, &call);
    assert!(!within.exact, "{within:?}");
    assert!(
        (needed..=needed + 1_000).contains(&within.gas_limit.unwrap()),
        "{within:?}"
    );
}

/// Each frame keeps 1/64 of its gas when it calls: three frames down, a limit of what was used starves the last.
#[test]
fn nested_calls_need_more_than_they_use() {
    let mut node = Node::new();
    let call = nested(&mut node);
    let found = estimate(&node, &call);
    let needed = found.gas_limit.unwrap();
    assert!(found.exact);
    assert!(needed > found.gas_used + found.gas_used / 100, "{found:?}");
    let used = outcome(&mut node, 0, found.gas_used, &call);
    assert_eq!(
        used,
        (Outcome::Trapped, found.gas_used),
        "what it uses is not enough"
    );
    assert_eq!(outcome(&mut node, 1, needed - 1, &call).0, Outcome::Trapped);
    assert_eq!(
        outcome(&mut node, 2, needed, &call),
        (Outcome::Success, found.gas_used)
    );
}

#[test]
fn what_fails_says_how_and_has_no_limit() {
    let mut node = Node::new();
    let counter = deploy_counter(&mut node);
    let call = |to: Address, input: &[u8]| Payload::Call {
        to,
        value: 0,
        input: input.to_vec(),
    };
    let reverted = estimate(&node, &call(counter, &[0xee]));
    assert_eq!(
        (reverted.outcome.as_str(), reverted.gas_limit),
        ("reverted", None)
    );
    assert_eq!(reverted.output.0, b"unknown selector");
    let nobody = estimate(&node, &call(address(9), &[]));
    assert_eq!((nobody.outcome.as_str(), nobody.gas_limit), ("no_code", None));
    let no_program = estimate(
        &node,
        &Payload::Deploy {
            code: vec![1, 2, 3],
            value: 0,
            input: Vec::new(),
        },
    );
    assert_eq!(
        (no_program.outcome.as_str(), no_program.gas_limit),
        ("invalid_program", None)
    );
    assert!(no_program.image_error.is_some());

    let least = estimate(&node, &call(counter, INCREMENT)).gas_limit.unwrap();
    let with = |gas_limit| {
        let request = EstimateRequest::Call {
            to: counter,
            from: None,
            input: Bytes(INCREMENT.to_vec()),
            value: None,
            gas_limit: Some(gas_limit),
        };
        node.http.estimate_gas(request, None)
    };
    assert_eq!(node.ask(with(least)).gas_limit, Some(least));
    let starved = node.ask(with(least - 1));
    let trap = starved.trap.unwrap();
    assert_eq!((starved.outcome.as_str(), starved.gas_limit), ("trapped", None));
    assert_eq!(
        (starved.gas_used, trap.contract, trap.kind.as_str()),
        (least - 1, counter, "out of gas")
    );
}

#[test]
fn limits_out_of_range_and_states_that_are_not_there_are_refused() {
    let rpc = RpcConfig {
        call_gas_limit: 1_000_000,
        ..RpcConfig::default()
    };
    let mut node = Node::start(contracts::spec(), EngineConfig::default(), rpc);
    let counter = deploy_counter(&mut node);
    let with = |gas_limit, value: u128| {
        let request = EstimateRequest::Call {
            to: counter,
            from: None,
            input: Bytes(INCREMENT.to_vec()),
            value: Some(Units(value)),
            gas_limit,
        };
        node.http.estimate_gas(request, None)
    };
    let most = contracts::spec().limits.transaction_gas;
    node.refusal(with(Some(most + 1), 0)).is(
        -32010,
        "GasLimitTooHigh",
        &json!({ "limit": most + 1, "max": most }),
    );
    node.refusal(with(Some(1_000), 0))
        .is(-32010, "GasLimitTooLow", &json!({ "limit": 1_000 }));
    node.refusal(with(Some(20_000_000), 0)).is(
        -32021,
        "LimitExceeded",
        &json!({ "what": "gas of a read-only call", "limit": 1_000_000 }),
    );
    node.refusal(with(None, u128::MAX)).is(
        -32602,
        "InvalidParams",
        &json!({ "parameter": "request", "method": "millrace_estimateGas" }),
    );
    let transfer = || {
        let to = address(2);
        EstimateRequest::of(address(1), Payload::Transfer { to, value: 1 })
    };
    let later = node.refusal(node.http.estimate_gas(transfer(), height(1_000)));
    later.is(-32001, "NotExecuted", &json!({ "asked": 1_000 }));
    node.refusal(node.http.estimate_gas(transfer(), tag(Tag::Pending)))
        .is(-32001, "NotExecuted", &json!({}));
}

#[test]
fn a_request_says_which_transaction_it_means() {
    let node = Node::new();
    let zero = format!("0x{}", "00".repeat(32));
    for (request, reason) in [
        (json!({ "to": zero }), "missing field `kind`"),
        (json!({ "kind": "gift", "to": zero }), "unknown variant `gift`"),
        (json!({ "kind": "transfer" }), "missing field `to`"),
        (
            json!({ "kind": "transfer", "to": zero, "input": "0x" }),
            "unknown field `input`",
        ),
        (json!({ "kind": "deploy", "to": zero }), "unknown field `to`"),
    ] {
        let body =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "millrace_estimateGas", "params": [request] });
        let answer = crate::socket::post(&node.address, &body.to_string());
        let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let error = &answer["error"];
        assert_eq!(
            (&error["code"], &error["data"]["parameter"]),
            (&json!(-32602), &json!("request")),
            "{answer}"
        );
        assert!(
            error["message"].as_str().unwrap().contains(reason),
            "{reason}: {answer}"
        );
    }
}
