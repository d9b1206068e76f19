//! What is no plugin for this node is refused, by name, with the mend, and before its code runs.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use millrace_plugin_host::{PluginHandle, PluginSpec, PluginStatus};
use support::{c_plugin, refusal, spec};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Compiles `table.c` with these definitions and checks the message; `{}` stands for the path.
fn check(definitions: &[&str], message: &str) {
    let folder = folder();
    let path = c_plugin(folder.path(), "table", definitions);
    assert_eq!(
        refusal(spec(&path)),
        message.replace("{}", path.to_str().unwrap())
    );
}

/// Writes a file and checks the message; `{}` stands for the path.
fn check_bytes(bytes: &[u8], message: &str) {
    let folder = folder();
    let path = folder.path().join("plugin.so");
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(
        refusal(spec(&path)),
        message.replace("{}", path.to_str().unwrap())
    );
}

fn machine() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "x86-64 Linux"
    } else {
        "aarch64 Linux"
    }
}

fn not_a_shared_object(what: &str) -> String {
    let machine = machine();
    format!(
        "{{}} is no shared object for this machine: {what}; build the plugin as a cdylib (or with cc -shared -fPIC) for {machine}"
    )
}

const BENT: &str = "rebuild it with millrace-plugin-sdk or millrace_plugin.h of ABI 1.0";
const REBUILD_NOTE: &str = "rebuild the plugin with export_plugin! or MILLRACE_PLUGIN_NOTE";

#[test]
fn a_file_that_is_not_there() {
    let message = refusal(spec(Path::new("/nowhere/plugin.so")));
    assert_eq!(
        message,
        "cannot read the consensus plugin /nowhere/plugin.so: No such file or directory (os error 2); check the path and its permissions"
    );
}

#[test]
fn a_folder_and_a_device() {
    let folder = folder();
    let path = folder.path().display();
    assert_eq!(
        refusal(spec(folder.path())),
        format!(
            "{path} is no consensus plugin: it is a folder; give the path of the plugin's shared object (.so)"
        )
    );
    assert_eq!(
        refusal(spec(Path::new("/dev/zero"))),
        "/dev/zero is no consensus plugin: it is not a regular file; give the path of the plugin's shared object (.so)"
    );
}

#[test]
fn a_file_too_large_to_be_one() {
    let folder = folder();
    let path = folder.path().join("huge.so");
    std::fs::File::create(&path)
        .unwrap()
        .set_len((512 << 20) + 1)
        .unwrap();
    assert_eq!(
        refusal(spec(&path)),
        format!(
            "{} is no consensus plugin: it is larger than 512 MiB; give the path of the plugin's shared object (.so)",
            path.display()
        )
    );
}

#[test]
fn a_file_that_is_no_elf() {
    check_bytes(b"", &not_a_shared_object("it is not an ELF file"));
    check_bytes(
        b"#!/bin/sh\necho consensus\n",
        &not_a_shared_object("it is not an ELF file"),
    );
}

#[test]
fn an_elf_that_is_cut_off_anywhere() {
    let folder = folder();
    let good = std::fs::read(c_plugin(folder.path(), "table", &[])).unwrap();
    let path = folder.path().join("bent.so");
    for step in 0..40 {
        std::fs::write(&path, &good[..good.len() * step / 40]).unwrap();
        refusal(spec(&path));
    }
    std::fs::write(&path, &good[..40]).unwrap();
    assert!(
        refusal(spec(&path)).contains("it is a damaged ELF file"),
        "{}",
        refusal(spec(&path))
    );
}

#[test]
fn an_elf_for_another_machine_or_of_another_type() {
    let folder = folder();
    let mut bytes = std::fs::read(c_plugin(folder.path(), "table", &[])).unwrap();
    let ours = bytes[18];
    bytes[18] = 243;
    check_bytes(
        &bytes,
        &not_a_shared_object(&format!("it is built for ELF machine 243, not {ours}")),
    );
    bytes[18] = ours;
    bytes[16] = 2;
    check_bytes(
        &bytes,
        &not_a_shared_object("its ELF type is 2, not 3 (shared object)"),
    );
}

