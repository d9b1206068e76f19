//! The files in `packaging/`, held to what they speak of: metrics, the node's own limits, the crates that are built.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use millrace_tests::program;
use serde_json::Value;

use crate::documents::{document, quoted, rows};
use crate::process;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Metrics and labels that a query names.
fn names(query: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = query
        .split(|c| !is_part(c))
        .filter(|word| word.starts_with("millrace_"));
    words.map(str::to_owned).collect()
}

#[test]
fn the_dashboard_shows_every_metric_and_asks_for_no_other() {
    let dashboard: Value = serde_json::from_str(&file("packaging/grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut shown = BTreeSet::new();
    let mut places = BTreeSet::new();
    for panel in panels {
        assert!(
            panel["description"].as_str().is_some_and(|text| !text.is_empty()),
            "{}",
            panel["title"]
        );
        let place = &panel["gridPos"];
        let (x, y) = (place["x"].as_u64().unwrap(), place["y"].as_u64().unwrap());
        let (w, h) = (place["w"].as_u64().unwrap(), place["h"].as_u64().unwrap());
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(
                cell.0 < 24 && places.insert(cell),
                "{} lies over another",
                panel["title"]
            );
        }
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            assert!(
                query.contains("instance=~\"$instance\""),
                "of every node at once: {query}"
            );
            // A counter by itself says nothing: it is seen as a rate, but for one that should stay at 0.
            let is_counted =
                query.contains("_total") && !query.contains("millrace_execution_fallbacks_total");
            let is_of_times = ["_bucket{", "_sum{", "_count{"]
                .iter()
                .any(|part| query.contains(part));
            assert_eq!(is_counted || is_of_times, query.contains("rate("), "{query}");
            shown.extend(names(query));
        }
    }
    // A histogram is asked for by its parts.
    let whole = |name: &str| {
        let mut parts = ["_seconds_bucket", "_seconds_sum", "_seconds_count"].iter();
        let of_times = parts.find_map(|part| name.strip_suffix(part));
        of_times.map_or_else(|| name.to_owned(), |name| format!("{name}_seconds"))
    };
    let shown: BTreeSet<String> = shown.iter().map(|name| whole(name)).collect();
    let text = format!("\n{}", document("metrics.md"));
    let documented: BTreeSet<String> = rows(&text, "# Metrics of a node")
        .iter()
        .skip(1)
        .map(|row| quoted(&row[0])[0].to_owned())
        .filter(|name| !name.ends_with('…'))
        .collect();
    assert_eq!(shown, documented);
}

/// `Key=Value` lines of a unit.
fn settings(unit: &str) -> Vec<(&str, &str)> {
    let lines = unit.lines().filter(|line| !line.starts_with(['#', '[']));
    lines.filter_map(|line| line.split_once('=')).collect()
}

#[test]
fn the_service_has_what_the_test_of_a_confined_node_has() {
    let unit = file("packaging/millrace.service");
    let settings = settings(&unit);
    let has = |key: &str, value: &str| settings.contains(&(key, value));
    let confined = file("tests/confined.sh");
    for (there, key, value) in [
        ("--no-new-privs", "NoNewPrivileges", "yes"),
        ("--bounding-set=-all", "CapabilityBoundingSet", ""),
        ("--inh-caps=-all", "AmbientCapabilities", ""),
        ("remount,bind,ro", "ProtectSystem", "strict"),
    ] {
        assert!(confined.contains(there), "{there}");
        assert!(has(key, value), "{key}={value}");
    }
    let filter: Vec<&str> = settings
        .iter()
        .filter(|(key, _)| *key == "SystemCallFilter")
        .map(|(_, value)| *value)
        .collect();
    for call in ["io_uring_setup", "io_uring_enter", "io_uring_register"] {
        assert!(
            confined.contains(call)
                && filter
                    .iter()
                    .any(|value| value.starts_with('~') && value.contains(call))
        );
    }
    // Native code is written, and then made executable.
    assert!(!settings.iter().any(|(key, _)| *key == "MemoryDenyWriteExecute"));
    // Consensus, engine and RPC may take ten seconds each, one after the other.
    let node = file("engine/node/src/node/mod.rs");
    assert!(node.contains("const STOP_DEADLINE: Duration = Duration::from_secs(10);"));
    let patience = settings
        .iter()
        .find(|(key, _)| *key == "TimeoutStopSec")
        .unwrap()
        .1;
    assert!(patience.parse::<u32>().unwrap() > 30 && has("KillSignal", "SIGTERM"));
}

/// What starts a node in it is a command that this build takes.
#[test]
fn the_service_and_the_container_start_a_node_by_options_that_there_are() {
    let unit = file("packaging/millrace.service");
    let (_, line) = settings(&unit)
        .into_iter()
        .find(|(key, _)| *key == "ExecStart")
        .unwrap();
    let unit: Vec<&str> = line.split(' ').skip(1).collect();
    let container = file("packaging/Dockerfile");
    let array = |word: &str| -> Vec<String> {
        let line = container
            .lines()
            .map(str::trim)
            .filter_map(|line| line.strip_prefix(word))
            .next_back()
            .unwrap();
        serde_json::from_str(line.trim()).unwrap()
    };
    assert_eq!(array("ENTRYPOINT"), ["millrace"]);
    assert_eq!(array("CMD"), unit, "both start it alike");
    let check: Vec<String> = {
        let (_, after) = container.split_once("HEALTHCHECK").unwrap();
        let (_, after) = after.split_once("CMD ").unwrap();
        serde_json::from_str(after.lines().next().unwrap()).unwrap()
    };
    // A node's file that is not there is the only thing that is wrong with it.
    let output = process::run(&unit);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("configuration /etc/millrace/node.toml: No such file"),
        "{errors}"
    );
    let chain = process::Running::start(&[]);
    let check: Vec<&str> = check.iter().skip(1).map(String::as_str).collect();
    let check: Vec<&str> = check
        .into_iter()
        .map(|word| {
            if word.starts_with("http://") {
                chain.url()
            } else {
                word
            }
        })
        .collect();
    assert_eq!(process::json(&check)["chain"]["chain_id"], 4860);
}

