//! Bad inputs, each with the exact error that it gets. None may panic, and no two may get the same text.
//!
//! One module per kind of input, with a table of [`Case`]s that [`check`] runs. A new kind is a new module.

mod elf;

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
            Ok(Some(text)) if text == *expected => {}
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
    let distinct: BTreeSet<_> = cases.iter().map(|case| case.expected).collect();
    assert_eq!(
        distinct.len(),
        cases.len(),
        "{kind}: two cases with one text are one case"
    );
    assert!(
        cases.len() >= at_least,
        "{kind}: {} cases, at least {at_least} are wanted",
        cases.len()
    );
    println!("{kind}: {} bad inputs", cases.len());
}
