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

/// A structure, an enumeration and what is in them, as an interface names them.
fn own_types() -> Vec<types::Definition> {
    serde_json::from_value(json!([
        { "name": "Order", "fields": [
            { "name": "by", "type": "address" },
            { "name": "side", "type": "Side" },
            { "name": "price", "type": "i128" },
        ]},
        { "name": "Side", "variants": ["Buy", "Sell"] },
    ]))
    .expect("definitions")
}

fn own(kind: &str) -> Kind {
    let definitions = own_types();
    let mut types = types::Types::of(&definitions).expect("sound");
    types.resolve(&Kind::from(kind.to_owned())).expect("they end")
}

fn written(kind: &str, text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    own(kind)
        .encode(text, &mut bytes)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[test]
fn options_lists_and_structures_are_json_and_come_back() {
    let address = format!("0x{}", "ab".repeat(32));
    let order = json!({ "side": "Sell", "price": -7, "by": address });
    let of_order = [&[0xab; 32][..], &[1], &(-7_i128).to_le_bytes()].concat();
    let largest = u128::MAX.to_string();
    for (kind, value, bytes) in [
        ("option<u8>", json!(null), vec![0]),
        ("option<u8>", json!(7), vec![1, 7]),
        ("option<str>", json!("null"), b"\x01\x04\0\0\0null".to_vec()),
        ("option<option<u8>>", json!(null), vec![0]),
        ("option<option<u8>>", json!([null]), vec![1, 0]),
        ("option<option<u8>>", json!([7]), vec![1, 1, 7]),
        ("vec<u32>", json!([]), vec![0; 4]),
        (
            "vec<u32>",
            json!([1, 2]),
            vec![2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0],
        ),
        (
            "vec<u128>",
            json!([largest]),
            [&[1, 0, 0, 0][..], &[255; 16]].concat(),
        ),
        (
            "vec<vec<bool>>",
            json!([[true], []]),
            vec![2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0],
        ),
        (
            "vec<bytes>",
            json!(["0x", "0x01"]),
            vec![2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1],
        ),
        ("Order", order.clone(), of_order.clone()),
        (
            "vec<Order>",
            json!([order]),
            [&[1, 0, 0, 0][..], &of_order].concat(),
        ),
        ("option<Side>", json!("Buy"), vec![1, 0]),
    ] {
        assert_eq!(
            written(kind, &value.to_string()).as_ref(),
            Ok(&bytes),
            "{kind} {value}"
        );
        let mut rest = &bytes[..];
        assert_eq!(own(kind).take(&mut rest), Ok(value), "{kind}");
        assert!(rest.is_empty());
    }
    assert_eq!(written("Side", "Sell"), Ok(vec![1]), "alone it is its name");
    assert_eq!(own("vec<Order>").to_string(), "vec<Order>");
    assert_eq!(own("Side").of_topic(&[0; 32]), json!("Buy"));
    assert_eq!(
        written("vec<u8>", "[\"0xff\", \"1_0\"]"),
        Ok(vec![2, 0, 0, 0, 255, 10])
    );
}

#[test]
fn json_of_another_form_is_refused_with_the_place() {
    let whole = format!(
        "{{\"by\": \"0x{}\", \"side\": \"Buy\", \"price\": 1}}",
        "00".repeat(32)
    );
    written("Order", &whole).expect("an order");
    for (kind, text, why) in [
        ("vec<u8>", "1", "a vec<u8> is a list, '[5, ..]'; this is a number"),
        ("vec<u8>", "", "a vec<u8> is written as JSON, '[5, ..]': EOF"),
        ("vec<u8>", "[1, 256]", "[1]: \"256\" is no u8"),
        ("vec<u8>", "[1.5]", "1.5 is no whole number"),
        ("vec<u128>", "[18446744073709551616]", "write larger ones as text"),
        ("vec<u8>", "[1] 2", "trailing characters"),
        ("vec<vec<u8>>", "[[], [1, -1]]", "[1]: [1]: \"-1\" is no u8"),
        ("option<address>", "0x00", "written as JSON, '\"0x..\"' or 'null'"),
        ("option<option<u8>>", "5", "null, or a list of one"),
        ("option<option<u8>>", "[1, 2]", "null, or a list of one"),
        ("option<bool>", "1", "a bool is true or false"),
        ("option<str>", "1", "a str is text"),
        ("option<bytes2>", "\"0x01\"", "bytes2 has 1 bytes"),
        ("option<u8>", "true", "a u8 is a number"),
        ("Side", "Hold", "\"Hold\" is no Side: it is one of Buy, Sell"),
        ("Side", "0", "is no Side"),
        ("vec<Side>", "[0]", "[0]: a Side is text"),
        (
            "Order",
            "[]",
            "a Order is an object with its fields, '{\"by\": \"0x..\", ..}'; this is a list",
        ),
        ("Order", "{}", "the field \"by\" of Order is missing"),
        (
            "Order",
            &whole.replace("price", "prize"),
            "Order has no field \"prize\"; it has by, side, price",
        ),
        (
            "Order",
            &whole.replace("}", ", \"price\": 2}"),
            "\"price\" is there twice",
        ),
        ("Order", &whole.replace("Buy", "Bye"), "side: \"Bye\" is no Side"),
        ("vec<Gone>", "[1]", "[0]: a Gone is text"),
        (
            "vec<Gone>",
            "[\"1\"]",
            "does not say what values of type Gone are",
        ),
    ] {
        let said = written(kind, text).expect_err(text);
        assert!(said.contains(why), "{kind} {text}: {said}");
    }
    let deep = "[".repeat(100_000);
    assert!(
        written("vec<u8>", &deep)
            .expect_err("deep")
            .contains("recursion limit")
    );
}

#[test]
fn hostile_bytes_and_types_take_no_time_and_no_memory() {
    for (kind, bytes) in [
        ("vec<u8>", &[255, 255, 255, 255][..]),
        ("vec<vec<u8>>", &[1, 0, 0, 0, 255, 255, 255, 255]),
        ("vec<u16>", &[2, 0, 0, 0, 1, 0]),
        ("option<u8>", &[2, 1]),
        ("option<u8>", &[]),
        ("Side", &[2]),
        ("vec<Side>", &[1, 0, 0, 0, 2]),
        ("Order", &[0; 33]),
    ] {
        let mut rest = bytes;
        assert!(own(kind).take(&mut rest).is_err(), "{kind} {bytes:?}");
    }
    let nested = |depth: usize| format!("{}u8{}", "vec<".repeat(depth), ">".repeat(depth));
    assert!(matches!(Kind::from(nested(16)), Kind::List(_)));
    for deep in [nested(17), nested(100_000)] {
        assert!(matches!(Kind::from(deep), Kind::Other(_)));
    }
    for (definitions, why) in [
        (
            json!([{ "name": "A", "fields": [{ "name": "a", "type": "A" }] }]),
            "holds itself",
        ),
        (
            json!([
                { "name": "A", "fields": [{ "name": "a", "type": "vec<B>" }] },
                { "name": "B", "fields": [{ "name": "a", "type": "option<A>" }] },
            ]),
            "holds itself",
        ),
        (
            json!([{ "name": "A", "variants": ["X"] }, { "name": "A", "variants": ["Y"] }]),
            "two types",
        ),
        (json!([{ "name": "A", "fields": [] }]), "neither fields nor"),
        (json!([{ "name": "A", "variants": [] }]), "neither fields nor"),
        (
            json!([{ "name": "A", "fields": [{ "name": "a", "type": "u8" }, { "name": "a", "type": "u8" }] }]),
            "two fields",
        ),
    ] {
        let definitions: Vec<types::Definition> = serde_json::from_value(definitions).expect("a form");
        let said = types::Types::of(&definitions).err().expect("refused");
        assert!(said.contains(why), "{said}");
    }
    // Each holds the next twice: 2^15 bytes at the end, and each name is looked at once.
    let tower: Vec<_> = (0..15)
        .map(|at| {
            let inner = if at == 14 { "u8".to_owned() } else { format!("T{}", at + 1) };
            json!({ "name": format!("T{at}"), "fields": [{ "name": "a", "type": inner }, { "name": "b", "type": inner }] })
        })
        .collect();
    let tower: Vec<types::Definition> = serde_json::from_value(tower.into()).expect("a form");
    types::Types::of(&tower).expect("it ends");
    let unknown = json!([{ "name": "Later", "union": ["u8"] }]);
    let unknown: Vec<types::Definition> = serde_json::from_value(unknown).expect("a form");
    types::Types::of(&unknown).expect("a later version's form is passed over");
}

#[test]
fn what_a_contract_answers_cannot_steer_a_terminal() {
    for (value, text) in [
        (json!(5), "5"),
        (json!("0x12ab"), "0x12ab"),
        (
            json!("-170141183460469231731687303715884105728"),
            "-170141183460469231731687303715884105728",
        ),
        (json!(""), "\"\""),
        (json!("-"), "\"-\""),
        (json!("1-2"), "\"1-2\""),
        (json!("Mill"), "\"Mill\""),
        (json!("0x\u{1b}[2J"), "\"0x\\u001b[2J\""),
        (
            json!("a\u{9b}2J\u{202e}b\u{7f}\n"),
            "\"a\\u{9b}2J\\u{202e}b\\u{7f}\\n\"",
        ),
        (json!({ "a": [null, "\u{85}"] }), "{\"a\":[null,\"\\u{85}\"]}"),
    ] {
        assert_eq!(shown(&value), text);
    }
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
