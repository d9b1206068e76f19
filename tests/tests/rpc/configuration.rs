//! `millrace config show`: every value in force, and where it comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process;

const SECRET: &str = "0x5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2";

/// A directory with a chain spec and a configuration.
pub struct Configuration {
    pub directory: TempDir,
    pub file: PathBuf,
}

impl Configuration {
    /// With these lines behind `[plugin]` and its path.
    pub fn new(more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let spec = serde_json::to_string(&crate::contracts::spec()).unwrap();
        fs::write(directory.path().join("spec.json"), spec).unwrap();
        let file = directory.path().join("node.toml");
        let text = format!(
            "version = 1\nchain_spec = \"spec.json\"\ndata_directory = \"data\"\n[plugin]\npath = \"plugin.so\"\n{more}"
        );
        fs::write(&file, text).unwrap();
        Self { directory, file }
    }

    /// Key → (value, origin, source), with arguments and variables.
    fn shown(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> BTreeMap<String, (Value, String, Value)> {
        let output = process::millrace(&["config", "show", "--json", "--config"])
            .arg(&self.file)
            .args(arguments)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{variables:?}: {errors}");
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        let values = shown["values"].as_array().unwrap().iter().map(|value| {
            let text = |name: &str| value[name].as_str().unwrap().to_owned();
            (
                text("key"),
                (value["value"].clone(), text("origin"), value["source"].clone()),
            )
        });
        values.collect()
    }
}

#[test]
fn each_value_has_its_origin() {
    let configuration = Configuration::new(&format!(
        "config = {{ secret_key = \"{SECRET}\", block_interval_ms = 7 }}\n[engine]\nqueue_blocks = 20\n"
    ));
    let shown = configuration.shown(
        &["--profile", "perfmap"],
        &[
            ("MILLRACE_ENGINE__QUEUE_BLOCKS", "30"),
            ("MILLRACE_LOG", "info"),
            ("MILLRACE_RPC", "http://127.0.0.1:1"),
        ],
    );
    let expect = |key: &str, value: Value, origin: &str, source: Value| {
        assert_eq!(shown[key], (value, origin.to_owned(), source), "{key}");
    };
    expect(
        "engine.queue_blocks",
        json!(30),
        "variable",
        json!("MILLRACE_ENGINE__QUEUE_BLOCKS"),
    );
    expect("plugin.config.block_interval_ms", json!(7), "file", Value::Null);
    expect("plugin.config.secret_key", json!("(hidden)"), "file", Value::Null);
    expect("rpc.listen", json!("127.0.0.1:4860"), "default", Value::Null);
    expect("plugin.blake3", Value::Null, "default", Value::Null);
    expect("execution.profile", json!("perfmap"), "flag", json!("--profile"));
    // What follows from another value is a default that shows what it is.
    expect("execution.tier", json!("auto"), "default", Value::Null);
    let data = configuration.directory.path().join("data");
    expect("data_directory", json!(data), "file", Value::Null);
    expect(
        "execution.code_cache_directory",
        json!(data.join("code-cache")),
        "default",
        Value::Null,
    );
}

#[test]
fn a_secret_is_shown_nowhere() {
    let configuration = Configuration::new("");
    let config = configuration.file.to_str().unwrap();
    for json in [&["--json"][..], &[]] {
        let output = process::millrace(&[&["config", "show", "--config", config], json].concat())
            .env("MILLRACE_PLUGIN__CONFIG__SECRET_KEY", SECRET)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && text.contains("plugin.config.secret_key"),
            "{text}"
        );
        assert!(
            text.contains("MILLRACE_PLUGIN__CONFIG__SECRET_KEY") && !text.contains("5ec2e7"),
            "{text}"
        );
    }
}

/// A node that does not start says why in a log that others read.
#[test]
fn a_line_that_does_not_parse_is_not_quoted_with_its_secret() {
    let configuration = Configuration::new(&format!("config = {{ secret_key = \"{SECRET}\", }} }}\n"));
    let config = configuration.file.to_str().unwrap();
    for command in [&["config", "show"][..], &["node"], &["doctor"]] {
        let output = process::run(&[command, &["--config", config]].concat());
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(
            !output.status.success() && said.contains("TOML parse error at line 6, column "),
            "{command:?}: {said}"
        );
        assert!(!said.contains("5ec2e7"), "{command:?}: {said}");
    }
}

