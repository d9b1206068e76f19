//! Status, chain spec, blocks, headers, execution receipts, settlements.

use std::collections::BTreeSet;

use millrace_pipeline::{EngineConfig, Tag};
use millrace_rpc::MillraceClient as _;
use millrace_rpc::server::RpcConfig;
use millrace_rpc::shapes::{TransactionDetail, TransactionsView};
use millrace_types::receipt::settlement_hash;
use millrace_types::{
    Block, ChainSpec, Commitment, ExecutionReceipt, Hash, Header, SignedTransaction, merkle,
};
use serde_json::json;

use crate::contracts;
use crate::node::{Node, hash, height, tag};
use crate::sequencer::{address, certificate, submit_rounds};

/// A chain with a few settled blocks.
fn settled() -> Node {
    let mut node = Node::new();
    submit_rounds(&node.chain, 0, 12);
    node.settle();
    node
}

#[test]
fn status_tells_what_the_engine_knows() {
    let node = settled();
    let status = node.ask(node.http.status());
    let (engine, heights) = (&node.chain.engine, node.chain.engine.heights());
    assert_eq!(status.chain_id, 7);
    assert_eq!(status.chain_spec_hash, engine.spec().hash());
    assert_eq!(status.genesis_hash, engine.genesis().hash);
    assert_eq!(status.consensus, "test/1");
    assert_eq!(status.heights.finalized, heights.finalized.height);
    assert_eq!(status.heights.executed, heights.executed.height);
    assert_eq!(status.heights.settled, heights.settled);
    assert_eq!(status.heights.safe, heights.safe);
    assert_eq!(status.heights.pending, heights.head.height);
    assert!(status.heights.settled >= 3 && status.max_lag >= 1, "{status:?}");
    assert_eq!(status.lag, heights.finalized.height - heights.settled);
    assert_eq!(status.max_lag, engine.counters().max_lag);
    assert_eq!(status.pressure.rung, engine.pressure().rung.name());
    assert_eq!(status.pressure.credits_blocks, engine.credits());
    assert_eq!(status.pool.transactions, 0);
    assert_eq!(status.counters.transactions_executed, 12 * 16);
    assert_eq!(status.counters.blocks_executed, heights.executed.height);
    assert_eq!(status.plugin.state, "healthy");
    assert_eq!(status.stopped, None);

    engine
        .submit_transaction(contracts::transfer(0, 12, address(1), 1))
        .unwrap();
    let pool = node.ask(node.http.status()).pool;
    assert_eq!(pool.transactions, 1);
    assert!(pool.bytes > 100);
}

#[test]
fn the_chain_spec_comes_whole_and_hashes_to_what_it_says() {
    let node = Node::new();
    let view = node.ask(node.http.chain_spec());
    let spec = ChainSpec::decode(&view.encoded.0).unwrap();
    assert_eq!(spec, **node.chain.engine.spec());
    assert_eq!(spec.hash(), view.hash);
    assert_eq!(serde_json::from_value::<ChainSpec>(view.spec).unwrap(), spec);
}

#[test]
fn a_block_is_found_by_tag_height_and_hash() {
    let node = settled();
    let heights = node.chain.engine.heights();
    for (name, expected) in [
        (Tag::Finalized, heights.finalized.height),
        (Tag::Executed, heights.executed.height),
        (Tag::Settled, heights.settled),
        (Tag::Safe, heights.safe),
        (Tag::Pending, heights.head.height),
    ] {
        let by_tag = node.ask(node.http.block(tag(name), None)).unwrap();
        assert_eq!(by_tag.header.height, expected, "{name:?}");
        let by_height = node.ask(node.http.block(height(expected), None)).unwrap();
        let by_hash = node.ask(node.http.block(hash(by_tag.hash), None)).unwrap();
        assert_eq!(by_tag, by_height);
        assert_eq!(by_tag, by_hash);
    }
    let by_default = node.ask(node.http.block(None, None)).unwrap();
    assert_eq!(by_default.hash, heights.executed.hash);
}

