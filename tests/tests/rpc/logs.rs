//! Logs by filter: what is found is what a look at every receipt finds, on whatever chain, in pages of whatever size; and
//! what cannot be searched is refused by name.

use millrace_ledger::Ledger;
use millrace_pipeline::{BlockId, BlockRef, BuildAnswer, BuildRequest, EngineConfig, Event, LogPlace, Tag};
use millrace_rpc::server::RpcConfig;
use millrace_rpc::shapes::{FoundLogView, LogCursor, LogFilterView, LogQueryView, LogsView, OneOrMany};
use millrace_rpc::{BlockReference, Bytes, MillraceClient as _};
use millrace_types::{Address, Hash};
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::contracts::{self, INCREMENT, deploy_counter};
use crate::node::{Node, hash, height, tag};
use crate::scripted::{self, Script, topic};
use crate::sequencer::{Chain, address};

fn small_pages() -> RpcConfig {
    RpcConfig {
        max_response_bytes: 6_000,
        max_log_blocks: 1_000,
        ..RpcConfig::default()
    }
}

/// Every page of a search, by `limit` logs each.
fn all_pages(node: &Node, query: &LogQueryView, limit: Option<u64>) -> Vec<FoundLogView> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let query = LogQueryView {
            limit,
            cursor,
            ..query.clone()
        };
        let page = node.ask(node.http.logs(query));
        assert!(page.logs.len() as u64 <= limit.unwrap_or(u64::MAX));
        if let Some(last) = page.logs.last() {
            assert!(last.log.height <= page.looked.height);
        }
        found.extend(page.logs);
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

/// Height, block, places of transaction and log, and data.
type Place = (u64, Hash, u32, u32, Vec<u8>);

/// The same by a look at every receipt.
fn naive(chain: &Chain, filter: &LogFilterView, from: u64, to: u64) -> Vec<Place> {
    let wanted = |any: &Option<OneOrMany<Hash>>, topic: &Hash| match any {
        None => true,
        Some(OneOrMany::One(one)) => one == topic,
        Some(OneOrMany::Many(many)) => many.contains(topic),
    };
    let mut found = Vec::new();
    for height in from.max(1)..=to {
        let at = chain.engine.resolve(BlockId::Height(height)).unwrap().unwrap();
        for receipt in chain.engine.transaction_receipts(&at.hash).unwrap().unwrap() {
            for (index, log) in (0..).zip(&receipt.logs) {
                let contract = match &filter.contract {
                    None => true,
                    Some(OneOrMany::One(one)) => *one == log.address,
                    Some(OneOrMany::Many(many)) => many.contains(&log.address),
                };
                let topics = filter.topics.iter().enumerate();
                let mut topics =
                    topics.map(|(at, any)| log.topics.get(at).is_some_and(|topic| wanted(any, topic)));
                if contract && topics.all(|matches| matches) {
                    found.push((height, at.hash, receipt.index, index, log.data.clone()));
                }
            }
        }
    }
    found
}

fn places(found: &[FoundLogView]) -> Vec<Place> {
    let place = |found: &FoundLogView| {
        let log = &found.log;
        (
            log.height,
            log.block_hash,
            log.transaction_index,
            log.log_index,
            log.data.0.clone(),
        )
    };
    found.iter().map(place).collect()
}

/// A chain with forks on which scripted contracts emit logs.
struct Forks {
    node: Node,
    random: ChaCha8Rng,
    contracts: Vec<Address>,
    nonces: [u64; 4],
    /// Blocks above the finalized one, in the order in which they were made; the head is the last of its branch.
    blocks: Vec<BlockRef>,
    head: BlockRef,
    made: u8,
}

