//! Following as blocks come: told, by asking, over a restart, and from a node that falls silent to the next.

use std::time::Duration;

use millrace_follower::{Event, Fault, FollowError, Left, Options, Pace, Watch};

use crate::proxy::{Proxy, honesty, up_to, with_result};
use crate::sequencer::PATIENCE;
use crate::world::{Consensus, OPTIONS, World};

/// Later than any test ends.
pub const NEVER: Duration = Duration::from_secs(100_000);
/// Between two polls.
pub const SOON: Duration = Duration::from_millis(10);

/// Told, and by nothing else.
pub const TOLD: Pace = Pace {
    poll: NEVER,
    silence: NEVER,
    subscribe: true,
};
/// By asking.
pub const ASKING: Pace = Pace {
    poll: SOON,
    silence: SOON,
    subscribe: true,
};

/// A watch of these nodes.
pub fn watch(world: &World, urls: &[&str], pace: Pace) -> Watch {
    let options = Options {
        allowed_behind: 1,
        ..Options::default()
    };
    let follower = world.wait(world.follower(urls, &options)).unwrap();
    Watch::new(follower, pace, PATIENCE)
}

/// The next event.
pub fn next(world: &World, watch: &mut Watch) -> Result<Event, FollowError> {
    let next = world.wait(async { tokio::time::timeout(PATIENCE, watch.next()).await });
    next.unwrap_or_else(|_| panic!("no event; {:?}", watch.follower().standings()))
}

/// Events up to the one that says that the world's newest block is final.
pub fn until_newest(world: &World, watch: &mut Watch) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let event = next(world, watch).unwrap();
        events.push(event.clone());
        if let Event::Heights {
            finalized_height,
            finalized_hash,
            executed_height,
            ..
        } = event
        {
            assert!(executed_height < finalized_height);
            if finalized_height == world.chain.head.height {
                assert_eq!(finalized_hash, world.chain.head.hash);
                return events;
            }
        }
    }
}

fn heights(events: &[Event]) -> Vec<u64> {
    let heights = events.iter().filter_map(|event| match event {
        Event::Heights { finalized_height, .. } => Some(*finalized_height),
        _ => None,
    });
    heights.collect()
}

/// Some blocks more.
pub fn grow(world: &mut World, nonce: u64) {
    world.increment(nonce);
    world.settle();
}

#[test]
fn blocks_are_told_of_and_nothing_is_asked_meanwhile() {
    for option in OPTIONS {
        for consensus in [Consensus::Solo, Consensus::Rotating] {
            let mut world = World::with_history(option, consensus);
            let mut watch = watch(&world, &[&world.url.clone()], TOLD);
            assert_eq!(
                heights(&until_newest(&world, &mut watch)),
                [world.chain.head.height]
            );
            for nonce in 6..=10 {
                let before = world.chain.head.height;
                grow(&mut world, nonce);
                let events = until_newest(&world, &mut watch);
                let heights = heights(&events);
                assert_eq!(heights.len(), events.len(), "no node is left: {events:?}");
                assert!(heights[0] > before && heights.is_sorted(), "{heights:?}");
            }
        }
    }
}

#[test]
fn a_node_without_subscriptions_is_asked() {
    let mut world = World::with_history(OPTIONS[0], Consensus::Solo);
    let proxy = Proxy::new(&world.url, honesty());
    let mut watch = watch(&world, &[&proxy.url], ASKING);
    until_newest(&world, &mut watch);
    for nonce in 6..=8 {
        grow(&mut world, nonce);
        until_newest(&world, &mut watch);
    }
}

#[test]
fn a_restart_of_the_only_node_is_waited_for() {
    let mut world = World::with_history(OPTIONS[0], Consensus::Solo);
    let pace = Pace {
        silence: NEVER,
        ..ASKING
    };
    let mut watch = watch(&world, &[&world.url.clone()], pace);
    until_newest(&world, &mut watch);
    for nonce in 6..=7 {
        world.stop_server();
        let events: Vec<Event> = (0..2).map(|_| next(&world, &mut watch).unwrap()).collect();
        let left = matches!(
            &events[0],
            Event::Left(Left {
                fault: Fault::Unreachable { .. },
                ..
            })
        );
        assert!(left && matches!(events[1], Event::Waiting { .. }), "{events:?}");
        grow(&mut world, nonce);
        world.start_server();
        let events = until_newest(&world, &mut watch);
        let waiting = events
            .iter()
            .filter(|event| matches!(event, Event::Waiting { .. }));
        assert_eq!(waiting.count(), 0, "it is said once: {events:?}");
    }
}

