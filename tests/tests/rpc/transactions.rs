//! A transaction's way as a client sees it, its receipt with proof, and every refusal by name.

use std::sync::Arc;

use millrace_pipeline::{EngineConfig, TransactionStatus};
use millrace_rpc::server::RpcConfig;
use millrace_rpc::shapes::{HeldView, TransactionStatusView};
use millrace_rpc::{Bytes, MillraceClient as _, Units};
use millrace_types::merkle::{InclusionProof, verify_receipt};
use millrace_types::{Hash, Payload, SignedTransaction, TransactionReceipt, codec};
use serde_json::json;

use crate::contracts::{self, INCREMENT, deploy_counter, transfer};
use crate::node::{Node, Refusal, hash};
use crate::sequencer::{self, BALANCE, address, transfer_at};

fn send(node: &Node, transaction: &SignedTransaction) -> Hash {
    let hash = node.ask(node.http.send_transaction(Bytes::of(transaction)));
    assert_eq!(hash, transaction.hash());
    hash
}

fn refuse(node: &Node, transaction: &SignedTransaction) -> Refusal {
    node.refusal(node.http.send_transaction(Bytes::of(transaction)))
}

fn status(node: &Node, hash: Hash) -> TransactionStatusView {
    node.ask(node.http.transaction_status(hash))
}

#[test]
fn a_transaction_goes_from_unknown_to_settled() {
    let engine = EngineConfig {
        slow_execution_ms: 800,
        ..EngineConfig::default()
    };
    let mut node = Node::start(contracts::spec(), engine, RpcConfig::default());
    let transaction = transfer(0, 0, address(1), 5);
    let sent = transaction.hash();
    assert_eq!(status(&node, sent), TransactionStatusView::Unknown);
    send(&node, &transaction);
    assert_eq!(status(&node, sent), TransactionStatusView::Pooled);
    assert_eq!(node.ask(node.http.transaction(sent)), None, "in no block yet");

    let block = node.next_block();
    node.wait_until_finalized(1);
    let included = TransactionStatusView::Included {
        block_hash: block.hash(),
        height: 1,
        index: 0,
        canonical: true,
    };
    assert_eq!(status(&node, sent), included);
    assert_eq!(node.ask(node.http.transaction_receipt(sent, None)), None);
    let located = node.ask(node.http.transaction(sent)).unwrap();
    assert_eq!(
        (located.block_hash, located.height, located.index),
        (block.hash(), 1, 0)
    );
    assert_eq!(
        located.transaction.encoded.decode::<SignedTransaction>().unwrap(),
        transaction
    );
    assert!(located.canonical);

    node.chain.wait_until_executed(1);
    let executed = TransactionStatusView::Executed {
        block_hash: block.hash(),
        height: 1,
        index: 0,
        outcome: "success".to_owned(),
        canonical: true,
    };
    assert_eq!(status(&node, sent), executed);
    let receipt = node.ask(node.http.transaction_receipt(sent, None)).unwrap();
    assert_eq!((receipt.settled_by, receipt.proof), (None, None));

    node.settle();
    let TransactionStatusView::Settled {
        settled_by, outcome, ..
    } = status(&node, sent)
    else {
        panic!("{:?}", status(&node, sent));
    };
    assert_eq!(outcome, "success");
    let receipt = node.ask(node.http.transaction_receipt(sent, None)).unwrap();
    assert_eq!(receipt.settled_by, Some(settled_by));
}

#[test]
fn what_waits_in_the_pool_says_for_what() {
    let node = Node::new();
    let gap = send(&node, &transfer(0, 2, address(1), 5));
    let reason = HeldView::NonceGap {
        expected: 0,
        found: 2,
    };
    assert_eq!(status(&node, gap), TransactionStatusView::Held { reason });
    send(&node, &transfer(1, 0, address(2), BALANCE / 2));
    let dear = send(&node, &transfer(1, 1, address(2), BALANCE / 2));
    let TransactionStatusView::Held { reason } = status(&node, dear) else {
        panic!("{:?}", status(&node, dear));
    };
    let fee = u128::from(sequencer::TRANSFER_GAS);
    let expected = HeldView::InsufficientSettledFunds {
        settled: Units(BALANCE),
        reserved: Units(BALANCE / 2 + fee),
        needed: Units(BALANCE / 2 + fee),
    };
    assert_eq!(reason, expected);
    let json = node.ask(node.http.transaction_status(gap));
    assert_eq!(
        serde_json::to_value(json).unwrap(),
        json!({ "status": "held", "reason": { "name": "NonceGap", "expected": 0, "found": 2 } })
    );
}

