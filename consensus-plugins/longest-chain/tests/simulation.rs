//! Forks, reorganisations and finality against an engine that is full, busy, moody and restarted, by seed.
//!
//! `MILLRACE_LONGEST_CHAIN_SEEDS=10000` runs more seeds than the default.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the number of seeds is an environment variable"
)]

mod support;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use support::{Manners, SLOT_MS, Simulation};

fn seeds() -> u64 {
    std::env::var("MILLRACE_LONGEST_CHAIN_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2_000)
}

/// A network without natural forks, in which every slot is won.
fn alone(fork_every: u64, depth: &str) -> String {
    format!(
        r#", "won_slots_percent": 100, "miners": 1, "propagation_slots": 0, "fork_every_slots": {fork_every}, "fork_depth": {depth}"#
    )
}

#[test]
fn the_head_loses_as_many_blocks_as_it_is_told_to() {
    for depth in 1..=6 {
        let mut simulation = Simulation::new(Manners::default(), &alone(40, &depth.to_string()));
        simulation.run_slots(500);
        let found = simulation.engine.reorganisations;
        assert!(found.len() >= 10, "depth {depth}: {} forks", found.len());
        assert!(
            found.iter().all(|lost| *lost == depth),
            "depth {depth}: {found:?}"
        );
    }
}

#[test]
fn a_range_of_depths_is_reached_from_end_to_end() {
    let mut simulation = Simulation::new(Manners::default(), &alone(10, "[2, 5]"));
    simulation.run_slots(2_000);
    let found: std::collections::BTreeSet<u64> = simulation.engine.reorganisations.into_iter().collect();
    assert_eq!(found, (2..=5).collect());
}

#[test]
fn forks_as_deep_as_k_are_given_up_where_side_branches_are_not_executed() {
    let manners = Manners {
        executes_announced: false,
        ..Manners::default()
    };
    let reorganisations = |depth: &str| {
        let mut simulation = Simulation::new(manners, &alone(40, depth));
        simulation.run_slots(1_000);
        assert!(simulation.engine.finalized.height > 200, "the chain goes on");
        simulation.engine.reorganisations.len()
    };
    assert!(
        reorganisations("3") > 10,
        "K is 4: four blocks settle what lies below them"
    );
    assert_eq!(reorganisations("4"), 0);
}

#[test]
fn a_network_forks_by_itself_where_blocks_travel_slowly() {
    let reorganisations = |miners: u32, propagation: u64| {
        let config = format!(r#", "seed": 5, "miners": {miners}, "propagation_slots": {propagation}"#);
        let mut simulation = Simulation::new(Manners::default(), &config);
        simulation.run_slots(3_000);
        assert!(simulation.engine.finalized.height > 500);
        simulation.engine.reorganisations
    };
    assert!(
        reorganisations(4, 0).is_empty(),
        "without delay there is one chain"
    );
    assert!(
        reorganisations(1, 3).is_empty(),
        "a miner alone agrees with itself"
    );
    let (some, more) = (reorganisations(4, 1), reorganisations(4, 3));
    assert!(some.len() > 20, "{some:?}");
    assert!(more.len() > some.len(), "{} against {}", more.len(), some.len());
}

#[test]
fn the_same_seed_gives_the_same_actions() {
    let trace = |seed, plugin_seed| {
        let manners = Manners {
            seed,
            is_moody: true,
            ..Manners::default()
        };
        let config = format!(r#", "seed": {plugin_seed}, "fork_every_slots": 30"#);
        let mut simulation = Simulation::new(manners, &config);
        simulation.traces = true;
        simulation.run_slots(500);
        simulation.trace
    };
    assert_eq!(trace(5, 1), trace(5, 1));
    assert_ne!(trace(5, 1), trace(6, 1), "the engine's answers decide too");
    assert_ne!(trace(5, 1), trace(5, 2));
}

#[test]
fn an_idle_chain_goes_on_until_what_was_waited_for_is_final_and_then_pauses() {
    let mut simulation = Simulation::new(Manners::default(), &alone(50, "2"));
    simulation.run_slots(200);
    simulation.engine.has_work = false;
    simulation.run_slots(200);
    let engine = &simulation.engine;
    let chain: Vec<_> = engine.chain(engine.head.hash).collect();
    let newest_full = chain.iter().find(|at| engine.blocks[at].is_full).unwrap();
    assert!(
        engine.blocks[newest_full].height <= engine.finalized.height,
        "it is final"
    );
    let (head, moves) = (engine.head, engine.reorganisations.len());
    simulation.run_slots(2_000);
    assert_eq!(simulation.engine.head, head, "the chain pauses");
    assert_eq!(simulation.engine.reorganisations.len(), moves, "without forks");
    simulation.engine.has_work = true;
    simulation.run_slots(50);
    assert!(simulation.engine.head.height > head.height + 10, "and goes on");
}

#[test]
fn a_chain_that_always_goes_on_needs_no_work() {
    let config = format!(r#"{}, "empty_blocks": "always""#, alone(0, "1"));
    let mut simulation = Simulation::new(Manners::default(), &config);
    simulation.engine.has_work = false;
    simulation.run_slots(300);
    assert!(simulation.engine.finalized.height > 100);
    assert_eq!(
        simulation.engine.declined, 0,
        "it is asked for empty blocks at once"
    );
}

/// A run whose network and engine are drawn by `seed`; what it has seen is added to `seen`.
fn random_run(seed: u64, seen: &mut Seen) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let finality_depth = random.random_range(1..8);
    let manners = Manners {
        seed,
        is_moody: random.random_ratio(4, 5),
        executes_announced: random.random(),
        execution_ms: random.random_range(0..2 * SLOT_MS),
        max_receipt_lag: random.random_range(1..6),
        finality_depth,
        verifies: seed.is_multiple_of(64),
    };
    let shallow = random.random_range(1..=finality_depth);
    let config = format!(
        r#", "seed": {seed}, "won_slots_percent": {}, "miners": {}, "propagation_slots": {}, "fork_every_slots": {}, "fork_depth": [{shallow}, {}]"#,
        random.random_range(30..=100),
        random.random_range(1..6),
        random.random_range(0..4),
        random.random_range(0..30),
        random.random_range(shallow..=finality_depth),
    );
    let mut simulation = Simulation::new(manners, &config);
    simulation.run_slots(50);
    simulation.restart();
    let before = simulation.engine.finalized.height;
    simulation.run_slots(if seed.is_multiple_of(16) { 400 } else { 40 });
    let engine = &simulation.engine;
    assert!(engine.head.height >= engine.finalized.height);
    if seed.is_multiple_of(16) {
        assert!(
            engine.finalized.height > before,
            "seed {seed}: it stands still, {manners:?}, {config}"
        );
    }
    seen.turned_away += engine.turned_away;
    seen.declined += engine.declined;
    seen.superseded += engine.superseded;
    seen.found_invalid += engine.found_invalid;
    seen.head_moves += engine.head_moves;
    seen.reorganisations += engine.reorganisations.len() as u64;
    seen.deepest = seen
        .deepest
        .max(engine.reorganisations.iter().copied().max().unwrap_or(0));
}

#[derive(Default, Debug)]
struct Seen {
    turned_away: u64,
    declined: u64,
    superseded: u64,
    found_invalid: u64,
    head_moves: u64,
    reorganisations: u64,
    deepest: u64,
}

/// The engine of the support asserts the rest: heads only grow, finality goes up block by block on the head's chain and
/// never conflicts, certificates hold, what was turned away comes again.
#[test]
fn it_goes_on_whatever_the_network_and_the_engine_are_like() {
    let mut seen = Seen::default();
    for seed in 0..seeds() {
        random_run(seed, &mut seen);
    }
    println!("{} seeds: {seen:?}", seeds());
    let each = [
        seen.turned_away,
        seen.declined,
        seen.superseded,
        seen.found_invalid,
        seen.reorganisations,
    ];
    assert!(
        each.iter().all(|times| *times > 0),
        "the engine was never in the way: {seen:?}"
    );
    assert!(seen.deepest >= 5, "{seen:?}");
}
