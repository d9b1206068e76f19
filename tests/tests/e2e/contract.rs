//! The sentence about real input, in plain calls: signed transactions over JSON-RPC deploy and call a contract,
//! and what it stored is read back with a proof that verifies against the receipt which a later block carries.

use millrace_proof::{Proof, verify_value};
use millrace_types::merkle::{InclusionProof, verify_receipt};
use millrace_types::receipt::settlement_hash;
use millrace_types::state::storage_path;
use millrace_types::{Address, ExecutionReceipt, Hash, Header, TransactionReceipt, codec};
use serde_json::{Value, json};

use crate::chain::Chain;
use crate::rpc::{Failed, Rpc, from_hex, to_hex};
use crate::wallet::{CALL_GAS, example};

/// Input of the counter's `increment` and `get`.
const INCREMENT: u8 = 0x01;
const GET: u8 = 0x10;

fn decode<T: borsh::BorshDeserialize>(bytes: &Value) -> T {
    let bytes = from_hex(bytes);
    codec::decode(&bytes, bytes.len()).expect("canonical bytes")
}

/// Finds, by walking the chain upward, the block whose body carries the receipt of `height`; answers that block's
/// hash and the receipt's fields.
fn carrying_block(rpc: &mut Rpc, height: u64) -> (Value, Value) {
    for later in height + 1.. {
        let block = rpc.call("getBlock", json!([later, "full"]));
        assert!(
            !block.is_null(),
            "no block up to {later} carries receipt {height}"
        );
        let carried = block["receipts"].as_array().unwrap();
        if let Some(receipt) = carried.iter().find(|receipt| receipt["height"] == height) {
            let receipt = receipt.clone();
            return (block, receipt);
        }
    }
    unreachable!("the heights do not end")
}

#[test]
fn what_a_call_stored_is_proven_against_the_receipt_in_a_later_block() {
    let chain = Chain::start(&["--seed", "11", "--block-interval-ms", "30"]);
    let (mut rpc, alice) = (chain.rpc(), chain.wallets[0].clone());

    let deploy = alice.deploy(0, example("counter"), Vec::new());
    let created = rpc.send(&deploy).unwrap();
    let created = rpc.settled_receipt(&created);
    assert_eq!(created["outcome"], "success", "{created}");
    let counter: Address = serde_json::from_value(created["created"].clone()).unwrap();
    assert_eq!(counter, Address::of_deploy(&alice.address, 0));

    let calls: Vec<Hash> = (1..=3)
        .map(|nonce| rpc.send(&alice.call(nonce, counter, vec![INCREMENT])).unwrap())
        .collect();
    let called = rpc.settled_receipt(&calls[2]);
    assert_eq!(called["outcome"], "success", "{called}");
    assert_eq!(from_hex(&called["output"]), 3_u64.to_le_bytes());
    let height = called["height"].as_u64().unwrap();

    // The receipt, out of the body of a later block, which its header commits to.
    let (block, carried) = carrying_block(&mut rpc, height);
    assert_eq!(called["settled_by"], block["header"]["height"]);
    assert_eq!(carried["block_hash"], called["block_hash"]);
    let root: Hash = serde_json::from_value(carried["post_state_root"].clone()).unwrap();

    // The same receipts, as the settlement of that height: one header, one hash over the list.
    let settlement = rpc.call("getSettlement", json!([height]));
    let header: Header = decode(&settlement["header"]);
    let receipts: Vec<ExecutionReceipt> = decode(&settlement["receipts"]);
    assert_eq!(json!(header.hash()), block["hash"]);
    assert_eq!(header.settlement_hash, settlement_hash(&receipts));
    let receipt = receipts
        .iter()
        .find(|receipt| receipt.height == height)
        .expect("it is settled there");
    assert_eq!(receipt.post_state_root, root);

    // The slot, proven under the root of that receipt; and another value is not.
    let slot = rpc.call("getStorage", json!([counter, to_hex(b"count"), height, true]));
    let (value, path) = (from_hex(&slot["value"]), storage_path(&counter, b"count"));
    let proof = Proof::from_bytes(&from_hex(&slot["proof"])).unwrap();
    assert_eq!(value, 3_u64.to_le_bytes());
    verify_value(&root.0, &path, Some(&value), &proof).unwrap();
    verify_value(&root.0, &path, Some(&4_u64.to_le_bytes()), &proof).unwrap_err();
    verify_value(&root.0, &path, None, &proof).unwrap_err();

    // The call's own receipt, proven under the same execution receipt.
    let own: TransactionReceipt = decode(&called["proof"]["receipt"]);
    let inclusion: InclusionProof = decode(&called["proof"]["inclusion"]);
    assert_eq!(own.transaction_hash, calls[2]);
    verify_receipt(&receipt.transaction_receipts_root, &own, &inclusion).unwrap();

    let read = rpc.call(
        "call",
        json!([{ "to": counter, "input": to_hex(&[GET]) }, "settled"]),
    );
    assert_eq!(read["outcome"], "success");
    assert_eq!(from_hex(&read["output"]), 3_u64.to_le_bytes());
}

#[test]
fn state_beyond_execution_is_a_named_error_and_absent_things_are_null() {
    let chain = Chain::start(&["--seed", "12", "--block-interval-ms", "30"]);
    let (mut rpc, alice) = (chain.rpc(), chain.wallets[0].clone());
    let refused = |failed: Failed| match failed {
        Failed::Refused(refusal) => (refusal.code, refusal.name),
        Failed::Transport(error) => panic!("{error}"),
    };
    let address = alice.address_text();
    let beyond = rpc.try_call("getAccount", json!([address, 1_000_000]));
    let unknown = rpc.try_call("getAccount", json!([address, format!("0x{}", "ab".repeat(32))]));
    assert_eq!(refused(beyond.unwrap_err()), (-32001, "NotExecuted".to_owned()));
    assert_eq!(refused(unknown.unwrap_err()), (-32003, "UnknownBlock".to_owned()));
    for (method, params) in [
        ("getBlock", json!([1_000_000])),
        ("getTransaction", json!([Hash::ZERO])),
        ("getTransactionReceipt", json!([Hash::ZERO])),
        ("getExecutionReceipt", json!([1_000_000])),
        ("getSettlement", json!([1_000_000])),
    ] {
        assert_eq!(rpc.call(method, params), Value::Null, "{method}");
    }

    let transaction = alice.call(0, alice.address, Vec::new());
    let hash = rpc.send(&transaction).unwrap();
    let receipt = rpc.settled_receipt(&hash);
    assert_eq!(receipt["outcome"], "no_code", "an account without code is called");
    assert!(receipt["gas_charged"].as_u64().unwrap() >= CALL_GAS / 2);
    let again = rpc.send(&transaction).unwrap_err();
    assert_eq!(refused(again), (-32010, "NonceTooLow".to_owned()));
}
