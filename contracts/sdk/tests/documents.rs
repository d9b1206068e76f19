//! The README's tables say what the built interfaces say, interfaces are written as the SDK writes them, and numbers in Rust
//! and C are those of the specification, to which the executor's own tests hold the executor.

use std::collections::BTreeMap;
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

/// A document of the specification.
fn specification(name: &str) -> String {
    fs::read_to_string(contracts().join("../docs/spec").join(name)).expect("readable")
}

/// The numbers behind `start` in lines that begin with it, by what stands between, in small letters.
fn constants(text: &str, start: &str, separator: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (name, number) = line.trim().strip_prefix(start)?.split_once(separator)?;
        let number = number.trim_end_matches(';');
        let number = match number.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok()?,
            None => number.parse().ok()?,
        };
        Some((name.to_lowercase(), number))
    };
    text.lines().filter_map(line).collect()
}

#[test]
fn host_calls_have_the_published_numbers_in_rust_and_in_c() {
    let rows = specification("host-calls.md");
    let published: BTreeMap<_, _> = rows
        .lines()
        .filter_map(|line| {
            let (number, rest) = line.strip_prefix("| 0x")?.split_once(" | `")?;
            let name = rest.split('`').next()?;
            Some((name.to_owned(), u64::from_str_radix(number, 16).ok()?))
        })
        .collect();
    assert!(published.len() >= 29, "{published:?}");
    let sources = contracts().join("sdk");
    let header = fs::read_to_string(sources.join("c/millrace.h")).expect("readable");
    let guest = fs::read_to_string(sources.join("src/guest.rs")).expect("readable");
    assert_eq!(constants(&header, "#define MILLRACE_NUMBER_", " "), published);
    assert_eq!(constants(&guest, "pub const ", ": u64 = "), published);

    let statuses = constants(&header, "#define MILLRACE_STATUS_", " ");
    let mut of_header: Vec<_> = statuses.values().copied().collect();
    of_header.sort_unstable();
    let (_, after) = rows.split_once("**Statuses**").expect("the table");
    let (table, _) = after.split_once("\nStatuses 3 to 7").expect("its end");
    let of_table = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok());
    assert_eq!(of_header, of_table.collect::<Vec<u64>>());
    for (name, number) in [
        ("success", 0),
        ("reverted", 1),
        ("insufficient_balance", 3),
        ("no_code", 5),
    ] {
        assert_eq!(statuses[name], number, "{name}");
    }
}

#[test]
fn limits_of_the_sdk_keep_to_those_of_the_chain() {
    let gas = specification("gas.md");
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
    let topics = constants(&header, "#define MILLRACE_", " ");
    assert_eq!(topics["max_topics"] as usize, limit("log_topics"));
    let macros = fs::read_to_string(contracts().join("sdk/macros/src/storage.rs")).expect("readable");
    assert!(macros.contains(&format!("const MAX_KEY_BYTES: usize = {key_bytes};")));
}