#[test]
fn a_library_without_a_note() {
    check(
        &["NO_NOTE"],
        "{} is a shared object but no Millrace plugin: it has no .note.millrace section; export the plugin with export_plugin! of millrace-plugin-sdk, or MILLRACE_PLUGIN_NOTE of millrace_plugin.h",
    );
}

#[test]
fn a_damaged_note() {
    let bad = |what: &str| format!("{{}} has a damaged Millrace note: {what}; {REBUILD_NOTE}");
    check(
        &["NOTE_NAME=\"Treadmill\""],
        &bad("its name is not `Millrace` or its type not 1"),
    );
    check(&["NOTE_DESCRIPTOR_SIZE=4000"], &bad("it is cut short"));
    check(
        &["NOTE_DESCRIPTOR_SIZE=8", "NOTE_ID=\"\""],
        &bad("there is more than one; link one plugin per shared object"),
    );
    check(
        &["SECOND_NOTE"],
        &bad("there is more than one; link one plugin per shared object"),
    );
    check(
        &["NOTE_ID=\"\""],
        &bad("its consensus id is not printable ASCII filled up with zeros"),
    );
    check(
        &["NOTE_ID=\"two words\""],
        &bad("its consensus id is not printable ASCII filled up with zeros"),
    );
}

#[test]
fn another_major_version() {
    let message = "the consensus plugin {} is built for plugin ABI 2.3, but this node speaks 1.0; rebuild the plugin with millrace-plugin-sdk of ABI 1, or run a node of ABI 2";
    check(&["NOTE_MAJOR=2", "NOTE_MINOR=3"], message);
    check(
        &["MAJOR=2"],
        "the consensus plugin {} is built for plugin ABI 2.0, but this node speaks 1.0; rebuild the plugin with millrace-plugin-sdk of ABI 1, or run a node of ABI 2",
    );
}

#[test]
fn another_schema_of_blocks() {
    check(
        &["NOTE_SCHEMA=9"],
        "the consensus plugin {} reads blocks of schema 9, but this node writes schema 1; rebuild the plugin with the millrace-plugin-sdk of this node's release",
    );
}

#[test]
fn another_consensus_than_the_chains() {
    let folder = folder();
    let path = c_plugin(folder.path(), "table", &[]);
    let spec = PluginSpec {
        consensus_id: Some("solo/1".into()),
        ..spec(&path)
    };
    assert_eq!(
        refusal(spec),
        format!(
            "the consensus plugin {} is bent/1, but the chain spec names solo/1; configure the plugin for solo/1, or the chain that runs bent/1",
            path.display()
        )
    );
}

#[test]
fn a_note_without_a_table() {
    let no_table = |what: &str| {
        format!(
            "the consensus plugin {{}} has a Millrace note but exports no table `millrace_plugin`: {what}; export it with export_plugin!, or define `const MillracePlugin millrace_plugin` with default visibility"
        )
    };
    check(&["NO_TABLE"], &no_table("the dynamic symbol is missing"));
    check(&["FUNCTION_TABLE"], &no_table("the symbol is not a data object"));
    check(
        &["TINY_TABLE"],
        &no_table("the symbol is smaller than a table's first 16 bytes"),
    );
}

#[test]
fn a_damaged_table() {
    let bad = |what: &str| format!("the consensus plugin {{}} exports a damaged table: {what}; {BENT}");
    check(
        &["MAGIC=0x31"],
        &bad("its magic is 0x0000000000000031, not 0x3147554c50524c4d"),
    );
    check(
        &["SIZE=40"],
        &bad("it is cut short: 40 bytes of the 56 that ABI 1.0 has"),
    );
    check(
        &["SMALL_TABLE"],
        &bad("it is cut short: 24 bytes of the 56 that ABI 1.0 has"),
    );
    check(&["START=0"], &bad("its callback `start` is null"));
    check(&["DELIVER=0"], &bad("its callback `deliver` is null"));
    check(&["STOP=0"], &bad("its callback `stop` is null"));
    check(&["TABLE_ID=0"], &bad("its consensus_id is null"));
    check(&["VERSION=0"], &bad("its version is null"));
    check(&["VERSION=\"\\xff\""], &bad("its version is not UTF-8"));
    check(
        &["TABLE_ID=\"other/1\""],
        &bad("it says other/1, the note says bent/1"),
    );
}