impl Forks {
    fn new(seed: u64, rpc: RpcConfig) -> Self {
        let mut node = Node::start(contracts::spec(), EngineConfig::default(), rpc);
        let contracts = scripted::deploy_some(&mut node, 3);
        let head = node.chain.head;
        Self {
            node,
            random: ChaCha8Rng::seed_from_u64(seed),
            contracts,
            nonces: [0; 4],
            blocks: vec![head],
            head,
            made: 0,
        }
    }

    /// A transaction with up to four logs, of up to three topics out of five.
    fn submit(&mut self) {
        let mut script = Script::new();
        for _ in 0..self.random.random_range(0..5) {
            let topics: Vec<_> = (0..self.random.random_range(0..4))
                .map(|_| topic(self.random.random_range(1..6)))
                .collect();
            let data = vec![self.random.random(); self.random.random_range(0..40)];
            script = script.log(&topics, &data);
        }
        let from = self.random.random_range(0..4u8);
        let nonce = &mut self.nonces[usize::from(from)];
        let to = *self.contracts.choose(&mut self.random).unwrap();
        let signed = scripted::run(from, *nonce, to, script.finish());
        *nonce += 1;
        self.node.chain.engine.submit_transaction(signed).unwrap();
    }

    /// Makes a block on another one its head.
    fn extend(&mut self, parent: BlockRef) {
        self.made += 1;
        let chain = &mut self.node.chain;
        let block = loop {
            let request = BuildRequest {
                parent: parent.hash,
                consensus_data: vec![self.made],
                allow_empty: true,
                timestamp_ms: Some(3_000 + parent.height),
                ..chain.request()
            };
            match chain.build(request) {
                BuildAnswer::Built(block) => break block,
                BuildAnswer::NotNow(_) => drop(chain.wait_for(|event| *event == Event::Work)),
                other => panic!("{other:?}"),
            }
        };
        chain.import(&block);
        chain.move_to(block.hash());
        chain.wait_until_executed_to(block.hash());
        self.head = BlockRef::of(&block);
        self.blocks.push(self.head);
    }

    fn step(&mut self) {
        for _ in 0..self.random.random_range(0..4) {
            self.submit();
        }
        match self.random.random_range(0..10) {
            // A fork somewhere above what is final; what the lost blocks had comes again.
            0..3 => {
                let parent = *self.blocks.choose(&mut self.random).unwrap();
                self.extend(parent);
                self.extend(self.head);
            }
            3 => {
                self.node.chain.finalize_known(self.head);
                self.node.chain.wait_until_finalized(self.head.height);
                self.blocks = vec![self.head];
            }
            _ => self.extend(self.head),
        }
    }

    fn filter(&mut self) -> LogFilterView {
        let mut contracts = self.contracts.clone();
        contracts.push(address(9));
        let contract = match self.random.random_range(0..3) {
            0 => None,
            1 => Some(OneOrMany::One(*contracts.choose(&mut self.random).unwrap())),
            _ => Some(OneOrMany::Many(
                contracts[self.random.random_range(0..3)..].to_vec(),
            )),
        };
        let topics = (0..self.random.random_range(0..3))
            .map(|_| match self.random.random_range(0..3) {
                0 => None,
                1 => Some(OneOrMany::One(Hash(topic(self.random.random_range(1..7))))),
                _ => Some(OneOrMany::Many((1..4).map(|n| Hash(topic(n))).collect())),
            })
            .collect();
        LogFilterView { contract, topics }
    }

    /// Searches for something somewhere, in pages of some size; answers how many logs were found.
    fn search(&mut self) -> usize {
        let executed = self.node.chain.engine.heights().executed.height;
        let from = self.random.random_range(0..=executed);
        let to = self.random.random_range(from..=executed);
        let query = LogQueryView {
            from: height(from),
            to: height(to),
            filter: self.filter(),
            ..LogQueryView::default()
        };
        let limit = [None, Some(1), Some(3)][self.random.random_range(0..3)];
        let found = all_pages(&self.node, &query, limit);
        let expected = naive(&self.node.chain, &query.filter, from, to);
        assert_eq!(places(&found), expected, "{query:?}");
        for one in &found {
            let receipt = self
                .node
                .ask(self.node.http.transaction_receipt(one.log.transaction_hash, None));
            let receipt = receipt.unwrap();
            assert_eq!(
                (receipt.block_hash, receipt.settled_by),
                (one.log.block_hash, one.settled_by)
            );
            assert_eq!(receipt.logs[one.log.log_index as usize].topics, one.log.topics);
        }
        found.len()
    }
}

