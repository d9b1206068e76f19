//! Several nodes: who is left and why, and what comes out all the same.

use std::net::TcpListener;
use std::time::Duration;

use millrace_follower::{Fault, FollowError, Follower, Options};

use crate::proxy::{Proxy, Reply, honesty, up_to, with_error, with_result};
use crate::questions;
use crate::world::{Consensus, OPTIONS, World, spec};

fn worlds() -> impl Iterator<Item = World> {
    let kinds = OPTIONS
        .into_iter()
        .flat_map(|option| [(option, Consensus::Solo), (option, Consensus::Rotating)]);
    kinds.map(|(option, consensus)| World::with_history(option, consensus))
}

fn faults(follower: &Follower) -> Vec<Option<Fault>> {
    follower
        .standings()
        .into_iter()
        .map(|standing| standing.fault)
        .collect()
}

#[test]
fn nodes_that_agree_are_all_kept_and_the_first_leads() {
    for world in worlds() {
        let second = Proxy::new(&world.url, honesty());
        let again = format!("{}/", world.url);
        let urls = [&*world.url, &*second.url, &*world.url, &*again];
        let mut follower = world.wait(world.follower(&urls, &Options::default())).unwrap();
        world.wait(follower.sync()).unwrap();
        let height = world.chain.head.height;
        let standings = follower.standings();
        assert_eq!(
            standings.len(),
            2,
            "a node is asked once, however often it is named"
        );
        assert!(
            standings
                .iter()
                .all(|standing| standing.newest == height && standing.fault.is_none())
        );
        assert_eq!(
            standings
                .iter()
                .map(|standing| standing.leads)
                .collect::<Vec<_>>(),
            [true, false]
        );
        assert!(
            second
                .exchanges()
                .iter()
                .any(|exchange| exchange.method == "getHeaders")
        );
        assert!(follower.take_news().is_empty());
    }
}

#[test]
fn a_node_that_is_behind_is_named_and_left_wherever_it_stands() {
    let options = Options {
        allowed_behind: 2,
        ..Options::default()
    };
    for world in worlds() {
        let known_height = world.chain.head.height;
        let stale = Proxy::new(&world.url, up_to(4));
        for (urls, place) in [([&*stale.url, &*world.url], 0), ([&*world.url, &*stale.url], 1)] {
            let mut follower = world.wait(world.follower(&urls, &options)).unwrap();
            for known in questions::all(&world) {
                let answer = world.wait(known.ask(&mut follower)).unwrap();
                known.judge_newest(&answer, "with a node that is behind");
            }
            let fault = faults(&follower)[place].clone().unwrap();
            assert!(
                matches!(fault, Fault::Behind { known, .. } if known == known_height),
                "{fault}"
            );
            assert_eq!(faults(&follower)[1 - place], None);
            assert_eq!(follower.take_news()[0].url, stale.url);
        }
        // Alone it can only make a client look at the past, and the past is true.
        let known = &questions::all(&world)[0];
        let answer = world
            .wait(known.ask_nodes(&world, &[&stale.url], &options))
            .unwrap();
        known.judge(&answer, "alone");
        assert!(answer.1.height < 4);
    }
}

#[test]
fn a_node_a_little_behind_stays() {
    let world = World::with_history(OPTIONS[0], Consensus::Solo);
    let height = world.chain.head.height;
    let late = Proxy::new(&world.url, up_to(height - 2));
    let urls = [&*late.url, &*world.url];
    let mut follower = world.wait(world.follower(&urls, &Options::default())).unwrap();
    world.wait(follower.sync()).unwrap();
    assert_eq!(faults(&follower), [None, None]);
    assert_eq!(follower.light().finalized_height(), height);
    assert_eq!(follower.standings()[0].newest, height - 2);
}

#[test]
fn what_passes_is_forgiven_and_what_is_false_is_not() {
    let world = World::with_history(OPTIONS[0], Consensus::Solo);
    let moody = Proxy::new(&world.url, honesty());
    let urls = [&*moody.url, &*world.url];
    let mut follower = world.wait(world.follower(&urls, &Options::default())).unwrap();
    moody.tell(Box::new(with_error));
    world.wait(follower.sync()).unwrap();
    assert!(matches!(faults(&follower)[0], Some(Fault::Refused { .. })));
    assert!(follower.standings()[1].leads);
    moody.tell(honesty());
    world.wait(follower.sync()).unwrap();
    assert_eq!(faults(&follower), [None, None]);
    assert!(
        follower.standings()[1].leads,
        "who leads stays while it has no fault"
    );

    moody.tell(Box::new(|exchange| {
        if exchange.method != "getHeaders" {
            return Reply::Honest;
        }
        let mut result = exchange.answer["result"].clone();
        let items = result.as_array_mut().unwrap();
        let last = items.len() - 1;
        items[last]["certificate"] = items[0]["certificate"].clone();
        with_result(exchange, result)
    }));
    let mut follower = world.wait(world.follower(&urls, &Options::default())).unwrap();
    world.wait(follower.sync()).unwrap();
    moody.tell(honesty());
    world.wait(follower.sync()).unwrap();
    assert!(
        matches!(faults(&follower)[0], Some(Fault::Lied { .. })),
        "{:?}",
        faults(&follower)
    );
}

