//! The states that a node keeps, looked at, exported and imported by the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millrace_tests::program::{millrace, solo_plugin};
use serde_json::{Value, json};

use crate::chain::Chain;

fn run(arguments: &[&str]) -> Output {
    Command::new(millrace()).args(arguments).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The JSON of a command that succeeds.
fn json(arguments: &[&str]) -> Value {
    let output = run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

/// What a command that fails says.
fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.starts_with("millrace: ") && !errors.contains("panicked"),
        "{errors}"
    );
    errors
}

/// Runs a development chain until its work is done; gives the state root at the end.
fn chain(directory: &Path, transactions: u32) -> (u64, String) {
    let output = run(&[
        "dev",
        "--data-dir",
        text(directory),
        "--plugin",
        text(&solo_plugin()),
        "--rpc-listen",
        "127.0.0.1:0",
        "--seed",
        "7",
        "--load",
        "token",
        "--txs",
        &transactions.to_string(),
        "--json",
    ]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let summary: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    let height = summary["heights"]["executed"].as_u64();
    let root = summary["last_root"].as_str().map(str::to_owned);
    (
        height.unwrap_or_else(|| panic!("{summary}")),
        root.unwrap_or_else(|| panic!("{summary}")),
    )
}

/// What is in a directory, by name.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Log files of a directory of states, oldest first.
fn logs(states: &Path) -> Vec<PathBuf> {
    let mut logs = files(states);
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs
}

#[test]
fn states_are_checked_exported_and_imported() {
    let work = tempfile::tempdir().unwrap();
    let data = work.path().join("data");
    chain(&data, 60);
    // A second run goes on from what was kept.
    let (height, root) = chain(&data, 20);

    let report = json(&["state", "check", text(&data), "--json"]);
    assert_eq!(report["damage"], serde_json::json!([]), "{report}");
    let versions = report["versions"].as_array().unwrap();
    assert!(versions.iter().all(|version| version["condition"] == "whole"));
    // Blocks without transactions may have come behind the summary.
    let newest = versions.last().unwrap();
    let last = newest["height"].as_u64().unwrap();
    assert!(last >= height && versions.len() as u64 == last + 1, "{report}");
    assert_eq!(newest["root"].as_str(), Some(&*root));

    // The state alone, as a stream.
    let file = work.path().join("state");
    let kept = data.join("state");
    let exported = json(&["state", "export", text(&kept), "--out", text(&file), "--json"]);
    assert_eq!(exported["root"].as_str(), Some(&*root));
    let states = work.path().join("copy");
    let import = [
        "state",
        "import",
        text(&file),
        text(&states),
        "--root",
        &root,
        "--json",
    ];
    assert_eq!(json(&import), exported);
    let copied = json(&["state", "check", text(&states), "--json"]);
    assert_eq!(copied["versions"].as_array().unwrap().len(), 1);
    assert_eq!(copied["versions"][0]["root"].as_str(), Some(&*root));
    let again = work.path().join("again");
    let second = json(&["state", "export", text(&states), "--out", text(&again), "--json"]);
    assert_eq!(second, exported);
    assert!(std::fs::read(&again).unwrap() == std::fs::read(&file).unwrap());

    // Any height that is kept.
    let old = work.path().join("old");
    let exported = json(&[
        "state",
        "export",
        text(&kept),
        "--out",
        text(&old),
        "--height",
        "0",
        "--json",
    ]);
    assert_eq!(exported["height"], 0);

    // Nothing is overwritten, nothing believed.
    assert!(refused(&import).contains("not empty"));
    let message = refused(&["state", "export", text(&kept), "--out", text(&file)]);
    assert!(message.contains("exists"), "{message}");
    let message = refused(&[
        "state",
        "export",
        text(&kept),
        "--out",
        text(&work.path().join("x")),
        "--height",
        "999999",
    ]);
    assert!(message.contains("there are 0 to"), "{message}");
    let elsewhere = work.path().join("elsewhere");
    let other = format!("0x{}", "11".repeat(32));
    let message = refused(&["state", "import", text(&file), text(&elsewhere), "--root", &other]);
    assert!(message.contains("root"), "{message}");
    let mut stream = std::fs::read(&file).unwrap();
    let middle = stream.len() / 2;
    stream[middle] ^= 1;
    std::fs::write(&file, stream).unwrap();
    let message = refused(&["state", "import", text(&file), text(&elsewhere), "--root", &root]);
    assert!(
        message.contains("chunk") && message.contains("fetch it again"),
        "{message}"
    );
    assert!(!elsewhere.exists(), "nothing is left of it");
    let message = refused(&["state", "check", text(&elsewhere)]);
    assert!(message.contains("data directory"), "{message}");
    let message = refused(&["state", "check", text(work.path())]);
    assert!(message.contains("holds no states"), "{message}");

    // Damage is named, by the check and by a node.
    let log = logs(&data.join("state")).remove(0);
    let mut bytes = std::fs::read(&log).unwrap();
    let at = bytes.len() / 3;
    bytes[at] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let message = refused(&["state", "check", text(&data)]);
    assert!(message.contains("damaged"), "{message}");
    // And the ledger gives the states back.
    std::fs::remove_dir_all(data.join("state")).unwrap();
    chain(&data, 1);
    let report = json(&["state", "check", text(&data), "--json"]);
    let versions = report["versions"].as_array().unwrap();
    assert!(versions.contains(newest), "{report}");
}

#[test]
fn a_new_node_begins_with_an_exported_state() {
    let work = tempfile::tempdir().unwrap();
    let data = work.path().join("data");
    // So many blocks that something lies below what is exported, however far execution is behind.
    for _ in 0..4 {
        chain(&data, 30);
    }
    let (height, _) = chain(&data, 20);
    let file = work.path().join("chain");
    let export = ["state", "export", text(&data), "--out", text(&file), "--json"];
    let exported = json(&export);
    let block = exported["block"]["hash"].as_str().unwrap().to_owned();
    let last = exported["block"]["height"].as_u64().unwrap();
    assert!(last >= height, "{exported}");
    let spec = data.join("chain-spec.json");
    let new = work.path().join("new");
    let import = |file: &Path, to: &Path, block: &str, spec: &Path| {
        let arguments = [
            "state",
            "import",
            text(file),
            text(to),
            "--block",
            block,
            "--chain-spec",
            text(spec),
            "--json",
        ];
        run(&arguments)
    };
    let imported = import(&file, &new, &block, &spec);
    assert!(
        imported.status.success(),
        "{}",
        String::from_utf8_lossy(&imported.stderr)
    );
    let imported: Value = serde_json::from_slice(&imported.stdout).unwrap();
    assert_eq!(imported, exported);

    // It goes on where the old one stopped, and comes to the same.
    let (after, root) = chain(&new, 40);
    assert!(after > last, "{after}");
    assert_eq!(
        chain(&data, 40).1,
        root,
        "the same transactions on the same state"
    );
    let report = json(&["state", "check", text(&new), "--json"]);
    let lowest = report["versions"][0]["height"].as_u64();
    assert_eq!(lowest, exported["height"].as_u64(), "nothing before was executed");
    // What was exported of the new one is of use as well; what it never had, it says so.
    let second = work.path().join("second");
    json(&["state", "export", text(&new), "--out", text(&second), "--json"]);
    let third = work.path().join("third");
    let message = refused(&[
        "state",
        "export",
        text(&new),
        "--out",
        text(&third),
        "--height",
        "1",
    ]);
    assert!(message.contains("height"), "{message}");
    std::fs::remove_dir_all(new.join("state")).unwrap();
    let message = refused(&[
        "dev",
        "--data-dir",
        text(&new),
        "--plugin",
        text(&solo_plugin()),
        "--rpc-listen",
        "127.0.0.1:0",
        "--seed",
        "7",
        "--txs",
        "1",
        "--load",
        "token",
    ]);
    assert!(message.contains("import the state again"), "{message}");

    // Nothing that is wrong is taken, and nothing is left of it.
    let elsewhere = work.path().join("elsewhere");
    let wrong = |file: &Path, block: &str, spec: &Path| {
        let output = import(file, &elsewhere, block, spec);
        assert_eq!(output.status.code(), Some(1));
        assert!(!elsewhere.exists(), "{:?}", files(&elsewhere));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(
            message.starts_with("millrace: ") && !message.contains("panicked"),
            "{message}"
        );
        message
    };
    let other = format!("0x{}", "11".repeat(32));
    assert!(wrong(&file, &other, &spec).contains("trusted"));
    assert!(wrong(&file, &block, &file).contains("chain spec"));
    let bytes = std::fs::read(&file).unwrap();
    let state = bytes
        .windows(16)
        .position(|window| window == b"millrace-state/1")
        .unwrap();
    let forged = work.path().join("forged");
    let said = |bytes: Vec<u8>| {
        std::fs::write(&forged, bytes).unwrap();
        wrong(&forged, &block, &spec)
    };
    assert!(said(bytes[state..].to_vec()).contains("a state alone"));
    assert!(said(bytes[..state / 2].to_vec()).contains("ends within its blocks"));
    assert!(said(bytes[..state].to_vec()).contains("stream"));
    assert!(said(bytes[..bytes.len() - 9].to_vec()).contains("stream"));
    assert!(said([&bytes[..], b"x"].concat()).contains("behind"));
    // Id, genesis, height, root of the state; a value.
    for at in [state + 16, state + 48, state + 80, state + 88, bytes.len() - 1] {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        said(bytes);
    }
    for at in (0..state).step_by(state / 40) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        // Certificates are for whoever verifies consensus; the dev chain's are of the last bytes of each block.
        std::fs::write(&forged, &bytes).unwrap();
        let output = import(&forged, &elsewhere, &block, &spec);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
        assert_eq!(output.status.success(), elsewhere.exists());
        if elsewhere.exists() {
            std::fs::remove_dir_all(&elsewhere).unwrap();
        }
    }
    // No blocks are that long, and nobody waits for them.
    let mut long = bytes[..16].to_vec();
    long.extend([0xff; 8]);
    assert!(said(long).contains("more than"));
    // What is somebody's stays, whatever is wrong.
    let theirs = work.path().join("theirs");
    std::fs::create_dir_all(theirs.join("sub")).unwrap();
    std::fs::write(theirs.join("sub/photo"), "x").unwrap();
    std::os::unix::fs::symlink("/nowhere", work.path().join("link")).unwrap();
    let root = exported["root"].as_str().unwrap();
    std::fs::write(&forged, &bytes[state..bytes.len() - 9]).unwrap();
    for file in [&forged, &file] {
        for place in [&theirs, &work.path().join("link"), &work.path().join("a/b")] {
            refused(&["state", "import", text(file), text(place), "--root", root]);
            assert_eq!(import(file, place, &block, &spec).status.code(), Some(1));
        }
    }
    assert_eq!(std::fs::read(theirs.join("sub/photo")).unwrap(), b"x");
    assert!(work.path().join("link").is_symlink() && !work.path().join("a").exists());
    // An empty directory is taken, and the state alone out of a file with blocks.
    let empty = work.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    json(&[
        "state",
        "import",
        text(&file),
        text(&empty),
        "--root",
        root,
        "--json",
    ]);
    json(&["state", "check", text(&empty), "--json"]);
    let left = files(work.path());
    assert!(
        left.iter().all(|path| !text(path).contains("import")),
        "nothing is left of what went wrong: {left:?}"
    );
    // Not into a place that is somebody's.
    let message = String::from_utf8(import(&file, &data, &block, &spec).stderr).unwrap();
    assert!(message.contains("not empty"), "{message}");
    assert!(data.join("ledger.redb").exists());
}

