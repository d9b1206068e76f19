//! The house's absences, checked from `cargo metadata` and the source: who may know whom, where tokio may appear,
//! which files may hold `unsafe`, that every room keeps its documents, and that what is written down on both sides of
//! a boundary is the same.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Package name → names of what it depends on outside tests and build scripts.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    let normal = |package: &cargo_metadata::Package| {
        let kept = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal);
        kept.map(|dependency| dependency.name.clone()).collect()
    };
    metadata
        .packages
        .iter()
        .map(|package| (package.name.to_string(), normal(package)))
        .collect()
}

fn ours(names: &BTreeSet<String>) -> BTreeSet<&str> {
    names
        .iter()
        .map(String::as_str)
        .filter(|name| name.starts_with("millrace"))
        .collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !matches!(name, "target" | ".git") {
            rust_files(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

fn all_rust_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    rust_files(&root(), &mut found);
    found.sort();
    assert!(found.len() > 50, "the walk found the source");
    found
}

#[test]
fn each_crate_knows_only_whom_it_may_know() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("millrace-jit", &[][..]),
        ("millrace-proof", &[]),
        ("millrace-state", &["millrace-proof"]),
        ("millrace-types", &[]),
        ("millrace-scheduler", &[]),
        ("millrace-plugin-abi", &[]),
        ("millrace-plugin-sdk", &["millrace-plugin-abi", "millrace-types"]),
        ("millrace-plugin-host", &["millrace-plugin-abi"]),
        ("millrace-plugin-solo", &["millrace-plugin-sdk"]),
        ("millrace-plugin-longest-chain", &["millrace-plugin-sdk"]),
        (
            "millrace-executor",
            &["millrace-jit", "millrace-scheduler", "millrace-types"],
        ),
        ("millrace-ledger", &["millrace-types"]),
        ("millrace-mempool", &["millrace-types"]),
        ("millrace-light-client", &["millrace-proof", "millrace-types"]),
        (
            "millrace-follower",
            &["millrace-light-client", "millrace-rpc", "millrace-types"],
        ),
    ]);
    let found = dependencies();
    for (name, may) in allowed {
        let knows = ours(
            found
                .get(name)
                .unwrap_or_else(|| panic!("{name} is a member of the workspace")),
        );
        let extra: Vec<_> = knows.iter().filter(|other| !may.contains(other)).collect();
        assert!(
            extra.is_empty(),
            "{name} must not know {extra:?}; see ARCHITECTURE.md, \"What must never be\""
        );
    }
}

#[test]
fn a_plugin_knows_the_sdk_alone() {
    for (name, knows) in dependencies() {
        let is_plugin = name.starts_with("millrace-plugin-")
            && !matches!(
                name.as_str(),
                "millrace-plugin-abi"
                    | "millrace-plugin-sdk"
                    | "millrace-plugin-host"
                    | "millrace-plugin-kit"
            );
        if is_plugin {
            assert_eq!(ours(&knows), BTreeSet::from(["millrace-plugin-sdk"]), "{name}");
        }
    }
}

#[test]
fn the_node_links_no_plugin() {
    let found = dependencies();
    let plugins: Vec<_> = ours(&found["millrace"])
        .into_iter()
        .filter(|name| matches!(*name, "millrace-plugin-solo" | "millrace-plugin-longest-chain"))
        .collect();
    assert!(
        plugins.is_empty(),
        "plugins are loaded, never linked: {plugins:?}"
    );
}

