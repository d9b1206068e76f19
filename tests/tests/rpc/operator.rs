//! What an operator has beside the node: `top`, completions, manual pages, logs for machines, an orderly end.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use millrace_tests::program;
use serde_json::Value;

use crate::process::{self, Running};
use crate::{documents, socket};

#[test]
fn top_shows_a_node_once_as_text_as_json_and_as_a_picture() {
    let chain = Running::start(&["--load", "transfer", "--rate", "100", "--block-interval-ms", "20"]);
    chain.metrics_after(10);
    let directory = tempfile::tempdir().unwrap();
    let svg = directory.path().join("top.svg");
    let top = ["top", "--once", "--interval-ms", "200", "--rpc", chain.url()];
    let before = process::json(&[&top[..], &["--json"]].concat());
    let text = process::text(&[&top[..], &["--svg", svg.to_str().unwrap()]].concat());
    let after = process::json(&[&top[..], &["--json"]].concat());
    let height = |model: &Value| model["stages"][1]["height"].as_u64().unwrap();
    assert!(height(&before) < height(&after), "{before} {after}");
    assert!(
        after["throughput"]["transactions"].as_f64().unwrap() > 0.0,
        "{after}"
    );
    assert!(
        after["engine"]["state_versions"].as_f64().unwrap() > 1.0,
        "/metrics is read: {after}"
    );
    assert_eq!(after["history"].as_array().unwrap().len(), 2);
    let timings = after["timings"].as_array().unwrap();
    assert_eq!(timings.len(), 4, "{after}");
    for timing in timings {
        let (mean, busy) = (timing["mean_ms"].as_f64(), timing["busy"].as_f64());
        assert!(
            mean > Some(0.0) && busy > Some(0.0) && busy <= Some(1.0),
            "{timing}"
        );
    }
    for part in [
        "heights",
        "stages of a block",
        "settlement lag",
        "of at most 4 blocks",
        "queue",
        "throughput",
        "pressure",
        "plugin solo/1",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    assert!(fs::read_to_string(svg).unwrap().starts_with("<svg "));
}

#[test]
fn top_says_what_is_missing() {
    let nobody = process::run(&["top", "--once", "--rpc", "http://127.0.0.1:1"]);
    let errors = String::from_utf8_lossy(&nobody.stderr);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(errors.contains("is the node running there?"), "{errors}");
    let no_terminal = process::run(&["top"]);
    let errors = String::from_utf8_lossy(&no_terminal.stderr);
    assert_eq!(no_terminal.status.code(), Some(1));
    assert!(
        errors.contains("top draws on a terminal") && errors.contains("--once"),
        "{errors}"
    );
}

/// As where a disk is full, or `| head` has read enough.
#[test]
fn stdout_that_takes_no_more_is_said_in_a_line() {
    let chain = Running::start(&["--block-interval-ms", "20"]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let configuration = crate::configuration::Configuration::new("");
    let config = configuration.file.to_str().unwrap();
    let top = ["top", "--once", "--samples", "1", "--rpc", chain.url()];
    let elf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/artifacts/counter.elf");
    let elf = elf.to_str().unwrap();
    let none = "0x7777777777777777777777777777777777777777777777777777777777777777";
    let at = ["--rpc", chain.url()];
    let trace = [&["contract", "trace", none, "--input", "0x"][..], &at].concat();
    let light = [
        &[
            "light",
            "get",
            "account",
            none,
            "--genesis",
            chain.ready["genesis_hash"].as_str().unwrap(),
        ][..],
        &at,
    ]
    .concat();
    for (arguments, json) in [
        (&top[..], true),
        (&["doctor", "--data-dir", path], true),
        (&["config", "show", "--config", config], true),
        (&["man"], false),
        (&["contract", "check", elf], true),
        (&trace, true),
        (&light, true),
    ] {
        for json in &[&[][..], &["--json"]][..1 + usize::from(json)] {
            let said = |stdout: Stdio| {
                let output = process::millrace(&[arguments, json].concat())
                    .stdout(stdout)
                    .output();
                let output = output.unwrap();
                let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                (output.status.code(), errors)
            };
            let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
            let (status, errors) = said(full.into());
            assert_eq!(status, Some(1), "{arguments:?}: {errors}");
            assert!(
                errors.starts_with("millrace: stdout: No space left on device"),
                "{arguments:?}: {errors}"
            );
            // Who read has seen enough: nothing has failed for that.
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            assert_eq!(said(writer.into()), said(Stdio::null()), "{arguments:?}");
        }
    }
}

/// `script` lends it a terminal.
#[test]
fn top_on_a_terminal_draws_and_leaves_it_as_it_was() {
    let by_key = |_: &Child, keys: &mut ChildStdin| keys.write_all(b"q").unwrap();
    watch_on_a_terminal(by_key);
    watch_on_a_terminal(|script, _| {
        let script = script.id();
        let top = fs::read_to_string(format!("/proc/{script}/task/{script}/children")).unwrap();
        let killed = Command::new("kill").args(["-TERM", top.trim()]).status().unwrap();
        assert!(killed.success(), "{top}");
    });
}

fn watch_on_a_terminal(end: impl Fn(&Child, &mut ChildStdin)) {
    let chain = Running::start(&["--block-interval-ms", "20"]);
    let command = format!(
        "stty cols 100 rows 30; exec {} top --rpc {} --interval-ms 100",
        program::millrace().display(),
        chain.url()
    );
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("TERM", "xterm-256color")
        .env_remove("MILLRACE_RPC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = child.stdin.take().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let mut seen = Vec::new();
    // Of what it draws once the node has answered.
    let is_drawn = |seen: &[u8]| String::from_utf8_lossy(seen).contains("finalized");
    while !is_drawn(&seen) {
        let mut bytes = [0; 4096];
        let count = std::io::Read::read(&mut screen, &mut bytes).unwrap();
        assert_ne!(count, 0, "it ended: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&bytes[..count]);
    }
    end(&child, &mut keys);
    std::io::Read::read_to_end(&mut screen, &mut seen).unwrap();
    assert!(child.wait().unwrap().success());
    let seen = String::from_utf8_lossy(&seen);
    let (entered, left) = (seen.rfind("\x1b[?1049h"), seen.rfind("\x1b[?1049l"));
    assert!(
        entered.is_some() && left > entered,
        "the screen of before comes back: {seen:?}"
    );
}

#[test]
fn completions_know_every_command() {
    let names: BTreeSet<String> = documents::all_commands();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = process::text(&["completions", shell]);
        for word in names.iter().flat_map(|command| command.split(' ')) {
            assert!(text.contains(word), "{shell}: no {word}");
        }
    }
    let bash = process::text(&["completions", "bash"]);
    let mut child = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bash.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let directory = tempfile::tempdir().unwrap();
    process::text(&["man", "--out", directory.path().to_str().unwrap()]);
    let commands = documents::all_commands();
    assert!(commands.len() > 20);
    for command in &commands {
        let page = directory
            .path()
            .join(format!("millrace-{}.1", command.replace(' ', "-")));
        let text = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{command}: {error}"));
        assert!(
            text.contains(".TH ") && text.contains("\\-\\-help"),
            "{command}: {text}"
        );
    }
    let first = process::text(&["man"]);
    for command in commands.iter().filter_map(|command| command.split(' ').next()) {
        assert!(
            first.contains(&format!("millrace\\-{command}(1)")),
            "no {command}"
        );
    }
}

/// docs/operating.md says what a line has.
#[test]
fn logs_for_machines_are_an_object_a_line() {
    let plugin = program::solo_plugin();
    let dev = [
        "dev",
        "--txs",
        "0",
        "--log",
        "info",
        "--log-json",
        "--rpc-listen",
        "127.0.0.1:0",
        "--plugin",
    ];
    let ended = process::run(&[&dev[..], &[plugin.to_str().unwrap()]].concat());
    assert!(ended.status.success());
    let errors = String::from_utf8(ended.stderr).unwrap();
    assert!(errors.lines().count() > 0);
    for line in errors.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level", "target"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
        assert!(line["fields"]["message"].is_string(), "{line}");
        let time = line["timestamp"].as_str().unwrap();
        assert!(
            time.len() >= 20 && time.contains('T') && time.ends_with('Z'),
            "{time}"
        );
    }
}

#[test]
fn a_signal_ends_a_node_in_order_and_it_goes_on_from_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let sequencer = crate::sequencer::key(0);
    let mut spec = crate::contracts::spec();
    spec.consensus.id = "solo/1".to_owned();
    spec.consensus.parameters = sequencer.public_key().0.to_vec();
    fs::write(
        directory.path().join("chain-spec.json"),
        serde_json::to_string(&spec).unwrap(),
    )
    .unwrap();
    let secret: String = sequencer
        .to_seed()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let config = directory.path().join("node.toml");
    let text = format!(
        "version = 1\nchain_spec = \"chain-spec.json\"\ndata_directory = \".\"\n[rpc]\nlisten = \"127.0.0.1:0\"\n\
         [plugin]\npath = \"{}\"\nconfig = {{ secret_key = \"0x{secret}\", block_interval_ms = 20, empty_blocks = \"always\" }}\n",
        program::solo_plugin().display()
    );
    fs::write(&config, text).unwrap();
    let mut last = 0;
    for signal in ["TERM", "INT"] {
        let node = Running::node(&config);
        // Somebody who listens and does not read holds nothing up.
        let mut subscriber = socket::WebSocket::open(node.address(), "").unwrap();
        subscriber.call(1, "millrace_subscribe", &serde_json::json!(["executed"]));
        let height = node.blocks_after(last + 3);
        assert!(height > last);
        last = height;
        node.signal(signal);
        node.end();
    }
    let (status, said) = crate::doctor::doctor(&["--data-dir", path]);
    assert_eq!(status, Some(0), "{said}");
}