#[test]
fn receipts_prove_themselves_against_their_block() {
    let mut node = Node::new();
    let counter = deploy_counter(&mut node);
    let mut sent = Vec::new();
    for sender in 1..8 {
        sent.push(send(&node, &contracts::call(sender, 0, counter, INCREMENT)));
    }
    let reverts = send(&node, &contracts::call(8, 0, counter, &[0xee]));
    node.settle();
    for transaction in &sent {
        let view = node
            .ask(node.http.transaction_receipt(*transaction, Some(true)))
            .unwrap();
        assert_eq!((view.outcome.as_str(), view.logs.len()), ("success", 1));
        assert_eq!(view.logs[0].address, counter);
        assert!(view.canonical && view.settled_by.is_some());
        let proof = view.proof.unwrap();
        let receipt: TransactionReceipt = proof.receipt.decode().unwrap();
        assert_eq!(receipt.transaction_hash, *transaction);
        assert_eq!(
            (receipt.gas_used, receipt.gas_charged),
            (view.gas_used, view.gas_charged)
        );
        assert_eq!(receipt.output, view.output.0);
        let inclusion: InclusionProof = proof.inclusion.decode().unwrap();
        let block = node
            .ask(node.http.execution_receipt(hash(view.block_hash)))
            .unwrap();
        let root = block.receipt.transaction_receipts_root;
        verify_receipt(&root, &receipt, &inclusion).unwrap();
        let forged = TransactionReceipt {
            gas_used: receipt.gas_used + 1,
            ..receipt
        };
        assert!(verify_receipt(&root, &forged, &inclusion).is_err());
    }
    let reverted = node.ask(node.http.transaction_receipt(reverts, None)).unwrap();
    assert_eq!(reverted.outcome, "reverted");
    assert_eq!(reverted.output.0, b"unknown selector");
    assert!(reverted.logs.is_empty());
}

#[test]
fn what_will_never_be_taken_is_refused_for_good() {
    let mut node = Node::new();
    send(&node, &transfer(0, 0, address(1), 5));
    node.settle();
    let changed = |change: &dyn Fn(&mut millrace_types::Transaction)| {
        let mut transaction = transfer(0, 1, address(1), 5).transaction;
        change(&mut transaction);
        transaction.sign(&sequencer::key(0))
    };
    let limits = contracts::spec().limits;
    refuse(&node, &changed(&|t| t.chain_id = 8)).is(
        -32010,
        "WrongChainId",
        &json!({ "found": 8, "expected": 7 }),
    );
    let mut forged = transfer(0, 1, address(1), 5);
    forged.transaction.nonce = 2;
    refuse(&node, &forged).is(-32010, "InvalidSignature", &json!({}));
    refuse(&node, &transfer(0, 0, address(1), 6)).is(
        -32010,
        "NonceTooLow",
        &json!({ "given": 0, "next": 1 }),
    );
    refuse(&node, &changed(&|t| t.gas_limit = 10)).is(-32010, "GasLimitTooLow", &json!({ "limit": 10 }));
    refuse(&node, &changed(&|t| t.gas_limit = limits.transaction_gas + 1)).is(
        -32010,
        "GasLimitTooHigh",
        &json!({ "limit": limits.transaction_gas + 1, "max": limits.transaction_gas }),
    );
    refuse(&node, &changed(&|t| t.gas_price = 0)).is(
        -32010,
        "GasPriceTooLow",
        &json!({ "price": 0, "min": limits.min_gas_price }),
    );
    let overflowing = changed(&|t| {
        let to = address(1);
        t.payload = Payload::Transfer { to, value: u128::MAX };
    });
    refuse(&node, &overflowing).is(-32010, "CostOverflow", &json!({}));
    let long = contracts::call(0, 1, address(1), &vec![0; 300_000]);
    let size = codec::encode(&long).len();
    refuse(&node, &long).is(-32010, "TooLarge", &json!({ "size": size, "limit": 200_000 }));
    for bytes in [
        vec![],
        vec![1, 2, 3],
        [codec::encode(&transfer(0, 1, address(1), 5)), vec![0]].concat(),
    ] {
        let size = bytes.len();
        let refusal = node.refusal(node.http.send_transaction(Bytes(bytes)));
        refusal.is(-32010, "Malformed", &json!({ "size": size }));
    }
}

