use super::expand;

fn refused(source: &str) -> String {
    expand(source.parse().expect("Rust"))
        .expect_err(source)
        .to_string()
}

#[test]
fn what_has_no_fixed_length_is_refused() {
    assert!(refused("struct S { name: &'static str }").contains("no fixed length"));
    assert!(refused("struct S { list: Vec<u8> }").contains("no fixed length"));
    assert!(refused("struct S { x: f32 }").contains("no floats"));
    assert!(refused("struct S(u8);").contains("have names"));
    assert!(refused("struct S<T> { x: T }").contains("cannot be generic"));
    assert!(refused("struct s { x: u8 }").contains("a capital first"));
    assert!(refused("enum E { A(u8) }").contains("no fields"));
    assert!(refused("enum E { A = 5 }").contains("no numbers of their own"));
    assert!(refused("struct S {}").contains("at least one byte"));
    assert!(refused("struct S { x: [u8; 0] }").contains("has no bytes"));
    assert!(refused("enum E {}").contains("1 to 256"));
    assert!(refused("union U { a: u8 }").contains("union"));
}