#[test]
fn a_library_that_misses_another() {
    let folder = folder();
    let path = c_plugin(folder.path(), "table", &["NEEDS"]);
    let message = refusal(spec(&path));
    let start = format!("the system cannot load the consensus plugin {}: ", path.display());
    assert!(message.starts_with(&start), "{message}");
    assert!(message.contains("a_function_that_nobody_defines"), "{message}");
    assert!(
        message.ends_with("; install the libraries that it needs, or build it for this system"),
        "{message}"
    );
}

/// Compiles a library that leaves a mark when any of its code runs.
fn marking(folder: &Path, definitions: &[&str]) -> (PathBuf, PathBuf) {
    let mark = folder.join("mark");
    let definition = format!("MARK=\"{}\"", mark.display());
    let definitions: Vec<&str> = definitions.iter().copied().chain([definition.as_str()]).collect();
    (c_plugin(folder, "table", &definitions), mark)
}

#[test]
fn no_code_runs_before_the_checks() {
    for definitions in [
        &["NO_NOTE"][..],
        &["NOTE_MAJOR=2"],
        &["NOTE_SCHEMA=9"],
        &["NO_TABLE"],
        &["TINY_TABLE"],
    ] {
        let folder = folder();
        let (path, mark) = marking(folder.path(), definitions);
        refusal(spec(&path));
        assert!(!mark.exists(), "{definitions:?}: its constructor ran");
    }
    let folder = folder();
    let (path, mark) = marking(folder.path(), &[]);
    refusal(PluginSpec {
        pin: Some([0; 32]),
        ..spec(&path)
    });
    assert!(!mark.exists(), "a wrong pin: its constructor ran");
    PluginHandle::load(spec(&path)).unwrap();
    assert!(mark.exists(), "the mark works");
}

#[test]
fn a_pin_holds_the_file_to_its_hash() {
    let folder = folder();
    let path = c_plugin(folder.path(), "table", &[]);
    let hash = blake3::hash(&std::fs::read(&path).unwrap());
    let handle = PluginHandle::load(PluginSpec {
        pin: Some(*hash.as_bytes()),
        ..spec(&path)
    })
    .unwrap();
    assert_eq!(handle.info().blake3, *hash.as_bytes());
    let expected = "11".repeat(32);
    assert_eq!(
        refusal(PluginSpec {
            pin: Some([0x11; 32]),
            ..spec(&path)
        }),
        format!(
            "the consensus plugin {} has BLAKE3 hash {hash}, but the configuration pins {expected}; install the pinned file, or pin the new hash if the change is meant",
            path.display()
        )
    );
}

#[test]
fn what_was_checked_is_what_runs() {
    let folder = folder();
    let path = c_plugin(folder.path(), "table", &["VERSION=\"first\""]);
    let first = PluginHandle::load(spec(&path)).unwrap();
    let other = c_plugin(
        folder.path(),
        "table",
        &["VERSION=\"second\"", "NOTE_ID=\"other/2\""],
    );
    std::fs::copy(&other, &path).unwrap();
    let second = PluginHandle::load(spec(&path)).unwrap();
    assert_eq!(
        (first.info().version.as_str(), first.info().consensus_id.as_str()),
        ("first", "bent/1")
    );
    assert_eq!(
        (
            second.info().version.as_str(),
            second.info().consensus_id.as_str()
        ),
        ("second", "other/2")
    );
}

#[test]
fn a_well_formed_table_is_accepted_and_described() {
    let folder = folder();
    let path = c_plugin(folder.path(), "table", &["NOTE_MINOR=7"]);
    let handle = PluginHandle::load(spec(&path)).unwrap();
    let info = handle.info();
    assert_eq!(
        (
            info.path.as_path(),
            info.consensus_id.as_str(),
            info.version.as_str()
        ),
        (path.as_path(), "bent/1", "1.2.3")
    );
    assert_eq!(info.abi, (1, 7), "a later minor version is as good");
    assert_eq!(handle.status(), PluginStatus::Loaded);
    assert!(handle.pressure_writer().is_some());
    assert!(handle.pressure_writer().is_none(), "the record has one writer");
}