#[test]
fn what_may_be_taken_later_is_refused_for_now() {
    let mut engine = EngineConfig::default();
    engine.pool.max_per_sender = 3;
    engine.pool.max_transactions = 6;
    let node = Node::start(contracts::spec(), engine, RpcConfig::default());
    for nonce in 0..3 {
        send(&node, &transfer_at(0, nonce, address(1), 5, 10));
    }
    refuse(&node, &transfer_at(0, 3, address(1), 5, 10)).is(
        -32011,
        "NonceTooFar",
        &json!({ "given": 3, "max": 2 }),
    );
    refuse(&node, &transfer_at(0, 1, address(1), 6, 10)).is(
        -32011,
        "ReplacementUnderpriced",
        &json!({ "nonce": 1, "price": 10 }),
    );
    for sender in 2..5 {
        send(&node, &transfer_at(sender, 0, address(1), 5, 10));
    }
    refuse(&node, &transfer_at(6, 0, address(1), 5, 1)).is(
        -32011,
        "PoolFull",
        &json!({ "transactions": 6, "cheapest": 10 }),
    );
    // More of the same is told the same: a transaction that is in the pool is taken again without a change.
    send(&node, &transfer_at(0, 0, address(1), 5, 10));
}

#[test]
fn a_transaction_that_was_taken_is_never_unknown_again() {
    let mut node = Node::new();
    for nonce in 0..40 {
        let sent = send(&node, &transfer(0, nonce, address(1), 5));
        let engine = node.chain.engine.clone();
        let asker = std::thread::spawn(move || {
            loop {
                match engine.transaction_status(&sent).unwrap() {
                    TransactionStatus::Executed { .. } => break,
                    status => assert_ne!(status, TransactionStatus::Unknown, "nonce {nonce}"),
                }
            }
        });
        node.next_block();
        asker.join().unwrap();
    }
}

/// Those that come together are checked together; each gets the answer that it would get alone.
#[test]
fn transactions_that_come_at_once_get_each_its_own_answer() {
    let node = Node::new();
    let client = Arc::new(node.websocket());
    let sent: Vec<SignedTransaction> = (0..400_usize)
        .map(|index| {
            let mut signed = transfer(
                (index % 16) as u8,
                (index / 16) as u64,
                address((index % 7) as u8),
                1,
            );
            if index % 9 == 4 {
                signed.signature[index % 64] ^= 1;
            }
            signed
        })
        .collect();
    let sending: Vec<_> = sent
        .iter()
        .map(|signed| {
            let (client, bytes) = (Arc::clone(&client), Bytes::of(signed));
            node.spawn(async move { client.send_transaction(bytes).await })
        })
        .collect();
    for (index, (task, signed)) in sending.into_iter().zip(&sent).enumerate() {
        let answer = node.wait(task).unwrap();
        if index % 9 == 4 {
            let refusal = answer.unwrap_err().to_string();
            assert!(refusal.contains("InvalidSignature"), "{index}: {refusal}");
        } else {
            assert_eq!(answer.unwrap(), signed.hash(), "{index}");
        }
    }
    let good = (0..400).filter(|index| index % 9 != 4).count() as u64;
    assert_eq!(node.ask(node.http.status()).pool.transactions, good);
}
