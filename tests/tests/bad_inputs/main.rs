//! Bad inputs, each with the exact error that it gets. None may panic, hang or harm what comes after it.
//!
//! One module per kind of input, with a table of [`Case`]s that [`check`] runs. A new kind is a new module, and a line in
//! [`there_are_many_of_every_kind`]. What the tables are made of: [`process`] runs the program, [`chain`] an engine in this
//! process.
#![allow(clippy::unwrap_used)]

mod block;
mod block_bytes;
mod chain;
mod cli;
mod config;
mod data_directory;
mod decision;
mod elf;
mod plugin;
mod process;
mod rpc;
mod transaction;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A bad input.
struct Case {
    /// What is wrong with it.
    name: &'static str,
    /// Gives the input to what reads it and returns the error's text.
    error: Box<dyn Fn() -> Option<String>>,
    /// The text, whole.
    expected: &'static str,
}

/// A case whose input is read by `read`.
fn case<E: std::fmt::Display, T>(
    name: &'static str,
    read: impl Fn() -> Result<T, E> + 'static,
    expected: &'static str,
) -> Case {
    Case {
        name,
        error: Box::new(move || read().err().map(|error| error.to_string())),
        expected,
    }
}

/// Runs all cases and reports every one that got something else.
fn check(kind: &str, at_least: usize, cases: &[Case]) {
    let mut wrong = Vec::new();
    for Case {
        name,
        error,
        expected,
    } in cases
    {
        match catch_unwind(AssertUnwindSafe(error)) {
            Ok(Some(text)) if text == *expected && !text.contains("panicked") => {}
            Ok(Some(text)) => wrong.push(format!("{name}:\n  got      {text}\n  expected {expected}")),
            Ok(None) => wrong.push(format!("{name}: was accepted")),
            Err(_) => wrong.push(format!("{name}: panicked")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} {kind} cases:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    assert!(
        cases.len() >= at_least,
        "{kind}: {} cases, at least {at_least} are wanted",
        cases.len()
    );
}

#[test]
fn there_are_many_of_every_kind() {
    let (mut names, mut texts, mut all) = (BTreeSet::new(), BTreeSet::new(), 0);
    for (kind, cases) in [
        ("ELF", elf::cases()),
        ("transaction", transaction::cases()),
        ("bytes of a block", block_bytes::cases()),
        ("block", block::cases()),
        ("decision", decision::cases()),
        ("RPC", rpc::cases()),
        ("plugin", plugin::cases()),
        ("configuration", config::cases()),
        ("data directory", data_directory::cases()),
        ("command", cli::cases()),
    ] {
        let of_kind: BTreeSet<_> = cases.iter().map(|case| case.expected).collect();
        println!("{kind}: {} bad inputs, {} errors", cases.len(), of_kind.len());
        all += cases.len();
        names.extend(cases.iter().map(|case| (kind, case.name)));
        texts.extend(of_kind);
    }
    println!("all: {all} bad inputs, {} errors", texts.len());
    assert_eq!(names.len(), all, "two cases with one name are one case");
    assert!(texts.len() >= 60, "{} different errors", texts.len());
}
