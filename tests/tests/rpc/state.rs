//! Accounts, storage and code, with proofs that verify against the root they name.

use millrace_pipeline::{EngineConfig, Tag};
use millrace_proof::{Proof, verify_value};
use millrace_rpc::server::RpcConfig;
use millrace_rpc::shapes::StateOrigin;
use millrace_rpc::{BlockReference, Bytes, MillraceClient as _};
use millrace_types::state::{Account, Path, account_path, code_hash, code_path, storage_path};
use millrace_types::{Address, Hash, codec};
use serde_json::json;

use crate::contracts::{self, COUNT, COUNTER, INCREMENT, deploy_counter};
use crate::node::{Node, hash, height, tag};
use crate::sequencer::{ACCOUNTS, BALANCE, address, submit_rounds};

/// Checks that `proof` shows `value` under `path` in the state that `origin` names, and no other value.
#[track_caller]
fn proven(origin: &StateOrigin, path: &[u8; 32], value: Option<&[u8]>, proof: Option<Bytes>) {
    let proof: Proof = proof.expect("a proof was asked for").decode().unwrap();
    verify_value(&origin.state_root.0, path, value, &proof).unwrap();
    assert!(verify_value(&origin.state_root.0, path, Some(b"something else"), &proof).is_err());
    assert!(verify_value(&[7; 32], path, value, &proof).is_err());
}

/// The origin is the block's own receipt.
#[track_caller]
fn is_of_block(node: &Node, origin: &StateOrigin) {
    let receipt = node
        .ask(node.http.execution_receipt(hash(origin.block_hash)))
        .unwrap();
    assert_eq!(receipt.receipt.height, origin.height);
    assert_eq!(receipt.receipt.post_state_root, origin.state_root);
}

#[test]
fn an_account_is_proven_where_it_is_and_where_it_is_not() {
    let mut node = Node::new();
    submit_rounds(&node.chain, 0, 2);
    node.settle();
    for reference in [
        None,
        tag(Tag::Finalized),
        tag(Tag::Settled),
        tag(Tag::Safe),
        height(1),
    ] {
        let view = node.ask(node.http.account(address(3), reference, Some(true)));
        let origin = view.origin.unwrap();
        is_of_block(&node, &origin);
        assert_eq!((view.exists, view.nonce), (Some(true), 2), "{reference:?}");
        let account = Account {
            nonce: view.nonce,
            balance: view.balance.unwrap().0,
            code_hash: view.code_hash,
        };
        assert!(account.balance < BALANCE);
        proven(
            &origin,
            &account_path(&address(3)),
            Some(&codec::encode(&account)),
            view.proof,
        );
    }
    let nobody = Address([0x77; 32]);
    let view = node.ask(node.http.account(nobody, None, Some(true)));
    assert_eq!(
        (view.exists, view.nonce, view.balance.unwrap().0),
        (Some(false), 0, 0)
    );
    proven(&view.origin.unwrap(), &account_path(&nobody), None, view.proof);
    let without = node.ask(node.http.account(nobody, None, None));
    assert_eq!(without.proof, None);
    let genesis = node.ask(node.http.account(address(3), height(0), Some(true)));
    assert_eq!((genesis.nonce, genesis.balance.unwrap().0), (0, BALANCE));
}

#[test]
fn storage_and_code_are_proven_where_they_are_and_where_they_are_not() {
    let mut node = Node::new();
    let counter = deploy_counter(&mut node);
    let before = node.chain.head.height;
    node.chain
        .engine
        .submit_transaction(contracts::call(1, 0, counter, INCREMENT))
        .unwrap();
    node.settle();

    let count = |reference: Option<BlockReference>| {
        let key = Bytes(COUNT.to_vec());
        let view = node.ask(node.http.storage(counter, key, reference, Some(true)));
        is_of_block(&node, &view.origin);
        let value = view.value.map(|bytes| bytes.0);
        proven(
            &view.origin,
            &storage_path(&counter, COUNT),
            value.as_deref(),
            view.proof,
        );
        value
    };
    assert_eq!(count(None), Some(1u64.to_le_bytes().to_vec()));
    assert_ne!(count(height(before)), count(None), "older state is still there");
    let absent = node.ask(
        node.http
            .storage(counter, Bytes(b"nothing".to_vec()), None, Some(true)),
    );
    assert_eq!(absent.value, None);
    proven(
        &absent.origin,
        &storage_path(&counter, b"nothing"),
        None,
        absent.proof,
    );

    let code = node.ask(node.http.code(counter, None, Some(true)));
    assert_eq!(code.code_hash, Some(code_hash(COUNTER)));
    assert_eq!(code.code.unwrap().0, COUNTER);
    let path = code_path(&code_hash(COUNTER));
    proven(&code.origin, &path, Some(COUNTER), code.code_proof);
    let account = node.ask(node.http.account(counter, None, None));
    let record = Account {
        nonce: account.nonce,
        balance: account.balance.unwrap().0,
        code_hash: account.code_hash,
    };
    let record = codec::encode(&record);
    proven(
        &code.origin,
        &account_path(&counter),
        Some(&record),
        code.account_proof,
    );

    let none = node.ask(node.http.code(address(5), None, Some(true)));
    assert_eq!((none.code_hash, none.code, none.code_proof), (None, None, None));
    assert!(none.account_proof.is_some());
}

