//! The checks never panic, whatever the bytes.

use std::path::Path;
use std::process::Command;

use super::check;

fn good() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin.so");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let compiled = Command::new("cc")
        .args(["-std=c11", "-shared", "-fPIC", "-I"])
        .arg(root.join("../abi/include"))
        .arg(root.join("tests/c/table.c"))
        .arg("-o")
        .arg(&path)
        .status();
    assert!(compiled.unwrap().success());
    std::fs::read(&path).unwrap()
}

#[test]
fn flipped_bytes_are_refused_or_harmless() {
    let path = Path::new("plugin.so");
    let good = good();
    assert!(check(path, &good, Some("bent/1")).is_ok());
    let mut refused = 0;
    for at in 0..good.len() {
        let mut bytes = good.clone();
        for flip in [0xff, 0x80, 0x01] {
            bytes[at] = good[at] ^ flip;
            refused += u32::from(check(path, &bytes, Some("bent/1")).is_err());
        }
    }
    assert!(
        refused > 100,
        "header, section table, note and symbol table are looked at: {refused}"
    );
}

#[test]
fn truncated_bytes_are_refused_or_harmless() {
    let path = Path::new("plugin.so");
    let good = good();
    for len in (0..good.len()).step_by(7) {
        assert!(
            check(path, &good[..len], None).is_err(),
            "the section table is at the end; {len} bytes"
        );
    }
}
