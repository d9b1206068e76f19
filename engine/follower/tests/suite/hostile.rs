//! Nodes that are wrong in ways that take more than one answer: another chain with the same keys, a fork, a header that is
//! certified and breaks a rule, nobody at the right time.

use std::time::Duration;

use millrace_follower::files::{check_evidence, write_evidence};
use millrace_follower::{Fault, FollowError, Options, Trust};
use millrace_light_client::{Contradiction, Verifiers};
use millrace_rpc::Bytes;
use millrace_types::receipt::settlement_hash;
use millrace_types::settlement::HeaderError;
use millrace_types::{ChainSpec, ExecutionReceipt, Hash, Header, codec};
use serde_json::{Value, json};

use crate::proxy::{Exchange, Proxy, Reply, header_of, honesty, sealed, up_to, with_error, with_result};
use crate::questions::{self, call};
use crate::world::{Consensus, OPTIONS, World, sequencer_key, spec};

fn asking_from(allowed_behind: u64) -> Options {
    Options {
        allowed_behind,
        ..Options::default()
    }
}

#[test]
fn another_chain_with_the_same_keys_and_id_is_no_contradiction() {
    for option in OPTIONS {
        let world = World::with_history(option, Consensus::Solo);
        let mut other = World::new(ChainSpec {
            genesis_timestamp_ms: 999,
            ..spec(option, Consensus::Solo)
        });
        other.deploy();
        for nonce in 1..=8 {
            other.increment(nonce);
            other.settle();
        }
        let (ours, theirs) = (world.chain.head.height, other.chain.head.height);
        assert!(theirs > ours, "it has blocks where it is asked: {theirs}, {ours}");
        let urls = [&*world.url, &*other.url];
        let mut follower = world.wait(world.follower(&urls, &Options::default())).unwrap();
        world.wait(follower.sync()).unwrap();
        let shows_another = |fault: &Fault| {
            let genesis = other.genesis.to_string();
            matches!(fault, Fault::Lied { reason, .. } if reason.contains(&genesis))
        };
        let fault = follower.standings()[1].fault.clone().unwrap();
        assert!(shows_another(&fault), "{fault}");

        // Blocks that do not say where they come from: then it is asked for those below.
        let turned = |below: fn(&Exchange) -> Option<Reply>| {
            let proxy = Proxy::new(&world.url, honesty());
            let urls = [&*world.url, &*proxy.url];
            let mut follower = world.wait(world.follower(&urls, &asking_from(1))).unwrap();
            world.wait(follower.sync()).unwrap();
            assert_eq!(follower.standings()[1].fault, None);
            let url = other.url.clone();
            proxy.tell(Box::new(move |exchange| {
                let first = exchange.params[0].as_u64().unwrap();
                match below(exchange) {
                    Some(reply) if first < ours - 1 => reply,
                    _ => {
                        let theirs = call(&url, "getHeaders", &exchange.params);
                        with_result(exchange, theirs["result"].clone())
                    }
                }
            }));
            world.wait(follower.sync()).unwrap();
            assert_eq!(follower.light().finalized().1, world.chain.head.hash);
            follower.standings()[1].fault.clone().unwrap()
        };
        let fault = turned(|_| None);
        assert!(shows_another(&fault), "{fault}");
        // A node that hides them proves nothing, nor does one that shows this chain's in their place.
        let fault = turned(|exchange| Some(with_error(exchange)));
        assert!(matches!(fault, Fault::Refused { .. }), "{fault}");
        let fault = turned(|_| Some(Reply::Honest));
        assert!(
            matches!(&fault, Fault::Lied { reason, .. } if reason.contains("do not lead to it")),
            "{fault}"
        );
    }
}

#[test]
fn a_shorter_fork_of_a_node_that_is_far_behind_is_a_contradiction() {
    for option in OPTIONS {
        for consensus in [Consensus::Solo, Consensus::Rotating] {
            let [long, short] = [(5, 12), (6, 2)].map(|(value, blocks)| {
                let mut world = World::new(spec(option, consensus));
                for nonce in 0..blocks {
                    world.transfer(1, nonce, value);
                    world.settle();
                }
                world
            });
            assert!(short.chain.head.height + 8 < long.chain.head.height);
            for urls in [[&*long.url, &*short.url], [&*short.url, &*long.url]] {
                let mut follower = long.wait(long.follower(&urls, &asking_from(3))).unwrap();
                let error = long.wait(follower.sync()).unwrap_err();
                let FollowError::Contradiction { evidence, .. } = error else {
                    panic!("{error}")
                };
                assert!(evidence.verify(follower.light()).is_ok());
            }
        }
    }
}