#[test]
fn a_search_finds_what_a_look_at_every_receipt_finds_whatever_was_reorganised() {
    let (mut found, mut reorgs) = (0, 0);
    for seed in 0..4 {
        let mut forks = Forks::new(seed, small_pages());
        for _ in 0..14 {
            forks.step();
            found += forks.search();
        }
        reorgs += forks.node.chain.engine.counters().reorgs;
    }
    assert!(found > 100 && reorgs > 5, "{found} logs, {reorgs} reorgs");
}

/// The summaries of a chain's blocks, and those of blocks that a summary passes by: what makes a long range cheap.
#[test]
fn blocks_without_such_logs_are_passed_by() {
    let mut forks = Forks::new(77, RpcConfig::default());
    for _ in 0..10 {
        forks.submit();
        forks.extend(forks.head);
    }
    let engine = forks.node.chain.engine.clone();
    let summaries: Vec<_> = (1..=forks.head.height)
        .map(|height| {
            let at = engine.resolve(BlockId::Height(height)).unwrap().unwrap();
            engine
                .ledger()
                .log_summary(&at.hash)
                .unwrap()
                .expect("it was executed by this build")
        })
        .collect();
    assert!(summaries.iter().any(|summary| !summary.is_empty()));
    let strange = millrace_ledger::LogKey::contract(&address(9));
    assert!(summaries.iter().all(|summary| !summary.may_have(strange)));
}

#[test]
fn blocks_that_an_older_build_executed_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    let open = || {
        let ledger = Ledger::open(&path, &contracts::spec()).unwrap();
        Node::on(
            ledger,
            contracts::spec(),
            EngineConfig::default(),
            RpcConfig::default(),
        )
    };
    let mut node = open();
    let counter = deploy_counter(&mut node);
    let increment = |node: &mut Node, nonce| {
        let call = contracts::call(1, nonce, counter, INCREMENT);
        node.chain.engine.submit_transaction(call).unwrap();
        node.settle();
    };
    increment(&mut node, 0);
    let query = LogQueryView {
        from: height(0),
        filter: LogFilterView {
            contract: Some(OneOrMany::One(counter)),
            ..LogFilterView::default()
        },
        ..LogQueryView::default()
    };
    let before = node.ask(node.http.logs(query.clone())).logs;
    assert_eq!(before.len(), 1);
    node.chain.engine.stop();
    drop(node);

    // As an older build left it: without the table.
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let table = redb::TableDefinition::<&[u8; 32], &[u8]>::new("log-summaries");
    assert!(transaction.delete_table(table).unwrap());
    transaction.commit().unwrap();
    drop(database);

    let mut node = open();
    let block = before[0].log.block_hash;
    assert_eq!(node.chain.engine.ledger().log_summary(&block).unwrap(), None);
    assert_eq!(node.ask(node.http.logs(query.clone())).logs, before);
    increment(&mut node, 1);
    let after = node.ask(node.http.logs(query)).logs;
    assert_eq!((after.len(), &after[0]), (2, &before[0]));
    let newest = node.chain.engine.ledger().log_summary(&after[1].log.block_hash);
    assert!(newest.unwrap().is_some());
}

