use super::*;

fn sample() -> Interface {
    let field = |name: &str, kind: &str| Field {
        name: name.into(),
        kind: kind.parse().expect("a type"),
    };
    Interface {
        format: FORMAT,
        name: "token".into(),
        version: "0.1.0".into(),
        sdk: "0.1.0".into(),
        init: Init {
            payable: false,
            arguments: vec![field("total_supply", "u128")],
        },
        functions: vec![Function {
            name: "transfer".into(),
            selector: 1,
            payable: false,
            arguments: vec![field("to", "address")],
            returns: Some(Type::Bool),
            docs: "Moves tokens.".into(),
        }],
        types: vec![],
        events: vec![Event {
            name: "transfer".into(),
            topics: vec![field("from", "address")],
            data: vec![field("amount", "u128")],
        }],
        errors: vec![Error {
            name: "InsufficientBalance".into(),
            message: "the balance is too small".into(),
        }],
        storage: vec![Place {
            name: "balances".into(),
            kind: PlaceKind::Map,
            prefix: "balance/".into(),
            key: vec![Type::Address],
            value: Type::Unsigned(128),
        }],
    }
}

/// The format other readers were promised, letter for letter.
#[test]
fn the_document_is_the_one_of_format_1() {
    let expected = r#"{"format":1,"name":"token","version":"0.1.0","sdk":"0.1.0","init":{"payable":false,"arguments":[{"name":"total_supply","type":"u128"}]},"functions":[{"name":"transfer","selector":1,"payable":false,"arguments":[{"name":"to","type":"address"}],"returns":"bool","docs":"Moves tokens."}],"events":[{"name":"transfer","topics":[{"name":"from","type":"address"}],"data":[{"name":"amount","type":"u128"}]}],"errors":[{"name":"InsufficientBalance","message":"the balance is too small"}],"storage":[{"name":"balances","kind":"map","prefix":"balance/","key":["address"],"value":"u128"}]}"#;
    assert_eq!(serde_json::to_string(&sample()).expect("JSON"), expected);
    assert_eq!(Interface::from_json(expected).expect("readable"), sample());
}

#[test]
fn what_is_written_reads_back() {
    let mut interface = sample();
    interface.functions[0].returns = None;
    interface.functions[0].arguments[0].kind =
        Type::Option(Box::new(Type::Vec(Box::new(Type::Named("Side".into())))));
    interface.types = vec![
        Definition::Struct {
            name: "Pool".into(),
            fields: vec![Field {
                name: "a".into(),
                kind: Type::Named("Side".into()),
            }],
        },
        Definition::Enum {
            name: "Side".into(),
            variants: vec!["A".into(), "B".into()],
        },
    ];
    let text = interface.to_json();
    assert!(text.contains("\"returns\": null") && text.contains("\"option<vec<Side>>\""));
    assert_eq!(Interface::from_json(&text).expect("readable"), interface);
}

#[test]
fn types_read_back_as_they_are_written() {
    for name in [
        "u8",
        "u16",
        "u32",
        "u64",
        "u128",
        "i8",
        "i16",
        "i32",
        "i64",
        "i128",
        "bool",
        "address",
        "bytes",
        "str",
        "bytes0",
        "bytes64",
        "option<u8>",
        "vec<bytes32>",
        "option<vec<Pool>>",
        "Pool_2",
    ] {
        assert_eq!(name.parse::<Type>().expect(name).to_string(), name);
    }
    let deep = |depth: usize| "vec<".repeat(depth) + "u16" + &">".repeat(depth);
    assert!(deep(16).parse::<Type>().is_ok());
    for name in [
        "",
        "u",
        "u7",
        "u256",
        "usize",
        "f64",
        "bytes-1",
        "bytes01",
        "bytes+1",
        "vec<>",
        "vec<u8",
        "vec",
        "option<u8>>",
        "pool",
        "Pool ",
        "Pool;",
        "Öl",
        &deep(17),
        &deep(100_000),
    ] {
        assert!(name.parse::<Type>().is_err(), "{name} is no type");
    }
}

#[test]
fn what_is_no_interface_is_refused_by_name() {
    let refused = |text: &str| Interface::from_json(text).expect_err("refused").to_string();
    assert!(refused("{}").contains("missing field `format`"));
    assert!(refused(r#"{"format":2,"whatever":true}"#).contains("format 2"));
    let json = sample().to_json();
    assert!(refused(&json.replace("\"u128\"", "\"f64\"")).contains("`f64` is no type"));
    assert!(refused(&json.replace("\"selector\": 1", "\"selector\": 256")).contains("256"));
    assert!(refused(&" ".repeat(MAX_DOCUMENT_BYTES + 1)).contains("at most"));
}