#[test]
fn a_block_shows_what_it_holds_by_hash_and_in_full() {
    let node = settled();
    let engine = &node.chain.engine;
    let stored = |h: u64| {
        let at = engine.resolve(height(h).unwrap().0).unwrap().unwrap();
        engine.block(&at.hash).unwrap().unwrap()
    };
    let block = stored(1);
    let view = node.ask(node.http.block(height(1), None)).unwrap();
    assert_eq!(view.hash, block.hash());
    assert_eq!(view.header.parent_hash, block.header.parent_hash);
    assert_eq!(view.header.transactions_root, block.header.transactions_root);
    assert_eq!(view.size, millrace_types::codec::encode(&block).len() as u64);
    assert!(view.finalized && view.executed);

    // Option B: some block carries the receipt of this one.
    let carrier = (2..=engine.heights().finalized.height)
        .map(stored)
        .find(|block| !block.body.receipts.is_empty())
        .unwrap();
    let by = carrier.header.height;
    let shown = node.ask(node.http.block(height(by), None)).unwrap().receipts;
    assert_eq!(shown.len(), carrier.body.receipts.len());
    for (shown, receipt) in shown.iter().zip(&carrier.body.receipts) {
        assert_eq!(shown.receipt, receipt.into());
        assert_eq!((shown.canonical, shown.settled_by), (true, Some(by)));
    }

    let hashes: Vec<Hash> = block
        .body
        .transactions
        .iter()
        .map(SignedTransaction::hash)
        .collect();
    assert!(hashes.len() > 10);
    assert_eq!(view.transactions, TransactionsView::Hashes(hashes.clone()));
    let full = node
        .ask(node.http.block(height(1), Some(TransactionDetail::Full)))
        .unwrap();
    let TransactionsView::Full(transactions) = full.transactions else {
        panic!("not in full");
    };
    for (shown, signed) in transactions.iter().zip(&block.body.transactions) {
        assert_eq!(shown.hash, signed.hash());
        assert_eq!(shown.encoded.decode::<SignedTransaction>().unwrap(), *signed);
        assert_eq!((shown.kind.as_str(), shown.sender), ("transfer", signed.sender()));
        assert_eq!(shown.value.0, signed.transaction.payload.value());
    }
    let again: Vec<SignedTransaction> = transactions.iter().map(|t| t.encoded.decode().unwrap()).collect();
    assert_eq!(merkle::transactions_root(&again), full.header.transactions_root);
}

#[test]
fn what_is_not_there_is_null() {
    let node = settled();
    let (unknown, above) = (hash(Hash([9; 32])), height(10_000));
    assert_eq!(node.ask(node.http.block(unknown, None)), None);
    assert_eq!(node.ask(node.http.block(above, None)), None);
    assert_eq!(node.ask(node.http.execution_receipt(unknown)), None);
    assert_eq!(node.ask(node.http.execution_receipt(above)), None);
    assert_eq!(node.ask(node.http.settlement(10_000)), None);
    assert_eq!(node.ask(node.http.transaction(Hash([9; 32]))), None);
    assert_eq!(
        node.ask(node.http.transaction_receipt(Hash([9; 32]), Some(true))),
        None
    );
    assert_eq!(
        node.ask(node.http.execution_receipt(height(0))),
        None,
        "genesis has no receipt"
    );
    assert!(node.ask(node.http.block(height(0), None)).unwrap().executed);
}