/// Numbers that no 32 bits hold are outside the range like others.
#[test]
fn large_numbers_are_refused_with_what_is_allowed() {
    let configuration = Configuration::new("[rpc]\nmax_batch = 99999999999\n");
    let text = fs::read_to_string(&configuration.file).unwrap();
    let refused = |expected: &str| {
        let config = configuration.file.to_str().unwrap();
        let output = process::run(&["node", "--check", "--config", config]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains(expected), "{errors}");
    };
    refused("rpc.max_batch = 99999999999: allowed is from 1 to 10000");
    fs::write(
        &configuration.file,
        text.replace("version = 1", "version = 99999999999"),
    )
    .unwrap();
    refused("version = 99999999999, this build reads up to 1; use the newer build");
    fs::write(&configuration.file, "#".repeat((1 << 20) + 1)).unwrap();
    refused("has more than 1048576 bytes");
}

#[test]
fn a_path_that_is_no_text_is_shown() {
    use std::os::unix::ffi::OsStrExt as _;
    let configuration = Configuration::new("");
    let odd = configuration
        .directory
        .path()
        .join(std::ffi::OsStr::from_bytes(b"odd\xff"));
    fs::create_dir(&odd).unwrap();
    for name in ["node.toml", "spec.json"] {
        fs::copy(configuration.directory.path().join(name), odd.join(name)).unwrap();
    }
    for json in [&[][..], &["--json"]] {
        let output = process::millrace(&["config", "show", "--config"])
            .arg(odd.join("node.toml"))
            .args(json)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
    }
}

#[test]
fn every_key_can_be_set_from_the_environment() {
    let hash = format!("0x{}", "ab".repeat(32));
    let configuration = Configuration::new("");
    let path = |name: &str| configuration.directory.path().join(name);
    fs::copy(path("spec.json"), path("other.json")).unwrap();
    // Key, what the variable says, what is then in force.
    let cases = [
        ("version", "1", json!(1)),
        ("chain_spec", "other.json", json!(path("other.json"))),
        ("data_directory", "/srv/millrace", json!("/srv/millrace")),
        ("plugin.path", "/lib/p.so", json!("/lib/p.so")),
        ("plugin.blake3", hash.as_str(), json!(hash)),
        ("plugin.patience_ms", "700", json!(700)),
        ("plugin.config.block_interval_ms", "9", json!(9)),
        ("rpc.listen", "127.0.0.1:1234", json!("127.0.0.1:1234")),
        ("rpc.max_connections", "3", json!(3)),
        ("rpc.max_request_bytes", "9000000", json!(9_000_000)),
        ("rpc.max_response_bytes", "5000", json!(5_000)),
        ("rpc.max_batch", "3", json!(3)),
        ("rpc.max_subscriptions", "3", json!(3)),
        ("rpc.max_concurrent_calls", "3", json!(3)),
        ("rpc.call_gas_limit", "3", json!(3)),
        ("rpc.max_log_blocks", "3", json!(3)),
        ("rpc.max_logs", "3", json!(3)),
        ("rpc.requests_per_second", "3", json!(3)),
        ("rpc.request_burst", "3", json!(3)),
        ("rpc.max_calls_per_connection", "3", json!(3)),
        ("engine.pipelining", "false", json!(false)),
        ("engine.workers", "3", json!(3)),
        ("engine.queue_blocks", "30", json!(30)),
        ("engine.retention_blocks", "30", json!(30)),
        ("engine.speculation", "false", json!(false)),
        ("engine.max_speculative_blocks", "3", json!(3)),
        ("engine.max_unfinalized_blocks", "30", json!(30)),
        ("execution.tier", "jit", json!("jit")),
        ("execution.code_cache", "true", json!(true)),
        (
            "execution.code_cache_directory",
            "/srv/cache",
            json!("/srv/cache"),
        ),
        ("execution.code_cache_mib", "3", json!(3)),
        ("execution.profile", "gdb", json!("gdb")),
        (
            "execution.profile_directory",
            "/srv/profile",
            json!("/srv/profile"),
        ),
        ("execution.profile_symbols", "[\"/a.elf\"]", json!(["/a.elf"])),
    ];
    let name = |key: &str| format!("MILLRACE_{}", key.replace('.', "__").to_uppercase());
    for (key, text, value) in &cases {
        let variable = name(key);
        // Native code, without which a cache and a profile are not in force.
        let mut variables = vec![(variable.as_str(), *text)];
        if key.starts_with("execution.") && *key != "execution.tier" {
            variables.push(("MILLRACE_EXECUTION__TIER", "auto"));
        }
        if key.starts_with("execution.profile_") {
            variables.push(("MILLRACE_EXECUTION__PROFILE", "gdb"));
        }
        // There is no burst without a rate.
        if *key == "rpc.request_burst" {
            variables.push(("MILLRACE_RPC__REQUESTS_PER_SECOND", "2"));
        }
        let shown = configuration.shown(&[], &variables);
        assert_eq!(
            shown[*key],
            (value.clone(), "variable".to_owned(), json!(variable)),
            "{key}"
        );
    }
    let mut keys: BTreeSet<String> = configuration.shown(&[], &[]).into_keys().collect();
    keys.remove("plugin.config");
    keys.insert("plugin.config.block_interval_ms".to_owned());
    assert_eq!(keys, cases.iter().map(|case| case.0.to_owned()).collect());
}

