use serde_json::json;

use super::*;

fn interface(changes: &Value) -> Result<Interface, String> {
    let mut document = json!({
        "format": 1, "name": "c", "version": "1", "init": { "payable": false, "arguments": [] },
        "functions": [{ "name": "f", "selector": 1, "arguments": [{ "name": "side", "type": "Side" }], "returns": "vec<Bid>" }],
        "types": [
            { "name": "Bid", "fields": [{ "name": "side", "type": "Side" }, { "name": "amount", "type": "u128" }] },
            { "name": "Side", "variants": ["Buy", "Sell"] },
        ],
        "events": [{ "name": "placed", "topics": [{ "name": "side", "type": "Side" }], "data": [{ "name": "bid", "type": "option<Bid>" }] }],
        "errors": [{ "name": "Poor", "message": "too poor" }, { "name": "Poorer", "message": "" }],
    });
    for (key, value) in changes.as_object().into_iter().flatten() {
        document[key] = value.clone();
    }
    Interface::parse(document.to_string().as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn types_of_the_contract_s_own_are_written_and_read_by_name() {
    let interface = interface(&json!({})).expect("sound");
    let function = interface.function("f").expect("it is there");
    assert_eq!(function.signature(), "f(side: Side)");
    assert_eq!(function.input(&["Sell".into()]).expect("a side"), [1, 1]);
    let bid = [&[1, 0, 0, 0, 0][..], &7_u128.to_le_bytes()].concat();
    let output = function.output(&bid).expect("bids");
    assert_eq!(output, Some(json!([{ "side": "Buy", "amount": 7 }])));
    let left = function.output(&[&bid[..], &[0]].concat());
    assert_eq!(left, Err(ValueError::Left(1)));
    let topic = |text: &[u8]| {
        let mut topic = [0; 32];
        topic[..text.len()].copy_from_slice(text);
        topic
    };
    let (name, values) = interface
        .event(&[topic(b"placed"), topic(&[1])], &[0])
        .expect("the event");
    assert_eq!(
        (name, values),
        ("placed", vec![("side", json!("Sell")), ("bid", json!(null))])
    );
    for (topics, data) in [
        (vec![topic(b"placed")], &[0][..]),
        (vec![topic(b"placed"), topic(&[1]), topic(&[1])], &[0]),
        (vec![topic(b"placed\x01"), topic(&[1])], &[0]),
        (vec![topic(b"placed"), topic(&[1])], &[0, 0]),
        (vec![topic(b"placed"), topic(&[1])], &[]),
        (vec![], &[0]),
    ] {
        assert_eq!(interface.event(&topics, data), None);
    }
}

#[test]
fn a_revert_is_an_error_by_the_name_before_its_first_colon_and_space() {
    let interface = interface(&json!({})).expect("sound");
    for (text, name) in [
        ("Poor", Some("Poor")),
        ("Poor: by 7: units", Some("Poor")),
        ("Poorer", Some("Poorer")),
        // A message is none of a name, nor is a name with anything else behind it.
        ("too poor", None),
        ("Poor:7", None),
        ("Poor ", None),
        (" Poor", None),
        ("a call failed: Poor", None),
        ("", None),
    ] {
        assert_eq!(interface.error_name(text.as_bytes()), name, "{text:?}");
    }
    assert_eq!(interface.error_name(&[0xff]), None);
}

#[test]
fn documents_that_contradict_themselves_are_refused() {
    let function = |name: &str, selector: u8| json!({ "name": name, "selector": selector });
    for (changes, why) in [
        (
            json!({ "functions": [function("a", 1), function("a", 2)] }),
            "two functions",
        ),
        (
            json!({ "functions": [function("a", 1), function("b", 1)] }),
            "two functions",
        ),
        (
            json!({ "types": [{ "name": "A", "fields": [{ "name": "a", "type": "A" }] }] }),
            "holds itself",
        ),
        (
            json!({ "functions": [function("a", 1), { "name": "b", "selector": 256 }] }),
            "256",
        ),
        (json!({ "functions": 5 }), "invalid type"),
        (
            json!({ "name": "\u{1b}[2J" }),
            "the name \"\\u{1b}[2J\" holds characters",
        ),
        (json!({ "functions": [function("a\nb", 1)] }), "a terminal obeys"),
        (json!({ "errors": [{ "name": "E\u{202e}" }] }), "a terminal obeys"),
        (
            json!({ "events": [{ "name": "e", "data": [{ "name": "x\u{9b}", "type": "u8" }] }] }),
            "a terminal obeys",
        ),
        (
            json!({ "events": [{ "name": "e", "data": [{ "name": "x", "type": "vec<\u{7}>" }] }] }),
            "a terminal obeys",
        ),
        (
            json!({ "types": [{ "name": "Side", "variants": ["\u{8}"] }] }),
            "a terminal obeys",
        ),
        (json!({ "format": "1" }), "no number `format`"),
        (json!({ "format": 2 }), "interface format 2"),
    ] {
        let said = interface(&changes).expect_err("refused");
        assert!(said.contains(why), "{changes}: {said}");
    }
    let later = json!({ "types": [], "unknown": { "key": [] } });
    let passed = interface(&later).expect("keys of a later version are passed over");
    let said = passed
        .function("f")
        .expect("there")
        .input(&["Sell".into()])
        .expect_err("undefined");
    assert!(
        said.to_string()
            .contains("does not say what values of type Side are"),
        "{said}"
    );
    let deep = format!("{{\"format\": 1, \"a\": {}", "[".repeat(500_000));
    assert!(Interface::parse(deep.as_bytes()).is_err());
    let long = vec![b' '; MOST_BYTES as usize + 1];
    assert!(
        Interface::parse(&long)
            .expect_err("long")
            .to_string()
            .contains("more than")
    );
}