/// A chain with one log of a counter, and that log.
fn one_log(rpc: RpcConfig) -> (Node, FoundLogView) {
    let mut node = Node::start(contracts::spec(), EngineConfig::default(), rpc);
    let counter = deploy_counter(&mut node);
    let call = contracts::call(1, 0, counter, INCREMENT);
    node.chain.engine.submit_transaction(call).unwrap();
    node.settle();
    let newest = node.chain.engine.heights().executed.height;
    let mut found = Vec::new();
    for at in 0..=newest {
        let of_block = LogQueryView {
            block: height(at),
            ..LogQueryView::default()
        };
        let LogsView { logs, next, looked } = node.ask(node.http.logs(of_block));
        assert_eq!((looked.height, next), (at, None));
        found.extend(logs);
    }
    assert_eq!(found.len(), 1);
    (node, found.remove(0))
}

#[test]
fn a_log_comes_with_its_place_and_what_is_known_of_its_block() {
    let (node, found) = one_log(RpcConfig::default());
    let log = &found.log;
    let status = node
        .ask(node.http.transaction_receipt(log.transaction_hash, None))
        .unwrap();
    assert_eq!(
        (status.block_hash, status.height, status.index),
        (log.block_hash, log.height, log.transaction_index)
    );
    assert_eq!((status.settled_by, found.finalized), (found.settled_by, true));
    assert!(found.settled_by.is_some());
    assert_eq!(
        (status.logs[0].address, &status.logs[0].data),
        (log.contract, &log.data)
    );
    let of_block = |block| LogQueryView {
        block,
        ..LogQueryView::default()
    };
    for block in [height(log.height), hash(log.block_hash)] {
        assert_eq!(
            node.ask(node.http.logs(of_block(block))).logs,
            std::slice::from_ref(&found)
        );
    }
    let before = node.ask(node.http.logs(of_block(height(log.height - 1))));
    assert_eq!((before.logs.len(), before.looked.height), (0, log.height - 1));
    let at_first = node.ask(node.http.logs(of_block(height(0))));
    assert_eq!((at_first.logs.len(), at_first.next), (0, None));
}

#[test]
fn a_range_that_cannot_be_searched_is_refused_by_name() {
    let (node, _) = one_log(RpcConfig {
        max_log_blocks: 3,
        max_logs: 5,
        ..RpcConfig::default()
    });
    let executed = node.chain.engine.heights().executed.height;
    assert!(executed >= 4);
    let range = |from, to| {
        let query = LogQueryView {
            from,
            to,
            ..LogQueryView::default()
        };
        node.http.logs(query)
    };
    node.refusal(range(height(executed), height(executed + 2))).is(
        -32001,
        "NotExecuted",
        &json!({ "asked": executed + 2, "executed": executed }),
    );
    node.refusal(range(height(executed + 1), None)).is(
        -32001,
        "NotExecuted",
        &json!({ "asked": executed + 1 }),
    );
    node.refusal(range(tag(Tag::Pending), tag(Tag::Pending))).is(
        -32001,
        "NotExecuted",
        &json!({ "executed": executed }),
    );
    let long = node.refusal(range(height(executed - 3), None));
    long.is(
        -32021,
        "LimitExceeded",
        &json!({ "what": "blocks in one search for logs", "asked": 4, "limit": 3 }),
    );
    assert!(node.ask(range(height(executed - 2), None)).next.is_none());
    node.refusal(range(height(2), height(1))).is(
        -32602,
        "InvalidParams",
        &json!({ "parameter": "filter", "from": 2, "to": 1 }),
    );
    let unknown = Hash([7; 32]);
    node.refusal(range(hash(unknown), None))
        .is(-32003, "UnknownBlock", &json!({ "asked": unknown }));
    let greedy = LogQueryView {
        limit: Some(6),
        ..LogQueryView::default()
    };
    node.refusal(node.http.logs(greedy)).is(
        -32021,
        "LimitExceeded",
        &json!({ "what": "logs in one answer", "asked": 6, "limit": 5 }),
    );
}

