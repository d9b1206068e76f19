//! What the documents say and what the code does, compared both ways: errors, methods, metrics, commands, keys of the
//! configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use millrace_rpc::error::ErrorName;
use serde_json::{Value, json};

use crate::node::Node;
use crate::process::{self, Running};
use crate::socket;

pub fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the tables under a heading, as cells.
pub fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = text.split_once(&format!("\n{heading}\n")).expect(heading);
    let section = section.split("\n## ").next().unwrap();
    section
        .lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("|---"))
        .map(|line| {
            let line = line.trim_matches('|').replace("\\|", "\u{0}");
            line.split('|')
                .map(|cell| cell.replace('\u{0}', "|").trim().to_owned())
                .collect()
        })
        .collect()
}

/// What stands between backticks.
pub fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_error_is_documented_with_its_code_and_no_other() {
    let text = document("spec/rpc.md");
    let mut documented = BTreeSet::new();
    for row in rows(&text, "## Errors").iter().skip(1) {
        let code: i32 = row[0].parse().unwrap();
        for name in quoted(&row[1]) {
            let name = name.split(' ').next().unwrap();
            if name.starts_with(char::is_uppercase) {
                assert!(
                    documented.insert((name.to_owned(), code)),
                    "{name} stands there twice"
                );
            }
        }
    }
    let known: BTreeSet<(String, i32)> = ErrorName::ALL
        .iter()
        .map(|name| (name.as_str().to_owned(), name.code()))
        .collect();
    assert_eq!(documented, known);
}

/// What a method takes, in its own words: it refuses a parameter that nobody has.
pub fn parameters(node: &Node, method: &str) -> String {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "?": 0 } });
    let answer = socket::post(&node.address, &body.to_string());
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(answer["error"]["code"], -32602, "{method}: {answer}");
    let message = answer["error"]["message"].as_str().unwrap();
    let (_, usage) = message.rsplit_once("; it takes ").expect(message);
    usage.to_owned()
}

#[test]
fn every_method_is_documented_with_its_parameters_and_no_other() {
    let node = Node::new();
    let text = document("spec/rpc.md");
    let mut documented = BTreeSet::new();
    for row in rows(&text, "## Methods").iter().skip(1) {
        let method = quoted(&row[0])[0];
        documented.insert(method.to_owned());
        let takes: Vec<String> = row[1]
            .split(';')
            .filter(|parameter| !parameter.is_empty())
            .map(|parameter| {
                let name = quoted(parameter)[0];
                let is_optional = parameter.ends_with("optional") || parameter.contains("(default)");
                if is_optional {
                    format!("`{name}` (optional)")
                } else {
                    format!("`{name}`")
                }
            })
            .collect();
        let takes = if takes.is_empty() {
            "none".to_owned()
        } else {
            takes.join(", ")
        };
        assert_eq!(parameters(&node, method), takes, "{method}");
    }
    assert_eq!(documented, node.methods);
}

/// Name and kind of every metric on a page; each must be described.
fn exposed(page: &str) -> BTreeMap<String, String> {
    let mut kinds = BTreeMap::new();
    for line in page.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["#", "TYPE", name, kind] => {
                kinds.insert((*name).to_owned(), (*kind).to_owned());
            }
            ["#", ..] | [""] | [] => {}
            [sample, ..] => {
                let name = sample.split('{').next().unwrap();
                let of = |suffix| kinds.contains_key(name.strip_suffix(suffix).unwrap_or(name));
                assert!(
                    of("_bucket") || of("_sum") || of("_count"),
                    "a sample without a type: {line}"
                );
            }
        }
    }
    for name in kinds.keys().filter(|name| !name.starts_with("millrace_plugin_")) {
        assert!(
            page.contains(&format!("# HELP {name} ")),
            "{name} is not described"
        );
    }
    kinds
}

#[test]
fn every_metric_of_a_loaded_node_is_documented_and_no_other() {
    let chain = Running::start(&["--load", "transfer", "--rate", "200", "--block-interval-ms", "20"]);
    let page = chain.metrics_after(20);
    let text = format!("\n{}", document("metrics.md"));
    let documented: BTreeMap<String, String> = rows(&text, "# Metrics of a node")
        .iter()
        .skip(1)
        .map(|row| (quoted(&row[0])[0].to_owned(), row[1].clone()))
        .filter(|(name, _)| !name.ends_with('…'))
        .collect();
    let (plugin, node): (BTreeMap<_, _>, BTreeMap<_, _>) = exposed(&page)
        .into_iter()
        .partition(|(name, _)| name.starts_with("millrace_plugin_"));
    assert_eq!(node, documented);
    assert!(plugin.len() >= 2);
    for (name, kind) in plugin {
        assert!(
            text.contains(&format!("`{name}` ({kind}, ")),
            "{name} is not documented as a {kind}"
        );
    }
    assert!(
        page.contains("millrace_rpc_requests_total{method=\"millrace_sendTransaction\",outcome=\"ok\"} ")
    );
    chain.signal("TERM");
    assert!(chain.summary()["transactions_executed"].as_u64().unwrap() > 20);
}

