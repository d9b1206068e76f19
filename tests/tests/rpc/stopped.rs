//! An engine that stopped: reads go on, transactions are refused, and everyone is told why.

use millrace_pipeline::{Submission, Tag};
use millrace_rpc::shapes::{CallRequest, EventView, Topic, TransactionStatusView};
use millrace_rpc::{Bytes, MillraceClient as _};
use millrace_types::Header;
use serde_json::json;

use crate::contracts::{self, GET, deploy_counter};
use crate::node::{Node, height, tag};
use crate::sequencer::{address, certificate, empty_block, submit_rounds};

/// Finalizes a block on the head that breaks the chain's rules.
fn violate(node: &mut Node, head: &Header) {
    let engine = &node.chain.engine;
    let mut block = empty_block(engine.spec(), head);
    block.header.gas_limit += 1;
    let submitted = engine.submit_finalized(block.clone(), certificate(&block));
    assert_eq!(submitted, Submission::Accepted);
    node.chain.wait_until_stopped();
}

#[test]
fn reads_go_on_and_transactions_are_refused() {
    let mut node = Node::new();
    let counter = deploy_counter(&mut node);
    let known = contracts::call(1, 0, counter, &[1]);
    node.chain.engine.submit_transaction(known.clone()).unwrap();
    node.settle();
    let finalized = node.chain.engine.heights().finalized;
    let head = node.chain.engine.header(&finalized.hash).unwrap().unwrap();
    violate(&mut node, &head);

    let status = node.ask(node.http.status());
    let reason = status.stopped.expect("it says why it stopped");
    assert!(reason.starts_with("ConsensusViolation: block "), "{reason}");
    assert_eq!(
        status.heights.finalized, finalized.height,
        "an invalid block does not count"
    );
    let refusal = node.refusal(
        node.http
            .send_transaction(Bytes::of(&contracts::call(1, 1, counter, &[1]))),
    );
    refusal.is(-32020, "Stopped", &json!({ "reason": reason }));

    let block = node.ask(node.http.block(tag(Tag::Finalized), None)).unwrap();
    assert_eq!(block.hash, finalized.hash);
    let account = node.ask(node.http.account(address(1), None, Some(true)));
    assert_eq!(account.nonce, 1);
    let call = CallRequest {
        to: counter,
        from: None,
        input: Bytes(GET.to_vec()),
        value: None,
        gas_limit: None,
    };
    let count = node.ask(node.http.call(call, None));
    assert_eq!(count.output.0, 1u64.to_le_bytes());
    let of_known = node.ask(node.http.transaction_status(known.hash()));
    assert!(matches!(of_known, TransactionStatusView::Settled { .. }));
    assert_eq!(
        node.ask(node.http.headers(0, 256)).len() as u64,
        finalized.height + 1
    );
    assert!(node.ask(node.http.settlement(1)).is_some());
    assert!(node.ask(node.http.execution_receipt(height(1))).is_some());
}

#[test]
fn subscribers_are_told_last_and_later_ones_at_once() {
    let mut node = Node::new();
    let socket = node.websocket();
    let mut streams: Vec<_> = [Topic::Finalized, Topic::Executed, Topic::Settled]
        .into_iter()
        .map(|topic| node.ask(socket.follow(topic)))
        .collect();
    submit_rounds(&node.chain, 0, 8);
    // Nothing waits for execution: the invalid block comes while others are under way.
    node.next_block();
    let head = node.next_block().header;
    violate(&mut node, &head);
    for stream in &mut streams {
        let mut events = Vec::new();
        while let Some(notification) = node.next(stream) {
            assert_eq!(notification.sequence, events.len() as u64);
            events.push(notification.event);
        }
        let is_stop = |event: &EventView| matches!(event, EventView::Stopped { .. });
        assert!(is_stop(events.last().unwrap()), "{events:?}");
        assert_eq!(events.iter().filter(|event| is_stop(event)).count(), 1);
        let heights: Vec<u64> = events
            .iter()
            .filter_map(|event| match event {
                EventView::Finalized { height, .. } => Some(*height),
                EventView::Executed { receipt, .. } => Some(receipt.height),
                _ => None,
            })
            .collect();
        assert!(heights.is_empty() || heights == [1, 2], "{events:?}");
    }
    let mut late = node.ask(socket.follow(Topic::Finalized));
    let told = node.next(&mut late).unwrap();
    assert_eq!(told.sequence, 0);
    let EventView::Stopped { reason } = told.event else {
        panic!("{told:?}");
    };
    assert!(reason.starts_with("ConsensusViolation"), "{reason}");
    assert!(node.next(&mut late).is_none(), "the subscription ends");
}
