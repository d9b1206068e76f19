//! The README's tables say what the built interfaces say, interfaces are written as the SDK writes them, and the SDK's limits
//! are within the chain's.

use std::fs;
use std::path::{Path, PathBuf};

use millrace_contract::interface::{Field, Interface};

fn contracts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every interface in `artifacts/`, with its text.
fn interfaces() -> Vec<(Interface, String)> {
    let mut paths: Vec<_> = fs::read_dir(contracts().join("artifacts"))
        .expect("artifacts are committed")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("readable");
        let interface =
            Interface::from_json(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(
            path.file_stem().and_then(|stem| stem.to_str()),
            Some(&interface.name[..])
        );
        (interface, text)
    };
    paths.iter().map(read).collect()
}

fn arguments(selector: Option<u8>, fields: &[Field]) -> String {
    let selector = selector.map(|selector| format!("`{selector:02x}`"));
    let fields = fields
        .iter()
        .map(|field| format!("{} {}", field.name, field.kind));
    let parts: Vec<_> = selector.into_iter().chain(fields).collect();
    if parts.is_empty() {
        "(empty)".into()
    } else {
        parts.join(" ‖ ")
    }
}

#[test]
fn every_contract_has_its_interface_beside_it() {
    let found = interfaces();
    assert!(found.len() >= 9, "there are nine examples");
    for (interface, text) in found {
        assert_eq!(
            interface.to_json(),
            text,
            "{}: as `--interface` writes it",
            interface.name
        );
        let elf = contracts().join(format!("artifacts/{}.elf", interface.name));
        assert!(elf.exists(), "{}", elf.display());
    }
}

#[test]
fn the_readme_lists_every_function_event_error_and_place() {
    let readme = fs::read_to_string(contracts().join("README.md")).expect("readable");
    for (interface, _) in interfaces() {
        let name = &interface.name;
        let (_, section) = readme
            .split_once(&format!("\n### {name}\n"))
            .unwrap_or_else(|| panic!("README.md has no section {name}"));
        let section = section.split("\n### ").next().unwrap_or_default();
        let row = |input: String, function: &str, payable: bool, returns: &str| {
            let start = format!(
                "| {input} | `{function}`{}",
                if payable { ", payable" } else { "" }
            );
            let line = section
                .lines()
                .find(|line| line.starts_with(&start))
                .unwrap_or_else(|| panic!("{name} has no row {start}"));
            let rest = &line[start.len()..];
            assert!(rest.ends_with(returns), "{line} ends with {returns}");
            assert!(!rest.contains("payable"), "{line}");
        };
        row(
            arguments(None, &interface.init.arguments),
            "init",
            interface.init.payable,
            "| |",
        );
        for function in &interface.functions {
            let input = arguments(Some(function.selector), &function.arguments);
            let returns = match &function.returns {
                Some(kind) => format!("{kind} |"),
                None => "| |".into(),
            };
            row(input, &function.name, function.payable, &returns);
        }
        let names = interface.events.iter().map(|event| &event.name);
        let names = names.chain(interface.errors.iter().map(|error| &error.name));
        for said in names.chain(interface.storage.iter().map(|place| &place.prefix)) {
            assert!(
                section.contains(&format!("`{said}`")),
                "{name}: `{said}` is not in its section"
            );
        }
    }
}

#[test]
fn limits_of_the_sdk_keep_to_those_of_the_chain() {
    let gas = fs::read_to_string(contracts().join("../docs/spec/gas.md")).expect("readable");
    let limit = |name: &str| -> usize {
        let row = gas
            .lines()
            .find_map(|line| line.strip_prefix(&format!("| {name} | ")));
        let cell = row.and_then(|row| row.split(' ').next()).expect(name);
        cell.parse().expect("a number")
    };
    let key_bytes = millrace_contract::storage::MAX_MAP_KEY_BYTES;
    assert!(
        key_bytes <= limit("key_bytes"),
        "a key that compiles is one of the chain"
    );
    assert_eq!(millrace_contract::host::MAX_TOPICS, limit("log_topics"));
    let header = fs::read_to_string(contracts().join("sdk/c/millrace.h")).expect("readable");
    assert!(header.contains(&format!("#define MILLRACE_MAX_TOPICS {}\n", limit("log_topics"))));
    let macros = fs::read_to_string(contracts().join("sdk/macros/src/storage.rs")).expect("readable");
    assert!(macros.contains(&format!("const MAX_KEY_BYTES: usize = {key_bytes};")));
}