#[test]
fn a_node_that_keeps_failing_is_asked_less_and_less_and_alone_always() {
    let world = World::with_history(OPTIONS[0], Consensus::Solo);
    let failing = Proxy::new(&world.url, honesty());
    let asked = || {
        failing
            .exchanges()
            .iter()
            .filter(|exchange| exchange.method == "getHeaders")
            .count()
    };
    let urls = [&*failing.url, &*world.url];
    let mut follower = world.wait(world.follower(&urls, &Options::default())).unwrap();
    failing.tell(Box::new(with_error));
    for _ in 0..70 {
        world.wait(follower.sync()).unwrap();
    }
    // In rounds 1, 2, 4, 8, 16, 32 and 64.
    assert_eq!(asked(), 7);
    assert_eq!(follower.take_news().len(), 1, "it is told once");
    failing.tell(honesty());
    for _ in 0..32 {
        world.wait(follower.sync()).unwrap();
    }
    assert_eq!(faults(&follower), [None, None]);

    let mut alone = world
        .wait(world.follower(&urls[..1], &Options::default()))
        .unwrap();
    failing.tell(Box::new(with_error));
    let before = asked();
    for _ in 0..20 {
        assert!(world.wait(alone.sync()).is_err());
    }
    assert_eq!(asked(), before + 20);
}

#[test]
fn a_node_that_is_not_there_or_of_another_chain_is_no_harm() {
    let world = World::with_history(OPTIONS[0], Consensus::Solo);
    let elsewhere = World::new(millrace_types::ChainSpec {
        chain_id: 8,
        ..spec(OPTIONS[0], Consensus::Solo)
    });
    // Bound and never listened to by anybody.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{nobody}");
    let urls = [&*nobody, &*elsewhere.url, &*world.url];
    let known = &questions::all(&world)[2];
    let options = Options {
        deadline: Duration::from_secs(60),
        ..Options::default()
    };
    known.judge_newest(
        &world.wait(known.ask_nodes(&world, &urls, &options)).unwrap(),
        "the third",
    );

    let error = world.wait(world.follower(&urls[..2], &options)).err().unwrap();
    let text = error.to_string();
    let FollowError::NoAnswer { nodes, .. } = error else {
        panic!("{text}")
    };
    assert!(matches!(nodes[0].fault, Fault::Unreachable { .. }), "{text}");
    let (found, expected) = (elsewhere.genesis, world.genesis);
    assert_eq!(nodes[1].fault, Fault::OtherChain { found, expected });
    for name in [&nobody, &elsewhere.url, &found.to_string(), &expected.to_string()] {
        assert!(text.contains(name.as_str()), "{text}");
    }
    let none = world.wait(world.follower(&[], &options)).err().unwrap();
    assert!(matches!(none, FollowError::NoNodes));
    let no_url = world.wait(world.follower(&["nonsense"], &options)).err().unwrap();
    assert!(matches!(no_url, FollowError::Url { .. }), "{no_url}");
}

#[test]
fn a_transaction_that_one_node_hides_comes_from_another() {
    for world in worlds() {
        let known = &questions::all(&world)[4];
        let hides = Proxy::new(
            &world.url,
            Box::new(|exchange| match exchange.method.as_str() {
                "getTransactionStatus" => with_result(exchange, serde_json::json!({ "status": "unknown" })),
                _ => Reply::Honest,
            }),
        );
        let options = Options::default();
        let both = world
            .wait(known.ask_nodes(&world, &[&hides.url, &world.url], &options))
            .unwrap();
        known.judge_newest(&both, "hidden by the first");
        let alone = world
            .wait(known.ask_nodes(&world, &[&hides.url], &options))
            .unwrap_err();
        assert!(
            matches!(&alone, FollowError::NotSettled { said, .. } if said == "unknown"),
            "{alone}"
        );
    }
}