#[test]
fn a_variable_that_sets_nothing_is_refused_by_its_name() {
    let configuration = Configuration::new("");
    let config = configuration.file.to_str().unwrap();
    for (variable, value, expected) in [
        (
            "MILLRACE_ENGINE__WORKRES",
            "3",
            "MILLRACE_ENGINE__WORKRES: there is no key `engine.workres` that it could set",
        ),
        (
            "MILLRACE_ENGINE__WORKERS",
            "0",
            "engine.workers = 0: allowed is from 1 to 64",
        ),
        (
            "MILLRACE_ENGINE__WORKERS",
            "many",
            "`engine.workers` is string \"many\": allowed is a whole number that is not negative (from the environment, which goes before the file)",
        ),
    ] {
        for command in [&["config", "show"][..], &["node", "--check"]] {
            let output = process::millrace(&[command, &["--config", config]].concat())
                .env(variable, value)
                .output()
                .unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{command:?}");
            assert!(errors.contains(expected), "{command:?}: {errors}");
        }
    }
}

/// Its keys may be others: what it is must be said before what this build does not know of it.
#[test]
fn a_newer_file_is_refused_as_newer_whatever_else_is_in_it() {
    let configuration = Configuration::new("[colour]\nred = 1\n");
    let text = fs::read_to_string(&configuration.file).unwrap();
    fs::write(&configuration.file, text.replace("version = 1", "version = 2")).unwrap();
    let output = process::run(&[
        "node",
        "--check",
        "--config",
        configuration.file.to_str().unwrap(),
    ]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("version = 2, this build reads up to 1; use the newer build"),
        "{errors}"
    );
}

#[test]
fn what_is_shown_can_be_used_as_a_file() {
    let configuration = Configuration::new(
        "config = { list = [{ a = 1, \"b c\" = [] }], \"dotted.key\" = 2, \"odd \\\" \\u007f key\" = true, e = {}, \"\" = 1.5 }\n\
         [engine]\nworkers = 3\n",
    );
    let shown = configuration.shown(&[], &[]);
    assert_eq!(
        shown["plugin.config.\"dotted.key\""],
        (json!(2), "file".to_owned(), Value::Null)
    );
    // As it is written mostly: from the directory that the file is in.
    let shown = process::millrace(&["config", "show", "--config", "node.toml"])
        .current_dir(configuration.directory.path())
        .output()
        .unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = elsewhere.path().join("other.toml");
    fs::write(&other, &text).unwrap();
    let again = process::text(&["config", "show", "--config", other.to_str().unwrap()]);
    let values = |text: &str| -> BTreeSet<String> {
        text.lines()
            .filter_map(|line| line.split("  #").next())
            .map(|line| line.trim().to_owned())
            .collect()
    };
    assert_eq!(values(&again), values(&text), "{text}");
}