#[test]
fn systemd_finds_nothing_wrong_with_the_service() {
    let directory = tempfile::tempdir().unwrap();
    let unit = directory.path().join("millrace.service");
    // Where the program is not installed, systemd says so and nothing else.
    let text = file("packaging/millrace.service").replace("/usr/local/bin/millrace", "/bin/true");
    fs::write(
        &unit,
        text.replace("User=millrace", "User=root")
            .replace("Group=millrace", "Group=root"),
    )
    .unwrap();
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .arg("--man=no")
        .arg(&unit)
        .output();
    let Ok(verified) = verified else {
        eprintln!("skipped: no systemd-analyze on PATH; it is in the package systemd");
        return;
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    let about_it: Vec<&str> = said.lines().filter(|line| line.contains("millrace")).collect();
    assert!(verified.status.success() && about_it.is_empty(), "{said}");
}

/// What a linter of such files would look at, and what one cannot know: that what is copied is what is built.
#[test]
fn the_container_is_built_of_what_there_is_and_runs_as_nobody_special() {
    let text = file("packaging/Dockerfile").replace("\\\n", " ");
    let instructions: Vec<(&str, &str)> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.trim().split_once(' ').unwrap())
        .collect();
    let of = |name: &str| -> Vec<&str> {
        instructions
            .iter()
            .filter(|(word, _)| *word == name)
            .map(|(_, rest)| rest.trim())
            .collect()
    };
    let known = [
        "FROM",
        "WORKDIR",
        "COPY",
        "RUN",
        "USER",
        "VOLUME",
        "ENV",
        "EXPOSE",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    ];
    assert!(
        instructions.iter().all(|(word, _)| known.contains(word)),
        "{instructions:?}"
    );
    for image in of("FROM") {
        let image = image.split(' ').next().unwrap();
        assert!(
            image.contains(':') && !image.ends_with(":latest"),
            "{image} is another one tomorrow"
        );
    }
    let toolchain = file("rust-toolchain.toml");
    let version = of("FROM")[0]
        .trim_start_matches("rust:")
        .split('-')
        .next()
        .unwrap();
    assert!(
        toolchain.contains(&format!("\"{version}")),
        "{version}: {toolchain}"
    );
    let last = instructions
        .iter()
        .rposition(|(word, _)| *word == "FROM")
        .unwrap();
    let user = instructions
        .iter()
        .rposition(|(word, rest)| *word == "USER" && *rest == "4860:4860")
        .unwrap();
    let entry = instructions
        .iter()
        .rposition(|(word, _)| *word == "ENTRYPOINT")
        .unwrap();
    assert!(last < user && user < entry, "it runs as 4860");
    let build = of("RUN")[0];
    assert!(build.contains("--release --locked"));
    for copied in of("COPY")
        .into_iter()
        .filter_map(|line| line.strip_prefix("--from=build /src/target/release/"))
    {
        let name = copied.split(' ').next().unwrap();
        let package = name
            .trim_start_matches("lib")
            .trim_end_matches(".so")
            .replace('_', "-");
        assert!(
            build.split(' ').any(|word| word == package),
            "{package} is not built"
        );
    }
    assert_eq!(of("STOPSIGNAL"), ["SIGTERM"]);
}

/// `cargo install --path engine/node` installs the program alone; plugins go to `lib/millrace` beside `bin`.
#[test]
fn an_installed_program_finds_its_plugins_in_lib() {
    let root = tempfile::tempdir_in(program::millrace().parent().unwrap()).unwrap();
    let (bin, lib) = (root.path().join("bin"), root.path().join("lib/millrace"));
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(&lib).unwrap();
    fs::hard_link(program::millrace(), bin.join("millrace")).unwrap();
    let dev = || {
        let mut command = Command::new(bin.join("millrace"));
        command.args([
            "dev",
            "--blocks",
            "1",
            "--block-interval-ms",
            "10",
            "--rpc-listen",
            "127.0.0.1:0",
            "--json",
        ]);
        command.env_remove("MILLRACE_RPC__LISTEN").output().unwrap()
    };
    let without = dev();
    let errors = String::from_utf8_lossy(&without.stderr);
    assert!(!without.status.success());
    for place in [&bin, &lib] {
        assert!(
            errors.contains(place.join("libmillrace_plugin_solo.so").to_str().unwrap()),
            "{errors}"
        );
    }
    let plugin = program::solo_plugin();
    fs::hard_link(&plugin, lib.join(plugin.file_name().unwrap())).unwrap();
    let with = dev();
    assert!(with.status.success(), "{}", String::from_utf8_lossy(&with.stderr));
}
