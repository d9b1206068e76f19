use super::expand;

fn refused(source: &str) -> String {
    expand(source.parse().expect("Rust"))
        .expect_err(source)
        .to_string()
}

#[test]
fn the_text_begins_with_the_name_and_doc_comments_stay_off_the_chain() {
    let text = expand(
        "enum E {
            /// Too poor.
            Poor,
            #[error(\"at most 64 bytes\")] Long,
        }"
        .parse()
        .expect("Rust"),
    )
    .expect("accepted")
    .to_string();
    assert!(text.contains("Self :: Poor => \"Poor\""), "{text}");
    assert!(
        text.contains("Self :: Long => \"Long: at most 64 bytes\""),
        "{text}"
    );
    let (on_chain, described) = text.split_once("DescribedErrors").expect("both");
    assert!(!on_chain.contains("Too poor.") && described.contains("Too poor."));
}

#[test]
fn what_has_no_name_to_be_known_by_is_refused() {
    assert!(refused("enum E { Poor { by: u128 } }").contains("variants have no fields"));
    assert!(refused("enum E { Poor(u8) }").contains("variants have no fields"));
    assert!(refused("struct E;").contains("variants of an enumeration"));
    assert!(refused("enum E<T> { A }").contains("cannot be generic"));
    assert!(refused("enum E { #[error] A }").contains("#[error(\"text\")]"));
}
