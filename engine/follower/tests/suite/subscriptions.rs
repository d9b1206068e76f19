//! Subscriptions that lie: heights that are not there, floods, silence, words without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millrace_follower::{Fault, Pace};

use crate::follow::{ASKING, NEVER, TOLD, grow, switched, until_newest, watch};
use crate::proxy::{Proxy, honesty};
use crate::world::{Consensus, OPTIONS, World};

fn is_notification(bytes: &[u8]) -> bool {
    contains(bytes, b"millrace_notification")
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// The same frame with every digit of its height a nine.
fn far_above(bytes: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    let name = b"\"height\":";
    if let Some(at) = bytes.windows(name.len()).position(|window| window == name) {
        let digits = changed[at + name.len()..].iter_mut();
        digits
            .take_while(|byte| byte.is_ascii_digit())
            .for_each(|byte| *byte = b'9');
    }
    changed
}

fn header_requests(proxy: &Proxy) -> usize {
    let exchanges = proxy.exchanges();
    exchanges
        .iter()
        .filter(|exchange| exchange.method == "getHeaders")
        .count()
}

#[test]
fn a_leader_that_tells_of_heights_that_are_not_there_stops_leading() {
    let mut world = World::with_history(OPTIONS[0], Consensus::Solo);
    let boasts = Proxy::new(&world.url, honesty());
    boasts.distort_subscriptions(Box::new(far_above));
    let mut watch = watch(&world, &[&boasts.url, &world.url.clone()], TOLD);
    let mut events = until_newest(&world, &mut watch);
    for nonce in 6..=10 {
        grow(&mut world, nonce);
        events.extend(until_newest(&world, &mut watch));
    }
    let fault = switched(&events, &boasts.url, &world.url);
    assert!(
        matches!(fault, Fault::Empty { told, sent } if told > sent + 10),
        "{fault}"
    );
}

#[test]
fn a_leader_that_tells_too_early_now_and_then_stays() {
    let mut world = World::with_history(OPTIONS[0], Consensus::Solo);
    let early = Proxy::new(&world.url, honesty());
    let mut count = 0;
    early.distort_subscriptions(Box::new(move |bytes| {
        count += u32::from(is_notification(bytes));
        if count % 2 == 1 {
            far_above(bytes)
        } else {
            bytes.to_vec()
        }
    }));
    let mut watch = watch(&world, &[&early.url, &world.url.clone()], TOLD);
    until_newest(&world, &mut watch);
    for nonce in 6..=12 {
        world.increment(nonce);
        while world.next_block() {
            let newest = world.chain.head.height;
            world.chain.wait_until_finalized(newest);
            until_newest(&world, &mut watch);
        }
    }
    let standing = &watch.follower().standings()[0];
    assert!(standing.leads && standing.fault.is_none(), "{standing:?}");
}

/// Each word is told so many times; answers how often the leader was asked for headers of the ten blocks.
fn flooded(times: usize) -> usize {
    let mut world = World::with_history(OPTIONS[0], Consensus::Solo);
    let floods = Proxy::new(&world.url, honesty());
    floods.distort_subscriptions(Box::new(move |bytes| {
        bytes.repeat(if is_notification(bytes) { times } else { 1 })
    }));
    let pace = Pace {
        silence: NEVER,
        ..ASKING
    };
    let mut watch = watch(&world, &[&floods.url], pace);
    until_newest(&world, &mut watch);
    for nonce in 6..=10 {
        grow(&mut world, nonce);
        until_newest(&world, &mut watch);
        // What still waits is heard, and nothing happens.
        let rest = async { tokio::time::timeout(Duration::from_millis(300), watch.next()).await };
        assert!(world.wait(rest).is_err());
    }
    assert_eq!(watch.follower().standings()[0].fault, None);
    header_requests(&floods)
}

#[test]
fn a_flood_of_old_words_makes_nobody_ask() {
    // Fewer than may wait, and so many that the subscription is cut off.
    for times in [100, 2_000] {
        let asked = flooded(times);
        assert!(
            asked < 200,
            "{asked} requests for ten blocks, each told {times} times"
        );
    }
}

#[test]
fn a_subscription_that_says_nothing_is_not_waited_for() {
    let mut world = World::with_history(OPTIONS[0], Consensus::Solo);
    let silent = Proxy::new(&world.url, honesty());
    silent.distort_subscriptions(Box::new(|bytes| {
        if is_notification(bytes) {
            Vec::new()
        } else {
            bytes.to_vec()
        }
    }));
    let pace = Pace {
        poll: NEVER,
        silence: Duration::from_millis(100),
        subscribe: true,
    };
    let mut watch = watch(&world, &[&silent.url], pace);
    until_newest(&world, &mut watch);
    for nonce in 6..=8 {
        grow(&mut world, nonce);
        until_newest(&world, &mut watch);
    }
    assert!(
        silent.subscriptions() > 1,
        "it should have told: it is asked anew"
    );
}

#[test]
fn words_without_end_end_the_subscription_and_nothing_else() {
    let mut world = World::with_history(OPTIONS[0], Consensus::Solo);
    let endless = Proxy::new(&world.url, honesty());
    let long = Arc::new(AtomicBool::new(false));
    let (is_long, seen) = (Arc::clone(&long), Arc::clone(&long));
    endless.distort_subscriptions(Box::new(move |bytes| {
        // A text frame of less than 64 KiB, longer by spaces that mean nothing.
        match bytes {
            [0x81, 126, high, low, text @ ..] if is_notification(bytes) => {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                if text.len() != len {
                    return bytes.to_vec();
                }
                is_long.store(true, Ordering::Relaxed);
                let spaces = vec![b' '; 1 << 17];
                let len = (text.len() + spaces.len()) as u64;
                [&[0x81, 127][..], &len.to_be_bytes(), text, &spaces].concat()
            }
            _ => bytes.to_vec(),
        }
    }));
    let pace = Pace {
        silence: NEVER,
        ..ASKING
    };
    let mut watch = watch(&world, &[&endless.url], pace);
    until_newest(&world, &mut watch);
    // Asking may find a block before the end of the subscription is noticed.
    for nonce in 6..=40 {
        grow(&mut world, nonce);
        until_newest(&world, &mut watch);
        if nonce >= 8 && endless.subscriptions() > 1 {
            break;
        }
    }
    assert!(seen.load(Ordering::Relaxed), "a notification came in one piece");
    assert!(endless.subscriptions() > 1);
}

#[test]
fn a_leader_that_tells_is_held_against_the_others_from_time_to_time() {
    let mut world = World::with_history(OPTIONS[0], Consensus::Solo);
    let other = Proxy::new(&world.url, honesty());
    let mut watch = watch(&world, &[&world.url.clone(), &other.url], TOLD);
    until_newest(&world, &mut watch);
    // The subscription has begun when a block came by it.
    grow(&mut world, 6);
    until_newest(&world, &mut watch);
    let (before, height) = (header_requests(&other), world.chain.head.height);
    let mut nonce = 7;
    while world.chain.head.height < height + 40 {
        world.increment(nonce);
        nonce += 1;
        while world.next_block() {
            let newest = world.chain.head.height;
            world.chain.wait_until_finalized(newest);
            until_newest(&world, &mut watch);
        }
    }
    let asked = header_requests(&other) - before;
    assert!((1..=4).contains(&asked), "{asked} rounds for 40 blocks");
}