#[test]
fn a_node_that_shows_nothing_is_behind_even_where_few_headers_are_kept() {
    let mut world = World::new(ChainSpec {
        max_receipt_lag: 1,
        receipt_age: 1,
        ..spec(OPTIONS[0], Consensus::Solo)
    });
    for nonce in 0..8 {
        world.transfer(1, nonce, 5);
        world.settle();
    }
    let head = &world.chain.head;
    assert!(head.height > 12);
    let trust = Trust::Block {
        height: head.height,
        hash: head.hash,
    };
    let nothing = Proxy::new(&world.url, up_to(0));
    let urls = [&*world.url, &*nothing.url];
    let mut follower = world
        .wait(world.follower_from(&urls, trust, &Options::default()))
        .unwrap();
    world.wait(follower.sync()).unwrap();
    let standing = &follower.standings()[1];
    assert!(
        matches!(standing.fault, Some(Fault::Behind { newest: 0, .. })),
        "{standing:?}"
    );
    assert_eq!(standing.newest, 0);
    // One that is behind is said to be where it is.
    let late = Proxy::new(&world.url, up_to(2));
    let mut follower = world
        .wait(world.follower(&[&world.url, &late.url], &Options::default()))
        .unwrap();
    world.wait(follower.sync()).unwrap();
    assert_eq!(follower.standings()[1].newest, 2);
}

#[test]
fn a_trusted_height_at_the_end_of_all_heights_is_an_error() {
    let world = World::with_history(OPTIONS[0], Consensus::Solo);
    let forger = Proxy::new(
        &world.url,
        Box::new(|exchange| {
            if exchange.method != "getHeaders" {
                return Reply::Honest;
            }
            let first = exchange.params[0].as_u64().unwrap();
            let genesis = Header::genesis(&spec(OPTIONS[0], Consensus::Solo), Hash::ZERO);
            let headers = (0..exchange.params[1].as_u64().unwrap()).map_while(|above| {
                let height = first.checked_add(above)?;
                Some(sealed(
                    &Header {
                        height,
                        ..genesis.clone()
                    },
                    &sequencer_key(),
                ))
            });
            with_result(exchange, headers.collect())
        }),
    );
    let trust = Trust::Block {
        height: u64::MAX,
        hash: Hash([7; 32]),
    };
    let started = world.wait(world.follower_from(&[&forger.url], trust, &Options::default()));
    let error = started.err().unwrap();
    let FollowError::NoAnswer { nodes, .. } = error else {
        panic!("{error}")
    };
    assert!(matches!(nodes[0].fault, Fault::Lied { .. }), "{nodes:?}");
}

#[test]
fn a_certified_header_that_breaks_a_rule_is_the_end_and_no_nodes_fault() {
    let world = World::with_history(OPTIONS[0], Consensus::Solo);
    let newest = world.chain.head.height;
    let upgraded = Proxy::new(
        &world.url,
        Box::new(move |exchange| {
            if exchange.method != "getHeaders" {
                return Reply::Honest;
            }
            let mut result = exchange.answer["result"].clone();
            for item in result.as_array_mut().unwrap() {
                let mut header = header_of(item);
                if header.height == newest {
                    header.version = 2;
                    *item = sealed(&header, &sequencer_key());
                }
            }
            with_result(exchange, result)
        }),
    );
    let mut follower = world
        .wait(world.follower(&[&upgraded.url], &Options::default()))
        .unwrap();
    let error = world.wait(follower.sync()).unwrap_err();
    let FollowError::ConsensusViolation { height, error } = error else {
        panic!("{error}")
    };
    assert_eq!((height, error), (newest, HeaderError::Version { found: 2 }));
    assert_eq!(follower.light().finalized_height(), newest - 1);
    assert_eq!(follower.standings()[0].fault, None);
}

#[test]
fn nodes_that_stall_cost_a_round_one_deadline_together() {
    let world = World::with_history(OPTIONS[0], Consensus::Solo);
    let deadline = Duration::from_secs(3);
    let stalls = || {
        let lie = |exchange: &Exchange| match exchange.method.as_str() {
            "getHeaders" => Reply::Stall(Vec::new()),
            _ => Reply::Honest,
        };
        Proxy::new(&world.url, Box::new(lie))
    };
    let stalling: Vec<Proxy> = (0..5).map(|_| stalls()).collect();
    let mut urls: Vec<&str> = stalling.iter().map(|proxy| &*proxy.url).collect();
    urls.push(&world.url);
    let options = Options {
        deadline,
        ..Options::default()
    };
    let mut follower = world.wait(world.follower(&urls, &options)).unwrap();
    let synced = world.wait(async { tokio::time::timeout(deadline * 3, follower.sync()).await });
    synced.expect("in three deadlines of five").unwrap();
    assert_eq!(follower.light().finalized_height(), world.chain.head.height);
    let left = follower.standings();
    assert!(
        left[..5]
            .iter()
            .all(|node| matches!(node.fault, Some(Fault::TimedOut { .. }))),
        "{left:?}"
    );
}