#[test]
fn a_ledger_is_replayed_from_genesis_and_from_the_file_that_a_node_began_with() {
    let work = tempfile::tempdir().unwrap();
    let data = work.path().join("data");
    for _ in 0..4 {
        chain(&data, 30);
    }
    let file = work.path().join("chain");
    let exported = json(&["state", "export", text(&data), "--out", text(&file), "--json"]);
    let new = work.path().join("new");
    let spec = data.join("chain-spec.json");
    json(&[
        "state",
        "import",
        text(&file),
        text(&new),
        "--block",
        exported["block"]["hash"].as_str().unwrap(),
        "--chain-spec",
        text(&spec),
        "--json",
    ]);
    let (_, root) = chain(&new, 40);

    let whole = json(&["replay", text(&data), "--check", "--json"]);
    assert_eq!(
        (&whole["from"]["height"], &whole["last"]["height"]),
        (&0.into(), &whole["blocks"])
    );
    let part = json(&["replay", text(&data), "--check", "--from", text(&file), "--json"]);
    assert_eq!((&part["last"], &part["root"]), (&whole["last"], &whole["root"]));
    assert_eq!(part["from"]["height"], exported["height"]);

    let message = refused(&["replay", text(&new), "--check"]);
    assert!(message.contains("above an imported state"), "{message}");
    let replayed = json(&["replay", text(&new), "--check", "--from", text(&file), "--json"]);
    assert_eq!(replayed["from"]["height"], exported["height"]);
    assert_eq!(
        replayed["root"].as_str(),
        Some(&*root),
        "as the node that ran has it"
    );
    assert_eq!(replayed["without_receipt"], 0);

    // A file that is not of this chain, or not of a chain at all.
    let other = work.path().join("other");
    let output = run(&[
        "dev",
        "--data-dir",
        text(&other),
        "--plugin",
        text(&solo_plugin()),
        "--rpc-listen",
        "127.0.0.1:0",
        "--seed",
        "8",
        "--blocks",
        "40",
        "--json",
    ]);
    assert!(output.status.success());
    let message = refused(&["replay", text(&other), "--check", "--from", text(&file)]);
    assert!(
        message.contains("not of the ledger's chain") || message.contains("give a file that ends"),
        "{message}"
    );
    let state = work.path().join("state");
    json(&[
        "state",
        "export",
        text(&data.join("state")),
        "--out",
        text(&state),
        "--json",
    ]);
    let message = refused(&["replay", text(&data), "--check", "--from", text(&state)]);
    assert!(message.contains("a state alone"), "{message}");
    let message = refused(&[
        "replay",
        text(&work.path().join("nowhere")),
        "--check",
        "--chain-spec",
        text(&spec),
    ]);
    assert!(message.contains("give a node's data directory"), "{message}");
    assert_eq!(
        run(&["replay", text(&data)]).status.code(),
        Some(2),
        "--check is wanted"
    );
}

