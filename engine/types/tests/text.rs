//! Hexadecimal as people write it.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use millrace_types::hex::{parse_array, parse_bytes};
use millrace_types::{Address, Hash};

#[test]
fn hashes_and_addresses_parse_as_they_print() {
    let text = format!("0x{}", "ab".repeat(32));
    assert_eq!(hash(0xab).to_string(), text);
    assert_eq!(text.parse::<Hash>(), Ok(hash(0xab)));
    assert_eq!(text[2..].to_uppercase().parse::<Address>(), Ok(address(0xab)));
}

#[test]
fn errors_say_where() {
    let array = |text: &str| parse_array::<2>(text).unwrap_err().to_string();
    assert_eq!(
        array("0x123"),
        "3 hex digits where 4 are needed (beside an optional 0x)"
    );
    assert_eq!(
        array(""),
        "0 hex digits where 4 are needed (beside an optional 0x)"
    );
    assert_eq!(array("0x12g4"), "'g' at position 4 is no hex digit");
    assert_eq!(array("12é"), "'é' at position 2 is no hex digit");
    assert_eq!(array("0x0x12"), "'x' at position 3 is no hex digit");
    let bytes = |text: &str| parse_bytes(text, 2).unwrap_err().to_string();
    assert_eq!(
        bytes("0x123"),
        "an odd number of hex digits (3): every byte takes two"
    );
    assert_eq!(bytes("123456"), "3 bytes of hex, more than the limit of 2");
    assert_eq!(bytes("zz"), "'z' at position 0 is no hex digit");
    assert_eq!(parse_bytes("0x", 0), Ok(vec![]));
}