#[test]
fn nodes_that_were_asked_before_a_long_way_was_made_are_not_wronged() {
    // The second has less than the first makes the client forget, and the third has all.
    let mut world = World::new(spec(OPTIONS[0], Consensus::Solo));
    for nonce in 0..30 {
        world.transfer(1, nonce, 5);
        world.settle();
    }
    let (late, third) = (
        Proxy::new(&world.url, up_to(6)),
        Proxy::new(&world.url, honesty()),
    );
    let options = Options {
        // Some headers at a time.
        max_answer_bytes: 20_000,
        ..Options::default()
    };
    let urls = [&*world.url, &*late.url, &*third.url];
    let mut follower = world.wait(world.follower(&urls, &options)).unwrap();
    world.wait(follower.sync()).unwrap();
    let standings = follower.standings();
    assert!(
        matches!(standings[1].fault, Some(Fault::Behind { newest: 6, .. })),
        "{standings:?}"
    );
    assert_eq!(standings[2].fault, None);
    assert_eq!(standings[2].newest, world.chain.head.height);
    let to_the_third = third.exchanges();
    let asked = to_the_third
        .iter()
        .filter(|exchange| exchange.method == "getHeaders")
        .count();
    assert!(asked <= 6, "it is not asked for the whole chain again: {asked}");
}

#[test]
fn a_node_that_was_behind_when_it_was_asked_and_is_not_any_more_stays() {
    let world = World::with_history(OPTIONS[0], Consensus::Solo);
    let (mut early, mut asked) = (up_to(2), 0);
    let grows = Proxy::new(
        &world.url,
        Box::new(move |exchange| {
            asked += u32::from(exchange.method == "getHeaders");
            if asked < 2 { early(exchange) } else { Reply::Honest }
        }),
    );
    let urls = [&*grows.url, &*world.url];
    let mut follower = world.wait(world.follower(&urls, &asking_from(2))).unwrap();
    world.wait(follower.sync()).unwrap();
    let standings = follower.standings();
    assert_eq!(standings[0].fault, None);
    assert_eq!(standings[0].newest, world.chain.head.height);
}

#[test]
fn a_transaction_from_before_the_headers_that_are_kept_is_too_old_and_nobodys_fault() {
    let world = World::with_history(OPTIONS[0], Consensus::Solo);
    let head = &world.chain.head;
    let trust = Trust::Block {
        height: head.height,
        hash: head.hash,
    };
    let mut follower = world
        .wait(world.follower_from(&[&world.url], trust, &Options::default()))
        .unwrap();
    let oldest = follower.light().headers().next().unwrap().height;
    assert!(oldest > 1);
    let error = world.wait(follower.transaction(world.sent[0])).unwrap_err();
    assert!(
        matches!(error, FollowError::TooOld { height: 1, oldest: from } if from == oldest),
        "{error}"
    );
    assert_eq!(follower.standings()[0].fault, None);
}

#[test]
fn more_headers_than_were_asked_for_are_not_taken() {
    let world = World::with_history(OPTIONS[0], Consensus::Solo);
    let url = world.url.clone();
    let eager = Proxy::new(
        &world.url,
        Box::new(move |exchange| {
            if exchange.method != "getHeaders" {
                return Reply::Honest;
            }
            let count = exchange.params[1].as_u64().unwrap();
            let more = call(&url, "getHeaders", &json!([exchange.params[0], count + 1]));
            with_result(exchange, more["result"].clone())
        }),
    );
    let options = Options {
        max_answer_bytes: 20_000,
        ..Options::default()
    };
    let mut follower = world.wait(world.follower(&[&eager.url], &options)).unwrap();
    let error = world.wait(follower.sync()).unwrap_err().to_string();
    assert!(error.contains("were asked; nothing"), "{error}");
    assert_eq!(follower.light().finalized_height(), 0);
}

