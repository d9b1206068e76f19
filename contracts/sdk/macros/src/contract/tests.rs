use proc_macro2::TokenStream;

use super::expand;

/// What the macro says about `source`: each message with the text that it points to.
fn errors(source: &str) -> Vec<(String, String)> {
    let tokens: TokenStream = source.parse().expect("Rust");
    let error = expand(TokenStream::new(), tokens).expect_err("the macro refuses this");
    error
        .into_iter()
        .map(|error| {
            let (start, end) = (error.span().start(), error.span().end());
            let lines: Vec<&str> = source.lines().collect();
            let line = lines[start.line - 1];
            let stop = if start.line == end.line {
                end.column
            } else {
                line.len()
            };
            let text = line.chars().take(stop).skip(start.column).collect();
            (error.to_string(), text)
        })
        .collect()
}

/// Exactly one error, that says `message` and points to `place`.
fn check(source: &str, message: &str, place: &str) {
    let errors = errors(source);
    assert!(
        matches!(&errors[..], [(said, at)] if said.contains(message) && at.starts_with(place)),
        "{source}\nsays {errors:?}\ninstead of {message:?} at {place:?}"
    );
}

fn check_function(function: &str, message: &str, place: &str) {
    check(
        &format!("mod c {{ #[init] fn init() {{}}\n{function} }}"),
        message,
        place,
    );
}

#[test]
fn a_contract_without_mistakes_keeps_everything_but_the_attributes() {
    let source = "mod c {
        const LIMIT: u64 = 5;
        #[init(payable)] fn init(limit: u64, name: &str) -> Result<(), Revert> { Ok(()) }
        #[call(0x01)] #[inline] fn set(list: Vec<Option<[u8; 4]>>) -> Result<u64, Wrong> { helper() }
        #[call(255, payable)] fn get() {}
        fn helper() {}
    }";
    let expanded = expand(TokenStream::new(), source.parse().expect("Rust")).expect("accepted");
    let file: syn::File = syn::parse2(expanded.clone()).expect("what is generated is Rust");
    assert_eq!(file.items.len(), 2, "the module and `main`");
    let text = expanded.to_string();
    for kept in ["LIMIT", "fn helper", "# [inline]", "1u8 =>", "255u8 =>"] {
        assert!(text.contains(kept), "{kept} in {text}");
    }
    assert!(!text.contains("# [call") && !text.contains("# [init"), "{text}");
}

#[test]
fn selectors_are_there_once_each_and_one_byte() {
    check_function(
        "#[call(0x01)] fn a() {}\n#[call(1)] fn b() {}",
        "selector 0x01 is `a`'s already",
        "1",
    );
    check_function("#[call(256)] fn a() {}", "a selector is one byte", "256");
    check_function("#[call] fn a() {}", "which first byte", "#");
    check_function("#[call(payable)] fn a() {}", "which first byte", "#");
    check_function("#[call(1, 2)] fn a() {}", "a function has one selector", "2");
    check_function(
        "#[call(1, paid)] fn a() {}",
        "expected a selector or `payable`",
        "paid",
    );
    check_function(
        "#[call(1)] #[call(2)] fn a() {}",
        "one `#[init]` or `#[call(..)]`",
        "#",
    );
}

#[test]
fn there_is_one_initialiser() {
    check(
        "mod wallet { #[call(1)] fn a() {} }",
        "this contract has no initialiser",
        "wallet",
    );
    check_function(
        "#[init] fn again() {}",
        "there is an initialiser already: `init`",
        "#",
    );
    check(
        "mod c { #[init(0x01)] fn init() {} }",
        "an initialiser has no selector",
        "0x01",
    );
}

#[test]
fn types_without_an_encoding_are_refused_where_they_stand() {
    for (kind, message) in [
        ("usize", "use `u64` or `u32`"),
        ("f64", "contracts have no floats"),
        ("char", "`char` has no encoding"),
        ("Vec<f32>", "contracts have no floats"),
        ("&[isize]", "use `u64` or `u32`"),
        ("&mut [u8]", "cannot be borrowed to be changed"),
        ("[u16; 4]", "arrays are of bytes"),
        ("(u8, u8)", "a tuple has no names"),
        ("BTreeMap<u8, u8>", "maps and sets have no encoding"),
        ("impl Iterator", "this type has no encoding"),
        ("*const u8", "this type has no encoding"),
    ] {
        let innermost = ["f32", "isize"].into_iter().find(|inner| kind.contains(inner));
        check_function(
            &format!("#[call(1)] fn a(x: {kind}) {{}}"),
            message,
            innermost.unwrap_or(kind),
        );
    }
    check_function("#[call(1)] fn a() -> f64 {}", "no floats", "f64");
    check_function(
        "#[call(1)] fn a() -> Result<usize, Revert> {}",
        "use `u64`",
        "usize",
    );
}