#[test]
fn headers_link_to_genesis_and_carry_their_certificates() {
    let node = settled();
    let finalized = node.chain.engine.heights().finalized.height;
    let headers = node.ask(node.http.headers(0, 256));
    assert_eq!(headers.len() as u64, finalized + 1, "shorter at the end");
    // Genesis commits to the chain spec.
    let mut parent = node.chain.engine.spec().hash();
    for (height, sealed) in (0..).zip(&headers) {
        let header = Header::decode(&sealed.header.0, node.chain.engine.spec()).unwrap();
        assert_eq!((header.height, header.parent_hash), (height, parent));
        parent = header.hash();
        let expected = (height > 0).then(|| {
            let body = millrace_types::Body::default();
            certificate(&Block { header, body })
        });
        assert_eq!(sealed.certificate.as_ref().map(|bytes| bytes.0.clone()), expected);
    }
    assert_eq!(parent, node.chain.engine.heights().finalized.hash);
}

#[test]
fn headers_are_bounded() {
    let node = settled();
    let finalized = node.chain.engine.heights().finalized.height;
    let refusal = node.refusal(node.http.headers(0, 257));
    refusal.is(-32021, "LimitExceeded", &json!({ "asked": 257, "limit": 256 }));
    assert!(node.ask(node.http.headers(0, 0)).is_empty());
    assert!(node.ask(node.http.headers(finalized + 1, 256)).is_empty());
    assert!(node.ask(node.http.headers(u64::MAX, 256)).is_empty());
    assert_eq!(node.ask(node.http.headers(finalized, 256)).len(), 1);
    assert_eq!(node.ask(node.http.headers(1, 2)).len(), 2);
}

#[test]
fn execution_receipts_tell_what_settles_them() {
    let node = settled();
    let heights = node.chain.engine.heights();
    let mut settling = BTreeSet::new();
    for h in 1..=heights.finalized.height {
        let view = node.ask(node.http.execution_receipt(height(h))).unwrap();
        let stored = node
            .chain
            .engine
            .receipt(&view.receipt.block_hash)
            .unwrap()
            .unwrap();
        assert_eq!(view.receipt, (&stored).into());
        assert!(view.canonical);
        assert_eq!(view.settled_by.is_some(), h <= heights.settled, "height {h}");
        settling.extend(view.settled_by);
    }
    assert!(settling.iter().all(|by| *by <= heights.finalized.height) && !settling.is_empty());
}

/// Every settled height's settlement hashes to its header, and holds the receipt; answers how many there were.
fn check_settlements(node: &Node) -> u64 {
    let spec = node.chain.engine.spec();
    let settled = node.chain.engine.heights().settled;
    for h in 1..=settled {
        let settlement = node.ask(node.http.settlement(h)).unwrap();
        let header = Header::decode(&settlement.header.0, spec).unwrap();
        assert_eq!((settlement.height, settlement.settled_by), (h, header.height));
        let receipts = ExecutionReceipt::decode_list(&settlement.receipts.0, spec).unwrap();
        assert_eq!(settlement_hash(&receipts), header.settlement_hash);
        let its_own = receipts.iter().find(|receipt| receipt.height == h).unwrap();
        let view = node.ask(node.http.execution_receipt(height(h))).unwrap();
        assert_eq!(view.receipt, its_own.into());
        assert_eq!(view.settled_by, Some(header.height));
        if let Some(root) = header.delayed_state_root {
            let last = receipts.last().unwrap();
            assert_eq!((last.height, last.post_state_root), (header.settled_height, root));
        }
    }
    let genesis = node.ask(node.http.settlement(0)).unwrap();
    assert_eq!((genesis.settled_by, genesis.height), (0, 0));
    assert_eq!(node.ask(node.http.settlement(settled + 1)), None);
    settled
}

#[test]
fn settlements_hash_to_their_headers_in_both_options() {
    for commitment in [Commitment::ExecutionReceipts, Commitment::DelayedRoot] {
        let spec = ChainSpec {
            commitment,
            ..contracts::spec()
        };
        // Execution that lags makes settlements of several heights at once.
        let engine = EngineConfig {
            slow_execution_ms: 15,
            ..EngineConfig::default()
        };
        let mut node = Node::start(spec, engine, RpcConfig::default());
        submit_rounds(&node.chain, 0, 24);
        node.settle();
        assert!(check_settlements(&node) >= 6, "{commitment:?}");
    }
}
