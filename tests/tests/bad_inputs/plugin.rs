//! Plugins that a node does not take, or that do not take their node. What hides deeper in a shared object (notes, tables,
//! panics) is in `consensus-plugins/host/tests`.

use std::fs;
use std::path::Path;

use millrace_tests::program;
use millrace_types::ChainSpec;

use super::config::spec;
use super::process::refusal;
use super::{Case, case, check};

/// This machine in words, and its code in ELF files.
const MACHINE: (&str, &str) = if cfg!(target_arch = "x86_64") {
    ("x86-64 Linux", "not 62")
} else {
    ("aarch64 Linux", "not 183")
};

/// Stands for the machine: `{machine}`, `{code}`.
fn dev(directory: &Path, plugin: &str) -> Result<(), String> {
    let arguments = [
        "dev",
        "--json",
        "--rpc-listen",
        "127.0.0.1:0",
        "--txs",
        "0",
        "--plugin",
        plugin,
    ];
    refusal(&arguments, directory).map_or(Ok(()), |said| {
        Err(said
            .replace(MACHINE.0, "{machine}")
            .replace(MACHINE.1, "not {code}"))
    })
}

#[test]
fn the_solo_plugin_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    dev(directory.path(), program::solo_plugin().to_str().unwrap()).unwrap();
}

/// A development chain with a plugin that `make` puts at the path it gets.
fn file(name: &'static str, make: fn(&Path), expected: &'static str) -> Case {
    let load = move || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plugin.so");
        make(&path);
        dev(directory.path(), path.to_str().unwrap())
    };
    case(name, load, expected)
}

