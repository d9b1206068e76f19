//! Read-only calls: nothing is kept, everything is bounded, and a flood of them starves nobody.

use std::time::Duration;

use millrace_pipeline::{EngineConfig, Tag};
use millrace_rpc::server::RpcConfig;
use millrace_rpc::shapes::CallRequest;
use millrace_rpc::{Bytes, MillraceClient as _, Units};
use millrace_types::{Address, Payload};
use serde_json::json;

use crate::contracts::{self, GET, INCREMENT, deploy_counter};
use crate::node::{Node, height, tag};
use crate::scripted::{self, Script};
use crate::sequencer::address;

fn to(contract: Address, input: &[u8]) -> CallRequest {
    CallRequest {
        to: contract,
        from: None,
        input: Bytes(input.to_vec()),
        value: None,
        gas_limit: None,
    }
}

#[test]
fn a_call_sees_the_state_it_asks_for_and_keeps_nothing() {
    let mut node = Node::new();
    let counter = deploy_counter(&mut node);
    let before = node.chain.head.height;
    node.chain
        .engine
        .submit_transaction(contracts::call(1, 0, counter, INCREMENT))
        .unwrap();
    node.settle();
    let get = |reference| node.ask(node.http.call(to(counter, GET), reference));
    let one = get(None);
    assert_eq!(
        (one.outcome.as_str(), one.output.0),
        ("success", 1u64.to_le_bytes().to_vec())
    );
    assert_eq!(one.origin.height, node.chain.engine.heights().executed.height);
    assert!(one.gas_used > 0 && one.trap.is_none() && one.logs.is_empty());
    assert_eq!(get(height(before)).output.0, 0u64.to_le_bytes());

    let two = node.ask(node.http.call(to(counter, INCREMENT), None));
    assert_eq!(two.output.0, 2u64.to_le_bytes());
    assert_eq!(two.logs.len(), 1);
    assert_eq!(get(None).output.0, 1u64.to_le_bytes(), "nothing was kept");
}

#[test]
fn a_call_that_fails_says_how() {
    let mut node = Node::new();
    let counter = deploy_counter(&mut node);
    let reverted = node.ask(node.http.call(to(counter, &[0xee]), None));
    assert_eq!(
        (reverted.outcome.as_str(), reverted.output.0),
        ("reverted", b"unknown selector".to_vec())
    );
    assert_eq!(reverted.trap, None);

    let starved = CallRequest {
        gas_limit: Some(100),
        ..to(counter, INCREMENT)
    };
    let trapped = node.ask(node.http.call(starved, None));
    assert_eq!((trapped.outcome.as_str(), trapped.gas_used), ("trapped", 100));
    let trap = trapped.trap.unwrap();
    assert_eq!(
        (trap.contract, trap.depth, trap.kind.as_str()),
        (counter, 1, "out of gas")
    );

    let nobody = node.ask(node.http.call(to(address(9), GET), None));
    assert_eq!((nobody.outcome.as_str(), nobody.gas_used), ("no_code", 0));

    let paid = CallRequest {
        value: Some(Units(5)),
        from: Some(address(3)),
        ..to(counter, INCREMENT)
    };
    let paid = node.ask(node.http.call(paid, None));
    assert_eq!(paid.output.0, b"this function takes no value");
}

#[test]
fn a_trap_below_that_the_caller_survives_is_no_trap_of_the_call() {
    let mut node = Node::new();
    let [a, b] = scripted::deploy_some(&mut node, 2).try_into().unwrap();
    // Far too little gas to begin with.
    let script = Script::new().call(&b, 0, 100, &Script::new().storage_set(b"k", b"v").input());
    let survived = node.ask(node.http.call(to(a, &script.finish()), None));
    assert_eq!((survived.outcome.as_str(), survived.trap), ("success", None));
}

#[test]
fn calls_beyond_execution_or_above_the_limit_are_refused() {
    let rpc = RpcConfig {
        call_gas_limit: 1_000_000,
        ..RpcConfig::default()
    };
    let node = Node::start(contracts::spec(), EngineConfig::default(), rpc);
    let greedy = CallRequest {
        gas_limit: Some(1_000_001),
        ..to(address(0), GET)
    };
    node.refusal(node.http.call(greedy, None)).is(
        -32021,
        "LimitExceeded",
        &json!({ "what": "gas of a read-only call", "asked": 1_000_001, "limit": 1_000_000 }),
    );
    let pending = node.refusal(node.http.call(to(address(0), GET), tag(Tag::Pending)));
    pending.is(-32001, "NotExecuted", &json!({ "executed": 0 }));
    let rich = CallRequest {
        value: Some(Units(u128::MAX)),
        ..to(address(0), GET)
    };
    let rich = node.refusal(node.http.call(rich, None));
    rich.is(-32602, "InvalidParams", &json!({ "parameter": "request" }));
    let later = node.refusal(node.http.call(to(address(0), GET), height(4)));
    later.is(-32001, "NotExecuted", &json!({ "asked": 4, "executed": 0 }));
}

/// Input of the hash workload: so many rounds.
pub fn hash_work(rounds: u32) -> Vec<u8> {
    [&[0x01][..], &rounds.to_le_bytes(), &[0; 32]].concat()
}

/// Deploys the hash workload with account 0's nonce 0.
pub fn deploy_hash(node: &mut Node) -> Address {
    static HASH: &[u8] = include_bytes!("../../../contracts/artifacts/hash.elf");
    let deploy = Payload::Deploy {
        code: HASH.to_vec(),
        value: 0,
        input: Vec::new(),
    };
    let deploy = contracts::sign(0, 0, deploy);
    node.chain.engine.submit_transaction(deploy.clone()).unwrap();
    node.settle();
    let receipt = node.ask(node.http.transaction_receipt(deploy.hash(), None));
    receipt.unwrap().created.unwrap()
}

/// What is compared is what comes first, not how long it takes, so that nothing depends on how fast this machine is.
#[test]
fn a_flood_of_calls_leaves_room_for_everything_else() {
    let rpc = RpcConfig {
        max_concurrent_calls: 1,
        ..RpcConfig::default()
    };
    let mut node = Node::start(contracts::spec(), EngineConfig::default(), rpc);
    let hash = deploy_hash(&mut node);
    let work = hash_work(20_000);
    let flood: Vec<_> = (0..12)
        .map(|_| {
            let (http, request) = (node.http.clone(), to(hash, &work));
            node.spawn(async move { http.call(request, None).await.map(|result| result.outcome) })
        })
        .collect();
    let answered = || flood.iter().filter(|call| call.is_finished()).count();
    while answered() == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    for _ in 0..10 {
        assert_eq!(node.ask(node.http.status()).chain_id, 7);
        assert!(node.ask(node.http.block(None, None)).is_some());
    }
    let answered = answered();
    assert!(answered < 9, "20 reads waited for {answered} calls");
    for call in flood {
        assert_eq!(node.wait(call).unwrap().unwrap(), "success");
    }
}
