use millrace_contract_interface::{FORMAT, Init};

use super::*;

fn interface(function: &str, argument: &str, kind: &str) -> Interface {
    Interface {
        format: FORMAT,
        name: "my-token".into(),
        version: "1.0.0".into(),
        sdk: "0.1.0".into(),
        init: Init {
            payable: false,
            arguments: vec![],
        },
        functions: vec![Function {
            name: function.into(),
            selector: 7,
            payable: false,
            arguments: vec![Field {
                name: argument.into(),
                kind: kind.parse().expect("a type"),
            }],
            returns: None,
            docs: String::new(),
        }],
        types: vec![],
        events: vec![],
        errors: vec![],
        storage: vec![],
    }
}

fn made(interface: &Interface) -> Result<String, String> {
    module(interface, None, Span::call_site())
        .map(|tokens| tokens.to_string())
        .map_err(|error| error.to_string())
}

#[test]
fn names_that_rust_or_the_client_has_already_are_changed() {
    let text = made(&interface("address", "type", "u8")).expect("accepted");
    assert!(text.contains("pub mod my_token") && text.contains("fn address_") && text.contains("r#type"));
    assert!(
        syn::parse_str::<syn::File>(&text).is_ok(),
        "what is generated is Rust"
    );
}

#[test]
fn types_named_as_the_module_names_its_own_are_changed() {
    let mut named = interface("a", "x", "Client");
    named.types = ["Client", "Code", "Error", "Failure"]
        .map(|name| Definition::Enum {
            name: name.into(),
            variants: vec!["Only".into()],
        })
        .into();
    let text = made(&named).expect("accepted");
    for part in [
        "pub enum Client_ {",
        "pub enum Code_ {",
        "pub enum Error_ {",
        "pub enum Failure_ {",
        "x : Client_",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_hostile_interface_brings_in_no_code() {
    for (function, argument) in [
        ("a() {} fn b", "x"),
        ("a", "x: u8, y"),
        ("a", ""),
        ("self", "x"),
        ("ä b", "x"),
    ] {
        let said = made(&interface(function, argument, "u8")).expect_err(function);
        assert!(said.contains("cannot be a name"), "{said}");
    }
    let said = made(&interface("a", "x", "Unknown")).expect_err("undefined");
    assert!(said.contains("`Unknown` that it does not define"), "{said}");
    let mut docs = interface("a", "x", "u8");
    docs.functions[0].docs = "*/ } \"; compile_error!(\"out\") /* \\".into();
    let text = made(&docs).expect("docs are text");
    assert!(syn::parse_str::<syn::File>(&text).is_ok());
}

#[test]
fn files_that_are_none_are_refused_by_name() {
    let said = |arguments: &str| {
        expand(arguments.parse().expect("Rust"))
            .expect_err(arguments)
            .to_string()
    };
    assert!(said("\"nowhere.json\"").starts_with("nowhere.json: "));
    assert!(said("\"Cargo.toml\"").contains("no contract interface"));
    assert!(said("nowhere").contains("expected the path"));
}
