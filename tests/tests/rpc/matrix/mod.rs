//! The compatibility matrix: every method, every kind of block reference, in every situation of a chain whose execution
//! follows its finality.
//!
//! [`table`] is the table; [`world`] has the blocks and a node in each situation, [`check`] asks one cell, and [`document`]
//! writes `docs/spec/rpc-matrix.md`, which is committed and compared. A method that is new has to be given its place in the
//! table: the tests say so. [`ethereum`] says what those find who know its methods.

mod check;
mod document;
mod ethereum;
mod table;
mod world;

use std::collections::BTreeSet;

use serde_json::json;

use self::check::Asked;
use self::ethereum::{METHODS, TAGS};
use self::table::{GROUPS, HEADERS, Reference, SETTLEMENTS, TRANSACTIONS, WITHOUT};
use self::world::{SITUATIONS, World};
use crate::blessed;
use crate::node::Node;

/// The tags that name heights, in the order of [`world::Situation::heights`].
const HEIGHTS: [&str; 5] = ["finalized", "executed", "settled", "safe", "pending"];

/// Asks every cell of a column.
fn check(column: usize) {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let situation = &SITUATIONS[column];
    let asked = Asked {
        world: &world,
        situation,
        node: situation.node(&world, directory.path()),
    };
    asked.check_heights();
    for group in GROUPS {
        for (reference, cells) in group.rows {
            for ask in group.asks {
                asked.check(*ask, *reference, cells[column]);
            }
        }
    }
    for located in TRANSACTIONS {
        asked.check_transaction(located.which, located.cells[column]);
    }
    for (height, cells) in SETTLEMENTS {
        asked.check_settlement(*height, cells[column]);
    }
    for (first, cells) in HEADERS {
        asked.check_headers(*first, cells[column]);
    }
    asked.check_pool();
    // Nothing moved meanwhile.
    asked.check_heights();
}

#[test]
fn matrix_when_everything_is_executed() {
    check(0);
}

#[test]
fn matrix_when_execution_lags_and_settlement_is_k_behind() {
    check(1);
}

#[test]
fn matrix_after_a_reorg() {
    check(2);
}

#[test]
fn matrix_after_a_reorg_of_what_was_never_executed() {
    check(3);
}

#[test]
fn matrix_when_the_branch_that_won_is_final() {
    check(4);
}

#[test]
fn matrix_has_every_method_and_every_tag() {
    let node = Node::new();
    let with = GROUPS.iter().flat_map(|group| group.asks).map(|ask| ask.method());
    let with: BTreeSet<&str> = with.collect();
    let without: BTreeSet<&str> = WITHOUT.iter().map(|(method, _)| *method).collect();
    assert_eq!(with.intersection(&without).count(), 0);
    let served: BTreeSet<&str> = node.methods.iter().map(String::as_str).collect();
    let placed: BTreeSet<&str> = with.union(&without).copied().collect();
    assert_eq!(placed, served, "left: in the table, right: served");

    // Every tag, for each method that takes one.
    let tags: BTreeSet<&str> = HEIGHTS.into_iter().chain(["latest"]).collect();
    for method in with {
        let groups = GROUPS
            .iter()
            .filter(|group| group.asks.iter().any(|ask| ask.method() == method));
        let asked: BTreeSet<&str> = groups
            .flat_map(|group| group.rows)
            .filter_map(|(reference, _)| match reference {
                Reference::Tag(tag) => Some(*tag),
                _ => None,
            })
            .collect();
        assert_eq!(asked, tags, "{method}");
    }
}

/// What the table of Ethereum's tags says is taken is taken, and the rest is refused by name.
#[test]
fn matrix_of_tags_that_come_from_ethereum() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let situation = &SITUATIONS[0];
    let asked = Asked {
        world: &world,
        situation,
        node: situation.node(&world, directory.path()),
    };
    for tag in TAGS {
        let theirs = asked.ask("millrace_getBlock", &json!([tag.theirs]));
        let ours = match tag.ours.parse::<u64>() {
            Ok(height) => json!([height]),
            Err(_) => json!([tag.ours]),
        };
        let ours = asked.ask("millrace_getBlock", &ours).unwrap();
        assert!(ours.is_object(), "{}", tag.ours);
        if tag.differs.starts_with("taken") {
            assert_eq!(theirs, Ok(ours), "{}", tag.theirs);
        } else {
            let refusal = theirs.unwrap_err();
            assert_eq!(refusal["data"]["name"], "InvalidParams", "{}", tag.theirs);
        }
    }
    for method in METHODS.iter().flat_map(|mapping| mapping.ours.split(", ")) {
        assert!(asked.node.methods.contains(method), "{method}");
    }
}

#[test]
fn matrix_document_is_what_the_table_gives() {
    blessed::compare("docs/spec/rpc-matrix.md", &document::text());
}
