//! The published tables are those of the code.

use std::collections::BTreeMap;
use std::path::Path;

use millrace_executor::gas::{GasSchedule, Price, schedule};
use millrace_executor::host::{number, status};

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/spec")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Rows of all tables: first cell to the cells after it.
fn rows(text: &str) -> Vec<(String, Vec<String>)> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    let tables = text
        .lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("|--"));
    tables
        .map(cells)
        .map(|mut cells| (cells.remove(0), cells))
        .collect()
}

fn value(cell: &str) -> u64 {
    if cell.is_empty() {
        0
    } else {
        cell.replace(',', "").parse().unwrap()
    }
}

fn published_prices(table: &GasSchedule) -> BTreeMap<&'static str, (u64, u64)> {
    let price = |price: Price| (price.base, price.word);
    BTreeMap::from([
        ("transaction", price(table.transaction)),
        ("signature", (table.signature, 0)),
        ("deploy", price(table.deploy)),
        ("first run", price(table.first_run)),
        ("read-only page", (table.entry_read_only_page, 0)),
        ("context", price(table.context)),
        ("cold access", (table.cold_access, 0)),
        ("warm access", (table.warm_access, 0)),
        ("key", (0, table.key_word)),
        ("storage write", price(table.storage_write)),
        ("transient", price(table.transient)),
        ("log", price(table.log)),
        ("transfer", (table.transfer, 0)),
        ("call", price(table.call)),
        ("blake3", price(table.blake3)),
        ("sha256", price(table.sha256)),
        ("keccak256", price(table.keccak256)),
        ("ed25519_verify", price(table.ed25519_verify)),
        ("reserve divisor", (table.reserve_divisor, 0)),
        ("written byte", (table.written_byte, 0)),
        ("key_bytes", (table.key_bytes, 0)),
        ("value_bytes", (table.value_bytes, 0)),
        ("log_topics", (table.log_topics, 0)),
    ])
}

#[test]
fn gas_prices_are_as_published() {
    let rows: BTreeMap<_, _> = rows(&document("gas.md")).into_iter().collect();
    let prices = published_prices(schedule(1).unwrap());
    assert_eq!(
        prices,
        published_prices(schedule(2).unwrap()),
        "both versions have one table"
    );
    for (name, expected) in prices {
        let cells = rows
            .get(name)
            .unwrap_or_else(|| panic!("docs/spec/gas.md has no row {name:?}"));
        let word = if cells.len() > 1 { value(&cells[1]) } else { 0 };
        assert_eq!((value(&cells[0]), word), expected, "{name}");
    }
}

#[test]
fn host_call_numbers_and_statuses_are_as_published() {
    let rows = rows(&document("host-calls.md"));
    let numbers = rows.iter().filter_map(|(first, cells)| {
        let number = u64::from_str_radix(first.strip_prefix("0x")?, 16).unwrap();
        Some((cells[0].trim_matches('`').to_owned(), number))
    });
    let expected = [
        ("input_len", number::INPUT_LEN),
        ("input_read", number::INPUT_READ),
        ("return", number::RETURN),
        ("revert", number::REVERT),
        ("call_kind", number::CALL_KIND),
        ("storage_get", number::STORAGE_GET),
        ("storage_set", number::STORAGE_SET),
        ("storage_remove", number::STORAGE_REMOVE),
        ("transient_get", number::TRANSIENT_GET),
        ("transient_set", number::TRANSIENT_SET),
        ("transient_remove", number::TRANSIENT_REMOVE),
        ("counter_add", number::COUNTER_ADD),
        ("log", number::LOG),
        ("caller", number::CALLER),
        ("self_address", number::SELF_ADDRESS),
        ("origin", number::ORIGIN),
        ("value", number::VALUE),
        ("block_context", number::BLOCK_CONTEXT),
        ("gas_left", number::GAS_LEFT),
        ("balance", number::BALANCE),
        ("transfer", number::TRANSFER),
        ("call", number::CALL),
        ("create", number::CREATE),
        ("return_data", number::RETURN_DATA),
        ("heap_grow", number::HEAP_GROW),
        ("blake3", number::BLAKE3),
        ("sha256", number::SHA256),
        ("keccak256", number::KECCAK256),
        ("ed25519_verify", number::ED25519_VERIFY),
    ];
    assert_eq!(
        numbers.collect::<Vec<_>>(),
        expected.map(|(name, number)| (name.to_owned(), number))
    );
    let statuses = rows
        .iter()
        .filter_map(|(first, cells)| Some((first.parse::<u64>().ok()?, cells[0].clone())));
    let expected = [
        (status::SUCCESS, "success"),
        (status::REVERTED, "the callee reverted"),
        (status::TRAPPED, "the callee trapped"),
        (
            status::INSUFFICIENT_BALANCE,
            "the balance does not cover the value",
        ),
        (status::CALL_DEPTH, "the frame would pass `call_depth`"),
        (status::NO_CODE, "no code at the address (`call`)"),
        (
            status::INVALID_PROGRAM,
            "the code is no valid program of the machine in force",
        ),
        (
            status::ADDRESS_COLLISION,
            "the address has code already (`create`)",
        ),
    ];
    assert_eq!(
        statuses.collect::<Vec<_>>(),
        expected.map(|(status, text)| (status, text.to_owned()))
    );
}