#[test]
fn functions_that_no_call_can_reach_are_refused() {
    check_function("#[call(1)] fn a(&self) {}", "have no `self`", "&self");
    check_function("#[call(1)] async fn a() {}", "cannot be async", "async");
    check_function("#[call(1)] unsafe fn a() {}", "cannot be unsafe", "unsafe");
    check_function("#[call(1)] fn a<T>(x: T) {}", "cannot be generic", "<T>");
    check_function("#[call(1)] fn a(_: u8) {}", "an argument has a name", "_");
    check_function("#[call(1)] fn a() -> ! {}", "does not return", "!");
}

#[test]
fn an_argument_may_have_the_function_s_name() {
    let source = "mod c { #[init] fn init() {} #[call(1)] fn owner(owner: u8) {} }";
    let expanded = expand(TokenStream::new(), source.parse().expect("Rust")).expect("accepted");
    let text = expanded.to_string();
    assert!(text.contains("self :: owner (owner)"), "{text}");
    let identity = "mock :: identify (:: core :: module_path ! ())";
    assert!(
        text.contains(identity),
        "who asks learns which contract it is: {text}"
    );
}

#[test]
fn names_that_the_macro_needs_are_refused() {
    for name in ["dispatch", "interface", "_start"] {
        check_function(
            &format!("fn {name}() {{}}"),
            &format!("`{name}` is made by `#[contract]`"),
            name,
        );
    }
}

#[test]
fn lifetimes_are_left_out() {
    check_function("#[call(1)] fn a<'a>(x: &'a str) {}", "leave lifetimes out", "'a");
}

#[test]
fn events_and_errors_have_names_of_their_own() {
    check_function(
        "#[derive(Event)] struct Moved {}\n#[derive(Event)] #[event(\"moved\")] struct Gone {}",
        "another event of this contract is named `moved`",
        "Gone",
    );
    check_function(
        "#[derive(Error)] enum A { Poor, Late }\n#[derive(Error)] enum B { Early, Late }",
        "another error of this contract is named `Late`",
        "Late",
    );
}

#[test]
fn a_refusal_brings_its_own_main() {
    let error = expand(TokenStream::new(), "struct S;".parse().expect("Rust")).expect_err("no module");
    let text = super::refused(error).expect("tokens").to_string();
    assert!(
        text.contains("compile_error") && text.contains("fn main ()"),
        "{text}"
    );
}

#[test]
fn what_is_no_module_with_a_body_is_refused() {
    check("struct Token;", "stands before a module", "struct");
    check("mod token;", "needs the module's functions in this file", "mod");
    let arguments: TokenStream = "fast".parse().expect("Rust");
    assert!(expand(arguments, "mod c {}".parse().expect("Rust")).is_err());
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let said = errors("mod c { #[call(1)] fn a(x: f32) {} #[call] fn b() {} }");
    assert_eq!(said.len(), 3, "{said:?}");
}

#[test]
fn places_of_two_structures_must_not_meet_either() {
    check_function(
        "#[storage] struct A { total: Item<u8> }\n#[storage] struct B { other: Blob, #[key(\"total\")] sum: Counter }",
        "keys of `sum` (\"total\") could be those of `total`",
        "\"total\"",
    );
    check_function(
        "#[storage] struct A { total: Item<u8> }\nmod inner { mod more { #[storage] struct B { total: Blob } } }",
        "keys of `total` (\"total\") could be those of `total`",
        "total",
    );
    let apart = "mod c { #[init] fn init() {} #[storage] struct A { x: Item<u8> } #[contract] mod other { #[storage] struct B { x: Item<u8> } } }";
    expand(TokenStream::new(), apart.parse().expect("Rust")).expect("a contract of its own");
}
