use super::expand;

fn expanded(source: &str) -> Result<String, String> {
    expand(source.parse().expect("Rust"))
        .map(|tokens| tokens.to_string())
        .map_err(|error| error.to_string())
}

#[test]
fn the_name_is_the_structure_s_unless_another_is_given() {
    assert!(
        expanded("struct BidPlaced { x: u8 }")
            .expect("accepted")
            .contains("\"bid_placed\"")
    );
    let named = expanded("#[event(\"Transfer\")] struct Moved;").expect("accepted");
    assert!(named.contains("\"Transfer\"") && !named.contains("\"moved\""));
}

#[test]
fn what_does_not_fit_into_a_log_is_refused() {
    let topics = |count: usize| {
        let fields: String = (0..count).map(|i| format!("#[topic] t{i}: u8,")).collect();
        expanded(&format!("struct E {{ {fields} data: u8 }}"))
    };
    assert!(topics(3).is_ok());
    expanded("struct E<'a> { name: &'a str }").expect("text is borrowed");
    for (source, message) in [
        (topics(4), "four topics at most"),
        (
            expanded("struct E { #[topic] name: &'static str }"),
            "log the hash",
        ),
        (expanded("struct E { x: f64 }"), "no floats"),
        (expanded("struct E(u8);"), "fields have names"),
        (expanded("enum E { A }"), "an event is a structure"),
        (expanded("#[event(\"\")] struct E;"), "1 to 32 bytes"),
        (expanded("#[event(\"ü\")] struct E;"), "printable ASCII"),
        (expanded("#[event(\"a\\0\")] struct E;"), "printable ASCII"),
        (expanded("#[event(\"a\\n\")] struct E;"), "printable ASCII"),
        (expanded("struct Évent;"), "printable ASCII"),
        (
            expanded("struct ThisNameHasMoreThanThirtyTwoLetters;"),
            "1 to 32 bytes",
        ),
        (expanded("struct E<T> { x: T }"), "cannot be generic"),
        (
            expanded("struct E<const N: usize> { x: [u8; N] }"),
            "cannot be generic",
        ),
    ] {
        let said = source.expect_err(message);
        assert!(said.contains(message), "{said} instead of {message}");
    }
}
