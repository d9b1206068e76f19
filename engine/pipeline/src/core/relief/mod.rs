//! Relief is never blocked by pressure itself, by exhaustion: while execution goes on, every finalized block is settled in
//! the end, and transactions that wait are included.
//!
//! The [`system`] holds the real [`Core`](super::Core), with the real ladder, K rule, decision to decline, settlement
//! and admission, real credits and [`Wakeups`](crate::wakeups::Wakeups), and real blocks; the environment decides how
//! long execution and the disk take, when time passes, when messages are taken, when transactions come and go, and what
//! others propose. [`explore`] visits all its states and decides liveness exactly.

mod explore;
mod outside;
mod state;
mod system;

use std::collections::BTreeMap;

use explore::{Debt, Space};
pub(super) use outside::receipt;
use system::{Patience, Variant};

/// One proposer, who waits for word of work alone.
const ALONE: Variant = Variant {
    k: 2,
    age: 1,
    has_ladder: true,
    patience: Patience::Work,
    has_others: false,
    has_two_paces: false,
    has_slow_disk: false,
    has_idle_pool: true,
    wants_empty: false,
    is_pipelined: true,
    loses_work: false,
};

/// Others propose too. Transactions always wait.
const AMONG_OTHERS: Variant = Variant {
    has_others: true,
    has_idle_pool: false,
    ..ALONE
};

/// More states than any variant has.
const BOUND: usize = 4_000_000;

/// Explores the variants; answers what occurred in them.
fn check(variants: &[Variant]) -> BTreeMap<&'static str, u64> {
    let mut seen = BTreeMap::new();
    let (mut states, mut steps) = (0, 0);
    for variant in variants {
        let space = Space::explore(*variant, BOUND);
        println!("{} states, {} steps: {variant:?}", space.states(), space.steps());
        for debt in [Debt::Settlement, Debt::Inclusion] {
            if let Some(told) = space.starvation(debt) {
                panic!("{told}");
            }
        }
        states += space.states();
        steps += space.steps();
        for (what, count) in space.seen {
            *seen.entry(what).or_insert(0) += count;
        }
    }
    println!(
        "{} variants, {states} states, {steps} steps: {seen:?}",
        variants.len()
    );
    seen
}

fn is_long_run() -> bool {
    #[expect(clippy::disallowed_methods, reason = "asks for the long run")]
    let asked = std::env::var("MILLRACE_LONG").is_ok();
    asked
}

/// `variant` with every K up to `most`, every age up to 2, with and without ladder, and either patience.
fn all(variant: Variant, most: u64) -> Vec<Variant> {
    let mut all = Vec::new();
    for k in 1..=most {
        for age in 1..=k.min(2) {
            for has_ladder in [true, false] {
                for patience in [Patience::Work, Patience::Timer] {
                    all.push(Variant {
                        k,
                        age,
                        has_ladder,
                        patience,
                        ..variant
                    });
                }
            }
        }
    }
    all
}

#[test]
fn with_one_proposer_every_block_settles_and_transactions_are_included() {
    let mut variants = all(ALONE, 2);
    variants.extend([
        Variant { k: 3, ..ALONE },
        Variant {
            has_slow_disk: true,
            ..ALONE
        },
        Variant {
            wants_empty: true,
            ..ALONE
        },
        Variant {
            is_pipelined: false,
            ..ALONE
        },
    ]);
    if is_long_run() {
        variants = all(ALONE, 4);
        variants.extend(all(
            Variant {
                has_slow_disk: true,
                ..ALONE
            },
            3,
        ));
        variants.extend(all(
            Variant {
                has_two_paces: true,
                ..ALONE
            },
            3,
        ));
        variants.extend(all(
            Variant {
                wants_empty: true,
                ..ALONE
            },
            3,
        ));
        variants.extend(all(
            Variant {
                is_pipelined: false,
                ..ALONE
            },
            4,
        ));
    }
    let seen = check(&variants);
    for what in [
        "full block",
        "empty block",
        "idle",
        "awaiting execution",
        "lag limit",
        "parent not executed",
        "open",
        "shrink",
    ] {
        assert!(seen.contains_key(what), "{what}: {seen:?}");
    }
}

#[test]
fn among_other_proposers_every_block_settles_and_transactions_are_included() {
    let mut variants = vec![
        Variant { k: 1, ..AMONG_OTHERS },
        AMONG_OTHERS,
        Variant { k: 3, ..AMONG_OTHERS },
    ];
    if is_long_run() {
        variants = all(AMONG_OTHERS, 4);
        variants.extend(all(
            Variant {
                has_slow_disk: true,
                has_idle_pool: true,
                ..AMONG_OTHERS
            },
            2,
        ));
    }
    let seen = check(&variants);
    for what in [
        "full block",
        "empty block",
        "lag limit",
        "nothing to settle",
        "delay",
        "empty",
        "gave way",
    ] {
        assert!(seen.contains_key(what), "{what}: {seen:?}");
    }
}

/// The exploration itself: it finds a proposer that waits for a word that is not sent.
#[test]
fn a_word_of_work_that_is_lost_is_found() {
    let deaf = Variant {
        loses_work: true,
        ..ALONE
    };
    let told = Space::explore(deaf, BOUND).starvation(Debt::Settlement);
    assert!(told.is_some_and(|told| told.contains("Declined")));
    let with_a_timer = Variant {
        patience: Patience::Timer,
        ..deaf
    };
    let told = Space::explore(with_a_timer, BOUND).starvation(Debt::Settlement);
    assert_eq!(told, None, "a timer of its own does without");
}