#[test]
fn a_filter_that_is_none_is_refused_with_what_is_wrong() {
    let node = Node::new();
    let zero = format!("0x{}", "00".repeat(32));
    for (filter, reason) in [
        (json!({ "adress": zero }), "unknown field `adress`"),
        (json!({ "contract": "0x00" }), "a value, or a list of values"),
        (json!({ "contract": [] }), "an empty list in `contract`"),
        (
            json!({ "contract": vec![&zero; 257] }),
            "257 values, the limit is 256",
        ),
        (json!({ "topics": [null, null, null, null, null] }), "5 positions"),
        (json!({ "topics": [[]] }), "an empty list in `topics`"),
        (json!({ "topics": zero }), "invalid type"),
        (json!({ "block": 1, "from": 1 }), "in place of `from` and `to`"),
        (json!({ "limit": 0 }), "`limit` is 0"),
        (json!({ "limit": -1 }), "invalid value"),
        (json!({ "from": "newest" }), "block reference"),
        (json!({ "cursor": "0x0102" }), "`cursor` is none of this node's"),
        (
            json!({ "cursor": format!("0x02{}", "00".repeat(56)) }),
            "`cursor` is none of this node's",
        ),
        (
            json!({ "cursor": format!("0x01{}", "00".repeat(56)) }),
            "`cursor` is of another filter",
        ),
        (json!(7), "expected an object"),
    ] {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "millrace_getLogs", "params": [filter] });
        let answer = crate::socket::post(&node.address, &body.to_string());
        let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let error = &answer["error"];
        assert_eq!(
            (&error["code"], &error["data"]["parameter"]),
            (&json!(-32602), &json!("filter")),
            "{answer}"
        );
        assert!(
            error["message"].as_str().unwrap().contains(reason),
            "{reason}: {answer}"
        );
    }
}

#[test]
fn a_search_whose_block_was_reorganised_away_says_where_to_go_on() {
    let mut forks = Forks::new(5, RpcConfig::default());
    let base = forks.head;
    for _ in 0..3 {
        for _ in 0..3 {
            let script = Script::new().log(&[topic(1)], b"one").log(&[topic(2)], b"two");
            let from = 0;
            let nonce = forks.nonces[0];
            forks.nonces[0] += 1;
            let signed = scripted::run(from, nonce, forks.contracts[0], script.finish());
            forks.node.chain.engine.submit_transaction(signed).unwrap();
        }
        forks.extend(forks.head);
    }
    let query = LogQueryView {
        from: height(base.height + 1),
        limit: Some(8),
        ..LogQueryView::default()
    };
    // Six logs a block: the page ends in the second one.
    let page = forks.node.ask(forks.node.http.logs(query.clone()));
    let lost = page.looked;
    assert_eq!((page.logs.len(), lost.height), (8, base.height + 2));
    let cursor: Option<LogCursor> = page.next;
    assert!(cursor.is_some());
    let rest = LogQueryView {
        cursor,
        ..query.clone()
    };
    assert_eq!(forks.node.ask(forks.node.http.logs(rest.clone())).logs.len(), 8);

    let kept = forks.blocks[1];
    assert_eq!(kept.height, base.height + 1);
    forks.extend(kept);
    let refusal = forks.node.refusal(forks.node.http.logs(rest.clone()));
    let shared = json!({ "height": kept.height, "block_hash": kept.hash });
    refusal.is(
        -32004,
        "NotCanonical",
        &json!({ "height": lost.height, "block_hash": lost.block_hash, "shared": shared, "finalized": base.height }),
    );
    assert!(refusal.message.contains("search again from there"), "{refusal:?}");
    let of_lost = LogQueryView {
        block: hash(lost.block_hash),
        ..LogQueryView::default()
    };
    forks.node.refusal(forks.node.http.logs(of_lost)).is(
        -32004,
        "NotCanonical",
        &json!({ "block_hash": lost.block_hash }),
    );
    // Back there, the cursor is good again.
    forks.node.chain.move_to(lost.block_hash);
    forks.node.chain.wait_until_executed_to(lost.block_hash);
    assert_eq!(forks.node.ask(forks.node.http.logs(rest)).logs.len(), 4);
}