#[test]
fn tokio_appears_only_in_rpc_follower_node_and_plugins() {
    for (name, knows) in dependencies() {
        let may = matches!(
            name.as_str(),
            "millrace-rpc" | "millrace-follower" | "millrace" | "millrace-tests"
        );
        let is_plugin = name.starts_with("millrace-plugin-")
            && !matches!(name.as_str(), "millrace-plugin-abi" | "millrace-plugin-host");
        assert!(
            may || is_plugin || !knows.contains("tokio"),
            "{name} depends on tokio: no async in the execution path"
        );
    }
    for path in all_rust_files() {
        let relative = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        if [
            "engine/rpc/",
            "engine/follower/",
            "engine/node/",
            "consensus-plugins/",
            "tests/",
        ]
        .iter()
        .any(|room| relative.starts_with(room))
        {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let is_async = text
            .lines()
            .any(|line| line.trim_start().starts_with("async fn") || line.contains("pub async fn"));
        assert!(
            !is_async,
            "{relative}: no async outside rpc, follower, node and plugins"
        );
    }
}

#[test]
fn crates_that_decide_results_forbid_unsafe_or_keep_it_in_named_modules() {
    let rooms: [(&str, &[&str]); 6] = [
        ("engine/types/src", &[]),
        ("engine/executor/src", &[]),
        ("engine/ledger/src", &[]),
        ("state/proof/src", &[]),
        ("engine/light-client/src", &[]),
        ("engine/mempool/src", &[]),
    ];
    for (room, exceptions) in rooms {
        let mut files = Vec::new();
        rust_files(&root().join(room), &mut files);
        for path in files {
            let name = path.file_name().unwrap().to_str().unwrap();
            let text = fs::read_to_string(&path).unwrap();
            let has_unsafe = text.lines().any(|line| {
                let code = line.split("//").next().unwrap_or("");
                code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
            });
            assert!(
                !has_unsafe || exceptions.contains(&name),
                "{}: unsafe outside its named modules",
                path.display()
            );
        }
    }
}

/// The lines of `source` below the line `opening`, up to the brace that closes it in the first column.
fn block(source: &str, opening: &str) -> String {
    let text = fs::read_to_string(root().join(source)).unwrap();
    let (_, after) = text
        .split_once(&format!("\n{opening}\n"))
        .unwrap_or_else(|| panic!("{source} has no line {opening:?}"));
    after.split_once("\n}\n").unwrap().0.to_owned()
}

/// Name → value of every `pub const NAME: u64 = VALUE;`.
fn constants(block: &str) -> BTreeMap<String, u64> {
    let parse = |value: &str| match value.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
        None => value.parse().unwrap(),
    };
    let declared = block.lines().filter_map(|line| {
        let (name, value) = line.trim().strip_prefix("pub const ")?.split_once(": u64 = ")?;
        Some((name.to_owned(), parse(value.strip_suffix(';').unwrap())))
    });
    declared.collect()
}

/// Guest and host share no crate: the contract SDK is built for another target, in another workspace.
#[test]
fn contracts_and_the_executor_number_host_calls_alike() {
    let guest = constants(&block("contracts/sdk/src/guest.rs", "mod number {"));
    let host = constants(&block("engine/executor/src/host/mod.rs", "pub mod number {"));
    assert_eq!(guest, host);
    assert_eq!(guest.len(), 29, "docs/spec/host-calls.md lists 29 host calls");
}