/// Whether the ledger of a data directory has to be walked through as a whole before it can be used.
fn needs_repair(directory: &Path) -> bool {
    let copy = directory.join("copy.redb");
    std::fs::copy(directory.join("ledger.redb"), &copy).unwrap();
    let was_repaired = Arc::new(AtomicBool::new(false));
    let repaired = Arc::clone(&was_repaired);
    drop(
        redb::Builder::new()
            .set_repair_callback(move |_| repaired.store(true, Ordering::SeqCst))
            .open(&copy)
            .unwrap(),
    );
    was_repaired.load(Ordering::SeqCst)
}

#[test]
fn a_stop_in_order_leaves_a_ledger_that_the_next_start_need_not_walk() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let fixed = ["--seed", "51", "--block-interval-ms", "20", "--data-dir", place];
    let load = ["--blocks", "10", "--load", "transfer", "--rate", "100"];
    let summary = Chain::start(&[&fixed[..], &load].concat()).finish();
    assert_eq!(summary["event"], "summary", "{summary}");
    assert!(!needs_repair(directory.path()));
    // One that is killed does, so that the question means something.
    let load = ["--load", "transfer", "--rate", "100", "--txs", "100000"];
    let chain = Chain::start(&[&fixed[..], &load].concat());
    let mut rpc = chain.rpc();
    rpc.wait("more blocks", |rpc| {
        let executed = rpc.call("status", json!([]))["heights"]["executed"].as_u64();
        (executed > Some(20)).then_some(())
    });
    chain.kill();
    assert!(needs_repair(directory.path()));
}