#[test]
fn a_node_that_rests_is_asked_when_nobody_else_is_left() {
    let world = World::with_history(OPTIONS[0], Consensus::Solo);
    for (fails, lies) in [("chainSpec", "getHeaders"), ("getHeaders", "getAccount")] {
        let mut failures = 1;
        let moody = Proxy::new(
            &world.url,
            Box::new(move |exchange| {
                if exchange.method == fails && failures > 0 {
                    failures -= 1;
                    return with_error(exchange);
                }
                Reply::Honest
            }),
        );
        let liar = Proxy::new(
            &world.url,
            Box::new(move |exchange| {
                if exchange.method != lies {
                    return Reply::Honest;
                }
                let mut result = exchange.answer["result"].clone();
                match &mut result {
                    Value::Array(items) => items
                        .iter_mut()
                        .for_each(|item| item["certificate"] = "0x".into()),
                    account => account["balance"] = "7".into(),
                }
                with_result(exchange, result)
            }),
        );
        let known = &questions::all(&world)[0];
        let urls = [&*moody.url, &*liar.url];
        let answer = world
            .wait(known.ask_nodes(&world, &urls, &Options::default()))
            .unwrap();
        known.judge_newest(&answer, "by the one that failed once");
    }
}

#[test]
fn what_is_settled_while_it_is_asked_for_is_proven() {
    for option in OPTIONS {
        let world = World::with_history(option, Consensus::Solo);
        let known = &questions::all(&world)[4];
        let newest = world.chain.head.height;
        let (mut early, mut asked) = (up_to(newest - 3), false);
        let grows = Proxy::new(
            &world.url,
            Box::new(move |exchange| {
                asked |= exchange.method == "getTransactionStatus";
                if asked { Reply::Honest } else { early(exchange) }
            }),
        );
        let answer = world
            .wait(known.ask_nodes(&world, &[&grows.url], &Options::default()))
            .unwrap();
        known.judge_newest(&answer, "settled meanwhile");
    }
}

/// A node that has the honest chain's first block, and above it one that settles another receipt of it.
fn with_another_receipt(world: &World) -> (Proxy, ExecutionReceipt) {
    let ask = |method: &str, params: Value| call(&world.url, method, &params)["result"].take();
    let headers = ask("getHeaders", json!([1, 8]));
    let headers: Vec<Header> = headers.as_array().unwrap().iter().map(header_of).collect();
    let settlement = ask("getSettlement", json!([1]));
    let bytes: Bytes = serde_json::from_value(settlement["receipts"].clone()).unwrap();
    let mut receipts: Vec<ExecutionReceipt> = borsh::from_slice(&bytes.0).unwrap();
    receipts.truncate(1);
    receipts[0].gas_used += 1;
    let forged = Header {
        settled_height: 1,
        settlement_hash: settlement_hash(&receipts),
        delayed_state_root: headers[1].delayed_state_root.map(|_| receipts[0].post_state_root),
        ..headers[1].clone()
    };
    let branch = [
        sealed(&headers[0], &sequencer_key()),
        sealed(&forged, &sequencer_key()),
    ];
    let receipt = receipts[0].clone();
    let opened = json!({
        "height": 1, "settled_by": 2, "header": Bytes::of(&forged), "receipts": Bytes(codec::encode(&receipts)),
    });
    let lie = move |exchange: &Exchange| match exchange.method.as_str() {
        "getHeaders" => {
            let first = exchange.params[0].as_u64().unwrap();
            let count = exchange.params[1].as_u64().unwrap() as usize;
            let place = usize::try_from(first.saturating_sub(1)).unwrap();
            let some = branch.iter().skip(place).take(count);
            with_result(exchange, some.cloned().collect())
        }
        "getSettlement" => with_result(exchange, opened.clone()),
        _ => Reply::Honest,
    };
    (Proxy::new(&world.url, Box::new(lie)), receipt)
}

#[test]
fn two_receipts_of_a_block_that_both_branches_have_are_evidence_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("evidence.json");
    for option in OPTIONS {
        let world = World::with_history(option, Consensus::Solo);
        let (forger, forged) = with_another_receipt(&world);
        for allowed_behind in [1_000, 2] {
            let urls = [&*world.url, &*forger.url];
            let mut follower = world
                .wait(world.follower(&urls, &asking_from(allowed_behind)))
                .unwrap();
            let error = world.wait(follower.sync()).unwrap_err();
            let FollowError::Contradiction {
                evidence,
                receipts: Some(receipts),
                height: 2,
                ..
            } = error
            else {
                panic!("{error}")
            };
            let blocks = evidence.verify(follower.light()).unwrap();
            assert!(matches!(blocks, Contradiction::Blocks { height: 2, .. }));
            write_evidence(&path, follower.light().spec(), &receipts).unwrap();
            let (_, shown) = check_evidence(&path, world.genesis, &Verifiers::built_in()).unwrap();
            let Contradiction::Receipts { block_hash, receipts } = shown else {
                panic!("{shown:?}")
            };
            assert_eq!(block_hash, forged.block_hash);
            assert_eq!(receipts[1], forged);
            assert_ne!(receipts[0], forged);
        }
    }
}
