//! Changes at random: a field of an answer, or bytes of the message.

use millrace_follower::Options;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::lies;
use crate::proxy::{Proxy, Reply, honesty};
use crate::questions;
use crate::world::{Consensus, OPTIONS, World};

fn rounds() -> u64 {
    match millrace_tests::tools::number("MILLRACE_LONG", 0) {
        0 => 60,
        _ => 3_000,
    }
}

/// What comes in place of an honest message.
fn changed(exchange: &crate::proxy::Exchange, random: &mut ChaCha8Rng) -> (String, Vec<u8>) {
    let mut answer = exchange.answer.clone();
    if random.random_ratio(2, 3) {
        let what = lies::change(&mut answer["result"], random);
        return (what, answer.to_string().into_bytes());
    }
    let mut bytes = answer.to_string().into_bytes();
    let changes = random.random_range(1..4);
    for _ in 0..changes {
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..4) {
            0 => {
                bytes.remove(at);
            }
            1 => bytes.insert(at, random.random()),
            2 => bytes[at] = b"0123456789abcdef\"{}[],:"[random.random_range(0..23)],
            _ => bytes[at] ^= 1 << random.random_range(0..8),
        }
    }
    (format!("{changes} bytes"), bytes)
}

fn believes_no_random_change(commitment: millrace_types::Commitment, consensus: Consensus) {
    let seed = millrace_tests::tools::number("MILLRACE_SEED", 7);
    println!("{commitment:?}, {consensus:?}: MILLRACE_SEED={seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let world = World::with_history(commitment, consensus);
    let options = Options::default();
    let (mut told, mut refused) = (0, 0);
    for known in questions::all(&world) {
        let proxy = Proxy::new(&world.url, honesty());
        let honest = world
            .wait(known.ask_nodes(&world, &[&proxy.url], &options))
            .unwrap();
        known.judge_newest(&honest, "honest");
        let exchanges = proxy.exchanges();
        for _ in 0..rounds() {
            let target = exchanges[random.random_range(0..exchanges.len())].clone();
            let mut own = ChaCha8Rng::seed_from_u64(random.random());
            // The same lie however often it is asked for.
            let (what, body) = changed(&target, &mut own);
            let why = format!("{} {}: {what}", target.method, target.params);
            let id = target.answer["id"].clone();
            proxy.tell(Box::new(move |exchange| {
                let same = exchange.method == target.method && exchange.params == target.params;
                match same && exchange.answer["id"] == id {
                    true => Reply::Body(body.clone()),
                    false => Reply::Honest,
                }
            }));
            told += 1;
            match world.wait(known.ask_nodes(&world, &[&proxy.url], &options)) {
                Ok(answer) => known.judge(&answer, &why),
                Err(_) => refused += 1,
            }
            let both = world.wait(known.ask_nodes(&world, &[&proxy.url, &world.url], &options));
            known.judge_newest(&both.unwrap_or_else(|error| panic!("{why}: {error}")), &why);
        }
    }
    println!("{told} answers changed, {refused} times nothing came out, never anything false");
    assert!(refused * 3 > told, "most changes show");
}

#[test]
fn no_random_change_is_believed_under_option_b() {
    believes_no_random_change(OPTIONS[0], Consensus::Solo);
}

#[test]
fn no_random_change_is_believed_under_option_a() {
    believes_no_random_change(OPTIONS[1], Consensus::Solo);
}

#[test]
fn no_random_change_is_believed_where_validators_change() {
    believes_no_random_change(OPTIONS[0], Consensus::Rotating);
}
