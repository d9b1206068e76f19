//! Hand-written cases for every instruction form: edge values in, results worked out by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
mod common;

mod atomic;
mod base;
mod bits;
mod compressed;
mod compute;
mod control;
mod float;
mod float_cases;
mod memory;
mod system;

use std::collections::BTreeSet;

#[test]
fn every_form_has_a_case() {
    let tables = [base::TABLE, bits::TABLE, compressed::TABLE];
    let covered: BTreeSet<&str> = tables
        .into_iter()
        .flatten()
        .map(compute::Row::name)
        .chain(memory::names())
        .chain(control::names())
        .chain(atomic::names())
        .chain(system::names())
        .chain(float::names())
        .collect();
    let forms: BTreeSet<&str> = millrace_jit::isa::forms().iter().map(|form| form.name).collect();
    println!(
        "{} of {} forms",
        covered.intersection(&forms).count(),
        forms.len()
    );
    assert_eq!(covered, forms);
}
