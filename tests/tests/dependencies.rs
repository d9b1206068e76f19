//! What Millrace is built on keeps to `deny.toml`: licences, sources, and what must not be there. `cargo deny` checks the
//! same and more where it is installed.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use cargo_metadata::{MetadataCommand, Package};
use toml::Table;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The packages of others that a build or a test on Linux takes in.
fn packages() -> Vec<Package> {
    let options = ["--locked", "--filter-platform", "x86_64-unknown-linux-gnu"];
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(options.map(str::to_owned))
        .exec()
        .unwrap();
    let foreign: Vec<_> = metadata
        .packages
        .into_iter()
        .filter(|package| package.source.is_some())
        .collect();
    assert!(foreign.len() > 100, "the list was found");
    foreign
}

/// The list at `section` and `key` of `deny.toml`: texts, or tables with a field `crate`.
fn denied(section: &str, key: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    let table: Table = text.parse().unwrap();
    let entries = table[section][key].as_array().unwrap().iter();
    entries
        .map(|entry| entry.get("crate").unwrap_or(entry).as_str().unwrap().to_owned())
        .collect()
}

/// Whether an SPDX expression leaves a choice of licences that are all allowed. Alternatives stand inside of what is
/// asked for together, as in every crate so far.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let one = |licence: &str| {
        allowed
            .iter()
            .any(|name| name == licence.trim_matches([' ', '(', ')']))
    };
    expression
        .replace('/', " OR ")
        .split(" AND ")
        .all(|alternatives| alternatives.split(" OR ").any(one))
}

#[test]
fn every_licence_is_allowed() {
    let allowed = denied("licenses", "allow");
    for package in packages() {
        let licence = package.license.as_deref().unwrap_or("none");
        assert!(is_allowed(licence, &allowed), "{}: {licence}", package.id);
    }
}

#[test]
fn nothing_that_is_banned_is_built() {
    let banned = denied("bans", "deny");
    assert!(banned.contains(&"ring".to_owned()), "the list was found");
    for package in packages() {
        assert!(
            !banned.contains(&package.name.to_string()),
            "{} is banned by deny.toml; `cargo tree --workspace -i {}` tells who brings it",
            package.id,
            package.name
        );
    }
}

#[test]
fn everything_comes_from_the_registry() {
    for package in packages() {
        let source = package.source.unwrap().repr;
        assert_eq!(source, REGISTRY, "{}", package.name);
    }
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let allowed = ["MIT".to_owned(), "Unicode-3.0".to_owned()];
    for good in [
        "MIT",
        "MIT OR GPL-3.0",
        "GPL-3.0/MIT",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
    ] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(GPL-3.0 OR Apache-2.0) AND MIT",
    ] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}