/// A view that sees them for the first time would take all that a node did before for what it did since.
#[test]
fn times_of_stages_are_there_before_any_block() {
    let chain = Running::start(&["--block-interval-ms", "60000"]);
    let page = crate::socket::get(chain.address(), "/metrics").body;
    for stage in ["execute", "root", "persist", "keep"] {
        let none = format!("millrace_stage_seconds_count{{stage=\"{stage}\"}} 0\n");
        assert!(page.contains(&none), "no {none} in {page}");
    }
}

/// The long options that a command's `--help` lists.
fn options_of(command: &[&str]) -> BTreeSet<String> {
    let help = process::text(&[command, &["--help"]].concat());
    help.lines()
        .filter_map(|line| {
            let line = line.trim_start();
            let option = line
                .strip_prefix("-h, ")
                .or(line.strip_prefix("-V, "))
                .unwrap_or(line);
            option
                .starts_with("--")
                .then(|| option.split([' ', ',']).next().unwrap().to_owned())
        })
        .collect()
}

/// The leaves of the tree of commands below `command`.
fn commands_below(command: &[String], leaves: &mut BTreeSet<String>) {
    let arguments: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
    let help = process::text(&arguments);
    let Some((_, list)) = help.split_once("\nCommands:\n") else {
        leaves.insert(command.join(" "));
        return;
    };
    let list = list.split("\n\n").next().unwrap();
    for name in list.lines().filter_map(|line| line.strip_prefix("  ")) {
        let name = name.split(' ').next().unwrap();
        if !name.is_empty() && name != "help" {
            commands_below(&[command, &[name.to_owned()]].concat(), leaves);
        }
    }
}

/// Every command that does something, with those above it: `contract deploy`.
pub fn all_commands() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    commands_below(&[], &mut known);
    known
}

#[test]
fn every_command_and_option_is_documented_and_no_other() {
    let text = format!("\n{}", document("cli.md"));
    let common = ["--help", "--version", "--log", "--log-json"].map(str::to_owned);
    let node = ["--rpc", "--json"].map(str::to_owned);
    let signing = [
        "--key",
        "--gas-limit",
        "--gas-price",
        "--nonce",
        "--wait",
        "--timeout-s",
    ]
    .map(str::to_owned);
    let rules = ["--chain-spec", "--machine-version"].map(str::to_owned);
    for option in common.iter().chain(&node).chain(&signing).chain(&rules) {
        assert!(text.contains(&format!("`{option}")), "{option}");
    }
    let of_dev: Vec<String> = rows(&text, "## millrace dev")
        .iter()
        .skip(1)
        .map(|row| quoted(&row[0])[0].split(' ').next().unwrap().to_owned())
        .collect();
    let mut documented = BTreeSet::new();
    for row in rows(&text, "# The command line").iter().skip(1) {
        let command: Vec<&str> = quoted(&row[0])[0]
            .split(' ')
            .skip(1)
            .take_while(|word| word.starts_with(char::is_lowercase))
            .collect();
        documented.insert(command.join(" "));
        let mut options: BTreeSet<String> = common.clone().into();
        for part in row[2].split(", ") {
            match part {
                "*node*" => options.extend(node.clone()),
                "*signing*" => options.extend(signing.clone()),
                "*rules*" => options.extend(rules.clone()),
                "below" => options.extend(of_dev.clone()),
                option => {
                    options.insert(quoted(option)[0].split(' ').next().unwrap().to_owned());
                }
            }
        }
        assert_eq!(options_of(&command), options, "{command:?}");
    }
    assert_eq!(documented, all_commands());
}

#[test]
fn the_documented_configuration_is_taken_as_it_stands() {
    let text = document("configuration.md");
    let (_, sample) = text.split_once("```toml\n").unwrap();
    let (sample, _) = sample.split_once("```").unwrap();
    let digits = "ab".repeat(32);
    let sample = sample.replace("0x…", &format!("0x{digits}"));
    let directory = tempfile::tempdir().unwrap();
    let spec = crate::contracts::spec();
    let path = directory.path().join("chain-spec.json");
    fs::write(&path, serde_json::to_string(&spec).unwrap()).unwrap();
    let file = directory.path().join("node.toml");
    fs::write(&file, sample).unwrap();
    let said = process::text(&["node", "--check", "--config", file.to_str().unwrap()]);
    assert!(said.contains(&spec.hash().to_string()), "{said}");
}
