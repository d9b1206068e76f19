//! The published tables are those of the code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::Path;

use millrace_jit::isa::Class;
use millrace_jit::machine::{NEWEST, PAGE_BYTES, machine};

/// First and second cell of every table row with a number in the second.
fn table(document: &str) -> BTreeMap<String, u32> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/spec")
        .join(document);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .filter_map(|line| {
            let mut cells = line
                .strip_prefix('|')?
                .split('|')
                .map(|cell| cell.trim().trim_matches('`'));
            Some((cells.next()?.to_owned(), number(cells.next()?)?))
        })
        .collect()
}

fn number(cell: &str) -> Option<u32> {
    let digits = cell.replace([',', '_'], "");
    match digits.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    }
}

fn check(document: &str, expected: &[(&str, u32)]) {
    let table = table(document);
    for (name, value) in expected {
        assert_eq!(table.get(*name), Some(value), "docs/spec/{document}: {name}");
    }
}

#[test]
fn layout_and_limits_are_as_published() {
    let machine = machine(NEWEST).unwrap();
    let (layout, limits) = (&machine.layout, &machine.limits);
    check(
        "machine.md",
        &[
            ("page", PAGE_BYTES),
            ("low_guard", layout.low_guard),
            ("high_guard", layout.high_guard),
            ("stack_top", layout.stack_top),
            ("stack_bytes", layout.stack_bytes),
            ("stack_guard_bytes", layout.stack_guard_bytes),
            ("heap_max_bytes", layout.heap_max_bytes),
            ("image_end", layout.image_end()),
            ("max_program_headers", limits.max_program_headers),
            ("max_segments", limits.max_segments),
            ("max_image_bytes", limits.max_image_bytes),
            ("max_text_bytes", limits.max_text_bytes),
            ("max_symbols", limits.max_symbols),
        ],
    );
}

#[test]
fn extensions_are_as_published() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec/machine.md");
    let text = std::fs::read_to_string(path).unwrap().replace('\n', " ");
    for version in 1..=NEWEST {
        let extensions = machine(version).unwrap().extensions.iter();
        let names: Vec<_> = extensions.map(|extension| extension.name()).collect();
        let sentence = format!("with the extensions {}.", names.join(", "));
        assert!(text.contains(&sentence), "docs/spec/machine.md: {sentence}");
    }
}

#[test]
fn weights_are_as_published() {
    let weights = &machine(NEWEST).unwrap().weights;
    check(
        "gas.md",
        &[
            ("alu", weights.alu),
            ("mul", weights.mul),
            ("clmul", weights.clmul),
            ("div", weights.div),
            ("load", weights.load),
            ("store", weights.store),
            ("branch", weights.branch),
            ("jal", weights.jal),
            ("jalr", weights.jalr),
            ("atomic", weights.atomic),
            ("float_bits", weights.float_bits),
            ("float", weights.float),
            ("float_fused", weights.float_fused),
            ("float_divide", weights.float_divide),
            ("csr", weights.csr),
            ("ecall", weights.ecall),
            ("entry_page", weights.entry_page),
            ("heap_page", weights.heap_page),
            ("deploy_text_byte", weights.deploy_text_byte),
            ("first_call_text_byte", weights.first_call_text_byte),
        ],
    );
}

#[test]
fn memory_rates_are_as_published() {
    for version in 1..=NEWEST {
        let rates = machine(version).unwrap().memory_rates;
        let last = rates.len() - 1;
        let rows = rates.iter().enumerate().map(|(index, rate)| {
            let bytes = u64::from(rate.pages) * u64::from(PAGE_BYTES);
            let mebibytes = bytes >> 20;
            let row = if index == last {
                format!("| more | {} |", 1 << rate.shift)
            } else {
                format!("| up to {mebibytes} MiB | {} |", 1 << rate.shift)
            };
            assert_eq!(mebibytes << 20, bytes);
            row
        });
        let table = rows.collect::<Vec<_>>().join("\n");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec/gas.md");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(&table), "docs/spec/gas.md has no table\n{table}");
    }
}

#[test]
fn version_2_adds_floating_point_to_version_1() {
    let (v1, v2) = (machine(1).unwrap(), machine(2).unwrap());
    assert_eq!((&v1.layout, &v1.limits), (&v2.layout, &v2.limits));
    assert_eq!(v1.memory_rates, v2.memory_rates);
    for class in Class::ALL {
        if !class.is_float() && class != Class::Csr {
            assert_eq!(v1.weights.of(class), v2.weights.of(class), "{class:?}");
        }
    }
    assert!(v1.extensions.iter().all(|&extension| v2.supports(extension)));
}

#[test]
fn unknown_versions_are_unknown() {
    assert_eq!(machine(1).unwrap().version, 1);
    assert_eq!(machine(2).unwrap().version, NEWEST);
    assert!(machine(0).is_none() && machine(NEWEST + 1).is_none());
}