/// What is told of the first node being left, and who leads after it.
pub fn switched(events: &[Event], from: &str, to: &str) -> Fault {
    let left = events.iter().find_map(|event| match event {
        Event::Left(left) if left.url == from => Some(left.fault.clone()),
        _ => None,
    });
    let leads = events.contains(&Event::Leads { url: to.to_owned() });
    assert!(leads, "{events:?}");
    left.unwrap_or_else(|| panic!("{from} is not left: {events:?}"))
}

#[test]
fn a_node_that_falls_silent_stops_leading() {
    let mut world = World::with_history(OPTIONS[0], Consensus::Solo);
    let silent = Proxy::new(&world.url, honesty());
    let mut watch = watch(&world, &[&silent.url, &world.url.clone()], ASKING);
    until_newest(&world, &mut watch);
    assert!(watch.follower().standings()[0].leads);
    silent.tell(up_to(world.chain.head.height));
    grow(&mut world, 6);
    grow(&mut world, 7);
    let events = until_newest(&world, &mut watch);
    let fault = switched(&events, &silent.url, &world.url);
    assert!(matches!(fault, Fault::Behind { .. }), "{fault}");
}

#[test]
fn a_node_that_tells_of_blocks_and_does_not_send_them_stops_leading() {
    let mut world = World::with_history(OPTIONS[0], Consensus::Solo);
    let empty = Proxy::new(&world.url, honesty());
    empty.let_subscriptions_through();
    let mut watch = watch(&world, &[&empty.url, &world.url.clone()], TOLD);
    until_newest(&world, &mut watch);
    // Its subscription runs, and this block comes by it.
    grow(&mut world, 6);
    until_newest(&world, &mut watch);
    empty.tell(up_to(world.chain.head.height));
    for nonce in 7..=10 {
        grow(&mut world, nonce);
    }
    let events = until_newest(&world, &mut watch);
    let fault = switched(&events, &empty.url, &world.url);
    assert!(matches!(fault, Fault::Empty { .. }), "{fault}");
}

#[test]
fn a_leader_that_leaves_subscriptions_waiting_is_asked_all_the_same() {
    let mut world = World::with_history(OPTIONS[0], Consensus::Solo);
    let mute = Proxy::new(&world.url, honesty());
    mute.leave_subscriptions_waiting();
    let follower = world
        .wait(world.follower(&[&mute.url], &Options::default()))
        .unwrap();
    let mut watch = Watch::new(follower, ASKING, Duration::from_millis(300));
    until_newest(&world, &mut watch);
    for nonce in 6..=25 {
        grow(&mut world, nonce);
        until_newest(&world, &mut watch);
    }
    // Each attempt takes the deadline: at polls 1, 2, 4, 8 and so on.
    assert!(
        (1..=6).contains(&mute.subscriptions()),
        "{}",
        mute.subscriptions()
    );
}

#[test]
fn following_ends_when_every_node_is_left_for_good() {
    let mut world = World::with_history(OPTIONS[0], Consensus::Solo);
    let liar = Proxy::new(&world.url, honesty());
    let mut watch = watch(&world, &[&liar.url], ASKING);
    until_newest(&world, &mut watch);
    liar.tell(Box::new(|exchange| {
        let mut result = exchange.answer["result"].clone();
        for item in result.as_array_mut().unwrap() {
            item["certificate"] = "0x".into();
        }
        with_result(exchange, result)
    }));
    grow(&mut world, 6);
    let end = loop {
        match next(&world, &mut watch) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let FollowError::NoAnswer { nodes, .. } = end else {
        panic!("{end}")
    };
    assert!(matches!(nodes[0].fault, Fault::Lied { .. }), "{nodes:?}");
}
