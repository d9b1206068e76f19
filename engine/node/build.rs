//! Puts the contract SDK's sources into the program: `millrace contract new` writes them beside a new contract.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Folders of the SDK that nobody needs who only uses it.
const LEFT_OUT: [&str; 2] = ["target", "tests"];

fn main() {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let contracts = manifest.join("../../contracts");
    let mut files = vec![contracts.join("Cargo.toml"), contracts.join("Cargo.lock")];
    collect(&contracts.join("sdk"), &mut files);
    files.sort();
    let mut source = String::from("&[\n");
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
        let name = file.strip_prefix(&contracts).expect("it lies in contracts");
        writeln!(
            source,
            "    ({:?}, include_bytes!({:?})),",
            name.to_str().expect("a name in UTF-8"),
            file.to_str().expect("a path in UTF-8")
        )
        .expect("a string takes everything");
    }
    source.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("contract_sdk.rs"), source).expect("cargo's own folder can be written");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    println!("cargo::rerun-if-changed={}", folder.display());
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder that can be listed").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_file() {
            files.push(path);
        } else if !LEFT_OUT.contains(&name) {
            collect(&path, files);
        }
    }
}