#[test]
fn raw_values_are_proven_like_any_other_and_bounded() {
    let mut node = Node::new();
    let counter = deploy_counter(&mut node);
    let paths = [
        account_path(&counter),
        code_path(&code_hash(COUNTER)),
        storage_path(&counter, b"nothing"),
    ];
    let ask = |paths: &[Path], proof| {
        let paths = paths.iter().copied().map(Hash).collect();
        node.http.state(paths, None, Some(proof))
    };
    let view = node.ask(ask(&paths, true));
    is_of_block(&node, &view.origin);
    let code = node.ask(node.http.code(counter, None, None));
    let account = node.ask(node.http.account(counter, None, None));
    let record = codec::encode(&Account {
        nonce: account.nonce,
        balance: account.balance.unwrap().0,
        code_hash: code.code_hash,
    });
    let expected = [Some(&record[..]), Some(COUNTER), None];
    assert_eq!(view.values.len(), 3);
    for ((value, path), expected) in view.values.into_iter().zip(paths).zip(expected) {
        assert_eq!(value.path.0, path);
        assert_eq!(value.value.as_ref().map(|bytes| &bytes.0[..]), expected);
        proven(&view.origin, &path, expected, value.proof);
    }
    let bare = node.ask(ask(&paths[..1], false));
    assert_eq!(bare.values[0].proof, None);
    assert_eq!(node.ask(ask(&[], false)).values, []);
    // As many as fit, however often they are asked for; one more does not.
    assert_eq!(node.ask(ask(&[paths[2]; 64], false)).values.len(), 64);
    node.refusal(ask(&[paths[2]; 65], false)).is(
        -32021,
        "LimitExceeded",
        &json!({ "what": "paths of state", "asked": 65, "limit": 64 }),
    );
}

#[test]
fn values_of_one_answer_are_bounded_together() {
    let mut node = Node::new();
    // What lies behind the segments is part of the value, and no part of the program.
    let code = [COUNTER, &[0; 70_000]].concat();
    contracts::deploy(&mut node, code.clone());
    let path = Hash(code_path(&code_hash(&code)));
    let most = (4 << 20) / code.len();
    let view = node.ask(node.http.state(vec![path; most], None, None));
    assert_eq!(view.values.len(), most);
    assert!(
        view.values
            .iter()
            .all(|value| value.value.as_ref().unwrap().0 == code)
    );
    node.refusal(node.http.state(vec![path; 64], None, None)).is(
        -32021,
        "LimitExceeded",
        &json!({
            "what": "bytes of values and proofs in an answer; ask for fewer paths at once",
            "asked": (most + 1) * code.len(), "limit": 4 << 20,
        }),
    );
}

#[test]
fn pending_knows_nonces_and_nothing_else() {
    let mut node = Node::new();
    submit_rounds(&node.chain, 0, 1);
    node.settle();
    submit_rounds(&node.chain, 1, 3);
    let view = node.ask(node.http.account(address(2), tag(Tag::Pending), None));
    assert_eq!(view.nonce, 4, "three pooled transactions count");
    assert_eq!((view.origin, view.exists, view.balance), (None, None, None));
    let executed = node.chain.engine.heights().executed.height;
    let beyond = json!({ "asked": executed + 1, "executed": executed });
    for refusal in [
        node.refusal(node.http.account(address(2), tag(Tag::Pending), Some(true))),
        node.refusal(
            node.http
                .storage(address(2), Bytes(vec![1]), tag(Tag::Pending), None),
        ),
        node.refusal(node.http.code(address(2), tag(Tag::Pending), None)),
    ] {
        refusal.is(-32001, "NotExecuted", &beyond);
    }
}

#[test]
fn state_beyond_execution_of_no_block_or_no_longer_kept_is_refused_by_name() {
    let engine = EngineConfig {
        retention_blocks: 6,
        ..EngineConfig::default()
    };
    let mut node = Node::start(contracts::spec(), engine, RpcConfig::default());
    for round in 0..16 {
        submit_rounds(&node.chain, round, 1);
        node.next_block();
    }
    node.settle();
    assert_eq!(
        node.chain.engine.counters().transactions_executed,
        16 * u64::from(ACCOUNTS)
    );
    let executed = node.chain.engine.heights().executed.height;
    let ask = |reference| node.refusal(node.http.account(address(0), reference, None));
    ask(height(executed + 3)).is(
        -32001,
        "NotExecuted",
        &json!({ "asked": executed + 3, "executed": executed }),
    );
    let unknown = Hash([0xab; 32]);
    ask(hash(unknown)).is(-32003, "UnknownBlock", &json!({ "asked": unknown }));
    let pruned = ask(height(1));
    pruned.is(-32002, "Pruned", &json!({ "asked": 1 }));
    let oldest = pruned.data["oldest"].as_u64().unwrap();
    assert!(
        oldest > 1 && oldest + 6 <= executed + 1,
        "oldest {oldest} of {executed}"
    );
    let kept = node.ask(node.http.account(address(0), height(oldest), Some(true)));
    assert_eq!(kept.origin.unwrap().height, oldest);
    // What was pruned is state; blocks and receipts stay.
    assert!(node.ask(node.http.execution_receipt(height(1))).is_some());
}

#[test]
fn a_storage_key_is_bounded() {
    let node = Node::new();
    let key = Bytes(vec![0; (1 << 16) + 1]);
    let refusal = node.refusal(node.http.storage(address(0), key, None, None));
    refusal.is(
        -32021,
        "LimitExceeded",
        &json!({ "what": "bytes of a storage key", "asked": 65_537, "limit": 65_536 }),
    );
}