/// The solo plugin's bytes, changed.
fn changed(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(program::solo_plugin()).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// The place of its note's descriptor: ABI version, schema, consensus id.
fn descriptor(bytes: &[u8]) -> usize {
    const NAME: &[u8] = b"\x09\0\0\0\x40\0\0\0\x01\0\0\0Millrace\0\0\0\0";
    let at = bytes.windows(NAME.len()).position(|window| window == NAME);
    at.expect("the plugin has a note") + NAME.len()
}

fn file_cases() -> Vec<Case> {
    vec![
        file(
            "plugin: no such file",
            |_| {},
            "cannot read the consensus plugin {dir}/plugin.so: No such file or directory (os error 2); check the path and its permissions",
        ),
        file(
            "plugin: a directory",
            |path| fs::create_dir(path).unwrap(),
            "{dir}/plugin.so is no consensus plugin: it is a folder; give the path of the plugin's shared object (.so)",
        ),
        file(
            "plugin: an empty file",
            |path| fs::write(path, "").unwrap(),
            "{dir}/plugin.so is no shared object for this machine: it is not an ELF file; build the plugin as a cdylib (or with cc -shared -fPIC) for {machine}",
        ),
        file(
            "plugin: a text",
            |path| fs::write(path, "#!/bin/sh\necho consensus\n").unwrap(),
            "{dir}/plugin.so is no shared object for this machine: it is not an ELF file; build the plugin as a cdylib (or with cc -shared -fPIC) for {machine}",
        ),
        file(
            "plugin: an ELF header and no more",
            |path| changed(path, |bytes| bytes.truncate(64)),
            "{dir}/plugin.so is no shared object for this machine: it is a damaged ELF file (Invalid ELF program header size or alignment); build the plugin as a cdylib (or with cc -shared -fPIC) for {machine}",
        ),
        file(
            "plugin: cut in half",
            |path| changed(path, |bytes| bytes.truncate(bytes.len() / 2)),
            "{dir}/plugin.so is no shared object for this machine: it is a damaged ELF file (Invalid ELF section header offset/size/alignment); build the plugin as a cdylib (or with cc -shared -fPIC) for {machine}",
        ),
        file(
            "plugin: for another architecture",
            |path| changed(path, |bytes| bytes[18] = 243),
            "{dir}/plugin.so is no shared object for this machine: it is built for ELF machine 243, not {code}; build the plugin as a cdylib (or with cc -shared -fPIC) for {machine}",
        ),
        file(
            "plugin: no shared object",
            |path| changed(path, |bytes| bytes[16] = 2),
            "{dir}/plugin.so is no shared object for this machine: its ELF type is 2, not 3 (shared object); build the plugin as a cdylib (or with cc -shared -fPIC) for {machine}",
        ),
        file(
            "plugin: a program",
            |path| {
                fs::copy(program::millrace(), path).unwrap();
            },
            "{dir}/plugin.so is a shared object but no Millrace plugin: it has no .note.millrace section; export the plugin with export_plugin! of millrace-plugin-sdk, or MILLRACE_PLUGIN_NOTE of millrace_plugin.h",
        ),
        file(
            "plugin: a contract",
            |path| {
                let token = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/artifacts/token.elf");
                fs::copy(token, path).unwrap();
            },
            "{dir}/plugin.so is no shared object for this machine: it is built for ELF machine 243, not {code}; build the plugin as a cdylib (or with cc -shared -fPIC) for {machine}",
        ),
        file(
            "plugin: for another ABI",
            |path| {
                changed(path, |bytes| {
                    let at = descriptor(bytes);
                    bytes[at] = 2;
                })
            },
            "the consensus plugin {dir}/plugin.so is built for plugin ABI 2.0, but this node speaks 1.0; rebuild the plugin with millrace-plugin-sdk of ABI 1, or run a node of ABI 2",
        ),
        file(
            "plugin: for other blocks",
            |path| {
                changed(path, |bytes| {
                    let at = descriptor(bytes);
                    bytes[at + 4] = 9;
                })
            },
            "the consensus plugin {dir}/plugin.so reads blocks of schema 9, but this node writes schema 1; rebuild the plugin with the millrace-plugin-sdk of this node's release",
        ),
        file(
            "plugin: of another consensus",
            |path| {
                changed(path, |bytes| {
                    let at = descriptor(bytes);
                    bytes[at + 8..at + 14].copy_from_slice(b"duet/2");
                })
            },
            "the consensus plugin {dir}/plugin.so is duet/2, but the chain spec names solo/1; configure the plugin for solo/1, or the chain that runs duet/2",
        ),
        file(
            "plugin: its note and its table differ",
            |path| {
                changed(path, |bytes| {
                    let name = b"solo/1\0";
                    let note = descriptor(bytes) + 8;
                    let others: Vec<usize> = (0..bytes.len() - name.len())
                        .filter(|at| *at != note && bytes[*at..].starts_with(name))
                        .collect();
                    assert!(!others.is_empty(), "the table names the consensus too");
                    others.iter().for_each(|at| bytes[*at] = b'S');
                })
            },
            "the consensus plugin {dir}/plugin.so exports a damaged table: it says Solo/1, the note says solo/1; rebuild it with millrace-plugin-sdk or millrace_plugin.h of ABI 1.0",
        ),
    ]
}

/// A node whose configuration has this in `[plugin]`.
fn node(name: &'static str, more: &'static str, expected: &'static str) -> Case {
    let start = move || {
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        let solo = program::solo_plugin();
        let text = format!(
            "version = 1\nchain_spec = \"spec.json\"\ndata_directory = \"data\"\n\
            [rpc]\nlisten = \"127.0.0.1:0\"\n[plugin]\npath = \"{}\"\n{more}\n",
            solo.display()
        );
        fs::write(path("node.toml"), text).unwrap();
        fs::write(path("spec.json"), spec().to_string()).unwrap();
        let hash = blake3::hash(&fs::read(&solo).unwrap()).to_string();
        let said = refusal(&["node", "--config", "node.toml"], directory.path());
        said.map_or(Ok(()), |said| Err(said.replace(&hash, "{hash}")))
    };
    case(name, start, expected)
}

fn node_cases() -> Vec<Case> {
    vec![
        node(
            "plugin: another file than the pinned one",
            "blake3 = \"1111111111111111111111111111111111111111111111111111111111111111\"",
            "the consensus plugin {solo} has BLAKE3 hash {hash}, but the configuration pins 1111111111111111111111111111111111111111111111111111111111111111; install the pinned file, or pin the new hash if the change is meant",
        ),
        node(
            "plugin: no configuration",
            "",
            "the consensus plugin solo/1 ({solo}) refuses its configuration: invalid type: null, expected an object with a secret_key at line 1 column 4; the configuration is JSON: {\"secret_key\": \"0x…\", \"block_interval_ms\": 1000, \"empty_blocks\": \"when_needed\" or \"always\"}",
        ),
        node(
            "plugin: a configuration that is a number",
            "config = 7",
            "the consensus plugin solo/1 ({solo}) refuses its configuration: invalid type: integer `7`, expected an object with a secret_key at line 1 column 1; the configuration is JSON: {\"secret_key\": \"0x…\", \"block_interval_ms\": 1000, \"empty_blocks\": \"when_needed\" or \"always\"}",
        ),
        node(
            "plugin: an unknown key in its configuration",
            "config = { secret = \"0x12\" }",
            "the consensus plugin solo/1 ({solo}) refuses its configuration: unknown field `secret`, expected one of `secret_key`, `block_interval_ms`, `empty_blocks` at line 1 column 9; the configuration is JSON: {\"secret_key\": \"0x…\", \"block_interval_ms\": 1000, \"empty_blocks\": \"when_needed\" or \"always\"}",
        ),
        node(
            "plugin: a key too short",
            "config = { secret_key = \"0x12\" }",
            "the consensus plugin solo/1 ({solo}) refuses its configuration: secret_key is not 32 bytes of hexadecimal with 0x in front",
        ),
        node(
            "plugin: the key of somebody else",
            "config = { secret_key = \"0x1111111111111111111111111111111111111111111111111111111111111111\" }",
            "the consensus plugin solo/1 ({solo}) refuses its configuration: secret_key belongs to 0xd04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737, but the chain spec's sequencer is 0x8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c; configure the sequencer's key",
        ),
        node(
            "plugin: an interval of days",
            "config = { secret_key = \"0x0101010101010101010101010101010101010101010101010101010101010101\", block_interval_ms = 3600001 }",
            "the consensus plugin solo/1 ({solo}) refuses its configuration: block_interval_ms is 3600001, at most 3600000 (an hour) makes sense",
        ),
    ]
}

/// A chain whose blocks become final deeper than this node keeps them: the node says how much that is, the plugin refuses.
#[test]
fn a_depth_to_finality_that_the_node_does_not_keep() {
    let directory = tempfile::tempdir().unwrap();
    let mut spec: ChainSpec = serde_json::from_value(spec()).unwrap();
    spec.consensus.id = "longest-chain/1".to_owned();
    fs::write(
        directory.path().join("spec.json"),
        serde_json::to_vec(&spec).unwrap(),
    )
    .unwrap();
    let text = format!(
        "version = 1\nchain_spec = \"spec.json\"\ndata_directory = \"data\"\n[rpc]\nlisten = \"127.0.0.1:0\"\n\
        [engine]\nmax_unfinalized_blocks = 100\n[plugin]\npath = \"{}\"\n\
        config = {{ secret_key = \"0x{}\", finality_depth = 97 }}\n",
        program::longest_chain_plugin().display(),
        "01".repeat(32)
    );
    fs::write(directory.path().join("node.toml"), text).unwrap();
    let said = refusal(&["node", "--config", "node.toml"], directory.path()).expect("it is refused");
    let expected = "refuses its configuration: finality_depth = 97 and max_receipt_lag = 4 keep up to 101 blocks above finality; \
        this node keeps 100 (engine.max_unfinalized_blocks): lower finality_depth, or raise that to 101 and more for side branches";
    assert!(said.ends_with(expected), "{said}");
}

pub fn cases() -> Vec<Case> {
    let mut cases = file_cases();
    cases.extend(node_cases());
    cases
}

#[test]
fn plugins() {
    check("plugin", 20, &cases());
}