/// Name → number of every `#define PREFIXNAME NUMBER` of the header for contracts in C.
fn defined_in_c(prefix: &str) -> BTreeMap<String, u64> {
    let header = fs::read_to_string(root().join("contracts/sdk/c/millrace.h")).unwrap();
    let defines = header.lines().filter_map(|line| {
        let (name, number) = line
            .strip_prefix("#define ")?
            .strip_prefix(prefix)?
            .split_once(' ')?;
        Some(format!("pub const {name}: u64 = {number};"))
    });
    constants(&defines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn contracts_in_c_and_the_specification_number_host_calls_and_statuses_alike() {
    let host = "engine/executor/src/host/mod.rs";
    let numbers = constants(&block(host, "pub mod number {"));
    assert_eq!(defined_in_c("MILLRACE_NUMBER_"), numbers);
    assert_eq!(
        defined_in_c("MILLRACE_STATUS_"),
        constants(&block(host, "pub mod status {"))
    );
    let specification = fs::read_to_string(root().join("docs/spec/host-calls.md")).unwrap();
    let rows = specification.lines().filter_map(|line| {
        let (number, rest) = line.strip_prefix("| 0x")?.split_once(" | `")?;
        let (name, _) = rest.split_once('`')?;
        Some((name.to_uppercase(), u64::from_str_radix(number, 16).unwrap()))
    });
    assert_eq!(rows.collect::<BTreeMap<_, _>>(), numbers);
}

#[test]
fn contracts_and_the_executor_number_statuses_alike() {
    let body = block(
        "contracts/sdk/src/guest.rs",
        "fn check(code: u64) -> Result<(), Status> {",
    );
    let arms = body.lines().filter_map(|line| {
        let (code, status) = line.trim().split_once(" => Status::")?;
        Some((status.trim_end_matches(',').to_owned(), code.parse().unwrap()))
    });
    let guest: BTreeMap<String, u64> = arms.collect();
    let host = constants(&block("engine/executor/src/host/mod.rs", "pub mod status {"));
    let failures = host.into_iter().filter(|(name, _)| name != "SUCCESS");
    let host: BTreeMap<String, u64> = failures
        .map(|(name, code)| match name.as_str() {
            "CALL_DEPTH" => ("TooDeep".to_owned(), code),
            name => (camel_case(name), code),
        })
        .collect();
    assert_eq!(guest, host);
    assert_eq!(guest.len(), 7, "docs/spec/host-calls.md lists 7 failures");
}

fn camel_case(name: &str) -> String {
    let words = name
        .split('_')
        .map(|word| word[..1].to_owned() + &word[1..].to_lowercase());
    words.collect()
}

#[test]
fn no_file_has_outgrown_one_thought() {
    let too_long: Vec<_> = all_rust_files()
        .into_iter()
        .map(|path| (fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > 700)
        .collect();
    assert!(too_long.is_empty(), "over 700 lines: {too_long:?}");
}

#[test]
fn nothing_unfinished_lands() {
    // Spelled in two halves so that this file does not find itself.
    let marks = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("FIX", "ME"),
        concat!("#[ign", "ore"),
    ];
    for path in all_rust_files() {
        let text = fs::read_to_string(&path).unwrap();
        for mark in marks {
            assert!(!text.contains(mark), "{}: {mark}", path.display());
        }
    }
}

#[test]
fn every_document_that_readers_are_sent_to_exists() {
    let documents = ["README.md", "ARCHITECTURE.md"];
    let mut queue: Vec<PathBuf> = documents.iter().map(|name| root().join(name)).collect();
    for folder in ["docs", "docs/spec", "docs/design"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                queue.push(path);
            }
        }
    }
    for path in queue {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let resolved = path.parent().unwrap().join(target);
            assert!(
                resolved.exists(),
                "{} links to {target}, which does not exist",
                path.display()
            );
        }
    }
}

/// Name of each package → its directory.
fn directories() -> BTreeMap<String, PathBuf> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    let packages = metadata.packages.iter();
    packages
        .map(|package| {
            let manifest = package.manifest_path.as_std_path();
            (package.name.to_string(), manifest.parent().unwrap().to_owned())
        })
        .collect()
}

/// Names of the tests in the source of a package: functions below an attribute that says so.
fn tests_of(directory: &Path) -> BTreeSet<String> {
    let mut files = Vec::new();
    rust_files(directory, &mut files);
    let mut found = BTreeSet::new();
    for path in files {
        let mut is_test = false;
        for line in fs::read_to_string(path).unwrap().lines().map(str::trim) {
            is_test |= line == "#[test]" || line.ends_with("::test]");
            if let Some((_, after)) = line.split_once("fn ").filter(|_| is_test) {
                found.insert(after.split(['(', '<']).next().unwrap().to_owned());
                is_test = false;
            }
        }
    }
    found
}

#[test]
fn every_failure_mode_names_tests_that_exist() {
    let document = fs::read_to_string(root().join("docs/design/failure-modes.md")).unwrap();
    let (directories, mut known) = (directories(), BTreeMap::new());
    let rows = document.lines().filter_map(|line| line.strip_prefix("| "));
    let rows: Vec<Vec<&str>> = rows
        .map(|row| row.trim_end_matches(" |").split(" | ").collect())
        .collect();
    let mut tried = 0;
    for row in rows.iter().filter(|row| row[0] != "what happens") {
        let [what, _, _, tests] = row[..] else {
            panic!("four columns: {row:?}")
        };
        tried += tests.matches('†').count();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(
            !named.is_empty() || tests.starts_with("no test yet ("),
            "{what}: a test, or why there is none"
        );
        for name in named {
            let (package, test) = name
                .split_once("::")
                .unwrap_or_else(|| panic!("{name}: crate::test"));
            let directory = directories
                .get(package)
                .unwrap_or_else(|| panic!("no crate {package}"));
            let tests = known.entry(package).or_insert_with(|| tests_of(directory));
            assert!(tests.contains(test), "{what}: {package} has no test {test}");
        }
    }
    assert!(
        rows.len() > 30 && tried >= 10,
        "{} rows, {tried} tried",
        rows.len()
    );
}