#[test]
fn finalized_logs_that_are_not_executed_are_refused_as_such() {
    let spec = millrace_types::ChainSpec {
        max_receipt_lag: 8,
        ..contracts::spec()
    };
    let engine = EngineConfig {
        slow_execution_ms: 1_000,
        ..EngineConfig::default()
    };
    let mut node = Node::start(spec, engine, RpcConfig::default());
    crate::sequencer::submit_rounds(&node.chain, 0, 12);
    for height in 1..=3 {
        node.next_block();
        node.wait_until_finalized(height);
    }
    assert!(node.chain.engine.heights().executed.height < 3);
    let query = LogQueryView {
        from: height(0),
        to: Some(BlockReference(BlockId::Tag(Tag::Finalized))),
        ..LogQueryView::default()
    };
    node.refusal(node.http.logs(query.clone()))
        .is(-32001, "NotExecuted", &json!({ "asked": 3 }));
    node.chain.wait_until_executed(3);
    assert!(node.ask(node.http.logs(query)).logs.is_empty());
}

#[test]
fn a_cursor_reads_back_as_written() {
    let place = LogPlace {
        block: BlockRef {
            height: 9,
            hash: Hash([3; 32]),
        },
        transaction: 4,
        log: 5,
    };
    let filter = LogFilterView::default();
    let cursor = LogCursor::new(place, &filter);
    let text = serde_json::to_string(&cursor).unwrap();
    assert_eq!(serde_json::from_str::<LogCursor>(&text).unwrap(), cursor);
    assert_eq!(cursor.place(), place);
    let Bytes(bytes) = Bytes::from(cursor);
    assert_eq!(bytes.len(), 57);
}

/// A cursor is in the hands of whoever asks: whatever place it names, the search goes on there and nothing breaks.
#[test]
fn a_search_goes_on_at_whatever_place_a_cursor_names() {
    let mut forks = Forks::new(9, RpcConfig::default());
    for _ in 0..6 {
        forks.submit();
        forks.submit();
        forks.extend(forks.head);
    }
    let filter = LogFilterView::default();
    let last = forks.head.height;
    let all = naive(&forks.node.chain, &filter, 0, last);
    assert!(all.len() > 10);
    for _ in 0..60 {
        let at = forks.random.random_range(0..=last);
        let block = forks
            .node
            .chain
            .engine
            .resolve(BlockId::Height(at))
            .unwrap()
            .unwrap();
        let any = [0, 1, 2, 3, u32::MAX - 1, u32::MAX];
        let place = LogPlace {
            block,
            transaction: *any.choose(&mut forks.random).unwrap(),
            log: *any.choose(&mut forks.random).unwrap(),
        };
        let query = LogQueryView {
            cursor: Some(LogCursor::new(place, &filter)),
            ..LogQueryView::default()
        };
        let found = forks.node.ask(forks.node.http.logs(query)).logs;
        let start = (at, place.transaction, place.log);
        let is_behind = |found: &&Place| (found.0, found.2, found.3) >= start;
        let expected: Vec<_> = all.iter().filter(is_behind).cloned().collect();
        assert_eq!(places(&found), expected, "{place:?}");
    }
    let beyond = LogPlace {
        block: BlockRef {
            height: u64::MAX,
            hash: Hash::ZERO,
        },
        transaction: 0,
        log: 0,
    };
    let query = LogQueryView {
        cursor: Some(LogCursor::new(beyond, &filter)),
        ..LogQueryView::default()
    };
    let refusal = forks.node.refusal(forks.node.http.logs(query));
    refusal.is(
        -32004,
        "NotCanonical",
        &json!({ "height": u64::MAX, "shared": null }),
    );
}
