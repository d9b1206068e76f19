use proc_macro2::TokenStream;

use super::expand;

fn expanded(fields: &str) -> syn::Result<TokenStream> {
    let source = format!("struct TokenStore {{ {fields} }}");
    expand(TokenStream::new(), source.parse().expect("Rust"))
}

fn refused(fields: &str) -> String {
    expanded(fields).expect_err(fields).to_string()
}

#[test]
fn places_lie_under_their_names_unless_a_key_is_given() {
    let text = expanded(
        "total: Item<u128>, pub balances: Map<Address, u128>, #[key(\"a/\")] allowances: Map<(u8, u8), u8>, list: Vector<u8>",
    )
    .expect("accepted")
    .to_string();
    for part in [
        "const TOKEN_STORE : TokenStore",
        "new (b\"total\")",
        "new (b\"balances/\")",
        "new (b\"a/\")",
        "new (b\"list\")",
        "(\"list\" , \"list/\" , __types)",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("# [key"), "{text}");
}

#[test]
fn keys_that_could_meet_are_refused() {
    for fields in [
        "a: Item<u8>, #[key(\"a\")] b: Item<u8>",
        "#[key(\"x\")] a: Map<u8, u8>, #[key(\"xy\")] b: Item<u8>",
        "#[key(\"xy\")] b: Counter, #[key(\"x\")] a: Map<u8, u8>",
        "#[key(\"x/\")] a: Map<u8, u8>, #[key(\"x/\")] b: Map<u16, u8>",
        "#[key(\"x/\")] a: Map<u8, u8>, #[key(\"x/y/\")] b: Map<u16, u8>",
        "list: Vector<u8>, #[key(\"list/\")] map: Map<u32, u8>",
        "list: Vector<u8>, #[key(\"list/size\")] size: Item<u8>",
        "list: Vector<u8>, #[key(\"list\")] size: Text",
        "#[key(\"list\")] map: Map<u8, u8>, list: Vector<u8>",
    ] {
        assert!(
            refused(fields).contains("could be those of"),
            "{fields}: {}",
            refused(fields)
        );
    }
    for fields in [
        "a: Item<u8>, ab: Item<u8>, a_: Map<u8, u8>",
        "list: Vector<u8>, lists: Vector<u8>, #[key(\"li/\")] li: Map<u8, u8>",
        "#[key(\"x/y/\")] a: Map<u8, u8>, #[key(\"x/z/\")] b: Map<u8, u8>, x: Item<u8>",
    ] {
        expanded(fields).expect(fields);
    }
}

#[test]
fn what_is_no_place_is_refused() {
    assert!(refused("total: u128").contains("a place in storage is"));
    assert!(refused("#[key(\"\")] total: Item<u8>").contains("1 to 64 bytes"));
    assert!(refused(&format!("#[key(\"{}\")] total: Item<u8>", "k".repeat(65))).contains("1 to 64 bytes"));
    assert!(refused("#[key(5)] total: Item<u8>").contains("#[key(\"text\")]"));
    assert!(refused("#[key(\"a\")] #[key(\"b\")] total: Item<u8>").contains("there is a `key` already"));
    assert!(refused("#[cfg(test)] total: Item<u8>").contains("the same in every build"));
    for item in [
        "enum E {}",
        "struct S;",
        "struct S(Item<u8>);",
        "struct S<T> { a: Item<T> }",
    ] {
        assert!(
            expand(TokenStream::new(), item.parse().expect("Rust")).is_err(),
            "{item}"
        );
    }
}
