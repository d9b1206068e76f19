use serde_json::json;

use super::*;

fn encoded(kind: &str, text: &str) -> Result<Vec<u8>, ValueError> {
    let mut bytes = Vec::new();
    Kind::from(kind.to_owned()).encode(text, &mut bytes)?;
    Ok(bytes)
}

fn check(kind: &str, text: &str, bytes: &[u8], value: Value) {
    assert_eq!(encoded(kind, text).as_deref(), Ok(bytes), "{kind} {text}");
    let mut rest = bytes;
    let kind = Kind::from(kind.to_owned());
    assert_eq!(kind.take(&mut rest), Ok(value), "{kind} {text}");
    assert!(rest.is_empty());
}

#[test]
fn values_become_borsh_and_come_back() {
    check("u8", "255", &[255], json!(255));
    check("u16", "0x0102", &[2, 1], json!(258));
    check("u32", "1_000", &[0xe8, 3, 0, 0], json!(1000));
    check(
        "u64",
        "18446744073709551615",
        &[255; 8],
        json!("18446744073709551615"),
    );
    check(
        "u128",
        &u128::MAX.to_string(),
        &[255; 16],
        json!(u128::MAX.to_string()),
    );
    check("i8", "-128", &[128], json!(-128));
    check("i64", "-2", &[254, 255, 255, 255, 255, 255, 255, 255], json!(-2));
    let least = i128::MIN.to_string();
    check("i128", &least, &i128::MIN.to_le_bytes(), json!(least));
    check("bool", "true", &[1], json!(true));
    let address = format!("0x{}", "ab".repeat(32));
    check("address", &address, &[0xab; 32], json!(address));
    check("bytes", "0x0102", &[2, 0, 0, 0, 1, 2], json!("0x0102"));
    check("str", "Mill", b"\x04\0\0\0Mill", json!("Mill"));
    check("bytes3", "0x010203", &[1, 2, 3], json!("0x010203"));
}

#[test]
fn what_is_no_value_is_refused_by_type_and_range() {
    for (kind, text) in [
        ("u8", "256"),
        ("u8", "-1"),
        ("u8", "+1"),
        ("u8", ""),
        ("u128", "340282366920938463463374607431768211456"),
        ("i8", "128"),
        ("i8", "-129"),
        ("bool", "1"),
        ("address", "0x12"),
        ("bytes", "12g"),
        ("bytes3", "0x0102"),
    ] {
        assert!(encoded(kind, text).is_err(), "{kind} {text:?}");
    }
    let error = encoded("i16", "40000").expect_err("out of range").to_string();
    assert_eq!(
        error,
        "\"40000\" is no i16: -32768 to 32767, in decimal digits or 0x and hex"
    );
    for kind in [
        "u256",
        "u",
        "int",
        "bytes0",
        "bytes99999999999",
        "",
        "é",
        "bytes-1",
    ] {
        assert_eq!(Kind::from(kind.to_owned()), Kind::Other(kind.to_owned()));
        assert!(encoded(kind, "1").is_err(), "{kind:?}");
    }
}

#[test]
fn bytes_that_are_no_value_are_refused_and_take_no_memory() {
    for (kind, bytes) in [
        ("u64", &[0; 7][..]),
        ("bool", &[2]),
        ("bool", &[]),
        ("str", &[255, 255, 255, 255]),
        ("bytes", &[1, 0, 0]),
        ("str", &[1, 0, 0, 0, 0xff]),
    ] {
        let mut rest = bytes;
        let kind = Kind::from(kind.to_owned());
        assert!(kind.take(&mut rest).is_err(), "{kind} {bytes:?}");
    }
}

#[test]
fn topics_hold_short_values_with_zeros_behind() {
    let kind = Kind::from("u16".to_owned());
    let mut topic = [0; 32];
    topic[0] = 7;
    assert_eq!(kind.of_topic(&topic), json!(7));
    topic[31] = 1;
    assert_eq!(kind.of_topic(&topic), json!(format!("0x07{}01", "00".repeat(30))));
}

#[test]
fn a_text_that_begins_like_bytes_writes_no_lines_of_its_own() {
    for (text, expected) in [
        ("0x00ff", "0x00ff"),
        ("0x", "0x"),
        ("-12", "-12"),
        ("0x00\noutcome success", "\"0x00\\noutcome success\""),
        ("a\u{9b}b\u{202e}", "\"a\\u{9b}b\\u{202e}\""),
    ] {
        assert_eq!(shown(&json!(text)), expected);
    }
}
